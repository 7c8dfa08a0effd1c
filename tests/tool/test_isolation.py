"""Tools in processes of their own: whatever happens there fails its own call, and nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio
import isolated_tools as tools
import pytest
from anyio import to_thread

from tinyllm_actors import ActorSystem, Tool, Toolkit, tool
from tinyllm_actors.errors import ConfigurationError, IsolatedFailure, ToolCrashed, ToolError, ToolRetry, ToolTimeout
from tinyllm_actors.kernel import ChildSpec
from tinyllm_actors.tool import ProcessLimits, ToolContext, ToolOutcome, ToolRequest
from tinyllm_actors.tool.isolation.pool import MAX_CALLS, MAX_IDLE, Ask, Processes, ProcessPool, shared_processes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tinyllm_actors.tool.isolation.process import ToolProcess

pytestmark = pytest.mark.anyio


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that its parent (not we) has still to reap counts."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


async def until_gone(*pids: int) -> bool:
    """Wait until these processes have ended, for thirty seconds at most."""
    with anyio.move_on_after(30.0):
        while not all(is_gone(pid) for pid in pids):  # noqa: ASYNC110 - grandchildren tell nobody
            await anyio.sleep(0.01)
        return True
    return False


@pytest.fixture
async def warm() -> AsyncIterator[Processes]:
    """Processes that stay for the next call."""
    processes = Processes()
    yield processes
    await processes.aclose()


async def test_calls_share_a_warm_process(warm: Processes, capfd: pytest.CaptureFixture[str]) -> None:
    """Every kind of function runs there, by turns; what it prints goes nowhere and its result is plain data."""
    values = tools.where.validate('{"point": {"x": 1}}')
    first = await tools.where.call(values, processes=warm)
    assert isinstance(first, dict)
    assert first["point"] == {"x": 1}
    assert first["odd"] is None
    assert await tools.where.call(values, processes=warm) == first
    seen: list[object] = []
    context = ToolContext(call_id="a", idempotency_key="k", report=seen.append)
    assert await tools.told.call({}, context, processes=warm) == "a k True"
    assert seen == [{"item": 0}, {"item": 1}]
    seen.clear()
    assert await tools.talkative.call({}, context, processes=warm) == "done"
    assert seen == list(range(1000))
    assert await tools.counted.call({}, processes=warm) == 2
    assert await tools.counted_later.call({}, processes=warm) == 3
    assert await tools.Talker.hello.call({}, processes=warm) == "hello"
    for how, error, says in [
        ("odd", IsolatedFailure, "OddError: no luck"),
        ("key", KeyError, "'name'"),
        ("unicode", IsolatedFailure, "UnicodeDecodeError"),
        ("other", ValueError, "other"),
        ("retry", ToolRetry, "try a city"),
        ("exit", ToolError, "tried to end the process"),
        ("stop", ToolError, "tried to end the process"),
    ]:
        with pytest.raises(error, match=says) as caught:
            await tools.failing.call({"how": how}, processes=warm)
        if error in {IsolatedFailure, KeyError, ValueError}:
            assert "in failing" in caught.value.__notes__[0]
    assert await tools.odd_result.call({"kind": "cycle"}, processes=warm) == "[[...]]"
    assert await tools.odd_result.call({"kind": "bytes"}, processes=warm) == b"\xff"
    with pytest.raises(ValueError, match="67,10"):
        await tools.odd_result.call({"kind": "long"}, processes=warm)
    assert await tools.where.call(values, processes=warm) == first
    assert capfd.readouterr() == ("", "")


async def test_a_crash_fails_its_own_call() -> None:
    """However a process dies, the model is told; the calls beside it and after it do not notice."""
    kit = Toolkit([tools.leaving, tools.killed, tools.broken, tools.greedy, tools.babbling, tools.flaky, tools.counted])
    async with ActorSystem("test") as system:
        ref = await system.spawn(kit)
        calls = [ToolRequest(name, name, "{}") for name in kit.tools]
        found: list[ToolOutcome] = (await ref.within(60.0)(calls=calls))["output"]["outcomes"]
        assert [(outcome.error, outcome.content) for outcome in found] == [
            ("ToolCrashed", "Error: the process of tool 'leaving' ended with exit status 3"),
            ("ToolCrashed", "Error: the process of tool 'killed' was killed by SIGKILL"),
            ("ToolCrashed", "Error: the process of tool 'broken' was killed by SIGSEGV"),
            ("MemoryError", "Error: MemoryError"),
            ("ToolCrashed", "Error: the process of tool 'babbling' sent nonsense, and was ended"),
            (None, "at last"),
            (None, "2"),
        ]
        assert 1 <= len(await shared_processes(system)) <= MAX_IDLE


async def test_a_late_call_is_killed(warm: Processes) -> None:
    """A function that swallows everything, or is not even loaded, ends at its time-out, and no process stays."""
    with anyio.fail_after(30.0):
        with pytest.raises(ToolTimeout):
            await tools.stubborn.with_options(timeout=0.3).call({}, processes=warm)
    assert not len(warm)


async def test_cancelling_kills(warm: Processes) -> None:
    """When the call of a caller that is cancelled has ended, its process is gone, and no zombie."""
    scope = anyio.CancelScope()
    pids: list[int] = []

    def report(progress: object) -> None:
        pids.extend(cast("list[int]", progress))
        scope.cancel()

    with scope:
        await tools.stubborn.call({}, ToolContext(report=report), processes=warm)
    assert scope.cancelled_caught
    assert not await anyio.Path(f"/proc/{pids[0]}").exists()
    assert await until_gone(pids[1])


async def test_an_idle_process_that_died_is_replaced(warm: Processes) -> None:
    """The call runs in another one, as the dead one cannot have begun it."""
    assert await tools.counted.call({}, processes=warm) == 2
    process = warm.take()
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    assert await until_gone(process.pid)
    assert warm.give(process)
    assert await tools.counted.call({}, processes=warm) == 2
    assert len(warm) == 1
    other = warm.take()
    assert other is not None
    assert other is not process
    assert warm.give(other)


async def test_too_much_processor_time_kills(anyio_backend: tuple[str, dict[str, Any]]) -> None:
    """The limit counts the time of the call, and the error says what happened."""
    if anyio_backend[0] == "trio" or anyio_backend[1]:
        pytest.skip("it takes seconds, and the loop has no part in it")
    with pytest.raises(ToolCrashed, match="SIGXCPU, as it used more processor time"):
        await tools.spinning.call({})


async def test_a_failing_report_ends_the_call() -> None:
    """Whoever takes the reports may fail; the process does not outlive that."""

    def refuse(progress: object) -> None:
        raise LookupError("full")

    with pytest.raises(LookupError, match="full"):
        await tools.counted.call({}, ToolContext(report=refuse))


class _Fake:
    """Stands for a process without work."""

    calls = 1
    idle_since = 0.0
    ended = False

    async def aclose(self) -> None:
        self.ended = True


async def test_few_processes_stay_warm_and_not_for_long() -> None:
    """The pool takes back four at most, none that is worn out, ends those without work, and all at its end."""
    processes = Processes()
    fakes = [_Fake() for _ in range(MAX_IDLE + 1)]
    assert [processes.give(cast("ToolProcess", fake)) for fake in fakes] == [True] * MAX_IDLE + [False]
    await processes.sweep(older_than=fakes[1].idle_since)
    assert [fake.ended for fake in fakes[:3]] == [True, True, fakes[2].idle_since == fakes[1].idle_since]
    worn = _Fake()
    worn.calls = MAX_CALLS
    assert not processes.give(cast("ToolProcess", worn))
    young = _Fake()
    assert processes.give(cast("ToolProcess", young))
    assert processes.take() is young
    assert processes.give(cast("ToolProcess", young))
    await processes.aclose()
    assert young.ended
    assert processes.take() is None
    assert not processes.give(cast("ToolProcess", _Fake()))


async def test_the_pool_is_a_service() -> None:
    """It lends itself, sweeps when told by its timer, and refuses other messages."""
    async with ActorSystem("test") as system:
        processes = await shared_processes(system)
        assert await shared_processes(system) is processes
        old = _Fake()
        assert processes.give(cast("ToolProcess", old))
        old.idle_since = -1e9
        ref: Any = await system.service("tool-processes", ChildSpec(ProcessPool))
        await ref.ask(Ask.SWEEP)
        assert old.ended
        with pytest.raises(Exception, match="does not take str"):
            await ref.ask("what?")


async def test_arguments_that_cannot_cross_are_an_error() -> None:
    """What pickle refuses never starts a process."""
    with pytest.raises(ToolError, match="cannot be sent to its process"):
        await tools.where.call({"point": lambda: None})


def test_only_functions_that_can_be_imported() -> None:
    """The others are refused when they become tools, with what to do; so are limits without meaning."""

    def local() -> None:
        """Do nothing."""

    class Api:
        def search(self) -> None:
            """Search."""

    for function in (local, lambda: None, Api().search):
        with pytest.raises(ConfigurationError, match="define it with def in a module"):
            Tool.from_function(cast("Any", function), name="it", isolate="process")
    with pytest.raises(ConfigurationError, match="memory=1"):
        ProcessLimits(memory=1)
    with pytest.raises(ConfigurationError, match="cpu=0"):
        ProcessLimits(cpu=0)
    wrong: Any = "thread"
    with pytest.raises(ConfigurationError, match="isolate='thread'"):
        tool(isolate=wrong)(is_gone)


_SCRIPT = '''
import os, sys
import anyio
from pydantic import BaseModel
from tinyllm_actors import tool

class Size(BaseModel):
    n: int

@tool(isolate="process")
def double(size: Size) -> int:
    """Double."""
    return 2 * size.n

async def main():
    from tinyllm_actors.tool.isolation.pool import Processes
    warm = Processes()
    print(await double.call(double.validate('{"size": {"n": 21}}'), processes=warm))
    print(warm.take().pid, flush=True)
    os._exit(0)

if __name__ == "__main__":
    anyio.run(main)
'''


async def test_tools_of_a_script_and_the_end_of_its_process(
    tmp_path: Path, anyio_backend: tuple[str, dict[str, Any]]
) -> None:
    """A script's own functions are found without starting it again; if it dies, its processes end themselves."""
    if anyio_backend[0] == "trio" or anyio_backend[1]:
        pytest.skip("the script chooses its own loop")
    script = anyio.Path(tmp_path / "script.py")
    await script.write_text(_SCRIPT)
    done = await to_thread.run_sync(
        lambda: subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    )
    assert done.stderr == ""
    doubled, pid = done.stdout.split()
    assert doubled == "42"
    assert await until_gone(int(pid))
