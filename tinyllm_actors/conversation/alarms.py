"""Fires the timers of conversations when they are due, also of those that are not in memory."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final, TypeVar, cast

import anyio
import structlog

from tinyllm_actors.conversation import wishes
from tinyllm_actors.errors import StoreError, TinyLLMError
from tinyllm_actors.kernel import Backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container

    from tinyllm_actors.conversation.live import LiveTable
    from tinyllm_actors.conversation.records import DueTimer
    from tinyllm_actors.conversation.ref import Conversations
    from tinyllm_actors.kernel import ActorRef

__all__ = ["Alarms", "patiently"]

T = TypeVar("T")

MAX_SLEEP: Final = 60.0
"""Seconds between two looks at the store's timers, for those that another process has set."""

TAKE_OVER_AFTER: Final = 120.0
"""Seconds for which a timer is left to the process that holds its conversation; then that is taken for dead."""

MAX_AT_ONCE: Final = 1000
MAX_UNFIRED: Final = 20_000
MAX_FIRING: Final = 32
_BACKOFF: Final = Backoff(0.1, 10.0, jitter=0.2)


async def patiently(function: Callable[[], Awaitable[T]]) -> T:
    """Call the store until it answers; a failure is logged, and is no reason to give up on all conversations."""
    attempt = 0
    while True:
        try:
            return await function()
        except StoreError as error:
            structlog.get_logger(__name__).warning("store failed, trying again", error=str(error), attempt=attempt)
        await anyio.sleep(_BACKOFF.delay(attempt, random.random()))
        attempt += 1


class Alarms:
    """The timers of a set of conversations.

    Args:
        hub: of the conversations.
        table: what is in memory.
        quarantined: keys that are left alone; their timers stay due.
    """

    def __init__(self, hub: ActorRef, table: LiveTable, quarantined: Container[str]) -> None:
        self._chats = cast("Conversations", hub)
        self._table = table
        self._quarantined = quarantined
        self._firing: set[tuple[str, str]] = set()
        self._unfired = 0
        self._sleep_until = 0.0
        self._wake = anyio.Event()
        self._limit = anyio.CapacityLimiter(MAX_FIRING)

    def wake(self, due: float = 0.0) -> None:
        """Look at the store anew, if a timer that is due then would be late otherwise."""
        if due < self._sleep_until:
            self._wake.set()

    async def run(self) -> None:
        """Fire timers, for ever."""
        store = self._table.store
        async with anyio.create_task_group() as tasks:
            while True:
                self._wake = anyio.Event()
                self._sleep_until = float("inf")  # what is set while the store looks may not be in its answer
                limit = MAX_AT_ONCE + self._unfired  # those that could not be fired must not stand before the others
                due = await patiently(lambda limit=limit: store.due_timers(time.time() + MAX_SLEEP, limit=limit))
                now = time.time()
                ripe = [timer for timer in due if timer.due <= now]
                for timer in ripe:
                    if timer.key not in self._quarantined and (timer.key, timer.timer_id) not in self._firing:
                        self._firing.add((timer.key, timer.timer_id))
                        tasks.start_soon(self._fire, timer)
                self._unfired = min(len(ripe), MAX_UNFIRED)
                longest = 1.0 if len(due) == limit else MAX_SLEEP
                self._sleep_until = min([now + longest, *(timer.due for timer in due if timer.due > now)])
                with anyio.move_on_after(max(0.01, self._sleep_until - time.time())):
                    await self._wake.wait()

    async def _fire(self, timer: DueTimer) -> None:
        try:
            async with self._limit:
                if await self._ours(timer):
                    await self._chats[timer.key].wish(wishes.Fire(timer.timer_id, timer.due))
        except TinyLLMError as error:  # it stays due
            structlog.get_logger(__name__).warning(
                "timer not fired", key=timer.key, timer=timer.timer_id, error=str(error)
            )
        finally:
            self._firing.discard((timer.key, timer.timer_id))

    async def _ours(self, timer: DueTimer) -> bool:
        """Whether the timer is for this process: of those that share a store, one fires it."""
        if timer.key in self._table.entries or timer.due < time.time() - TAKE_OVER_AFTER:
            return True
        return bool(await self._table.store.claim([timer.key], self._table.owner, take_over=False))
