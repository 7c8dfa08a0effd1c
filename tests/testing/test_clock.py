"""The clock that jumps: exact, instant, fresh for each run, on every event loop."""

from __future__ import annotations

import time

import anyio
import pytest

from tinyllm_actors.testing.clock import VirtualClock

pytestmark = pytest.mark.virtual_time

BACKENDS = ("asyncio", "uvloop", "trio")


async def _sleep_for_a_day() -> float:
    await anyio.sleep(86_400)
    return anyio.current_time()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_day_passes_at_once(backend: str) -> None:
    """`run` sleeps a day in next to no time, and the clock shows exactly that day."""
    began = time.monotonic()
    assert VirtualClock(backend).run(_sleep_for_a_day) == 86_400
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_run_has_a_fresh_clock(backend: str) -> None:
    """A second run of the same `VirtualClock` begins at 0 again."""
    clock = VirtualClock(backend)
    assert [clock.run(_sleep_for_a_day) for _ in range(2)] == [86_400, 86_400]


@pytest.mark.anyio
async def test_deadlines_come_in_order_and_exactly() -> None:
    """Tasks wake in the order of their deadlines, each exactly at its own."""
    woken: list[tuple[str, float]] = []

    async def wake(name: str, period: float) -> None:
        for _ in range(3):
            await anyio.sleep(period)
            woken.append((name, anyio.current_time()))

    async with anyio.create_task_group() as group:
        group.start_soon(wake, "slow", 10.0)
        group.start_soon(wake, "quick", 7.0)
    assert woken == [("quick", 7.0), ("slow", 10.0), ("quick", 14.0), ("slow", 20.0), ("quick", 21.0), ("slow", 30.0)]


@pytest.mark.anyio
async def test_time_stands_still_while_anything_runs() -> None:
    """Work that goes through the event loop many times takes no time, even beside a pending time-out."""
    with anyio.move_on_after(0.001) as scope:
        for _ in range(1000):
            await anyio.lowlevel.checkpoint()
    assert not scope.cancelled_caught
    assert anyio.current_time() == 0


@pytest.mark.anyio
async def test_a_timeout_that_was_cancelled_does_not_move_the_clock() -> None:
    """A deadline that nobody waits for any more is not jumped to."""
    with anyio.move_on_after(1000):
        await anyio.sleep(1)
    await anyio.sleep(1)
    assert anyio.current_time() == 2


@pytest.mark.anyio
async def test_waiting_tasks_are_woken_before_the_clock_jumps() -> None:
    """A hand-over through events finishes at the instant at which it began."""
    there, back = anyio.Event(), anyio.Event()

    async def answer() -> None:
        await there.wait()
        back.set()

    async with anyio.create_task_group() as group:
        group.start_soon(answer)
        await anyio.sleep(5)
        with anyio.fail_after(1):
            there.set()
            await back.wait()
    assert anyio.current_time() == 5


@pytest.mark.anyio
async def test_threads_report_back_when_nothing_else_is_due() -> None:
    """Without a pending deadline the loop waits for a worker thread for real."""
    assert await anyio.to_thread.run_sync(lambda: 42) == 42


def test_unknown_backends_are_named() -> None:
    """A back end that does not exist is refused with its name and the ones there are."""
    with pytest.raises(ValueError, match=r"'curio'.*asyncio, uvloop, trio"):
        VirtualClock("curio")
