"""Priorities, time to live, the control lane, and dead letters (rules 2 and 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.kernel.desk import Desk, by_number
from tinyllm_actors.errors import ActorFailed, MailboxFull
from tinyllm_actors.kernel import (
    Actor,
    ActorSystem,
    Mailbox,
    Overflow,
    Supervisor,
    Terminated,
)
from tinyllm_actors.kernel.cell import WAITERS
from tinyllm_actors.kernel.envelope import Signal
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    pass


pytestmark = pytest.mark.anyio

PATIENT = Supervisor(max_restarts=100, backoff=None)


async def test_rule_2_urgent_messages_come_first() -> None:
    """By what `priority` returns; equals in the order of sending."""
    async with ActorSystem() as system:
        desk = await Desk.open(system, Mailbox(priority=by_number))
        for message in (5, "b", 1, "a", 3, 1):
            await desk.ref.tell(message)
        assert await desk.work() == [1, 1, 3, 5, "b", "a"]


async def test_rule_2_drop_oldest_drops_what_waited_longest_not_what_is_most_urgent() -> None:
    """And accounts for it."""
    discarded: list[Any] = []
    async with ActorSystem() as system:
        mailbox = Mailbox(
            capacity=3,
            overflow=Overflow.DROP_OLDEST,
            priority=by_number,
            on_discard=lambda message, reason: discarded.append((message, reason)),
        )
        desk = await Desk.open(system, mailbox)
        for message in (5, 1, 3, 2):
            await desk.ref.tell(message)
        assert await desk.work() == [1, 2, 3]
        assert discarded == [(5, "drop_oldest")]


async def test_rule_2_blocked_senders_enter_a_priority_mailbox() -> None:
    """In the order in which they came; inside, urgency counts."""
    async with ActorSystem() as system:
        desk = await Desk.open(system, Mailbox(capacity=1, priority=by_number))
        async with anyio.create_task_group() as tasks:
            await desk.ref.tell(9)
            for message in (5, 1, 3):
                tasks.start_soon(desk.ref.tell, message)
                await anyio.lowlevel.checkpoint()
            assert sorted(await desk.work()) == [1, 3, 5, 9]
        assert desk.seen[0] == 9


@pytest.mark.virtual_time
async def test_rule_2_tombstones_free_room_in_a_priority_mailbox() -> None:
    """An asker that left takes no place."""
    async with ActorSystem() as system:
        desk = await Desk.open(system, Mailbox(capacity=1, overflow=Overflow.REJECT, priority=by_number))
        with anyio.move_on_after(0.001):
            await desk.ref.ask(7)
        await desk.ref.tell(8)
        assert await desk.work() == [8]


async def test_rule_2_an_asker_that_leaves_lets_a_blocked_sender_in() -> None:
    """At once, though the handler holds its message for long."""
    async with ActorSystem() as system:
        desk = await Desk.open(system, Mailbox(capacity=1))
        async with anyio.create_task_group() as tasks:
            leaver = anyio.CancelScope()

            async def leave() -> None:
                with leaver:
                    await desk.ref.ask("leaves")

            tasks.start_soon(leave)
            while not desk.ref.cell.mailbox:
                await anyio.lowlevel.checkpoint()
            tasks.start_soon(desk.ref.tell, "blocked")
            while not desk.ref.cell.cold.waiters:
                await anyio.lowlevel.checkpoint()
            leaver.cancel()
        assert await desk.work() == ["blocked"]


@pytest.mark.virtual_time
async def test_rule_2_senders_that_gave_up_block_nobody() -> None:
    """When the last blocked sender is too late, and room comes, the next one does not wait."""
    async with ActorSystem() as system:
        desk = await Desk.open(system, Mailbox(capacity=1, block_timeout=5.0))
        await desk.ref.tell("first")
        with pytest.raises(MailboxFull):
            await desk.ref.tell("too late")
        assert not desk.ref.cell.attention & WAITERS
        assert await desk.work() == ["first"]


@pytest.mark.parametrize("priority", [None, by_number])
async def test_rule_2_the_control_lane_is_never_shed(priority: Any) -> None:
    """A full mailbox that drops its oldest keeps the messages of the kernel, and hands them out first."""
    async with ActorSystem() as system:
        mortal = await system.spawn(Puppet)
        seen: list[Any] = []
        gate, began = anyio.Event(), anyio.Event()

        class Watcher(Puppet):
            async def started(self) -> None:
                self.context.watch(mortal)

            async def receive(self, message: Any) -> Any:
                if callable(message):
                    return await super().receive(message)
                seen.append(message)

        async def hold(_: Watcher) -> None:
            began.set()
            await gate.wait()

        mailbox = Mailbox(capacity=2, overflow=Overflow.DROP_OLDEST, priority=priority)
        watcher = await system.spawn(Watcher.spec().with_options(mailbox=mailbox))
        await watcher.tell(hold)
        await began.wait()
        await mortal.stop()
        for number in range(5):
            await watcher.tell(number)
        gate.set()
        while len(seen) < 3:
            await anyio.lowlevel.checkpoint()
        assert isinstance(seen[0], Terminated)
        assert seen[1:] == [3, 4]
        assert [letter.message for letter in system.dead_letters] == [0, 1, 2]


async def test_rule_2_the_control_lane_in_the_mailbox_is_not_shed_either() -> None:
    """Once it waits among the others, dropping the oldest passes over it."""
    async with ActorSystem() as system:
        mailbox = Mailbox(capacity=1, overflow=Overflow.DROP_OLDEST)
        desk = await Desk.open(system, mailbox)
        cell = desk.ref.cell
        for number in range(2):
            cell.post_urgent(Signal(f"control {number}", cell))
        cell.admit()  # as between two messages, with the budget of the turn used up
        await desk.ref.tell("first")
        await desk.ref.tell("second")
        assert await desk.work() == ["control 0", "control 1", "second"]


async def test_rule_2_numbers_out_of_range_are_refused() -> None:
    """The wrong value is named."""
    for options in ({"capacity": 0}, {"ttl": 0.0}, {"block_timeout": -1.0}):
        (value,) = options.values()
        with pytest.raises(ValueError, match=f"not|got {value!r}"):
            Mailbox(**options)  # pyright: ignore[reportArgumentType]


async def test_a_failed_handler_does_not_lose_what_waits_in_special_queues() -> None:
    """A restart keeps priority and order."""
    async with ActorSystem(supervisor=PATIENT) as system:
        desk = await Desk.open(system, Mailbox(priority=by_number, ttl=100.0))
        for message in (5, "boom", 1, "late"):
            await desk.ref.tell(message)
        await desk.work()
        while len(desk.seen) < 3:
            await anyio.lowlevel.checkpoint()
        assert desk.seen == [1, 5, "late"]
        with pytest.raises(ActorFailed):
            await desk.ref.ask("boom")


@pytest.mark.virtual_time
async def test_rule_02_the_control_lane_keeps_its_order() -> None:
    """What the kernel sends while earlier messages of it wait comes after them."""
    seen: list[str] = []

    class Late(Actor):
        async def started(self) -> None:
            for name, delay in (("first", 1.0), ("second", 1.0), ("third", 3.0)):
                self.context.send_after(delay, name, name=name)

        async def receive(self, message: str) -> None:
            seen.append(message)
            if message == "first":
                await anyio.sleep(5.0)  # the second waits, and the third comes

    async with ActorSystem() as system:
        late = await system.spawn(Late)
        await anyio.sleep(2.0)
        await late.tell("told")
        await anyio.sleep(10.0)
    assert seen == ["first", "second", "third", "told"]
