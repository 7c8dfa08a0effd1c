"""The one way in which an activated conversation changes: entries are made durable, then taken in."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

import anyio
import anyio.lowlevel
import msgspec
import structlog

from tinyllm_actors.conversation.entries import HeadMoved, Snapshot, TreeEntry
from tinyllm_actors.errors import EntryRejected, OutcomeUnknown, StoreError
from tinyllm_actors.kernel import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tinyllm_actors.conversation.entries import Entry
    from tinyllm_actors.conversation.journal import Journal
    from tinyllm_actors.conversation.records import Grant
    from tinyllm_actors.conversation.state import ConversationState

__all__ = ["MIN_WAIT", "Writer", "chained"]

MIN_WAIT: Final = 1.0
"""Seconds that a store gets for one attempt, however little patience is left."""

_BACKOFF: Final = Backoff(0.05, 2.0, jitter=0.2)

_TREE: Final = frozenset(TreeEntry.__args__)


def chained(head: str | None, entries: Iterable[Entry]) -> list[Entry]:
    """Return entries that follow one another, the first of them `head`."""
    found: list[Entry] = []
    for entry in entries:
        found.append(msgspec.structs.replace(entry, parent=head))
        if type(entry) in _TREE:
            head = entry.id
        elif isinstance(entry, HeadMoved):
            head = entry.to
    return found


class Writer:
    """Appends to one conversation and keeps its state in step with what is stored.

    A store that fails for the moment is tried again, with the same entries, which are known by their ids. What is
    under way is finished though the caller is cancelled: otherwise the state would not know what is stored. What is
    held is in nobody's journal and in no state until then.

    Args:
        journal: of the store.
        grant: the right to append.
        state: what the journal says; changed by nobody else.
        patience: seconds for which a failing store is tried again.

    Attributes:
        error: why it is of no use any more: its state may lack what is stored.
    """

    __slots__ = ("_held", "_journal", "_lock", "_patience", "error", "grant", "since_snapshot", "state")

    def __init__(self, journal: Journal, grant: Grant, state: ConversationState, *, patience: float) -> None:
        self.grant = grant
        self.state = state
        self.error: StoreError | None = None
        self.since_snapshot = 0
        self._held: tuple[Entry, ...] = ()
        self._journal = journal
        self._patience = patience
        self._lock: anyio.Lock | None = None  # while somebody writes: one of its own takes a kilobyte

    async def snapshot(self) -> None:
        """Store all that is known; raises as `write` does."""
        await self.write(snapshot=True)
        self.since_snapshot = 0

    def hold(self, *entries: Entry) -> None:
        """Keep entries back, to be stored with whatever is written next; `flush` if nothing is."""
        self._held += entries

    async def flush(self) -> None:
        """Store what is held; raises as `write` does."""
        if self._held:
            await self.write()

    async def write(
        self, *entries: Entry, snapshot: bool = False, unless: Callable[[], bool] | None = None
    ) -> list[Entry]:
        """Store entries behind the head, take them in, and return them as they were stored.

        Args:
            *entries: what.
            snapshot: store all that is known instead.
            unless: asked when all that was written before is in the state; where it holds, nothing is stored.

        Raises:
            EntryRejected: they cannot be stored as they are; nothing was, and the conversation goes on.
            StoreError: they could not be stored, or it is not known; also each time after that.
        """
        found: list[Entry] = []
        with anyio.CancelScope(shield=True):  # bounded by the patience and the store's own time-outs
            lock = self._lock
            if lock is None:
                lock = self._lock = anyio.Lock(fast_acquire=True)
            try:
                async with lock:
                    if unless is None or not unless():
                        found = await self._write(entries, snapshot=snapshot)
            finally:
                if not lock.locked():
                    self._lock = None
        await anyio.lowlevel.checkpoint_if_cancelled()
        return found

    async def _write(self, entries: Iterable[Entry], *, snapshot: bool) -> list[Entry]:
        if self.error is not None:
            raise self.error
        held = self._held
        if snapshot:  # made here, as it must lack nothing that is stored before it
            if held:
                await self._write((), snapshot=False)
            held, entries = (), (Snapshot(state=self.state.dump()),)
        try:
            found = await self._append((*held, *entries))
        except EntryRejected:
            if held and entries:  # it may be that only the new ones cannot be stored
                await self._write((), snapshot=False)
            self._held = self._held[len(held) :]
            raise
        self._held = self._held[len(held) :]  # more may have come meanwhile
        return found

    async def _append(self, entries: Iterable[Entry]) -> list[Entry]:
        found = chained(self.state.head, entries)
        self.state.check(found)
        try:
            await self._store(found)
        except EntryRejected:
            raise
        except StoreError as error:
            self.error = error
            raise
        for entry in found:
            self.state.apply(entry)
        self.since_snapshot += len(found)
        return found

    async def _store(self, entries: list[Entry]) -> None:
        until = anyio.current_time() + self._patience
        attempt = 0
        while True:
            try:
                # Shielded as the caller is; a store that hangs must not hold the conversation for ever.
                with anyio.move_on_after(max(0.0, until - anyio.current_time()) + MIN_WAIT, shield=True):
                    await self._journal.append(self.grant, entries)
                    return
                raise OutcomeUnknown(
                    f"the store has not answered for {self._patience:g} s", keys=(self.grant.key,)
                ) from None
            except StoreError as error:
                wait = _BACKOFF.delay(attempt, random.random())
                if not error.retryable or anyio.current_time() + wait > until:
                    raise
                structlog.get_logger(__name__).warning(
                    "store failed, trying again", key=self.grant.key, error=str(error), wait=round(wait, 3)
                )
            attempt += 1
            await anyio.sleep(wait)
