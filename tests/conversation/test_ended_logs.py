"""What is kept of turns that have ended, and for how long."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest

from tests.conversation.parrot import Parrot
from tinyllm_actors import ActorSystem, Agent
from tinyllm_actors.conversation import ConversationSettings, MemoryStore
from tinyllm_actors.conversation.ended_logs import EndedLogs
from tinyllm_actors.conversation.run_events import RunFinished, TurnAccepted
from tinyllm_actors.conversation.turn_log import TurnLog
from tinyllm_actors.errors import ConfigurationError

pytestmark = pytest.mark.anyio


def ended(turn_id: str = "t") -> TurnLog:
    """Return the log of a turn of three events."""
    log = TurnLog(turn_id)
    log.add(TurnAccepted(turn_id, "e1"))
    log.add("piece")
    result: Any = {"status": "success", "output": 1}
    log.finish(result, RunFinished(result))
    return log


def test_events_are_kept_for_a_while() -> None:
    """Then only the last is left, under its own number."""
    logs, log = EndedLogs(60.0), ended()
    logs.add(log, 100.0)
    logs.add(ended(), 159.0)
    assert len(log.at(0)) == 3
    logs.add(ended(), 160.0)
    assert [type(event) for event in log.at(0)] == [RunFinished]
    assert (log.dropped, log.size) == (2, 3)
    assert [type(event) for event in log.at(2)] == [RunFinished]
    assert log.at(3) == []


def test_whoever_reads_loses_nothing() -> None:
    """A log that is being read is looked at again later."""
    logs, log = EndedLogs(10.0), ended()
    log.streams = 1
    logs.add(log, 0.0)
    logs.add(ended(), 10.0)
    assert len(log.at(0)) == 3
    log.streams = 0
    logs.add(ended(), 19.0)
    assert len(log.at(0)) == 3
    logs.add(ended(), 20.0)
    assert len(log.at(0)) == 1


def test_a_log_goes_with_its_conversation() -> None:
    """It is not held for the sake of being forgotten."""
    logs, log = EndedLogs(10.0), ended()
    gone = weakref.ref(log)
    logs.add(log, 0.0)
    del log
    gc.collect()
    assert gone() is None
    logs.add(ended(), 20.0)


async def test_a_reader_who_comes_back_in_time_gets_the_rest() -> None:
    """Later there is the result only; a reader who never left gets everything."""
    kinds: dict[str, list[str]] = {}

    async def read(chat: Any, name: str, **wish: Any) -> None:
        async with chat.stream(**wish) as events:
            kinds[name] = [type(event).__name__ async for event in events]

    async with ActorSystem("a") as system:
        model = Agent.spec(model=Parrot())
        patient = (await system.conversations(model, store=MemoryStore(), name="patient"))["k"]
        brief = (await system.conversations(model, store=MemoryStore(), name="brief", replay_for=0))["k"]
        for name, chat in (("patient", patient), ("brief", brief)):
            await chat("one", turn_id="t1")
            await read(chat, name, turn_id="t1")
        assert kinds["patient"][0] == "TurnAccepted"
        assert kinds["brief"] == ["RunFinished"]
        async with brief.stream("two", turn_id="t2") as events:
            first = [await anext(events) for _ in range(2)]
            other = (await system.conversations(model, store=MemoryStore(), name="o"))["k"]
            assert (await brief("two", turn_id="t2"))["status"] == (await other("x"))["status"] == "success"
            rest = [type(event).__name__ async for event in events]
        assert [type(first[0]).__name__, *rest][:: len(rest)] == ["TurnAccepted", "RunFinished"]
        assert len(first) + len(rest) == len(kinds["patient"])
        brief_table: Any = system["brief"].table
        brief_table.ended.add(ended(), system.now() + 1.0)
        await read(brief, "late", turn_id="t2")
        assert kinds["late"] == ["RunFinished"]


def test_how_long_is_a_number_of_seconds() -> None:
    """A negative one is refused by name."""
    with pytest.raises(ConfigurationError, match="replay_for"):
        ConversationSettings(replay_for=-1)
