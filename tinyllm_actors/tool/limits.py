"""Limits that all calls of a tool share: how many run at once, and how many start in a period.

They belong to the tool as it was defined. Copies of it (`with_options`, a method of several instances) that have the
same limit share it, in all systems of one event loop; another process or loop counts for itself.
"""

from __future__ import annotations

import math
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import anyio
from anyio.lowlevel import RunVar

from tinyllm_actors.errors import ToolRateLimited

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tinyllm_actors.tool.definition import Tool

__all__ = ["Origin", "RateLimit", "RateWindow", "held_limits"]


class RateLimit(NamedTuple):
    """How often a tool may start: at most `calls` times in any `period` seconds. A plain pair will do.

    Attributes:
        calls: at least 1.
        period: seconds.
    """

    calls: int
    period: float


class Origin:
    """What a tool has in common with all that were made from it; it holds nothing."""

    __slots__ = ("__weakref__",)


class RateWindow:
    """The last starts, and when the next may be. Pure: the caller brings the time, in seconds that never go back."""

    __slots__ = ("_limit", "_starts")

    def __init__(self, limit: RateLimit) -> None:
        self._limit = limit
        self._starts = deque([-math.inf] * limit.calls, maxlen=limit.calls)

    def earliest(self, now: float, *, ahead: int = 0) -> float:
        """Return when a call may start that has `ahead` others before it, if those start as early as they may."""
        calls, period = self._limit
        rounds, place = divmod(ahead, calls)
        return max(now, self._starts[place] + period) + period * rounds

    def start(self, now: float) -> None:
        """Count a start."""
        self._starts.append(now)


class _Gate:
    """Lets calls through one after the other, as fast as the rate allows."""

    def __init__(self, limit: RateLimit) -> None:
        self._window = RateWindow(limit)
        self._limit = limit
        self._turn = anyio.Lock()
        self._waiting = 0

    async def pass_through(self, tool: str, deadline: float) -> None:
        """Wait for this call's turn.

        Raises:
            ToolRateLimited: that would be after the deadline.
        """
        now = anyio.current_time()
        at = self._window.earliest(now, ahead=self._waiting)
        if at > deadline:
            calls, period = self._limit
            raise ToolRateLimited(
                tool,
                f"tool {tool!r} may be called {calls} times in {period:g} s; try again in {math.ceil(at - now)} s",
                retry_after=at - now,
            )
        self._waiting += 1
        try:
            async with self._turn:
                while (at := self._window.earliest(now := anyio.current_time())) > now:  # noqa: ASYNC110 - for time, not for an event
                    await anyio.sleep_until(at)
                self._window.start(now)
        finally:
            self._waiting -= 1


_States = WeakKeyDictionary[Origin, "dict[object, Any]"]
_states: Final = RunVar[_States]("tinyllm_actors.tool limits")


def _shared(tool: Tool[..., Any]) -> dict[object, Any]:
    try:
        states = _states.get()
    except LookupError:
        _states.set(states := WeakKeyDictionary())
    return states.setdefault(tool.origin, {})


@asynccontextmanager
async def held_limits(tool: Tool[..., Any], deadline: float) -> AsyncGenerator[None]:
    """Wait until the tool's limits let another call run, and count it while the block runs.

    Args:
        tool: whose limits.
        deadline: of the call, in seconds of `anyio.current_time()`.

    Raises:
        ToolRateLimited: the rate allows no call before the deadline.
    """
    shared = _shared(tool)
    if tool.concurrency is None:
        room = None
    else:
        key = ("concurrency", tool.concurrency)
        if (room := shared.get(key)) is None:
            room = shared[key] = anyio.Semaphore(tool.concurrency)
        await room.acquire()
    try:
        if tool.rate_limit is not None:
            limit = RateLimit(*tool.rate_limit)
            if (gate := shared.get(limit)) is None:
                gate = shared[limit] = _Gate(limit)
            await gate.pass_through(tool.name, deadline)
        yield
    finally:
        if room is not None:
            room.release()
