"""Code that a model wrote: it runs, it is bounded, and it changes nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import structlog
from anyio import to_thread

from tinyllm_actors import ActorSystem, Toolkit
from tinyllm_actors.errors import ConfigurationError, ToolError
from tinyllm_actors.tool import ToolRequest
from tinyllm_actors.tool.builtin import CodeLimits, code_interpreter, make_code_interpreter, sandbox_status
from tinyllm_actors.tool.builtin import code_interpreter as _tool
from tinyllm_actors.tool.builtin.code_runner import NO_SANDBOX

if TYPE_CHECKING:
    from types import ModuleType

pytestmark = pytest.mark.anyio


def module() -> ModuleType:
    """Return the module, whose name the tool has in the package."""
    import sys

    return sys.modules["tinyllm_actors.tool.builtin.code_interpreter"]


async def run(code: str, *, sandbox: Any = "auto", **limits: Any) -> str:
    """Run code with these limits and return what the model would see."""
    return str(await make_code_interpreter(limits=CodeLimits(**limits), sandbox=sandbox).call({"code": code}))


@pytest.fixture
async def held() -> tuple[str, ...]:
    """Tell what this system keeps code from."""
    return await sandbox_status()


async def test_code_runs_and_shows_its_last_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed, then the last line's value, or how it failed, with the place in the code; and no keys."""
    monkeypatch.setenv("SECRET_KEY", "sk-secret")
    program = "import os\nprint('SECRET_KEY' in os.environ, os.listdir('.'))\nx = 20\nx + 1"
    assert await run(program) == "False []\n21"
    assert "[nothing was printed" in await run("x = 1")
    failed = await run("def f():\n    return 1 / 0\nprint('begin')\nf()")
    assert failed.startswith('begin\nTraceback (most recent call last):\n  File "<code>", line 4')
    assert failed.endswith("ZeroDivisionError: division by zero\n[ended with exit status 1]")
    assert "SyntaxError" in await run("def f(:")
    assert await run("import sys; sys.exit(3)") == "[ended with exit status 3]"
    assert await run("import os; os.kill(os.getpid(), 11)") == "[was killed by SIGSEGV]"


async def test_limits_hold(tmp_path: Path) -> None:
    """Time, output, memory and the size of files; what was printed before the end is kept."""
    late = await run("import time\ntime.sleep(60)", seconds=0.3)
    assert late == "[stopped after 0.3 s]"
    long = await run("while True: print('x' * 1000)", output_bytes=5000)
    assert long.startswith("xxx")
    assert long.endswith("[stopped, as it wrote more than 5,000 bytes]")
    assert len(long) < 5_100
    assert "MemoryError" in await run("x = bytearray(2**29)", memory=2**28)
    assert "File too large" in await run("open('a', 'wb').write(b'x' * 2**20)", file_bytes=2**16)


async def test_a_sandbox_keeps_code_in(held: tuple[str, ...], tmp_path: Path) -> None:
    """No network, no files but its own, no other processes, and nothing that stays."""
    if "files" not in held:
        pytest.skip("this system allows no namespaces")
    required: Any = "required"
    out = await run("import socket\nsocket.create_connection(('127.0.0.1', 9))", sandbox=required)
    assert "Network is unreachable" in out
    target = tmp_path / "file"
    out = await run(f"open({str(target)!r}, 'w')", sandbox=required)
    assert "Read-only file system" in out
    assert await run("open('own', 'w').write('x')", sandbox=required) == "1"
    assert "No such process" in await run(f"import os; os.kill({os.getpid()}, 0)", sandbox=required)
    child = "import subprocess\nsubprocess.Popen(['sleep', '54321'], start_new_session=True)\n'left'"
    assert await run(child, sandbox=required) == "left"
    assert not await to_thread.run_sync(_is_running, "54321")


def _is_running(argument: str) -> bool:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if argument in path.read_text().split("\0"):
                return True
        except OSError:
            continue
    return False


async def test_without_a_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs all the same and says so once in the log; where a sandbox is required, it does not run."""

    async def nothing() -> tuple[str, ...]:
        return ()

    monkeypatch.setattr(module(), "_warned", False)
    monkeypatch.setattr(module(), "sandbox_status", nothing)
    with structlog.testing.capture_logs() as logs:
        assert await run("1") == "1"
        assert await run("2") == "2"
    assert [log["event"] for log in logs] == [
        "code_interpreter runs without a sandbox: this system allows no namespaces"
    ]
    assert await run("3", sandbox="off") == "3"
    # A runner that finds no namespaces ends like this.
    with pytest.raises(ToolError, match="allows no sandbox"):
        await run(f"import sys; sys.exit({NO_SANDBOX})", sandbox="required")


async def test_cancelling_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is gone when the call has ended, and so is its directory."""
    made: list[str] = []
    launch = module()._launch

    def launched(settings: dict[str, Any], code: str) -> Any:
        process, directory = launch(settings, code)
        made.append(directory)
        anyio.from_thread.run_sync(scope.cancel)
        return process, directory

    monkeypatch.setattr(module(), "_warned", True)
    monkeypatch.setattr(module(), "_launch", launched)
    with anyio.CancelScope() as scope:
        await run("import time; time.sleep(60)")
    assert scope.cancelled_caught
    assert not await anyio.Path(made[0]).exists()


async def test_a_start_that_fails_leaves_no_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The system may have no more processes."""
    monkeypatch.setattr(module().tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(module().sys, "executable", "/nowhere/python")
    with pytest.raises(FileNotFoundError):
        await run("1", sandbox="off")
    assert [path async for path in anyio.Path(tmp_path).iterdir()] == []


async def test_in_a_toolkit() -> None:
    """The model's call gets the output; too long a program is refused."""
    assert _tool is code_interpreter
    async with ActorSystem("test") as system:
        ref = await system.spawn(Toolkit([make_code_interpreter(sandbox="off")]))
        calls = [ToolRequest("a", "code_interpreter", '{"code": "6 * 7"}')]
        assert (await ref(calls=calls))["output"]["outcomes"][0].content == "42"
    with pytest.raises(ToolError, match="100,001 characters"):
        await run("x" * 100_001)


def test_limits_without_meaning() -> None:
    """The message names the limit."""
    for wrong in ({"seconds": 0}, {"seconds": 1e9}, {"memory": 1}, {"output_bytes": 0}, {"processes": 0}):
        given: dict[str, Any] = wrong
        with pytest.raises(ConfigurationError, match=f"{next(iter(given))}="):
            CodeLimits(**given)
