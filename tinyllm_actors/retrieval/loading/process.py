"""The parent's side of a reading process: whatever a file does there harms its own reading and nothing else."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import msgspec
from anyio.lowlevel import checkpoint

from tinyllm_actors.errors import (
    DocumentMalformed,
    DocumentRefused,
    DocumentTooLarge,
    LoadTimeout,
    MissingDependency,
)
from tinyllm_actors.kernel.process_group import ending, kill_group
from tinyllm_actors.retrieval.loading.wire import LENGTH, MAX_FRAME, Done, Failed, Job, encode, read_answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Self

    from tinyllm_actors.retrieval.loading.reading import Item
    from tinyllm_actors.retrieval.loading.wire import Answer

__all__ = ["ReadingProcess"]

_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from tinyllm_actors.retrieval.loading.worker import main; main(int(sys.argv[1]))"
)
_PIECE = 2**18
_ERRORS = {"malformed": DocumentMalformed, "too_large": DocumentTooLarge, "refused": DocumentRefused}


class ReadingProcess:
    """A process that reads documents, one at a time. Use `start()`, and `aclose()` at the end.

    Attributes:
        documents: how many it has begun.
        sound: whether it can read another one.
    """

    def __init__(self, popen: subprocess.Popen[bytes], channel: socket.socket) -> None:
        self.documents = 0
        self.sound = True
        self._popen = popen
        self._channel = channel

    @classmethod
    async def start(cls) -> Self:
        """Return a new process; it is not ready yet, but takes its first document.

        Raises:
            OSError: the system has no more processes.
        """
        # A thread cannot be cancelled: the caller always hears of the process, so that it can end it.
        popen, channel = await anyio.to_thread.run_sync(_launch)
        return cls(popen, channel)

    async def read(self, job: Job, file: int, emit: Callable[[Item], Awaitable[None]]) -> None:
        """Read one document and hand what is in it to `emit`, in order; the process waits while that does not return.

        Whatever ends this early leaves the process unsound.

        Args:
            job: which one.
            file: the descriptor of its open file, which stays the caller's.
            emit: gets documents and progress.

        Raises:
            LoadError: it cannot be read.
            MissingDependency: the package that reads it is not installed.
        """
        self.documents += 1
        self.sound = False
        left = job.limits.timeout
        try:
            await self._send(job, file)
        except ConnectionError:
            raise await self._broken(job.source) from None
        while True:
            began = anyio.current_time()
            answer = await self._next(job, left)
            left -= anyio.current_time() - began
            if isinstance(answer, Done):
                self.sound = True
                return
            if isinstance(answer, Failed):
                self.sound = answer.why != "memory"
                raise _error(job.source, answer)
            await emit(answer)
            await checkpoint()  # a process that never stops talking does not stop this loop

    async def _next(self, job: Job, seconds: float) -> Answer:
        try:
            with anyio.fail_after(max(0.0, seconds)):
                return await self._answer(job.source)
        except TimeoutError:
            raise LoadTimeout(job.source, f"takes longer than timeout={job.limits.timeout:g} s to be read") from None
        except (EOFError, ConnectionError):
            raise await self._broken(job.source) from None

    async def _broken(self, source: str) -> DocumentMalformed:
        await kill_group(self._popen)
        return DocumentMalformed(source, f"broke the process that read it, which {ending(self._popen.returncode)}")

    async def _send(self, job: Job, file: int) -> None:
        body = encode(job)
        head = LENGTH.pack(len(body))
        while True:
            try:
                socket.send_fds(self._channel, [head], [file])
                break
            except BlockingIOError:
                await anyio.wait_writable(self._channel)
        rest = memoryview(body)
        while rest:
            try:
                rest = rest[self._channel.send(rest[:_PIECE]) :]
            except BlockingIOError:
                await anyio.wait_writable(self._channel)

    async def _answer(self, source: str) -> Answer:
        (length,) = LENGTH.unpack(await self._receive(LENGTH.size))
        if length > MAX_FRAME:
            raise DocumentTooLarge(source, f"has a part of {length:,} bytes; {MAX_FRAME:,} can be handed over")
        try:
            return read_answer(await self._receive(length))
        except msgspec.DecodeError:
            raise DocumentMalformed(source, "made the process that read it send nonsense") from None

    async def _receive(self, count: int) -> bytes:
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

    async def aclose(self) -> None:
        """Kill the process and its group; returns when it is gone. Idempotent, and cancelling does not interrupt it."""
        self.sound = False
        await kill_group(self._popen)
        self._channel.close()


def _error(source: str, failed: Failed) -> Exception:
    if failed.why == "missing":
        return MissingDependency(failed.message)
    return _ERRORS.get(failed.why, DocumentTooLarge)(source, failed.message)


def _launch() -> tuple[subprocess.Popen[bytes], socket.socket]:
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            path = [str(entry) or os.getcwd() for entry in sys.path]
            popen = subprocess.Popen(
                [sys.executable, "-I", "-c", _PROGRAM, str(theirs.fileno()), json.dumps(path)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # a group of its own, which Ctrl-C in the terminal does not reach
            )
    except BaseException:
        ours.close()
        raise
    ours.setblocking(False)
    return popen, ours
