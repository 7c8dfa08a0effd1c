"""Lines of standard input, without a thread.

A thread that waits for a line cannot be stopped, and would hold the process at its end. Waiting for the file to become
readable can be cancelled on every back end.
"""

from __future__ import annotations

import os
from typing import Final

import anyio
import anyio.lowlevel

__all__ = ["Keyboard"]

MAX_LINE: Final = 1 << 20
CHUNK: Final = 1 << 16


class Keyboard:
    """Reads lines from a terminal, a pipe or a file.

    Args:
        fd: the file descriptor to read from; it stays open.
        encoding: of the lines; what does not decode is replaced.
    """

    def __init__(self, fd: int = 0, encoding: str = "utf-8") -> None:
        self._fd = fd
        self._encoding = encoding
        self._read: list[bytes] = []
        self._rest = b""
        self._ended = False
        self._can_wait = True

    async def line(self) -> str | None:
        """Return the next line without its end; None at the end of the input. Cancelled, it loses nothing.

        Raises:
            ValueError: a line is longer than 1 MiB.
        """
        while not self._read and not self._ended:
            await self._fill()
        if not self._read and self._rest:
            self._read, self._rest = [self._rest], b""
        return self._read.pop(0).decode(self._encoding, "replace").rstrip("\r") if self._read else None

    def discard(self) -> None:
        """Forget the line that was begun; a terminal forgets what it has of it by itself."""
        self._rest = b""

    async def _fill(self) -> None:
        if self._can_wait:
            try:
                await anyio.wait_readable(self._fd)
            except PermissionError:  # a file on disk: always ready, so no event loop waits for it
                self._can_wait = False
        if not self._can_wait:
            await anyio.lowlevel.checkpoint()
        try:
            data = os.read(self._fd, CHUNK)
        except OSError:  # the terminal is gone
            data = b""
        if not data:
            self._ended = True
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._read += lines
        if len(self._rest) > MAX_LINE:
            raise ValueError(f"a line of the input is longer than {MAX_LINE} bytes; break it up")
