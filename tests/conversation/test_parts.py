"""The parts of conversations, each by itself."""

from __future__ import annotations

from contextlib import aclosing
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from pydantic import BaseModel

import tinyllm_actors.conversation as package
from tests.conversation.parrot import Parrot
from tests.conversation.test_runtime import Gate, answer_of
from tinyllm_actors import ActorSystem, Agent, tool
from tinyllm_actors.agent import ApprovalRequested
from tinyllm_actors.conversation import (
    Append,
    CallIntent,
    CallResult,
    Cancelled,
    ConversationSettings,
    MemoryStore,
    ModelAnswered,
    Snapshot,
    TurnEnded,
    TurnStarted,
    codec,
    export_lines,
    import_lines,
    open_journal,
    replay,
    thaw,
    turn_log,
)
from tinyllm_actors.conversation.batches import by_key
from tinyllm_actors.conversation.claims import Claims
from tinyllm_actors.conversation.ended_logs import EndedLogs
from tinyllm_actors.conversation.health import Health
from tinyllm_actors.conversation.live import LiveTable
from tinyllm_actors.conversation.sharing import share_texts
from tinyllm_actors.conversation.turn import plain_value
from tinyllm_actors.conversation.turn_log import TurnLog
from tinyllm_actors.conversation.writer import Writer
from tinyllm_actors.errors import (
    Fenced,
    StoreFull,
    StoreUnavailable,
)
from tinyllm_actors.llm import AssistantMessage, Completion, FunctionCall, ToolCall
from tinyllm_actors.memory import BufferMemory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tinyllm_actors.conversation import Entry

pytestmark = pytest.mark.anyio


def test_failures_are_forgotten_after_their_period() -> None:
    """The next one is a first one again."""
    health = Health(ConversationSettings(failure_period=60.0))
    assert health.failed("k", RuntimeError(), 0.0) == 0.0
    assert health.failed("k", RuntimeError(), 1.0) > 0.0
    assert health.failed("k", RuntimeError(), 100.0) == 0.0


async def test_claims_that_are_closed_say_so() -> None:
    """Nobody waits for a claim that nobody makes."""
    async with MemoryStore() as store:
        claims = Claims(store, "me")
        async with anyio.create_task_group() as group:
            group.start_soon(claims.run)
            assert (await claims.take("k")).grant.owner == "me"
            group.cancel_scope.cancel()
        with pytest.raises(StoreUnavailable, match="closed"):
            await claims.take("k")


async def test_a_store_that_breaks_its_word_fails_who_waits() -> None:
    """What is no error of a store ends the claims, and those that wait are told."""

    class Wild(MemoryStore):
        async def take(self, keys: Sequence[str], owner: str) -> Any:
            raise RuntimeError("wild")

    async with Wild() as store:
        claims = Claims(store, "me")
        with pytest.raises(ExceptionGroup) as caught:
            async with anyio.create_task_group() as group:
                group.start_soon(claims.run)
                with anyio.CancelScope(shield=True), pytest.raises(StoreUnavailable, match="broke off"):
                    await claims.take("k")
        assert caught.group_contains(RuntimeError, match="wild")


def test_two_grants_of_one_conversation_do_not_go_together() -> None:
    """At least one of them is lost."""
    from tinyllm_actors.conversation import Grant

    with pytest.raises(Fenced):
        by_key([Append(Grant("k", "a", 1), ()), Append(Grant("k", "b", 2), ())])


def test_a_snapshot_of_a_snapshot_is_the_same() -> None:
    """How turns ended is kept as text, also where it came as text."""
    started = TurnStarted(id="e1", turn_id="t", content="?")
    state = replay([started, TurnEnded(id="e2", parent="e1", turn_id="t", status="success", result={"a": [1]})])
    again = replay([Snapshot(state=state.dump())])
    assert again.result_of("t") == {"a": [1]}
    assert again.dump() == state.dump()
    assert again.turns["t"] is again.nodes["e2"]


def test_the_oldest_events_of_a_long_turn_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers go on counting, and readers find what there is."""
    monkeypatch.setattr(turn_log, "MAX_EVENTS", 8)
    log = TurnLog("t")
    for number in range(10):
        log.add(number)
    assert log.dropped > 0
    assert log.size == 10
    assert log.at(0) == list(range(log.dropped, 10))


async def test_several_read_one_turn() -> None:
    """Each is woken."""
    log = TurnLog("t")
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(log.more, 0)
            group.start_soon(log.end)
        await anyio.wait_all_tasks_blocked()
        assert log.readers == 6
        log.finish({"status": "success", "output": {}}, "end")
    assert log.readers == 0


def test_a_conversation_that_has_left_is_not_touched() -> None:
    """What is handled after the end of the set has no place any more."""
    table = LiveTable(MemoryStore(), "me", EndedLogs(60.0))
    live = table.add("k")
    table.break_off(RuntimeError())
    live.touch()
    assert not table.entries


def test_results_are_stored_as_plain_values() -> None:
    """Models as what they hold, anything else as what it says of itself."""

    class Day(BaseModel):
        day: int

    assert plain_value(Day(day=1)) == {"day": 1}
    assert plain_value({1}) == "{1}"
    assert "ConversationStore" in dir(package)
    with pytest.raises(AttributeError, match="nonsense"):
        package.nonsense  # noqa: B018


def test_equal_texts_are_one_object() -> None:
    """What was read from a store says the same as before, and each id and name is in memory once."""

    def read(entries: Sequence[Entry]) -> list[Entry]:
        sealed = [codec.seal("k", entry) for entry in entries]
        return [codec.unseal(one.kind, one.version, one.body) for one in sealed]

    call = ToolCall("call-number-1", FunctionCall("look_it_up"))
    asked = Completion(AssistantMessage(tool_calls=[call]), "tool_calls", "model")
    entries: list[Entry] = [
        TurnStarted(id="entry-1", turn_id="turn-1", content="?", name="ada"),
        ModelAnswered(id="entry-2", parent="entry-1", completion=asked),
        CallIntent(id="entry-3", parent="entry-2", call_id=call.id, name=call.name),
        CallResult(id="entry-4", parent="entry-3", call_id=call.id, name=call.name, content="seen"),
        ModelAnswered(id="entry-5", parent="entry-4", completion=Completion(AssistantMessage("!"), "stop", "model")),
        Cancelled(id="entry-6", parent="entry-5", turn_id="turn-1"),
        TurnEnded(id="entry-7", parent="entry-6", turn_id="turn-1", status="success"),
    ]
    snapshot = Snapshot(id="s", state=replay(entries).dump())
    found = read(entries)
    share_texts(found)
    assert found == entries
    [whole] = read([snapshot])
    share_texts([whole])
    assert isinstance(whole, Snapshot)
    for some in (found, whole.state.nodes):
        started, first, intent, result, last, cancelled, ended = some
        assert all(after.parent is before.id for before, after in pairwise(some))
        assert isinstance(first, ModelAnswered)
        assert isinstance(last, ModelAnswered)
        assert last.completion.model is first.completion.model
        [made] = first.completion.message.tool_calls
        for one in (intent, result):
            assert isinstance(one, CallIntent | CallResult)
            assert one.call_id is made.id
            assert one.name is made.name
        assert isinstance(started, TurnStarted)
        assert isinstance(ended, TurnEnded)
        assert ended.turn_id is started.turn_id
        assert isinstance(cancelled, Cancelled)


async def test_a_writer_that_has_lost_its_place_writes_nothing_more() -> None:
    """What is stored may differ from what it knows, so each further write fails as the first did."""
    async with MemoryStore() as store, open_journal(store) as journal:
        ours = await thaw(store, "k", "me")
        writer = Writer(journal, ours.grant, ours.state, patience=0)
        store.fail("append", StoreFull("no room"))
        for _ in range(2):
            with pytest.raises(StoreFull):
                await writer.write(TurnStarted(turn_id="t", content="?"))
        assert not await store.page("k")


async def test_a_decision_waits_for_the_run_that_asks_again() -> None:
    """Whoever decides at once when a conversation wakes up is heard, though its run has not come to the question."""
    gate = Gate()

    class Slow(BufferMemory):
        async def run(self, *given: Any, **named: Any) -> Any:
            gate.began.set()
            await gate.open.wait()
            return await super().run(*given, **named)

    @tool(requires_approval=True)
    async def pay() -> str:
        """Pay."""
        return "paid"

    store, call_id = MemoryStore(), ""
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=Parrot(), tools=[pay]), store=store)
        async with chats["k"].stream("call pay", turn_id="t") as events:
            async for event in events:
                if isinstance(event, ApprovalRequested):
                    call_id = event.request.call_id
                    break
        await chats.kill()
    async with ActorSystem("b") as system:
        spec = Agent.spec(model=Parrot(), tools=[pay], memory=Slow.spec())
        chats = await system.conversations(spec, store=store, recover=False)
        async with anyio.create_task_group() as group:
            group.start_soon(chats["k"].approve, call_id)
            await gate.began.wait()
            await anyio.wait_all_tasks_blocked()
            gate.open.set()
        assert answer_of(await chats["k"]("call pay", turn_id="t")) == "re: call pay"


async def test_an_export_may_leave_the_house() -> None:
    """Redacted, it holds no secret, and can be imported."""
    async with MemoryStore() as store:
        [grant] = await store.claim(["k"], "me")
        said_so = TurnStarted(turn_id="t", content="my key is sk-abcdefghijklmnopqrstuvwxyz0123456789")
        await store.append([Append.of(grant, [said_so])])
        async with aclosing(export_lines(store, "k", redacted=True)) as made:
            lines = [line async for line in made]
        assert b"sk-abc" not in b"".join(lines)
        assert b"my key is" in b"".join(lines)

        async def again() -> AsyncIterator[bytes]:
            for line in lines:
                yield line

        await import_lines(store, again(), "me", key="copy")
        assert (await thaw(store, "copy", "me")).state.open_turn() is not None
