"""Rule 2: two lanes; bounded mailboxes; each overflow policy does what it says, and nothing is dropped silently."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from tinyllm_actors.errors import MailboxFull, MessageDiscarded
from tinyllm_actors.kernel import Actor, ActorSystem, DeadLetter, Mailbox, Overflow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Settled = Callable[[], Awaitable[None]]

pytestmark = pytest.mark.anyio


class Slow(Actor):
    """Holds on to each message until the gate is open."""

    def __init__(self) -> None:
        self.entered = anyio.Event()
        self.gate = anyio.Event()
        self.got: list[Any] = []

    async def receive(self, message: Any) -> Any:
        self.entered.set()
        await self.gate.wait()
        self.got.append(message)
        return message


async def _fill(system: ActorSystem, **mailbox: Any) -> tuple[Any, Slow]:
    """Return an actor that works on `0`, and whose mailbox is full with `1` and `2`."""
    ref = await system.spawn(Slow.spec().with_options(mailbox=Mailbox(capacity=2, **mailbox)))
    actor = ref.cell.actor
    await ref.tell(0)
    await actor.entered.wait()
    await ref.tell(1)
    await ref.tell(2)
    return ref, actor


async def _handled(actor: Slow) -> list[Any]:
    """Open the gate and return what was handled once nothing is left."""
    actor.gate.set()
    for _ in range(50):
        await anyio.lowlevel.checkpoint()
    return actor.got


async def test_rule_02_mailboxes_are_bounded_by_default() -> None:
    """An actor whose spec says nothing about it takes 1,000 messages and no more."""
    async with ActorSystem() as system:
        ref = await system.spawn(Slow)
        actor = ref.cell.actor
        await ref.tell(0)
        await actor.entered.wait()
        assert sum(ref.tell_nowait(number) for number in range(1100)) == 1000
        actor.gate.set()


async def test_rule_02_a_mailbox_without_bound_takes_all() -> None:
    """`capacity=None` never blocks and never refuses."""
    async with ActorSystem() as system:
        ref = await system.spawn(Slow.spec().with_options(mailbox=Mailbox(capacity=None)))
        assert all(ref.tell_nowait(number) for number in range(5000))
        ref.cell.actor.gate.set()
        assert await ref.ask("last") == "last"


async def test_rule_02_block_makes_askers_and_tellers_wait(settled: Settled) -> None:
    """`BLOCK`: nobody is refused, and all are served in the order in which they came."""
    async with ActorSystem() as system, anyio.create_task_group() as group:
        ref, actor = await _fill(system)

        async def ask() -> None:
            assert await ref.ask(4) == 4

        for send in (lambda: ref.tell(3), ask, lambda: ref.tell(5)):
            group.start_soon(send)
            await settled()
        actor.gate.set()
        assert await ref.ask(6) == 6
        assert actor.got == [0, 1, 2, 3, 4, 5, 6]


async def test_rule_02_reject_tells_the_sender() -> None:
    """`REJECT`: tell and ask raise `MailboxFull` with the message, and the mailbox is as it was."""
    async with ActorSystem() as system:
        ref, actor = await _fill(system, overflow=Overflow.REJECT)
        with pytest.raises(MailboxFull, match=r"2 messages") as caught:
            await ref.tell(3)
        assert caught.value.message == 3
        with pytest.raises(MailboxFull) as caught:
            await ref.ask(4)
        assert (caught.value.message, caught.value.capacity, caught.value.path) == (4, 2, ref.path)
        assert await _handled(actor) == [0, 1, 2]


async def test_rule_02_drop_newest_discards_what_comes() -> None:
    """`DROP_NEWEST`: the message that comes is discarded, with a hook, a dead letter, and a failure for an asker."""
    discarded: list[tuple[object, str]] = []

    def note(message: object, reason: str) -> None:
        discarded.append((message, reason))

    async with ActorSystem() as system, system.events(DeadLetter) as letters:
        ref, actor = await _fill(system, overflow=Overflow.DROP_NEWEST, on_discard=note)
        await ref.tell(3)
        with pytest.raises(MessageDiscarded, match="drop_newest") as caught:
            await ref.ask(4)
        assert caught.value.message == 4
        assert discarded == [(3, "drop_newest"), (4, "drop_newest")]
        for expected in (3, 4):
            letter = await letters.receive()
            assert (letter.message, letter.reason, letter.path) == (expected, "drop_newest", ref.path)
        assert await _handled(actor) == [0, 1, 2]


async def test_rule_02_drop_oldest_makes_room() -> None:
    """`DROP_OLDEST`: who waited longest makes room, and its asker is told."""
    discarded: list[tuple[object, str]] = []

    def note(message: object, reason: str) -> None:
        discarded.append((message, reason))

    async with ActorSystem() as system, anyio.create_task_group() as group:
        ref, actor = await _fill(system, overflow=Overflow.DROP_OLDEST, on_discard=note)
        asked = ref.ask("asked")  # drops 1
        await ref.tell(3)  # drops 2
        await ref.tell(4)  # drops the ask

        async def told() -> None:
            with pytest.raises(MessageDiscarded, match="drop_oldest"):
                await asked

        group.start_soon(told)
        assert discarded == [(1, "drop_oldest"), (2, "drop_oldest"), ("asked", "drop_oldest")]
        assert [letter.message for letter in system.dead_letters] == [1, 2, "asked"]
        assert await _handled(actor) == [0, 3, 4]


async def test_rule_02_a_hook_that_fails_harms_neither_side() -> None:
    """An `on_discard` that raises does not reach the sender, nor the actor."""

    def broken(message: object, reason: str) -> None:
        raise RuntimeError(message)

    async with ActorSystem() as system:
        ref, actor = await _fill(system, overflow=Overflow.DROP_NEWEST, on_discard=broken)
        await ref.tell(3)
        assert ref.cell.incarnation == 1
        assert await _handled(actor) == [0, 1, 2]


@pytest.mark.parametrize("overflow", list(Overflow))
async def test_rule_02_the_control_lane_is_never_shed(overflow: Overflow, settled: Settled) -> None:
    """Timers and results of an actor's own tasks get through a full mailbox, before what waits there."""

    class Own(Slow):
        async def receive(self, message: Any) -> Any:
            if message == 0:
                self.context.send_after(0.0, "timer")
                self.context.pipe_to_self(self._result, on_result=str)
            return await super().receive(message)

        async def _result(self) -> str:
            return "result"

    async with ActorSystem() as system:
        ref = await system.spawn(Own.spec().with_options(mailbox=Mailbox(capacity=2, overflow=overflow)))
        actor = ref.cell.actor
        await ref.tell(0)
        await actor.entered.wait()
        await ref.tell(1)
        await ref.tell(2)
        while len(ref.cell.cold.urgent) < 2:
            await anyio.lowlevel.checkpoint()
        if overflow in {Overflow.DROP_OLDEST, Overflow.DROP_NEWEST}:
            for number in range(3, 20):
                await ref.tell(number)
        await settled()
        handled = await _handled(actor)
        assert handled[0] == 0
        assert set(handled[1:3]) == {"timer", "result"}
        assert len(handled) == 5


async def test_rule_02_stop_and_kill_are_ahead_of_all_messages(settled: Settled) -> None:
    """A stop takes effect after the message in processing, a kill during it, however much waits."""
    for end in ("stop", "kill"):
        async with ActorSystem() as system:
            ref = await system.spawn(Slow)
            actor = ref.cell.actor
            for number in range(500):
                await ref.tell(number)
            await actor.entered.wait()
            async with anyio.create_task_group() as group:
                group.start_soon(getattr(ref, end))
                await settled()
                actor.gate.set()
            assert actor.got == ([0] if end == "stop" else [])
            assert len(system.dead_letters) == 499
