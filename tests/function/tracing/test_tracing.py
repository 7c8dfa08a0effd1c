"""Every call of a Function is observed, inside of the call that made it, however it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
import structlog
from structlog.testing import capture_logs

from tinyllm_actors import Actor, ActorSystem, Function, FunctionStream, chain, concurrent
from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.function.compose import cache
from tinyllm_actors.function.tracing import Tracer, start_tracing
from tinyllm_actors.kernel import InFlight, Supervisor
from tinyllm_actors.llm import LLM, ChatRequest, ModelInfo, Price, Usage, UserMessage
from tinyllm_actors.testing import (
    ScriptedModel,
    TraceRecorder,
    text,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tinyllm_actors.function.tracing import Observation


pytestmark = pytest.mark.anyio


class Echo(Function):
    async def run(self, said: str) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        await anyio.lowlevel.checkpoint()
        return said


class Broken(Function):
    async def run(self, **arguments: Any) -> None:
        raise OSError("disk full")


class Sleeper(Function):
    async def run(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        await anyio.sleep_forever()


class Count(FunctionStream):
    async def run(self, to: int) -> AsyncGenerator[int, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        for number in range(to):
            yield number


@pytest.fixture
def recorder() -> TraceRecorder:
    """Return a tracer that keeps what it is told."""
    return TraceRecorder()


async def test_a_call_is_observed(recorder: TraceRecorder) -> None:
    """An observation says who, what, when, for whom and how it ended."""
    async with ActorSystem("service") as system:
        await start_tracing(system, recorder, tags=["beta"])
        echo = await system.spawn(Echo.spec(user_id="ann", session_id="s1"), name="echo")
        await echo(said="hello")
    [seen] = recorder.observations
    assert (seen.name, seen.kind, seen.path, seen.status) == ("Echo", "span", "echo", "ok")
    assert (seen.input, seen.output) == ({"said": "hello"}, "hello")
    assert (seen.user_id, seen.session_id, seen.tags) == ("ann", "s1", ("beta",))
    assert seen.is_root
    assert seen.parent_id is None
    assert seen.started_at <= seen.ended_at
    assert (seen.incarnation, seen.attempt) == (1, 0)
    assert seen.message_id > 0
    assert seen.traceparent == f"00-{seen.trace_id}-{seen.id}-01"
    assert not recorder.running


async def test_streams_know_their_first_item(recorder: TraceRecorder) -> None:
    """A stream's output is its items; when the first came is noted; a reader that leaves cancels it."""
    async with ActorSystem("service") as system:
        await start_tracing(system, recorder)
        count = await system.spawn(Count)
        async with count.stream(to=3) as items:
            assert [item["output"] async for item in items] == [0, 1, 2]
        async with count.stream(to=10**9, buffer=1) as items:
            await anext(aiter(items))
        await count(to=1)
    whole, left, called = recorder.observations
    assert (whole.status, whole.output) == ("ok", [0, 1, 2])
    assert whole.started_at <= whole.first_output_at <= whole.ended_at
    assert left.status == "cancelled"
    assert left.output[0] == 0
    assert (called.status, called.output) == ("ok", [0])


@pytest.mark.virtual_time
async def test_failures_and_cancellations_are_told(recorder: TraceRecorder) -> None:
    """A failed call has the error dictionary, a cancelled one says so, and so do the calls around them."""
    async with ActorSystem("service") as system:
        await start_tracing(system, recorder)
        both = await system.spawn(concurrent(Broken, Echo, name="both"))
        await both(said="x")
        sleeper = await system.spawn(chain(Sleeper, name="whole"))
        with anyio.move_on_after(0.05):
            await sleeper()
    broken, sleep = recorder.find("Broken"), recorder.find("Sleeper")
    assert (broken.status, broken.output) == ("error", None)
    assert broken.error is not None
    assert (broken.error["type"], broken.error["message"], broken.error["state"]) == ("OSError", "disk full", "RUNNING")
    assert recorder.find("both").status == "error"
    assert (sleep.status, recorder.find("whole").status) == ("cancelled", "cancelled")
    assert not recorder.running


class Fragile(Function):
    """Crashes, rather than fails, while the message is new."""

    async def run(self) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.context.attempt

    def _accept(self, arguments: dict[str, Any]) -> dict[str, Any]:
        if self.context.attempt == 0:
            self._step("no such step")  # pyright: ignore[reportArgumentType]
        return super()._accept(arguments)


async def test_a_restart_has_an_observation_for_each_attempt(recorder: TraceRecorder) -> None:
    """The attempt that crashed and the one that succeeded are both in the trace of whoever asked."""

    class Asker(Function):
        async def run(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
            return (await system["fragile"]())["output"]

    async with ActorSystem("service", supervisor=Supervisor(backoff=None)) as system:
        await start_tracing(system, recorder)
        await system.spawn(Fragile.spec().with_options(on_inflight=InFlight(redeliveries=2)), name="fragile")
        asker = await system.spawn(Asker)
        assert (await asker())["output"] == 1
    crashed, repeated, asked = recorder.observations
    assert (crashed.status, crashed.attempt, crashed.incarnation) == ("error", 0, 1)
    assert crashed.error is not None
    assert (repeated.status, repeated.attempt, repeated.incarnation) == ("ok", 1, 2)
    assert crashed.message_id == repeated.message_id
    assert crashed.parent_id == repeated.parent_id == asked.id


async def test_a_plain_actor_between_passes_the_parent_on(recorder: TraceRecorder) -> None:
    """Parents travel in messages, whoever carries them; the next message of the same actor has another."""

    class Relay(Actor):
        async def receive(self, message: str) -> Any:
            return await system["echo"](said=message)

    class Front(Function):
        async def run(self, said: str) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
            return (await system["relay"].ask(said))["output"]

    async with ActorSystem("service") as system:
        await start_tracing(system, recorder)
        await system.spawn(Echo, name="echo")
        await system.spawn(Relay, name="relay")
        front = await system.spawn(Front, name="front")
        await front(said="a")
        await system["relay"].ask("b")
    inner, outer, alone = recorder.observations
    assert inner.parent_id == outer.id
    assert alone.is_root
    assert alone.trace_id != outer.trace_id


async def test_answers_from_a_cache_are_inside_of_who_asked(recorder: TraceRecorder) -> None:
    """A miss, whose answer comes in a later message, is as much inside of its caller as a hit."""

    class Front(Function):
        async def run(self, said: str) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
            return (await system["cached"](said=said))["output"]

    async with ActorSystem("service") as system:
        await start_tracing(system, recorder)
        await system.spawn(cache(Echo, name="Cached"), name="cached")
        front = await system.spawn(Front)
        await front(said="a")
        await front(said="a")
    first, second = [seen for seen in recorder.observations if seen.name == "Front"]
    cached = [seen for seen in recorder.observations if seen.name == "Cached"]
    assert [seen.parent_id for seen in cached] == [first.id, second.id]
    assert recorder.find("Echo").parent_id == first.id


async def test_sampling_keeps_whole_traces(recorder: TraceRecorder) -> None:
    """Half of the traces, and of each all or nothing."""
    async with ActorSystem("service") as system:
        await start_tracing(system, recorder, sample_rate=0.5)
        both = await system.spawn(chain(Echo, name="both"))
        for _ in range(200):
            await both(said="x")
    roots = [seen for seen in recorder.observations if seen.is_root]
    assert 60 < len(roots) < 140
    assert len(recorder.observations) == 2 * len(roots)


async def test_capture_off_keeps_no_content(recorder: TraceRecorder) -> None:
    """Without capture there is neither input nor output, of Functions, models and streams."""
    async with ActorSystem("service") as system:
        await start_tracing(system, recorder, capture=False)
        await (await system.spawn(Echo))(said="private")
        llm = await system.spawn(LLM.spec(ScriptedModel([text("private")]), name="llm"))
        await llm(request=ChatRequest(messages=[UserMessage("private")]))
    assert [(seen.input, seen.output) for seen in recorder.observations] == [(None, None), (None, None)]


async def test_log_lines_of_a_call_have_its_trace() -> None:
    """What is logged while a call works carries the trace's id and where to look; nested calls have the same."""

    class Linked(TraceRecorder):
        def link(self, observation: Observation) -> str:
            return f"https://traces.invalid/{observation.trace_id}"

    class Talker(Function):
        async def run(self, input: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            structlog.get_logger("shop").info("working")

    recorder = Linked()
    structlog.configure(cache_logger_on_first_use=False)
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        async with ActorSystem("service", log_transitions=False) as system:
            await start_tracing(system, recorder)
            await (await system.spawn(chain(Talker, name="whole")))(input=1)
    url = f"https://traces.invalid/{recorder.find('whole').trace_id}"
    [line] = [line for line in lines if line["event"] == "working"]
    assert (line["trace_id"], line["trace_url"]) == (recorder.find("whole").trace_id, url)
    links = [line["event"] for line in lines if line["event"].startswith("[whole] trace")]
    assert links == [f"[whole] trace: {url}"]


async def test_wrong_arguments_are_named(recorder: TraceRecorder) -> None:
    """Tracing twice, without tracers, or with a rate above 1 is an error at once."""
    async with ActorSystem("service") as system:
        with pytest.raises(ConfigurationError, match="need a tracer"):
            await start_tracing(system)
        with pytest.raises(ConfigurationError, match="sample_rate"):
            await start_tracing(system, recorder, sample_rate=1.5)
        await start_tracing(system, recorder)
        with pytest.raises(ConfigurationError, match="traced already"):
            await start_tracing(system, recorder)


def test_a_tracer_needs_no_method() -> None:
    """A tracer overrides what it wants to know."""
    tracer = Tracer()
    for quiet in (tracer.open, tracer.flush):
        quiet()
    tracer.close(1.0)
    with pytest.raises(LookupError, match="there are: none"):
        TraceRecorder().find("x")


async def test_the_drawing_says_how_it_ended(recorder: TraceRecorder) -> None:
    """With details, a line has the model, tokens, dollars and time; without, only what went wrong."""
    model = ScriptedModel([text("Hi", usage=Usage(10, 5, 15))], name="m")
    async with ActorSystem("service") as system:
        await start_tracing(system, recorder)
        llm = await system.spawn(LLM.spec(model, name="llm", known_models={"m": ModelInfo(price=Price(1.0, 1.0))}))
        await llm(request=ChatRequest(messages=[UserMessage("Hello")]))
        await (await system.spawn(Broken))()
    first, second = recorder.render(details=True).splitlines()
    assert first.startswith("llm  generation  m  15 tokens  $0.000015  ")
    assert second.startswith("Broken  span  error: OSError  ")
    assert recorder.render().splitlines() == ["llm  generation", "Broken  span  error: OSError"]
    assert repr(recorder.find("llm")).startswith("<Observation generation 'llm' ok ")


async def test_a_recorder_lets_go_of_the_oldest() -> None:
    """It keeps as many as it was told."""
    recorder = TraceRecorder(max_kept=10)
    async with ActorSystem("service") as system:
        await start_tracing(system, recorder)
        echo = await system.spawn(Echo)
        for _ in range(100):
            await echo(said="x")
    assert 8 <= len(recorder.observations) <= 10


async def test_a_tracer_that_fails_harms_nobody() -> None:
    """An inline tracer that raises, one in a thread that raises, and one whose watch ends are counted or logged."""

    class Bad(Tracer):
        name = "bad"

        def ended(self, observation: Observation) -> None:
            raise ValueError("no")

        async def watch(self, system: ActorSystem) -> None:
            raise OSError("blind")

    class BadInline(Bad):
        inline = True

    with capture_logs() as lines:
        async with ActorSystem("service") as system:
            tracing = await start_tracing(system, Bad(), BadInline())
            echo = await system.spawn(Echo)
            assert (await echo(said="x"))["output"] == "x"
        assert [line.failures for line in tracing.lines] == [1, 1]
    events = [line["event"] for line in lines]
    assert "tracer 'bad' no longer watches the system" in events
    assert any("failed 1 times" in event for event in events)
