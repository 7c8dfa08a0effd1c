"""The parent's side of one tool process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from typing import IO, TYPE_CHECKING

import anyio
import anyio.to_thread
import msgspec

from tinyllm_actors.errors import ToolCrashed
from tinyllm_actors.kernel.process_group import ending, kill_group
from tinyllm_actors.tool.isolation.wire import LENGTH, MAX_FRAME, Answer, read_answer

if TYPE_CHECKING:
    from typing import Self

__all__ = ["ToolProcess"]

_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[3]); "
    "from tinyllm_actors.tool.isolation.worker import main; main(int(sys.argv[1]), int(sys.argv[2]))"
)
_PIECE = 2**18
_LAST_WORDS = 2_000
"""Bytes of the interpreter's own words on a crash that are kept."""


class ToolProcess:
    """A process that runs calls, one at a time. Use `start()`, and `aclose()` at the end.

    Attributes:
        calls: how many it has begun.
        idle_since: for whoever keeps it, in seconds of `anyio.current_time()`.
    """

    def __init__(self, popen: subprocess.Popen[bytes], channel: socket.socket, crash_log: IO[bytes]) -> None:
        self.calls = 0
        self.idle_since = 0.0
        self.pid = popen.pid
        self._popen = popen
        self._channel = channel
        self._crash_log = crash_log

    @classmethod
    async def start(cls) -> Self:
        """Return a new process; it is not ready yet, but takes its first call.

        Raises:
            OSError: the system has no more processes.
        """
        # A thread cannot be cancelled: the caller always hears of the process, so that it can end it.
        popen, channel, crash_log = await anyio.to_thread.run_sync(_launch)
        return cls(popen, channel, crash_log)

    async def send(self, data: bytes) -> None:
        """Send one frame.

        Raises:
            ConnectionError: the process is gone.
        """
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._channel.send(rest[:_PIECE]) :]
            except BlockingIOError:
                await anyio.wait_writable(self._channel)

    async def receive(self, tool: str) -> Answer:
        """Wait for the next answer.

        Raises:
            EOFError: the process is gone.
            ConnectionError: the process is gone.
            ToolCrashed: it sent nonsense.
        """
        (length,) = LENGTH.unpack(await self._read(LENGTH.size))
        if length > MAX_FRAME:
            raise ToolCrashed(tool, f"the process of tool {tool!r} sent nonsense, and was ended")
        try:
            return read_answer(await self._read(length))
        except msgspec.DecodeError:
            raise ToolCrashed(tool, f"the process of tool {tool!r} sent nonsense, and was ended") from None

    async def _read(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            try:
                part = self._channel.recv(min(count - len(data), _PIECE))
            except BlockingIOError:
                await anyio.wait_readable(self._channel)
                continue
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    async def failure(self, tool: str) -> ToolCrashed:
        """End the process and return the error that tells how it ended."""
        await kill_group(self._popen)
        code = self._popen.returncode
        how = ending(code)
        if code == -24:
            how += ", as it used more processor time than it may"
        error = ToolCrashed(tool, f"the process of tool {tool!r} {how}")
        size = os.fstat(self._crash_log.fileno()).st_size
        if size:
            words = os.pread(self._crash_log.fileno(), _LAST_WORDS, 0)
            error.add_note(words.decode(errors="replace"))
        return error

    async def aclose(self) -> None:
        """Kill the process and its group; returns when it is gone. Idempotent, and cancelling does not interrupt it."""
        await kill_group(self._popen)
        self._channel.close()
        self._crash_log.close()


def _launch() -> tuple[subprocess.Popen[bytes], socket.socket, IO[bytes]]:
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            # Unlinked, not a pipe: nobody has to read it. Only a crash of the interpreter writes there.
            crash_log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
            try:
                numbers = (theirs.fileno(), crash_log.fileno())
                path = [str(entry) or os.getcwd() for entry in sys.path]
                popen = subprocess.Popen(
                    [sys.executable, "-I", "-c", _PROGRAM, *map(str, numbers), json.dumps(path)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=numbers,
                    start_new_session=True,  # a group of its own, which Ctrl-C in the terminal does not reach
                )
            except BaseException:
                crash_log.close()
                raise
    except BaseException:
        ours.close()
        raise
    ours.setblocking(False)
    return popen, ours, crash_log
