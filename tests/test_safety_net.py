"""The checks of `conftest.py` fail the tests that they are meant to fail, and no others."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

SUITE = """
import asyncio, socket, sys, threading

import anyio
import pytest

pytestmark = pytest.mark.anyio
over = threading.Event()
kept = []


@pytest.fixture
async def running():
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.sleep_forever)
        yield
        tasks.cancel_scope.cancel()


async def test_good_tasks_of_fixtures(running):
    await anyio.lowlevel.checkpoint()


async def test_good_threads_of_the_pool():
    await anyio.to_thread.run_sync(int)


async def test_good_loopback():
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with await anyio.connect_tcp("localhost", port):
            pass


async def test_good_unknown_host():
    with pytest.raises(OSError):
        socket.getaddrinfo("host.invalid", 80)


async def test_good_process():
    await anyio.run_process([sys.executable, "-c", ""])


@pytest.mark.leaves_behind("threads", reason="told so")
async def test_good_excused_thread():
    threading.Thread(target=over.wait, args=(30,), daemon=True).start()


async def test_bad_thread():
    threading.Thread(target=over.wait, args=(30,), daemon=True).start()


async def test_bad_task(anyio_backend_name):
    if anyio_backend_name == "trio":
        import trio

        trio.lowlevel.spawn_system_task(trio.sleep_forever)
    else:
        kept.append(asyncio.ensure_future(anyio.sleep_forever()))


async def test_bad_socket():
    socket.socket()


async def test_bad_network():
    with socket.socket() as sock, pytest.raises(OSError):
        sock.connect(("192.0.2.1", 9))


async def test_bad_lookup():
    with pytest.raises(OSError):
        socket.getaddrinfo("host.example", 9)


async def test_bad_blocking_on_asyncio(anyio_backend_name):
    if anyio_backend_name == "trio":
        pytest.fail("trio has no such check")
    from tinyllm_actors import errors

    exec(compile("import time; time.sleep(0)", errors.__file__, "exec"))


def test_bad_process():
    import subprocess

    kept.append(subprocess.Popen(["sleep", "30"]))


def test_good_end():
    over.set()
    kept[-1].kill()
    kept[-1].wait()
"""


def test_each_check_catches_what_it_is_for(tmp_path: Path) -> None:
    """Tests named bad fail or err on each event loop, tests named good pass."""
    conftest = (HERE / "conftest.py").read_text(encoding="utf-8")
    assert "GRACE = 10.0" in conftest
    (tmp_path / "conftest.py").write_text(conftest.replace("GRACE = 10.0", "GRACE = 0.3"), encoding="utf-8")
    shutil.copy(HERE.parent / "pyproject.toml", tmp_path)
    (tmp_path / "test_suite.py").write_text(SUITE, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-rA", "--tb=line", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    worst: dict[str, str] = {}
    for outcome, test in re.findall(r"^(PASSED|FAILED|ERROR|SKIPPED) \S+::(\S+)", done.stdout, re.MULTILINE):
        if worst.get(test, "PASSED") == "PASSED":
            worst[test] = outcome
    assert len(worst) == 12 * 3 + 2, done.stdout
    wrong = {test: outcome for test, outcome in worst.items() if ("_good_" in test) != (outcome == "PASSED")}
    assert not wrong, done.stdout


@pytest.mark.anyio
async def test_every_backend_is_what_its_name_says(anyio_backend_name: str, request: pytest.FixtureRequest) -> None:
    """The three variants run on asyncio's own loop, on uvloop's, and on trio."""
    variant = str(request.node.callspec.id)
    if anyio_backend_name == "trio":
        assert variant == "trio"
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
    else:
        assert type(asyncio.get_running_loop()).__module__.startswith(variant)
