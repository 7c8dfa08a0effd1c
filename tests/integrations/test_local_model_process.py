"""The process that serves the embedded model: how it starts, dies, is noticed and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import pytest

from tinyllm_actors.errors import AuthenticationFailed, ConfigurationError, ModelUnavailable
from tinyllm_actors.integrations.local_model import LocalModel
from tinyllm_actors.integrations.local_model.process import ServerProcess
from tinyllm_actors.integrations.local_model.weights import find_runtime, find_weights
from tinyllm_actors.integrations.openai_compatible import OpenAICompatibleModel
from tinyllm_actors.llm.messages import SystemMessage, UserMessage
from tinyllm_actors.llm.model import ChatRequest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tinyllm_actors.integrations.local_model.server import Settings

MISSING = LocalModel.available()
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
    pytest.mark.timeout(300),  # a busy machine may compute a tenth as fast
]

QUESTION = ChatRequest(messages=[SystemMessage("Be brief."), UserMessage("Hello!")], options={"max_tokens": 3})
LONG = ChatRequest(messages=[UserMessage("Tell a very long story about the sea.")], options={"max_tokens": 3000})
KEY = "a-key-for-this-test-only"


@pytest.fixture
async def model() -> AsyncIterator[LocalModel]:
    """A server of its own for each test, which may kill it."""
    model = LocalModel(context=1024)
    await model.open()
    yield model
    await model.aclose()


def settings(**changes: object) -> Settings:
    """Return what the program is told, with `changes`."""
    values: Settings = {
        "runtime": str(find_runtime()),
        "weights": str(find_weights()),
        "context": 512,
        "slots": 1,
        "threads": 1,
        "prompt_cache_mib": 0,
        "api_key": KEY,
    }
    values.update(changes)  # pyright: ignore[reportCallIssue, reportArgumentType]
    return values


def alive(pid: int) -> bool:
    """Tell whether the process runs; one that has ended and was not waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def children_of_this_process() -> set[int]:
    """Return the processes that this one has started."""
    return {int(pid) for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


def descriptors() -> dict[str, int]:
    """Count what this process has open, by kind."""
    kinds: dict[str, int] = {}
    for path in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the folder itself
            kind = os.readlink(path).partition(":")[0]
            kinds[kind] = kinds.get(kind, 0) + 1
    return kinds


async def test_a_killed_server_is_noticed_and_can_be_replaced(model: LocalModel) -> None:
    """Kill -9: `wait_failed()` raises for each who waits, calls fail as retryable, and `open()` brings it back."""
    pid = model.pid
    assert pid is not None
    noticed: list[ModelUnavailable] = []

    async def watch() -> None:
        with pytest.raises(ModelUnavailable, match="SIGKILL") as caught:
            await model.wait_failed()
        noticed.append(caught.value)

    with anyio.fail_after(50):
        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            group.start_soon(watch)
            await anyio.wait_all_tasks_blocked()
            os.kill(pid, signal.SIGKILL)
        assert len(noticed) == 2
        with pytest.raises(ModelUnavailable, match=f"pid {pid}.*SIGKILL") as caught:
            await model.complete(QUESTION)
        assert caught.value.retryable
        await model.open()
        assert model.pid != pid
        assert (await model.complete(QUESTION)).message.content


async def test_a_server_that_dies_in_the_middle_of_an_answer(model: LocalModel) -> None:
    """What had been streamed is in the error, which names the process and its end."""
    text = ""
    with anyio.fail_after(50), pytest.raises(ModelUnavailable, match="SIGKILL") as caught:
        async with model.stream(LONG) as events:
            async for event in events:
                text += getattr(event, "text", "")
                if len(text) > 20 and model.pid is not None:
                    os.kill(model.pid, signal.SIGKILL)
    assert caught.value.retryable
    assert caught.value.output_started
    assert text
    assert caught.value.partial.startswith(text[:20])
    assert caught.value.model == model.name


async def test_closing_leaves_nothing() -> None:
    """After `aclose()`, also with a call under way, there is no process, thread or descriptor more than before."""
    model = LocalModel(context=512)

    async def call() -> None:
        with pytest.raises(ModelUnavailable, match="closed during the call") as caught:
            await model.complete(LONG)
        assert not caught.value.retryable

    async def live() -> int:
        await model.open()
        pid = model.pid
        assert pid is not None
        assert alive(pid)
        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await anyio.wait_all_tasks_blocked()
            await model.aclose()
            await model.aclose()
        return pid

    await live()  # what the event loop, the HTTP client and the threads keep for later is there from now on
    before, threads = descriptors(), threading.active_count()
    pid = await live()
    assert not alive(pid)
    assert threading.active_count() <= threads
    assert descriptors() == before


async def test_waiting_for_a_failure_of_a_closed_model_goes_on(model: LocalModel) -> None:
    """A model that was closed has not failed."""
    async with anyio.create_task_group() as group:
        group.start_soon(model.wait_failed)
        await anyio.wait_all_tasks_blocked()
        await model.aclose()
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    with pytest.raises(RuntimeError, match="open"):
        await model.wait_failed()


async def test_a_client_that_does_not_open_takes_the_server_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong in `open()`, no process stays; the test suite looks for it."""

    async def fail(_: object) -> None:
        raise ValueError("no client")

    monkeypatch.setattr(OpenAICompatibleModel, "open", fail)
    model = LocalModel(context=512)
    with pytest.raises(ValueError, match="no client"):
        await model.open()
    assert model.pid is None


async def test_opening_twice_is_one_server(model: LocalModel) -> None:
    """`open()` on a model that runs changes nothing, also when two ask for it at once."""
    pid = model.pid
    async with anyio.create_task_group() as group:
        group.start_soon(model.open)
        group.start_soon(model.open)
    assert model.pid == pid


async def test_a_closed_model_says_that_it_must_be_opened() -> None:
    """A call without `open()` names what is missing."""
    with pytest.raises(RuntimeError, match=r"await open\(\) first"):
        await LocalModel().complete(QUESTION)


async def test_cancelling_open_leaves_no_process() -> None:
    """Whoever gives up while the weights load gets rid of the process too; the test suite looks for what is left."""
    started = anyio.Event()
    model = LocalModel(context=512, on_progress=lambda _: started.set())
    async with anyio.create_task_group() as group:
        group.start_soon(model.open)
        await started.wait()
        group.cancel_scope.cancel()
    assert model.pid is None


async def test_progress_is_told() -> None:
    """Whoever waits for `open()` is told what is loaded and when it is done."""
    said: list[str] = []
    model = LocalModel(context=512, on_progress=said.append)
    await model.open()
    await model.aclose()
    assert "SmolLM2" in said[0]
    assert "MiB" in said[0]
    assert said[-1].startswith("ready after")


async def test_a_server_that_is_too_slow_to_start() -> None:
    """The time to load is bounded; the error says by which option, and nothing stays."""
    model = LocalModel(context=512, start_timeout=0.01)
    with pytest.raises(ModelUnavailable, match=r"start_timeout=0\.01"):
        await model.open()
    assert model.pid is None


async def test_weights_that_are_cut_short(tmp_path: Path) -> None:
    """A damaged file is named with llama.cpp's own reason for refusing it."""
    weights = tmp_path / "damaged.gguf"

    def cut() -> None:
        with find_weights().open("rb") as whole:
            weights.write_bytes(whole.read(3_000_000))

    await anyio.to_thread.run_sync(cut)
    with pytest.raises(ConfigurationError, match=r"damaged|corrupted|out of bounds|bounds") as caught:
        await LocalModel(weights).open()
    assert "llama.cpp" in str(caught.value)


async def test_a_server_that_dies_while_it_loads() -> None:
    """A process that is killed before it is ready is an error that may pass, and is named with its end."""
    values = await anyio.to_thread.run_sync(settings)
    before = children_of_this_process()
    failures: list[ModelUnavailable] = []

    async def start() -> None:
        with pytest.raises(ModelUnavailable, match="SIGKILL") as caught:
            await ServerProcess.start("local/x", values, timeout=30.0, on_progress=lambda _: None)
        failures.append(caught.value)

    with anyio.fail_after(50):
        async with anyio.create_task_group() as group:
            group.start_soon(start)
            await anyio.wait_all_tasks_blocked()
            while not (found := children_of_this_process() - before):  # noqa: ASYNC110 - there is nothing to wait for
                await anyio.sleep(0.001)
            for pid in found:
                os.kill(pid, signal.SIGKILL)
    assert failures[0].retryable


async def test_the_port_is_closed_to_others() -> None:
    """Whoever finds the port cannot use the model without the key, which no `repr` and no error shows."""
    values = await anyio.to_thread.run_sync(settings)
    server = await ServerProcess.start("local/x", values, timeout=30.0, on_progress=lambda _: None)
    try:
        assert server.address.startswith("http://127.0.0.1:")
        stranger = OpenAICompatibleModel("x", api_base=f"{server.address}/v1", api_key="another-key")
        await stranger.open()
        try:
            with pytest.raises(AuthenticationFailed) as caught:
                await stranger.complete(QUESTION)
        finally:
            await stranger.aclose()
        assert KEY not in str(caught.value)
        assert KEY not in repr(server)
        arguments = await anyio.Path(f"/proc/{server.pid}/cmdline").read_bytes()
        assert KEY.encode() not in arguments
    finally:
        await server.stop()


OWNER = """
import sys, anyio
from tinyllm_actors.integrations.local_model import LocalModel
from tinyllm_actors.llm.messages import UserMessage
from tinyllm_actors.llm.model import ChatRequest

async def main():
    model = LocalModel(context=512)
    await model.open()
    await model.complete(ChatRequest(messages=[UserMessage("Hello!")], options={"max_tokens": 3}))
    if sys.argv[2] == "wait":
        print(model.pid, flush=True)
        await anyio.sleep_forever()
    await model.aclose()

backend, _, uvloop = sys.argv[1].partition("+")
anyio.run(main, backend=backend, backend_options={"use_uvloop": True} if uvloop else {})
"""


def owner(backend: str, mode: str) -> subprocess.Popen[str]:
    """Start a process that opens the model, calls it, and then waits or ends."""
    return subprocess.Popen(
        [sys.executable, "-X", "dev", "-c", OWNER, backend, mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )


@pytest.mark.parametrize("backend", ["asyncio", "asyncio+uvloop", "trio"])
def test_the_server_does_not_outlive_its_owner(backend: str) -> None:
    """Kill -9 of the process that opened the model takes the server along within seconds."""
    with owner(backend, "wait") as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert alive(pid)
        process.kill()
    deadline = time.monotonic() + 30
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(pid)


@pytest.mark.parametrize("backend", ["asyncio", "asyncio+uvloop", "trio"])
def test_a_whole_life_writes_nothing(backend: str) -> None:
    """Start, call and end leave not a byte on stdout or stderr, with all of Python's warnings on."""
    with owner(backend, "end") as process:
        out, err = process.communicate(timeout=50)
    assert (out, err, process.returncode) == ("", "", 0)
