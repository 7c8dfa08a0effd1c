"""The store in memory as a test double, and what only its scripted faults can show."""

from __future__ import annotations

import anyio
import pytest

from tinyllm_actors.conversation import (
    Append,
    Entry,
    MemoryStore,
    TurnStarted,
    export_lines,
    store_from_url,
    thaw,
)
from tinyllm_actors.errors import CorruptJournal, Fenced, StoreUnavailable

pytestmark = pytest.mark.anyio


def turns(count: int, *, start: int = 1) -> list[Entry]:
    """Return entries that are the same each time."""
    return [TurnStarted(id=f"e{number}", at=0.0, turn_id="t", content="x") for number in range(start, start + count)]


async def test_faults_come_before_or_after_the_work() -> None:
    """A scripted fault is raised once for each time it was asked for, before or after the call had its effect."""
    async with MemoryStore() as store:
        store.fail("claim", StoreUnavailable("away"), times=2)
        store.fail("claim", StoreUnavailable("lost"), after=True)
        for told in ("away", "away", "lost"):
            with pytest.raises(StoreUnavailable, match=told):
                await store.claim(["a"], "me")
            assert len(await store.list()) == (told == "lost")
        await store.claim(["a"], "me")
        assert store.calls["claim"] == 4


async def test_a_stalled_store_waits_for_its_gate() -> None:
    """Calls wait until the gate is opened, and can be cancelled meanwhile."""
    async with MemoryStore() as store, anyio.create_task_group() as tasks:
        gate = store.stall()
        with anyio.CancelScope() as scope:
            tasks.start_soon(store.claim, ["a"], "me")
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
            await store.claim(["b"], "me")
        assert scope.cancelled_caught
        gate.set()
    async with store:
        assert [summary.key for summary in await store.list()] == ["a"]


async def test_only_what_is_there_can_be_damaged() -> None:
    """A test that would damage nothing is told."""
    async with MemoryStore() as store:
        with pytest.raises(LookupError, match="'a' has no entry 1"):
            store.damage("a", 1)
        [grant] = await store.claim(["a"], "me")
        await store.append([Append.of(grant, turns(1))])
        with pytest.raises(LookupError, match="no entry 2"):
            store.lose("a", 2)
        store.damage("a", 1)
        record = store._rows["a"].records[0]  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(CorruptJournal, match="checksum"):
            record.entry()


async def test_a_thaw_whose_conversation_is_taken_at_once_changes_nothing() -> None:
    """If somebody claims between the claim and the cut of a thaw, the thaw fails and the damage stays as it is."""
    store = MemoryStore()

    class Taken(MemoryStore):
        """A store on the same rows, in which somebody else claims right after a load."""

        async def load(self, key: str, *, after: int = 0) -> object:  # pyright: ignore[reportIncompatibleMethodOverride]
            loaded = await super().load(key, after=after)
            await self.claim([key], "somebody else")
            return loaded

    taken = Taken()
    taken._rows = store._rows  # pyright: ignore[reportPrivateUsage]
    async with store, taken:
        [grant] = await store.claim(["a"], "me")
        await store.append([Append.of(grant, turns(3))])
        store.damage("a", 3)
        with pytest.raises(Fenced):
            await thaw(taken, "a", "me")
        assert (await store.load("a")).damaged == 1


async def test_an_export_leaves_out_what_comes_meanwhile() -> None:
    """An export is the conversation as it was when it began, in pages, and tells of a gap between two of them."""
    async with MemoryStore() as store:
        [grant] = await store.claim(["a"], "me")
        await store.append([Append.of(grant, turns(202))])
        lines: list[bytes] = []
        async for line in export_lines(store, "a"):
            if not lines:
                await store.append([Append.of(grant, turns(10, start=203))])
            lines.append(line)
        assert len(lines) == 203
        store.lose("a", 201)
        with pytest.raises(CorruptJournal, match="entry 201"):
            [line async for line in export_lines(store, "a")]


def test_memory_has_a_url() -> None:
    """`memory:` is a new store each time."""
    assert isinstance(store_from_url("memory:"), MemoryStore)
    assert store_from_url("memory:") is not store_from_url("memory:")
