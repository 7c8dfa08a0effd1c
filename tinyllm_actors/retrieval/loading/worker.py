"""The program of a reading process: read the documents whose files come over a socket, one at a time."""

from __future__ import annotations

import math
import os
import resource
import socket
import time
from typing import TYPE_CHECKING, Literal

from tinyllm_actors.errors import DocumentRefused, DocumentTooLarge, LoadError, MissingDependency
from tinyllm_actors.retrieval.document import ImageDocument
from tinyllm_actors.retrieval.loading.formats import find_reader
from tinyllm_actors.retrieval.loading.reading import LoadProgress, Reading
from tinyllm_actors.retrieval.loading.wire import LENGTH, Done, Failed, encode, read_job

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinyllm_actors.retrieval.loading.wire import Answer, Job

__all__ = ["main", "read_document", "serve"]

_SPARE_SECONDS = 5
"""Of processor time beyond the time-out; the parent ends it before, if it is there."""
_MAX_MESSAGE = 500


def main(descriptor: int) -> None:
    """Serve until the parent is gone.

    Args:
        descriptor: of the socket to the parent.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    channel = socket.socket(fileno=descriptor)
    channel.set_inheritable(False)
    serve(channel)


def serve(channel: socket.socket) -> None:
    """Read documents until the other end is closed."""

    def send(answer: Answer) -> None:
        body = encode(answer)
        channel.sendall(LENGTH.pack(len(body)) + body)

    try:
        while True:
            head, files, _, _ = socket.recv_fds(channel, LENGTH.size, 1)
            head += _receive(channel, LENGTH.size - len(head))
            job = read_job(_receive(channel, LENGTH.unpack(head)[0]))
            _limit(job)
            send(read_document(job, files[0], send))
    except (EOFError, ConnectionError):
        channel.close()


def read_document(job: Job, file: int, send: Callable[[Answer], None]) -> Answer:
    """Read one document, send what is in it, and return how it ended. Closes the file.

    Args:
        job: which one.
        file: the descriptor of its open file.
        send: takes documents and progress.
    """
    try:
        with os.fdopen(file, "rb") as content:
            reading = Reading(content, os.fstat(file).st_size, job.source, job.suffix, job.limits)
            reading.at_most(reading.size, "max_bytes")
            characters = 0
            for item in find_reader(job.suffix)(reading):
                if not isinstance(item, LoadProgress | ImageDocument):
                    characters += len(item.to_text())
                    reading.at_most(characters, "max_characters")
                send(item)
        return Done()
    except ConnectionError:
        raise  # the parent is gone
    except LoadError as error:
        return Failed(_WHY.get(type(error), "malformed"), error.reason)
    except MissingDependency as error:
        return Failed("missing", str(error))
    except MemoryError:
        return Failed("memory", f"needs more than memory={job.limits.memory} bytes to be read")
    except Exception as error:  # libraries fail in any way on files that are damaged
        return Failed("malformed", f"cannot be read: {type(error).__name__}: {error}"[:_MAX_MESSAGE])


_WHY: dict[type[LoadError], Literal["too_large", "refused"]] = {
    DocumentTooLarge: "too_large",
    DocumentRefused: "refused",
}


def _receive(channel: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        if not (part := channel.recv(count - len(data))):
            raise EOFError
        data += part
    return bytes(data)


def _limit(job: Job) -> None:
    """Set the soft limits for one document; the next one sets its own."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (job.limits.memory, hard))
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    # The system counts the whole life of the process.
    soft = math.ceil(time.process_time()) + math.ceil(job.limits.timeout) + _SPARE_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))
