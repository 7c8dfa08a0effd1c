"""The actor that owns the tracers of a system: it opens them first and closes them after everybody else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import anyio

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.function.tracing.hub import Line, Tracing
from tinyllm_actors.function.tracing.tracer import Tracer
from tinyllm_actors.kernel import Actor, ChildSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.kernel import ActorSystem, ExitReason

__all__ = ["start_tracing"]

CHECK_SECONDS = 30.0
"""How often the log is told of losses."""

_CHECK = "check"


class TracingService(Actor):
    """Owns the ways to the tracers."""

    def __init__(self, tracing: Tracing, close_timeout: float) -> None:
        self._tracing = tracing
        self._close_timeout = close_timeout
        self._told = (0, 0)

    async def started(self) -> None:
        """Watch the system, for the tracers that wish it."""
        for line in self._tracing.lines:
            if type(line.tracer).watch is not Tracer.watch:
                self.context.start_task(self._watch, line.tracer)
        self.context.send_after(CHECK_SECONDS, _CHECK, every=CHECK_SECONDS)
        self.context.system.tracing = self._tracing

    async def _watch(self, tracer: Tracer) -> None:
        try:
            await tracer.watch(self.context.system)
        except Exception as error:  # the calls are still traced
            _log().warning(f"tracer {tracer.name!r} no longer watches the system", error=repr(error))

    async def receive(self, message: object) -> None:
        """Tell the log what was lost."""
        self._report()

    def _report(self) -> None:
        lines = self._tracing.lines
        lost = (sum(line.dropped for line in lines), sum(line.failures for line in lines))
        if lost != self._told:
            self._told = lost
            for line in lines:
                if line.dropped or line.failures:
                    failure = None if line.courier is None else line.courier.last_failure
                    _log().warning(
                        f"tracer {line.tracer.name!r} has lost {line.dropped} records and failed {line.failures} times",
                        error=None if failure is None else repr(failure),
                    )

    async def stopped(self, reason: ExitReason) -> None:
        """Let the tracers send what they have, for as long as they may."""
        self.context.system.tracing = None
        couriers = [line.courier for line in self._tracing.lines if line.courier is not None]
        for courier in couriers:
            courier.finish()
        deadline = time.monotonic() + self._close_timeout
        pause = 0.001
        while not all(courier.done.is_set() for courier in couriers) and time.monotonic() < deadline:
            await anyio.sleep(pause)  # not in a thread that would have to end first
            pause = min(0.02, pause * 2)
        for line in self._tracing.lines:
            if line.courier is not None and not line.courier.done.is_set():
                _log().warning(f"tracer {line.tracer.name!r} did not take all records in time; what was left is lost")
        self._report()


def _log() -> Any:
    import structlog  # the actor system has imported it by now

    return structlog.get_logger("tinyllm_actors.tracing")


async def start_tracing(
    system: ActorSystem,
    *tracers: Tracer,
    sample_rate: float = 1.0,
    capture: bool = True,
    tags: Sequence[str] = (),
    max_waiting: int = 10_000,
    close_timeout: float = 2.5,
) -> Tracing:
    """Tell tracers of every call of a Function in this system, until it ends.

    Observations are nested as the calls are, whichever actor, task or thread made them. No actor ever waits for a
    tracer: of what is too much for one, the rest is dropped and counted.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem, Function, chain
    >>> from tinyllm_actors.function.tracing import start_tracing
    >>> from tinyllm_actors.testing import TraceRecorder
    >>> class Double(Function):
    ...     async def run(self, input: int) -> int:
    ...         return 2 * input
    >>> async def main() -> None:
    ...     recorder = TraceRecorder()
    ...     async with ActorSystem("service") as system:
    ...         await start_tracing(system, recorder)
    ...         twice = await system.spawn(chain(Double, Double, name="twice"))
    ...         await twice(input=3)
    ...     print(recorder.render())
    >>> anyio.run(main)
    twice  chain
    ├── Double  span
    └── Double  span

    ```

    Args:
        system: whose calls.
        tracers: who is told, each in a thread of its own.
        sample_rate: the part of all traces that is kept, 0.0 to 1.0. A trace is kept as a whole or not at all.
        capture: keep inputs and outputs; without, there are only names, times, models, tokens, cost and errors.
        tags: of every trace.
        max_waiting: records (a start or an end) that may wait for a tracer.
        close_timeout: seconds that the tracers may take, together, to send what is left when the system ends.

    Returns:
        the hub; its `dropped` says what was lost.

    Raises:
        ConfigurationError: the system is traced already, or an argument has no meaning.
    """
    if not tracers or not 0.0 <= sample_rate <= 1.0 or max_waiting < 1 or not close_timeout > 0:
        raise ConfigurationError(
            "need a tracer, 0 <= sample_rate <= 1, max_waiting >= 1 and close_timeout > 0, got "
            f"{len(tracers)} tracers, {sample_rate!r}, {max_waiting!r} and {close_timeout!r}"
        )
    if system.tracing is not None:
        raise ConfigurationError(f"system {system.name!r} is traced already; give all tracers in one call")
    lines = [Line(tracer, max_waiting, close_timeout) for tracer in tracers]
    tracing = Tracing(lines, sample_rate=sample_rate, capture=capture, tags=tuple(tags))
    spec = ChildSpec(TracingService, tracing, close_timeout)
    await system.service("tracing", spec.with_options(shutdown=close_timeout + 0.5))
    return tracing
