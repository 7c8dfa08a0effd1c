"""The port to an embedding model: texts in, one vector for each out, in the order of the texts.

An adapter subclasses `EmbeddingModel` and defines `embed_batch`. As with `ChatModel`, it translates vendor errors into
the `ModelError` family, does not retry, holds no per-call state, and can be used by many callers at once. What every
adapter owes its callers is checked here, once: no request for no text, and never a row too many, too few, of another
length, or with something in it that is no number.
"""

from __future__ import annotations

import abc
import math
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import anyio

from tinyllm_actors.errors import MalformedResponse, RequestRejected
from tinyllm_actors.llm.model import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["EmbeddingModel", "Embeddings", "Vector", "checked_embeddings", "checked_texts", "unit"]

Vector: TypeAlias = "array[float]"
"""One row: `array('f')`, 4 bytes a number, which `numpy.asarray` takes without a copy."""


@dataclass(frozen=True, slots=True)
class Embeddings:
    """What a model made of some texts.

    Attributes:
        vectors: n rows of `dimensions` floats, in the order of the n texts.
        model: the name that the provider gave.
        usage: tokens and cost of the call, if the provider said; `completion_tokens` is 0.
    """

    vectors: list[Vector]
    model: str = ""
    usage: Usage | None = None

    @property
    def dimensions(self) -> int:
        """The length of each row; 0 when there is none."""
        return len(self.vectors[0]) if self.vectors else 0


class EmbeddingModel(abc.ABC):
    """An embedding model behind one adapter.

    Whoever uses a model opens it before the first call and closes it after the last. A model that is given to an
    `Embedder` is opened on first use and closed when the actor system ends.

    ```python
    >>> import anyio
    >>> from array import array
    >>> class Lengths(EmbeddingModel):
    ...     name = "lengths"
    ...     dimensions = 1
    ...     async def embed_batch(self, texts):
    ...         return Embeddings([array("f", [len(text)]) for text in texts], self.name)
    >>> anyio.run(Lengths().embed, ["one", "three"]).vectors
    [array('f', [3.0]), array('f', [5.0])]

    ```

    Attributes:
        name: what is logged, traced and written into errors, such as `"openai/text-embedding-3-small"`.
        dimensions: the length of its vectors; None where only an answer tells.
        unit_length: True when its vectors have length 1, so that a dot product is the cosine; False when that is not
            known.
        max_batch: texts that one call may hold.
    """

    name: str
    dimensions: int | None = None
    unit_length: bool = False
    max_batch: int = 2048

    async def open(self) -> None:  # noqa: B027 - nothing to do is a good default
        """Get ready for calls (load weights, check credentials). Idempotent; a closed model can be opened again.

        Raises:
            ConfigurationError: a package, a key or a file is missing.
        """

    async def aclose(self) -> None:  # noqa: B027 - nothing to do is a good default
        """Release what `open()` and the calls hold. Idempotent."""

    async def wait_failed(self) -> None:
        """Wait until the model itself is lost and raise why; for ever if that cannot happen.

        Raises:
            ModelError: the model is lost; `open()` may bring it back.
        """
        await anyio.sleep_forever()

    async def embed(self, texts: Sequence[str]) -> Embeddings:
        """Return one vector for each of `texts`, in their order; none for none, without asking anybody.

        Cancelling the caller ends the call and closes its connection.

        Raises:
            RequestRejected: a text is empty, or there are more than `max_batch`.
            ContextWindowExceeded: a text is longer than the model takes.
            MalformedResponse: what came are not so many vectors of one length.
            ModelError: the call failed; the class says how, `retryable` whether to try again.
            TypeError: `texts` is one text, or holds something else than texts.
        """
        if not (batch := checked_texts(texts, self.name, limit=self.max_batch)):
            return Embeddings([], self.name)
        return checked_embeddings(await self.embed_batch(batch), len(batch), self)

    @abc.abstractmethod
    async def embed_batch(self, texts: list[str]) -> Embeddings:
        """Return one vector for each of `texts`, which are checked; what comes back will be.

        Raises:
            ModelError: the call failed.
        """


def checked_texts(texts: Sequence[str], model: str, *, limit: int | None) -> list[str]:
    """Return `texts` as a list, or raise what is wrong with them; no text is quoted.

    Args:
        texts: what is to be embedded.
        model: the name for errors.
        limit: how many there may be; None for any number.

    Raises:
        TypeError: it is one text, or holds something else.
        RequestRejected: a text is empty, or there are too many.
    """
    if isinstance(texts, str | bytes):
        raise TypeError("texts must be a sequence of texts, not one text; write [text]")
    batch = list(texts)
    for place, text in enumerate(batch):
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"texts[{place}] must be a str, not a {type(text).__name__}")
        if not text:
            raise RequestRejected(
                f"{model}: texts[{place}] of {len(batch)} is empty, and has no meaning to embed; leave it out",
                model=model,
            )
    if limit is not None and len(batch) > limit:
        raise RequestRejected(
            f"{model}: {len(batch)} texts are more than the {limit} that one call may hold; use an "
            "Embedder, which makes several of it",
            model=model,
        )
    return batch


def checked_embeddings(answer: Embeddings, count: int, model: EmbeddingModel) -> Embeddings:
    """Return `answer`, or raise what is wrong with it.

    Raises:
        MalformedResponse: there are not `count` rows, they differ in length from each other or from
            `model.dimensions`, or one holds what is no finite number.
    """
    rows = answer.vectors
    if len(rows) != count:
        raise MalformedResponse(
            f"{model.name}: the provider answered with {len(rows)} vectors for {count} texts", model=model.name
        )
    wanted = model.dimensions or len(rows[0])
    for place, row in enumerate(rows):
        if not row or len(row) != wanted:
            raise MalformedResponse(
                f"{model.name}: vector {place} has {len(row)} dimensions and not {wanted or 'one or more'}; check the "
                "model's name and the option dimensions",
                retryable=False,
                model=model.name,
            )
        if not math.isfinite(sum(row)):  # one that is not spoils the sum; a sum of float32 cannot overflow
            raise MalformedResponse(
                f"{model.name}: vector {place} holds a value that is no finite number", model=model.name
            )
    return answer


def unit(vector: Vector) -> Vector:
    """Return the vector of length 1 in the same direction; a vector of zeros as it is."""
    length = math.sqrt(sum(x * x for x in vector))
    return array("f", [x / length for x in vector]) if length else vector
