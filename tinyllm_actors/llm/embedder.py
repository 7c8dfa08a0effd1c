"""The Function that calls an embedding model: batches, a cache, retries and time-outs around the port."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import anyio

from tinyllm_actors.errors import ContextWindowExceeded, MalformedResponse, ModelError, ModelTimeout
from tinyllm_actors.function import Function
from tinyllm_actors.kernel import Backoff
from tinyllm_actors.llm.batching import batches
from tinyllm_actors.llm.embedding import Embeddings, checked_texts, unit
from tinyllm_actors.llm.embedding_provider import open_embedding_provider
from tinyllm_actors.llm.model import Usage
from tinyllm_actors.llm.provider import LEASE
from tinyllm_actors.llm.vector_cache import VectorCache

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tinyllm_actors.kernel import ActorRef
    from tinyllm_actors.llm.embedding import EmbeddingModel, Vector

__all__ = ["Embedder"]


class Embedder(Function):
    """Answers texts with `{"embeddings": Embeddings}`: one vector for each, in their order.

    What was embedded before comes from memory, a text that occurs twice is sent once, and the others go out in batches,
    some at once. A batch that fails in a way that may pass is tried again, after the provider's `Retry-After` or a
    growing wait, as long as the deadline allows. When a call fails for good, the batches that succeeded are kept, so
    that the next try does not pay for them again. `usage` counts what was sent in this call.

    ```python
    >>> import anyio
    >>> from array import array
    >>> from tinyllm_actors import ActorSystem
    >>> from tinyllm_actors.llm import Embedder, EmbeddingModel, Embeddings
    >>> class Lengths(EmbeddingModel):
    ...     name = "lengths"
    ...     async def embed_batch(self, texts):
    ...         return Embeddings([array("f", [len(text)]) for text in texts], self.name)
    >>> async def main() -> None:
    ...     async with ActorSystem("service") as system:
    ...         embedder = await system.spawn(Embedder, Lengths())
    ...         result = await embedder(texts=["one", "three"])
    ...         print(result["output"]["embeddings"].vectors)
    >>> anyio.run(main)
    [array('f', [3.0]), array('f', [5.0])]

    ```

    Args:
        model: a model, or a name such as `"local"` or `"openai/text-embedding-3-small"`.
        model_options: for the adapter (`api_key`, `api_base`, `dimensions` …), if `model` is a name.
        max_batch: texts in one request; the model's own bound holds too. If in doubt, leave it.
        max_batch_characters: characters in one request, unless a single text has more.
        max_text_characters: a longer text is refused before anything is sent; split it first.
        max_concurrency: requests under way at once for one call.
        cache_bytes: memory for vectors of texts that may come again, in bytes; 0 keeps none. One of 1,536 dimensions
            takes 6.4 KB.
        normalize: give each vector the length 1, where the model does not promise it.
        request_timeout: seconds that one request may take.
        max_retries: how often a request is tried again.
        backoff: how long to wait before each retry, unless the provider says.
        **options: of `Function`.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        model: str | EmbeddingModel,
        *,
        model_options: Mapping[str, Any] | None = None,
        max_batch: int = 128,
        max_batch_characters: int = 200_000,
        max_text_characters: int = 100_000,
        max_concurrency: int = 4,
        cache_bytes: int = 64 * 1024 * 1024,
        normalize: bool = False,
        request_timeout: float = 60.0,
        max_retries: int = 3,
        backoff: Backoff | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        counts = {
            "max_batch": max_batch,
            "max_batch_characters": max_batch_characters,
            "max_text_characters": max_text_characters,
            "max_concurrency": max_concurrency,
        }
        for name, count in counts.items():
            if count < 1:
                raise ValueError(f"{name} must be at least 1, not {count!r}")
        if cache_bytes < 0 or max_retries < 0 or not request_timeout > 0:
            raise ValueError(
                "need cache_bytes >= 0, max_retries >= 0 and request_timeout > 0, got "
                f"{cache_bytes!r}, {max_retries!r} and {request_timeout!r}"
            )
        self._model = model
        self._model_options = model_options
        self._max_batch = max_batch
        self._max_batch_characters = max_batch_characters
        self._max_text_characters = max_text_characters
        self._max_concurrency = max_concurrency
        self._normalize = normalize
        self._request_timeout = request_timeout
        self._max_retries = max_retries
        self._backoff = backoff or Backoff(0.5, 30.0, jitter=0.25)
        self._cache = VectorCache(cache_bytes)
        self._dimensions: int | None = None
        self._provider: ActorRef | None = None

    async def started(self) -> None:
        """Find the model's provider, and open the model if nobody has."""
        self._provider = await open_embedding_provider(self.context.system, self._model, self._model_options)
        await self._lease()
        await super().started()

    async def _lease(self) -> EmbeddingModel:
        assert self._provider is not None
        return await self._provider.ask(LEASE)

    async def run(self, texts: Sequence[str]) -> dict[str, Embeddings]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return one vector for each text."""
        model = await self._lease()
        asked = self._checked(texts, model)
        vectors: dict[str, Vector] = {}
        wanted: list[str] = []
        for text in dict.fromkeys(asked):
            if (known := self._cache.get(text)) is None:
                wanted.append(text)
            else:
                vectors[text] = known
        usages: list[Usage | None] = []
        names: list[str] = [model.name]
        await self._fetch(wanted, min(self._max_batch, model.max_batch), vectors, usages, names)
        # A text that occurs twice has two vectors: what a caller does to one must not change the other.
        rows = [vectors[text][:] for text in asked]
        return {"embeddings": Embeddings(rows, names[-1], _total(usages))}

    def _checked(self, texts: Sequence[str], model: EmbeddingModel) -> list[str]:
        asked = checked_texts(texts, model.name, limit=None)
        for place, text in enumerate(asked):
            if len(text) > self._max_text_characters:
                raise ContextWindowExceeded(
                    f"{model.name}: texts[{place}] has {len(text)} characters, more than "
                    f"max_text_characters={self._max_text_characters}; split it",
                    model=model.name,
                )
        return asked

    async def _fetch(
        self,
        texts: list[str],
        max_batch: int,
        vectors: dict[str, Vector],
        usages: list[Usage | None],
        names: list[str],
    ) -> None:
        """Embed `texts` into `vectors`, in batches, of which some are under way at once.

        Raises:
            ModelError: a batch failed for good; the first that did. What the others brought is in the cache.
        """
        failures: list[Exception] = []
        work = batches(texts, max_texts=max_batch, max_characters=self._max_batch_characters)

        async def lane(work: Iterator[list[str]]) -> None:
            for batch in work:
                try:
                    answer = await self._with_retries(batch)
                except Exception as error:
                    failures.append(error)
                    tasks.cancel_scope.cancel()
                    return
                self._dimensions = answer.dimensions
                for text, vector in zip(batch, answer.vectors, strict=True):
                    vectors[text] = vector
                    self._cache.put(text, vector)
                usages.append(answer.usage)
                names.append(answer.model)

        async with anyio.create_task_group() as tasks:
            for _ in range(min(self._max_concurrency, -(-len(texts) // max_batch) or 1)):
                tasks.start_soon(lane, work)
        if failures:
            raise failures[0]

    async def _with_retries(self, batch: list[str]) -> Embeddings:
        attempt = 0
        while True:
            model = await self._lease()
            try:
                answer = await self._once(model, batch)
            except ModelError as error:
                if not error.retryable or attempt >= self._max_retries:
                    raise
                delay = max(self._backoff.delay(attempt, random.random()), error.retry_after or 0.0)
                if delay >= self.context.remaining():
                    raise
            else:
                if self._normalize and not model.unit_length:
                    return Embeddings([unit(vector) for vector in answer.vectors], answer.model, answer.usage)
                return answer
            attempt += 1
            await anyio.sleep(delay)

    async def _once(self, model: EmbeddingModel, batch: list[str]) -> Embeddings:
        remaining = self.context.remaining()
        # A little before the caller's deadline, so that the caller still hears what was the matter.
        patience = min(self._request_timeout, remaining - min(0.5, remaining * 0.1))
        with anyio.move_on_after(patience):
            answer = await model.embed(batch)
            if self._dimensions not in (None, answer.dimensions):
                raise MalformedResponse(
                    f"{model.name}: the vectors have {answer.dimensions} dimensions now, and had {self._dimensions} "
                    "before; they cannot be compared",
                    retryable=False,
                    model=model.name,
                )
            return answer
        raise ModelTimeout(
            f"{model.name}: no vectors within {patience:.3g} s; raise request_timeout, or lower max_batch",
            model=model.name,
        )


def _total(usages: list[Usage | None]) -> Usage | None:
    """Return the sum of what was said; a cost that one did not say is not known for all."""
    known = [usage for usage in usages if usage is not None]
    if not known:
        return None
    costs = [usage.cost for usage in known]
    return Usage(
        prompt_tokens=sum(usage.prompt_tokens for usage in known),
        total_tokens=sum(usage.total_tokens for usage in known),
        cost=None if len(known) < len(usages) or None in costs else sum(cost for cost in costs if cost is not None),
    )
