"""What arrives at the other end is what happened: every call once, under its parent, whatever went on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors import ActorSystem, Agent, Function, FunctionStream, Supervisor, chain, tool
from tinyllm_actors.function.tracing import continue_trace, start_tracing
from tinyllm_actors.kernel import InFlight
from tinyllm_actors.llm import ToolMessage
from tinyllm_actors.testing import ScriptedModel, TraceRecorder, fail, text, tool_calls

pytest.importorskip("langfuse")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from trace_receiver import receiving, refusing

from tinyllm_actors.errors import Overloaded
from tinyllm_actors.integrations.langfuse import LangfuseTracer
from tinyllm_actors.integrations.opentelemetry import OpenTelemetryTracer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from trace_receiver import Receiver

    from tinyllm_actors.function.tracing import Tracer
    from tinyllm_actors.llm import ChatRequest

pytestmark = pytest.mark.anyio


@tool
async def shout(word: str) -> str:
    """Shout."""
    await anyio.lowlevel.checkpoint()
    return word.upper()


@tool
async def trip(word: str) -> str:
    """Fail."""
    raise ValueError(word)


async def half(input: Any, output: Any, error: Any) -> float:
    """Score."""
    return 0.5


class Count(FunctionStream):
    async def run(self, to: int) -> AsyncGenerator[int, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        for number in range(to):
            yield number


class Sleeper(Function):
    async def run(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        await anyio.sleep_forever()


class Fragile(Function):
    """Crashes, rather than fails, while the message is new."""

    def _accept(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if self.context.attempt == 0:
            self._step("no such step")  # pyright: ignore[reportArgumentType]
        return super()._accept(arguments)

    async def run(self) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.context.attempt


def langfuse(url: str) -> Tracer:
    """Return a tracer that sends to `url`."""
    return LangfuseTracer(public_key="pk-lf-test", secret_key="sk-lf-test", base_url=url)


def otel(url: str) -> Tracer:
    """Return another one."""
    return OpenTelemetryTracer(endpoint=url, capture_content=True)


async def busy(system: ActorSystem, conversations: int) -> None:
    """Let everything happen: nested, parallel, streamed, failing, cancelled and restarted calls."""

    async def turn(number: int) -> None:
        calls = tool_calls(("shout", {"word": "a"}), ("trip", {"word": "b"}))
        steps = [fail(Overloaded("busy"))] if number % 10 == 0 else [calls, text("done")]
        agent = await system.spawn(
            Agent.spec(
                name="Agent",
                model=ScriptedModel(steps),
                tools=[shout, trip],
                session_id=f"s{number}",
                run_evaluators=[half],
                max_retries=0,
            )
        )
        async with agent.stream(content=f"turn {number}") as events:
            async for _ in events:
                pass

    async with anyio.create_task_group() as group:
        for number in range(conversations):
            group.start_soon(turn, number)
    count = await system.spawn(chain(Count, name="counting"))
    await count(to=3)
    async with count.stream(to=10**6, buffer=1) as items:
        await anext(aiter(items))
    sleeper = await system.spawn(chain(Sleeper, name="sleeping"))
    with anyio.move_on_after(0.02):
        await sleeper()
    await system.spawn(Fragile.spec().with_options(on_inflight=InFlight(redeliveries=1)), name="fragile")
    assert (await system["fragile"]())["output"] == 1


async def traced(tracers: list[Tracer], conversations: int, **options: Any) -> TraceRecorder:
    """Run `busy` under tracers, and return what a recorder beside them saw."""
    recorder = TraceRecorder()
    system = ActorSystem("service", supervisor=Supervisor(backoff=None), log_transitions=False)
    async with system:
        await start_tracing(system, recorder, *tracers, **options)
        await busy(system, conversations)
    assert not recorder.running
    return recorder


def assert_all_there(receiver: Receiver, recorder: TraceRecorder) -> None:
    """Assert that what arrived is what happened, once."""
    expected = {(seen.trace_id, seen.id, seen.parent_id) for seen in recorder.observations}
    assert len(receiver.spans) == len(recorder.observations)
    assert {(span.trace_id, span.id, span.parent_id) for span in receiver.spans} == expected
    times = {seen.id: (seen.started_at, seen.ended_at) for seen in recorder.observations}
    assert all((span.start, span.end) == times[span.id] for span in receiver.spans)


@pytest.mark.parametrize("conversations", [200])
async def test_both_at_once_get_every_call_once(conversations: int) -> None:
    """200 conversations, streams, failures, cancellations and a restart arrive whole at two hosts at the same time."""
    with receiving() as first, receiving() as second:
        recorder = await traced([langfuse(first.url), otel(second.url)], conversations, close_timeout=20.0)
        assert_all_there(first, recorder)
        assert_all_there(second, recorder)
        statuses = {seen.status for seen in recorder.observations}
        assert statuses == {"ok", "error", "cancelled"}
        agents = {seen.id: seen for seen in recorder.observations if seen.name == "Agent"}
        assert len(agents) == conversations
        scored = [(score["observationId"], score["traceId"], score["value"]) for score in first.scores]
        assert sorted(scored) == sorted((seen.id, seen.trace_id, 0.5) for seen in agents.values())


@pytest.mark.leaves_behind("threads", reason="the exporters' threads wait for their time-outs, as daemons")
@pytest.mark.parametrize("mode", ["refuse", "hang", "500", "slow"])
async def test_nobody_notices_a_host_that_is_down(mode: str) -> None:
    """The service works, and ends in bounded time, while both hosts refuse, hang, fail or are slow."""

    async def run(url: str) -> None:
        recorder = TraceRecorder()
        async with ActorSystem("service", supervisor=Supervisor(backoff=None), log_transitions=False) as system:
            await start_tracing(system, recorder, langfuse(url), otel(url), close_timeout=1.0)
            await busy(system, 5)
            ended = anyio.current_time()
        assert anyio.current_time() - ended < 3.0
        assert not recorder.running

    if mode == "refuse":
        await run(refusing())
    else:
        with receiving(mode) as receiver:
            await run(receiver.url)


@pytest.mark.leaves_behind("threads", reason="the exporters' threads wait for their time-outs, as daemons")
async def test_a_host_that_hangs_costs_records_that_are_counted() -> None:
    """What finds no room in the queue is dropped, counted and told; no caller waits for room."""
    with receiving("hang") as receiver:
        async with ActorSystem("service", log_transitions=False) as system:
            tracing = await start_tracing(system, otel(receiver.url), max_waiting=50, close_timeout=0.2)
            count = await system.spawn(Count)
            for _ in range(2000):
                await count(to=1)
            assert tracing.dropped >= 2000


CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_callers_trace_goes_on_at_both_hosts() -> None:
    """Spans are in the caller's trace, the first inside of its span; for Langfuse that is the root of what is ours."""
    with receiving() as first, receiving() as second:
        async with ActorSystem("service", log_transitions=False) as system:
            await start_tracing(system, langfuse(first.url), otel(second.url), sample_rate=0.0, close_timeout=20.0)
            count = await system.spawn(chain(Count, name="counting"))
            with continue_trace(CALLER):
                await count(to=1)
            await count(to=1)  # not sampled, as there is no caller who does
        for receiver in (first, second):
            assert {span.trace_id for span in receiver.spans} == {CALLER[3:35]}
            outer, inner = sorted(receiver.spans, key=lambda span: span.start)
            assert (outer.name, outer.parent_id, inner.parent_id) == ("counting", CALLER[36:52], outer.id)
    roots = [span.name for span in first.spans if span.attributes.get("langfuse.internal.as_root")]
    assert roots == ["counting"]


async def test_200_conversations_at_once_are_200_sessions() -> None:
    """Each turn of each durable conversation is in its caller's trace, under its own key and user, at both hosts."""

    def say(request: ChatRequest) -> Any:
        last = request.messages[-1]
        return text("done") if isinstance(last, ToolMessage) else tool_calls(("shout", {"word": "a"}))

    def user_of(key: str) -> str:
        return key.partition("/")[0]

    count, turns = 200, 1
    with receiving() as first, receiving() as second:
        async with ActorSystem("service", log_transitions=False) as system:
            await start_tracing(system, langfuse(first.url), otel(second.url), close_timeout=30.0, max_waiting=100_000)
            spec = Agent.spec(name="Agent", model=ScriptedModel([say] * (2 * turns * count)), tools=[shout])
            chats = await system.conversations(spec, store="memory:", user_of=user_of)

            async def talk(number: int) -> None:
                for turn in range(turns):
                    with continue_trace(f"00-{number * 10 + turn + 1:032x}-{number + 1:016x}-01"):
                        result = await chats[f"u{number}/chat"](content=f"turn {turn}")
                    assert result["status"] == "success"

            async with anyio.create_task_group() as group:
                for number in range(count):
                    group.start_soon(talk, number)
        for receiver in (first, second):
            agents = [span for span in receiver.spans if "Agent" in span.name]
            assert len(agents) == count * turns
            whose: dict[str, set[tuple[Any, ...]]] = {}
            for span in receiver.spans:
                attributes = span.attributes
                whose.setdefault(span.trace_id, set()).add((attributes["session.id"], attributes["user.id"]))
            assert whose == {
                f"{number * 10 + turn + 1:032x}": {(f"u{number}/chat", f"u{number}")}
                for number in range(count)
                for turn in range(turns)
            }
            assert {span.parent_id for span in agents} == {f"{number + 1:016x}" for number in range(count)}
