"""What few actors need, made on first use, so that the many pay nothing for it.

Even of these, most need but one or two things. What is empty is therefore the same empty tuple for all, and a list or
set of its own only from the first entry on: the garbage collector, which looks at each container, has half as many to
look at.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Context

    from tinyllm_actors.kernel.behaviour import Observer
    from tinyllm_actors.kernel.cell import Cell
    from tinyllm_actors.kernel.debug import Look
    from tinyllm_actors.kernel.dedicated import Runner
    from tinyllm_actors.kernel.envelope import Ask, Envelope, Signal
    from tinyllm_actors.kernel.lifecycle import ExitReason
    from tinyllm_actors.kernel.owned import IdleTimer, OwnedTask, OwnedTimer
    from tinyllm_actors.kernel.pool import Table
    from tinyllm_actors.kernel.restart_job import RestartJob
    from tinyllm_actors.kernel.slots import Slot
    from tinyllm_actors.kernel.waiter import Waiter

__all__ = ["NO_WAITERS", "Cold"]


NO_WAITERS: Final[deque[Waiter]] = deque(maxlen=0)
"""Stands for no waiters wherever there are none: an empty deque of its own takes 760 bytes. Nothing can be put in."""


class Cold:
    """The part of a cell that most actors never need."""

    __slots__ = (
        "ahead",
        "behaviours",
        "deferred",
        "endings",
        "halting",
        "idle_timers",
        "inserted",
        "interruptible",
        "joiners",
        "leaving",
        "looks",
        "observers",
        "postponed",
        "quiet",
        "receive_timeout",
        "replay",
        "restart_job",
        "router",
        "runner",
        "tasks",
        "timers",
        "urgent",
        "waiters",
        "watchers",
        "watching",
    )

    def __init__(self) -> None:
        self.urgent: list[Signal] | tuple[()] = ()
        self.inserted: list[Signal] | tuple[()] = ()  # what a state machine wants to handle next
        self.ahead: list[Envelope] | tuple[()] = ()  # before user messages in the mailbox; the next one is the last
        self.waiters: deque[Waiter] = NO_WAITERS
        self.watchers: dict[Cell, int] = {}  # who is told of the end, and how: the bits of `watch`
        self.watching: dict[Cell, int] = {}
        self.joiners: list[Slot] | tuple[()] = ()
        self.quiet: list[Slot] | tuple[()] = ()
        self.leaving: ExitReason | None = None  # it asked to stop after the message in processing
        self.halting = False  # an incarnation is being taken down
        self.interruptible = 0  # the incarnation whose handler is where no stop waits for it
        self.restart_job: RestartJob | None = None  # the restart it is part of; a later one takes over
        self.tasks: set[OwnedTask] | tuple[()] = ()
        self.timers: dict[str, OwnedTimer] = {}
        self.behaviours: list[Callable[[Any], Any]] | tuple[()] = ()  # what handles messages; the last one counts
        self.observers: tuple[Observer, ...] = ()  # who is told of each message that is handled
        self.idle_timers: tuple[IdleTimer, ...] = ()
        self.receive_timeout: IdleTimer | None = None  # which of them is the actor's own
        self.looks: tuple[Look, ...] = ()  # calls that run between two messages
        # asks that the actor answers later, and what it wants to do when an asker leaves before
        self.deferred: dict[Ask, Callable[[], object] | None] = {}
        self.postponed: list[tuple[Envelope, Context]] | tuple[()] = ()  # messages that wait for another state
        self.replay = False  # that state has come
        self.endings: dict[object, Callable[[Cell, ExitReason], object]] = {}  # what else the final stop undoes
        self.runner: Runner | None = None  # the task of an actor that has one to itself
        self.router: Table | None = None  # how a pool chooses among its members

    def add_urgent(self, envelope: Signal) -> None:
        """Put a message into the control lane."""
        if not self.urgent:
            self.urgent = []
        self.urgent.append(envelope)

    def add_inserted(self, envelope: Signal) -> None:
        """Put a message behind those that a state machine wants to handle next."""
        if not self.inserted:
            self.inserted = []
        self.inserted.append(envelope)

    def owns_anything(self) -> bool:
        """Whether an incarnation must be taken down step by step, even without children."""
        return bool(
            self.tasks
            or self.timers
            or self.idle_timers
            or self.behaviours
            or self.leaving
            or self.watching
            or self.deferred
            or self.postponed
            or self.runner
        )
