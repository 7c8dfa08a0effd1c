"""Model calls under budgets: what is reserved, refused, waited for, degraded, asked and told."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors import Actor, ActorSystem, Agent
from tinyllm_actors.errors import ModelError, RateLimited
from tinyllm_actors.function import unwrap
from tinyllm_actors.llm import (
    LLM,
    Budget,
    BudgetNotice,
    ChatRequest,
    Limits,
    ModelInfo,
    Price,
    TextDelta,
    Usage,
    UserMessage,
)
from tinyllm_actors.testing import ScriptedModel, fail, hang, text, tool_call

if TYPE_CHECKING:
    from tinyllm_actors.errors import BudgetExceeded
    from tinyllm_actors.function import FunctionRef

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

KNOWN = {"scripted": ModelInfo(price=Price(1.0, 2.0)), "cheap": ModelInfo(price=Price(0.1, 0.2))}
USED = Usage(100, 50, 150)


def ask_for(content: str = "hello", **options: Any) -> ChatRequest:
    """Return a request with these options."""
    return ChatRequest(messages=[UserMessage(content)], options=options)


async def ask(llm: FunctionRef, **options: Any) -> Any:
    """Call a model."""
    return await llm(request=ask_for(**options))


async def test_a_call_is_settled_with_what_it_used() -> None:
    """After an answer the budget holds the provider's figures, and their price."""
    budget = Budget(max_tokens=10_000, max_usd=1.0)
    model = ScriptedModel([text("hi", usage=USED)])
    async with ActorSystem("t") as system:
        llm = await system.spawn(LLM.spec(model, budget=budget, known_models=KNOWN))
        unwrap(await ask(llm))
    assert (budget.used.tokens, budget.used.usd, budget.used.calls) == (150, 0.0002, 1)
    assert budget.reserved.tokens == 0


async def test_an_answer_without_figures_is_estimated() -> None:
    """A provider that says nothing of tokens is not taken for free."""
    budget = Budget(max_usd=1.0)
    model = ScriptedModel([text("x" * 300), tool_call("look_up", word="y" * 300)])
    async with ActorSystem("t") as system:
        llm = await system.spawn(LLM.spec(model, budget=budget, known_models=KNOWN))
        unwrap(await ask(llm))
        first = budget.used.tokens
        unwrap(await ask(llm))
    assert 100 < first < 130
    assert 100 < budget.used.tokens - first < 150


async def test_an_answer_is_held_to_its_reservation() -> None:
    """A request without `max_tokens` gets one that fits the budget; one of the user's own is kept."""
    budget = Budget(max_tokens=500)
    model = ScriptedModel([text("hi", usage=USED), text("hi", usage=USED)])
    async with ActorSystem("t") as system:
        llm = await system.spawn(LLM.spec(model, budget=budget))
        unwrap(await ask(llm))
        unwrap(await ask(llm, max_tokens=7))
    assert 400 < model.requests[0].options["max_tokens"] < 500
    assert model.requests[1].options == {"max_tokens": 7}


async def test_only_calls_are_limited() -> None:
    """A budget of calls alone puts no limit on answers."""
    model = ScriptedModel([text("hi")])
    async with ActorSystem("t") as system:
        llm = await system.spawn(LLM.spec(model, budget=Budget(max_calls=1)))
        unwrap(await ask(llm))
    assert model.requests[0].options == {}


async def test_a_refusal_is_an_answer_with_its_reason() -> None:
    """A call that does not fit is an error dictionary of type `BudgetExceeded`; the model is not asked."""
    budget = Budget(max_calls=1, name="tiny")
    async with ActorSystem("t") as system:
        llm = await system.spawn(LLM.spec(ScriptedModel([text("hi")]), budget=budget))
        unwrap(await ask(llm))
        result = await ask(llm)
    assert result["error"]["type"] == "BudgetExceeded"
    assert "'tiny' has max_calls=1, of which 1 are used" in result["message"]


async def test_a_budget_reaches_nested_actors() -> None:
    """What an actor asks for while it works under a budget is counted there, however deep."""

    class Relay(Actor):
        def __init__(self, target: FunctionRef) -> None:
            self.target = target

        async def receive(self, message: object) -> Any:
            return await self.target(content="hi")

    budget = Budget(max_calls=2)
    model = ScriptedModel([text("a", usage=USED), text("b", usage=USED)])
    async with ActorSystem("t") as system:
        agent = await system.spawn(Agent.spec(model=model), name="agent")
        outer = await system.spawn(Relay.spec(agent))
        relay = await system.spawn(Relay.spec(agent))
        with budget.active(), Budget(name="inner").active() as inner:
            unwrap(await outer.ask("go"))
            unwrap(await relay.ask("go"))
            refused = await relay.ask("go")
    assert refused["error"]["type"] == "BudgetExceeded"
    assert budget.used.tokens == inner.used.tokens == 300


async def test_a_failed_call_costs_what_is_known() -> None:
    """A request that the provider refused costs no tokens, one that broke off costs its prompt and what had come."""
    budget = Budget(max_tokens=100_000)
    model = ScriptedModel(
        [fail(RateLimited("slow down", retryable=False)), fail(ModelError("broken"), after="x" * 300)]
    )
    async with ActorSystem("t") as system:
        llm = await system.spawn(LLM.spec(model, budget=budget))
        await ask(llm)
        assert (budget.used.tokens, budget.used.calls) == (0, 1)
        async with llm.stream(request=ask_for()) as events:
            seen = [event async for event in events]
        assert seen[-1]["status"] == "error"
    assert 100 < budget.used.tokens < 130
    assert budget.used.calls == 2
    assert budget.reserved.tokens == 0


async def test_a_call_that_is_not_sent_costs_nothing() -> None:
    """What was reserved for a call that had no turn at its provider is free again, and no call is counted."""
    budget = Budget(max_tokens=100_000)
    model = ScriptedModel([text("hi", usage=USED)])
    async with ActorSystem("t") as system:
        llm = await system.spawn(LLM.spec(model, budget=budget, limits=Limits(requests_per_minute=1)))
        unwrap(await ask(llm))
        result = await ask(llm.within(5.0))
    assert result["error"]["type"] == "ProviderBusy"
    assert (budget.used.calls, budget.used.tokens, budget.reserved.tokens) == (1, 150, 0)


async def test_each_retry_is_a_call_of_its_own() -> None:
    """Retries reserve and count one by one, so that a budget of calls bounds them too."""
    budget = Budget(max_calls=2)
    model = ScriptedModel([fail(RateLimited("slow down")), fail(RateLimited("slow down"))])
    async with ActorSystem("t") as system:
        llm = await system.spawn(LLM.spec(model, budget=budget))
        result = await ask(llm)
    assert result["error"]["type"] == "BudgetExceeded"
    assert budget.used.calls == 2


async def test_a_cancelled_call_is_settled() -> None:
    """Leaving a stream in the middle books the prompt and what had come, and frees the rest."""
    budget = Budget(max_tokens=100_000)
    model = ScriptedModel([text("x" * 3000, usage=USED), hang()])
    async with ActorSystem("t") as system:
        llm = await system.spawn(LLM.spec(model, budget=budget))
        async with llm.stream(request=ask_for(), buffer=1) as events:
            async for event in events:
                assert isinstance(event, TextDelta)
                break
        with anyio.move_on_after(1.0):
            await ask(llm)
    assert budget.reserved.tokens == 0
    assert budget.used.calls == 2
    assert 0 < budget.used.tokens < 1000


async def test_a_call_waits_for_room_that_others_free() -> None:
    """What fits once a call in progress has used less than it reserved waits for that, and then goes on."""
    budget = Budget(max_tokens=1000)
    go_on = anyio.Event()

    class Slow(ScriptedModel):
        async def complete(self, request: ChatRequest) -> Any:
            await go_on.wait()
            return await super().complete(request)

    slow = Slow([text("a", usage=USED)], name="slow")
    fast = ScriptedModel([text("b", usage=USED)], name="fast")
    done: list[str] = []
    async with ActorSystem("t") as system, anyio.create_task_group() as tasks:
        first = await system.spawn(LLM.spec(slow, budget=budget))
        second = await system.spawn(LLM.spec(fast, budget=budget))

        async def call(llm: FunctionRef, name: str) -> None:
            unwrap(await ask(llm, max_tokens=600))
            done.append(name)

        tasks.start_soon(call, first, "first")
        await anyio.sleep(1.0)
        tasks.start_soon(call, second, "second")
        await anyio.sleep(1.0)
        assert not done
        assert not fast.requests
        go_on.set()
    assert sorted(done) == ["first", "second"]
    assert budget.used.tokens == 300


async def test_waiting_for_room_has_an_end() -> None:
    """A call in progress that never ends keeps nobody waiting for longer than the idle time-out; nor does it leak."""
    budget = Budget(max_tokens=1000, name="busy")
    async with ActorSystem("t") as system, anyio.create_task_group() as tasks:
        stuck = await system.spawn(LLM.spec(ScriptedModel([hang()], name="stuck"), budget=budget))
        other = await system.spawn(LLM.spec(ScriptedModel([], name="other"), budget=budget, idle_timeout=5.0))

        async def call() -> None:
            await stuck.within(None)(request=ask_for(max_tokens=600))

        tasks.start_soon(call)
        await anyio.sleep(1.0)
        with anyio.move_on_after(2.0) as left:
            await ask(other, max_tokens=600)
        assert left.cancelled_caught
        began = anyio.current_time()
        result = await ask(other, max_tokens=600)
        assert anyio.current_time() - began == pytest.approx(5.0)
        assert result["error"]["type"] == "BudgetExceeded"
        tasks.cancel_scope.cancel()
    assert budget.reserved.tokens == 0


async def test_many_calls_at_once_never_use_more_than_there_is() -> None:
    """Twenty agents with random calls under one budget use all that fits, and not a token more."""
    dice = random.Random(7)
    budget = Budget(max_tokens=20_000, max_calls=60)
    peak = 0

    class Dicey(ScriptedModel):
        async def complete(self, request: ChatRequest) -> Any:
            nonlocal peak
            await anyio.sleep(dice.random())
            peak = max(peak, budget.used.tokens + budget.reserved.tokens)
            if dice.random() < 0.2:
                raise ModelError("no luck")
            limit = request.options["max_tokens"]
            said = dice.randrange(limit + 1)
            return await ScriptedModel([text("x", usage=Usage(10, said, 10 + said))]).complete(request)

    async with ActorSystem("t") as system, anyio.create_task_group() as tasks:
        for number in range(20):
            llm = await system.spawn(LLM.spec(Dicey([], name=f"m{number}"), budget=budget))

            async def work(llm: FunctionRef = llm) -> None:
                for _ in range(5):
                    await ask(llm, **({"max_tokens": dice.randrange(20, 900)} if dice.random() < 0.7 else {}))

            tasks.start_soon(work)
    assert peak <= 20_000
    assert budget.used.tokens <= 20_000
    assert budget.used.calls <= 60
    assert budget.used.calls == 60 or budget.used.tokens > 19_000
    assert (budget.reserved.tokens, budget.reserved.calls) == (0, 0)


async def test_a_short_budget_goes_to_the_cheaper_model() -> None:
    """From `warn_at` on, and where the asked model does not fit, the cheaper one answers; if that is too much, none."""
    cheap = ScriptedModel([text("b", usage=Usage(100, 0, 100)), text("c", usage=Usage(100, 0, 100))], name="cheap")
    budget = Budget(max_usd=0.001, on_exhausted="degrade", degrade_to=cheap, warn_at=0.5)
    model = ScriptedModel([text("a", usage=Usage(400, 100, 500, cost=0.0006))])
    async with ActorSystem("t") as system:
        llm = await system.spawn(LLM.spec(model, budget=budget, known_models=KNOWN))
        unwrap(await ask(llm))
        unwrap(await ask(llm))
        result = await ask(llm, max_tokens=10**6)
        assert result["error"]["type"] == "BudgetExceeded"
        fresh = await system.spawn(LLM.spec(model, budget=budget.child(), known_models=KNOWN))
        budget.extend(usd=0.001)
        unwrap(await ask(fresh, max_tokens=5000))  # at the price of `model` it would be too much
    assert (len(model.requests), len(cheap.requests)) == (1, 2)


async def test_somebody_may_be_asked_for_more() -> None:
    """A yes with an extension lets the call go on; the question holds the reason; a no stops it."""
    questions: list[BudgetExceeded] = []

    async def decide(error: BudgetExceeded) -> bool:
        questions.append(error)
        await anyio.sleep(1000.0)  # a person, who may take longer than a model
        budget.extend(calls=1)
        return len(questions) == 1

    budget = Budget(max_calls=0, on_exhausted="ask", ask=decide)
    async with ActorSystem("t", ask_timeout=None) as system:
        llm = await system.spawn(LLM.spec(ScriptedModel([text("hi")]), budget=budget, idle_timeout=10.0))
        unwrap(await ask(llm))
        result = await ask(llm)
    assert result["error"]["type"] == "BudgetExceeded"
    assert [question.limit for question in questions] == ["calls", "calls"]


async def test_a_yes_that_changes_nothing_is_asked_once() -> None:
    """Who says yes without extending the budget is not asked for ever."""
    questions: list[BudgetExceeded] = []
    budget = Budget(max_calls=0, on_exhausted="ask", ask=lambda error: not questions.append(error))
    async with ActorSystem("t") as system:
        llm = await system.spawn(LLM.spec(ScriptedModel([]), budget=budget))
        result = await ask(llm)
    assert result["error"]["type"] == "BudgetExceeded"
    assert len(questions) == 1


@pytest.mark.parametrize("agrees", [True, False])
async def test_one_question_at_a_time(agrees: bool) -> None:
    """Calls that come while somebody is being asked share the answer."""
    questions = 0

    async def decide(error: BudgetExceeded) -> bool:
        nonlocal questions
        questions += 1
        await anyio.sleep(10.0)
        if agrees:
            budget.extend(calls=3)
        return agrees

    budget = Budget(max_calls=0, on_exhausted="ask", ask=decide)
    results: list[Any] = []
    async with ActorSystem("t") as system, anyio.create_task_group() as tasks:
        model = ScriptedModel([text("hi")] * (3 if agrees else 0))
        llms = [await system.spawn(LLM.spec(model, budget=budget)) for _ in range(3)]

        async def call(llm: FunctionRef) -> None:
            results.append(await ask(llm))

        for llm in llms:
            tasks.start_soon(call, llm)
    assert [result["status"] for result in results] == ["success" if agrees else "error"] * 3
    assert questions == 1


async def test_a_question_whose_asker_left_is_asked_again() -> None:
    """When the call that asked is cancelled, one of those that waited for the answer asks itself."""
    questions = 0

    async def decide(error: BudgetExceeded) -> bool:
        nonlocal questions
        questions += 1
        await anyio.sleep(10.0)
        budget.extend(calls=1)
        return True

    budget = Budget(max_calls=0, on_exhausted="ask", ask=decide)
    async with ActorSystem("t") as system, anyio.create_task_group() as tasks:
        first, second = [
            await system.spawn(LLM.spec(ScriptedModel(steps), budget=budget)) for steps in ([], [text("")])
        ]

        async def call() -> None:
            unwrap(await ask(second))

        with anyio.move_on_after(2.0):
            async with anyio.create_task_group() as inner:
                inner.start_soon(ask, first)
                await anyio.sleep(1.0)
                tasks.start_soon(call)
    assert questions == 2


async def test_warnings_are_published_and_stop_nothing() -> None:
    """A budget that only warns lets everything pass, and tells on the event stream at both thresholds."""
    budget = Budget(max_calls=2, max_usd=9.0, on_exhausted="warn", warn_at=0.5, name="soft")
    async with ActorSystem("t") as system, system.events(BudgetNotice) as notices:
        llm = await system.spawn(LLM.spec(ScriptedModel([text("hi")] * 3), budget=budget, known_models=KNOWN))
        for _ in range(3):
            unwrap(await ask(llm))
        told = [await notices.receive() for _ in range(2)]
        assert notices.receive_nowait() is None
    assert [(notice.budget, notice.limit, notice.exhausted) for notice in told] == [
        ("soft", "calls", False),
        ("soft", "calls", True),
    ]
