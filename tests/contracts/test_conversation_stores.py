"""What every store of conversations promises: see `tinyllm_actors.conversation.store`."""

from __future__ import annotations

import math
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.conversation import (
    Append,
    CallResult,
    ConversationStore,
    Entry,
    Grant,
    Snapshot,
    TimerFired,
    TimerSet,
    TurnEnded,
    TurnStarted,
    export_lines,
    import_lines,
    open_journal,
    replay,
    thaw,
)
from tinyllm_actors.errors import CorruptJournal, EntryRejected, Fenced, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(place: Any) -> AsyncIterator[ConversationStore]:
    """Return an open store on an empty place."""
    async with place.store() as store:
        yield store


def turns(count: int, *, start: int = 1, at: float = 0.0, size: int = 10) -> list[Entry]:
    """Return entries that follow one another, with ids that say which they are."""
    return [
        TurnStarted(
            id=f"e{number}",
            parent=f"e{number - 1}" if number > 1 else None,
            at=at + number,
            turn_id=f"t{number}",
            content="x" * size,
        )
        for number in range(start, start + count)
    ]


async def claim(store: ConversationStore, key: str = "chat/1", owner: str = "a") -> Grant:
    """Return the right to append to one conversation."""
    [grant] = await store.claim([key], owner)
    return grant


async def append(store: ConversationStore, grant: Grant, entries: list[Entry]) -> None:
    """Append entries of one conversation."""
    await store.append([Append.of(grant, entries)])


async def ids(store: ConversationStore, key: str = "chat/1") -> list[str]:
    """Return the ids of all that is stored, in order."""
    return [record.id for record in await store.page(key, after=0, limit=10_000)]


# --- append and load ------------------------------------------------------------------------------


async def test_what_was_appended_is_loaded_as_it_was(store: ConversationStore) -> None:
    """Entries come back equal, in order, numbered from 1, with who wrote them under which epoch."""
    grant = await claim(store)
    entries: list[Entry] = [
        *turns(2),
        CallResult(id="ü", parent="e2", at=3.5, call_id="c", name="look", content="☃\0", full={"n": [1, None, 2.5]}),
    ]
    await append(store, grant, entries[:1])
    await append(store, grant, entries[1:])
    loaded = await store.load("chat/1")
    assert loaded.entries() == entries
    assert (loaded.last, loaded.damaged) == (3, 0)
    assert [record.sequence for record in loaded.records] == [1, 2, 3]
    assert {(record.key, record.owner, record.epoch, record.version) for record in loaded.records} == {
        ("chat/1", "a", grant.epoch, 1)
    }
    assert [record.at for record in loaded.records] == [1.0, 2.0, 3.5]
    assert (await store.load("chat/1", after=2)).entries() == entries[2:]
    assert (await store.load("chat/1", after=3)).records == ()


async def test_taking_is_claiming_and_loading_at_once(place: Any) -> None:
    """Each conversation comes with a new grant and what a thaw needs, whoever had it; those before are fenced."""
    async with place.store() as store:
        first = await claim(store, "b")
        await append(store, first, turns(3))
        state = replay(turns(3))
        await append(store, first, [Snapshot(id="s", parent="e3", at=4.0, state=state.dump()), *turns(2, start=4)])
        taken = await store.take(["c", "b", "a", "b"], "other")
        assert [found.grant.key for found in taken] == ["c", "b", "a"]
        assert {found.grant.owner for found in taken} == {"other"}
        assert [found.grant.last for found in taken] == [0, 6, 0]
        assert [found.loaded for found in taken] == [await store.load(key) for key in ("c", "b", "a")]
        assert taken[1].loaded.entries()[0].id == "s"
        assert taken[1].grant.epoch > first.epoch
        with pytest.raises(Fenced):
            await append(store, first, turns(1, start=6))
        await append(store, taken[1].grant, turns(1, start=6))
        assert (await store.take(["b"], "other"))[0].grant.epoch > taken[1].grant.epoch
        with pytest.raises(ValueError, match="empty"):
            await store.take([""], "other")


async def test_what_is_damaged_fails_alone(place: Any) -> None:
    """Of conversations that are taken together, one that cannot be used says so, and the others come."""
    async with place.store() as store:
        for key in ("a", "b", "c"):
            await append(store, await claim(store, key), turns(40))
        await place.damage("b", 2)
        await place.damage("c", 40)
        one, two, three = await store.take(["a", "b", "c"], "other")
        assert len(one.loaded.records) == 40
        assert isinstance(two.loaded, CorruptJournal)
        assert two.loaded.sequence == 2
        assert (len(three.loaded.records), three.loaded.damaged) == (39, 1)
        with pytest.raises(CorruptJournal, match="'b'"):
            await thaw(store, "b", "other")


async def test_a_damaged_snapshot_is_left_out_of_what_is_taken(place: Any) -> None:
    """Where the newest snapshot is the damaged end, what stands before it is what there is."""
    async with place.store() as store:
        grant = await claim(store)
        await append(store, grant, [*turns(2), Snapshot(id="s", parent="e2", at=0.0, state=replay(turns(2)).dump())])
        await place.damage("chat/1", 3)
        [taken] = await store.take(["chat/1"], "a")
        assert [record.id for record in taken.loaded.records] == ["e1", "e2"]
        assert taken.loaded.damaged == 1


async def test_a_conversation_that_is_not_there_is_empty(store: ConversationStore) -> None:
    """Nothing is loaded of a key that nobody claimed, and asking makes nothing."""
    loaded = await store.load("chat/none")
    assert (loaded.records, loaded.last, loaded.damaged) == ((), 0, 0)
    assert await store.page("chat/none") == []
    assert not await store.delete("chat/none")
    assert await store.list() == []


async def test_journals_outlive_the_store_object(place: Any) -> None:
    """What one store wrote another one reads, also after the first is closed; closing twice does no harm."""
    async with place.store() as first:
        await append(first, await claim(first), turns(3))
    await first.aclose()
    async with place.store() as second:
        assert await ids(second) == ["e1", "e2", "e3"]
        assert (await claim(second)).last == 3


async def test_a_store_that_is_not_open_says_so(place: Any) -> None:
    """Before `open` and after `aclose` each call fails; a closed store can be opened again."""
    store = place.store()
    with pytest.raises(StoreUnavailable, match="not open"):
        await store.claim(["a"], "me")
    await store.open()
    await store.open()
    await claim(store)
    await store.aclose()
    for call in (store.claim(["a"], "me"), store.load("a"), store.stats()):
        with pytest.raises(StoreUnavailable, match="not open") as caught:
            await call
        assert not caught.value.retryable
    async with store:
        assert len(await store.list()) == 1


async def test_a_batch_of_many_conversations_is_one_thing(store: ConversationStore) -> None:
    """Several conversations, and several items of one, go into one append, in order."""
    grants = await store.claim(["b", "a", "c"], "me")
    assert [grant.key for grant in grants] == ["b", "a", "c"]
    batch = [Append.of(grant, turns(2)) for grant in grants] + [Append.of(grants[0], turns(2, start=3))]
    await store.append(batch)
    assert await ids(store, "a") == ["e1", "e2"]
    assert await ids(store, "b") == ["e1", "e2", "e3", "e4"]
    await store.append([])
    await store.append([Append.of(grants[1], [])])
    assert await ids(store, "a") == ["e1", "e2"]


async def test_large_entries_are_whole(store: ConversationStore) -> None:
    """An entry of a megabyte among small ones comes back as it was."""
    grant = await claim(store)
    entries = [*turns(1), *turns(1, start=2, size=1_000_000), *turns(1, start=3)]
    await append(store, grant, entries)
    assert (await store.load("chat/1")).entries() == entries


# --- idempotence ----------------------------------------------------------------------------------


async def test_the_same_entries_again_are_stored_once(store: ConversationStore) -> None:
    """Whoever does not know what became of an append sends it again, with more behind it, under any grant."""
    grant = await claim(store)
    await append(store, grant, turns(2))
    await append(store, grant, turns(2))
    await append(store, grant, turns(4))
    again = await claim(store)
    await append(store, again, turns(5))
    await append(store, again, [*turns(2, start=6), *turns(2, start=6)])
    assert await ids(store) == [f"e{number}" for number in range(1, 8)]
    assert [record.sequence for record in await store.page("chat/1")] == list(range(1, 8))


async def test_the_same_id_with_other_content_is_refused(store: ConversationStore) -> None:
    """An id stands for one entry; neither is overwritten, and nothing of the batch is stored."""
    one, two = await store.claim(["one", "two"], "me")
    await append(store, one, turns(1))
    changed: list[Entry] = [TurnStarted(id="e1", turn_id="t1", content="something else", at=0.0)]
    with pytest.raises(EntryRejected, match="'e1'") as caught:
        await store.append([Append.of(two, turns(1)), Append.of(one, [*turns(1, start=2), *changed])])
    assert caught.value.keys == ("one",)
    with pytest.raises(EntryRejected, match="'e1'"):
        await append(store, two, [*turns(1), *changed])
    assert await ids(store, "one") == ["e1"]
    assert await ids(store, "two") == []


# --- claims and fences ----------------------------------------------------------------------------


async def test_a_later_claim_fences_the_earlier(place: Any) -> None:
    """Of two stores on one place the one that claimed last writes; the other changes nothing, in no way."""
    async with place.store() as first, place.store() as second:
        old = await claim(first, owner="a")
        await append(first, old, turns(1))
        new = await claim(second, owner="b")
        assert new.epoch > old.epoch
        assert new.last == 1
        with pytest.raises(Fenced) as caught:
            await append(first, old, turns(1, start=2))
        assert caught.value.keys == ("chat/1",)
        assert not caught.value.retryable
        with pytest.raises(Fenced):
            await append(first, old, turns(1))  # it is there, but that is not for the old owner to know
        with pytest.raises(Fenced):
            await first.cut(old, 0)
        await first.release([old])
        await append(second, new, turns(1, start=2))
        assert await ids(first) == ["e1", "e2"]


async def test_an_owner_that_claims_again_fences_itself(store: ConversationStore) -> None:
    """A second claim by the same owner counts: what an earlier life of an actor sends late changes nothing."""
    old, new = await claim(store), await claim(store)
    assert new.epoch > old.epoch
    with pytest.raises(Fenced):
        await append(store, old, turns(1))
    with pytest.raises(Fenced):
        await store.append([Append.of(new, turns(1)), Append.of(old, turns(1, start=2))])
    assert await ids(store) == []


async def test_one_lost_grant_keeps_the_whole_batch_out(store: ConversationStore) -> None:
    """All or nothing over all conversations; every lost grant is named."""
    grants = await store.claim(["a", "b", "c"], "me")
    await store.claim(["a", "c"], "other")
    with pytest.raises(Fenced) as caught:
        await store.append([Append.of(grant, turns(1)) for grant in grants])
    assert sorted(caught.value.keys) == ["a", "c"]
    assert [await ids(store, key) for key in "abc"] == [[], [], []]


async def test_what_is_held_can_be_left_to_its_owner(store: ConversationStore) -> None:
    """A claim that takes nothing over gets what is free or its own; released conversations are free."""
    held, freed = await store.claim(["held", "freed"], "a")
    await store.release([freed, freed])
    found = await store.claim(["held", "freed", "new"], "b", take_over=False)
    assert [grant.key for grant in found] == ["freed", "new"]
    assert [grant.key for grant in await store.claim(["held"], "a", take_over=False)] == ["held"]
    with pytest.raises(Fenced):
        await append(store, held, turns(1))
    with pytest.raises(Fenced):
        await append(store, freed, turns(1))


async def test_releasing_a_lost_grant_frees_nothing(store: ConversationStore) -> None:
    """Only the current grant gives its conversation back."""
    old = await claim(store, owner="a")
    await claim(store, owner="b")
    await store.release([old])
    assert [summary.owner for summary in await store.list()] == ["b"]


async def test_a_released_grant_is_lost(store: ConversationStore) -> None:
    """Who has given a conversation back cannot write to it."""
    grant = await claim(store)
    await store.release([grant])
    with pytest.raises(Fenced):
        await append(store, grant, turns(1))


async def test_a_key_is_claimed_once_however_often_it_is_named(store: ConversationStore) -> None:
    """A key that is listed twice gets one grant."""
    grants = await store.claim(["a", "b", "a"], "me")
    assert [grant.key for grant in grants] == ["a", "b"]
    await append(store, grants[0], turns(1))
    assert await store.claim([], "me") == []


@pytest.mark.parametrize(("key", "owner"), [("", "me"), ("a", ""), ("a\0b", "me"), ("\ud800", "me"), ("a" * 513, "me")])
async def test_keys_that_not_every_store_can_hold_are_refused(store: ConversationStore, key: str, owner: str) -> None:
    """What one store could not hold none takes."""
    with pytest.raises(ValueError, match=r"key|owner"):
        await store.claim([key], owner)


async def test_claims_in_a_race_have_one_winner_each(place: Any) -> None:
    """Four claimants of the same 50 keys at once: every grant has an epoch of its own, the highest one writes."""
    keys = [f"k{number}" for number in range(50)]
    async with place.store() as one, place.store() as two:
        found: list[Grant] = []

        async def compete(store: ConversationStore, owner: str, order: list[str]) -> None:
            found.extend(await store.claim(order, owner))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(compete, one, "a", keys)
            tasks.start_soon(compete, two, "b", keys[::-1])
            tasks.start_soon(compete, one, "c", keys[25:] + keys[:25])
            tasks.start_soon(compete, two, "d", keys)
        for key in keys:
            mine = sorted((grant for grant in found if grant.key == key), key=lambda grant: grant.epoch)
            assert len({grant.epoch for grant in mine}) == 4
            with pytest.raises(Fenced):
                await append(one, mine[-2], turns(1))
            await append(two, mine[-1], turns(1))


# --- pages and lists ------------------------------------------------------------------------------


async def test_pages_go_both_ways(store: ConversationStore) -> None:
    """A page is in order of sequence, counted from either end or from any place."""
    await append(store, await claim(store), turns(10))

    async def page(**where: Any) -> list[int]:
        return [record.sequence for record in await store.page("chat/1", **where)]

    assert (await store.page("chat/1", limit=1))[0].entry() == turns(1, start=10)[0]
    assert await page(limit=3) == [8, 9, 10]
    assert await page(before=8, limit=3) == [5, 6, 7]
    assert await page(before=1) == []
    assert await page(after=0, limit=3) == [1, 2, 3]
    assert await page(after=8, limit=3) == [9, 10]
    with pytest.raises(ValueError, match="after and before"):
        await page(after=1, before=3)
    with pytest.raises(ValueError, match="limit"):
        await page(limit=0)


async def test_lists_are_by_prefix_and_in_order(store: ConversationStore) -> None:
    """Keys come in order of their characters, bounded, from any place; `%` and `_` are characters like others."""
    await store.claim(["b/2", "a/1", "b/10", "b%", "b/1", "c", "b_", "b/\U0001f600"], "me")

    async def keys(*args: Any, **where: Any) -> list[str]:
        return [summary.key for summary in await store.list(*args, **where)]

    assert await keys("b/") == ["b/1", "b/10", "b/2", "b/\U0001f600"]
    assert await keys("b/", limit=2) == ["b/1", "b/10"]
    assert await keys("b/", after="b/10") == ["b/2", "b/\U0001f600"]
    assert await keys("b%") == ["b%"]
    assert len(await keys()) == 8
    assert await keys("zzz") == []
    with pytest.raises(ValueError, match="limit"):
        await store.list(limit=0)


async def test_those_that_are_held_are_listed_alone(store: ConversationStore) -> None:
    """However many others there are; in pages and under a prefix like all of them."""
    grants = await store.claim([f"k/{number}" for number in range(6)], "a")
    await store.release(grants[1::2])
    assert [summary.key for summary in await store.list(held=True)] == ["k/0", "k/2", "k/4"]
    page = await store.list("k/", after="k/0", limit=1, held=True)
    assert [(summary.key, summary.owner) for summary in page] == [("k/2", "a")]
    assert await store.list("other", held=True) == []


async def test_a_list_says_who_owns_and_how_long(store: ConversationStore) -> None:
    """A summary has owner, epoch, length, snapshot and when it changed last."""
    before = time.time() - 60
    grant = await claim(store)
    await append(store, grant, [*turns(2), Snapshot(id="s", state=replay(turns(2)).dump())])
    [summary] = await store.list()
    assert (summary.key, summary.owner, summary.epoch) == ("chat/1", "a", grant.epoch)
    assert (summary.last, summary.snapshot) == (3, 3)
    assert before < summary.updated < time.time() + 60


# --- timers ---------------------------------------------------------------------------------------


async def test_timers_are_due_until_they_fired(store: ConversationStore) -> None:
    """A timer set is due when its time has come, moves when it is set again, and ends when it fired."""
    one, two = await store.claim(["one", "two"], "me")
    await append(store, one, [TimerSet(timer_id="a", due=10.0), TimerSet(timer_id="b", due=30.0)])
    await append(store, two, [TimerSet(timer_id="a", due=20.0)])
    assert await store.due_timers(9.9) == []
    due = await store.due_timers(30.0)
    assert [(timer.key, timer.timer_id, timer.due) for timer in due] == [
        ("one", "a", 10.0),
        ("two", "a", 20.0),
        ("one", "b", 30.0),
    ]
    assert [timer.timer_id for timer in await store.due_timers(30.0, limit=1)] == ["a"]
    fired = TimerFired(id="f", timer_id="a")
    await append(store, one, [fired, TimerSet(timer_id="b", due=40.0)])
    assert [(timer.key, timer.timer_id) for timer in await store.due_timers(30.0)] == [("two", "a")]
    await append(
        store, two, [TimerSet(timer_id="x", due=1.0), TimerFired(timer_id="x"), TimerSet(timer_id="x", due=2.0)]
    )
    assert [(timer.timer_id, timer.due) for timer in await store.due_timers(5.0)] == [("x", 2.0)]


async def test_a_timer_that_is_sent_again_after_it_fired_stays_fired(store: ConversationStore) -> None:
    """A retry of an old append sets no timer again."""
    grant = await claim(store)
    entries: list[Entry] = [TimerSet(id="s", timer_id="a", due=1.0, at=0.0), TimerFired(id="f", timer_id="a", at=0.0)]
    await append(store, grant, entries[:1])
    await append(store, grant, entries[1:])
    await append(store, grant, entries[:1])
    assert await store.due_timers(math.inf) == []


# --- snapshots, pruning, deleting -----------------------------------------------------------------


async def test_loading_begins_with_the_newest_snapshot(store: ConversationStore) -> None:
    """A thaw reads the newest snapshot and what is behind it, and says the same as everything."""
    grant = await claim(store)
    await append(store, grant, turns(3))
    await append(store, grant, [Snapshot(id="s1", state=replay(turns(3)).dump()), *turns(2, start=4)])
    state = replay(turns(5))
    await append(store, grant, [Snapshot(id="s2", state=state.dump()), *turns(1, start=6)])
    loaded = await store.load("chat/1")
    assert [record.id for record in loaded.records] == ["s2", "e6"]
    assert replay(loaded.entries()).dump() == replay(turns(6)).dump()
    assert [record.id for record in (await store.load("chat/1", after=7)).records] == ["e6"]
    thawed = await thaw(store, "chat/1", "b")
    assert thawed.state.dump() == replay(turns(6)).dump()
    assert (thawed.since_snapshot, thawed.cut, thawed.grant.last) == (1, 0, 8)


async def test_pruning_removes_only_what_a_snapshot_stands_for(store: ConversationStore) -> None:
    """Old entries before the newest snapshot go, at most of `limit` conversations a call; a thaw says the same."""
    grants = await store.claim(["a", "b", "c"], "me")
    for grant in grants[:2]:
        await append(store, grant, [*turns(4), Snapshot(id="s", at=5.0, state=replay(turns(4)).dump())])
        await append(store, grant, turns(1, start=5))
    await append(store, grants[2], turns(3))
    assert await store.prune(older_than=0.0) == 0
    assert await store.prune(older_than=2.5, limit=1) == 2
    assert await store.prune(older_than=2.5, limit=1) == 2
    assert await store.prune(older_than=2.5, limit=1) == 0
    assert await ids(store, "a") == ["e3", "e4", "s", "e5"]
    assert await store.prune(older_than=math.inf) == 4
    assert await ids(store, "a") == await ids(store, "b") == ["s", "e5"]
    assert await ids(store, "c") == ["e1", "e2", "e3"]
    assert (await thaw(store, "a", "me")).state.dump() == replay(turns(5)).dump()
    with pytest.raises(ValueError, match="limit"):
        await store.prune(older_than=0.0, limit=0)


async def test_a_damaged_snapshot_stands_for_nothing(place: Any) -> None:
    """Pruning leaves what a snapshot that is not whole would stand for."""
    async with place.store() as store:
        await append(store, await claim(store), [*turns(2), Snapshot(id="s", at=3.0, state=replay(turns(2)).dump())])
        await place.damage("chat/1", 3)
        assert await store.prune(older_than=math.inf) == 0
        assert (await store.load("chat/1")).entries() == turns(2)


async def test_deleting_is_for_good(store: ConversationStore) -> None:
    """Entries, timers and grants of a deleted conversation are gone; a new one of that name has a larger epoch."""
    grant = await claim(store)
    await append(store, grant, [*turns(2), TimerSet(timer_id="a", due=1.0)])
    assert await store.delete("chat/1")
    assert await store.list() == []
    assert await store.page("chat/1") == []
    assert await store.due_timers(math.inf) == []
    with pytest.raises(Fenced):
        await append(store, grant, turns(1))
    assert (await store.stats()).entries == 0
    again = await claim(store)
    assert (again.last, again.epoch > grant.epoch) == (0, True)
    with pytest.raises(Fenced):
        await append(store, grant, turns(1))
    assert await ids(store) == []


async def test_statistics_count(store: ConversationStore) -> None:
    """A store says how much it holds."""
    one, _ = await store.claim(["a", "b"], "me")
    await append(store, one, [*turns(3, size=100), TimerSet(timer_id="a", due=1.0)])
    stats = await store.stats()
    assert (stats.conversations, stats.entries, stats.timers) == (2, 4, 1)
    assert stats.size > 300


# --- damage ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("harm", ["damage", "lose"])
async def test_a_damaged_end_is_cut_and_reported(place: Any, harm: str) -> None:
    """What is damaged or missing at the end is left out, counted, and cut by a thaw; then the journal goes on."""
    async with place.store() as store:
        await append(store, await claim(store), [*turns(4), TimerSet(id="t", timer_id="a", due=1.0)])
        await getattr(place, harm)("chat/1", 4)
        await getattr(place, harm)("chat/1", 5)
        loaded = await store.load("chat/1")
        assert (loaded.entries(), loaded.last, loaded.damaged) == (turns(3), 5, 2)
        assert (await store.load("chat/1", after=3)).damaged == 2
        thawed = await thaw(store, "chat/1", "b")
        assert thawed.cut == 2
        assert thawed.state.dump() == replay(turns(3)).dump()
        await append(store, thawed.grant, turns(2, start=4))
        assert (await store.load("chat/1")).entries() == turns(5)


@pytest.mark.parametrize("harm", ["damage", "lose"])
async def test_damage_with_something_whole_behind_it_is_refused(place: Any, harm: str) -> None:
    """A hole is never skipped: neither a load nor a thaw nor a page goes past it, and other conversations are well."""
    async with place.store() as store:
        grants = await store.claim(["chat/1", "other"], "a")
        await store.append([Append.of(grant, turns(4)) for grant in grants])
        await getattr(place, harm)("chat/1", 2)
        with pytest.raises(CorruptJournal, match="entry 2 of conversation 'chat/1'") as caught:
            await store.load("chat/1")
        assert (caught.value.keys, caught.value.sequence, caught.value.retryable) == (("chat/1",), 2, False)
        with pytest.raises(CorruptJournal):
            await thaw(store, "chat/1", "b")
        with pytest.raises(CorruptJournal, match="entry 2"):
            await store.page("chat/1")
        with pytest.raises(CorruptJournal, match="entry 2"):
            async with aclosing(export_lines(store, "chat/1")) as lines:
                async for _ in lines:
                    pass
        assert (await store.load("chat/1", after=2)).entries() == turns(2, start=3)
        assert (await store.load("other")).entries() == turns(4)


async def test_a_conversation_that_is_damaged_altogether_is_not_taken_for_new(place: Any) -> None:
    """A journal without a whole entry is refused: a thaw never gives a blank conversation."""
    async with place.store() as store:
        await append(store, await claim(store), turns(1))
        await place.damage("chat/1", 1)
        with pytest.raises(CorruptJournal, match="nothing whole"):
            await thaw(store, "chat/1", "b")
        await place.lose("chat/1", 1)
        with pytest.raises(CorruptJournal, match="nothing whole"):
            await thaw(store, "chat/1", "b")


async def test_a_damaged_snapshot_at_the_end_is_cut_like_any_entry(place: Any) -> None:
    """Without the newest snapshot the entries before it are read; if they are pruned, the conversation is refused."""
    async with place.store() as store:
        grant = await claim(store)
        await append(store, grant, [*turns(2), Snapshot(id="s1", at=0.0, state=replay(turns(2)).dump())])
        await append(store, grant, [*turns(1, start=3), Snapshot(id="s2", at=9.0, state=replay(turns(3)).dump())])
        await place.damage("chat/1", 5)
        thawed = await thaw(store, "chat/1", "b")
        assert (thawed.cut, thawed.grant.last) == (1, 5)
        assert thawed.state.dump() == replay(turns(3)).dump()
        loaded = await store.load("chat/1")
        assert [record.id for record in loaded.records] == ["s1", "e3"]
        await store.prune(older_than=math.inf)
        await place.damage("chat/1", 3)
        with pytest.raises(CorruptJournal):
            await store.load("chat/1")


async def test_entries_that_do_not_fit_together_are_refused(store: ConversationStore) -> None:
    """A journal that is whole but follows what is not there cannot be thawed; the entry is named."""
    await append(store, await claim(store), [*turns(1), *turns(1, start=5)])
    with pytest.raises(CorruptJournal, match="'e4'") as caught:
        await thaw(store, "chat/1", "b")
    assert caught.value.sequence == 2


# --- transfer -------------------------------------------------------------------------------------


async def lines_of(store: ConversationStore, key: str) -> list[bytes]:
    """Return a whole export."""
    async with aclosing(export_lines(store, key)) as lines:
        return [line async for line in lines]


class Lines:
    """Lines as a reader of a file gives them."""

    def __init__(self, lines: list[bytes]) -> None:
        self._lines = iter(lines)

    def __aiter__(self) -> Lines:
        return self

    async def __anext__(self) -> bytes:
        for line in self._lines:
            return line
        raise StopAsyncIteration


async def test_an_export_comes_back_anywhere(store: ConversationStore) -> None:
    """An exported conversation is the same under another key, timers included, and after deletion under its own."""
    entries: list[Entry] = [*turns(450), TimerSet(id="t", at=0.0, timer_id="a", due=1.0)]
    await append(store, await claim(store), entries)
    lines = await lines_of(store, "chat/1")
    assert len(lines) == 452
    grant = await import_lines(store, Lines(lines), "b", key="copy")
    assert (grant.key, grant.owner) == ("copy", "b")
    assert (await store.load("copy")).entries() == entries
    assert len(await store.due_timers(math.inf)) == 2
    await store.delete("chat/1")
    await import_lines(store, Lines(lines), "b")
    await import_lines(store, Lines(lines), "b")
    assert (await store.load("chat/1")).entries() == entries
    assert await lines_of(store, "none") == []


async def test_a_pruned_conversation_can_be_exported(store: ConversationStore) -> None:
    """An export begins with the oldest entry there is; the copy says the same."""
    entries: list[Entry] = [*turns(3), Snapshot(id="s", state=replay(turns(3)).dump())]
    await append(store, await claim(store), entries)
    await store.prune(older_than=math.inf)
    await append(store, await claim(store), turns(1, start=4))
    await import_lines(store, Lines(await lines_of(store, "chat/1")), "b", key="copy")
    assert (await thaw(store, "copy", "b")).state.dump() == replay(turns(4)).dump()


async def test_what_is_no_whole_export_is_refused(store: ConversationStore) -> None:
    """Cut lines, other files, two exports in one, and a key that holds something else are all told."""
    await append(store, await claim(store), turns(3))
    lines = await lines_of(store, "chat/1")
    for wrong, told in (
        (lines[:-1], "3 entries, but 2 came"),
        (lines[1:], "begins with"),
        ([], "no lines"),
        (lines + lines, "second conversation"),
        ([*lines[:2], b'{"line":'], "cannot be read"),
        ([lines[0], *lines[2:]], "'e1', which is not there"),
    ):
        with pytest.raises(EntryRejected, match=told):
            await import_lines(store, Lines(wrong), "b", key="copy")
    theirs = await claim(store, "taken")
    await append(store, theirs, [TurnEnded(id="other", turn_id="t", status="success")])
    with pytest.raises(EntryRejected, match="begins otherwise"):
        await import_lines(store, Lines(lines), "b", key="taken")
    ended = TurnEnded(id="more", parent="other", turn_id="u", status="success")
    await append(store, theirs, [ended])  # it was not taken from whoever has it
    assert (await import_lines(store, Lines(lines), "b", key="copy")).last == 2
    assert await ids(store, "copy") == ["e1", "e2", "e3"]


# --- journals and cancellation --------------------------------------------------------------------


async def test_many_writers_share_few_transactions(store: ConversationStore) -> None:
    """A hundred conversations with ten appends each lose nothing, in order, in far fewer transactions."""
    grants = await store.claim([f"k{number:03}" for number in range(100)], "me")

    async with open_journal(store) as journal:

        async def write(grant: Grant) -> None:
            for number in range(1, 11):
                await journal.append(grant, turns(1, start=number))

        async with anyio.create_task_group() as tasks:
            for grant in grants:
                tasks.start_soon(write, grant)
        assert journal.stored == 1000
        assert journal.commits < 200
    for grant in grants[::20]:
        assert await ids(store, grant.key) == [f"e{number}" for number in range(1, 11)]


async def test_a_cancelled_append_is_whole_or_not_there(store: ConversationStore) -> None:
    """A caller that is cancelled at any moment can send the same again; nothing is lost or doubled."""
    grant = await claim(store)
    for number in range(1, 21):
        with anyio.move_on_after(number * 0.0001):
            await append(store, grant, turns(2, start=number * 2 - 1))
    stored = await ids(store)
    assert len(stored) == len(set(stored))
    assert len(stored) % 2 == 0
    for number in range(1, 21):
        await append(store, grant, turns(2, start=number * 2 - 1))
    assert sorted(await ids(store)) == sorted(f"e{number}" for number in range(1, 41))
