"""Start, watch and end the process that serves the model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import anyio
import anyio.to_thread

from tinyllm_actors.errors import ConfigurationError, ModelUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinyllm_actors.integrations.local_model.server import Settings

__all__ = ["ServerProcess"]

_PROGRAM = Path(__file__).with_name("server.py")
_TICK = 1.0
"""How often progress is told while the weights load, in seconds."""
_LAST_WORDS = 2000
"""How much of what llama.cpp wrote is looked at for a reason, in bytes."""
_LONGEST_WORDS = 300
"""How much of it an error shows, in characters."""
_DYING = 5.0
"""How long a killed process may take to go, in seconds; only one that hangs in the kernel takes so long."""


class ServerProcess:
    """llama.cpp's server in a child process. Use `start()`.

    Attributes:
        address: where it listens, such as `"http://127.0.0.1:40913"`.
        pid: of the process.
    """

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        self.address = ""
        self.pid = popen.pid
        self._name = name
        self._popen = popen
        self._log = log
        self._stopping = False
        self._died = False
        stdout = popen.stdout
        assert stdout is not None
        self._stdout = stdout
        os.set_blocking(stdout.fileno(), False)

    @classmethod
    async def start(
        cls, name: str, settings: Settings, *, timeout: float, on_progress: Callable[[str], None]
    ) -> ServerProcess:
        """Return the process, its weights loaded and its port open.

        Args:
            name: of the model, for errors.
            settings: for the program.
            timeout: seconds until it must be ready.
            on_progress: told once a second how long it has taken.

        Raises:
            ConfigurationError: llama.cpp cannot serve these weights.
            ModelUnavailable: the process ended, or is not ready in time.
        """
        # A thread cannot be cancelled: the caller always hears of the process, so that it can end it.
        process = await anyio.to_thread.run_sync(_launch, name, settings)
        try:
            await process._become_ready(timeout, on_progress)
        except BaseException:
            await process.stop()
            raise
        return process

    @property
    def running(self) -> bool:
        """The process is there, as far as one can tell without waiting."""
        return not self._stopping and self._popen.poll() is None

    @property
    def died(self) -> bool:
        """Whether it ended before anybody stopped it."""
        return self._died or not (self._stopping or self.running)

    async def wait_ended(self) -> ModelUnavailable | None:
        """Wait until the process ends. Return why, or None if `stop()` ended it. Any number may wait."""
        # Only one task can wait for a descriptor, hence one of its own for each.
        try:
            end = os.dup(self._stdout.fileno())
        except ValueError:  # closed
            return None
        try:
            while True:
                await anyio.wait_readable(end)
                if _read(end) == b"":
                    break
        finally:
            os.close(end)
        await self._reap()
        return None if self._stopping else self.failure()

    def failure(self) -> ModelUnavailable:
        """Return the error that tells why the process is not there any more."""
        code = self._popen.poll()
        if code is None:
            how = "does not answer"
        elif code < 0:
            how = f"was ended by {_signal_name(-code)}"
        else:
            how = f"ended with exit code {code}"
        words = "" if self._log.closed else _last_words(self._log)
        return ModelUnavailable(
            f"{self._name}: the llama.cpp process (pid {self.pid}) {how}{': ' + words if words else ''}; "
            "open() starts a new one",
            model=self._name,
        )

    async def stop(self) -> None:
        """End the process and release what is held for it. Idempotent.

        It is killed: it has nothing to save, and llama.cpp's own ending waits for answers that nobody reads.
        """
        self._died = self.died
        self._stopping = True
        with anyio.CancelScope(shield=True):
            if self._popen.poll() is None:
                self._popen.kill()
            await self._reap()
        for pipe in (self._popen.stdin, self._stdout, self._log):
            if pipe is not None:
                pipe.close()

    async def _reap(self) -> None:
        with anyio.move_on_after(_DYING):
            while self._popen.poll() is None:  # noqa: ASYNC110 - nobody but the system knows, and it does not tell
                await anyio.sleep(0.002)

    async def _become_ready(self, timeout: float, on_progress: Callable[[str], None]) -> None:
        said = bytearray()
        began = anyio.current_time()
        while b"\n" not in said:
            waited = anyio.current_time() - began
            if waited >= timeout:
                raise ModelUnavailable(
                    f"{self._name}: llama.cpp was not ready within start_timeout={timeout!r} s; "
                    "raise it, or use smaller weights",
                    model=self._name,
                )
            with anyio.move_on_after(min(_TICK, timeout - waited)) as scope:
                await anyio.wait_readable(self._stdout)
            if scope.cancelled_caught:
                on_progress(f"loading the weights … {anyio.current_time() - began:.0f} s")
                continue
            piece = _read(self._stdout.fileno())
            if piece == b"":
                await self._reap()
                raise self.failure()
            said += piece or b""
        message = cast("dict[str, Any]", json.loads(said))
        if "error" in message:
            words = _last_words(self._log) or str(message["error"])
            raise ConfigurationError(f"{self._name}: llama.cpp cannot serve these weights: {words}")
        self.address = str(message["address"])


def _launch(name: str, settings: Settings) -> ServerProcess:
    # Unlinked, not a pipe: nobody has to read it while the server runs.
    log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
    try:
        popen = subprocess.Popen(
            [sys.executable, "-I", str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # Ctrl-C in the terminal is not for it
            bufsize=0,
        )
    except OSError as error:
        log.close()
        raise ModelUnavailable(f"{name}: no process for llama.cpp: {error}", model=name) from error
    except BaseException:
        log.close()
        raise
    stdin = popen.stdin
    assert stdin is not None
    # Far below what a pipe holds; a process that is dead already is found when it is waited for.
    with suppress(OSError):
        stdin.write(json.dumps(settings).encode() + b"\n")
    return ServerProcess(name, popen, log)


def _read(descriptor: int) -> bytes | None:
    """Return what is there, empty at the end, or None when there is nothing yet. The descriptor does not block."""
    try:
        return os.read(descriptor, 65536)
    except BlockingIOError:  # another waiter was faster
        return None


def _last_words(log: IO[bytes]) -> str:
    """Return the last error in the log, without its time stamp."""
    # Read in place: the process writes where the shared offset of the file is.
    size = os.fstat(log.fileno()).st_size
    said = os.pread(log.fileno(), _LAST_WORDS, max(0, size - _LAST_WORDS))
    lines = [line.strip() for line in said.decode("utf-8", "replace").splitlines() if line.strip()]
    # `0.00.005.685 E llama_model_load: error loading model: …`; an assertion comes without such a head.
    reasons = [line.partition(" E ")[2].strip() or line for line in lines]
    telling = next((r for r in reasons if "error" in r or "fail" in r or "invalid" in r or "ASSERT" in r), "")
    return (telling or (reasons[-1] if reasons else ""))[:_LONGEST_WORDS]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
