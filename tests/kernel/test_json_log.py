"""The log as programs read it, and which transitions are in it."""

from __future__ import annotations

import io
import json
import threading
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import structlog

from tinyllm_actors import ActorSystem, Function
from tinyllm_actors.errors import RunCancelled
from tinyllm_actors.function import unwrap
from tinyllm_actors.kernel import Courier, Transition, TransitionFilter, configure_console_log, configure_json_log
from tinyllm_actors.kernel.event_stream import EventStream
from tinyllm_actors.kernel.log import attach_log
from tinyllm_actors.kernel.slots import current_backend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path


@pytest.fixture(autouse=True)
def _structlog_as_it_was() -> Iterator[None]:
    yield
    configure_console_log(file=io.StringIO())  # with no filter
    structlog.reset_defaults()


class Echo(Function):
    async def run(self, said: str) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return said


async def logged(calls: int = 1, **options: Any) -> list[dict[str, Any]]:
    """Return the lines of a system in which a Function was called."""
    file = io.BytesIO()
    log = configure_json_log(file, **options)
    async with ActorSystem("service") as system:
        echo = await system.spawn(Echo)
        for _ in range(calls):
            await echo(said="hello")
    assert await anyio.to_thread.run_sync(log.close)
    return [json.loads(line) for line in file.getvalue().splitlines()]


@pytest.mark.anyio
async def test_transitions_are_lines() -> None:
    """A transition is a line of JSON with the sentence of the console and its fields."""
    lines = await logged()
    assert [line["event"] for line in lines][-1] == "[Echo] transition to: COMPLETE"
    running = lines[2]
    assert running["timestamp"] > 1.7e9
    assert running["elapsed"] >= 0
    assert running["message_id"] > 0
    assert {key: running[key] for key in ("level", "logger", "actor", "machine", "source", "trigger", "target")} == {
        "level": "info",
        "logger": "tinyllm_actors.function",
        "actor": "Echo-1",
        "machine": "function",
        "source": "INPUT_VALIDATION",
        "trigger": "run",
        "target": "RUNNING",
    }


class Broken(Function):
    async def run(self, error: Exception) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise error


class Outer(Function):
    async def run(self, error: Exception) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        inner = await self.context.spawn(Broken, name="inner")
        unwrap(await inner(error=error))


@pytest.mark.anyio
async def test_a_failed_call_is_one_warning_that_says_what_failed() -> None:
    """Who logs warnings only learns where a call failed and why, once; no secret is told, and no wish to stop."""
    file = io.BytesIO()
    log = configure_json_log(file, level="warning")
    async with ActorSystem("service") as system:
        outer = await system.spawn(Outer, name="outer")
        # The cut goes through a key, of which no part may be shown.
        long_one = OSError("x" * 990 + " sk-" + "a1b2c3d4" * 5 + "x" * 5_000)
        for error in (OSError("disk full, password=hunter22"), RunCancelled("the user left"), long_one):
            assert (await outer(error=error))["status"] == "error"
            await system["outer/inner"].stop()
    assert await anyio.to_thread.run_sync(log.close)
    full, long = [json.loads(line) for line in file.getvalue().splitlines()]
    assert full.pop("timestamp") > 1.7e9
    assert full == {
        "event": "[Broken] failed: OSError: disk full, password=***",
        "level": "warning",
        "logger": "tinyllm_actors.function",
        "actor": "outer/inner",
        "state": "RUNNING",
        "error": "OSError",
    }
    assert len(long["event"]) < 1_100
    assert "a1b" not in long["event"]


@pytest.mark.anyio
async def test_a_failed_call_is_no_line_where_nobody_asked_for_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    """A program that has not configured structlog is told by the result alone."""
    async with ActorSystem("service") as system:
        assert (await (await system.spawn(Broken))(error=OSError("disk full")))["status"] == "error"
    assert capsys.readouterr().out == ""


@pytest.mark.anyio
async def test_states_choose_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the states that were asked for are logged, by argument or by `LOG_STATES`."""
    assert [line["target"] for line in await logged(states=["COMPLETE"])] == ["COMPLETE"]
    monkeypatch.setenv("LOG_STATES", "running, complete")
    assert [line["target"] for line in await logged()] == ["RUNNING", "COMPLETE"]


@pytest.mark.anyio
async def test_a_system_may_have_its_own_filter() -> None:
    """What a system is given goes before what was configured."""
    file = io.StringIO()
    configure_console_log(file=file, states=["INIT"])
    only = TransitionFilter(states=frozenset({"FAILED", "COMPLETE"}))
    async with ActorSystem("service", log_transitions=only) as system:
        await (await system.spawn(Echo))(said="hello")
    assert [line.rpartition(": ")[2] for line in file.getvalue().splitlines()] == ["States.COMPLETE"]


@pytest.mark.anyio
async def test_no_actor_has_more_than_its_share() -> None:
    """Of more lines than an actor may have in a second, the number is told."""
    lines = await logged(calls=50, per_second=10)
    assert sum("target" in line for line in lines) < 301


@pytest.mark.anyio
async def test_the_number_of_what_was_left_out_is_a_line() -> None:
    """Of the actor, once the second is over, beside the transitions that are logged."""
    seconds = iter([0.0] + [0.5] * 10 + [2.0])

    class Clocked(TransitionFilter):
        def gate(self, tell: Callable[[str, str], object], now: Any = None) -> Callable[[str, str, str], bool]:
            return super().gate(tell, lambda: next(seconds))

    file = io.BytesIO()
    log = configure_json_log(file)
    events = EventStream(current_backend())
    await attach_log(events, transitions=Clocked(per_second=2))
    for number in range(11):
        events.publish(Transition("shop/lamp", "Lamp", "lamp", "off", "switch", "on", number))
    assert await anyio.to_thread.run_sync(log.close)
    told = [json.loads(line)["event"] for line in file.getvalue().splitlines()]
    assert told == [
        "[Lamp] transition to: on",
        "[Lamp] transition to: on",
        "[Lamp] 8 transitions were left out of the log",
        "[Lamp] transition to: on",
    ]


def test_what_was_left_out_is_counted() -> None:
    """The window is a second; the line that closes it says how many of whose transitions are missing."""
    now = [0.0]
    told: list[tuple[str, str]] = []
    wanted = TransitionFilter(per_second=2).gate(lambda text, path: told.append((text, path)), lambda: now[0])
    assert [wanted("a", "Agent", "RUNNING") for _ in range(5)] == [True, True, False, False, False]
    assert wanted("b", "Other", "RUNNING")
    now[0] = 1.0
    assert wanted("a", "Agent", "RUNNING")
    assert told == [("[Agent] 3 transitions were left out of the log", "a")]
    with pytest.raises(ValueError, match="per_second"):
        configure_json_log(io.BytesIO(), per_second=0)


def test_a_file_is_appended_to(tmp_path: Path) -> None:
    """A path is opened to append, written when the log is closed, and closed with it."""
    path = tmp_path / "service.log"
    for word in ("one", "two"):
        log = configure_json_log(path)
        structlog.get_logger().info(word)
        assert log.close()
        assert not log.dropped
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == ["one", "two"]
    assert json.loads(path.read_text().splitlines()[0])["logger"] == "-"


def test_a_slow_disk_costs_lines_not_time() -> None:
    """Lines that find no room are dropped and counted; whoever logs goes on."""
    gate = threading.Event()

    class Slow(io.BytesIO):
        def write(self, data: Any, /) -> int:
            gate.wait(10)
            return super().write(data)

    log = configure_json_log(Slow(), max_waiting=10)
    for number in range(2000):
        structlog.get_logger("shop").info("sold", number=number)
    assert log.dropped >= 1000
    gate.set()
    assert log.close()


def test_a_courier_carries_in_order_and_survives_failures() -> None:
    """Everything arrives in the order in which it was given; a batch that fails is counted, and the next one comes."""
    carried: list[int] = []
    seen: list[str] = []

    def deliver(batch: Sequence[int]) -> None:
        if 5 in batch:
            raise ValueError("five")
        carried.extend(batch)

    def broken() -> None:
        seen.append("before")
        raise OSError("not ready")

    courier = Courier(deliver, name="test", linger=0.0, before=broken, after=lambda: seen.append("after"))
    assert courier.put(5)
    while not courier.failures > 1:
        courier.done.wait(0.001)
    assert all(courier.put(number) for number in range(6, 2000))
    assert courier.close(10)
    assert carried == list(range(6, 2000))
    assert seen == ["before", "after"]
    assert isinstance(courier.last_failure, ValueError)
    assert not courier.put(1)
    assert courier.dropped == 1
    assert courier.waiting == 0


def test_a_courier_that_hangs_is_left() -> None:
    """Closing gives up after its time; the thread is a daemon."""
    gate = threading.Event()

    def deliver(batch: Sequence[int]) -> None:
        gate.wait(10)

    courier = Courier(deliver, name="test", linger=0.0)
    courier.put(1)
    assert not courier.close(0.05)
    gate.set()
    assert courier.close(10)
