"""What the Functions of one system tell of their calls, and to whom it goes."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tinyllm_actors.function.tracing.observation import CURRENT_OBSERVATION, Observation
from tinyllm_actors.function.tracing.remote import REMOTE_PARENT
from tinyllm_actors.kernel import Courier

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.function.function import Function
    from tinyllm_actors.function.result import Result
    from tinyllm_actors.function.tracing.observation import Kind
    from tinyllm_actors.function.tracing.tracer import Tracer

__all__ = ["Line", "Tracing"]

_ALL: Final = 1 << 64


class Line:
    """The way to one tracer: its own queue and thread, so that one that hangs keeps no other waiting."""

    def __init__(self, tracer: Tracer, max_waiting: int, close_timeout: float) -> None:
        self.tracer = tracer
        self.courier: Courier[tuple[bool, Observation]] | None = None
        self._inline_failures = 0
        if not tracer.inline:
            self.courier = Courier(
                self._deliver,
                name=f"tracing: {tracer.name}",
                max_waiting=max_waiting,
                before=tracer.open,
                after=partial(tracer.close, close_timeout),
            )

    def put(self, is_end: bool, observation: Observation) -> None:
        """Hand over the start or the end of an observation; never waits, never raises."""
        courier = self.courier
        if courier is not None:
            courier.put((is_end, observation))
            return
        try:
            (self.tracer.ended if is_end else self.tracer.started)(observation)
        except Exception:
            self._inline_failures += 1

    def _deliver(self, batch: Sequence[tuple[bool, Observation]]) -> None:
        tracer = self.tracer
        failure: Exception | None = None
        for is_end, observation in batch:
            try:
                (tracer.ended if is_end else tracer.started)(observation)
            except Exception as error:  # one that cannot be told must not take the others along
                failure = error
        tracer.flush()
        if failure is not None:
            raise failure

    @property
    def dropped(self) -> int:
        """Starts and ends that found no room."""
        return 0 if self.courier is None else self.courier.dropped

    @property
    def failures(self) -> int:
        """Batches that the tracer failed on."""
        return self._inline_failures if self.courier is None else self.courier.failures


class Tracing:
    """Makes observations of calls and gives them to tracers. `start_tracing` makes one for a system.

    Args:
        lines: the ways to the tracers.
        sample_rate: the part of all traces that is kept; a trace is kept as a whole or not at all.
        capture: keep inputs and outputs.
        tags: of every trace.
    """

    def __init__(self, lines: Sequence[Line], *, sample_rate: float, capture: bool, tags: tuple[str, ...]) -> None:
        self.lines = list(lines)
        self._counting = [line for line in lines if line.tracer.sees_all]
        import structlog  # the actor system has imported it by now

        # Bound once, as each call of what `get_logger()` returns would make a logger, which takes 80 µs.
        self._log = structlog.get_logger("tinyllm_actors.trace").bind()
        self._bind = structlog.contextvars.bind_contextvars
        self._limit = int(sample_rate * _ALL)
        self._capture = capture
        self._tags = tags

    @property
    def captures(self) -> bool:
        """Whether inputs and outputs are kept."""
        return self._capture

    @property
    def dropped(self) -> int:
        """Starts and ends of observations that were lost because a tracer was too slow."""
        return sum(line.dropped for line in self.lines)

    def begin(self, function: Function, arguments: Any) -> Observation:
        """Begin the observation of a call; from here on it is the current one of this message."""
        context = function.context
        message_id = context.message_id
        around = CURRENT_OBSERVATION.get()
        if around is not None and around.message_id == message_id != 0 and around.path == function.kernel_cell.path:
            around = around.around  # an attempt that crashed is beside the next one, not around it
        observation = self.start(function.name, function.observation_kind, arguments, around)
        CURRENT_OBSERVATION.set(observation)
        if function.user_id is not None:
            observation.user_id = function.user_id
        if function.session_id is not None:
            observation.session_id = function.session_id
        observation.message_id = message_id
        observation.path = function.kernel_cell.path
        observation.incarnation = context.incarnation
        observation.attempt = context.attempt
        self.announce(observation)
        return observation

    def start(self, name: str, kind: Kind, input: Any, around: Observation | None) -> Observation:
        """Begin an observation; `announce` it next."""
        observation = Observation(self, name, kind, input if self._capture else None, around)
        if around is None:
            remote = REMOTE_PARENT.get()
            if remote is None:
                observation.sampled = (observation.trace & (_ALL - 1)) < self._limit
            else:
                observation.trace, observation.parent = remote.trace, remote.span
                observation.sampled = remote.sampled
            observation.tags = self._tags
            if observation.sampled:
                self._show_link(observation)
        return observation

    def announce(self, observation: Observation) -> None:
        """Tell the tracers that an observation has begun."""
        for line in self.lines if observation.sampled else self._counting:
            line.put(False, observation)

    def _show_link(self, observation: Observation) -> None:
        """Put the trace into all log lines of the call."""
        observation.link = link = next((link for line in self.lines if (link := line.tracer.link(observation))), None)
        fields = {"trace_id": observation.trace_id}
        if link is not None:
            fields["trace_url"] = link
        self._bind(**fields)

    def finish(self, observation: Observation, result: Result) -> None:
        """End the observation of a call with its dictionary."""
        evaluations = result.get("evaluations")
        if evaluations:
            observation.evaluations = evaluations
        if result["status"] == "success":
            # What is more telling than the answer as it is, such as a model's message, is there already.
            self.end(observation, result["output"] if observation.output is None else observation.output)
        else:
            observation.status = "error"
            observation.error = {**result["error"], "message": result["message"]}
            self.end(observation, result["error"].get("partial"))

    def break_off(self, observation: Observation, error: BaseException) -> None:
        """End the observation of a call that was cancelled, or whose actor crashed."""
        if isinstance(error, Exception):
            observation.status = "error"
            observation.error = {"type": type(error).__name__, "message": str(error)}
        else:
            observation.status = "cancelled"
        self.end(observation, observation.output)

    def end(self, observation: Observation, output: Any) -> None:
        """End an observation."""
        if observation.ended_at:
            return
        observation.ended_at = observation.now()
        observation.output = output if self._capture else None
        if observation.status == "running":
            observation.status = "ok"
        for line in self.lines if observation.sampled else self._counting:
            line.put(True, observation)
        if observation.link is not None:
            self._log.info(f"[{observation.name}] trace: {observation.link}")
