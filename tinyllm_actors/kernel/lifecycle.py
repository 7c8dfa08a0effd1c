"""The life of an actor: its states, what moves it between them, and why it ended."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import ClassVar

from tinyllm_actors.kernel.machine import Machine

__all__ = ["LIFECYCLE", "Event", "ExitKind", "ExitReason", "Lifecycle"]


class Lifecycle(enum.StrEnum):
    """Where an actor is in its life.

    ```python
    >>> from tinyllm_actors.kernel import LIFECYCLE, Lifecycle
    >>> [str(state) for (state, event) in LIFECYCLE.edges if event == "restart"]
    ['STARTING', 'RUNNING', 'SUSPENDED', 'PASSIVE']
    >>> LIFECYCLE.initial is Lifecycle.NEW
    True

    ```
    """

    NEW = "NEW"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    SUSPENDED = "SUSPENDED"
    PASSIVE = "PASSIVE"
    RESTARTING = "RESTARTING"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"


class Event(enum.StrEnum):
    """What moves an actor from one state to the next."""

    START = "start"
    STARTED = "started"
    SUSPEND = "suspend"
    RESUME = "resume"
    PASSIVATE = "passivate"
    RESTART = "restart"
    STOP = "stop"
    STOPPED = "stopped"


_S = Lifecycle
_E = Event

LIFECYCLE: Machine[Lifecycle, Event] = Machine(
    "lifecycle",
    {
        (_S.NEW, _E.START): _S.STARTING,
        (_S.NEW, _E.STOP): _S.STOPPING,
        (_S.STARTING, _E.STARTED): _S.RUNNING,
        (_S.STARTING, _E.RESTART): _S.RESTARTING,
        (_S.STARTING, _E.STOP): _S.STOPPING,
        (_S.RUNNING, _E.SUSPEND): _S.SUSPENDED,
        (_S.RUNNING, _E.PASSIVATE): _S.PASSIVE,
        (_S.RUNNING, _E.RESTART): _S.RESTARTING,
        (_S.RUNNING, _E.STOP): _S.STOPPING,
        (_S.SUSPENDED, _E.RESUME): _S.RUNNING,
        (_S.SUSPENDED, _E.RESTART): _S.RESTARTING,
        (_S.SUSPENDED, _E.STOP): _S.STOPPING,
        (_S.PASSIVE, _E.START): _S.STARTING,
        (_S.PASSIVE, _E.RESTART): _S.RESTARTING,
        (_S.PASSIVE, _E.STOP): _S.STOPPING,
        (_S.RESTARTING, _E.START): _S.STARTING,
        (_S.RESTARTING, _E.STOP): _S.STOPPING,
        (_S.STOPPING, _E.STOPPED): _S.STOPPED,
    },
    initial=Lifecycle.NEW,
)


class ExitKind(enum.StrEnum):
    """How an actor came to its end.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> from tinyllm_actors.kernel import ExitKind
    >>> async def main() -> bool:
    ...     async with ActorSystem("service") as system:
    ...         reason = await (await system.spawn(Actor)).kill()
    ...         return reason.kind is ExitKind.KILLED
    >>> anyio.run(main)
    True

    ```
    """

    NORMAL = "normal"
    """It asked to stop, with `self.context.stop()`."""
    STOPPED = "stopped"
    """Somebody called `ref.stop()`."""
    SHUTDOWN = "shutdown"
    """Its supervisor stopped, or stopped it because of a sibling."""
    KILLED = "killed"
    """Somebody called `ref.kill()`."""
    FAILED = "failed"
    """Its handler or its start failed."""
    PASSIVATED = "passivated"
    """It was idle for long enough; it comes back with the next message."""


@dataclass(frozen=True, slots=True)
class ExitReason:
    """Why an actor, or one incarnation of it, ended.

    ```python
    >>> from tinyllm_actors.kernel import ExitKind, ExitReason
    >>> reason = ExitReason(ExitKind.FAILED, OSError("disk full"))
    >>> str(reason), reason.abnormal
    ('failed: OSError: disk full', True)
    >>> str(ExitReason.SHUTDOWN), ExitReason.SHUTDOWN.abnormal
    ('shutdown', False)

    ```

    Attributes:
        kind: how.
        cause: the failure, where there was one.
    """

    kind: ExitKind
    cause: BaseException | None = None

    NORMAL: ClassVar[ExitReason]
    STOPPED: ClassVar[ExitReason]
    SHUTDOWN: ClassVar[ExitReason]
    KILLED: ClassVar[ExitReason]
    PASSIVATED: ClassVar[ExitReason]

    @property
    def abnormal(self) -> bool:
        """Whether this was no end in good order: a transient child that failed comes back, and who is linked fails."""
        return self.kind in {ExitKind.FAILED, ExitKind.KILLED}

    def __str__(self) -> str:
        return self.kind.value if self.cause is None else f"{self.kind}: {type(self.cause).__name__}: {self.cause}"


ExitReason.NORMAL = ExitReason(ExitKind.NORMAL)
ExitReason.STOPPED = ExitReason(ExitKind.STOPPED)
ExitReason.SHUTDOWN = ExitReason(ExitKind.SHUTDOWN)
ExitReason.KILLED = ExitReason(ExitKind.KILLED)
ExitReason.PASSIVATED = ExitReason(ExitKind.PASSIVATED)
