"""An `LLM` over several models: retries, fallbacks, wider contexts, limits that are shared, and swaps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors import ActorSystem, Agent, Backoff
from tinyllm_actors.errors import (
    ActorError,
    ConfigurationError,
    ContextWindowExceeded,
    MissingCredential,
    ModelError,
    ModelTimeout,
    ModelUnavailable,
    Overloaded,
    RateLimited,
    RequestRejected,
    StartFailed,
)
from tinyllm_actors.function import unwrap
from tinyllm_actors.llm import (
    LLM,
    Breaker,
    ChatRequest,
    Limits,
    LLMRef,
    MaxTokensStrategy,
    ModelChoice,
    ModelSwitched,
    SwapModel,
    TextDelta,
    Usage,
    UserMessage,
)
from tinyllm_actors.testing import ScriptedModel, fail, hang, text

if TYPE_CHECKING:
    from tinyllm_actors.function import FunctionRef

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

REQUEST = ChatRequest(messages=[UserMessage("hello")])
BACKOFF = Backoff(1.0, 8.0, jitter=0.0)


async def said(llm: FunctionRef) -> Any:
    """Return what the model says, or the type of the error."""
    result = await llm(request=REQUEST)
    if result["status"] == "error":
        return result["error"]["type"]
    return result["output"]["completion"].message.content


def script(name: str, *steps: Any) -> ScriptedModel:
    """Return a model of that name."""
    return ScriptedModel(steps, name=name)


# --- fallbacks ------------------------------------------------------------------------------------


async def test_models_are_asked_in_their_order() -> None:
    """Each has its retries, then the next is asked, at once; the switch is published; the next call begins anew."""
    first = script("first", *[fail(Overloaded("no"))] * 2, text("I am back"))
    second = script("second", fail(RequestRejected("who?", retryable=False)))
    third = script("third", text("here"))
    async with ActorSystem("t") as system, system.events(ModelSwitched) as switches:
        spec = LLM.spec(
            first,
            fallbacks=[second, ModelChoice(third)],
            fallback_on=(Overloaded, RequestRejected),
            max_retries=1,
            backoff=BACKOFF,
        )
        llm = await system.spawn(spec, name="llm")
        began = anyio.current_time()
        assert await said(llm) == "here"
        assert anyio.current_time() - began == pytest.approx(1.0)
        assert await said(llm) == "I am back"
        told = [await switches.receive() for _ in range(2)]
    assert [(event.source, event.target, event.cause) for event in told] == [
        ("first", "second", "Overloaded"),
        ("second", "third", "RequestRejected"),
    ]
    assert str(told[0]) == "[llm] calls 'second' instead of 'first' (fallback: Overloaded)"


async def test_the_last_failure_is_the_answer() -> None:
    """When no model can answer, the failure of the last one says why."""
    first, second = script("first", fail(Overloaded("no"))), script("second", fail(ModelTimeout("hm")))
    async with ActorSystem("t") as system:
        llm = await system.spawn(LLM.spec(first, fallbacks=[second], max_retries=0))
        assert await said(llm) == "ModelTimeout"


async def test_what_every_model_would_refuse_is_not_asked_again() -> None:
    """A rejected request is the answer, whatever fallbacks there are."""
    async with ActorSystem("t") as system:
        llm = await system.spawn(LLM.spec(script("a", fail(RequestRejected("bad"))), fallbacks=[script("b")]))
        assert await said(llm) == "RequestRejected"


async def test_a_long_wait_is_not_waited_for() -> None:
    """With another model at hand, a `Retry-After` beyond `fallback_after` is no reason to wait."""
    first = script("first", fail(RateLimited("slow", retry_after=60.0)))
    async with ActorSystem("t") as system:
        llm = await system.spawn(LLM.spec(first, fallbacks=[script("second", text("hi"), text("hi"))]))
        began = anyio.current_time()
        assert await said(llm) == "hi"
        assert await said(llm) == "hi"  # the first is still on hold, and is not even asked
        assert anyio.current_time() == began
    assert len(first.requests) == 1


async def test_nothing_is_said_twice() -> None:
    """A stream that has delivered text fails, with that text; no other model begins again."""
    first = script("first", fail(Overloaded("gone"), after="half an"))
    async with ActorSystem("t") as system:
        llm = await system.spawn(LLM.spec(first, fallbacks=[script("second")]))
        async with llm.stream(request=REQUEST) as events:
            seen = [event async for event in events]
    assert "".join(event.text for event in seen[:-1] if isinstance(event, TextDelta)) == "half an"
    assert seen[-1]["error"]["type"] == "Overloaded"
    assert seen[-1]["error"]["output_started"]
    assert seen[-1]["error"]["partial"] == "half an"


async def test_a_stream_falls_back_before_its_first_word() -> None:
    """A stream that fails before it said anything comes from the next model, whole."""
    first = script("first", fail(Overloaded("no")))
    async with ActorSystem("t") as system:
        llm = await system.spawn(LLM.spec(first, fallbacks=[script("second", text("whole"))], max_retries=0))
        async with llm.stream(request=REQUEST) as events:
            seen = [event async for event in events]
    assert unwrap(seen[-1])["completion"].message.content == "whole"


class Closed(ScriptedModel):
    """Does not open."""

    async def open(self) -> None:
        raise MissingCredential("no key for 'closed'")


async def test_a_fallback_that_does_not_open_is_passed_over() -> None:
    """A model without its key is asked no more than one that is down."""
    first = script("first", fail(Overloaded("no")))
    async with ActorSystem("t") as system:
        spec = LLM.spec(first, fallbacks=[Closed([], name="closed"), script("third", text("hi"))], max_retries=0)
        llm = await system.spawn(spec)
        assert await said(llm) == "hi"


class Unreachable(ScriptedModel):
    """Is down for the first so many times that it is opened."""

    down_for = 1

    async def open(self) -> None:
        self.down_for -= 1
        if self.down_for >= 0:
            raise ModelUnavailable("nobody there")


async def test_a_model_that_is_down_at_the_start_is_tried_again_later() -> None:
    """With a fallback an LLM starts without its first model, and goes back to it; without one it does not start."""
    first, second = Unreachable([text("here I am")], name="first"), script("second", text("for now"))
    async with ActorSystem("t") as system:
        with pytest.raises(StartFailed, match="nobody there"):
            await system.spawn(LLM.spec(Unreachable([], name="alone")))
        with pytest.raises(StartFailed, match="no key"):
            await system.spawn(LLM.spec(Closed([], name="closed"), fallbacks=[second]))
        first.down_for = 2  # when the LLM starts, and for its first call
        llm = await system.spawn(LLM.spec(first, fallbacks=[second]))
        assert [await said(llm), await said(llm)] == ["for now", "here I am"]


# --- contexts -------------------------------------------------------------------------------------


async def test_a_long_prompt_goes_to_the_wider_model() -> None:
    """`ContextWindowExceeded` asks the model with the larger context, once; from there it is the answer."""
    first = script("first", fail(ContextWindowExceeded("long")), fail(ContextWindowExceeded("long")))
    wide = script("wide", text("read it all"), fail(ContextWindowExceeded("very long")))
    async with ActorSystem("t") as system, system.events(ModelSwitched) as switches:
        llm = await system.spawn(LLM.spec(first, context_window_fallback=wide, fallbacks=[script("other")]))
        assert await said(llm) == "read it all"
        assert (await switches.receive()).reason == "context_window"
        assert await said(llm) == "ContextWindowExceeded"


async def test_answers_are_sized() -> None:
    """A number goes into the request as it is, unless the request or the model's options say otherwise."""
    model = script("m", text("a"), text("b"))
    async with ActorSystem("t") as system:
        llm = await system.spawn(LLM.spec(model, max_tokens=99))
        unwrap(await llm(request=REQUEST))
        unwrap(await llm(request=ChatRequest(messages=REQUEST.messages, options={"max_tokens": 5})))
    assert [request.options for request in model.requests] == [{"max_tokens": 99}, {"max_tokens": 5}]


# --- limits ---------------------------------------------------------------------------------------


async def test_all_callers_of_a_model_share_its_limits() -> None:
    """Two LLMs of one model go through one gate, whoever of them brought the limits; an agent passes them by."""
    model = script("m", *[text("hi", usage=Usage(10, 10, 20))] * 3)
    async with ActorSystem("t") as system:
        free = await system.spawn(LLM.spec(model))
        bound = await system.spawn(LLM.spec(model, limits=Limits(requests_per_minute=2)))
        began = anyio.current_time()
        assert [await said(free), await said(bound)] == ["hi", "hi"]
        assert anyio.current_time() == began
        assert await said(free.within(None)) == "hi"
        assert anyio.current_time() - began == pytest.approx(60.0)


async def test_limits_that_contradict_each_other_are_an_error() -> None:
    """The second of two different limits is refused where it is given; the same again is none."""
    model = script("m")
    async with ActorSystem("t") as system:
        await system.spawn(LLM.spec(model, limits=Limits(max_concurrency=1)))
        await system.spawn(LLM.spec(model, limits=Limits(max_concurrency=1)))
        with pytest.raises(StartFailed, match="which all its callers share") as caught:
            await system.spawn(LLM.spec(model, limits=Limits(max_concurrency=2)))
    assert isinstance(caught.value.cause, ConfigurationError)


async def test_tokens_are_corrected_by_the_answer() -> None:
    """A call reserves room for a long answer, and gives back what it did not use."""
    model = script("m", *[text("hi", usage=Usage(10, 10, 20))] * 3, text("no figures"), text("waits"))
    async with ActorSystem("t") as system:
        llm = await system.spawn(LLM.spec(model, limits=Limits(tokens_per_minute=5_000)))
        began = anyio.current_time()
        for _ in range(4):
            await said(llm)
        assert anyio.current_time() == began
        assert await said(llm.within(None)) == "waits"
        assert anyio.current_time() - began == pytest.approx(60.0)


async def test_waiting_for_a_turn_ends_with_the_deadline() -> None:
    """A call that cannot have its turn before its deadline is told so before, with the reason; leaving is possible."""
    model = script("m", hang())
    async with ActorSystem("t") as system, anyio.create_task_group() as tasks:
        first = await system.spawn(LLM.spec(model, limits=Limits(max_concurrency=1)))
        second = await system.spawn(LLM.spec(model))

        async def call() -> None:
            await said(first.within(None))

        tasks.start_soon(call)
        await anyio.sleep(1.0)
        assert await said(second.within(5.0)) == "ProviderBusy"
        with anyio.move_on_after(1.0) as left:
            await said(second)
        assert left.cancelled_caught
        assert await said(second.within(5.0)) == "ProviderBusy"
        tasks.cancel_scope.cancel()


async def test_one_429_holds_all_callers() -> None:
    """After one refusal every caller waits for as long as the provider asked, then all go; nobody is refused again."""
    times: dict[str, list[float]] = {}

    class Strict(ScriptedModel):
        """Refuses until 10 s have passed."""

        async def complete(self, request: ChatRequest) -> Any:
            now = anyio.current_time() - began
            times.setdefault("asked", []).append(round(now, 3))
            if now < 10.0:
                raise RateLimited("slow", retry_after=10.0 - now)
            return await ScriptedModel([text("hi")]).complete(request)

    model = Strict([], name="strict")
    async with ActorSystem("t") as system, anyio.create_task_group() as tasks:
        began = anyio.current_time()
        llms = [await system.spawn(LLM.spec(model, max_retries=1, backoff=BACKOFF)) for _ in range(10)]
        tasks.start_soon(said, llms[0])
        await anyio.sleep(1.0)
        for llm in llms[1:]:
            tasks.start_soon(said, llm)
    assert times["asked"] == [0.0, *[10.0] * 10]


async def test_the_shared_wait_begins_anew_after_an_answer() -> None:
    """Waits grow from one refusal to the next, and are short again once the model has answered."""
    refusal = fail(RateLimited("slow"))
    model = script("m", refusal, refusal, text("hi"), refusal, text("hi"))
    async with ActorSystem("t") as system:
        llm = await system.spawn(LLM.spec(model, backoff=BACKOFF))
        began = anyio.current_time()
        assert await said(llm) == "hi"
        assert anyio.current_time() - began == pytest.approx(1.0 + 2.0)
        assert await said(llm) == "hi"
        assert anyio.current_time() - began == pytest.approx(3.0 + 1.0)


async def test_a_model_that_is_down_is_left_alone() -> None:
    """With a breaker and a fallback, a model that keeps failing costs nothing after the first few, until it is well."""
    down = script("down", *[fail(Overloaded("no", status=500))] * 3, text("well again"))
    spare = script("spare", *[text("spare")] * 6)
    limits = Limits(breaker=Breaker(max_failures=3, cooldown=60.0))
    async with ActorSystem("t") as system:
        llm = await system.spawn(LLM.spec(down, limits=limits, fallbacks=[spare], max_retries=0))
        assert [await said(llm) for _ in range(6)] == ["spare"] * 6
        assert len(down.requests) == 3
        assert any(node.machines.get("breaker") == "OPEN" for node in system.inspect().walk())
        await anyio.sleep(60.0)
        assert await said(llm) == "well again"


async def test_an_open_circuit_is_an_answer() -> None:
    """Without a fallback the caller is told, at once, and when to come again."""
    model = script("m", fail(ModelTimeout("silent")))
    async with ActorSystem("t") as system:
        llm = await system.spawn(LLM.spec(model, limits=Limits(breaker=Breaker(max_failures=1)), max_retries=3))
        result = await llm(request=REQUEST)
    assert result["error"]["type"] == "CircuitOpen"
    assert result["error"]["retry_after"] == pytest.approx(29.5, abs=0.6)


# --- swaps ----------------------------------------------------------------------------------------


async def test_a_swap_loses_no_call() -> None:
    """Calls in progress and before the swap end with the old model, those behind it come from the new one."""
    release = anyio.Event()

    class Slow(ScriptedModel):
        async def complete(self, request: ChatRequest) -> Any:
            await release.wait()
            return await super().complete(request)

    old, new = Slow([text("old")] * 2, name="old"), script("new", text("new"))
    answers: list[str] = []
    async with ActorSystem("t") as system, anyio.create_task_group() as tasks:
        llm = await system.spawn(LLM.spec(old), name="llm")
        assert isinstance(llm, LLMRef)

        async def call() -> None:
            answers.append(await said(llm))

        for step in (call, call, lambda: llm.swap(new), call):
            tasks.start_soon(step)
            await anyio.sleep(1.0)
        release.set()
    assert answers == ["old", "old", "new"]


async def test_a_swap_that_fails_changes_nothing() -> None:
    """A model that does not open or is unknown is an error for whoever swaps; the old one goes on."""
    async with ActorSystem("t") as system:
        llm = await system.spawn(LLM.spec(script("old", text("old"), text("old"))))
        for _ in range(2):
            with pytest.raises(ActorError):
                await llm.swap(Closed([], name="closed"))
        assert await said(llm) == "old"
        with pytest.raises(ConfigurationError, match="which all its callers share"):
            shared = script("shared")
            await system.spawn(LLM.spec(shared, limits=Limits(max_concurrency=1)))
            await llm.swap(shared, limits=Limits(max_concurrency=2))
        assert await said(llm) == "old"


async def test_an_agents_model_is_swapped_between_turns() -> None:
    """The model of an agent can be swapped through its part, and the conversation goes on."""
    new = script("new", text("two"))
    async with ActorSystem("t") as system:
        agent = await system.spawn(Agent.spec(model=script("old", text("one"))), name="agent")
        unwrap(await agent(content="1"))
        await system["agent/llm"].swap(new)
        unwrap(await agent(content="2"))
    assert [message.content for message in new.requests[0].messages[1:]] == ["1", "one", "2"]


async def test_other_messages_are_refused() -> None:
    """What is neither a call nor a swap is a failure of its sender's making."""
    with pytest.raises(TypeError, match="takes a ModelChoice"):
        SwapModel("openai/gpt-4o")
    async with ActorSystem("t") as system:
        llm = await system.spawn(LLM.spec(script("m")))
        with pytest.raises(ActorError, match="takes calls and SwapModel, got str"):
            await llm.ask("hello")


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"idle_timeout": 0.0},
        {"max_retries": -1},
        {"fallback_after": -1.0},
        {"max_tokens": 0},
        {"max_tokens": MaxTokensStrategy.EXPECTED_RATIO, "expected_io_ratio": 0.0},
    ],
)
def test_settings_without_meaning_are_refused(settings: dict[str, Any]) -> None:
    """Each is an error that shows the value."""
    with pytest.raises(ConfigurationError, match="got"):
        LLM(script("m"), **settings)


async def test_an_unknown_error_is_no_reason_to_fall_back() -> None:
    """A plain `ModelError` says nothing of other providers."""
    async with ActorSystem("t") as system:
        llm = await system.spawn(LLM.spec(script("a", fail(ModelError("odd"))), fallbacks=[script("b")]))
        assert await said(llm) == "ModelError"
