"""What SQLite's errors mean."""

from __future__ import annotations

import sqlite3
from typing import Final

from tinyllm_actors.errors import (
    CorruptJournal,
    OutcomeUnknown,
    StoreBusy,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)

__all__ = ["BREAKS_CONNECTION", "primary_code", "translated"]

_BUSY: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_CORRUPT: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_OUTSIDE: Final = frozenset(
    {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOMEM}
)

BREAKS_CONNECTION: Final = _CORRUPT | _OUTSIDE | {sqlite3.SQLITE_READONLY}
"""After one of these the file may have changed under the connection, so the next call opens it anew."""


def primary_code(error: sqlite3.Error) -> int:
    """Return the main part of SQLite's error code; 0 where Python itself raised."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def translated(error: sqlite3.Error, name: str, *, committing: bool, busy_timeout: float) -> StoreError:
    """Return what an error means for whoever uses the store.

    Args:
        error: what SQLite said.
        name: of the store.
        committing: the transaction was being committed.
        busy_timeout: how long it waited for others, in seconds.
    """
    code = primary_code(error)
    detail = f"{getattr(error, 'sqlite_errorname', type(error).__name__)}: {error}"
    if code in _BUSY:
        return StoreBusy(f"another process held {name!r} for more than {busy_timeout:g} s ({detail})")
    if code == sqlite3.SQLITE_FULL:
        return StoreFull(f"there is no room for {name!r}; make some and try again ({detail})")
    if code == sqlite3.SQLITE_READONLY:
        return StoreReadOnly(f"{name!r} may not be written; see who owns the file and its folder ({detail})")
    if code in _CORRUPT:
        return CorruptJournal(f"{name!r} is no whole database; restore it from a backup ({detail})")
    if committing:
        return OutcomeUnknown(
            f"{name!r} failed while it committed; send the same again, what is stored already is recognised ({detail})"
        )
    return StoreUnavailable(f"{name!r} cannot be used now ({detail})", retryable=code in _OUTSIDE)
