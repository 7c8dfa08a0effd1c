"""Hand things to a thread that may take its time, without ever waiting for it."""

from __future__ import annotations

import threading
from collections import deque
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
        self._things: deque[T] = deque()
        self._asleep = False  # the thread waits for `_wake`
        self._wake = threading.Event()
        self._hurried = threading.Event()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many things wait."""
        return len(self._things)

    def put(self, thing: T) -> bool:
        """Hand something over; False if there was no room, or the courier has been told to finish."""
        if self._ending or len(self._things) >= self._max_waiting:
            self.dropped += 1
            return False
        self._things.append(thing)
        if self._asleep:  # after the `append`, as the thread looks in the other order
            self._asleep = False
            self._wake.set()
        return True

    def hurry(self) -> None:
        """Carry what waits now: do not wait for more."""
        self._hurried.set()

    def finish(self) -> None:
        """Take no more, carry what waits, then end. Returns at once; `done` is set at the end."""
        self._ending = True
        self._hurried.set()
        self._wake.set()

    def close(self, timeout: float) -> bool:
        """Finish, and block until it has or `timeout` seconds have passed. Returns whether everything was carried."""
        self.finish()
        if self.done.wait(timeout):
            self._thread.join(timeout)
        return self.done.is_set()

    def _run(self) -> None:
        self._guarded(self._before)
        while self._things or not self._ending:
            self._asleep = True
            if not self._things and not self._ending:
                self._wake.wait()
            self._asleep = False
            self._wake.clear()
            if not self._ending:
                self._hurried.wait(self._linger)
                self._hurried.clear()
            self._carry(len(self._things))
        self._guarded(self._after)
        self.done.set()

    def _carry(self, count: int) -> None:
        """Deliver so many things; what comes meanwhile waits for its own time."""
        while count > 0:
            batch = [self._things.popleft() for _ in range(min(count, MAX_BATCH))]
            count -= len(batch)
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
