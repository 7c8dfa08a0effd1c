"""How often a turn goes to the store, and what may wait for the next time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from tests.conversation.parrot import Parrot
from tests.conversation.test_races import until
from tests.conversation.test_runtime import answer_of
from tinyllm_actors import ActorSystem, Agent, tool
from tinyllm_actors.conversation import (
    MemoryStore,
    ModelAnswered,
    Snapshot,
    TurnEnded,
    TurnStarted,
    activation,
    codec,
    open_journal,
    thaw,
)
from tinyllm_actors.conversation.writer import Writer
from tinyllm_actors.errors import EntryRejected
from tinyllm_actors.integrations.sqlite import SQLiteStore
from tinyllm_actors.llm import AssistantMessage, Completion
from tinyllm_actors.testing import ScriptedModel, text

if TYPE_CHECKING:
    from pathlib import Path

    from tinyllm_actors.conversation import ConversationStore

pytestmark = pytest.mark.anyio


@tool
def look() -> str:
    """Look."""
    return "seen"


def count_statements(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that grows with each statement that goes to a PostgreSQL server: each is a round trip."""
    from tinyllm_actors.integrations.postgres import pool

    sent: list[str] = []
    run = pool.Connections.run

    class Counting:
        def __init__(self, connection: Any) -> None:
            self._connection = connection

        def __getattr__(self, name: str) -> Any:
            method = getattr(self._connection, name)

            async def call(statement: str, *args: Any, **named: Any) -> Any:
                if "_timers t" not in statement:  # one look for all conversations, at the start and each minute
                    sent.append(statement)
                return await method(statement, *args, **named)

            return call if name in {"fetch", "fetchrow", "fetchval", "execute"} else method

    async def counted(self: Any, work: Any, *, writes: bool) -> Any:
        return await run(self, lambda connection: work(Counting(connection)), writes=writes)

    monkeypatch.setattr(pool.Connections, "run", counted)
    return sent


async def test_a_turn_is_two_round_trips_and_each_round_of_calls_two_more(
    new_postgres_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message; what the model wants, before it is done; what came of it; the answer with the end of the turn."""
    sent = count_statements(monkeypatch)
    monkeypatch.setattr(activation, "RIDE", 3600.0)  # however slow this machine is
    from tinyllm_actors.integrations.postgres import PostgresStore

    async with ActorSystem("a") as system:
        spec = Agent.spec(model=Parrot(), tools=[look])
        chats = await system.conversations(spec, store=PostgresStore(new_postgres_uri), recover=False)
        del sent[:]  # the tables are there
        await chats["k"]("hello")
        assert [statement.partition("(")[0] for statement in sent] == [
            "SELECT * FROM tinyllm_actors_take",  # it comes into memory: claimed and read at once
            "SELECT * FROM tinyllm_actors_append",
            "SELECT * FROM tinyllm_actors_append",
        ]
        del sent[:]
        assert answer_of(await chats["k"]("hello again")) == "re: hello again"
        assert len(sent) == 2
        del sent[:]
        assert answer_of(await chats["k"]("call look")) == "re: call look"
        assert len(sent) == 4


@pytest.fixture(params=["memory", "sqlite"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> ConversationStore:
    """Return a store that is empty."""
    return MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "chats.db", synchronous="normal")


async def kinds(chat: Any) -> list[str]:
    """Return what is in the journal."""
    return [record.kind for record in await chat.page()]


async def test_an_answer_does_not_wait_for_what_takes_long(kept: ConversationStore) -> None:
    """It is stored a moment after it came, though what follows it, here a callback, goes on."""
    gate = anyio.Event()

    async def watch(event: Any) -> None:
        if type(event).__name__ == "MessageCompleted":
            await gate.wait()

    async with ActorSystem("a") as system:
        spec = Agent.spec(model=ScriptedModel([text("hi")]), on_event=watch)
        chats = await system.conversations(spec, store=kept)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(chats["k"], "hello")
            while await kinds(chats["k"]) != ["turn_started", "model_answered"]:
                await anyio.lowlevel.checkpoint()
            gate.set()
        assert await kinds(chats["k"]) == ["turn_started", "model_answered", "turn_ended"]


async def test_an_answer_that_is_held_is_stored_when_all_is_stopped(kept: ConversationStore) -> None:
    """What the model has said is not asked again by the next process, however short the time was."""
    reached = anyio.Event()

    async def watch(event: Any) -> None:
        if type(event).__name__ == "MessageCompleted":
            reached.set()
            await anyio.sleep_forever()

    model = ScriptedModel([text("hi")])
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=model, on_event=watch), store=kept)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(chats["k"], "hello")
            await reached.wait()
            await system["conversations"].stop()
            tasks.cancel_scope.cancel()
    async with kept:
        assert [record.kind for record in await kept.page("k")] == ["turn_started", "model_answered"]
    async with ActorSystem("b") as system:
        chats = await system.conversations(Agent.spec(model=ScriptedModel([])), store=kept)
        assert [message.content for message in await chats["k"].history()] == ["hello", "hi"]  # no model is asked
        await until(lambda: not chats.table.entries["k"].busy)
        assert await kinds(chats["k"]) == ["turn_started", "model_answered", "turn_ended"]


async def test_an_answer_survives_an_end_of_the_turn_that_cannot_be_stored(
    kept: ConversationStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the result is too large, the turn ends with that, and what the model has said stands in the history."""
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=ScriptedModel([text("hi" * 400)])), store=kept)
        monkeypatch.setattr(codec, "MAX_ENTRY_BYTES", 1100)  # the answer has some 1000 bytes, the result 1200
        told = await chats["k"]("hello")
        assert told["status"] == "error"
        assert told["error"]["type"] == "EntryRejected"
        entries: list[Any] = [record.entry() for record in await chats["k"].page()]
        assert [type(entry) for entry in entries] == [TurnStarted, ModelAnswered, TurnEnded]
        assert entries[-1].result["error"]["type"] == "EntryRejected"
        assert [message.content for message in await chats["k"].history()] == ["hello", "hi" * 400]


async def test_a_failure_after_the_answer_does_not_ask_the_model_again(kept: ConversationStore) -> None:
    """If the agent crashes before the turn's end, what the model has said is in the journal already."""
    crashed = anyio.Event()
    model = ScriptedModel([text("hi")])

    async def watch(event: Any) -> None:
        if type(event).__name__ == "MessageCompleted" and not crashed.is_set():
            crashed.set()
            await system["conversations/k/agent"].kill()
            await anyio.sleep_forever()

    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=model, on_event=watch), store=kept)
        assert answer_of(await chats["k"]("hello")) == "hi"
        assert await kinds(chats["k"]) == ["turn_started", "model_answered", "turn_ended"]


async def test_a_snapshot_comes_behind_what_is_held() -> None:
    """A snapshot lacks nothing that stands before it, and what is refused takes nothing else with it."""
    async with MemoryStore() as store, open_journal(store) as journal:
        ours = await thaw(store, "k", "me")
        writer = Writer(journal, ours.grant, ours.state, patience=0)
        await writer.write(TurnStarted(turn_id="t", content="hello"))
        writer.hold(ModelAnswered(completion=Completion(AssistantMessage("hi"))))
        assert len(ours.state.history()) == 1
        await writer.snapshot()
        entries: list[Any] = [record.entry() for record in await store.page("k")]
        assert [type(entry) for entry in entries] == [TurnStarted, ModelAnswered, Snapshot]
        assert len(entries[-1].state.nodes) == 2
        assert writer.since_snapshot == 0
        writer.hold(ModelAnswered(completion=Completion(AssistantMessage("\ud800"))))
        with pytest.raises(EntryRejected):
            await writer.flush()
        assert await writer.write() == []
        assert len(ours.state.history()) == 2
