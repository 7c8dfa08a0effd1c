"""How each SQLite file of this library is opened."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from os import PathLike

__all__ = ["open_sqlite"]


def open_sqlite(path: str | PathLike[str], busy_timeout: float, script: str = "") -> sqlite3.Connection:
    """Open a file in WAL mode, and make it if it is not there. Call it in a worker thread: it may wait.

    Of two processes that make the same file at once, each reads it and wants it alone to change its mode. SQLite fails
    one of them there without its time-out, since waiting would never end; so it is tried again.

    Args:
        path: of the file.
        busy_timeout: seconds to wait for others, here and in every later statement.
        script: settings of the connection, and tables to make.

    Returns:
        A connection without implicit transactions that any thread may use, one at a time; the caller closes it.

    Raises:
        sqlite3.Error: it is no database, or others held it for longer.
    """
    import sqlite3

    give_up = time.monotonic() + busy_timeout
    database = sqlite3.connect(path, timeout=busy_timeout, isolation_level=None, check_same_thread=False)
    try:
        while True:
            try:
                database.execute("PRAGMA journal_mode=WAL").fetchone()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= give_up:
                    raise
                time.sleep(random.uniform(0.001, 0.01))
            else:
                database.executescript(script)
                return database
    except BaseException:  # nobody else would close it
        database.close()
        raise
