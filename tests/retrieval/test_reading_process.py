"""The two sides of a reading process, each with a peer that a test plays."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from tinyllm_actors.errors import DocumentMalformed, DocumentTooLarge, LoadTimeout, MissingDependency
from tinyllm_actors.retrieval import Document, LoadLimits
from tinyllm_actors.retrieval.loading import worker
from tinyllm_actors.retrieval.loading.process import ReadingProcess
from tinyllm_actors.retrieval.loading.wire import LENGTH, MAX_FRAME, Done, Failed, Job, encode, read_answer

JOB = Job("a.txt", ".txt", LoadLimits())


def _frame(body: bytes) -> bytes:
    return LENGTH.pack(len(body)) + body


def _file(data: bytes = b"text") -> int:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        return os.dup(file.fileno())


def test_a_worker_reads_until_its_parent_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker answers one document after the other, a failure included, and ends with the connection."""
    monkeypatch.setattr(worker, "_limit", lambda job: None)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=worker.serve, args=(theirs,))
    thread.start()
    with ours, ours.makefile("rb") as answers:

        def ask(job: Job, data: bytes) -> list[Any]:
            file = _file(data)
            socket.send_fds(ours, [_frame(encode(job))], [file])
            os.close(file)
            found: list[Any] = []
            while not found or not isinstance(found[-1], Done | Failed):
                (length,) = LENGTH.unpack(answers.read(LENGTH.size))
                found.append(read_answer(answers.read(length)))
            return found

        assert ask(JOB, b"text") == [Document("text", {"source": "a.txt"}), Done()]
        assert ask(JOB, b"\0") == [Failed("malformed", "is no text: it has a zero byte at 0")]
        assert ask(JOB, b"more")[0] == Document("more", {"source": "a.txt"})
    thread.join()


def test_a_worker_ends_when_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A parent that goes away in the middle of a document ends the worker."""
    ours, theirs = socket.socketpair()
    ours.close()
    with pytest.raises(ConnectionError):
        worker.read_document(JOB, _file(), lambda answer: theirs.sendall(encode(answer)))
    theirs.close()


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (MemoryError(), Failed("memory", f"needs more than memory={LoadLimits().memory} bytes to be read")),
        (RecursionError("deep"), Failed("malformed", "cannot be read: RecursionError: deep")),
        (MissingDependency("no pypdf"), Failed("missing", "no pypdf")),
    ],
)
def test_whatever_a_reader_raises_is_an_answer(error: Exception, end: Failed, monkeypatch: pytest.MonkeyPatch) -> None:
    """No error of a reader ends the worker."""

    def find_reader(suffix: str) -> Any:
        raise error

    monkeypatch.setattr(worker, "find_reader", find_reader)
    assert worker.read_document(JOB, _file(), print) == end


# --- the parent -----------------------------------------------------------------------------------


class _Dead:
    """A process that has ended."""

    returncode = -11

    def poll(self) -> int:
        return self.returncode


def _process(channel: socket.socket) -> ReadingProcess:
    channel.setblocking(False)
    return ReadingProcess(cast("Any", _Dead()), channel)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (_frame(b"\xc1nonsense"), DocumentMalformed, "nonsense"),
        (LENGTH.pack(MAX_FRAME + 1), DocumentTooLarge, "can be handed over"),
        (b"\0\0", DocumentMalformed, "was killed by SIGSEGV"),
        (_frame(encode(Failed("missing", "no pypdf"))), MissingDependency, "no pypdf"),
        (_frame(encode(Failed("memory", "needs more"))), DocumentTooLarge, "needs more"),
    ],
)
async def test_whatever_a_process_says_is_a_typed_error(answer: bytes, error: type[Exception], message: str) -> None:
    """Nonsense, too much, half an answer and failures are errors about the document."""
    ours, theirs = socket.socketpair()
    with theirs:
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        process = _process(ours)
        file = os.open(os.devnull, os.O_RDONLY)
        with pytest.raises(error, match=message):
            await process.read(JOB, file, _ignore)
        os.close(file)
        assert process.sound is (error is MissingDependency)
        await process.aclose()
        assert not process.sound


@pytest.mark.anyio
async def test_a_process_that_says_nothing_is_too_late() -> None:
    """Silence ends with the time-out, a connection that is gone at once."""
    ours, theirs = socket.socketpair()
    file = os.open(os.devnull, os.O_RDONLY)
    process = _process(ours)
    with theirs, pytest.raises(LoadTimeout, match=r"timeout=0\.001"):
        await process.read(Job("a.txt", ".txt", LoadLimits(timeout=0.001)), file, _ignore)
    with pytest.raises(DocumentMalformed, match="SIGSEGV"):
        await process.read(JOB, file, _ignore)
    os.close(file)
    await process.aclose()


@pytest.mark.anyio
async def test_a_job_waits_for_room(tmp_path: Path) -> None:
    """A job larger than the connection holds is sent as the other side reads it."""
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    job = Job("x" * 2_000_000 + ".txt", ".txt", LoadLimits())
    size = len(_frame(encode(job)))

    def peer() -> None:
        left = size
        while left:
            left -= len(theirs.recv(min(left, 65_536)))
        theirs.sendall(_frame(encode(Done())))

    thread = threading.Thread(target=peer)
    thread.start()
    process = _process(ours)
    file = os.open(os.devnull, os.O_RDONLY)
    await process.read(job, file, _ignore)
    assert process.sound
    os.close(file)
    thread.join()
    await process.aclose()
    theirs.close()


async def _ignore(item: object) -> None:
    pass
