"""`code_interpreter`: run Python that a model wrote.

What it protects from, and how:

| from | by | where |
|---|---|---|
| code that hangs, sleeps or spins | a time limit, and one of processor time; the process group is killed | everywhere |
| code that eats memory, writes large files, opens many | limits of each process | everywhere |
| output without end | the process is killed once it has written too much | everywhere |
| keys in the environment | the environment is empty but for a few harmless names | everywhere |
| processes that stay behind | a process namespace, with which they all end | Linux with namespaces |
| use of the network, the local one included | a network namespace without any interface | Linux with namespaces |
| changed files | all is read-only but for a small directory in memory | Linux ≥ 5.12 with namespaces |
| looking into other processes, this one included | a user namespace, and no capabilities | Linux with namespaces |

`await sandbox_status()` says what the system at hand allows: containers often forbid namespaces. `sandbox="required"`
refuses to run code without; the default uses what there is, and logs a warning where that is nothing.

What it does **not** protect from:

- Reading: the code reads each file that this process's user can read, and what it prints goes to the model, and so to
  its provider. Run the service as a user that can read no secrets.
- Faults of the kernel: all system calls are allowed. Against an attacker, rather than a model that errs, use a virtual
  machine or a container runtime made for it, behind a tool of your own.
- Load: it may use one core for the whole time limit, and a few processes may each use the memory limit. Where the
  service runs as root, the system does not limit how many processes there are; the time limit ends them all.
- Without namespaces it may use the network, change each file that the user can change, and start processes that
  leave the group and stay.
- What others do with the output: it is text that a model controlled. Treat it so.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import anyio
import anyio.to_thread

from tinyllm_actors.errors import ConfigurationError, ToolError
from tinyllm_actors.kernel.process_group import ending, kill_group
from tinyllm_actors.tool.builtin.code_runner import NO_SANDBOX, SIGNALLED
from tinyllm_actors.tool.decorator import tool
from tinyllm_actors.tool.definition import Tool

__all__ = ["CodeLimits", "code_interpreter", "make_code_interpreter", "sandbox_status"]

_RUNNER: Final = Path(__file__).with_name("code_runner.py")
_MAX_CODE = 100_000
_PIECE = 65_536
_NAME = "code_interpreter"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeLimits:
    """What one run of code may use.

    Args:
        seconds: how long it may take, its processor time included.
        memory: bytes of address space of each process.
        output_bytes: what it may write to standard output and error together.
        file_bytes: the size of one file, and in a sandbox of all together.
        processes: in a sandbox, and not as root, how many processes and threads it may have.

    Raises:
        ConfigurationError: a limit has no meaning.
    """

    seconds: float = 10.0
    memory: int = 2**29
    output_bytes: int = 100_000
    file_bytes: int = 2**24
    processes: int = 8

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= 3600:
            raise ConfigurationError(f"seconds={self.seconds!r} must be above 0, and 3600 at most")
        for name, least in (("memory", 2**26), ("output_bytes", 1), ("file_bytes", 0), ("processes", 1)):
            if getattr(self, name) < least:
                raise ConfigurationError(f"{name}={getattr(self, name)!r} must be {least} or more")


_warned = False


def make_code_interpreter(
    *, limits: CodeLimits | None = None, sandbox: Literal["auto", "required", "off"] = "auto", concurrency: int = 4
) -> Tool[..., Any]:
    """Return a `code_interpreter` with other limits.

    Args:
        limits: of one run.
        sandbox: `"auto"` uses namespaces where there are any, `"required"` refuses to run without all that the module
            lists, `"off"` does not try: for a service that runs in a sandbox itself.
        concurrency: how many may run at once in one event loop.
    """
    bounds = limits or CodeLimits()

    @tool(name=_NAME, timeout=bounds.seconds + 10.0, concurrency=concurrency)
    async def interpret(code: Annotated[str, "a whole Python program"]) -> str:
        """Run Python and return what it prints, and the value of its last line if that is an expression.

        Each run starts afresh, in an empty directory: nothing is kept from one to the next. There is no network.
        """
        return await _interpret(code, bounds, sandbox)

    return interpret


code_interpreter = make_code_interpreter()
"""Runs Python that a model wrote, with the default limits; see the module for what it protects from."""


async def sandbox_status() -> tuple[str, ...]:
    """Return what code is kept from on this system: `"network"`, `"processes"` and `"files"`, or nothing."""
    _, output = await _run("", CodeLimits(), "auto", probe=True)
    return tuple(json.loads(output))


async def _interpret(code: str, limits: CodeLimits, sandbox: str) -> str:
    global _warned
    if len(code) > _MAX_CODE:
        raise ToolError(_NAME, f"the code has {len(code):,} characters, and may have {_MAX_CODE:,}")
    if sandbox == "auto" and not _warned:
        _warned = True
        if not await sandbox_status():
            import structlog

            structlog.get_logger("tinyllm_actors.tool").warning(
                "code_interpreter runs without a sandbox: this system allows no namespaces"
            )
    status, output = await _run(code, limits, sandbox)
    if status == NO_SANDBOX and sandbox == "required":
        raise ToolError(_NAME, "code cannot be run here: this system allows no sandbox; do without")
    return _told(status, output, limits)


def _told(status: int | str, output: str, limits: CodeLimits) -> str:
    """Return what the model is told of a run."""
    notes = {
        "late": f"stopped after {limits.seconds:g} s",
        "long": f"stopped, as it wrote more than {limits.output_bytes:,} bytes",
    }
    if isinstance(status, str):
        note = notes[status]
    elif status == 0:
        return output.rstrip() or "[nothing was printed; print what you want to see, or end with an expression]"
    else:
        note = ending(SIGNALLED - status if status > SIGNALLED else status)
    return f"{output.rstrip()}\n[{note}]".lstrip()


async def _run(code: str, limits: CodeLimits, sandbox: str, *, probe: bool = False) -> tuple[int | str, str]:
    """Return the exit status, or why the run was cut off, and the output.

    Cancelling kills the process group before this returns.
    """
    settings = {
        "sandbox": sandbox != "off",
        "required": sandbox == "required",
        "probe": probe,
        "memory": limits.memory,
        "cpu": math.ceil(limits.seconds),
        "alarm": math.ceil(limits.seconds) + 5,
        "file_bytes": limits.file_bytes,
        "tmpfs_bytes": max(limits.file_bytes, 1),
        "processes": limits.processes + 2,  # the two that wait
    }
    process, directory = await anyio.to_thread.run_sync(_launch, settings, code)
    output = bytearray()
    status: int | str = "late"
    try:
        with anyio.move_on_after(limits.seconds):
            status = await _collect(process, output, limits.output_bytes)
    finally:
        await kill_group(process)
        assert process.stdout is not None
        process.stdout.close()
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(shutil.rmtree, directory, True)
    return status, output[: limits.output_bytes].decode(errors="replace")


async def _collect(process: subprocess.Popen[bytes], output: bytearray, most: int) -> int | str:
    pipe = process.stdout
    assert pipe is not None
    while True:
        try:
            part = os.read(pipe.fileno(), _PIECE)
        except BlockingIOError:
            await anyio.wait_readable(pipe)
            continue
        if not part:
            break
        output += part
        if len(output) > most:
            return "long"
    while (code := process.poll()) is None:  # noqa: ASYNC110 - it closed its output: it is about to end, or says no more
        await anyio.sleep(0.005)
    return SIGNALLED - code if code < 0 else code


def _launch(settings: dict[str, Any], code: str) -> tuple[subprocess.Popen[bytes], str]:
    directory = tempfile.mkdtemp(prefix="code-")
    try:
        with tempfile.TemporaryFile() as source:
            source.write(code.encode(errors="replace"))
            source.seek(0)
            process = subprocess.Popen(
                [sys.executable, "-I", "-B", str(_RUNNER), json.dumps({**settings, "directory": directory})],
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env=_environment(directory),
                start_new_session=True,
                bufsize=0,
            )
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    return process, directory


def _environment(directory: str) -> dict[str, str]:
    """Return an environment without anything that is this process's own."""
    return {
        "PATH": os.defpath,
        "HOME": directory,
        "TMPDIR": directory,
        "LANG": "C.UTF-8",
        "PYTHONIOENCODING": "utf-8",
        "MPLBACKEND": "Agg",
        # Each thread counts as a process, and reserves memory.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
