"""What seldom happens to a set of conversations."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.conversation.parrot import Parrot
from tests.conversation.test_races import until
from tests.conversation.test_runtime import Gate, said
from tinyllm_actors import ActorSystem, Agent
from tinyllm_actors.conversation import (
    Append,
    Compaction,
    ConversationSettings,
    MemoryStore,
    TurnStarted,
    hub,
)
from tinyllm_actors.conversation.settings import ConversationOptions
from tinyllm_actors.errors import (
    ConfigurationError,
    ConversationBusy,
    StoreFull,
)

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.anyio


async def test_a_conversation_that_is_released_goes_on_with_its_turn() -> None:
    """What was quarantined in the middle of a turn ends it when the cause is gone, though nobody asks."""
    gate = Gate()
    async with ActorSystem("a") as system:
        spec = Agent.spec(model=Parrot(), tools=[gate.again])
        chats = await system.conversations(spec, store="memory:", max_failures=0)
        async with anyio.create_task_group() as group:
            group.start_soon(chats["k"], "call again")
            await gate.began.wait()
            await system["conversations/k/agent"].kill()
        assert [found.key for found in await chats.quarantined()] == ["k"]
        gate.open.set()
        assert await chats["k"].release()
        store: Any = chats.table.store
        rows = store._rows
        await until(lambda: rows["k"].records[-1].kind == "turn_ended" and not chats.table.entries["k"].busy)
        assert said(await chats["k"].history())[-1] == "re: call again"


async def test_a_deletion_that_fails_is_told_and_can_be_tried_again() -> None:
    """What the store says is what the caller gets."""
    store = MemoryStore()
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=Parrot()), store=store)
        await chats["k"]("?")
        store.fail("delete", StoreFull("no room"))
        with pytest.raises(StoreFull):
            await chats["k"].delete()
        assert await chats["k"].delete()


async def test_only_so_many_wait_for_their_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is told to come again."""
    monkeypatch.setattr(hub, "MAX_WAITING", 1)
    store = MemoryStore()
    async with ActorSystem("a") as system:
        chats = await system.conversations(Agent.spec(model=Parrot()), store=store, recover=False)
        await until(lambda: store.calls.get("due_timers"))
        gate = store.stall()
        async with anyio.create_task_group() as group:
            group.start_soon(chats["a"].history)
            await until(lambda: "a" in chats.table.entries)
            with pytest.raises(ConversationBusy, match="'b'"):
                await chats["b"].history()
            gate.set()


async def test_what_waits_for_room_can_be_deleted() -> None:
    """It does not start for that, and whoever waits for it gets an empty one when there is room."""
    gate = Gate()
    async with ActorSystem("a") as system:
        spec = Agent.spec(model=Parrot(), tools=[gate.slow])
        chats = await system.conversations(spec, store="memory:", max_live=1)
        async with anyio.create_task_group() as group:
            group.start_soon(chats["busy"], "call slow")
            await gate.began.wait()
            group.start_soon(chats["k"].history)
            await until(lambda: "k" in chats.table.entries)
            assert not await chats["k"].delete()
            gate.open.set()


async def test_all_that_were_held_are_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Page after page, a few at a time."""
    monkeypatch.setattr(hub, "RECOVER_PAGE", 2)
    monkeypatch.setattr(hub, "MAX_RECOVERING", 1)
    store = MemoryStore()
    async with store:
        for grant in await store.claim([f"k{number}" for number in range(5)], "dead"):
            await store.append([Append.of(grant, [TurnStarted(turn_id="t", content="?")])])
    async with ActorSystem("a") as system:
        model = Parrot()
        await system.conversations(Agent.spec(model=model), store=store)
        await until(lambda: len(model.asked) == 5)


async def test_only_its_share_is_started_again() -> None:
    """With a function of the key, which raises for one, the others' are left to them until somebody asks."""
    store = MemoryStore()
    async with store:
        for grant in await store.claim(["a/1", "b/1", "a/2", "b/2", "old"], "dead"):
            await store.append([Append.of(grant, [TurnStarted(turn_id="t", content=grant.key)])])
    async with ActorSystem("a") as system:
        model = Parrot()

        def ours(key: str) -> bool:
            return {"a": True, "b": False}[key.partition("/")[0]]  # which raises for one

        chats = await system.conversations(Agent.spec(model=model), store=store, recover=ours)
        await until(lambda: len(model.asked) == 2)
        assert sorted(model.asked) == ["a/1", "a/2"]
        await chats["b/2"]("?", turn_id="t")
        assert sorted(model.asked) == ["a/1", "a/2", "b/2"]
        assert {summary.key: summary.owner for summary in await chats.list("b/1")} == {"b/1": "dead"}
        assert {summary.key: summary.owner for summary in await chats.list("old")} == {"old": "dead"}


def test_settings_are_named_twice_alike() -> None:
    """Checkers know the same settings, of the same types, as the runtime."""
    fields = ConversationSettings.__dataclass_fields__
    assert ConversationOptions.__annotations__.keys() == fields.keys()
    assert {name: kind.__forward_arg__ for name, kind in ConversationOptions.__annotations__.items()} == {
        name: field.type for name, field in fields.items()
    }


def test_settings_have_a_meaning() -> None:
    """A number that has none is named."""
    settings: Any = ConversationSettings
    for name in ("max_live", "snapshot_every"):
        with pytest.raises(ConfigurationError, match=name):
            settings(**{name: 0})
    for name in ("max_queued", "patience"):
        with pytest.raises(ConfigurationError, match=name):
            settings(**{name: -1})
    with pytest.raises(ConfigurationError, match="max_tokens"):
        Compaction(max_tokens=0)
    with pytest.raises(ConfigurationError, match="target_tokens"):
        Compaction(max_tokens=10, target_tokens=11)


async def test_the_oldest_are_left_out_where_nobody_summarises() -> None:
    """As many of the newest exchanges stay as there is room for; what is short enough already stays whole."""
    async with ActorSystem("a") as system:
        compaction = Compaction(max_tokens=400, target_tokens=350, keep=2)
        chats = await system.conversations(Agent.spec(model=Parrot()), store="memory:", compaction=compaction)
        chat = chats["k"]
        await chat("0" + "x" * 900)
        assert not await chat.compact()  # these are never touched
        lengths: list[int] = []
        for number in range(1, 10):
            await chat(f"{number}" + "x" * 100)
            await anyio.wait_all_tasks_blocked()
            shown = [str(content)[0] for content in said(await chat.history())[0::2]]
            assert shown == [str(kept) for kept in range(number - len(shown) + 1, number + 1)]
            lengths.append(len(shown))
        assert lengths[:2] == [2, 2]  # the first one went as soon as it might
        assert any(2 < after < before for before, after in pairwise(lengths)), lengths  # others only so far as needed
        await chat.compact()
        assert not await chat.compact()
