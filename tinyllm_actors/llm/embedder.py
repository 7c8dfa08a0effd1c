"""The Function that calls an embedding model: batches, a cache, retries and time-outs around the port."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from tinyllm_actors.errors import ContextWindowExceeded, MalformedResponse
from tinyllm_actors.function import Function
from tinyllm_actors.kernel import Backoff
from tinyllm_actors.llm.batching import batches
from tinyllm_actors.llm.budget import active_budgets, chain
from tinyllm_actors.llm.embedding import Embeddings, checked_texts, unit
from tinyllm_actors.llm.embedding_attempts import BatchSetup, embed_with_retries
from tinyllm_actors.llm.embedding_provider import lease_embeddings, open_embedding_provider
from tinyllm_actors.llm.model import Usage
from tinyllm_actors.llm.model_info import find_model
from tinyllm_actors.llm.observed import observe_embeddings
from tinyllm_actors.llm.vector_cache import VectorCache

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from tinyllm_actors.kernel import ActorRef
    from tinyllm_actors.llm.budget import Budget
    from tinyllm_actors.llm.embedding import EmbeddingModel, Vector
    from tinyllm_actors.llm.embedding_cache import EmbeddingCache
    from tinyllm_actors.llm.embedding_provider import EmbeddingLease
    from tinyllm_actors.llm.limits import Limits
    from tinyllm_actors.llm.model_info import ModelInfo
    from tinyllm_actors.llm.price import Price

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
        cache: where vectors are kept that shall outlive the process, such as a `SQLiteEmbeddingCache`, open; several
            embedders may share it. A model is known by its name and its dimensions.
        normalize: give each vector the length 1.
        limits: what all callers of this model may do together; see `Limits`. After a 429 all of them wait, once.
        budget: what its calls may use, in addition to the budgets that are active where it is called.
        known_models: prices of models that the library does not know, or knows differently, by name.
        request_timeout: seconds that one request may take.
        max_retries: how often a request is tried again.
        backoff: how long to wait before each retry, unless the provider says.
        **options: of `Function`.

    Raises:
        ValueError: a number is out of range.
    """

    observation_kind = "embedding"

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
        cache: EmbeddingCache | None = None,
        normalize: bool = False,
        limits: Limits | None = None,
        budget: Budget | None = None,
        known_models: Mapping[str, ModelInfo] | None = None,
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
        self._limits = limits
        self._budget = budget
        self._known_models = known_models
        self._request_timeout = request_timeout
        self._max_retries = max_retries
        self._backoff = backoff or Backoff(0.5, 30.0, jitter=0.25)
        self._cache = VectorCache(cache_bytes)
        self._kept = cache
        self._dimensions: int | None = None
        self._provider: ActorRef | None = None

    async def started(self) -> None:
        """Find the model's provider, and open the model if nobody has."""
        self._provider = await open_embedding_provider(
            self.context.system, self._model, self._model_options, self._limits
        )
        await self._lease()
        await super().started()

    async def _lease(self) -> EmbeddingLease:
        assert self._provider is not None
        return await lease_embeddings(self._provider)

    async def run(self, texts: Sequence[str]) -> dict[str, Embeddings]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return one vector for each text."""
        model, _ = await self._lease()
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
        if wanted and self._kept is not None:

            async def fetch(texts: list[str]) -> None:
                await self._fetch(texts, model, vectors, usages, names)

            kept = await self._kept.fill(self._space(model), wanted, fetch)
            for text, vector in kept.items():
                vectors[text] = vector
                self._cache.put(text, vector)
            if len({len(vector) for vector in vectors.values()}) > 1:
                raise MalformedResponse(
                    f"{model.name}: the cache has vectors of other dimensions than the model gives now; they cannot be"
                    " compared, so take another cache",
                    retryable=False,
                    model=model.name,
                )
        elif wanted:
            await self._fetch(wanted, model, vectors, usages, names)
        # A text that occurs twice has two vectors: what a caller does to one must not change the other.
        rows = [vectors[text][:] for text in asked]
        embeddings = Embeddings(rows, names[-1], _total(usages))
        observe_embeddings(embeddings)
        return {"embeddings": embeddings}

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
        model: EmbeddingModel,
        vectors: dict[str, Vector],
        usages: list[Usage | None],
        names: list[str],
    ) -> None:
        """Embed `texts` into `vectors`, in batches, of which some are under way at once.

        Raises:
            ModelError: a batch failed for good; the first that did. What the others brought is in the cache.
        """
        failures: list[Exception] = []
        max_batch = min(self._max_batch, model.max_batch)
        setup = await self._setup(model)
        work = batches(texts, max_texts=max_batch, max_characters=self._max_batch_characters)

        async def lane(work: Iterator[list[str]]) -> None:
            for batch in work:
                try:
                    answer = await self._embed(batch, setup)
                except Exception as error:
                    failures.append(error)
                    tasks.cancel_scope.cancel()
                    return
                for text, vector in zip(batch, answer.vectors, strict=True):
                    vectors[text] = vector
                    self._cache.put(text, vector)
                if self._kept is not None:
                    await self._kept.put(self._space(model), dict(zip(batch, answer.vectors, strict=True)))
                usages.append(answer.usage)
                names.append(answer.model)

        async with anyio.create_task_group() as tasks:
            for _ in range(min(self._max_concurrency, len(texts))):
                tasks.start_soon(lane, work)
        if failures:
            raise failures[0]

    def _space(self, model: EmbeddingModel) -> str:
        return f"{model.name} {model.dimensions or ''}{' unit' if self._normalize else ''}"

    async def _embed(self, batch: list[str], setup: BatchSetup) -> Embeddings:
        answer = await embed_with_retries(batch, setup)
        if self._dimensions not in (None, answer.dimensions):
            raise MalformedResponse(
                f"{answer.model}: the vectors have {answer.dimensions} dimensions now, and had {self._dimensions} "
                "before; they cannot be compared",
                retryable=False,
                model=answer.model,
            )
        self._dimensions = answer.dimensions
        if self._normalize:
            return Embeddings([unit(vector) for vector in answer.vectors], answer.model, answer.usage)
        return answer

    async def _setup(self, model: EmbeddingModel) -> BatchSetup:
        active = active_budgets()
        budgets = chain(self._budget, *active) if active or self._budget is not None else ()
        price: Price | None = None
        if any(budget.limits_usd for budget in budgets):
            # In a thread, as it may read litellm's table.
            price = (await anyio.to_thread.run_sync(find_model, model.name, self._known_models)).price
        return BatchSetup(
            context=self.context,
            lease=self._lease,
            budgets=budgets,
            price=price,
            request_timeout=self._request_timeout,
            max_retries=self._max_retries,
            backoff=self._backoff,
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
