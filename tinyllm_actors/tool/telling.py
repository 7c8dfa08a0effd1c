"""Tell the reader of a turn, or its observer, what happens in it, from several calls at once."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from tinyllm_actors.tool.outcome import ToolProgress

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tinyllm_actors.kernel import ActorContext
    from tinyllm_actors.tool.outcome import ToolRequest

__all__ = ["MAX_PENDING_REPORTS", "CallReports", "Observer", "Reports", "Teller"]

MAX_PENDING_REPORTS: Final = 16
"""Reports of one call that wait for the reader; those beyond are dropped."""


class Teller:
    """Hands events to one stream; calls that run side by side may all have something to say at once.

    Args:
        emit: of the stream; it waits for the reader.
    """

    __slots__ = ("tell",)

    def __init__(self, emit: Callable[[Any], Awaitable[None]]) -> None:
        self.tell = emit

    def reports(self, context: ActorContext, call: ToolRequest) -> CallReports:
        """Return what takes the reports of one call; the tasks that it needs belong to `context`'s actor."""
        return CallReports(self, context, call)


class Observer:
    """Hands events to a plain function, at once.

    Args:
        observe: takes each event; it must be quick, and not fail.
    """

    __slots__ = ("_observe",)

    def __init__(self, observe: Callable[[object], None]) -> None:
        self._observe = observe

    async def tell(self, event: object) -> None:
        """Hand over one event."""
        self._observe(event)

    def reports(self, context: ActorContext, call: ToolRequest) -> Reports:
        """Return what takes the reports of one call."""
        return Reports(self._observe, call)


class Reports:
    """What one call reports to an observer, until it ends."""

    __slots__ = ("_call", "_closed", "_observe")

    def __init__(self, observe: Callable[[object], None], call: ToolRequest) -> None:
        self._observe = observe
        self._call = call
        self._closed = False

    def report(self, progress: object) -> None:
        """Pass a report on, unless the call has ended."""
        if not self._closed:
            self._observe(ToolProgress(self._call.call_id, self._call.name, progress))

    async def finish(self) -> None:
        """Take no more."""
        self._closed = True

    def drop(self) -> None:
        """Take no more."""
        self._closed = True


class CallReports:
    """What one call reports. A task that passes it on is started with the first report only: most tools make none.

    Args:
        teller: where the reports go.
        context: of the actor that owns the task.
        call: which call.
    """

    __slots__ = ("_call", "_closed", "_context", "_passing", "_pending", "_teller")

    def __init__(self, teller: Teller, context: ActorContext, call: ToolRequest) -> None:
        self._teller = teller
        self._context = context
        self._call = call
        self._pending: deque[object] = deque()
        self._passing = False
        self._closed = False

    def report(self, progress: object) -> None:
        """Take a report; it is dropped if too many wait, or the call has ended."""
        if self._closed or len(self._pending) >= MAX_PENDING_REPORTS:
            return
        self._pending.append(progress)
        if not self._passing:
            self._passing = True
            self._context.start_task(self._pass_on, name="reports")

    async def finish(self) -> None:
        """Pass on what still waits, before the end of the call is told."""
        self._closed = True
        if self._pending:
            await self._tell_pending()

    def drop(self) -> None:
        """Forget what still waits: the call was cancelled."""
        self._closed = True
        self._pending.clear()

    async def _pass_on(self) -> None:
        try:
            await self._tell_pending()
        finally:
            self._passing = False

    async def _tell_pending(self) -> None:
        while self._pending:
            progress = self._pending.popleft()
            await self._teller.tell(ToolProgress(self._call.call_id, self._call.name, progress))
