"""The port to what keeps traces. An adapter subclasses `Tracer`; `start_tracing` opens it and closes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinyllm_actors.function.tracing.observation import Observation
    from tinyllm_actors.kernel import ActorSystem

__all__ = ["Tracer"]


class Tracer:
    """Gets the observations of a system.

    `open`, `started`, `ended` and `close` are called in a thread that is this tracer's own, one at a time and in
    order: they may take their time, and no actor waits for them. A parent starts before its children and may end
    before or after them. Every observation ends, unless the process does.

    ```python
    >>> from tinyllm_actors.function.tracing import Observation, Tracer
    >>> class Slow(Tracer):
    ...     def ended(self, observation: Observation) -> None:
    ...         if observation.seconds > 10:
    ...             print(f"{observation.path} took {observation.seconds:.0f} s")

    ```

    Attributes:
        name: what the log calls it.
        inline: call `started` and `ended` at once, where the call is made, instead of in a thread: for tracers that
            take no longer than a list's `append`.
        sees_all: call `started` and `ended` for traces that are not sampled, too: for those who count.
    """

    name: str = "tracer"
    inline: bool = False
    sees_all: bool = False

    def open(self) -> None:
        """Get ready. What it raises is logged, and the tracer stays."""

    def started(self, observation: Observation) -> None:
        """A call began. Its output, and much else, is not known yet."""

    def ended(self, observation: Observation) -> None:
        """A call ended; nothing of the observation changes any more."""

    def flush(self) -> None:
        """Send what waits. Called every now and then."""

    def close(self, timeout: float) -> None:
        """Send what waits and let go of everything, within `timeout` seconds."""

    async def watch(self, system: ActorSystem) -> None:
        """Watch the system itself, on its event loop, until cancelled: for what no call tells, such as queues."""

    def link(self, observation: Observation) -> str | None:
        """Return where a person can look at the trace; called on the event loop, so it must not wait."""
        return None
