"""The longest ask among 100,000 idle actors that remember things, with and without the garbage collector's switch."""

from __future__ import annotations

import gc
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

from kernel_ours import open_system
from measuring import OURS, Case, Goal

from tinyllm_actors.kernel import Actor
from tinyllm_actors.kernel.gc_tuning import short_pauses

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = ["pause_cases"]


class Remembering(Actor):
    """Keeps what it is told, as a conversation does, so that the collector has more to look through each time."""

    def __init__(self) -> None:
        self.history: list[list[object]] = []

    async def receive(self, message: object) -> int:
        self.history.append([message])  # not a dictionary of strings, which the collector would not look at
        return len(self.history)


async def _longest_ask(scale: float, switch: AbstractContextManager[object]) -> float:
    """Return the longest of many asks, in ms of CPU time (a busy machine's own pauses are not ours)."""
    gc.collect()
    with switch:
        async with open_system() as system:
            refs = [await system.spawn(Remembering) for _ in range(max(10_000, int(100_000 * scale)))]
            longest = 0
            for ref in refs:
                started = time.thread_time_ns()
                await ref.ask("hello")
                longest = max(longest, time.thread_time_ns() - started)
            return longest / 1e6


def pause_cases(scale: float) -> list[Case]:
    """Return the cases."""

    async def usual() -> float:
        return await _longest_ask(scale, nullcontext())

    async def switched() -> float:
        return await _longest_ask(scale, short_pauses())

    return [
        Case("longest ask, 100,000 idle, usual collector", "ms", {OURS: usual}, rounds=3),
        Case("longest ask, 100,000 idle, short_pauses()", "ms", {OURS: switched}, Goal(below=5.0), rounds=3),
    ]
