"""Group commit: the appends of many conversations in few transactions.

While one transaction commits, appends gather; the next one takes them all. So an append that comes alone is written
at once, and a thousand that come together cost little more than one.
"""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio

from tinyllm_actors.conversation.records import Append
from tinyllm_actors.errors import Fenced, OutcomeUnknown, StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from tinyllm_actors.conversation.entries import Entry
    from tinyllm_actors.conversation.records import Grant
    from tinyllm_actors.conversation.store import ConversationStore

__all__ = ["Journal", "open_journal"]

MAX_BATCH: Final = 1000
MAX_BATCH_BYTES: Final = 8 * 1024 * 1024
MAX_WAITING: Final = 10_000


class Journal:
    """The one writer of a store in this process; `open_journal` runs it.

    Appends of one conversation are stored in the order in which they were asked for. If one fails, those of the same
    conversation that wait behind it fail with it, since they follow what is not there; others are not affected.

    Args:
        store: where to; opened, and closed, by the caller.
        max_batch: entries in one transaction, unless a single append has more.
        max_batch_bytes: their bytes in one transaction, unless a single append has more.
        max_waiting: appends that may wait; the next caller waits until there is room.
        delay: seconds that an append waits for company while nothing is being committed. If in doubt, 0: larger
            values save transactions and cost each turn that time.

    Attributes:
        commits: transactions that succeeded.
        stored: entries in them.

    Raises:
        ValueError: a limit is below 1, or the delay below 0.
    """

    def __init__(
        self,
        store: ConversationStore,
        *,
        max_batch: int = MAX_BATCH,
        max_batch_bytes: int = MAX_BATCH_BYTES,
        max_waiting: int = MAX_WAITING,
        delay: float = 0.0,
    ) -> None:
        if min(max_batch, max_batch_bytes, max_waiting) < 1 or not delay >= 0:
            raise ValueError(
                "need max_batch, max_batch_bytes and max_waiting >= 1 and delay >= 0, got "
                f"{max_batch!r}, {max_batch_bytes!r}, {max_waiting!r} and {delay!r}"
            )
        self.commits = 0
        self.stored = 0
        self._store = store
        self._max_batch = max_batch
        self._max_batch_bytes = max_batch_bytes
        self._delay = delay
        self._queue: deque[_Waiting] = deque()
        self._room = anyio.Semaphore(max_waiting, fast_acquire=True)
        self._wake = anyio.Event()
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many appends wait for the next transaction."""
        return len(self._queue)

    async def append(self, grant: Grant, entries: Iterable[Entry]) -> None:
        """Store entries of one conversation; when this returns, they are durable.

        Cancelling the caller takes entries back that are not being committed yet; of those that are, it is not known
        whether they are stored. Sending them again is always safe.

        Raises:
            EntryRejected: one is too large, or JSON cannot hold it, or its id is there with other content.
            Fenced: the grant is lost.
            OutcomeUnknown: the store broke off while it committed.
            StoreError: the store failed, nothing was stored.
        """
        item = Append.of(grant, entries)
        async with self._room:
            if self._closed:
                raise StoreUnavailable(
                    f"the journal of {self._store.name!r} is closed", keys=(grant.key,), retryable=False
                )
            waiting = _Waiting(item)
            self._queue.append(waiting)
            self._wake.set()
            try:
                await waiting.ended.wait()
            except BaseException:  # cancelled: what nobody has taken yet is taken back
                if not waiting.taken:
                    self._queue.remove(waiting)
                raise
        if waiting.error is not None:
            raise waiting.error

    def close(self) -> None:
        """Take no more appends; `run` ends when those that wait are stored."""
        self._closed = True
        self._wake.set()

    async def run(self) -> None:
        """Write until `close` is called and nothing waits. Cancelling this fails every append that has not ended."""
        try:
            idle = True
            while True:
                if not self._queue:
                    if self._closed:
                        return
                    idle = True
                    self._wake = anyio.Event()
                    await self._wake.wait()
                if idle and self._delay and not self._closed:
                    await anyio.sleep(self._delay)
                idle = False
                await self._commit(self._take())
        finally:
            self._closed = True
            for waiting in self._queue:
                waiting.taken = True
                waiting.end(StoreUnavailable("the journal was stopped", keys=(waiting.key,), retryable=False))
            self._queue.clear()

    def _take(self) -> list[_Waiting]:
        """Return what goes into the next transaction, from the front of the queue."""
        batch: list[_Waiting] = []
        grants: dict[str, Grant] = {}
        entries = size = 0
        while self._queue:
            waiting = self._queue[0]
            entries += len(waiting.item.sealed)
            size += waiting.size
            if batch and (entries > self._max_batch or size > self._max_batch_bytes):
                break
            if grants.setdefault(waiting.key, waiting.item.grant) != waiting.item.grant:
                break  # under a newer grant: what happens to the older one is not its affair
            waiting.taken = True
            batch.append(self._queue.popleft())
        return batch

    async def _commit(self, batch: list[_Waiting]) -> None:
        """Store what can be stored; one lost grant or bad entry fails its own conversation only."""
        while batch:
            try:
                await self._store.append([waiting.item for waiting in batch])
            except StoreError as error:
                failed = [waiting for waiting in batch if waiting.key in error.keys] or batch
                spared = set(batch).difference(failed)
                batch = [waiting for waiting in batch if waiting in spared]
                self._fail(failed, error)
            except Exception as error:
                self._fail(batch, error)
                raise
            except BaseException:  # cancelled
                unknown = OutcomeUnknown(f"the journal of {self._store.name!r} was stopped while it committed")
                self._fail(batch, unknown)
                raise
            else:
                self.commits += 1
                for waiting in batch:
                    self.stored += len(waiting.item.sealed)
                    waiting.end(None)
                return

    def _fail(self, failed: list[_Waiting], error: Exception) -> None:
        grants = {waiting.key: waiting.item.grant for waiting in failed}
        behind = [waiting for waiting in self._queue if grants.get(waiting.key) == waiting.item.grant]
        for waiting in behind:
            waiting.taken = True
            self._queue.remove(waiting)
        for waiting in (*failed, *behind):
            waiting.end(_about(waiting, error))


class _Waiting:
    """An append that has not ended."""

    __slots__ = ("ended", "error", "item", "key", "size", "taken")

    def __init__(self, item: Append) -> None:
        self.item = item
        self.key = item.grant.key
        self.size = sum(len(sealed.body) for sealed in item.sealed)
        self.taken = False
        self.error: Exception | None = None
        self.ended = anyio.Event()

    def end(self, error: Exception | None) -> None:
        self.error = error
        self.ended.set()


def _about(waiting: _Waiting, error: Exception) -> Exception:
    """Return the error of a whole batch as one caller sees it: an object of its own, that names no other key."""
    if isinstance(error, Fenced):
        return Fenced([waiting.key])
    if not isinstance(error, StoreError):
        return StoreUnavailable(
            f"the store failed with {type(error).__name__}, which is a fault of the store", keys=(waiting.key,)
        )
    return error.about(waiting.key)


@asynccontextmanager
async def open_journal(
    store: ConversationStore,
    *,
    max_batch: int = MAX_BATCH,
    max_batch_bytes: int = MAX_BATCH_BYTES,
    max_waiting: int = MAX_WAITING,
    delay: float = 0.0,
) -> AsyncGenerator[Journal]:
    """Run the writer of an open store for the length of a block; leaving it stores what still waits.

    See `Journal` for the arguments.
    """
    journal = Journal(store, max_batch=max_batch, max_batch_bytes=max_batch_bytes, max_waiting=max_waiting, delay=delay)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(journal.run)
        try:
            yield journal
        finally:
            journal.close()
