"""Vectors that outlive the Embedder: who asks the model, and what happens when they cannot be kept."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from structlog.testing import capture_logs

from tinyllm_actors import ActorSystem
from tinyllm_actors.errors import StoreUnavailable
from tinyllm_actors.llm import Embedder, EmbeddingCache
from tinyllm_actors.testing import HashEmbeddings
from tinyllm_actors.testing.embeddings import hash_vector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tinyllm_actors.llm import Vector

pytestmark = pytest.mark.anyio


class Cache(EmbeddingCache):
    """Keeps vectors, or fails."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, bytes], Vector] = {}
        self.broken = False

    async def load(self, space: str, keys: Sequence[bytes]) -> dict[bytes, Vector]:
        self._check()
        return {key: self.kept[space, key][:] for key in keys if (space, key) in self.kept}

    async def save(self, space: str, vectors: Mapping[bytes, Vector]) -> None:
        self._check()
        self.kept |= {(space, key): vector for key, vector in vectors.items()}

    def _check(self) -> None:
        if self.broken:
            raise StoreUnavailable("the disk is full")


async def embed(cache: EmbeddingCache, model: Any, texts: list[str], **options: Any) -> Any:
    """Return what a new Embedder answers."""
    async with ActorSystem("test") as system:
        embedder = await system.spawn(Embedder.spec(model, cache=cache, **options))
        return await embedder(texts=texts)


async def test_another_embedder_knows_what_one_asked_for() -> None:
    """Only new texts are sent, the order stays, and `usage` counts what was sent."""
    cache, model = Cache(), HashEmbeddings()
    await embed(cache, model, ["one", "two"])
    result = await embed(cache, model, ["three", "two", "one", "two"])
    assert model.calls == [["one", "two"], ["three"]]
    assert result["output"]["embeddings"].vectors == [hash_vector(text, 64) for text in ("three", "two", "one", "two")]
    known = (await embed(cache, model, ["one"]))["output"]["embeddings"]
    assert (known.usage, known.model) == (None, model.name)


async def test_models_lengths_and_dimensions_are_apart() -> None:
    """Vectors of another model, of other dimensions or of length one are not taken for those that are asked for."""
    cache = Cache()
    models = [HashEmbeddings() for _ in range(3)]
    models[1].name = "other"
    models[2].dimensions = 7
    for model in models:
        await embed(cache, model, ["one"])
    await embed(cache, models[0], ["one"], normalize=True)
    assert [len(model.calls) for model in models] == [2, 1, 1]


async def test_of_two_embedders_one_asks() -> None:
    """A text that is being fetched is waited for; the texts that only one wants are asked for at once."""
    cache = Cache()
    asked: list[list[str]] = []
    started, go = anyio.Event(), anyio.Event()

    async def fetch(texts: list[str]) -> None:
        asked.append(texts)
        started.set()
        await go.wait()
        await cache.put("m", {text: array("f", [len(text)]) for text in texts})

    async def second() -> None:
        await started.wait()
        found = await cache.fill("m", ["b", "cc"], fetch)
        assert found == {"b": array("f", [1.0])}
        assert await cache.fill("m", ["cc"], fetch) == {"cc": array("f", [2.0])}

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(cache.fill, "m", ["a", "b"], fetch)
        tasks.start_soon(second)
        await started.wait()
        await anyio.wait_all_tasks_blocked()
        assert asked == [["a", "b"], ["cc"]]
        go.set()
    assert asked == [["a", "b"], ["cc"]]


@pytest.mark.parametrize("ends", ["failed", "cancelled"])
async def test_who_waits_asks_when_the_other_one_did_not_get_it(ends: str) -> None:
    """A failure is that of the call that had it, and someone who leaves takes nobody along."""
    cache = Cache()
    started = anyio.Event()

    async def fail(texts: list[str]) -> None:
        started.set()
        await anyio.wait_all_tasks_blocked()
        if ends == "failed":
            raise ValueError("no model")
        scope.cancel()
        await anyio.sleep_forever()

    async def fetch(texts: list[str]) -> None:
        await cache.put("m", {text: array("f", [1.0]) for text in texts})
        asked.append(texts)

    async def wait() -> None:
        await started.wait()
        assert await cache.fill("m", ["a"], fetch) == {}

    asked: list[list[str]] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        with anyio.CancelScope() as scope:
            if ends == "failed":
                with pytest.raises(ValueError, match="no model"):
                    await cache.fill("m", ["a"], fail)
            else:
                await cache.fill("m", ["a"], fail)
    assert asked == [["a"]]


async def test_a_cache_that_fails_costs_requests_and_no_answers() -> None:
    """What cannot be read is asked for, what cannot be kept is told, and neither fails the call."""
    cache, model = Cache(), HashEmbeddings()
    await embed(cache, model, ["one"])
    cache.broken = True
    with capture_logs() as logs:
        result = await embed(cache, model, ["one"])
    assert result["output"]["embeddings"].vectors == [hash_vector("one", 64)]
    told = {log["event"] for log in logs if log.get("error") == "the disk is full"}
    assert told == {"known vectors could not be read", "vectors could not be kept"}
    assert len(model.calls) == 2


async def test_vectors_of_other_dimensions_are_not_mixed() -> None:
    """Where the model has changed under its name, the call fails and says why."""
    cache, model = Cache(), HashEmbeddings()
    await embed(cache, model, ["one"])
    for vector in cache.kept.values():
        vector.append(1.0)
    result = await embed(cache, model, ["one", "two"])
    assert (result["status"], "take another cache" in result["message"]) == ("error", True)
