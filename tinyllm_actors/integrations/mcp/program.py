"""A server that is a program of this machine: a process in a group of its own, spoken to through its pipes."""

from __future__ import annotations

import os
import signal
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage

from tinyllm_actors.errors import McpError, McpMalformed, McpUnavailable
from tinyllm_actors.integrations.mcp.framing import LineTooLong, Reader, StrayLines, encode

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from anyio.abc import Process
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from tinyllm_actors.integrations.mcp.server import McpServer

__all__ = ["open_program"]

GRACE = 1.0
"""Seconds that it gets to end after its input is closed, and again after SIGTERM."""

DYING = 2.0
"""Seconds until a killed process is gone."""

LAST_WORDS = 2_000
"""Bytes of its standard error that are kept, and shown when it ends by itself."""

_TICK = 0.01
_BROKEN = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError)


@asynccontextmanager
async def open_program(
    server: McpServer, on_end: Callable[[McpError], None]
) -> AsyncGenerator[tuple[MemoryObjectReceiveStream[Any], MemoryObjectSendStream[Any]]]:
    """Start the program; leaving the block ends it and all that it started.

    Args:
        server: which program, with which environment.
        on_end: told once why the program speaks no more, unless the block was left first.

    Raises:
        McpUnavailable: it cannot be started.
    """
    try:
        process = await anyio.open_process(
            [server.command, *server.args],
            env={**get_default_environment(), **dict(server.env)},
            cwd=server.cwd,
            start_new_session=True,  # so that what it starts ends with it, and Ctrl-C in the terminal is not for it
        )
    except (OSError, ValueError) as error:
        raise McpUnavailable(server.name, server.scrub(f"cannot start {server.command!r}: {error}")) from None
    # No await from here to the task group: a cancellation in between would leave the process alone.
    program = _Program(server, process, on_end)
    async with anyio.create_task_group() as group:
        group.start_soon(program.read)
        group.start_soon(program.write)
        group.start_soon(program.listen)
        try:
            yield program.messages, program.outbox
        finally:
            with anyio.CancelScope(shield=True):  # each wait in it is bounded
                await program.stop()
            group.cancel_scope.cancel()


class _Program:
    def __init__(self, server: McpServer, process: Process, on_end: Callable[[McpError], None]) -> None:
        self._server = server
        self._process = process
        self._on_end = on_end
        self._last_words = b""
        self._silent = anyio.Event()  # its standard error has ended
        self._stopping = False
        self._inbox, self.messages = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        self.outbox, self._letters = anyio.create_memory_object_stream[SessionMessage](0)

    async def read(self) -> None:
        """Pass on what it says, until it ends or says what it may not."""
        reader, stdout = Reader(self._server.max_message_bytes), self._process.stdout
        assert stdout is not None
        try:
            async for chunk in stdout:
                for message in reader.feed(chunk):
                    await self._inbox.send(message)
        except (LineTooLong, StrayLines) as error:
            self._end(McpMalformed(self._server.name, self._server.scrub(f"it sent {error}")))
        except _BROKEN:
            pass
        self._end(await self._death())

    async def write(self) -> None:
        """Pass on what is said to it."""
        stdin = self._process.stdin
        assert stdin is not None
        try:
            async for letter in self._letters:
                await stdin.send(encode(letter))
        except _BROKEN:
            self._end(await self._death())

    async def listen(self) -> None:
        """Keep the end of what it writes to its standard error."""
        stderr = self._process.stderr
        assert stderr is not None
        with suppress(*_BROKEN):
            async for chunk in stderr:
                self._last_words = (self._last_words + chunk)[-LAST_WORDS:]
        self._silent.set()

    def _end(self, failure: McpError) -> None:
        if not self._stopping:
            self._on_end(failure)  # which counts once; before the stream is closed, which ends the calls that wait
        self._inbox.close()

    async def _death(self) -> McpUnavailable:
        if await self._ended(GRACE):
            with anyio.move_on_after(GRACE):  # what it started may still write
                await self._silent.wait()
        code = self._process.returncode
        if code is None:
            how = "the program closed its input or output"
        elif code < 0:
            how = f"the program was ended by {_signal_name(-code)}"
        else:
            how = f"the program ended with exit code {code}"
        lines = [line.strip() for line in self._last_words.decode("utf-8", "replace").splitlines() if line.strip()]
        words = f": {lines[-1][:500]}" if lines else ""
        return McpUnavailable(self._server.name, self._server.scrub(how + words))

    async def stop(self) -> None:
        """Close its input, then ask it to end, then kill it, and whatever it started in any case."""
        self._stopping = True
        for stream in (self._inbox, self.messages, self.outbox, self._letters):
            stream.close()
        process = self._process
        assert process.stdin is not None
        with suppress(*_BROKEN):
            await process.stdin.aclose()
        if not await self._ended(GRACE):
            self._signal(signal.SIGTERM)
            await self._ended(GRACE)
        self._signal(signal.SIGKILL)
        await self._ended(DYING)
        with anyio.move_on_after(DYING):  # a process outside of the group may hold the pipes
            await process.aclose()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    async def _ended(self, seconds: float) -> bool:
        # Not `wait()`, which on asyncio waits for the pipes too, and a grandchild may hold them.
        with anyio.move_on_after(seconds):
            while self._process.returncode is None:  # noqa: ASYNC110 - nobody tells
                await anyio.sleep(_TICK)
        return self._process.returncode is not None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
