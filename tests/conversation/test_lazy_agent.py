"""The agent of a conversation is there when a turn needs it, and not before."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
import structlog

from tests.conversation.parrot import Parrot
from tests.conversation.test_races import until
from tests.conversation.test_runtime import Gate, failed, said
from tinyllm_actors import ActorSystem, Agent
from tinyllm_actors.conversation import Compaction, MemoryStore
from tinyllm_actors.errors import ConversationQuarantined
from tinyllm_actors.function.tracing import start_tracing
from tinyllm_actors.testing import TraceRecorder
from tinyllm_actors.tool import tool

pytestmark = pytest.mark.anyio


class Slow(Agent):
    """Starts when the test says so."""

    began: anyio.Event
    gate: anyio.Event

    async def started(self) -> None:
        """Wait."""
        type(self).began.set()
        await type(self).gate.wait()
        await super().started()

    @classmethod
    def anew(cls) -> None:
        """Close the gate."""
        cls.began, cls.gate = anyio.Event(), anyio.Event()


class Broken(Agent):
    """Does not start as long as there is a reason."""

    reason: str | None = None

    async def started(self) -> None:
        """Fail, or not."""
        if type(self).reason is not None:
            raise RuntimeError(type(self).reason)
        await super().started()


def paths(system: ActorSystem) -> list[str]:
    """Return all actors of the set of conversations."""
    found: list[str] = []

    def walk(node: Any) -> None:
        found.append(node.path)
        for child in node.children:
            walk(child)

    walk(system.inspect())
    return [path for path in found if path.startswith("conversations/")]


async def test_looking_needs_no_agent() -> None:
    """What only reads, or asks about a turn in progress, starts none; the next turn is shown what was said."""
    store, model = MemoryStore(), Parrot()
    spec = Agent.spec(model=model)
    settings: dict[str, Any] = {"store": store, "compaction": Compaction(max_tokens=1, keep=1)}
    async with ActorSystem("a") as system:
        chats = await system.conversations(spec, store=store)
        for number in range(3):
            await chats["k"](f"{number}")
        assert "conversations/k/agent" in paths(system)
    async with ActorSystem("b") as system:
        chats = await system.conversations(spec, **settings)
        chat = chats["k"]
        assert said(await chat.history())[-2:] == ["2", "re: 2"]
        assert (await chat.report()).entries == 9
        assert (list(await chat.pending_approvals()), await chat.finish(), await chat.inject("?")) == ([], False, False)
        assert await chat.cancel() is False
        assert await chat.compact()
        assert paths(system) == ["conversations/k"]
        await chat("3")
        assert "conversations/k/agent" in paths(system)
        assert model.asked == ["0", "1", "2", "3"]
        assert said(await chat.history())[-2:] == ["3", "re: 3"]


async def test_an_agent_that_cannot_start_is_told_to_who_asks() -> None:
    """Nothing is stored, what was said can be read all the same, and in the end the conversation is quarantined."""
    store = MemoryStore()
    Broken.reason = None
    async with ActorSystem("a") as system:
        chats = await system.conversations(Broken.spec(model=Parrot()), store=store)
        await chats["k"]("before")
    Broken.reason = "no licence"
    async with ActorSystem("b") as system:
        chats = await system.conversations(Broken.spec(model=Parrot()), store=store, max_failures=1)
        result = await chats["k"]("?", turn_id="t")
        assert (result["status"], failed(result)["error"]["type"]) == ("error", "RuntimeError")
        assert "no licence" in failed(result)["message"]
        assert said(await chats["k"].history()) == ["before", "re: before"]
        assert len(await chats["k"].page()) == 3
        second = await chats["k"]("?", turn_id="t")
        assert "no licence" in failed(second)["message"]
        with pytest.raises(ConversationQuarantined, match="no licence"):
            await chats["k"].history()
        Broken.reason = None
        assert await chats["k"].release()
        assert (await chats["k"]("?", turn_id="t"))["status"] == "success"


async def test_an_open_turn_outlives_an_agent_that_cannot_start() -> None:
    """It is not ended by that: released, it goes on."""
    gate, store = Gate(), MemoryStore()
    Broken.reason = None
    async with ActorSystem("a") as system:
        spec = Broken.spec(model=Parrot(), tools=[gate.again])
        chats = await system.conversations(spec, store=store, max_failures=1)
        async with anyio.create_task_group() as group:
            group.start_soon(chats["k"], "call again")
            await gate.began.wait()
            Broken.reason = "no licence"
            await system["conversations/k/agent"].kill()
        [quarantine] = await chats.quarantined()
        assert "no licence" in str(quarantine.cause)
        gate.open.set()
        Broken.reason = None
        await chats["k"].release()
        rows = store._rows  # pyright: ignore[reportPrivateUsage]
        await until(lambda: rows["k"].records[-1].kind == "turn_ended" and not chats.table.entries["k"].busy)
        assert said(await chats["k"].history())[-1] == "re: call again"


async def test_a_turn_is_cancelled_while_its_agent_starts() -> None:
    """It ends as cancelled as soon as it can, and no model is asked."""
    Slow.anew()
    model = Parrot()
    results: list[Any] = []
    async with ActorSystem("a") as system:
        chats = await system.conversations(Slow.spec(model=model), store="memory:")

        async def ask() -> None:
            results.append(await chats["k"]("?"))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await Slow.began.wait()
            assert await chats["k"].inject("more") is False
            assert await chats["k"].cancel("enough")
            Slow.gate.set()
        assert results[0]["error"]["type"] == "RunCancelled"
        assert model.asked == []


async def test_a_conversation_is_deleted_while_its_agent_starts() -> None:
    """Nothing is left of it, and who asked is told."""
    Slow.anew()
    results: list[Any] = []
    async with ActorSystem("a") as system:
        chats = await system.conversations(Slow.spec(model=Parrot()), store="memory:")

        async def ask() -> None:
            results.append(await chats["k"]("?"))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await Slow.began.wait()
            assert await chats["k"].delete()
            await until(lambda: results)
        assert results[0]["error"]["type"] == "ConversationDeleted"
        assert list(await chats.list()) == []
        assert paths(system) == []


async def test_a_turn_logs_as_whoever_sent_it() -> None:
    """What the sender had bound in structlog's context is in the lines of the turn, also if it had to wait."""
    seen: list[tuple[Any, Any]] = []
    gate = anyio.Event()

    @tool
    async def look() -> str:
        """See what is bound."""
        bound = structlog.contextvars.get_contextvars()
        seen.append((bound.get("request"), bound.get("other")))
        await gate.wait()
        return "looked"

    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=Parrot(), tools=[look]), store="memory:")

        async def ask(request: str, **more: str) -> None:
            structlog.contextvars.bind_contextvars(request=request, **more)
            await chats["k"]("call look", turn_id=request)

        async with anyio.create_task_group() as group:
            group.start_soon(lambda: ask("r1", other="x"))
            await until(lambda: seen)
            group.start_soon(ask, "r2")
            await until(lambda: len(chats.table.entries["k"].logs) == 2)
            gate.set()
    assert seen == [("r1", "x"), ("r2", None)]


async def test_what_an_agent_is_told_of_the_past_is_in_no_trace() -> None:
    """A turn's trace has what was done for it; the history is not sent to those who keep traces at each start."""
    recorder, store = TraceRecorder(), MemoryStore()
    spec = Agent.spec(name="Ann", model=Parrot())
    async with ActorSystem("a") as system:
        await (await system.conversations(spec, store=store))["k"]("once")
    async with ActorSystem("b") as system:
        await start_tracing(system, recorder)
        chats = await system.conversations(spec, store=store)
        await chats["k"]("again")
    assert {found.trace_id for found in recorder.observations} == {recorder.find("Ann").trace_id}
    assert {found.session_id for found in recorder.observations} == {"k"}
