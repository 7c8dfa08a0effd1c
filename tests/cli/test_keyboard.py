"""Lines of standard input, on every event loop."""

from __future__ import annotations

import os
import pty
from typing import TYPE_CHECKING

import anyio
import pytest

from tinyllm_actors.cli.keyboard import MAX_LINE, Keyboard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Return the ends of a pipe: one to read, one to write."""
    ends = os.pipe()
    os.set_blocking(ends[0], False)
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


async def test_lines_come_as_they_are_written(pipe: tuple[int, int]) -> None:
    """A line is returned when it is whole, whatever pieces it came in; the last one needs no end."""
    reading, writing = pipe
    keyboard = Keyboard(reading)
    os.write(writing, "eins\r\nzw\xe4".encode("latin-1"))
    keyboard = Keyboard(reading, "latin-1")
    assert await keyboard.line() == "eins"
    async with anyio.create_task_group() as group:

        async def finish() -> None:
            os.write(writing, b"i\n\nlast")
            os.close(writing)

        group.start_soon(finish)
        assert await keyboard.line() == "zw\xe4i"
    assert await keyboard.line() == ""
    assert await keyboard.line() == "last"
    assert await keyboard.line() is None
    assert await keyboard.line() is None


async def test_waiting_can_be_cancelled(pipe: tuple[int, int]) -> None:
    """A cancelled wait loses nothing of the line that was begun, unless it is discarded."""
    reading, writing = pipe
    keyboard = Keyboard(reading)
    for begun, expected in ((b"a", "a1"), (b"b", "2")):
        os.write(writing, begun)
        with anyio.move_on_after(0.05) as scope:
            await keyboard.line()
        assert scope.cancelled_caught
        if begun == b"b":
            keyboard.discard()
        os.write(writing, expected[-1:].encode() + b"\n")
        assert await keyboard.line() == expected


async def test_files_on_disk_are_read(tmp_path: Path) -> None:
    """A file that no event loop can wait for is read all the same."""
    path = tmp_path / "lines"
    path.write_bytes(b"one\n\xff\n")
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        keyboard = Keyboard(fd)
        assert [await keyboard.line() for _ in range(3)] == ["one", "\N{REPLACEMENT CHARACTER}", None]
    finally:
        os.close(fd)


async def test_a_terminal_that_goes_away_is_the_end() -> None:
    """When the terminal is closed, there are no more lines."""
    outer, inner = pty.openpty()
    os.set_blocking(inner, False)
    try:
        keyboard = Keyboard(inner)
        os.write(outer, b"hi\n")
        assert await keyboard.line() == "hi"
        os.close(outer)
        assert await keyboard.line() is None
    finally:
        os.close(inner)


async def test_a_line_has_a_bound(pipe: tuple[int, int]) -> None:
    """A line that does not end is refused before it fills the memory."""
    reading, writing = pipe
    os.set_blocking(writing, False)
    keyboard = Keyboard(reading)

    async def write() -> None:
        while True:
            await anyio.wait_writable(writing)
            os.write(writing, b"x" * 65536)

    with pytest.raises(ExceptionGroup) as raised:
        async with anyio.create_task_group() as group:
            group.start_soon(write)
            await keyboard.line()
    assert raised.group_contains(ValueError, match=f"longer than {MAX_LINE} bytes")
