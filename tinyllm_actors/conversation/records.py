"""What stores take and give back: grants, batches, rows. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from tinyllm_actors.conversation.codec import checksum_of, seal, unseal
from tinyllm_actors.errors import CorruptJournal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tinyllm_actors.conversation.codec import Sealed
    from tinyllm_actors.conversation.entries import Entry
    from tinyllm_actors.errors import StoreError

__all__ = [
    "MAX_KEY_CHARS",
    "Append",
    "DueTimer",
    "Grant",
    "Loaded",
    "Record",
    "StoreStats",
    "Summary",
    "Taken",
    "check_claim",
    "check_key",
    "check_page",
    "corrupt",
    "damaged_since_snapshot",
    "unbroken",
    "usable",
    "verified",
]

MAX_KEY_CHARS: Final = 512


def check_key(key: str) -> str:
    """Return a key, or a prefix of one, that every store can hold.

    Raises:
        ValueError: it is longer than `MAX_KEY_CHARS`, or holds NUL or half of a surrogate pair.
    """
    try:
        key.encode()
    except UnicodeEncodeError:
        raise ValueError(f"a key is Unicode text without lone surrogates, not {key[:80]!r}") from None
    if len(key) > MAX_KEY_CHARS or "\0" in key:
        raise ValueError(
            f"a key has at most {MAX_KEY_CHARS} characters and no NUL; {key[:80]!r}… has {len(key)} characters"
        )
    return key


def check_claim(keys: Sequence[str], owner: str) -> None:
    """Check what a claim is asked for.

    Raises:
        ValueError: a key or the owner is empty, or not one that every store can hold.
    """
    for text in (*keys, owner):
        if not check_key(text):
            raise ValueError(f"need keys and an owner that are not empty, got {keys!r} and {owner!r}")


def check_page(after: int | None, before: int | None, limit: int) -> None:
    """Check what a page is asked for.

    Raises:
        ValueError: both ends are given, or `limit` is below 1.
    """
    if limit < 1 or (after is not None and before is not None):
        raise ValueError(
            f"need limit >= 1 and at most one of after and before, got {limit!r}, {after!r} and {before!r}"
        )


@dataclass(frozen=True, slots=True)
class Grant:
    """The right to append to one conversation, until somebody else claims it.

    Attributes:
        key: which conversation.
        owner: who has the right: the name of a process, a node or a runtime.
        epoch: which claim; larger than that of every earlier claim of the key, even of a deleted conversation.
        last: the sequence of its newest entry when it was claimed; 0 where it is new.
    """

    key: str
    owner: str
    epoch: int
    last: int = 0


@dataclass(frozen=True, slots=True)
class Append:
    """Entries for one conversation, in order; `Append.of` makes one."""

    grant: Grant
    sealed: tuple[Sealed, ...]

    @classmethod
    def of(cls, grant: Grant, entries: Iterable[Entry]) -> Append:
        """Return entries ready to be stored.

        Raises:
            EntryRejected: one is too large, or JSON cannot hold it.
        """
        return cls(grant, tuple(seal(grant.key, entry) for entry in entries))


class Record(msgspec.Struct, frozen=True, gc=False):
    """An entry as it is stored.

    Attributes:
        key: which conversation.
        sequence: its place there; the first is 1, and each is one more than the one before.
        id: of the entry.
        kind: which entry, such as `"turn_started"`.
        version: of the form of `body`.
        at: when it happened, in seconds since the epoch.
        epoch: under which claim it was written.
        owner: by whom.
        checksum: see `checksum_of`.
        body: JSON.
    """

    key: str
    sequence: int
    id: str
    kind: str
    version: int
    at: float
    epoch: int
    owner: str
    checksum: int
    body: bytes

    @classmethod
    def of(cls, grant: Grant, sequence: int, sealed: Sealed) -> Record:
        """Return the row for an entry that is stored under a grant."""
        return cls(
            grant.key,
            sequence,
            sealed.id,
            sealed.kind,
            sealed.version,
            sealed.at,
            grant.epoch,
            grant.owner,
            sealed.checksum,
            sealed.body,
        )

    @property
    def whole(self) -> bool:
        """Whether it is what was written."""
        return checksum_of(self.key, self.id, self.kind, self.version, self.body) == self.checksum

    def checked(self) -> Record:
        """Return it, if it is what was written.

        Raises:
            CorruptJournal: it is not.
        """
        if not self.whole:
            raise corrupt(self.key, self.sequence, "its checksum does not fit")
        return self

    def entry(self) -> Entry:
        """Return the entry.

        Raises:
            UnsupportedEntry: a newer version of the library wrote it.
            CorruptJournal: it is not what was written.
        """
        return unseal(self.kind, self.version, self.checked().body)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a store holds of a conversation, from its newest snapshot on.

    Attributes:
        records: whole and without a gap, oldest first.
        last: the sequence that the next entry would follow, were nothing damaged.
        damaged: how many of the newest entries are missing from `records`, because they are not what was written. They
            have to be cut (`ConversationStore.cut`) before anything can be appended; `thaw` does and reports that.
    """

    records: tuple[Record, ...]
    last: int
    damaged: int = 0

    def entries(self) -> list[Entry]:
        """Return the entries.

        Raises:
            UnsupportedEntry: a newer version of the library wrote one.
            CorruptJournal: one is not what was written.
        """
        return [unseal(record.kind, record.version, record.body) for record in self.records]


@dataclass(frozen=True, slots=True)
class Taken:
    """A conversation that was claimed, and what is in it.

    Attributes:
        grant: the right to append to it.
        loaded: what a thaw needs; or why it could not be read.
    """

    grant: Grant
    loaded: Loaded | StoreError


@dataclass(frozen=True, slots=True)
class Summary:
    """A conversation in a list.

    Attributes:
        key: which.
        owner: who claimed it last and has not released it; None for nobody.
        epoch: of that claim.
        last: the sequence of its newest entry.
        snapshot: the sequence of its newest snapshot; 0 for none.
        updated: when it was last claimed or appended to, in seconds since the epoch, by the store's clock.
    """

    key: str
    owner: str | None
    epoch: int
    last: int
    snapshot: int
    updated: float


@dataclass(frozen=True, slots=True)
class DueTimer:
    """A timer whose time has come; it stays due until a `TimerFired` entry is appended."""

    key: str
    timer_id: str
    due: float


@dataclass(frozen=True, slots=True)
class StoreStats:
    """How much a store holds.

    Attributes:
        conversations: how many.
        entries: how many.
        timers: how many are set.
        size: bytes on disk, or in memory; what the store knows of it.
    """

    conversations: int
    entries: int
    timers: int
    size: int


def verified(key: str, records: Sequence[Record], *, after: int, snapshot: int, last: int) -> Loaded:
    """Return what may be used of the rows of a conversation.

    Damage at the end is left out and counted. Damage with something whole behind it is refused, and so is damage that
    leaves nothing to begin with: a conversation is never taken for a new one.

    Args:
        key: which conversation.
        records: its rows behind `after`, from its newest snapshot on, oldest first.
        after: the sequence that the reader has already.
        snapshot: the sequence of its newest snapshot, as the store keeps it.
        last: the sequence of its newest entry, as the store keeps it.

    Raises:
        CorruptJournal: an entry that is not the newest is damaged or missing.
    """
    first = max(after + 1, snapshot)
    good = 0
    for record in records:
        if not record.whole or record.sequence != first + good:
            break
        good += 1
    for record in records[good:]:
        if record.whole:
            detail = f"it is damaged or missing, and entry {record.sequence} behind it is whole"
            raise corrupt(key, first + good, detail)
    damaged = last + 1 - (first + good)
    if damaged > 0 and good == 0 and (after == 0 or snapshot > after):
        raise corrupt(key, first, "it is damaged, and nothing whole stands before it")
    return Loaded(tuple(records[:good]), last, max(0, damaged))


def unbroken(records: Sequence[Record]) -> list[Record]:
    """Return the rows of a page, if they are what was written and none is missing between them.

    Raises:
        CorruptJournal: an entry is damaged or missing.
    """
    for number, record in enumerate(records):
        if record.sequence != records[0].sequence + number:
            raise corrupt(record.key, records[0].sequence + number, "it is missing")
        record.checked()
    return list(records)


def damaged_since_snapshot(records: Sequence[Record], *, after: int, snapshot: int) -> bool:
    """Whether rows from the newest snapshot on have nothing whole among them, so that those before it are needed."""
    return snapshot > after and not any(record.whole for record in records)


def usable(key: str, after: int, read: Callable[[bool], tuple[Sequence[Record], int, int]]) -> Loaded:
    """Return what may be used of a conversation, without its newest snapshot where that is the damaged end.

    Args:
        key: which conversation.
        after: the sequence that the reader has already.
        read: returns the rows behind `after`, the sequence of the newest snapshot and that of the newest entry; the
            rows begin with the snapshot, or with the oldest row if `read(True)` is called.

    Raises:
        CorruptJournal: an entry that is not the newest is damaged or missing.
    """
    records, snapshot, last = read(False)
    if damaged_since_snapshot(records, after=after, snapshot=snapshot):
        records, _, _ = read(True)
        first = records[0].sequence if records and after == 0 else 0
        return verified(key, records, after=after, snapshot=first, last=last)
    return verified(key, records, after=after, snapshot=snapshot, last=last)


def corrupt(key: str, sequence: int, detail: str) -> CorruptJournal:
    """Return the error for an entry that is not what was written."""
    return CorruptJournal(
        f"entry {sequence} of conversation {key!r} cannot be used: {detail}; restore the conversation from an export"
        " or a backup, or delete it",
        keys=(key,),
        sequence=sequence,
    )
