"""What comes due while a conversation is not in memory, or while the process that holds it is dead."""

from __future__ import annotations

import time
from typing import Any

import anyio
import pytest

from tests.conversation.test_races import BACKENDS
from tests.conversation.test_runtime import answer_of
from tinyllm_actors import ActorSystem, Agent, tool
from tinyllm_actors.agent import ApprovalRequested
from tinyllm_actors.conversation import ApprovalDecided, MemoryStore, TimerFired
from tinyllm_actors.conversation.alarms import MAX_SLEEP, TAKE_OVER_AFTER
from tinyllm_actors.llm import ToolMessage
from tinyllm_actors.testing import ScriptedModel, VirtualClock, text, tool_call

DAY = 86_400.0


def run(backend: str, main: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run on a virtual clock, by which the calendar goes too."""
    start = time.time()

    def now() -> float:
        try:
            return start + anyio.current_time()
        except RuntimeError:  # no loop yet, or none any more
            return start

    monkeypatch.setattr(time, "time", now)
    VirtualClock(backend).run(main)


@BACKENDS
def test_a_question_expires_asleep(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answered and nobody is there: the call is denied when its time has come, and the turn ends with that."""
    paid: list[None] = []

    @tool(requires_approval=True)
    async def pay() -> str:
        """Pay."""
        paid.append(None)
        return "paid"

    model = ScriptedModel([tool_call("pay"), text("Nobody allowed it.")])

    async def main() -> None:
        async with ActorSystem("test") as system:
            spec = Agent.spec(model=model, tools=[pay], approval_timeout=DAY)
            chats = await system.conversations(spec, store="memory:", idle=60.0)
            async with chats["k"].stream("Pay", turn_id="t") as events:
                async for event in events:
                    if isinstance(event, ApprovalRequested):
                        break
            await anyio.sleep(DAY - 100)
            assert not chats.table.entries
            assert len(model.requests) == 1
            await anyio.sleep(200 + MAX_SLEEP)
            assert len(model.requests) == 2
            assert answer_of(await chats["k"]("Pay", turn_id="t")) == "Nobody allowed it."
            [result] = [m for m in await chats["k"].history() if isinstance(m, ToolMessage)]
            assert "denied" in result.content or "expired" in result.content or "nobody" in result.content.lower()
            entries = [record.entry() for record in await chats["k"].page()]
            [decided] = [entry for entry in entries if isinstance(entry, ApprovalDecided)]
            assert not decided.approved
            assert sum(isinstance(entry, TimerFired) for entry in entries) == 1
            assert not paid
            assert (await chats.stats()).timers == 0

    run(backend, main, monkeypatch)


@BACKENDS
def test_the_timer_of_a_dead_process_is_taken_over(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left to whoever holds the conversation, until it is late enough to say that nobody does."""
    store = MemoryStore()
    model = ScriptedModel([text("I am awake.")])

    async def main() -> None:
        async with ActorSystem("dead") as system:
            chats = await system.conversations(Agent.spec(model=ScriptedModel([])), store=store)
            await chats["k"].remind("Wake up.", after=1000, timer_id="w")
        async with store:
            await store.claim(["k"], "a process that dies")
        async with ActorSystem("alive") as system:
            chats = await system.conversations(Agent.spec(model=model), store=store, recover=False)
            await anyio.sleep(1000 + TAKE_OVER_AFTER - 10)
            assert not model.requests
            assert not chats.table.entries
            await anyio.sleep(20 + MAX_SLEEP)
            assert len(model.requests) == 1
            await anyio.sleep(DAY)
            assert len(model.requests) == 1
            assert (await chats.stats()).timers == 0

    run(backend, main, monkeypatch)
