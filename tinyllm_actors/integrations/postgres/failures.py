"""What the errors of asyncpg and PostgreSQL mean."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final, TypeVar

import asyncpg  # pyright: ignore[reportMissingTypeStubs]

from tinyllm_actors.errors import CorruptJournal, StoreBusy, StoreError, StoreFull, StoreReadOnly, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tinyllm_actors.integrations.postgres.connection import Connection

__all__ = ["Meaning", "MovedError", "meaning_of", "translated", "unless_moved"]

T = TypeVar("T")


class Meaning(enum.Enum):
    """What to do about an error."""

    CUT = enum.auto()
    """The connection is gone, and nobody knows what became of what was sent."""

    ABSENT = enum.auto()
    """The server cannot be reached now; nothing was sent."""

    CONTENDED = enum.auto()
    """The server rolled back because of others."""

    FINAL = enum.auto()
    """Trying again changes nothing."""


_STATES: Final = {
    "57P01": Meaning.CUT,  # shut down by an administrator
    "57P02": Meaning.CUT,  # shut down by a crash
    "57P03": Meaning.ABSENT,  # starting up
    "57P05": Meaning.CUT,  # idle session
    "53300": Meaning.ABSENT,  # too many connections
    "23505": Meaning.CONTENDED,  # another session stored the same in between
    "40001": Meaning.CONTENDED,
    "40P01": Meaning.CONTENDED,  # deadlock
    "55P03": Meaning.CONTENDED,  # lock time-out
}


def meaning_of(error: BaseException, *, sent: bool) -> Meaning:
    """Return what an error means.

    Args:
        error: what asyncpg raised.
        sent: there was a connection, so something may have reached the server.
    """
    if isinstance(error, asyncpg.PostgresError):
        state = str(getattr(error, "sqlstate", ""))
        if state in _STATES:
            return _STATES[state]
        if state.startswith("08"):
            return Meaning.CUT if sent else Meaning.ABSENT
        return Meaning.FINAL
    lost = isinstance(error, OSError | TimeoutError | asyncpg.InternalClientError) or (
        isinstance(error, asyncpg.InterfaceError) and not isinstance(error, ValueError)
    )
    if not lost:
        return Meaning.FINAL
    return Meaning.CUT if sent else Meaning.ABSENT


def translated(error: BaseException, name: str, meaning: Meaning) -> StoreError:
    """Return what an error means for whoever uses the store; nothing was written."""
    state = str(getattr(error, "sqlstate", None) or type(error).__name__)
    detail = f"{state}: {error}"
    if meaning is Meaning.CONTENDED:
        return StoreBusy(f"another session held what was needed in {name!r} for too long ({detail})")
    if meaning is not Meaning.FINAL:
        return StoreUnavailable(f"{name!r} cannot be reached ({detail})")
    if state == "53100":
        return StoreFull(f"the disk of {name!r} is full; make room and try again ({detail})")
    if state in {"25006", "42501"}:
        return StoreReadOnly(f"{name!r} may not be written, or not by this user ({detail})")
    if state in {"XX001", "XX002"}:
        return CorruptJournal(f"{name!r} is damaged; restore it from a backup ({detail})")
    return StoreUnavailable(f"{name!r} cannot be used ({detail})", retryable=state.startswith(("53", "58")))


class MovedError(Exception):
    """The table of a collection is not there any more."""


async def unless_moved(work: Callable[[Connection], Awaitable[T]], connection: Connection) -> T:
    """Do some work on a collection.

    Raises:
        MovedError: its table is gone.
    """
    try:
        return await work(connection)
    except asyncpg.UndefinedTableError as error:
        raise MovedError from error
