"""Vectors of texts, from whatever makes them."""

from __future__ import annotations

import inspect
import math
from array import array
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast, runtime_checkable

from tinyllm_actors.errors import ConfigurationError, MalformedResponse
from tinyllm_actors.function.ref import FunctionRef
from tinyllm_actors.function.result import unwrap
from tinyllm_actors.kernel import ChildSpec, PoolRef

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tinyllm_actors.kernel import ActorContext

__all__ = ["EmbedderSource", "Embedding", "EmbedsTexts"]


@runtime_checkable
class EmbedsTexts(Protocol):
    """An object that makes vectors, such as an `EmbeddingModel`; whoever made it opens and closes it."""

    def embed(self, texts: Sequence[str], /) -> Any:
        """Return one vector for each text, or an object with `vectors`, or what to await for either."""
        ...


EmbedderSource: TypeAlias = "EmbedsTexts | ChildSpec | FunctionRef | PoolRef | Callable[..., Any]"
"""A Function that is called with `texts=[…]` (`Embedder.spec("local")`), its reference, or an object with `embed`."""


class Embedding:
    """The way from an actor to its vectors.

    Args:
        source: what makes them.

    Attributes:
        model: what made the last vectors, if that was said.

    Raises:
        ConfigurationError: `source` makes no vectors.
    """

    def __init__(self, source: EmbedderSource) -> None:
        from tinyllm_actors.function.compose.part import check_source  # every agent imports this module

        self.model = ""
        self._embeds: EmbedsTexts | None = None
        self._source: ChildSpec | FunctionRef | PoolRef | None = None
        if not isinstance(source, ChildSpec | FunctionRef | PoolRef) and isinstance(source, EmbedsTexts):
            self._embeds = source
            return
        try:
            self._source = check_source(source)
        except TypeError as error:
            raise ConfigurationError(
                f"embedder={source!r} makes no vectors: give the spec of an Embedder or of another Function that takes "
                "texts=[…], a reference to one, or an object with embed(texts)"
            ) from error

    async def start(self, context: ActorContext) -> None:
        """Start what is given as a spec, as a child."""
        if isinstance(self._source, ChildSpec):
            self._source = cast("FunctionRef", await context.spawn(self._source, name="embedder"))

    async def vectors(self, texts: Sequence[str]) -> list[array[float]]:
        """Return one vector for each text, all of one length.

        Raises:
            FunctionFailed: the Function failed.
            MalformedResponse: what came are not so many vectors of one length.
        """
        if not texts:
            return []
        if self._embeds is not None:
            answer = self._embeds.embed(list(texts))
            if inspect.isawaitable(answer):
                answer = await answer
        else:
            assert isinstance(self._source, FunctionRef | PoolRef)
            answer = unwrap(await cast("FunctionRef", self._source)(texts=list(texts)))
        return self._checked(answer, len(texts))

    def _checked(self, answer: Any, count: int) -> list[array[float]]:
        if isinstance(answer, dict):
            found = cast("Mapping[str, Any]", answer)
            answer = found.get("embeddings", found.get("vectors"))
        self.model = str(getattr(answer, "model", "") or "")
        try:
            rows = [array("f", row) for row in getattr(answer, "vectors", answer)]
        except TypeError:
            raise MalformedResponse(f"the embedder answered with {type(answer).__name__}, not with vectors") from None
        if len(rows) != count:
            raise MalformedResponse(f"the embedder answered with {len(rows)} vectors for {count} texts")
        if not rows[0] or any(len(row) != len(rows[0]) or not math.isfinite(sum(row)) for row in rows):
            raise MalformedResponse("the embedder answered with vectors of different lengths, or with no numbers")
        return rows
