"""The server's end of a connection over pipes: this process's standard input and output.

They are read and written on the event loop, when they are ready, and not in threads: a thread that waits for input
could not be cancelled, and would keep the process from ending.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from mcp.shared.message import SessionMessage

from tinyllm_actors.integrations.mcp.framing import LineTooLong, Reader, StrayLines, encode

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

__all__ = ["open_pipes", "standard_pipes"]

AT_ONCE = 4096
"""Bytes that a pipe takes without blocking when it says that it is ready (`PIPE_BUF`)."""


@contextmanager
def standard_pipes() -> Generator[tuple[int, int]]:
    """Take the standard input and output; in this block they are empty and the standard error."""
    inward, outward, nothing = os.dup(0), os.dup(1), os.open(os.devnull, os.O_RDONLY)
    try:
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        yield inward, outward
    finally:
        os.dup2(inward, 0)
        os.dup2(outward, 1)
        for descriptor in (inward, outward, nothing):
            os.close(descriptor)


@asynccontextmanager
async def open_pipes(
    max_message_bytes: int, take: Callable[[], Any] = standard_pipes
) -> AsyncGenerator[tuple[MemoryObjectReceiveStream[Any], MemoryObjectSendStream[Any]]]:
    """Serve the client at the pipes, until it closes its end or sends what it may not.

    Args:
        max_message_bytes: bytes that one message of the client may have.
        take: a context manager for the two descriptors.
    """
    inbox, messages = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    outbox, letters = anyio.create_memory_object_stream[SessionMessage](0)

    async def read(descriptor: int) -> None:
        reader = Reader(max_message_bytes)
        # Whoever breaks the bounds is not heard any more, as if it had left.
        with suppress(LineTooLong, StrayLines, anyio.BrokenResourceError, anyio.ClosedResourceError):
            async with inbox:
                while chunk := await _read(descriptor):
                    for message in reader.feed(chunk):
                        await inbox.send(message)

    async def write(descriptor: int) -> None:
        with suppress(OSError):  # the client has left
            async with letters:
                async for letter in letters:
                    await _write(descriptor, encode(letter))

    with take() as (inward, outward), messages, outbox:
        async with anyio.create_task_group() as group:
            group.start_soon(read, inward)
            group.start_soon(write, outward)
            yield messages, outbox
            group.cancel_scope.cancel()


async def _read(descriptor: int) -> bytes:
    while True:
        try:
            await anyio.wait_readable(descriptor)
        except PermissionError:  # a file, for which no event loop waits
            return await anyio.to_thread.run_sync(os.read, descriptor, 65536)
        with suppress(BlockingIOError):
            return os.read(descriptor, 65536)


async def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            await anyio.wait_writable(descriptor)
        except PermissionError:
            rest = rest[await anyio.to_thread.run_sync(os.write, descriptor, rest) :]
            continue
        with suppress(BlockingIOError):
            rest = rest[os.write(descriptor, rest[:AT_ONCE]) :]
