"""Files of SQLite that several open at once."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tinyllm_actors.function.sqlite_file import open_sqlite

if TYPE_CHECKING:
    from pathlib import Path


def test_two_may_make_a_file_at_once(tmp_path: Path) -> None:
    """Neither fails, though SQLite refuses one of them where both want the mode changed."""
    together = threading.Barrier(2)

    def make(_: int) -> None:
        for number in range(200):
            together.wait(30)
            open_sqlite(tmp_path / f"{number}.db", 5.0, "CREATE TABLE IF NOT EXISTS a (x)").close()

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(make, range(2))) == [None, None]


def test_a_file_that_others_hold_is_given_up(tmp_path: Path) -> None:
    """The time-out bounds the wait."""
    path = tmp_path / "held.db"
    with sqlite3.connect(path, isolation_level=None) as holder:
        holder.execute("CREATE TABLE a (x)")
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            open_sqlite(path, 0.05)
        holder.execute("ROLLBACK")
    holder.close()


def test_what_is_no_database_is_said_at_once(tmp_path: Path) -> None:
    """Another error is not tried again."""
    path = tmp_path / "text.db"
    path.write_text("This is no database, however long anybody waits." * 40)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        open_sqlite(path, 60.0)
