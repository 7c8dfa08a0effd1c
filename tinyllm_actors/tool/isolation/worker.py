"""The program of a tool's process: run the calls that come over a socket, one at a time."""

from __future__ import annotations

import faulthandler
import functools
import math
import os
import pickle
import resource
import signal
import socket
import threading
import time
import traceback
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, cast

import anyio
import msgspec

from tinyllm_actors.errors import ToolRetry
from tinyllm_actors.tool.context import ToolContext
from tinyllm_actors.tool.execution import run_here
from tinyllm_actors.tool.isolation.reference import find_function, load_main
from tinyllm_actors.tool.isolation.wire import LENGTH, Answer, Began, Done, Failed, Job, Report, frame, read_job
from tinyllm_actors.tool.result import plain, render_result
from tinyllm_actors.tool.signature import inspect_function

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Worker", "main"]

_MAX_TRACE = 4_000
"""Characters of a traceback, and of an exception's message, that are sent."""
_OUT_OF_MEMORY = 71
"""The exit status of a process that cannot even say that it has no memory left."""


def main(descriptor: int, crash_log: int) -> None:
    """Serve until the parent is gone; then end this process and all that it started.

    Args:
        descriptor: of the socket to the parent.
        crash_log: of a file for the traceback of a crash of the interpreter.
    """
    channel = socket.socket(fileno=descriptor)
    channel.set_inheritable(False)
    # The parent sees our end by the end of the stream, so no child may hold it open.
    os.register_at_fork(after_in_child=channel.close)
    os.set_inheritable(crash_log, False)
    faulthandler.enable(crash_log)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    Worker(channel, lambda: os.killpg(0, signal.SIGKILL)).serve()


class Worker:
    """Runs calls in the thread that serves, while another one listens.

    Args:
        channel: the connection to the parent.
        on_lost: called, in the listening thread, when the parent is gone.
    """

    def __init__(self, channel: socket.socket, on_lost: Callable[[], None]) -> None:
        self._channel = channel
        self._on_lost = on_lost
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()

    def serve(self) -> None:
        """Run calls until the parent is gone."""
        threading.Thread(target=self._listen, name="tool process", daemon=True).start()
        while (job := self._jobs.get()) is not None:
            self._send(Began())
            self._send_end(self._answer(job))

    def _listen(self) -> None:
        try:
            while True:
                (length,) = LENGTH.unpack(self._receive(LENGTH.size))
                self._jobs.put(read_job(self._receive(length)))
        except (EOFError, OSError):
            self._on_lost()
            self._jobs.put(None)

    def _receive(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            if not (part := self._channel.recv(min(count - len(parts), 2**20))):
                raise EOFError
            parts += part
        return bytes(parts)

    def _send(self, answer: Answer) -> None:
        self._channel.sendall(frame(answer))

    def _send_end(self, answer: Answer) -> None:
        try:
            self._send(answer)
        except ValueError as error:  # a result that is too long
            self._send(Failed("error", "ValueError", str(error), "", spoilt=False))

    def _answer(self, job: Job) -> Answer:
        try:
            return _to_wire(self._run(job))
        except MemoryError as error:
            return _failure("error", error, spoilt=True)
        except ToolRetry as error:
            return _failure("retry", error)
        except (SystemExit, KeyboardInterrupt) as error:
            return _failure("exit", error)
        except BaseException as error:
            return _failure("error", error)

    def _run(self, job: Job) -> object:
        _limit(job.memory, job.cpu)
        if job.main is not None:
            load_main(job.main)
        function = find_function(job.module, job.name)
        values = cast("dict[str, Any]", pickle.loads(job.arguments))
        if job.injected:
            # The clock of asyncio, in which an async function runs here, is this one.
            deadline = None if job.seconds is None else time.monotonic() + job.seconds
            context = ToolContext(**job.context, deadline=deadline, report=self._report)
            values.update(dict.fromkeys(job.injected, context))
        positional, keywords = inspect_function(function).arrange(values)
        call = functools.partial(function, *positional, **keywords)
        if job.kind == "sync":
            return call()
        return anyio.run(run_here, call, job.kind, self._report)

    def _report(self, progress: object) -> None:
        self._send(Report(_json(progress)))


def _limit(memory: int | None, cpu: float | None) -> None:
    """Set the soft limits for one call; the next one sets its own."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (hard if memory is None else memory, hard))
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    # The system counts the whole life of the process.
    soft = hard if cpu is None else math.ceil(time.process_time()) + math.ceil(cpu)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def _to_wire(result: object) -> Done:
    if isinstance(result, str):
        return Done("text", render_result(result).encode())
    if isinstance(result, bytes | bytearray):
        return Done("bytes", bytes(result))
    try:
        return Done("json", msgspec.json.encode(result, enc_hook=plain))
    except (TypeError, ValueError, RecursionError):
        return Done("text", render_result(result).encode())


def _json(progress: object) -> bytes:
    try:
        return msgspec.json.encode(progress, enc_hook=plain)
    except (TypeError, ValueError, RecursionError):
        return msgspec.json.encode(render_result(progress))


def _failure(kind: Any, error: BaseException, *, spoilt: bool = False) -> Failed:
    try:
        # The text of a KeyError is the repr of its key; the other side makes one of it again.
        said = error.args[0] if type(error) is KeyError and error.args else error
        trace = "".join(traceback.format_exception(error, limit=-20))[-_MAX_TRACE:]
        return Failed(kind, type(error).__name__, render_result(str(said))[:_MAX_TRACE], render_result(trace), spoilt)
    except MemoryError:
        os._exit(_OUT_OF_MEMORY)
    except BaseException:  # an exception's own code may do anything
        return Failed(kind, type(error).__name__, f"<{type(error).__name__} that cannot be shown>", "", spoilt)
