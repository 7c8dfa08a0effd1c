"""A bar that shows how far a run is, on a terminal; elsewhere a line now and then."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    from typing import TextIO

__all__ = ["Bar"]

WIDTH: Final = 30
ERASE: Final = "\r\x1b[K"
PERIOD: Final = 10.0


class Bar:
    """Shows how many of a known number of things are done, and about how long the rest will take.

    Args:
        what: is done, such as `"calls"`.
        file: where to; standard error if left out.
    """

    def __init__(self, what: str, file: TextIO | None = None) -> None:
        self._what = what
        self._file = sys.stderr if file is None else file
        self._moves = self._file.isatty()
        self._began: float | None = None
        self._first = 0
        self._told = 0.0

    def show(self, done: int, total: int, failed: int) -> None:
        """Show where it is.

        Args:
            done: how many are, those of an earlier run included.
            total: how many there will be.
            failed: how many of them failed.
        """
        now = anyio.current_time()
        if self._began is None:
            self._began, self._first, self._told = now, done - 1, now
        text = (
            f"{done} of {total} {self._what}" + (f", {failed} failed" if failed else "") + self._left(now, done, total)
        )
        if self._moves:
            full = WIDTH * done // max(1, total)
            print(f"{ERASE}{'█' * full}{'░' * (WIDTH - full)} {text}", end="", file=self._file, flush=True)
        elif now - self._told >= PERIOD:
            self._told = now
            print(text, file=self._file, flush=True)

    def _left(self, now: float, done: int, total: int) -> str:
        assert self._began is not None
        pace = (now - self._began) / max(1, done - self._first)
        seconds = pace * (total - done)
        return f", about {seconds:.0f} s left" if seconds >= 1 else ""

    def close(self) -> None:
        """Take it away."""
        if self._moves and self._began is not None:
            print(ERASE, end="", file=self._file, flush=True)
