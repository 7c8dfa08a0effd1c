"""Deadlines: exact, in order, cheap to forget."""

from __future__ import annotations

import random
import weakref
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.kernel.timers import MAX_NEW, Timers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

Rung = list[tuple[float, object]]

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]


@asynccontextmanager
async def open_timers() -> AsyncGenerator[Timers]:
    """Open timers whose task ends with the block."""
    async with anyio.create_task_group() as group:

        def start(sleep: Callable[[], Coroutine[Any, Any, None]]) -> None:
            group.start_soon(sleep)

        yield Timers(anyio.current_time, start)
        group.cancel_scope.cancel()


class Bell:
    """Notes when it rang."""

    def __init__(self, name: object, rung: Rung, after: Callable[[], object] | None = None) -> None:
        self.name = name
        self.rung = rung
        self.after = after

    def expire(self) -> None:
        """Ring."""
        self.rung.append((anyio.current_time(), self.name))
        if self.after is not None:
            self.after()


async def test_deadlines_pass_in_order_and_on_time() -> None:
    """Each deadline passes at its time, equal ones in the order in which they were set, however many there are."""
    rung: Rung = []
    times = [float(number // 3) for number in range(4 * MAX_NEW)]
    random.Random(7).shuffle(times)
    start = anyio.current_time()
    async with open_timers() as timers:
        for number, after in enumerate(times):
            timers.at(start + after, Bell((after, number), rung))
        await anyio.sleep_until(start + max(times) + 1)
    expected = sorted((after, number) for number, after in enumerate(times))
    assert [name for _, name in rung] == expected
    assert [time - start for time, _ in rung] == [after for after, _ in expected]
    assert len(timers) == 0


async def test_a_cancelled_deadline_does_not_pass_and_keeps_nothing_alive() -> None:
    """What is cancelled never expires, and its target is let go at once, new or long known."""
    rung: Rung = []
    start = anyio.current_time()
    async with open_timers() as timers:
        bells = [Bell(number, rung) for number in range(2 * MAX_NEW + 10)]
        entries = [timers.at(start + 10, bell) for bell in bells]
        gone = [weakref.ref(bells[number]) for number in (0, len(bells) - 1)]
        for entry in entries[:-2] + entries[-1:]:
            timers.cancel(entry)
        bells.clear()
        del entries
        assert [reference() for reference in gone] == [None, None]
        assert len(timers) == 1
        await anyio.sleep_until(start + 11)
    assert rung == [(start + 10, 2 * MAX_NEW + 8)]


async def test_cancelled_deadlines_do_not_pile_up() -> None:
    """However many are set and cancelled behind one that lasts, what is kept is in proportion to what is alive."""
    start = anyio.current_time()
    async with open_timers() as timers:
        timers.at(start + 1e6, Bell("last", []))
        alive = deque([timers.at(start + 1e5, Bell(number, [])) for number in range(MAX_NEW)])
        for _ in range(20 * MAX_NEW):  # each has left the list of new ones when it is cancelled
            alive.append(timers.at(start + 1e5, Bell("next", [])))
            timers.cancel(alive.popleft())
        assert len(timers) == MAX_NEW + 1
        assert timers.held <= 4 * MAX_NEW


async def test_an_earlier_deadline_is_not_missed_by_a_sleeper() -> None:
    """A deadline set while the next one is far away passes on time, also when it is set by one that passes."""
    rung: Rung = []
    start = anyio.current_time()
    async with open_timers() as timers:
        timers.at(start + 100, Bell("far", rung))
        await anyio.sleep(1)
        timers.at(start + 3, Bell("near", rung, lambda: timers.at(start + 5, Bell("nearer", rung))))
        await anyio.sleep_until(start + 101)
    assert rung == [(start + 3, "near"), (start + 5, "nearer"), (start + 100, "far")]
