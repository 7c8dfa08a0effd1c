"""The Function that finds the examples that are like a question."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import structlog

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.function import Function
from tinyllm_actors.function.language.embedding import Embedding
from tinyllm_actors.function.language.similarity import most_similar
from tinyllm_actors.prompting.example import as_examples
from tinyllm_actors.prompting.example_vectors import StoredVectors, load_vectors, save_vectors

if TYPE_CHECKING:
    import os
    from array import array
    from collections.abc import Iterable

    from tinyllm_actors.function.language.embedding import EmbedderSource
    from tinyllm_actors.prompting.example import Example, ExampleLike

__all__ = ["ExampleSelector"]


class ExampleSelector(Function):
    """Answers `input` with `{"best_examples": [Example, …], "similarities": [float, …]}`, the most alike first.

    The vectors of the examples are made once, when it starts; with a `path`, only for examples that are not in that
    file, which follows the examples. Another embedding model has all of them made again. If the embedder fails then,
    the next call tries again.

    ```python
    >>> from tinyllm_actors import ExampleSelector, run
    >>> from tinyllm_actors.testing import HashEmbeddings
    >>> examples = [("what is the weather", "Rain."), ("who wrote Hamlet", "Shakespeare."), ("weather now", "Snow.")]
    >>> result = run(ExampleSelector.spec(examples, HashEmbeddings(), k=1), input="who wrote Emma")
    >>> result["output"]["best_examples"]
    [Example(user_message='who wrote Hamlet', assistant_message='Shakespeare.')]

    ```

    Args:
        examples: to choose from; what their users say is compared with the input.
        embedder: the spec of an `Embedder` (`Embedder.spec("local")`) or of another Function that takes `texts=[…]`, a
            reference to one, or an object with `embed(texts)`, such as an `EmbeddingModel`.
        k: how many to find at most.
        threshold: the cosine below which an example is not like the input; None for no bound.
        diversity: 0 to 1: how much an example counts for less that is like one found before. If in doubt, 0.
        path: the file that keeps the vectors, which may be shared by processes; it holds no texts.
        name: what it is called in the log.
        **options: of `Function`.

    Raises:
        ConfigurationError: a number has no meaning, an example has no text, or the embedder makes no vectors.
    """

    def __init__(
        self,
        examples: Iterable[ExampleLike],
        embedder: EmbedderSource,
        *,
        k: int = 3,
        threshold: float | None = None,
        diversity: float = 0.0,
        path: str | os.PathLike[str] | None = None,
        name: str = "Standard example selector",
        **options: Any,
    ) -> None:
        super().__init__(name=name, **options)
        if k < 1 or not 0 <= diversity <= 1 or not (threshold is None or -1 <= threshold <= 1):
            raise ConfigurationError(
                f"need k >= 1, 0 <= diversity <= 1 and -1 <= threshold <= 1, got {k!r}, {diversity!r}, {threshold!r}"
            )
        self._examples = as_examples(examples)
        self._embedding = Embedding(embedder)
        self._k = k
        self._threshold = threshold
        self._diversity = diversity
        self._path = path
        self._known = StoredVectors()

    async def started(self) -> None:
        """Start the embedder and make the vectors that are missing."""
        await self._embedding.start(self.context)
        if self._path is not None:
            self._known = await anyio.to_thread.run_sync(load_vectors, self._path)
        try:
            await self._refresh()
        except Exception as error:  # of any embedder; it may be there when the first question comes
            structlog.get_logger("tinyllm_actors.prompting").warning(
                "the examples have no vectors yet", function=self.name, error=type(error).__name__
            )
        await super().started()

    async def run(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, input: str = "", k: int | None = None, examples: Iterable[ExampleLike] | None = None
    ) -> dict[str, Any]:
        """Return the examples that are the most like `input`.

        Args:
            input: what a user says; empty finds nothing.
            k: how many to find at most, if not as many as usual.
            examples: to choose from, from now on.
        """
        if examples is not None:
            self._examples = as_examples(examples)
        await self._refresh()
        if not input.strip() or not self._examples:
            return {"best_examples": [], "similarities": []}
        [query] = await self._embedding.vectors([input])
        if len(query) != self._known.dimensions or self._embedding.model != self._known.model:
            self._known = StoredVectors()  # another model answers now
            await self._refresh()
        found = most_similar(
            query,
            [self._known.vectors[_key(example)] for example in self._examples],
            self._k if k is None else max(0, k),
            threshold=self._threshold,
            diversity=self._diversity,
        )
        return {
            "best_examples": [self._examples[index] for index, _ in found],
            "similarities": [round(likeness, 4) for _, likeness in found],
        }

    async def _refresh(self) -> None:
        """Make the vectors that are missing, and let go of those that nobody needs."""
        wanted = {_key(example): example.user_message for example in self._examples}
        known = self._known
        missing = [key for key in wanted if key not in known.vectors]
        if not missing and len(wanted) == len(known.vectors):
            return
        rows = await self._embedding.vectors([wanted[key] for key in missing])
        model = self._embedding.model if rows else known.model
        kept = {key: known.vectors[key] for key in wanted if key in known.vectors}
        if kept and rows and (model != known.model or len(rows[0]) != known.dimensions):
            kept, missing = {}, list(wanted)
            rows = await self._embedding.vectors(list(wanted.values()))
        vectors: dict[str, array[float]] = {**kept, **dict(zip(missing, rows, strict=True))}
        self._known = StoredVectors(model, vectors)
        if self._path is not None:
            await anyio.to_thread.run_sync(save_vectors, self._path, self._known)


def _key(example: Example) -> str:
    return blake2b(example.user_message.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
