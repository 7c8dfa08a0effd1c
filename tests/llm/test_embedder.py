"""The Embedder: batches, cache, retries, deadlines, and what its callers get."""

from __future__ import annotations

from array import array
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from tinyllm_actors import ActorSystem, Backoff, errors
from tinyllm_actors.llm import (
    Budget,
    Embedder,
    EmbeddingModel,
    Embeddings,
    Limits,
    ModelInfo,
    Price,
    Usage,
)
from tinyllm_actors.testing import HashEmbeddings
from tinyllm_actors.testing.embeddings import hash_vector

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinyllm_actors.function import FunctionRef

pytestmark = pytest.mark.anyio

NOW = Backoff(0.0, 0.0, jitter=0.0)


class Model(EmbeddingModel):
    """Calls `play` for each batch; counts how many are under way."""

    name = "test/model"

    def __init__(self, play: Callable[[int, list[str]], Any] | None = None) -> None:
        self.play = play
        self.calls: list[list[str]] = []
        self.running = self.most = self.opened = self.closed = 0
        self.lost = anyio.Event()

    async def open(self) -> None:
        self.opened += 1

    async def aclose(self) -> None:
        self.closed += 1

    async def wait_failed(self) -> None:
        await self.lost.wait()
        self.lost = anyio.Event()
        raise errors.ModelUnavailable("its server died")

    async def embed_batch(self, texts: list[str]) -> Embeddings:
        self.calls.append(texts)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
            made: Any = self.play(len(self.calls), texts) if self.play is not None else None
            if isinstance(made, Exception):
                raise made
            if made == "hang":
                await anyio.sleep_forever()
            vectors: list[Any] = [hash_vector(text) for text in texts] if made is None else list(made)
            return Embeddings(vectors, self.name, Usage(prompt_tokens=len(texts), total_tokens=len(texts), cost=0.5))
        finally:
            self.running -= 1


async def embedder(system: ActorSystem, model: EmbeddingModel | str, **options: Any) -> FunctionRef:
    """Spawn an Embedder that waits for nothing between retries."""
    arguments: Any = {"backoff": NOW} | options
    return await system.spawn(Embedder, model, **arguments)


async def test_texts_become_vectors_in_order_in_batches() -> None:
    """Batches are as large as they may be, some run at once, and the rows stand in the order of the texts."""
    model = Model()
    texts = [f"text {number}" for number in range(10)]
    async with ActorSystem("test") as system:
        ref = await embedder(system, model, max_batch=2, max_concurrency=3)
        result: Any = await ref(texts=texts)
    embeddings = result["output"]["embeddings"]
    assert embeddings.vectors == [hash_vector(text) for text in texts]
    assert [len(call) for call in model.calls] == [2] * 5
    assert model.most == 3
    assert embeddings.usage == Usage(prompt_tokens=10, total_tokens=10, cost=2.5)
    assert embeddings.model == "test/model"
    assert (model.opened, model.closed) == (1, 1)


async def test_the_models_own_bound_holds_too() -> None:
    """A batch is never larger than the model allows."""
    model = HashEmbeddings()
    model.max_batch = 3
    async with ActorSystem("test") as system:
        await (await embedder(system, model))(texts=[str(number) for number in range(7)])
    assert sorted(len(call) for call in model.calls) == [1, 3, 3]


async def test_what_is_known_is_not_asked_again() -> None:
    """A text that occurs twice is sent once, one that came before not at all, and no caller can spoil a vector."""
    model = Model()
    async with ActorSystem("test") as system:
        ref = await embedder(system, model)
        first: Any = await ref(texts=["one", "two", "one"])
        rows = first["output"]["embeddings"].vectors
        rows[0][0] = 99.0
        assert rows[2] == hash_vector("one")
        second: Any = await ref(texts=["two", "one", "three"])
    assert model.calls == [["one", "two"], ["three"]]
    again = second["output"]["embeddings"]
    assert again.vectors == [hash_vector("two"), hash_vector("one"), hash_vector("three")]
    assert again.usage.prompt_tokens == 1


async def test_the_cache_is_bounded_and_can_be_off() -> None:
    """With no memory nothing is kept; with little, the least recently used goes."""
    for cache_bytes, calls in ((0, 3), (320, 3), (10_000, 2)):
        model = Model()
        async with ActorSystem("test") as system:
            ref = await embedder(system, model, cache_bytes=cache_bytes)
            for text in ("one", "two", "one"):
                await ref(texts=[text])
        assert len(model.calls) == calls, cache_bytes


async def test_nothing_to_embed_is_no_call() -> None:
    """No text gives no vector, and no usage."""
    model = Model()
    async with ActorSystem("test") as system:
        result: Any = await (await embedder(system, model))(texts=[])
    assert result["output"]["embeddings"] == Embeddings([], "test/model", None)
    assert model.calls == []


@pytest.mark.parametrize(
    ("texts", "type_", "says"),
    [
        (["fine", "x" * 11], "ContextWindowExceeded", "texts[1] has 11 characters, more than max_text_characters=10"),
        (["fine", ""], "RequestRejected", "texts[1] of 2 is empty"),
        ("fine", "TypeError", "not one text"),
        ([b"fine"], "TypeError", "texts[0] must be a str"),
    ],
)
async def test_what_cannot_be_embedded_is_an_error_before_anything_is_sent(texts: Any, type_: str, says: str) -> None:
    """A text that is too long or empty, and what is none, is named; nothing is sent."""
    model = Model()
    async with ActorSystem("test") as system:
        result: Any = await (await embedder(system, model, max_text_characters=10))(texts=texts)
    assert result["error"]["type"] == type_
    assert says in result["message"]
    assert model.calls == []


async def test_a_failure_that_may_pass_is_tried_again() -> None:
    """Only the batch that failed is sent again, until it succeeds."""
    model = Model(lambda number, _: errors.RateLimited("429", retry_after=0.0) if number == 1 else None)
    async with ActorSystem("test") as system:
        result: Any = await (await embedder(system, model, max_batch=1, max_concurrency=1))(texts=["one", "two"])
    assert result["status"] == "success"
    assert model.calls == [["one"], ["one"], ["two"]]


@pytest.mark.parametrize(
    ("error", "calls"),
    [(errors.AuthenticationFailed("401"), 1), (errors.Overloaded("500"), 3), (ValueError("a bug"), 1)],
)
async def test_a_failure_for_good_is_the_calls(error: Exception, calls: int) -> None:
    """What will not pass is not tried again, what may is tried `max_retries` times; the Function lives on."""
    model = Model(lambda number, _: error if number <= calls else None)
    async with ActorSystem("test") as system:
        ref = await embedder(system, model, max_retries=2)
        failed: Any = await ref(texts=["one"])
        fine: Any = await ref(texts=["one"])
    assert failed["error"]["type"] == type(error).__name__
    assert fine["status"] == "success"
    assert len(model.calls) == calls + 1


async def test_the_batches_that_succeeded_are_not_paid_for_twice() -> None:
    """After a call that failed, the next one sends only what is missing."""
    model = Model(lambda number, _: errors.AuthenticationFailed("401") if number == 3 else None)
    async with ActorSystem("test") as system:
        ref = await embedder(system, model, max_batch=1, max_concurrency=1)
        failed: Any = await ref(texts=["one", "two", "three"])
        fine: Any = await ref(texts=["one", "two", "three"])
    assert failed["status"] == "error"
    assert fine["status"] == "success"
    assert model.calls[3:] == [["three"]]


@pytest.mark.virtual_time
async def test_a_wait_that_the_deadline_does_not_allow_is_not_begun() -> None:
    """A provider that asks for more patience than the caller has is a failure at once."""
    model = Model(lambda _, __: errors.RateLimited("429", retry_after=1000.0))
    async with ActorSystem("test") as system:
        ref = await embedder(system, model)
        with anyio.fail_after(30):
            result: Any = await ref.within(30)(texts=["one"])
    assert (result["error"]["type"], result["error"]["retry_after"]) == ("RateLimited", 1000.0)


@pytest.mark.virtual_time
async def test_a_silent_model_is_a_time_out() -> None:
    """A request that takes longer than it may is cancelled and said to be late."""
    model = Model(lambda _, __: "hang")
    async with ActorSystem("test") as system:
        result: Any = await (await embedder(system, model, request_timeout=0.02, max_retries=1))(texts=["one"])
    assert result["error"]["type"] == "ModelTimeout"
    assert (len(model.calls), model.running) == (2, 0)


async def test_vectors_that_cannot_be_compared_are_refused() -> None:
    """A model that changes its dimensions between two batches is a failure, not a mixture."""
    model = Model(lambda number, texts: [array("f", [1.0] * (2 + number)) for _ in texts])
    async with ActorSystem("test") as system:
        ref = await embedder(system, model)
        await ref(texts=["one"])
        result: Any = await ref(texts=["two"])
    assert result["error"]["type"] == "MalformedResponse"
    assert "have 4 dimensions now, and had 3" in result["message"]


async def test_vectors_are_given_the_length_one_on_demand() -> None:
    """`normalize` scales what the model does not promise to be of length 1; a vector of zeros stays."""
    model = Model(lambda _, __: [array("f", [3.0, 4.0]), array("f", [0.0, 0.0])])
    async with ActorSystem("test") as system:
        result: Any = await (await embedder(system, model, normalize=True))(texts=["one", "two"])
        assert result["output"]["embeddings"].vectors[0].tolist() == pytest.approx([0.6, 0.8])
        assert result["output"]["embeddings"].vectors[1].tolist() == [0.0, 0.0]


async def test_one_model_is_opened_once_for_many_and_again_when_it_is_lost() -> None:
    """Embedders share the model; when its server dies it is closed and opened again, and calls go on."""
    model = Model()
    async with ActorSystem("test") as system:
        one, two = await embedder(system, model), await embedder(system, model)
        assert model.opened == 1
        model.lost.set()
        with anyio.fail_after(30):
            while model.opened < 2:
                await anyio.lowlevel.checkpoint()
        for ref in (one, two):
            assert (await ref(texts=["one"]))["status"] == "success"
    assert model.closed == 2


async def test_a_name_finds_its_adapter() -> None:
    """A model string is resolved in the system; the options go to the adapter."""
    async with ActorSystem("test") as system:
        with pytest.raises(errors.StartFailed, match="cannot tell the provider of model 'nonsense'"):
            await system.spawn(Embedder, "nonsense")
        with pytest.raises(errors.StartFailed, match="max_batch must be at least 1"):
            await system.spawn(Embedder, "local", model_options={"max_batch": 0})


@pytest.mark.virtual_time
async def test_callers_of_one_model_share_its_limits() -> None:
    """Two Embedders of one model are held to its limits together, and a call too many is told so."""
    model = Model()
    limits = Limits(max_concurrency=1, requests_per_minute=6)
    async with ActorSystem("test") as system:
        refs = [await embedder(system, model, limits=limits, max_batch=1) for _ in range(2)]

        async def ask(ref: FunctionRef, name: str) -> None:
            assert (await ref(texts=[f"{name} {number}" for number in range(3)]))["status"] == "success"

        async with anyio.create_task_group() as tasks:
            for ref, name in zip(refs, "ab", strict=True):
                tasks.start_soon(ask, ref, name)
        assert (model.most, len(model.calls)) == (1, 6)
        result: Any = await refs[0].within(5)(texts=["one more"])
        budget = Budget(max_tokens=100)
        with budget.active():
            unsent: Any = await refs[1].within(5)(texts=["another"])
    for refused in (result, unsent):
        assert refused["error"]["type"] == "ProviderBusy"
    assert len(model.calls) == 6
    assert (budget.used.tokens, budget.reserved.tokens) == (0, 0)


async def test_after_a_429_all_callers_wait_once() -> None:
    """While the provider asks for patience nobody else calls it; then all do."""
    clock: list[float] = []

    def play(number: int, _: list[str]) -> Any:
        clock.append(anyio.current_time())
        return errors.RateLimited("429", retry_after=0.05) if number == 1 else None

    model = Model(play)
    async with ActorSystem("test") as system:
        refs = [await embedder(system, model, max_retries=1) for _ in range(2)]
        async with anyio.create_task_group() as tasks:

            async def first() -> None:
                assert (await refs[0](texts=["one"]))["status"] == "success"

            tasks.start_soon(first)
            while not clock:
                await anyio.lowlevel.checkpoint()
            for _ in range(5):
                await anyio.lowlevel.checkpoint()
            assert (await refs[1](texts=["two"]))["status"] == "success"
    assert len(clock) == 3
    assert min(clock[1:]) - clock[0] >= 0.05 - 1e-6  # the clock counts in binary fractions


async def test_embeddings_count_in_the_budget() -> None:
    """What is sent is reserved before and booked after; what does not fit is not sent, what failed is not paid."""
    model = Model(lambda number, _: errors.AuthenticationFailed("401") if number == 1 else None)
    with Budget(max_tokens=1_000).active() as budget:
        async with ActorSystem("test") as system:
            ref = await embedder(system, model)
            await ref(texts=["one"])
            assert (budget.used.tokens, budget.reserved.tokens) == (0, 0)
            await ref(texts=["two", "three"])
            assert (budget.used.tokens, budget.used.usd) == (2, 0.5)
            result: Any = await ref(texts=["four " * 2_000])
    assert result["error"]["type"] == "BudgetExceeded"
    assert budget.reserved.tokens == 0
    assert model.calls == [["one"], ["two", "three"]]


async def test_a_budget_in_dollars_needs_a_price() -> None:
    """Without a price nothing is sent; the user's own is taken."""
    for known, status in (({}, "error"), ({"test/model": ModelInfo(price=Price(1.0, 0.0))}, "success")):
        async with ActorSystem("test") as system:
            ref = await embedder(system, Model(), budget=Budget(max_usd=1.0), known_models=known)
            result: Any = await ref(texts=["one"])
        assert result["status"] == status
        assert status == "success" or result["error"]["type"] == "UnknownPrice"


async def test_a_call_that_its_caller_left_frees_what_it_held() -> None:
    """Cancelled in the middle of a request, it leaves no reservation, and the next call goes through."""
    model = Model(lambda number, _: "hang" if number == 1 else None)
    budget = Budget(max_tokens=100)
    async with ActorSystem("test") as system:
        ref = await embedder(system, model, budget=budget, limits=Limits(max_concurrency=1))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(ref, texts=["one"]))
            while not model.running:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(30):
            assert (await ref(texts=["two"]))["status"] == "success"
    assert (model.running, budget.reserved.tokens) == (0, 0)


@pytest.mark.parametrize(
    "options",
    [
        {"max_batch": 0},
        {"max_batch_characters": 0},
        {"max_text_characters": 0},
        {"max_concurrency": 0},
        {"cache_bytes": -1},
        {"max_retries": -1},
        {"request_timeout": 0},
    ],
)
async def test_a_number_out_of_range_is_named(options: dict[str, Any]) -> None:
    """A bound that bounds nothing is refused when it is written."""
    with pytest.raises(ValueError, match=next(iter(options))):
        Embedder(HashEmbeddings(), **options)
