"""What is done about failures: fallback, retry and timeout; and branch."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors import ActorSystem, Agent, Backoff, FunctionStream, chain
from tinyllm_actors.agent import RunFinished, RunStarted, TextDelta
from tinyllm_actors.errors import AuthenticationFailed, RateLimited, StreamInterrupted
from tinyllm_actors.function.compose import branch, fallback, retry, timeout
from tinyllm_actors.llm import LLM, ChatRequest, UserMessage
from tinyllm_actors.testing import ScriptedModel, fail, text

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.anyio


async def call(spec: Any, **arguments: Any) -> Any:
    """Return the dictionary of one call."""
    async with ActorSystem("test") as system:
        return await (await system.spawn(spec))(**arguments)


async def collect(spec: Any, **arguments: Any) -> list[Any]:
    """Return what a stream delivers."""
    async with ActorSystem("test") as system:
        ref = await system.spawn(spec)
        async with ref.stream(**arguments) as items:
            return [item async for item in items]


def fails(times: int, error: Exception) -> Any:
    """Return an answer that fails so often and then succeeds."""
    left = [times]

    def answer(**_: Any) -> Any:
        left[0] -= 1
        return error if left[0] >= 0 else "done"

    return answer


# --- fallback -------------------------------------------------------------------------------------


async def test_fallback_goes_on_until_one_succeeds(bench: Any) -> None:
    """Each gets the same arguments; those after the success are not called."""
    spec = fallback(bench.part("a", ValueError("no")), bench.part("b", 2), bench.part("c", 3))
    assert await call(spec, q=1) == {"status": "success", "output": 2}
    assert bench.calls == [("a", {"q": 1}), ("b", {"q": 1})]


async def test_fallback_that_has_none_left_names_each(bench: Any) -> None:
    """The kind is that of the last."""
    result = await call(fallback(bench.part("a", ValueError("no")), bench.part("b", KeyError("gone"))))
    assert result["message"] == "all 2 parts failed: a: no; b: 'gone'"
    assert (result["error"]["type"], result["error"]["part"]) == ("KeyError", "b")


async def test_fallback_streams_the_part_that_works(bench: Any) -> None:
    """A part that failed before its first item leaves no trace in the stream."""
    spec = fallback(bench.streaming("a", [], ValueError("no")), bench.streaming("b", [1, 2]))
    assert [item["output"] for item in await collect(spec)] == [1, 2]


async def test_fallback_does_not_join_two_answers(bench: Any) -> None:
    """Once output has started, a failure is the end of the stream."""
    *items, last = await collect(fallback(bench.streaming("a", [1], ValueError("no")), bench.streaming("b", [2])))
    assert [item["output"] for item in items] == [1]
    assert last["message"] == "a: no"


async def test_fallback_between_agents_begins_with_the_one_that_answers() -> None:
    """An agent that fails before its first word is as if it had not been there."""
    refused = Agent.spec(name="first", model=ScriptedModel([fail(AuthenticationFailed("no"))])).named("first")
    works = Agent.spec(name="second", model=ScriptedModel([text("Hello!")], name="works")).named("second")
    events = await collect(fallback(refused, works), content="Hi")
    assert isinstance(events[0], RunStarted)
    assert events[0].agent.endswith("second")
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "Hello!"
    assert isinstance(events[-1], RunFinished)
    assert events[-1].result["status"] == "success"
    assert sum(isinstance(event, RunStarted | RunFinished) for event in events) == 2


# --- retry ----------------------------------------------------------------------------------------


@pytest.mark.virtual_time
async def test_retry_waits_longer_each_time(bench: Any) -> None:
    """With `Backoff(1, 8)` the waits are 1, 2 and 4 seconds."""
    spec = retry(bench.part("p", fails(3, ConnectionError("reset"))), backoff=Backoff(1.0, 8.0, jitter=0.0))
    assert await call(spec) == {"status": "success", "output": "done"}
    assert anyio.current_time() == pytest.approx(7.0)


@pytest.mark.virtual_time
async def test_retry_honours_retry_after(bench: Any) -> None:
    """A failure that asks for a longer wait gets it."""
    spec = retry(bench.part("p", fails(1, RateLimited("slow", retry_after=30.0))), backoff=Backoff(1.0, 8.0))
    assert (await call(spec))["status"] == "success"
    assert anyio.current_time() == pytest.approx(30.0)


@pytest.mark.virtual_time
async def test_retry_gives_up_after_max_retries(bench: Any) -> None:
    """Two retries make three calls; the last failure is the answer."""
    result = await call(retry(bench.part("p", ConnectionError("reset")), max_retries=2, backoff=Backoff(0.1, 1.0)))
    assert len(bench.calls) == 3
    assert result["message"] == "p: reset"


@pytest.mark.virtual_time
async def test_retry_does_not_wait_beyond_the_deadline(bench: Any) -> None:
    """A wait that the caller would not live to see is not begun: it hears the real cause at once."""
    async with ActorSystem("test") as system:
        ref = await system.spawn(retry(bench.part("p", RateLimited("slow", retry_after=30.0))))
        result = await ref.within(10.0)()
        assert result["error"]["type"] == "RateLimited"
        assert anyio.current_time() == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize(
    "error",
    [ValueError("wrong"), RateLimited("slow", output_started=True), StreamInterrupted("cut", partial="Once upon")],
)
async def test_retry_leaves_alone_what_it_must_not_repeat(bench: Any, error: Exception) -> None:
    """What is not retryable, or had started its output, is called once."""
    assert (await call(retry(bench.part("p", error))))["status"] == "error"
    assert len(bench.calls) == 1


@pytest.mark.virtual_time
async def test_retry_streams_the_attempt_that_works() -> None:
    """Failures before the first piece are not seen; the model's pieces and result come once."""
    model = ScriptedModel([fail(RateLimited("slow")), text("Hello, world")], chunk=5)
    spec = retry(LLM.spec(model, max_retries=0), backoff=Backoff(0.1, 1.0))
    *deltas, last = await collect(spec, request=ChatRequest(messages=[UserMessage("Hi")]))
    assert [delta.text for delta in deltas] == ["Hello", ", wor", "ld"]
    assert last["output"]["completion"].message.content == "Hello, world"


async def test_retry_of_a_stream_never_repeats_what_was_read() -> None:
    """Output that has started and then fails is the end, retryable or not."""
    model = ScriptedModel([fail(RateLimited("slow"), after="Once upon")])
    spec = retry(LLM.spec(model, max_retries=0))
    *deltas, last = await collect(spec, request=ChatRequest(messages=[UserMessage("Hi")]))
    assert "".join(delta.text for delta in deltas) == "Once upon"
    assert last["error"]["type"] == "RateLimited"
    assert len(model.requests) == 1


def test_a_negative_number_of_retries_is_refused(bench: Any) -> None:
    """It would call nothing."""
    with pytest.raises(ValueError, match="-1"):
        retry(bench.part("p"), max_retries=-1)


# --- timeout --------------------------------------------------------------------------------------


@pytest.mark.virtual_time
async def test_a_timeout_cancels_the_part(bench: Any) -> None:
    """The error is retryable, comes on time, and nothing runs on."""
    result = await call(timeout(bench.part("slow", waits=True), 3.0))
    assert (result["error"]["type"], result["error"]["part"]) == ("AskTimeout", "slow")
    assert result["error"]["retryable"]
    assert anyio.current_time() == pytest.approx(3.0, abs=0.1)
    assert bench.cancelled == ["slow"]


@pytest.mark.virtual_time
async def test_a_timeout_bounds_a_stream() -> None:
    """What came in time is delivered, and then the error."""

    class Endless(FunctionStream):
        async def run(self, **_: Any) -> AsyncGenerator[Any, None]:
            for n in itertools.count():
                yield n
                await anyio.sleep(1.0)

    *items, last = await collect(timeout(Endless, 2.5))
    assert [item["output"] for item in items] == [0, 1, 2]
    assert last["error"]["type"] == "AskTimeout"


@pytest.mark.virtual_time
async def test_a_timeout_can_be_retried(bench: Any) -> None:
    """The combinators nest: each attempt has its own time."""
    spec = retry(timeout(bench.part("slow", waits=True), 1.0), max_retries=1, backoff=Backoff(1.0, 1.0, jitter=0.0))
    result = await call(spec)
    assert len(bench.calls) == 2
    assert result["error"]["part"] == "Timeout/slow"
    assert anyio.current_time() == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_a_timeout_that_means_nothing_is_refused(bench: Any, seconds: float) -> None:
    """The number must be above 0, and one."""
    with pytest.raises(ValueError, match="above 0"):
        timeout(bench.part("p"), seconds)


# --- branch ---------------------------------------------------------------------------------------


async def test_branch_calls_the_chosen_part(bench: Any) -> None:
    """The key decides; other parts are not called; a coroutine function may choose too."""

    async def choose(kind: str, **_: Any) -> str:
        return kind

    parts = {"a": bench.part("a", 1), "b": bench.streaming("b", [2])}
    assert (await call(branch(choose, parts), kind="a", x=0))["output"] == 1
    assert bench.calls == [("a", {"kind": "a", "x": 0})]
    assert await collect(branch(choose, parts), kind="b") == [{"status": "success", "output": 2}]


async def test_branch_without_a_part_for_the_key(bench: Any) -> None:
    """The default is called, or the error names the key and those there are."""
    parts = {"a": bench.part("a", 1)}
    assert (await call(branch(lambda: "z", parts, default=bench.part("d", 9))))["output"] == 9
    message = (await call(branch(lambda: "z", parts)))["message"]
    assert "'z'" in message
    assert "'a'" in message


async def test_branch_whose_choice_fails_is_an_error_dictionary(bench: Any) -> None:
    """What `choose` raises, and a part's failure, are answers."""

    def choose() -> str:
        raise KeyError("kind")

    assert (await call(branch(choose, {"a": bench.part("a")})))["error"]["type"] == "KeyError"
    broken = branch(lambda: "a", {"a": chain(bench.part("p", ValueError("no")), name="a")})
    assert (await call(broken))["message"] == "a/p: no"
    with pytest.raises(TypeError, match="choose"):
        branch("a", {"a": bench.part("a")})  # pyright: ignore[reportArgumentType]
