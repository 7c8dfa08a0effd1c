"""The timers of one conversation: set, cancelled, and seen to when they are due."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyllm_actors.conversation import wishes
from tinyllm_actors.conversation.entries import TimerFired, TimerSet
from tinyllm_actors.conversation.recorder import APPROVALS, OUR_TIMERS
from tinyllm_actors.conversation.turn import Turn
from tinyllm_actors.conversation.turn_log import TurnLog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tinyllm_actors.conversation.alarms import Alarms
    from tinyllm_actors.conversation.writer import Writer

__all__ = ["next_of", "see_to"]


async def see_to(
    wish: wishes.Remind | wishes.CancelTimer | wishes.Fire | wishes.GetTimers,
    writer: Writer,
    alarms: Alarms,
    logs: Iterable[TurnLog],
    enqueue: Callable[[Turn], object],
) -> bool | list[TimerSet] | None:
    """Do what is wished about timers, and return the answer.

    Args:
        wish: what.
        writer: of the conversation.
        alarms: fires what is set.
        logs: of the turns that are known.
        enqueue: takes the turn in which something is said because its time has come.
    """
    timers = writer.state.timers
    match wish:
        case wishes.Remind(timer_id, due, content, every):
            await writer.write(TimerSet(timer_id=timer_id, due=due, content=content, every=every))
            alarms.wake(due)
        case wishes.CancelTimer(timer_id):
            if timer_id not in timers:
                return False
            await writer.write(TimerFired(timer_id=timer_id))
            return True
        case wishes.Fire(timer_id, due):
            timer = timers.get(timer_id)
            turn_id = f"timer:{timer_id}:{due!r}"
            if timer is None or timer.due != due or any(log.turn_id == turn_id for log in logs):
                return None  # it was moved, cancelled, or is being seen to
            if timer_id == APPROVALS:  # the run, which goes on by now, denies what was asked, and sets the next
                if writer.state.open_turn() is None:
                    await writer.write(TimerFired(timer_id=timer_id))
            else:
                enqueue(Turn(TurnLog(turn_id), timer.content, timer=timer))
        case _:
            return [timer for timer in timers.values() if not timer.timer_id.startswith(OUR_TIMERS)]
    return None


def next_of(timer: TimerSet, now: float) -> TimerFired | TimerSet:
    """Return what is written when a timer has fired: that it has, or when a repeated one fires next.

    What was missed meanwhile is skipped: of an hourly timer that was due at 8:00 and is seen to at 10:30, the next is
    at 11:00.

    Args:
        timer: as it was set.
        now: seconds since the epoch.
    """
    if timer.every is None:
        return TimerFired(timer_id=timer.timer_id)
    missed = max(0, int((now - timer.due) // timer.every))
    due = timer.due + (missed + 1) * timer.every
    return TimerSet(timer_id=timer.timer_id, due=due, content=timer.content, every=timer.every)
