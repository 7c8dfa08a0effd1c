"""Messages as lines of JSON, as they travel through pipes: bounded, and forgiving to a program that prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mcp_types
from mcp.shared.message import SessionMessage

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MAX_STRAY_LINES", "LineTooLong", "Splitter", "StrayLines", "encode", "parse"]

MAX_STRAY_LINES = 100
"""Lines in a row that are no messages; a program with a banner is borne, one that sends anything is not."""


class LineTooLong(ValueError):
    """A line has no end within the bound."""


class Splitter:
    r"""Cuts a stream of bytes into lines, and refuses a line that does not end.

    ```python
    >>> splitter = Splitter(10)
    >>> splitter.feed(b"one\ntw"), splitter.feed(b"o\r\n\n")
    ([b'one'], [b'two'])

    ```

    Args:
        max_bytes: bytes that a line may have.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._begun: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the lines that end in `chunk`, without their ends; empty ones are left out.

        Raises:
            LineTooLong: one is longer than it may be.
        """
        *ended, rest = chunk.split(b"\n")
        if ended:
            ended[0] = b"".join([*self._begun, ended[0]])
            self._begun, self._size = [], 0
        self._begun.append(rest)
        self._size += len(rest)
        if max(self._size, *(len(line) for line in ended), 0) > self._max_bytes:
            raise LineTooLong(f"a message of more than {self._max_bytes:,} bytes")
        return [line for line in (line.strip() for line in ended) if line]


class StrayLines(ValueError):
    """There were too many lines that are no messages."""


class Reader:
    """Makes messages of a stream of bytes.

    Args:
        max_bytes: bytes that a message may have.
    """

    def __init__(self, max_bytes: int) -> None:
        self._splitter = Splitter(max_bytes)
        self._strays = 0

    def feed(self, chunk: bytes) -> Iterable[SessionMessage]:
        """Yield the messages that end in `chunk`, and drop lines that are none.

        Raises:
            LineTooLong: a line is longer than it may be.
            StrayLines: the last hundred lines were no messages.
        """
        for line in self._splitter.feed(chunk):
            message = parse(line)
            if message is not None:
                self._strays = 0
                yield message
                continue
            self._strays += 1
            if self._strays >= MAX_STRAY_LINES:
                shown = line[:100].decode("utf-8", "replace")
                raise StrayLines(f"{self._strays} lines that are no messages, the last of them {shown!r}")


def parse(line: bytes) -> SessionMessage | None:
    """Return the message in a line, or None if it holds none."""
    try:
        return SessionMessage(mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError:
        return None


def encode(message: SessionMessage) -> bytes:
    """Return the line for a message."""
    return message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
