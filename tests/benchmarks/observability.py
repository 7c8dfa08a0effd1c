"""What traces and logs cost: on the caller's path, in the whole process, and at the end.

    python tests/benchmarks/observability.py --backend all

Times are of CPU, in µs, in medians of rounds. "Caller" is the thread of the event loop alone; "process" has the threads
of tracers and logs in it. A local receiver takes what is sent, in a process of its own.
"""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import structlog
from measuring import FLOOR, OURS, Case, Goal, Result, cpu, measure, render

from tinyllm_actors import ActorSystem, Agent, Function, tool
from tinyllm_actors.function.tracing import start_tracing
from tinyllm_actors.kernel import configure_json_log
from tinyllm_actors.testing import ScriptedModel, text, tool_call

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tinyllm_actors.function.tracing import Tracer

BACKENDS = ("asyncio", "uvloop", "trio")
RECEIVER = Path(__file__).parent.parent / "integrations" / "observability" / "trace_receiver.py"


class Echo(Function):
    async def run(self, content: str) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return {"response": content}


@tool
async def look_up(word: str) -> str:
    """Look a word up."""
    return word.upper()


@tool
async def get_user_property(asked_property: str) -> str:
    """Return what the server's model asks for."""
    return "January 1st"


def langfuse(url: str) -> Tracer:
    """Return a tracer that sends to `url`."""
    from tinyllm_actors.integrations.langfuse import LangfuseTracer

    return LangfuseTracer(public_key="pk-lf-bench", secret_key="sk-lf-bench", base_url=url)


def otel(url: str) -> Tracer:
    """Return another one."""
    from tinyllm_actors.integrations.opentelemetry import OpenTelemetryTracer

    return OpenTelemetryTracer(endpoint=url, capture_content=True)


async def _calls(count: int, tracer: Tracer | None, clock: Callable[[], float]) -> float:
    """Return the seconds on `clock` of `count` calls, those of the tracer's end included if it counts the process."""
    async with ActorSystem("bench", log_transitions=False) as system:
        if tracer is not None:
            await start_tracing(system, tracer, max_waiting=10 * count, close_timeout=60.0)
        echo = await system.spawn(Echo)
        await echo(content="hello")
        await anyio.sleep(1.0 if tracer is not None else 0.0)  # until its packages are imported
        started = clock()
        for _ in range(count):
            await echo(content="hello")
        spent = clock() - started
    return clock() - started if clock is cpu else spent


async def _turns(count: int, server: str | None = None) -> float:
    """Return the CPU seconds of `count` turns of an agent, with one tool call each.

    Args:
        count: of turns.
        server: where its model is; without, it costs nothing.
    """
    if server is None:
        steps = [step for _ in range(count) for step in (tool_call("look_up", word="a"), text("A"))]
        spec = Agent.spec(name="Agent", model=ScriptedModel(steps), tools=[look_up])
    else:
        from tinyllm_actors.integrations.openai_compatible import OpenAICompatibleModel

        spec = Agent.spec(
            name="Agent",
            model=OpenAICompatibleModel("bench", api_base=f"{server}/0/1", api_key="x"),
            tools=[get_user_property],
        )
    async with ActorSystem("bench") as system:
        agent = await system.spawn(spec)
        started = cpu()
        for _ in range(count):
            result = await agent(content="hello")
            assert result["status"] == "success"
        return cpu() - started


async def _look(count: int) -> float:
    """Return the seconds of what a call does while nobody traces: one look, and two at what it found."""
    async with ActorSystem("bench", log_transitions=False) as system:
        echo = await system.spawn(Echo)
        actor = echo.cell.actor
        assert actor is not None
        rounds = range(count)
        started = cpu()
        for _ in rounds:
            tracing = actor.kernel_cell.system.tracing
            observation = None if tracing is None else object()
            if observation is not None:
                raise AssertionError
        looked = cpu() - started
        started = cpu()
        for _ in rounds:
            pass
        return looked - (cpu() - started)


async def _lost(url: str, seconds: float) -> float:
    """Return how many records were lost at 1,000 observations a second."""
    async with ActorSystem("bench", log_transitions=False) as system:
        tracing = await start_tracing(system, langfuse(url), close_timeout=60.0)
        echo = await system.spawn(Echo)
        for number in range(int(seconds * 20)):
            for _ in range(50):
                await echo(content="hello")
            due = (number + 1) * 0.05
            await anyio.sleep(max(0.0, due - number * 0.05 - 0.005))
    return float(tracing.dropped + sum(line.failures for line in tracing.lines))


async def _exit(url: str) -> float:
    """Return the seconds that the end of a system takes whose host hangs."""
    async with ActorSystem("bench", log_transitions=False) as system:
        await start_tracing(system, langfuse(url), otel(url))
        echo = await system.spawn(Echo)
        for _ in range(2000):
            await echo(content="hello")
        started = time.monotonic()
    return time.monotonic() - started


def cases(scale: float, url: str, hanging: str, server: str, folder: Path) -> list[Case]:
    """Return what is measured, with the goals."""
    count = max(200, int(2000 * scale))

    def on_the_caller(make: Callable[[str], Tracer] | None) -> Callable[[], Awaitable[float]]:
        async def run() -> float:
            plain = await _calls(count, None, time.thread_time)
            traced = await _calls(count, None if make is None else make(url), time.thread_time)
            return (traced - plain) / count * 1e6

        return run

    async def whole() -> float:
        return (await _calls(count, langfuse(url), cpu) - await _calls(count, None, cpu)) / count * 1e6

    async def off() -> float:
        return await _look(100 * count) / 100 / await _calls(count, None, cpu) * 100

    def quiet(server: str | None) -> Callable[[], Awaitable[float]]:
        async def run() -> float:
            structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
            return count / 4 / await _turns(count // 4, server)

        return run

    def logged(server: str | None) -> Callable[[], Awaitable[float]]:
        async def run() -> float:
            log = configure_json_log(folder / "turns.log")
            try:
                return count / 4 / await _turns(count // 4, server)
            finally:
                log.close(10.0)

        return run

    def line(clock: Callable[[], float]) -> Callable[[], Awaitable[float]]:
        async def run() -> float:
            from tinyllm_actors.kernel.event_stream import EventStream
            from tinyllm_actors.kernel.events import Transition
            from tinyllm_actors.kernel.log import attach_log
            from tinyllm_actors.kernel.slots import current_backend

            log = configure_json_log(folder / "lines.log")
            events = EventStream(current_backend())
            await attach_log(events, transitions=True)
            started = clock()
            for number in range(10 * count):
                events.publish(
                    Transition("s/agent", "Agent", "function", "RUNNING", "done", "OUTPUT_VALIDATION", number, 0.25)
                )
            spent = clock() - started
            await anyio.to_thread.run_sync(log.close, 10.0)
            return (clock() - started if clock is cpu else spent) / (10 * count) * 1e6

        return run

    return [
        Case("tracing off, of a call", "%", {OURS: off}, Goal(below=1.0)),
        Case("an observation to Langfuse, caller", "µs", {OURS: on_the_caller(langfuse)}, Goal(below=100.0)),
        Case("an observation to OpenTelemetry, caller", "µs", {OURS: on_the_caller(otel)}, Goal(below=100.0)),
        Case("an observation to Langfuse, process", "µs", {OURS: whole}),
        Case(
            "lost at 1,000 observations/s",
            "records",
            {OURS: partial(_lost, url, max(1.0, 5 * scale))},
            Goal(below=0.0),
            rounds=1,
        ),
        Case("exit, both hosts hang", "s", {OURS: partial(_exit, hanging)}, Goal(below=3.0), rounds=1),
        Case("a transition line to a file, caller", "µs", {OURS: line(time.thread_time)}, Goal(below=5.0)),
        Case("a transition line to a file, process", "µs", {OURS: line(cpu)}, Goal(below=5.0)),
        # A turn with a model that costs nothing is 0.4 ms, and 53 lines; over HTTP it is what a service pays.
        Case(
            "turns over HTTP, transitions logged",
            "turns/s",
            {FLOOR: quiet(server), OURS: logged(server)},
            Goal(ratio=0.9),
        ),
        Case("turns with a free model, logged", "turns/s", {FLOOR: quiet(None), OURS: logged(None)}),
    ]


def _receiver(mode: str) -> tuple[subprocess.Popen[str], str]:
    """Start a receiver in a process of its own, and return it with its address."""
    program = (
        f"import sys, time; sys.path.insert(0, {str(RECEIVER.parent)!r})\n"
        f"from trace_receiver import receiving\nwith receiving({mode!r}) as receiver:\n"
        "    print(receiver.url, flush=True)\n    sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def _model_server() -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, str(Path(__file__).with_name("model_server.py"))]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, f"http://127.0.0.1:{process.stdout.readline().strip()}"


def main() -> int:
    """Measure, print, and return 1 if a goal is not reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=[*BACKENDS, "all"], default="asyncio")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0)
    arguments = parser.parse_args()
    logging.disable()
    missed = False
    (good, url), (bad, hanging), (model, server) = _receiver("ok"), _receiver("hang"), _model_server()
    try:
        for backend in BACKENDS if arguments.backend == "all" else (arguments.backend,):
            options = {"use_uvloop": True} if backend == "uvloop" else {}
            structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
            with tempfile.TemporaryDirectory() as folder:

                async def run(folder: str = folder) -> list[Result]:
                    found = cases(arguments.scale, url, hanging, server, Path(folder))
                    return await measure(found, arguments.rounds, lambda _: None)

                results = anyio.run(run, backend="trio" if backend == "trio" else "asyncio", backend_options=options)
            print(render(f"Traces and logs on {backend}", results), end="\n\n", flush=True)
            missed |= any(result.reached() is False for result in results)
    finally:
        for process in (good, bad, model):
            process.kill()
            process.wait()
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
