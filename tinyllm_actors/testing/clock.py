"""Event loops in which waiting takes no time, so that tests of time-outs and back-offs are exact and instant."""

from __future__ import annotations

import asyncio
import heapq
import selectors
from contextvars import copy_context
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextvars import Context

__all__ = ["VirtualClock"]

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

BACKENDS: Final = ("asyncio", "uvloop", "trio")


class VirtualClock:
    """A back end whose clock stands still while anything runs, and jumps to the next deadline when all tasks wait.

    `anyio.current_time()` begins at 0 and shows exactly what was slept for. A task that waits for a worker thread, a
    process or the network looks idle to the clock, so time-outs around such waits fire at once; one that swallows
    its cancellation never looks idle, so the clock stands still. Test those in real time.

    ```python
    >>> async def nap() -> float:
    ...     await anyio.sleep(3600)
    ...     return anyio.current_time()
    >>> VirtualClock("trio").run(nap)
    3600.0

    ```

    With pytest and anyio's plugin, each test gets a clock of its own:

    ```python
    @pytest.fixture(params=["asyncio", "uvloop", "trio"])
    def anyio_backend(request):
        return VirtualClock(request.param).anyio_backend
    ```

    Args:
        backend: `"asyncio"`, `"uvloop"` or `"trio"`.

    Raises:
        ValueError: there is no such back end.
    """

    def __init__(self, backend: str = "asyncio") -> None:
        if backend not in BACKENDS:
            raise ValueError(f"no virtual clock for back end {backend!r}; there is one for {', '.join(BACKENDS)}")
        self.backend = backend

    @property
    def anyio_backend(self) -> tuple[str, dict[str, Any]]:
        """The name and the options of a back end with a fresh clock, for anyio's pytest plugin and `anyio.run`."""
        if self.backend == "trio":
            from trio.testing import MockClock

            return "trio", {"clock": MockClock(autojump_threshold=0)}
        return "asyncio", {"loop_factory": _VirtualLoop if self.backend == "asyncio" else _virtual_uvloop}

    def run(self, function: Callable[[*Arguments], Awaitable[T]], *args: *Arguments) -> T:
        """Run an async function to its end, in a new event loop with a fresh clock.

        Args:
            function: what to run.
            args: its arguments.
        """
        name, options = self.anyio_backend
        return anyio.run(function, *args, backend=name, backend_options=options)


class _JumpingSelector(selectors.DefaultSelector):
    """Instead of waiting for a deadline, jump to it. Waits for real only when there is no deadline."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return super().select(None)
        ready = super().select(0)
        if not ready:
            self.now += max(0.0, timeout)
        return ready


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def _virtual_uvloop() -> asyncio.AbstractEventLoop:  # noqa: C901 - a class, made here because uvloop is optional
    """Return a uvloop with timers of its own: libuv's clock cannot be set, so what uses it is replaced.

    While there are timers, a callback keeps going round the ready queue. When it meets no other on its way round,
    all tasks wait, and the next timer is due.
    """
    import uvloop

    class VirtualUvloop(uvloop.Loop):
        def __init__(self) -> None:
            super().__init__()
            self._now = 0.0
            self._timers: list[tuple[float, int, _Timer]] = []
            self._order = count()
            self._met_others = False
            self._going_round = False

        def time(self) -> float:
            return self._now

        def call_soon(
            self, callback: Callable[..., object], *args: Any, context: Context | None = None
        ) -> asyncio.Handle:
            self._met_others = True
            return super().call_soon(callback, *args, context=context)

        def call_later(
            self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
        ) -> asyncio.TimerHandle:
            return self.call_at(self._now + delay, callback, *args, context=context)

        def call_at(
            self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
        ) -> asyncio.TimerHandle:
            timer = _Timer(when, callback, args, self, context or copy_context())
            heapq.heappush(self._timers, (when, next(self._order), timer))
            if not self._going_round:
                self._going_round = True
                super().call_soon(self._go_round)
            return timer

        def _timer_handle_cancelled(self, timer: asyncio.TimerHandle) -> None:
            """Every `TimerHandle` tells its loop; here a cancelled one is skipped when it is due."""

        def _go_round(self) -> None:
            timers = self._timers
            while timers and timers[0][2].cancelled():
                heapq.heappop(timers)
            if timers and not self._met_others:
                self._now = max(self._now, timers[0][0])
            while timers and timers[0][0] <= self._now:
                timer = heapq.heappop(timers)[2]
                super().call_soon(timer.fire, context=timer.context)
            self._met_others = False
            self._going_round = bool(timers)
            if timers:
                super().call_soon(self._go_round)

    return VirtualUvloop()


class _Timer(asyncio.TimerHandle):
    def __init__(
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        loop: asyncio.AbstractEventLoop,
        context: Context,
    ) -> None:
        super().__init__(when, callback, args, loop, context)
        self.context = context
        self._call = callback, args

    def fire(self) -> None:
        if not self.cancelled():
            callback, args = self._call
            callback(*args)
