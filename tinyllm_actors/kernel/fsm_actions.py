"""What a state of a `StateMachineActor` answers to a message: where to go, and what else to do, as data.

Source: OTP `gen_statem`, transition actions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinyllm_actors.kernel.deferred import ReplyTo

__all__ = [
    "Action",
    "CancelTimeout",
    "Keep",
    "NamedTimeout",
    "Next",
    "NextEvent",
    "Postpone",
    "Reply",
    "StateTimeout",
]


@dataclass(frozen=True, slots=True)
class Postpone:
    """Put this message off until the state has changed; its asker goes on waiting.

    Messages that were put off come back oldest first and before all others. To be returned alone or as an action.
    """


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer an ask.

    Args:
        value: the answer.
        to: whose, from `self.context.reply_later()`; left out, that of this message.
    """

    value: Any
    to: ReplyTo | None = None


@dataclass(frozen=True, slots=True)
class StateTimeout:
    """Send a message to the machine itself if it is still in the same state after a while.

    There is one at a time; a change of state cancels it.

    Args:
        seconds: from now; None to cancel the one that runs.
        message: what to send.
    """

    seconds: float | None
    message: Any = None


@dataclass(frozen=True, slots=True)
class NamedTimeout:
    """Send a message to the machine itself after a while, whatever the state; one of the same name is replaced.

    Args:
        name: what it is called, to cancel or replace it.
        seconds: from now.
        message: what to send.
    """

    name: str
    seconds: float
    message: Any = None


@dataclass(frozen=True, slots=True)
class CancelTimeout:
    """Cancel a named time-out; nothing happens if there is none."""

    name: str


@dataclass(frozen=True, slots=True)
class NextEvent:
    """Handle this message next, before those that wait and those that come back."""

    message: Any


Action = Postpone | Reply | StateTimeout | NamedTimeout | CancelTimeout | NextEvent


@dataclass(frozen=True, slots=True)
class Next:
    """Go to another state, along an edge of the machine.

    Args:
        state: where to; may be left out where `event` says it.
        actions: what else to do, in this order, before those of the state that is entered.
        event: along which edge; left out, the first of the table that leads there.
    """

    state: Any = None
    actions: Sequence[Action] = ()
    event: Any = None

    def __post_init__(self) -> None:
        if self.state is None and self.event is None:
            raise TypeError("Next() needs the state to go to, or the event that leads there")


@dataclass(frozen=True, slots=True)
class Keep:
    """Stay in the same state.

    Args:
        actions: what else to do, in this order.
    """

    actions: Sequence[Action] = ()
