"""Do several things at once, at most so many at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["check_cap", "together"]


def check_cap(max_concurrency: int | None) -> int | None:
    """Return the cap if it makes sense.

    Raises:
        ValueError: it is below 1.
    """
    if max_concurrency is not None and max_concurrency < 1:
        raise ValueError(f"max_concurrency is 1 or more, or None for no bound, not {max_concurrency!r}")
    return max_concurrency


async def together(run_one: Callable[[int], Awaitable[bool]], count: int, cap: int | None) -> None:
    """Run `run_one(index)` for each index, in order of their start; cancel the rest when one returns False.

    Args:
        run_one: must not raise for what it expects: several errors at once would reach the caller as a group.
        count: how many there are.
        cap: how many may run at the same time; None for all.
    """
    waiting = iter(range(count))

    async def work() -> None:
        for index in waiting:
            if not await run_one(index):
                group.cancel_scope.cancel()
                return

    workers = count if cap is None else min(cap, count)
    if workers == 1:
        for index in waiting:
            if not await run_one(index):
                return
        return
    async with anyio.create_task_group() as group:
        for _ in range(workers):
            group.start_soon(work)
