"""Stores that fail: of conversations and of vectors. See the package for the whole tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyllm_actors.errors.base import TinyLLMError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "CollectionConflict",
    "CorruptJournal",
    "DimensionMismatch",
    "EntryRejected",
    "Fenced",
    "FilterRejected",
    "InputRejected",
    "OutcomeUnknown",
    "StoreBusy",
    "StoreError",
    "StoreFull",
    "StoreReadOnly",
    "StoreUnavailable",
    "UnknownCollection",
    "UnsupportedEntry",
    "VectorRejected",
]


class StoreError(TinyLLMError):
    """A store of conversations or of vectors failed; where nothing else is said, nothing was written.

    Attributes:
        retryable: the same call may succeed later.
        keys: the conversations that it is about; empty where it is about the whole store.
    """

    default_retryable = False

    def __init__(self, message: str, *, keys: Sequence[str] = (), retryable: bool | None = None) -> None:
        super().__init__(message)
        self.retryable = self.default_retryable if retryable is None else retryable
        self.keys = tuple(keys)

    def about(self, key: str) -> StoreError:
        """Return the same error for one conversation, caused by this one: what failed a batch failed each of it."""
        twin = type(self).__new__(type(self), *self.args)
        vars(twin).update(vars(self), keys=(key,))
        twin.__cause__ = self
        return twin


class StoreUnavailable(StoreError):
    """The store cannot be reached, or is not open."""

    default_retryable = True


class StoreBusy(StoreError, TimeoutError):
    """Somebody else held the store for longer than its time-out."""

    default_retryable = True


class StoreFull(StoreError):
    """The store has no room left; the same call succeeds once somebody has made some."""

    default_retryable = True


class StoreReadOnly(StoreError):
    """The store may be read, not written."""


class OutcomeUnknown(StoreError):
    """The store broke off while it committed: all of the batch is durable, or none of it.

    Append the same entries again, after a new claim if the grant may be lost: those that are there already are
    recognised by their ids, so none is lost and none is there twice.
    """

    default_retryable = True


class Fenced(StoreError):
    """Somebody else claimed the conversation since, or deleted it; nothing was written.

    Stop acting for it. Whoever claims it again starts from what the store holds.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        named = ", ".join(map(repr, list(keys)[:5])) + (f" and {len(keys) - 5} more" if len(keys) > 5 else "")
        super().__init__(f"the grant of {named} is no longer valid: claimed by somebody else, or deleted", keys=keys)


class EntryRejected(StoreError):
    """The entry cannot be stored as it is: too large, not encodable, out of place, or its id has other content."""


class UnsupportedEntry(StoreError):
    """The entry was written by a newer version of this library, or of a package that adds entries; upgrade it."""


class CorruptJournal(StoreError):
    """What was read is not what was written; nothing is skipped, so the conversation cannot be used.

    Restore it from a backup or an export, or delete it.

    Attributes:
        sequence: the first entry that is damaged; 0 where it is not about one entry.
    """

    def __init__(self, message: str, *, keys: Sequence[str] = (), sequence: int = 0) -> None:
        super().__init__(message, keys=keys)
        self.sequence = sequence


class UnknownCollection(StoreError, LookupError):
    """The vector store has no such collection."""

    def __init__(self, name: str, store: str) -> None:
        super().__init__(f"{store!r} has no collection {name[:80]!r}; create it first", keys=(name,))


class CollectionConflict(StoreError):
    """There is a collection of that name already, of other dimensions or another metric."""


class InputRejected(StoreError, ValueError):
    """What was given cannot be kept or asked as it is; nothing was done. The message says what is wrong with what."""


class VectorRejected(InputRejected):
    """The vector holds something that is no finite number, or has no direction where one is needed."""


class DimensionMismatch(VectorRejected):
    """The vector has another length than those of the collection.

    Attributes:
        found: its length.
        wanted: theirs.
    """

    def __init__(self, what: str, found: int, wanted: int) -> None:
        super().__init__(
            f"{what} has {found} dimensions and the collection {wanted}; embed it with the model of the collection"
        )
        self.found = found
        self.wanted = wanted


class FilterRejected(InputRejected):
    """The filter is too large, or holds a key or a value that no row can have."""
