"""Conversations in memory, for tests and for services that may forget; faults can be scripted."""

from __future__ import annotations

import time
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeAlias

import anyio
import anyio.lowlevel
import msgspec

from tinyllm_actors.conversation.batches import by_key, fresh, timers_of
from tinyllm_actors.conversation.records import (
    DueTimer,
    Grant,
    Loaded,
    Record,
    StoreStats,
    Summary,
    check_claim,
    check_key,
    check_page,
    unbroken,
    usable,
)
from tinyllm_actors.conversation.store import ConversationStore
from tinyllm_actors.errors import Fenced, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from tinyllm_actors.conversation.codec import Sealed
    from tinyllm_actors.conversation.records import Append

__all__ = ["MemoryStore", "Operation"]

Operation: TypeAlias = Literal[
    "open", "claim", "release", "append", "load", "cut", "page", "list", "due_timers", "delete", "prune", "stats"
]


@dataclass(slots=True)
class _Row:
    owner: str | None
    epoch: int
    updated: float
    last: int = 0
    snapshot: int = 0
    records: list[Record] = field(default_factory=list[Record])
    timers: dict[str, float] = field(default_factory=dict[str, float])

    def checksums(self) -> dict[str, int]:
        return {record.id: record.checksum for record in self.records}

    def read(self, after: int, whole: bool) -> tuple[list[Record], int, int]:
        first = after + 1 if whole else max(after + 1, self.snapshot)
        return [record for record in self.records if record.sequence >= first], self.snapshot, self.last

    def extend(self, grant: Grant, entries: Sequence[Sealed]) -> None:
        self.updated = time.time()
        for entry in entries:
            self.last += 1
            self.records.append(Record.of(grant, self.last, entry))
            if entry.kind == "snapshot":
                self.snapshot = self.last
        for name, due in timers_of(entries).items():
            if due is None:
                self.timers.pop(name, None)
            else:
                self.timers[name] = due

    def cut(self, after: int) -> int:
        kept = [record for record in self.records if record.sequence <= after]
        removed, self.records = len(self.records) - len(kept), kept
        self.last = min(self.last, after)
        self.snapshot = max((record.sequence for record in kept if record.kind == "snapshot"), default=0)
        return removed

    def prune(self, older_than: float) -> int:
        snapshot = next((record for record in self.records if record.sequence == self.snapshot), None)
        if snapshot is None or not snapshot.whole:
            return 0
        old = [record.sequence for record in self.records if record.at < older_than and record.sequence < self.snapshot]
        kept = [record for record in self.records if record.sequence > max(old, default=0)]
        removed, self.records = len(self.records) - len(kept), kept
        return removed


@dataclass(frozen=True, slots=True)
class _Fault:
    error: BaseException
    after: bool


class MemoryStore(ConversationStore):
    """Keeps journals for as long as the object lives, closed or open. Nothing survives the process.

    It holds the encoded bytes, as the others do, so what cannot be stored fails here too.

    ```python
    >>> import anyio
    >>> from tinyllm_actors.errors import StoreFull
    >>> async def main() -> None:
    ...     async with MemoryStore() as store:
    ...         store.fail("claim", StoreFull("no room"))
    ...         try:
    ...             await store.claim(["a"], "me")
    ...         except StoreFull as error:
    ...             print(error)
    ...         print(len(await store.claim(["a"], "me")))
    >>> anyio.run(main)
    no room
    1

    ```

    Attributes:
        calls: how often each operation was called.
    """

    def __init__(self, name: str = "memory:") -> None:
        self.name = name
        self.calls: dict[str, int] = {}
        self._rows: dict[str, _Row] = {}
        self._epoch = 0
        self._opened = False
        self._faults: dict[str, deque[_Fault]] = {}
        self._gate: anyio.Event | None = None

    # --- faults ------------------------------------------------------------------------------------

    def fail(self, operation: Operation, error: BaseException, *, times: int = 1, after: bool = False) -> None:
        """Let the next calls of an operation raise.

        Args:
            operation: which method.
            error: what to raise.
            times: how many calls.
            after: do what was asked first, as a store does whose answer gets lost.
        """
        self._faults.setdefault(operation, deque()).extend([_Fault(error, after)] * times)

    def stall(self) -> anyio.Event:
        """Let all calls wait until the event that is returned is set, as on a disk that hangs."""
        self._gate = anyio.Event()
        return self._gate

    def damage(self, key: str, sequence: int) -> None:
        """Change a byte of an entry, as a bad disk does.

        Raises:
            LookupError: there is no such entry.
        """
        records, place = self._find(key, sequence)
        body = records[place].body
        records[place] = msgspec.structs.replace(records[place], body=bytes([body[0] ^ 1]) + body[1:])

    def lose(self, key: str, sequence: int) -> None:
        """Forget an entry, as a bad disk does.

        Raises:
            LookupError: there is no such entry.
        """
        records, place = self._find(key, sequence)
        del records[place]

    def _find(self, key: str, sequence: int) -> tuple[list[Record], int]:
        records = self._rows[key].records if key in self._rows else []
        for place, record in enumerate(records):
            if record.sequence == sequence:
                return records, place
        raise LookupError(f"conversation {key!r} has no entry {sequence!r}")

    @asynccontextmanager
    async def _call(self, operation: Operation) -> AsyncGenerator[None]:
        """Count, wait, and fail as scripted, before or after the work."""
        self.calls[operation] = self.calls.get(operation, 0) + 1
        await anyio.lowlevel.checkpoint()
        while self._gate is not None and not self._gate.is_set():
            await self._gate.wait()
        if not self._opened and operation != "open":
            raise StoreUnavailable(f"store {self.name!r} is not open; use it inside `async with`", retryable=False)
        faults = self._faults.get(operation)
        fault = faults.popleft() if faults else None
        if fault is not None and not fault.after:
            raise fault.error
        yield
        if fault is not None:
            raise fault.error

    # --- the port ----------------------------------------------------------------------------------

    async def open(self) -> None:
        """Get ready."""
        async with self._call("open"):
            self._opened = True

    async def aclose(self) -> None:
        """Refuse calls from now on; what is stored stays."""
        self._opened = False

    async def claim(self, keys: Sequence[str], owner: str, *, take_over: bool = True) -> list[Grant]:
        """Return the right to append to conversations."""
        check_claim(keys, owner)
        async with self._call("claim"):
            grants: list[Grant] = []
            for key in dict.fromkeys(keys):
                row = self._rows.get(key)
                if row is not None and not take_over and row.owner not in {None, owner}:
                    continue
                self._epoch += 1
                if row is None:
                    row = self._rows[key] = _Row(owner, self._epoch, 0.0)
                row.owner, row.epoch, row.updated = owner, self._epoch, time.time()
                grants.append(Grant(key, owner, row.epoch, row.last))
            return grants

    async def release(self, grants: Sequence[Grant]) -> None:
        """Give rights back."""
        async with self._call("release"):
            for grant in grants:
                if self._holds(grant):
                    self._rows[grant.key].owner = None

    async def append(self, batch: Sequence[Append]) -> None:
        """Store entries."""
        grants, entries = by_key(batch)
        async with self._call("append"):
            if lost := [key for key, grant in grants.items() if not self._holds(grant)]:
                raise Fenced(lost)
            new = {key: fresh(key, entries[key], self._rows[key].checksums()) for key in grants}
            for key, grant in grants.items():
                self._rows[key].extend(grant, new[key])

    async def load(self, key: str, *, after: int = 0) -> Loaded:
        """Return the newest snapshot and what is behind it."""
        async with self._call("load"):
            row = self._rows.get(check_key(key))
            if row is None:
                return Loaded((), 0)
            return usable(key, after, partial(row.read, after))

    async def cut(self, grant: Grant, after: int) -> int:
        """Remove damaged entries at the end."""
        async with self._call("cut"):
            if not self._holds(grant):
                raise Fenced([grant.key])
            return self._rows[grant.key].cut(after)

    async def page(
        self, key: str, *, after: int | None = None, before: int | None = None, limit: int = 100
    ) -> list[Record]:
        """Return some entries."""
        check_page(after, before, limit)
        async with self._call("page"):
            row = self._rows.get(check_key(key))
            records = [] if row is None else row.records
            if after is not None:
                found = [record for record in records if record.sequence > after][:limit]
            else:
                found = [record for record in records if before is None or record.sequence < before][-limit:]
            return unbroken(found)

    async def list(self, prefix: str = "", *, after: str = "", limit: int = 100, held: bool = False) -> list[Summary]:
        """Return some conversations."""
        check_page(None, None, limit)
        async with self._call("list"):
            check_key(prefix)
            found = (key for key, row in self._rows.items() if row.owner is not None or not held)
            keys = sorted(key for key in found if key.startswith(prefix) and key > after)
            rows = [(key, self._rows[key]) for key in keys[:limit]]
            return [Summary(key, row.owner, row.epoch, row.last, row.snapshot, row.updated) for key, row in rows]

    async def due_timers(self, before: float, *, limit: int = 1000) -> list[DueTimer]:
        """Return timers whose time has come."""
        check_page(None, None, limit)
        async with self._call("due_timers"):
            timers = [DueTimer(key, name, due) for key, row in self._rows.items() for name, due in row.timers.items()]
            due = [timer for timer in timers if timer.due <= before]
            return sorted(due, key=lambda timer: (timer.due, timer.key, timer.timer_id))[:limit]

    async def delete(self, key: str) -> bool:
        """Remove a conversation."""
        async with self._call("delete"):
            return self._rows.pop(check_key(key), None) is not None

    async def prune(self, *, older_than: float, limit: int = 10_000) -> int:
        """Remove entries that a snapshot stands for."""
        check_page(None, None, limit)
        async with self._call("prune"):
            removed = pruned = 0
            for row in self._rows.values():
                found = row.prune(older_than)
                removed += found
                pruned += found > 0
                if pruned == limit:
                    break
            return removed

    async def stats(self) -> StoreStats:
        """Return how much there is."""
        async with self._call("stats"):
            rows = self._rows.values()
            return StoreStats(
                len(rows),
                sum(len(row.records) for row in rows),
                sum(len(row.timers) for row in rows),
                sum(len(record.body) for row in rows for record in row.records),
            )

    def _holds(self, grant: Grant) -> bool:
        row = self._rows.get(grant.key)
        return row is not None and row.owner == grant.owner and row.epoch == grant.epoch
