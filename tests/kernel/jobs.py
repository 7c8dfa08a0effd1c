"""A state machine that does what its messages say, for the tests of state machines."""

from __future__ import annotations

from enum import StrEnum, auto
from typing import TYPE_CHECKING, Any

from tinyllm_actors.kernel import (
    Keep,
    Machine,
    Reply,
    StateMachineActor,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinyllm_actors.kernel import ActorRef
    from tinyllm_actors.kernel.fsm_actions import Action


class Phase(StrEnum):
    IDLE = "IDLE"
    BUSY = "BUSY"
    DONE = "DONE"


class Step(StrEnum):
    BEGIN = auto()
    REPEAT = auto()
    FINISH = auto()
    RESET = auto()


JOB = Machine(
    "job",
    {
        (Phase.IDLE, Step.BEGIN): Phase.BUSY,
        (Phase.BUSY, Step.REPEAT): Phase.BUSY,
        (Phase.BUSY, Step.FINISH): Phase.DONE,
        (Phase.BUSY, Step.RESET): Phase.IDLE,
        (Phase.DONE, Step.RESET): Phase.IDLE,
    },
    initial=Phase.IDLE,
)


class Job(StateMachineActor):
    """Does in each state what a message (a function of it) says, and writes everything down."""

    machine = JOB

    def __init__(self, log: list[str] | None = None, entry: dict[Phase, Sequence[Action]] | None = None) -> None:
        self.log: list[str] = [] if log is None else log
        self.entry = entry or {}

    async def on_any(self, message: Any) -> Any:
        self.log.append(f"{self.state}: {message if isinstance(message, str) else 'do'}")
        if isinstance(message, str):
            return len(self.log)
        return message(self)

    def enter_idle(self, source: Phase | None) -> Sequence[Action]:
        self.log.append(f"enter IDLE from {source}")
        return self.entry.get(Phase.IDLE, ())

    async def enter_busy(self, source: Phase | None) -> Keep:
        self.log.append(f"enter BUSY from {source}")
        return Keep(self.entry.get(Phase.BUSY, ()))


def act(function: Callable[[Job], Any]) -> Callable[[Job], Any]:
    """Return a message that does something in a job."""
    return function


def say(result: Any) -> Callable[[Job], Any]:
    """Return a message whose handler returns `result`."""
    return lambda _: result


async def do(ref: ActorRef, result: Any) -> Any:
    """Send a message whose handler returns `result`."""
    return await ref.ask(say(result), timeout=5.0)


async def log_of(ref: ActorRef) -> list[str]:
    """Return what was written down, without this question."""
    log: list[str] = await ref.ask(act(lambda self: Keep([Reply(list(self.log))])))
    return log[:-1]
