"""Group commit: few transactions, each caller told the truth, nobody in the way of another."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tinyllm_actors.conversation import Entry, Grant, Journal, MemoryStore, TurnStarted, open_journal
from tinyllm_actors.errors import (
    EntryRejected,
    Fenced,
    OutcomeUnknown,
    StoreError,
    StoreFull,
    StoreUnavailable,
)

pytestmark = pytest.mark.anyio


def turn(number: int, *, size: int = 1) -> TurnStarted:
    """Return an entry that is the same each time."""
    return TurnStarted(id=f"e{number}", at=0.0, turn_id=f"t{number}", content="x" * size)


async def settle() -> None:
    """Let every other task come to its next wait."""
    for _ in range(20):
        await anyio.lowlevel.checkpoint()


class Callers:
    """Appends in tasks of their own, and what became of them."""

    def __init__(self, journal: Journal, tasks: Any) -> None:
        self._journal = journal
        self._tasks = tasks
        self.outcomes: dict[str, StoreError | str] = {}
        self.scopes: dict[str, anyio.CancelScope] = {}

    async def append(self, name: str, grant: Grant, *entries: Entry) -> None:
        """Start an append and let it come to its wait."""
        self._tasks.start_soon(self._append, name, grant, entries)
        await settle()

    async def _append(self, name: str, grant: Grant, entries: list[Entry]) -> None:
        with anyio.CancelScope() as self.scopes[name]:
            try:
                await self._journal.append(grant, entries)
                self.outcomes[name] = "stored"
            except StoreError as error:
                self.outcomes[name] = error

    def kinds(self) -> dict[str, str]:
        """Return the outcomes in words."""
        return {
            name: outcome if isinstance(outcome, str) else type(outcome).__name__
            for name, outcome in sorted(self.outcomes.items())
        }


async def ids(store: MemoryStore, key: str) -> list[str]:
    """Return the ids of what is stored."""
    return [record.id for record in await store.page(key, after=0)]


async def test_what_comes_during_a_commit_goes_into_the_next() -> None:
    """One append is written at once; all that come while it is being written share one transaction."""
    async with MemoryStore() as store, open_journal(store) as journal, anyio.create_task_group() as tasks:
        grants = await store.claim([f"k{number}" for number in range(20)], "me")
        callers = Callers(journal, tasks)
        gate = store.stall()
        await callers.append("first", grants[0], turn(0))
        for number, grant in enumerate(grants):
            await callers.append(f"{number:02}", grant, turn(1), turn(2))
        assert (journal.waiting, callers.outcomes) == (20, {})
        gate.set()
        await settle()
        assert set(callers.outcomes.values()) == {"stored"}
        assert (journal.commits, journal.stored, journal.waiting) == (2, 41, 0)
        assert await ids(store, "k0") == ["e0", "e1", "e2"]


async def test_transactions_are_bounded() -> None:
    """A transaction holds at most so many entries and bytes, or a single append that has more."""
    async with MemoryStore() as store, anyio.create_task_group() as tasks:
        grants = await store.claim(["a", "b", "c", "d"], "me")
        for limits, commits in (({"max_batch": 2}, 3), ({"max_batch_bytes": 300}, 4), ({}, 2)):
            async with open_journal(store, **limits) as journal:
                callers = Callers(journal, tasks)
                gate = store.stall()
                base = 10 * commits
                await callers.append("first", grants[0], turn(base))
                for number, grant in enumerate(grants[1:]):
                    size = [1, 1, 1000][number]
                    await callers.append(f"{number}", grant, turn(base + 1, size=size))
                gate.set()
                await settle()
                assert set(callers.outcomes.values()) == {"stored"}
                assert journal.commits == commits - (commits == 4)


async def test_callers_beyond_the_limit_wait() -> None:
    """At most `max_waiting` appends are held; the next one waits outside, and is stored in its turn."""
    async with MemoryStore() as store, anyio.create_task_group() as tasks:
        grants = await store.claim(["a", "b", "c"], "me")
        async with open_journal(store, max_waiting=2) as journal:
            callers = Callers(journal, tasks)
            gate = store.stall()
            for grant in grants:
                await callers.append(grant.key, grant, turn(1))
            assert journal.waiting == 1  # one is being written, one waits, one is outside
            gate.set()
            await settle()
            assert callers.kinds() == {"a": "stored", "b": "stored", "c": "stored"}


async def test_a_bad_entry_fails_alone() -> None:
    """An id with other content fails its own conversation; the others of the transaction are stored."""
    async with MemoryStore() as store, open_journal(store) as journal, anyio.create_task_group() as tasks:
        grants = await store.claim(["a", "b", "c"], "me")
        await journal.append(grants[1], [turn(1)])
        callers = Callers(journal, tasks)
        gate = store.stall()
        await callers.append("first", grants[0], turn(0))
        for grant in grants:
            await callers.append(grant.key, grant, turn(1, size=2))
        gate.set()
        await settle()
        assert callers.kinds() == {"a": "stored", "b": "EntryRejected", "c": "stored", "first": "stored"}
        error = callers.outcomes["b"]
        assert isinstance(error, EntryRejected)
        assert error.keys == ("b",)


async def test_a_lost_grant_fails_alone() -> None:
    """Those of a transaction that were claimed elsewhere are told, each of itself only; the others are stored."""
    async with MemoryStore() as store, open_journal(store) as journal, anyio.create_task_group() as tasks:
        grants = await store.claim(["a", "b", "c", "d"], "me")
        await store.claim(["b", "c"], "other")
        callers = Callers(journal, tasks)
        gate = store.stall()
        await callers.append("first", grants[0], turn(0))
        for grant in grants:
            await callers.append(grant.key, grant, turn(1))
        gate.set()
        await settle()
        assert callers.kinds() == {"a": "stored", "b": "Fenced", "c": "Fenced", "d": "stored", "first": "stored"}
        for key in ("b", "c"):
            error = callers.outcomes[key]
            assert isinstance(error, Fenced)
            assert error.keys == (key,)
            assert ("'b'" in str(error)) == (key == "b")


async def test_an_append_that_fails_takes_those_behind_it_along() -> None:
    """What follows an entry that is not there is not stored either; other conversations are."""
    async with MemoryStore() as store, open_journal(store, max_batch=2) as journal, anyio.create_task_group() as tasks:
        a, b = await store.claim(["a", "b"], "me")
        callers = Callers(journal, tasks)
        gate = store.stall()
        await callers.append("a0", a, turn(0))
        await callers.append("a1", a, turn(0, size=2), turn(1))
        await callers.append("a2", a, turn(2))
        await callers.append("b1", b, turn(1))
        gate.set()
        await settle()
        assert callers.kinds() == {"a0": "stored", "a1": "EntryRejected", "a2": "EntryRejected", "b1": "stored"}
        await callers.append("a3", a, turn(1), turn(2))
        assert await ids(store, "a") == ["e0", "e1", "e2"]


async def test_a_newer_grant_is_not_held_up_by_an_older() -> None:
    """Appends under a grant that was lost to a claim of our own fail; those under the new one are stored."""
    async with MemoryStore() as store, open_journal(store) as journal, anyio.create_task_group() as tasks:
        [old] = await store.claim(["a"], "me")
        [new] = await store.claim(["a"], "me")
        callers = Callers(journal, tasks)
        gate = store.stall()
        await callers.append("first", new, turn(0))
        await callers.append("old", old, turn(1))
        await callers.append("new", new, turn(2))
        gate.set()
        await settle()
        assert callers.kinds() == {"first": "stored", "new": "stored", "old": "Fenced"}
        assert await ids(store, "a") == ["e0", "e2"]


async def test_a_store_that_fails_fails_everybody_and_comes_back() -> None:
    """Each caller gets the error of the store, about its own conversation; the next append finds the store working."""
    async with MemoryStore() as store, open_journal(store) as journal, anyio.create_task_group() as tasks:
        grants = await store.claim(["a", "b"], "me")
        callers = Callers(journal, tasks)
        gate = store.stall()
        store.fail("append", StoreFull("no room"))
        store.fail("append", StoreFull("no room"))
        for grant in grants:
            await callers.append(grant.key, grant, turn(1))
        gate.set()
        await settle()
        assert callers.kinds() == {"a": "StoreFull", "b": "StoreFull"}
        errors = [callers.outcomes[key] for key in "ab"]
        assert [error.keys for error in errors if isinstance(error, StoreError)] == [("a",), ("b",)]
        assert all(isinstance(error, StoreFull) and error.retryable for error in errors)
        for grant in grants:
            await journal.append(grant, [turn(1)])
            assert await ids(store, grant.key) == ["e1"]


async def test_an_unknown_outcome_is_settled_by_sending_again() -> None:
    """Whether the store had committed before it broke off or not, the second append leaves one of each entry."""
    async with MemoryStore() as store, open_journal(store) as journal:
        for key, committed in (("a", True), ("b", False)):
            [grant] = await store.claim([key], "me")
            store.fail("append", OutcomeUnknown("cut"), after=committed)
            with pytest.raises(OutcomeUnknown):
                await journal.append(grant, [turn(1), turn(2)])
            assert len(await ids(store, key)) == (2 if committed else 0)
            [again] = await store.claim([key], "me")
            await journal.append(again, [turn(1), turn(2)])
            assert await ids(store, key) == ["e1", "e2"]


async def test_a_cancelled_caller_takes_back_what_is_not_being_written() -> None:
    """Of two cancelled appends the one that waits is not stored; the one in flight is, and neither caller waits."""
    async with MemoryStore() as store, open_journal(store) as journal, anyio.create_task_group() as tasks:
        a, b = await store.claim(["a", "b"], "me")
        callers = Callers(journal, tasks)
        gate = store.stall()
        await callers.append("flying", a, turn(1))
        await callers.append("waiting", b, turn(1))
        for scope in callers.scopes.values():
            scope.cancel()
        await settle()
        assert journal.waiting == 0
        assert all(scope.cancelled_caught for scope in callers.scopes.values())
        gate.set()
        await journal.append(a, [turn(2)])
        assert (await ids(store, "a"), await ids(store, "b")) == (["e1", "e2"], [])


async def test_leaving_the_block_stores_what_waits() -> None:
    """An append that was asked for before the end is stored; one that comes after it is refused."""
    async with MemoryStore() as store, anyio.create_task_group() as tasks:
        [grant] = await store.claim(["a"], "me")
        async with open_journal(store) as journal:
            callers = Callers(journal, tasks)
            gate = store.stall()
            await callers.append("one", grant, turn(1))
            await callers.append("two", grant, turn(2))
            tasks.start_soon(_later, gate)
        await settle()
        assert callers.kinds() == {"one": "stored", "two": "stored"}
        with pytest.raises(StoreUnavailable, match="closed") as caught:
            await journal.append(grant, [turn(3)])
        assert not caught.value.retryable


async def _later(gate: anyio.Event) -> None:
    await settle()
    gate.set()


async def test_nobody_waits_for_a_writer_that_was_stopped() -> None:
    """If the block is cancelled, what is in flight has an unknown outcome, what waits was not stored; all are told."""
    async with MemoryStore() as store, anyio.create_task_group() as tasks:
        a, b = await store.claim(["a", "b"], "me")
        gate = store.stall()
        journal = Journal(store, max_batch=1)
        callers = Callers(journal, tasks)
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as writers:
                writers.start_soon(journal.run)
                await callers.append("flying", a, turn(1))
                await callers.append("waiting", b, turn(1))
                scope.cancel()
                await anyio.sleep_forever()
        await settle()
        assert callers.kinds() == {"flying": "OutcomeUnknown", "waiting": "StoreUnavailable"}
        gate.set()


async def test_a_fault_of_the_store_itself_is_not_hidden() -> None:
    """An exception that no store should raise ends the writer where everybody sees it, and its callers are told."""
    async with MemoryStore() as store:
        [grant] = await store.claim(["a"], "me")
        store.fail("append", ZeroDivisionError("a bug"))
        told: list[BaseException] = []
        with pytest.raises(ExceptionGroup) as caught:
            async with open_journal(store) as journal:
                with anyio.CancelScope(shield=True):
                    try:
                        await journal.append(grant, [turn(1)])
                    except StoreUnavailable as error:
                        told.append(error)
        assert caught.group_contains(ZeroDivisionError)
        assert "ZeroDivisionError" in str(told[0])


async def test_an_entry_that_cannot_be_written_reaches_nobody_else() -> None:
    """What JSON cannot hold fails before it is queued; nothing at all is stored at once."""
    async with MemoryStore() as store, open_journal(store) as journal:
        [grant] = await store.claim(["a"], "me")
        with pytest.raises(EntryRejected):
            await journal.append(grant, [TurnStarted(turn_id="t", content="\ud800")])
        await journal.append(grant, [])
        assert journal.stored == 0


@pytest.mark.parametrize(
    "limits", [{"max_batch": 0}, {"max_batch_bytes": 0}, {"max_waiting": 0}, {"delay": -1.0}, {"delay": float("nan")}]
)
async def test_limits_without_a_meaning_are_refused(limits: dict[str, Any]) -> None:
    """A limit below 1 or a delay below 0 is a mistake of the caller."""
    with pytest.raises(ValueError, match="max_batch"):
        Journal(MemoryStore(), **limits)


@pytest.mark.virtual_time
async def test_a_delay_waits_for_company() -> None:
    """With a delay the first append waits that long, and those that come meanwhile share its transaction."""
    async with MemoryStore() as store, open_journal(store, delay=0.5) as journal:
        grants = await store.claim(["a", "b"], "me")

        async def late() -> None:
            await anyio.sleep(0.3)
            await journal.append(grants[1], [turn(1)])

        start = anyio.current_time()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(late)
            await journal.append(grants[0], [turn(1)])
        assert anyio.current_time() - start == pytest.approx(0.5)
        assert journal.commits == 1
