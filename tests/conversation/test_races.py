"""Conversations when things happen at the same moment: ends, starts, deletions, cancels, and who gets to know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from tests.conversation.parrot import Parrot
from tests.conversation.test_runtime import Gate, answer_of, failed
from tinyllm_actors import ActorSystem, Agent
from tinyllm_actors.agent import ToolStarted
from tinyllm_actors.conversation import MemoryStore
from tinyllm_actors.errors import ConversationDeleted
from tinyllm_actors.testing import ScriptedModel, VirtualClock, text, tool_call

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])


async def until(condition: Callable[[], object]) -> None:
    """Let others run until something holds."""
    while not condition():
        await anyio.lowlevel.checkpoint()


async def test_whoever_waits_is_told_that_the_service_ends() -> None:
    """A system that shuts down in the middle of a turn leaves no caller waiting, and the turn goes on in the next."""
    gate, store = Gate(), MemoryStore()
    results: list[Any] = []
    async with anyio.create_task_group() as group:
        async with ActorSystem("a", shutdown_timeout=5.0) as system:
            spec = Agent.spec(model=ScriptedModel([tool_call("again")]), tools=[gate.again])
            chats = await system.conversations(spec.with_options(shutdown=0.01), store=store)

            async def send() -> None:
                results.append(await chats["k"]("Go", turn_id="t"))

            group.start_soon(send)
            await gate.began.wait()
        await until(lambda: results)
    assert results[0]["error"]["type"] == "ActorStopped"
    gate.open.set()
    async with ActorSystem("b") as system:
        spec = Agent.spec(model=ScriptedModel([text("After all.")]), tools=[gate.again])
        chats = await system.conversations(spec, store=store)
        assert answer_of(await chats["k"]("Go", turn_id="t")) == "After all."
        assert gate.keys[0] == gate.keys[1]


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_whoever_waits_is_told_that_the_set_ends(how: str) -> None:
    """Also where it is killed, and nothing of it gets to run."""
    gate, store = Gate(), MemoryStore()
    async with ActorSystem("a") as system:
        spec = Agent.spec(model=ScriptedModel([tool_call("slow")]), tools=[gate.slow]).with_options(shutdown=0.01)
        chats = await system.conversations(spec, store=store)
        results: list[Any] = []

        async def send() -> None:
            results.append(await chats["k"]("Go", turn_id="t"))

        async with anyio.create_task_group() as group:
            group.start_soon(send)
            await gate.began.wait()
            await (chats.kill() if how == "kill" else chats.stop())
        assert results[0]["error"]["type"] == "ActorStopped"


async def test_a_hub_that_restarts_goes_on_with_every_turn() -> None:
    """Callers and readers do not notice, and what nobody waits for goes on too, though it is not to recover others."""
    gate = Gate()
    model = ScriptedModel([tool_call("again"), tool_call("again"), text("1."), text("2.")])
    async with ActorSystem("a") as system:
        spec = Agent.spec(model=model, tools=[gate.again]).with_options(shutdown=0.01)
        chats = await system.conversations(spec, store="memory:", recover=False)
        async with chats["unattended"].stream("Go", turn_id="t") as events:
            async for event in events:
                if isinstance(event, ToolStarted):
                    break
        results: list[Any] = []

        async def send() -> None:
            results.append(await chats["k"]("Go", turn_id="t"))

        async with anyio.create_task_group() as group:
            group.start_soon(send)
            await until(lambda: gate.calls == 2)

            async def crash() -> None:
                raise RuntimeError("a fault of the hub")

            hub: Any = chats.cell.actor
            hub.context.start_task(crash)
            await until(lambda: gate.calls == 4)
            gate.open.set()
        assert results[0]["status"] == "success"
        result = await chats["unattended"]("Go", turn_id="t")
        assert result["status"] == "success"
        assert chats.cell.incarnation == 2
        assert len(gate.keys) == len(set(gate.keys)) * 2


async def test_nonsense_costs_its_sender_only() -> None:
    """A message that the set does not know, and a key that no store can hold, end nothing."""
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=Parrot()), store="memory:")
        with pytest.raises(Exception, match="takes no str"):
            await chats.ask("what?")
        for key in ("", "a\0b", "\ud800", "x" * 513):
            with pytest.raises(ValueError, match="key"):
                chats[key]
        assert chats.cell.incarnation == 1
        for key in ("..", "a/b", "%2F", " ", "x" * 512):
            assert (await chats[key].report()).key == key
        assert len(chats.table.entries) == 5


async def test_deleting_a_conversation_that_starts() -> None:
    """What was loaded before the deletion is not shown after it."""
    store = MemoryStore()
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=Parrot()), store=store)
        await chats["k"]("Secret.")
    async with ActorSystem("b") as system:
        chats = await system.conversations(Agent.spec(model=Parrot()), store=store, recover=False)
        gate = store.stall()
        histories: list[Any] = []
        deleted: list[bool] = []

        async def look() -> None:
            histories.append(await chats["k"].history())

        async def delete() -> None:
            deleted.append(await chats["k"].delete())

        async with anyio.create_task_group() as group:
            group.start_soon(look)
            await until(lambda: "k" in chats.table.entries)
            group.start_soon(delete)
            group.start_soon(delete)
            await anyio.wait_all_tasks_blocked()
            gate.set()
        assert len(deleted) == 2
        assert await chats["k"].history() == []
        assert len(histories) == 1


@BACKENDS
def test_deleting_does_not_wait_for_the_turn(backend: str) -> None:
    """What a deleted conversation does is cancelled: nobody waits for it to be finished."""

    async def main() -> None:
        gate = Gate()
        async with ActorSystem("a") as system, anyio.create_task_group() as group:
            chats = await system.conversations(Agent.spec(model=Parrot(), tools=[gate.slow]), store="memory:")
            group.start_soon(chats["k"], "call slow")
            await gate.began.wait()
            start = anyio.current_time()
            assert await chats["k"].delete()
            assert anyio.current_time() - start < 0.1  # of a clock that stands still while anything can be done
            assert not chats.table.entries

    VirtualClock(backend).run(main)


async def test_deleting_tells_who_waits() -> None:
    """A turn in progress is not sent again by itself: the conversation would be there again."""
    gate = Gate()
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=Parrot(), tools=[gate.slow]), store="memory:")
        results: list[Any] = []

        async def send() -> None:
            results.append(await chats["k"]("call slow"))

        async with anyio.create_task_group() as group:
            group.start_soon(send)
            await gate.began.wait()
            async with chats["k"].stream() as events:
                await chats["k"].delete()
                with pytest.raises(ConversationDeleted, match="'k'"):
                    async for _ in events:
                        pass
        assert results[0]["error"]["type"] == "ConversationDeleted"
        assert (await chats.stats()).conversations == 0


async def test_a_cancel_at_any_moment_ends_the_turn() -> None:
    """However many steps of the loop lie between the message and the cancel, the turn ends."""
    for steps in range(0, 100, 4):
        model = Parrot()
        async with ActorSystem("a") as system:
            chats = await system.conversations(Agent.spec(model=model), store="memory:")
            chat = chats["k"]
            await chat.report()
            results: list[Any] = []

            async def send(chat: Any = chat, results: list[Any] = results) -> None:
                results.append(await chat("hang", turn_id="t"))

            async with anyio.create_task_group() as group:
                group.start_soon(send)
                for _ in range(steps):
                    await anyio.lowlevel.checkpoint()
                while not await chat.cancel("enough"):
                    await anyio.lowlevel.checkpoint()
            assert results[0]["error"]["type"] == "RunCancelled", steps


@BACKENDS
def test_more_come_than_there_is_room_for(backend: str) -> None:
    """With every place taken by a turn, all who come are served in the end, and none waits for one that is gone."""
    gate = Gate()

    async def main() -> None:
        model = ScriptedModel([tool_call("slow"), tool_call("slow"), *[text("Done.")] * 10])
        async with ActorSystem("test") as system:
            spec = Agent.spec(model=model, tools=[gate.slow])
            chats = await system.conversations(spec, store="memory:", max_live=2)
            results: list[Any] = []

            async def send(key: str) -> None:
                results.append(answer_of(await chats[key]("?")))

            async with anyio.create_task_group() as group:
                for key in ("a", "b"):
                    group.start_soon(send, key)
                await until(lambda: gate.calls == 2)
                for key in "cdefghij":
                    group.start_soon(send, key)
                await anyio.sleep(10)
                assert failed(await chats["z"].within(1.0)("?"))["error"]["type"] == "AskTimeout"
                assert results == []
                gate.open.set()
            assert results == ["Done."] * 10
            assert len(chats.table.entries) == 2

    VirtualClock(backend).run(main)
