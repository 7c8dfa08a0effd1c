"""The program that runs llama.cpp, and what its parent makes of a program that misbehaves. No weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest

from tinyllm_actors.errors import ConfigurationError, ModelUnavailable
from tinyllm_actors.integrations.local_model import server
from tinyllm_actors.integrations.local_model.process import ServerProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinyllm_actors.integrations.local_model.server import Settings

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the local model runs on Linux and macOS")

SETTINGS: Settings = {
    "runtime": "/nowhere",
    "weights": "/models/small.gguf",
    "context": 2048,
    "slots": 2,
    "threads": 3,
    "prompt_cache_mib": 0,
    "api_key": "a-key-for-this-test-only",
}


class Recorder:
    """Stands for llama.cpp's server."""

    def __init__(self, given: object) -> None:
        self.given = given


def test_llama_cpp_is_started_closed_to_others_and_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback, a free port, a key, no page, no spinning threads, and no cache of 8 GiB."""
    params: Any = SimpleNamespace(model=SimpleNamespace(), cpuparams=SimpleNamespace())
    llama: Any = ModuleType("xllamacpp")
    llama.CommonParams = lambda: params
    llama.Server = Recorder
    monkeypatch.setitem(sys.modules, "xllamacpp", llama)
    monkeypatch.setattr(sys, "path", [*sys.path])
    started = server.start(SETTINGS)
    assert started.given is params
    assert sys.path[-1] == "/nowhere"
    assert (params.hostnames, params.port, params.api_keys, params.ui) == (
        ["127.0.0.1"],
        0,
        [SETTINGS["api_key"]],
        False,
    )
    assert (params.n_ctx, params.n_parallel, params.cpuparams.n_threads) == (2048, 2, 3)
    assert (params.cpuparams.poll, params.cache_ram_mib, params.cache_idle_slots) == (0, 0, False)
    assert (params.model.path, params.model_alias) == ("/models/small.gguf", {"small"})


def test_the_program_ends_when_its_stdin_does() -> None:
    """What is written is read over; the end of the pipe is the end."""
    reading, writing = os.pipe()
    ended = threading.Thread(target=server.wait_for_the_end, args=(os.getppid(), reading))
    ended.start()
    os.write(writing, b"whatever")
    os.close(writing)
    ended.join(10)
    os.close(reading)
    assert not ended.is_alive()


def test_the_program_ends_when_it_has_another_parent() -> None:
    """A pipe that somebody else holds open does not keep the program of a dead parent alive."""
    reading, writing = os.pipe()
    try:
        server.wait_for_the_end(os.getppid() + 1, reading)
    finally:
        os.close(writing)
        os.close(reading)


def test_the_program_tells_why_it_cannot_serve() -> None:
    """One line of JSON on stdout and exit code 1, with llama.cpp installed or not."""
    done = subprocess.run(
        [sys.executable, "-I", str(server.__file__)],
        input=json.dumps(SETTINGS),
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 1
    assert json.loads(done.stdout).keys() == {"error"}


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put another program in the place of ours."""

    def replace(code: str) -> None:
        path = tmp_path / "program.py"
        path.write_text("import json, os, sys, time\nsys.stdin.readline()\n" + code)
        monkeypatch.setattr("tinyllm_actors.integrations.local_model.process._PROGRAM", path)

    return replace


def tell_nobody(_: str) -> None:
    """Take progress and drop it."""


async def start(on_progress: Callable[[str], None] = tell_nobody) -> ServerProcess:
    """Start whatever program is in place."""
    return await ServerProcess.start("local/x", SETTINGS, timeout=30.0, on_progress=on_progress)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        ("sys.exit(3)", ModelUnavailable, r"ended with exit code 3; open\(\)"),
        ("sys.exit('GGML_ASSERT(n > 0) failed')", ModelUnavailable, r"exit code 1: GGML_ASSERT\(n > 0\) failed"),
        ("os.kill(os.getpid(), 6)", ModelUnavailable, "SIGABRT"),
        ("os.kill(os.getpid(), 40)", ModelUnavailable, "signal 40"),
        ("print('{\"err', end='', flush=True); print('or\": \"bad weights\"}')", ConfigurationError, "bad weights"),
        (
            "print('0.0 E load: error loading model: no', file=sys.stderr); print('{\"error\": \"x\"}')",
            ConfigurationError,
            "weights: load: error loading model: no$",
        ),
    ],
)
async def test_a_program_that_does_not_get_ready(
    program: Callable[[str], None], code: str, error: type[Exception], words: str
) -> None:
    """How it ended and its last words are in the error."""
    await anyio.to_thread.run_sync(program, code)
    with anyio.fail_after(50), pytest.raises(error, match=words):
        await start()


@pytest.mark.anyio
async def test_progress_is_told_while_a_program_takes_its_time(program: Callable[[str], None]) -> None:
    """Once a second somebody who waits learns how long it has taken."""
    await anyio.to_thread.run_sync(program, "time.sleep(600)")
    said: list[str] = []

    def enough(words: str) -> None:
        said.append(words)
        raise InterruptedError

    with anyio.fail_after(50), pytest.raises(InterruptedError):
        await start(enough)
    assert said == ["loading the weights … 1 s"]


@pytest.mark.anyio
async def test_the_last_words_of_a_program_that_served(program: Callable[[str], None]) -> None:
    """Its address is known; when it ends the reason it wrote is in the error, for each who waits, and afterwards."""
    code = "print(json.dumps({'address': 'http://127.0.0.1:1'}), flush=True); sys.stdin.read(); sys.exit('no memory')"
    await anyio.to_thread.run_sync(program, code)
    process = await start()
    try:
        assert process.running
        assert process.address == "http://127.0.0.1:1"
        assert "does not answer" in str(process.failure())
        os.kill(process.pid, signal.SIGTERM)
        with anyio.fail_after(50):
            for _ in range(2):
                assert "SIGTERM" in str(await process.wait_ended())
        assert not process.running
    finally:
        await process.stop()
    assert await process.wait_ended() is None


@pytest.mark.anyio
async def test_no_process_at_all(program: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that gives no process is an error that may pass."""
    await anyio.to_thread.run_sync(program, "")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ModelUnavailable, match=r"no process for llama\.cpp") as caught:
        await start()
    assert caught.value.retryable
