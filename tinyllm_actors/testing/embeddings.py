"""Embeddings for tests: a model that needs no weights, and a provider on loopback that answers with its vectors."""

from __future__ import annotations

import base64
import re
from array import array
from hashlib import blake2b
from typing import TYPE_CHECKING, cast

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.llm.embedding import EmbeddingModel, Embeddings, unit
from tinyllm_actors.llm.model import Usage
from tinyllm_actors.testing.behaviours import Behaviour

if TYPE_CHECKING:
    from tinyllm_actors.llm.embedding import Vector
    from tinyllm_actors.testing.http_exchange import Exchange

__all__ = ["HashEmbeddings", "answer_embeddings", "hash_vector"]

_WORD = re.compile(r"\w+")


def hash_vector(text: str, dimensions: int = 16) -> Vector:
    """Return a vector of length 1 that depends on the words of `text`: texts that share words point the same way.

    ```python
    >>> one, two, other = (hash_vector(text) for text in ("a red fox", "a red box", "tax forms"))
    >>> dot = lambda a, b: sum(x * y for x, y in zip(a, b))
    >>> dot(one, two) > dot(one, other)
    True

    ```
    """
    vector: Vector = array("f", [0.0] * dimensions)
    for word in _WORD.findall(text.lower()) or [text]:
        digest = blake2b(word.encode("utf-8", "replace"), digest_size=8).digest()
        vector[int.from_bytes(digest[:4], "little") % dimensions] += 1.0 if digest[4] & 1 else -1.0
        vector[int.from_bytes(digest[4:], "little") % dimensions] += 0.5
    return unit(vector) if any(vector) else array("f", [1.0, *[0.0] * (dimensions - 1)])


class HashEmbeddings(EmbeddingModel):
    """An embedding model for tests: instant, the same on each run, without weights.

    ```python
    >>> import anyio
    >>> embeddings = anyio.run(HashEmbeddings(dimensions=8).embed, ["a red fox", "a red box"])
    >>> len(embeddings.vectors), embeddings.dimensions
    (2, 8)

    ```

    Args:
        dimensions: the length of its vectors.
        name: what it is called in errors.

    Attributes:
        calls: the texts of each call, in order.

    Raises:
        ConfigurationError: `dimensions` is below 1.
    """

    unit_length = True

    def __init__(self, dimensions: int = 64, *, name: str = "hash") -> None:
        if dimensions < 1:
            raise ConfigurationError(f"dimensions must be at least 1, not {dimensions!r}")
        self.dimensions = dimensions
        self.name = name
        self._length = dimensions
        self.calls: list[list[str]] = []

    async def embed_batch(self, texts: list[str]) -> Embeddings:
        """Return one vector for each text."""
        self.calls.append(texts)
        tokens = sum(len(_WORD.findall(text)) for text in texts)
        vectors = [hash_vector(text, self._length) for text in texts]
        return Embeddings(vectors, self.name, Usage(prompt_tokens=tokens, total_tokens=tokens))


def answer_embeddings(
    dimensions: int = 16, *, shuffled: bool = False, rows: int | None = None, usage: bool = True
) -> Behaviour:
    """Make a `FaultServer` answer as OpenAI's embeddings API does, with `hash_vector` of each text.

    Args:
        dimensions: of the vectors, unless the request asks for others.
        shuffled: send the rows in another order than the texts.
        rows: send so many rows, whatever was asked; None sends one for each text.
        usage: count tokens.
    """

    async def play(exchange: Exchange) -> None:
        asked = cast("dict[str, object]", exchange.request.json)
        texts = asked["input"]
        texts = [texts] if isinstance(texts, str) else cast("list[str]", texts)
        length = asked.get("dimensions") or dimensions
        packed = asked.get("encoding_format") == "base64"
        data: list[dict[str, object]] = []
        for index in range(len(texts) if rows is None else rows):
            vector = hash_vector(texts[index % len(texts)], cast("int", length))
            shown = base64.b64encode(vector.tobytes()).decode() if packed else vector.tolist()
            data.append({"object": "embedding", "index": index, "embedding": shown})
        if shuffled:
            data.reverse()
        body: dict[str, object] = {"object": "list", "data": data, "model": asked.get("model")}
        if usage:
            tokens = sum(len(text.split()) for text in texts)
            body["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
        await exchange.respond_json(200, body)

    return Behaviour(f"answer_embeddings({dimensions})", play)
