"""What happens to a conversation while something else happens to it."""

from __future__ import annotations

import gc
import time
import weakref
from typing import Any

import anyio
import pytest

from tests.conversation.parrot import Parrot
from tests.conversation.test_lazy_agent import Slow
from tests.conversation.test_races import BACKENDS, until
from tests.conversation.test_runtime import Gate, answer_of, failed, said
from tinyllm_actors import ActorSystem, Agent
from tinyllm_actors.conversation import Compaction, ConversationSettings, MemoryStore, hub
from tinyllm_actors.conversation.health import Health
from tinyllm_actors.errors import EntryRejected
from tinyllm_actors.llm import LLM, AssistantMessage, UserMessage
from tinyllm_actors.llm.tokens import estimate_messages
from tinyllm_actors.testing import VirtualClock

pytestmark = pytest.mark.anyio


class Held(MemoryStore):
    """Lets conversations start when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = anyio.Event()

    async def take(self, keys: Any, owner: str) -> Any:
        """Wait first."""
        await self.gate.wait()
        return await super().take(keys, owner)


@pytest.mark.parametrize("moved", [False, True])
async def test_a_timer_that_is_taken_back_says_nothing(moved: bool) -> None:
    """Its turn waits behind another one by then; with that, no timer comes back, or is moved back."""
    gate = Gate()
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=Parrot(), tools=[gate.slow]), store="memory:")
        chat = chats["k"]
        later = time.time() + 1000.0
        async with anyio.create_task_group() as group:
            group.start_soon(chat, "call slow")
            await gate.began.wait()
            await chat.remind("tick", at=time.time() - 1.0, every=3600.0, timer_id="r")
            await until(lambda: len(chats.table.entries["k"].logs) == 2)
            if moved:
                await chat.remind("tick", at=later, timer_id="r")
            else:
                assert await chat.cancel_timer("r")
            gate.open.set()
        await until(lambda: not chats.table.entries["k"].busy)
        assert [timer.due for timer in await chat.timers()] == [later] * moved
        assert "tick" not in said(await chat.history())


async def test_a_timer_is_taken_back_while_its_turn_begins() -> None:
    """The cancel is being stored when the turn would be: it waits for that, looks again, and is none."""
    Slow.anew()
    store: Any = MemoryStore()
    async with ActorSystem("a") as system:
        chats = await system.conversations(Slow.spec(model=Parrot()), store=store)
        chat = chats["k"]
        await chat.remind("tick", at=time.time() - 1.0, every=3600.0, timer_id="r")
        await Slow.began.wait()
        disk, calls = store.stall(), store.calls["append"]
        async with anyio.create_task_group() as group:
            group.start_soon(chat.cancel_timer, "r")
            await until(lambda: store.calls["append"] > calls)
            Slow.gate.set()
            await anyio.wait_all_tasks_blocked()
            disk.set()
        await until(lambda: not chats.table.entries["k"].busy)
        assert await chat.timers() == []
        assert said(await chat.history()) == []


async def test_a_fork_leaves_the_one_that_is_there_alone() -> None:
    """Under a key that is taken there is no fork, and the turn in progress there is not broken off."""
    gate, before = Gate(), 0
    results: list[Any] = []
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=Parrot(), tools=[gate.slow]), store="memory:")
        await chats["other"]("x")

        async def ask() -> None:
            results.append(await chats["k"]("call slow"))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await gate.began.wait()
            before = (await chats["k"].report()).epoch
            with pytest.raises(EntryRejected, match="something was said"):
                await chats["other"].fork("k")
            gate.open.set()
        assert answer_of(results[0]) == "re: call slow"
        assert ((await chats["k"].report()).epoch, gate.calls) == (before, 1)


async def test_a_fork_does_nothing_by_itself() -> None:
    """In the middle of a turn, the copy neither asks the model nor makes the call again; it can be gone on with."""
    gate, model = Gate(), Parrot()
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=model, tools=[gate.again]), store="memory:")
        async with anyio.create_task_group() as group:
            group.start_soon(chats["k"], "call again")
            await gate.began.wait()
            copy = await chats["k"].fork("copy")
            assert said(await copy.history())[0] == "call again"
            assert (await copy.report()).turn_id is None
            assert answer_of(await copy("and now?")) == "re: and now?"
            assert (gate.calls, len(model.asked)) == (1, 2)
            gate.open.set()
        started = (await chats["k"].page())[0].id
        bare = await chats["k"].fork("bare", at=started)
        assert said(await bare.history()) == ["call again"]
        assert len(model.asked) == 3


@BACKENDS
def test_nobody_waits_for_ever_for_a_start(backend: str) -> None:
    """On a disk that hangs, also who comes later is told, and those for whom there is no room to start yet."""
    store = MemoryStore()

    async def main() -> None:
        async with ActorSystem("test") as system:
            chats = await system.conversations(Agent.spec(model=Parrot()), store=store, patience=20.0)
            disk = store.stall()
            async with anyio.create_task_group() as group:
                for number in range(hub.MAX_STARTING):
                    group.start_soon(chats[f"{number}"], "?")
                for key in ("1", "1", "last"):
                    with anyio.fail_after(60):
                        assert failed(await chats[key]("?"))["error"]["type"] == "StoreUnavailable"
            disk.set()
            assert answer_of(await chats["last"]("?")) == "re: ?"

    VirtualClock(backend).run(main)


async def test_what_was_not_accepted_can_be_sent_again() -> None:
    """Under the same name, and in a form that can be stored."""
    async with ActorSystem("a") as system:
        chat = (await system.conversations(Agent.spec(model=Parrot()), store="memory:"))["k"]
        assert (await chat("\ud800", turn_id="t"))["status"] == "error"
        assert answer_of(await chat("fine", turn_id="t")) == "re: fine"
        assert answer_of(await chat("other", turn_id="t")) == "re: fine"


async def test_a_cancel_has_any_reason() -> None:
    """Also one that cannot be stored as it is, given before the turn has begun: it ends, in the journal too."""
    Slow.anew()
    store = MemoryStore()
    results: list[Any] = []
    async with ActorSystem("a") as system:
        chats = await system.conversations(Slow.spec(model=Parrot()), store=store)

        async def ask() -> None:
            results.append(await chats["k"]("?", turn_id="t"))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await Slow.began.wait()
            assert await chats["k"].cancel("\ud800" + "x" * 100_000)
            Slow.gate.set()
        assert results[0]["error"]["type"] == "RunCancelled"
        kinds = [record.kind for record in await chats["k"].page()]
        assert kinds == ["turn_started", "cancelled", "turn_ended"]


async def test_quarantine_keeps_no_more_than_the_reason() -> None:
    """The actors of the conversation are not held by the traceback, which is in the notes of the error."""
    made: list[weakref.ref[Any]] = []

    class Bad(Agent):
        async def started(self) -> None:
            made.append(weakref.ref(self))
            raise RuntimeError("no licence")

    async with ActorSystem("a") as system:
        chats = await system.conversations(Bad.spec(model=Parrot()), store="memory:", max_failures=0)
        await chats["k"]("?")
        [quarantine] = await chats.quarantined()
        await anyio.wait_all_tasks_blocked()
        gc.collect()
        assert [found() for found in made] == [None]
        assert "no licence" in str(quarantine.cause)
        assert any("in started" in note for note in quarantine.cause.__notes__)


async def test_what_is_edited_is_compacted_meanwhile() -> None:
    """Whoever edits is told, and the conversation does not fail."""
    began, go = anyio.Event(), anyio.Event()

    class Summariser(Parrot):
        async def complete(self, request: Any) -> Any:
            began.set()
            await go.wait()
            return await super().complete(request)

    said_in_all = [turn for n in range(3) for turn in (UserMessage(f"{n}"), AssistantMessage(f"re: {n}"))]
    compaction = Compaction(max_tokens=estimate_messages(said_in_all), keep=1, summariser=LLM.spec(Summariser()))
    results: list[Any] = []
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=Parrot()), store="memory:", compaction=compaction)
        chat = chats["k"]
        for number in range(3):
            await chat(f"{number}")
        await began.wait()
        epoch = (await chat.report()).epoch
        entry = (await chat.user_entries())[1][0]

        async def edit() -> None:
            results.append(await chat.edit(entry, "other"))

        async with anyio.create_task_group() as group:
            group.start_soon(edit)
            await until(lambda: len(chats.table.entries["k"].logs) == 2)
            go.set()
        assert results[0]["error"]["type"] == "EntryRejected"
        assert (await chat.report()).epoch == epoch


async def test_a_set_that_fails_with_starts_in_its_queue_answers_all() -> None:
    """Those that start, and those that wait for it, are started by the next incarnation; nobody is told of it."""
    store = Held()
    results: list[Any] = []
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=Parrot()), store=store)

        async def ask(number: int) -> None:
            results.append(await chats[f"k{number}"]("?", turn_id="t"))

        async def fail() -> None:
            raise RuntimeError("boom")

        async with anyio.create_task_group() as group:
            for number in range(hub.MAX_STARTING + 10):
                group.start_soon(ask, number)
            await anyio.wait_all_tasks_blocked()
            assert chats.cell.actor is not None
            chats.cell.actor.context.start_task(fail)
            await until(lambda: chats.cell.actor is None or chats.state.name != "RUNNING")
            store.gate.set()
        assert [answer_of(result) for result in results] == ["re: ?"] * (hub.MAX_STARTING + 10)
        assert chats.cell.incarnation == 2


async def test_who_waits_for_room_is_served_in_order() -> None:
    """Nobody overtakes, and one that is deleted while it waits holds up no one."""
    gate = Gate()
    done: list[str] = []
    async with ActorSystem("a") as system:
        spec = Agent.spec(model=Parrot(), tools=[gate.slow])
        chats = await system.conversations(spec, store="memory:", max_live=1)

        async def ask(key: str, content: str) -> None:
            if (await chats[key](content))["status"] == "success":
                done.append(key)

        async with anyio.create_task_group() as group:
            group.start_soon(ask, "busy", "call slow")
            await gate.began.wait()
            for key in ("gone", "a", "b", "c"):
                group.start_soon(ask, key, "?")
                await anyio.wait_all_tasks_blocked()
            group.start_soon(chats["gone"].delete)
            await until(lambda: "gone" not in chats.table.entries)
            gate.open.set()
        assert done[:4] == ["busy", "a", "b", "c"]


def test_a_quarantine_of_errors_that_cause_one_another_holds_no_frames() -> None:
    """Errors may be one another's causes, or in groups; of all of them the traceback is text."""
    errors: list[Exception] = []
    for number in range(3):
        try:
            raise ValueError(number)
        except ValueError as error:
            errors.append(error)
    errors[0].__cause__, errors[1].__context__ = errors[1], errors[0]
    errors[1].__cause__ = ExceptionGroup("several", [errors[2], errors[0]])
    health = Health(ConversationSettings(max_failures=0))
    health.failed("k", errors[0], 0.0)
    assert health.quarantined["k"].cause is errors[0]
    assert [error.__traceback__ for error in errors] == [None, None, None]
    assert all("Traceback" in error.__notes__[0] for error in errors)
