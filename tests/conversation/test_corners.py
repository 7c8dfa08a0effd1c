"""What seldom happens to conversations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from tests.conversation.parrot import Parrot
from tests.conversation.test_races import until
from tests.conversation.test_runtime import Gate, answer_of, failed, said
from tinyllm_actors import ActorSystem, Agent, tool
from tinyllm_actors.agent import ApprovalRequested
from tinyllm_actors.conversation import (
    Append,
    CallResult,
    Cancelled,
    MemoryStore,
    TurnStarted,
    activation,
    codec,
)
from tinyllm_actors.errors import (
    ActorFailed,
    ConversationQuarantined,
    EntryRejected,
    Fenced,
)
from tinyllm_actors.function import FunctionStream
from tinyllm_actors.kernel import ChildSpec
from tinyllm_actors.llm import ToolMessage
from tinyllm_actors.testing import ScriptedModel, text, tool_call

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.anyio


# --- turns --------------------------------------------------------------------------------------------


async def test_a_turn_that_was_cancelled_before_a_crash_ends_so_after_it() -> None:
    """The cancel was acknowledged, so the next process does not go on with the turn."""
    store = MemoryStore()
    async with store:
        [grant] = await store.claim(["k"], "dead")
        started = TurnStarted(id="e1", turn_id="t", content="?")
        await store.append([Append.of(grant, [started, Cancelled(parent="e1", turn_id="t", reason="enough")])])
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=ScriptedModel([])), store=store)
        told = await chats["k"]("?", turn_id="t")
        assert failed(told)["error"]["type"] == "RunCancelled"
        assert "enough" in failed(told)["message"]


async def test_what_a_run_did_not_hear_is_a_turn_of_its_own() -> None:
    """What was said into a turn that is cancelled is answered next, and whoever waits for that is told how it ends."""
    gate = Gate()
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=Parrot(), tools=[gate.slow]), store="memory:")
        chat = chats["k"]
        async with anyio.create_task_group() as group:
            group.start_soon(chat, "call slow")
            await gate.began.wait()
            assert await chat.inject("hang")
            assert await chat.cancel()
            assert await chat.cancel() in {True, False}
        await until(lambda: chats.table.entries["k"].busy)
        async with chat.stream() as events:
            await until(lambda: "hang" in said_by(chats))
            await chat.delete()
            with pytest.raises(Exception, match="deleted"):
                async for _ in events:
                    pass


def said_by(chats: Any) -> list[Any]:
    """Return what users have said, as far as the store knows."""
    row = chats.table.store._rows.get("k")
    entries = [] if row is None else [record.entry() for record in row.records]
    return [entry.content for entry in entries if isinstance(entry, TurnStarted)]


async def test_a_turn_can_be_brought_to_an_answer() -> None:
    """Its next model call is the last."""
    gate = Gate()
    async with ActorSystem("a") as system:
        model = ScriptedModel([tool_call("slow"), text("That is all.")])
        chats = await system.conversations(Agent.spec(model=model, tools=[gate.slow]), store="memory:")
        assert not await chats["k"].finish()
        async with anyio.create_task_group() as group:
            group.start_soon(chats["k"], "?")
            await gate.began.wait()
            assert await chats["k"].finish()
            gate.open.set()
        assert not model.requests[-1].tools
        assert said(await chats["k"].history())[-1] == "That is all."


async def test_cancelling_twice_is_cancelling() -> None:
    """The second time changes nothing: one entry, one ending."""
    gate = Gate()
    async with ActorSystem("a") as system:

        @tool
        async def stubborn() -> str:
            """Take a while to end."""
            gate.began.set()
            try:
                await anyio.sleep_forever()
            finally:
                with anyio.CancelScope(shield=True):
                    await gate.open.wait()
            return ""

        chats = await system.conversations(Agent.spec(model=Parrot(), tools=[stubborn]), store="memory:")
        chat = chats["k"]
        async with anyio.create_task_group() as group:
            group.start_soon(chat, "call stubborn")
            await gate.began.wait()
            try:
                [(entry_id, _)] = await chat.user_entries()
                told = await chat.edit(entry_id, "other")
                assert failed(told)["error"]["type"] == "ConversationBusy"
                assert await chat.cancel("one")
                await chat.cancel("two")  # it may have ended by now
            finally:
                gate.open.set()
        entries = [record.entry() for record in await chat.page()]
        assert [entry.reason for entry in entries if isinstance(entry, Cancelled)] == ["one"]


async def test_denying_is_told_to_the_model() -> None:
    """The call is not made, and the reason is in the history."""

    @tool(requires_approval=True)
    async def pay() -> str:
        """Pay."""
        raise AssertionError("it was denied")

    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=Parrot(), tools=[pay]), store="memory:")
        chat = chats["k"]
        async with chat.stream("call pay", turn_id="t") as events:
            assert events.turn_id == "t"
            async for event in events:
                if isinstance(event, ApprovalRequested):
                    await chat.deny(event.request.call_id, "too expensive")
        results = [m.content for m in await chat.history() if isinstance(m, ToolMessage)]
        assert "too expensive" in results[0]
        [result] = [e for e in (record.entry() for record in await chat.page()) if isinstance(e, CallResult)]
        assert result.status == "denied"


async def test_reading_a_stream_by_hand() -> None:
    """It has a name once it is entered, is entered once, and has an end."""
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=Parrot()), store="memory:")
        stream = chats["k"].stream("?", turn_id="t")
        assert stream.turn_id == ""
        async with stream as events:
            assert events.turn_id == "t"
            while type(await events.receive()).__name__ != "RunFinished":
                pass
            with pytest.raises(anyio.EndOfStream):
                await events.receive()
            with pytest.raises(RuntimeError, match="opened already"):
                await stream.__aenter__()


async def test_a_message_that_a_conversation_does_not_take() -> None:
    """It fails whoever sent it, and the conversation goes on."""
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=Parrot()), store="memory:")
        await chats["k"]("?")
        ref: Any = chats.table.ref_of("k")
        with pytest.raises(ActorFailed, match="takes no int"):
            await ref.ask(5)
        assert chats.table.ref_of("k") == ref
        with pytest.raises(ValueError, match="not free"):
            await chats["k"].remind("?", after=1, timer_id="tinyllm_actors:mine")


class Mute(FunctionStream):
    """An agent that says nothing at all, and takes its time to end."""

    gate: anyio.Event

    def __init__(self, *, journal: Any, session_id: str, user_id: str | None = None) -> None:
        super().__init__(session_id=session_id, user_id=user_id)

    async def produce(self, message: Any, emit: Any) -> None:
        """Produce nothing."""

    async def stopped(self, reason: Any) -> None:
        """Wait."""
        await Mute.gate.wait()


async def test_whoever_comes_while_a_conversation_ends_in_quarantine_is_told() -> None:
    """They do not wait for a start that will not come; nor does the turn that had no result."""
    Mute.gate = anyio.Event()
    told: list[Any] = []
    async with ActorSystem("a") as system:
        users: list[str] = []

        def user_of(key: str) -> str:
            users.append(key)
            return "ada"

        mute = ChildSpec(Mute)  # a conversation gives it the other arguments
        chats = await system.conversations(mute, store="memory:", max_failures=0, user_of=user_of)

        async def look() -> None:
            await until(lambda: "k" in chats.table.entries and chats.table.ref_of("k") is None and users)
            with pytest.raises(ConversationQuarantined, match="without a result"):
                await chats["k"].history()
            told.append("quarantined")

        async with anyio.create_task_group() as group:
            group.start_soon(chats["k"], "?")
            group.start_soon(look)
            await until(lambda: users)
            for _ in range(100):
                await anyio.lowlevel.checkpoint()
            Mute.gate.set()
        assert told == ["quarantined"]
        assert users == ["k"]


async def test_a_wish_outlives_the_actor_that_was_fenced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where another process had the conversation for a moment, the wish is told to whoever has it next."""
    real = activation.ConversationActor._answer  # pyright: ignore[reportPrivateUsage]
    times: list[int] = []

    async def answer(self: Any, message: Any) -> Any:
        times.append(1)
        if len(times) == 1:
            raise Fenced(["k"])
        return await real(self, message)

    monkeypatch.setattr(activation.ConversationActor, "_answer", answer)
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=Parrot()), store="memory:")
        assert await chats["k"].history() == []
        assert len(times) == 2


async def test_forks_that_cannot_be_are_refused() -> None:
    """There is no such entry, or something was said under the new key; without an entry, it is all that was said."""
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=Parrot()), store="memory:")
        await chats["k"]("1?")
        copy = await chats["k"].fork("copy")
        assert said(await copy.history()) == ["1?", "re: 1?"]
        with pytest.raises(EntryRejected, match="no entry 'x'"):
            await chats["k"].fork("other", at="x")
        with pytest.raises(EntryRejected, match="'copy'"):
            await chats["k"].fork("copy")


async def test_a_snapshot_that_is_too_large_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The conversation goes on; it only takes longer to wake up."""
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=Parrot()), store="memory:", snapshot_every=1)
        monkeypatch.setattr(codec, "MAX_ENTRY_BYTES", 1500)
        for number in range(4):
            assert answer_of(await chats["k"](f"{number}?")) == f"re: {number}?"
        await anyio.wait_all_tasks_blocked()
        kinds = [record.kind for record in await chats["k"].page()]
        assert kinds.count("turn_ended") == 4
        assert kinds.count("snapshot") < 4
