"""A plain iterator that an event loop can read: each item is made in a worker thread."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["PullingIterator"]

_END: Final = object()
CLOSE_SECONDS: Final = 5.0
"""How long the iterator's own clean-up may take before it is left to its thread."""


class PullingIterator:
    """Iterates in worker threads, one step at a time; closing it closes the iterator, where it can be closed.

    Whoever is cancelled while a step runs does not wait for it: the thread finishes the step and then closes the
    iterator itself.

    Args:
        open: makes the iterator, in a worker thread too.
    """

    def __init__(self, open: Callable[[], Iterator[Any]]) -> None:
        self._open = open
        self._iterator: Iterator[Any] | None = None
        self._lock = threading.Lock()
        self._closed = False

    def __aiter__(self) -> PullingIterator:
        return self

    async def __anext__(self) -> Any:
        item = await anyio.to_thread.run_sync(self._step, abandon_on_cancel=True)
        if item is _END:
            raise StopAsyncIteration
        return item

    def _step(self) -> Any:
        with self._lock:
            try:
                if self._closed:
                    return _END
                if self._iterator is None:
                    self._iterator = iter(self._open())
                return next(self._iterator, _END)
            finally:
                if self._closed:
                    self._close_now()

    def _close_now(self) -> None:
        iterator, self._iterator = self._iterator, None
        close = getattr(iterator, "close", None)
        if close is not None:
            close()

    async def aclose(self) -> None:
        """Run the iterator's clean-up, after the step that runs, if one does."""
        self._closed = True
        with anyio.CancelScope(shield=True, deadline=anyio.current_time() + CLOSE_SECONDS):
            await anyio.to_thread.run_sync(self._close_if_idle, abandon_on_cancel=True)

    def _close_if_idle(self) -> None:
        if self._lock.acquire(blocking=False):  # else the step that holds it closes when it is done
            try:
                self._close_now()
            finally:
                self._lock.release()
