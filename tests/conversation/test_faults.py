"""Conversations on stores that fail: typed errors, no loss, and everything goes on when the cause is gone."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest

from tests.conversation.parrot import Parrot
from tests.conversation.test_races import BACKENDS, until
from tests.conversation.test_runtime import Gate, answer_of, failed, said
from tinyllm_actors import ActorSystem, Agent
from tinyllm_actors.agent import ToolStarted
from tinyllm_actors.conversation import INTERRUPTED, MemoryStore, TurnStarted, codec
from tinyllm_actors.errors import (
    OutcomeUnknown,
    StoreError,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
)
from tinyllm_actors.integrations.sqlite import SQLiteStore
from tinyllm_actors.testing import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tinyllm_actors.conversation import ConversationStore

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> ConversationStore:
    """Return a store that is empty."""
    if request.param == "memory":
        return MemoryStore()
    if request.param == "sqlite":
        return SQLiteStore(tmp_path / "chats.db", synchronous="normal", busy_timeout=0.05)
    from tinyllm_actors.integrations.postgres import PostgresStore

    return PostgresStore(request.getfixturevalue("new_postgres_uri"))


class Broken:
    """Makes methods of a store fail for as long as they are told to; what they do is done first with `after`."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._broken: set[str] = set()
        self.seen = 0

    def fail(self, error: StoreError, *operations: str, after: bool = False) -> None:
        for name in operations:
            self._broken.add(name)
            works = getattr(self._store.__class__, name)

            async def broken(*args: Any, _works: Any = works, **named: Any) -> None:
                self.seen += 1
                if after:
                    await _works(self._store, *args, **named)
                raise error

            setattr(self._store, name, broken)

    def mend(self) -> None:
        while self._broken:
            delattr(self._store, self._broken.pop())


def turns_of(entries: Any) -> list[str]:
    """Return the names of the turns in a journal."""
    return [entry.turn_id for entry in (record.entry() for record in entries) if isinstance(entry, TurnStarted)]


@pytest.mark.parametrize("after", [False, True], ids=["refused", "unknown"])
async def test_a_store_that_fails_in_a_turn_loses_nothing(kept: ConversationStore, after: bool) -> None:
    """The caller is told what may be tried again; the turn goes on by itself, and no call is made twice."""
    gate, broken = Gate(), Broken(kept)
    error = OutcomeUnknown("cut") if after else StoreFull("no room")
    async with ActorSystem("a") as system:
        spec = Agent.spec(model=Parrot(), tools=[gate.slow])
        chats = await system.conversations(spec, store=kept, patience=0, max_failures=1)
        chat = chats["k"]
        async with chat.stream("call slow", turn_id="t") as events:
            async for event in events:
                if isinstance(event, ToolStarted):
                    broken.fail(error, "append", after=after)
                    gate.open.set()
                    break
            with pytest.raises(type(error)):
                async for _ in events:
                    pass
        # It does try again, and does not give it up as broken. What is stored all the same is two steps: the result,
        # and the answer with the end of the turn.
        await until(lambda: broken.seen >= (2 if after else 3))
        for _ in range(1 if after else 3):  # what is stored all the same is known in the end
            told = await chat("more", turn_id="u")
            assert (failed(told)["error"]["type"], failed(told)["error"]["retryable"]) == (type(error).__name__, True)
        assert not await chats.quarantined()
        broken.mend()
        assert answer_of(await chat("call slow", turn_id="t")) == "re: call slow"
        assert answer_of(await chat("more", turn_id="u")) == "re: more"
        results = [message.content for message in await chat.history() if type(message).__name__ == "ToolMessage"]
        assert results in ([INTERRUPTED], ["done"])
        assert turns_of(await chat.page()) == ["t", "u"]
        assert gate.calls == 1
        assert chats.cell.incarnation == 1


async def test_a_store_that_fails_at_the_start_of_a_conversation(kept: ConversationStore) -> None:
    """It is told as it is, as often as it happens; then the conversation starts, with what there was."""
    broken = Broken(kept)
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=Parrot()), store=kept, patience=0, max_failures=1)
        await chats["k"]("1")
        await system["conversations/k"].stop()
        for operation in ("take", "claim", "load") if isinstance(kept, MemoryStore) else ("take",):
            broken.fail(StoreUnavailable("away"), operation)
            for _ in range(3):
                with pytest.raises(StoreUnavailable, match="away"):
                    await chats["k"].history()
                assert failed(await chats["k"]("2"))["error"]["retryable"]
            broken.mend()
        assert said(await chats["k"].history()) == ["1", "re: 1"]
        assert answer_of(await chats["k"]("2")) == "re: 2"


async def test_a_store_that_cannot_look_for_timers_ends_nothing(kept: ConversationStore) -> None:
    """Not even where trying again does not help, as far as one can tell: conversations go on, and timers fire later."""
    broken = Broken(kept)
    broken.fail(StoreReadOnly("not now"), "due_timers", "list")
    async with ActorSystem("a") as system:
        model = Parrot()
        chats = await system.conversations(Agent.spec(model=model), store=kept)
        await chats["k"].remind("wake up", at=1.0)
        assert answer_of(await chats["k"]("1")) == "re: 1"
        await until(lambda: broken.seen >= 2)
        assert model.asked == ["1"]
        broken.mend()
        await until(lambda: model.asked == ["1", "wake up"])
        assert chats.cell.incarnation == 1


async def test_two_processes_that_want_the_same_conversation(kept: ConversationStore) -> None:
    """Whoever lost it has no effect any more, no call is made twice, and all who asked are answered by either."""
    gate = Gate()
    async with ActorSystem("a") as here, ActorSystem("b") as there:
        spec = Agent.spec(model=Parrot(), tools=[gate.slow])
        ours = await here.conversations(spec, store=kept, recover=False)
        other = kept if isinstance(kept, MemoryStore) else _same(kept)
        theirs = await there.conversations(spec, store=other, recover=False)
        results: dict[str, Any] = {}

        async def send(chats: Any, turn_id: str, content: str) -> None:
            results[turn_id] = await chats["k"](content, turn_id=turn_id)

        async with anyio.create_task_group() as group:
            group.start_soon(send, ours, "t", "call slow")
            await gate.began.wait()
            group.start_soon(send, theirs, "u", "hello")
            await until(lambda: "u" in results)
            gate.open.set()
        assert answer_of(results["t"]) == "re: call slow"
        assert answer_of(results["u"]) == "re: hello"
        history = said(await ours["k"].history())
        assert history == ["call slow", None, INTERRUPTED, "re: call slow", "hello", "re: hello"]
        for number, chats in enumerate((theirs, ours, theirs)):
            assert answer_of(await chats["k"](str(number))) == f"re: {number}"
        assert said(await theirs["k"].history())[-6:] == ["0", "re: 0", "1", "re: 1", "2", "re: 2"]
        assert gate.calls == 1


@pytest.mark.parametrize("streamed", [False, True], ids=["called", "streamed"])
async def test_a_turn_that_another_process_took_over_is_not_taken_back(kept: ConversationStore, streamed: bool) -> None:
    """Whoever waits for it in the old process gets its result from the new one, and nothing is done a third time."""
    old, new = Gate(), Gate()
    async with ActorSystem("a") as here, ActorSystem("b") as there:
        ours = await here.conversations(Agent.spec(model=Parrot(), tools=[old.again]), store=kept)
        results: list[Any] = []

        async def send() -> None:
            if not streamed:
                results.append(await ours["k"]("call again", turn_id="t"))
                return
            async with ours["k"].stream("call again", turn_id="t") as events:
                results.append([event async for event in events][-1].result)

        async with anyio.create_task_group() as group:
            group.start_soon(send)
            await old.began.wait()
            other = kept if isinstance(kept, MemoryStore) else _same(kept)
            theirs = await there.conversations(Agent.spec(model=Parrot(), tools=[new.again]), store=other)
            await new.began.wait()  # it took over what was in memory of the old one
            [taken] = await theirs.list()
            old.open.set()
            await until(lambda: "k" not in ours.table.entries)
            new.open.set()
            await until(lambda: results)
            assert answer_of(results[0]) == "re: call again"
            assert (old.calls, new.calls) == (1, 1)
            [summary] = await theirs.list()
            assert summary.epoch == taken.epoch, "nobody claimed it since"


@BACKENDS
@pytest.mark.parametrize("end", ["released", "dead", "deleted"])
def test_a_turn_is_taken_back_where_nobody_goes_on_with_it(end: str, backend: str) -> None:
    """When the other process gives the conversation back, or is silent for two minutes; one that is deleted is told."""

    async def main() -> None:
        old, store, results, began = Gate(), MemoryStore(), list[Any](), 0.0
        async with ActorSystem("a") as here:
            ours = await here.conversations(Agent.spec(model=Parrot(), tools=[old.again]), store=store)

            async def send() -> None:
                results.append(await ours["k"]("call again", turn_id="t"))

            async with anyio.create_task_group() as group:
                group.start_soon(send)
                await old.began.wait()
                grants = await store.claim(["k"], "another process")
                old.open.set()
                await until(lambda: "k" not in ours.table.entries)
                began = anyio.current_time()
                if end == "released":
                    await store.release(grants)
                elif end == "deleted":
                    await store.delete("k")
            waited = anyio.current_time() - began
        if end == "deleted":
            assert results[0]["error"]["type"] == "ConversationDeleted"
        else:
            assert answer_of(results[0]) == "re: call again"
        assert (waited > 120) is (end == "dead"), waited

    VirtualClock(backend).run(main)


async def test_a_turn_that_was_not_stored_is_asked_for_at_once(kept: ConversationStore) -> None:
    """The other process knows nothing of what waited here behind the turn that it took over."""
    gate = Gate()
    async with ActorSystem("a") as here:
        ours = await here.conversations(Agent.spec(model=Parrot(), tools=[gate.again]), store=kept)
        results: dict[str, Any] = {}

        async def send(turn_id: str, content: str) -> None:
            results[turn_id] = await ours["k"](content, turn_id=turn_id)

        async with anyio.create_task_group() as group:
            group.start_soon(send, "t", "call again")
            await gate.began.wait()
            group.start_soon(send, "u", "hello")
            await anyio.wait_all_tasks_blocked()
            await kept.claim(["k"], "a process that dies")
            with anyio.fail_after(60):  # and not after two minutes
                gate.open.set()
                await until(lambda: len(results) == 2)
        assert (answer_of(results["t"]), answer_of(results["u"])) == ("re: call again", "re: hello")
        assert said(await ours["k"].history())[-3:] == ["re: call again", "hello", "re: hello"]


def _same(store: Any) -> ConversationStore:
    """Return another store of the same journals, as another process has it."""
    if isinstance(store, SQLiteStore):
        return SQLiteStore(store.path, synchronous="normal")
    return type(store)(store._dsn)


@pytest.mark.parametrize("fault", ["full", "read-only", "locked"])
async def test_a_file_that_fails_is_used_again(fault: str, tmp_path: Path) -> None:
    """A full disk, a file that may only be read, and one that somebody holds: told as such, and then forgotten."""
    store: Any = SQLiteStore(tmp_path / "chats.db", synchronous="normal", busy_timeout=0.01)
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=Parrot()), store=store, patience=0)
        assert answer_of(await chats["k"]("1")) == "re: 1"
        other = await anyio.to_thread.run_sync(
            lambda: sqlite3.connect(store.path, isolation_level=None, check_same_thread=False)
        )

        def harm(undo: bool = False) -> None:
            writer = store._database._writer
            if fault == "full":
                writer.execute(f"PRAGMA max_page_count={1_000_000 if undo else 1}").fetchall()
            elif fault == "read-only":
                writer.execute(f"PRAGMA query_only={'OFF' if undo else 'ON'}").fetchall()
            else:
                other.execute("ROLLBACK" if undo else "BEGIN IMMEDIATE")

        await anyio.to_thread.run_sync(harm)
        told = await chats["k"]("x" * 100_000, turn_id="t")
        kinds = {"full": "StoreFull", "read-only": "StoreReadOnly", "locked": "StoreBusy"}
        if fault == "read-only":  # the connection is replaced, so the next try, of the caller itself, succeeds
            assert told["status"] == "success"
        else:
            assert (failed(told)["error"]["type"], failed(told)["error"]["retryable"]) == (kinds[fault], True)
            await anyio.to_thread.run_sync(harm, True)
        assert answer_of(await chats["k"]("x" * 100_000, turn_id="t")).startswith("re: xxx")
        await anyio.to_thread.run_sync(other.close)
        assert turns_of(await chats["k"].page())[1:] == ["t"]


async def test_a_server_that_restarts_is_not_noticed(
    new_postgres_uri: str, restart_postgres: Callable[[str], None]
) -> None:
    """Conversations in the middle of their turns go on, and what was said is there once."""
    gate, model = Gate(), Parrot()
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=model, tools=[gate.again]), store=new_postgres_uri)
        results: list[Any] = []

        async def send(number: int) -> None:
            results.append(await chats[f"k{number}"]("call again"))
            results.append(await chats[f"k{number}"]("and?"))

        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(send, number)
            await until(lambda: gate.calls == 5)
            await anyio.to_thread.run_sync(restart_postgres, "immediate")
            gate.open.set()
        assert {answer_of(result) for result in results} == {"re: call again", "re: and?"}
        assert said(await chats["k3"].history()) == [
            "call again",
            None,
            "done again",
            "re: call again",
            "and?",
            "re: and?",
        ]
        assert gate.calls == 5


@BACKENDS
def test_a_disk_that_hangs_is_told_in_time(backend: str) -> None:
    """A caller waits as long as the store is given patience, at the start and in a turn; then it all goes on."""
    store, gate = MemoryStore(), Gate()

    async def main() -> None:
        async with ActorSystem("test") as system:
            spec = Agent.spec(model=Parrot(), tools=[gate.slow])
            chats = await system.conversations(spec, store=store, patience=20.0)
            results: list[Any] = []
            disk = anyio.Event()

            async def send() -> None:
                results.append(await chats["k"]("call slow", turn_id="t"))

            async with anyio.create_task_group() as group:
                group.start_soon(send)
                await gate.began.wait()
                disk = store.stall()
                gate.open.set()
                with anyio.fail_after(100):
                    told = await chats["other"]("?")
                assert (failed(told)["error"]["type"], failed(told)["error"]["retryable"]) == ("StoreUnavailable", True)
            assert results[0]["error"]["type"] == "OutcomeUnknown"
            with anyio.fail_after(100):
                assert failed(await chats["k"]("call slow", turn_id="t"))["error"]["retryable"]
            disk.set()
            assert answer_of(await chats["k"]("call slow", turn_id="t")) == "re: call slow"
            assert answer_of(await chats["other"]("?")) == "re: ?"
            assert gate.calls == 1

    VirtualClock(backend).run(main)


async def test_what_is_too_large_costs_its_sender_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message, an answer and an edit that cannot be stored are told; the conversation goes on with what there was."""
    monkeypatch.setattr(codec, "MAX_ENTRY_BYTES", 3000)
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=Parrot()), store="memory:", max_failures=0)
        chat = chats["k"]
        assert answer_of(await chat("small")) == "re: small"
        assert failed(await chat("x" * 4000))["error"]["type"] == "EntryRejected"
        [(entry_id, _)] = await chat.user_entries()
        assert failed(await chat.edit(entry_id, "x" * 4000))["error"]["type"] == "EntryRejected"
        assert said(await chat.history()) == ["small", "re: small"]
        assert failed(await chat("y" * 2800))["error"]["type"] == "EntryRejected"  # the answer is
        assert answer_of(await chat("still")) == "re: still"
        with pytest.raises(Exception, match="bytes"):
            await chat.remind("z" * 4000, after=60)
        assert not await chats.quarantined()
        assert (await chat.report()).epoch == 1
