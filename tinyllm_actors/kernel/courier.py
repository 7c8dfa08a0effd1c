"""Hand things to a thread that may take its time, without ever waiting for it."""

from __future__ import annotations

import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Courier"]

T = TypeVar("T")

MAX_BATCH: Final = 512
"""Things that are taken over at once."""


class Courier(Generic[T]):
    """Carries things, in order and in batches, to a function that runs in a thread of its own.

    `put` never blocks and never raises: what does not fit any more is dropped and counted. The thread is a daemon, so
    that one which hangs in a call keeps no process alive.

    ```python
    >>> from tinyllm_actors.kernel import Courier
    >>> carried = []
    >>> courier = Courier(carried.extend, name="example")
    >>> courier.put("a"), courier.put("b")
    (True, True)
    >>> courier.close(timeout=5.0)
    True
    >>> carried
    ['a', 'b']

    ```

    Args:
        deliver: gets each batch, at most 512 things, oldest first. What it raises is counted in `failures` and the
            batch counts as lost.
        name: of the thread.
        max_waiting: things that may wait; of one more, `put` says no.
        linger: seconds that the first thing of a batch waits for others: more is cheaper, less is sooner.
        before: called in the thread before the first batch.
        after: called in the thread after the last batch.

    Attributes:
        dropped: things that did not fit.
        failures: calls of `deliver`, `before` and `after` that raised.
        last_failure: what the latest of them raised.
    """

    def __init__(
        self,
        deliver: Callable[[Sequence[T]], None],
        *,
        name: str,
        max_waiting: int = 10_000,
        linger: float = 0.05,
        before: Callable[[], None] | None = None,
        after: Callable[[], None] | None = None,
    ) -> None:
        self.dropped = 0
        self.failures = 0
        self.last_failure: Exception | None = None
        self.done = threading.Event()
        self._deliver = deliver
        self._before = before
        self._after = after
        self._max_waiting = max_waiting
        self._linger = linger
        self._queue: SimpleQueue[T | None] = SimpleQueue()  # None wakes the thread, to end
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many things wait."""
        return self._queue.qsize()

    def put(self, thing: T) -> bool:
        """Hand something over; False if there was no room, or the courier has been told to finish."""
        if self._queue.qsize() >= self._max_waiting or self._ending.is_set():
            self.dropped += 1
            return False
        self._queue.put(thing)
        return True

    def finish(self) -> None:
        """Take no more, carry what waits, then end. Returns at once; `done` is set at the end."""
        if not self._ending.is_set():
            self._ending.set()
            self._queue.put(None)

    def close(self, timeout: float) -> bool:
        """Finish, and block until it has or `timeout` seconds have passed. Returns whether everything was carried."""
        self.finish()
        if self.done.wait(timeout):
            self._thread.join(timeout)
        return self.done.is_set()

    def _run(self) -> None:
        self._guarded(self._before)
        while True:
            first = self._queue.get()
            if first is not None:
                if not self._ending.is_set():
                    self._ending.wait(self._linger)
                self._carry(first)
            if self._ending.is_set() and self._queue.empty():
                break
        self._guarded(self._after)
        self.done.set()

    def _carry(self, first: T) -> None:
        batch = [first]
        while len(batch) < MAX_BATCH:
            try:
                thing = self._queue.get_nowait()
            except Empty:
                break
            if thing is None:
                break
            batch.append(thing)
        try:
            self._deliver(batch)
        except Exception as error:
            self._failed(error)

    def _guarded(self, function: Callable[[], None] | None) -> None:
        if function is None:
            return
        try:
            function()
        except Exception as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        self.last_failure = error
