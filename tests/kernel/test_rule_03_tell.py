"""Rule 3: `tell` waits for room; `tell_nowait` answers at once and never harms its sender."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import MailboxFull
from tinyllm_actors.kernel import Actor, ActorSystem, DeadLetter, Mailbox, Overflow

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Settled = Callable[[], Awaitable[None]]

pytestmark = pytest.mark.anyio


class Slow(Actor):
    """Holds on to each message until it is let go."""

    def __init__(self) -> None:
        self.entered = anyio.Event()
        self.gate = anyio.Semaphore(0)
        self.got: list[Any] = []

    async def receive(self, message: Any) -> Any:
        self.entered.set()
        await self.gate.acquire()
        self.got.append(message)
        return message


def _slow(**mailbox: Any) -> Any:
    return Slow.spec().with_options(mailbox=Mailbox(**mailbox))


async def _fill(system: ActorSystem, **mailbox: Any) -> tuple[Any, Slow]:
    """Return an actor that works on `"in work"`, and whose mailbox of two is full."""
    ref = await system.spawn(_slow(capacity=2, **mailbox))
    actor = ref.cell.actor
    await ref.tell("in work")
    await actor.entered.wait()
    await ref.tell(1)
    await ref.tell(2)
    return ref, actor


async def test_rule_03_tell_waits_for_room(settled: Settled) -> None:
    """A sender to a full mailbox goes on as soon as a message has left it, and its message is last."""
    async with ActorSystem() as system, anyio.create_task_group() as group:
        ref, actor = await _fill(system)
        sent = anyio.Event()

        async def send() -> None:
            await ref.tell(3)
            sent.set()

        group.start_soon(send)
        await settled()
        assert not sent.is_set()
        actor.gate.release()
        await sent.wait()
        assert actor.got == ["in work"]  # 1 has left the mailbox and is in work: that is when there is room
        for _ in range(4):
            actor.gate.release()
        assert await ref.ask(4) == 4
        assert actor.got == ["in work", 1, 2, 3, 4]


async def test_rule_03_a_sender_that_leaves_while_it_waits_has_sent_nothing(settled: Settled) -> None:
    """Cancelling a blocked tell takes the message back, and the next in line is not held up."""
    async with ActorSystem() as system, anyio.create_task_group() as group:
        ref, actor = await _fill(system)
        left = anyio.Event()

        async def leave() -> None:
            with anyio.CancelScope() as scope:
                group.start_soon(_cancel, scope)
                await ref.tell("never")
            assert scope.cancelled_caught
            left.set()

        async def _cancel(scope: anyio.CancelScope) -> None:
            await settled()
            scope.cancel()

        group.start_soon(leave)
        await left.wait()
        group.start_soon(ref.tell, 3)
        await settled()
        for _ in range(5):
            actor.gate.release()
        assert await ref.ask(4) == 4
        assert actor.got == ["in work", 1, 2, 3, 4]


@pytest.mark.virtual_time
async def test_rule_03_a_sender_waits_no_longer_than_its_mailbox_says() -> None:
    """With `block_timeout` a blocked tell ends in `MailboxFull`, exactly then, and the message is not sent."""
    async with ActorSystem() as system:
        ref, actor = await _fill(system, block_timeout=3.0)
        with pytest.raises(MailboxFull, match="full") as caught:
            await ref.tell("never")
        assert anyio.current_time() == 3
        assert caught.value.message == "never"
        assert caught.value.capacity == 2
        for _ in range(4):
            actor.gate.release()
        await ref.ask("last")
        assert "never" not in actor.got


async def test_rule_03_a_blocked_sender_is_let_go_when_the_receiver_stops(settled: Settled) -> None:
    """A tell that waits for room in an actor that is being stopped returns, and is a dead letter."""
    async with ActorSystem() as system:
        async with anyio.create_task_group() as group:
            ref, actor = await _fill(system)
            group.start_soon(ref.tell, "left over")
            await settled()
            group.start_soon(ref.stop)
            await settled()
            actor.gate.release()
        letters = [(letter.message, letter.reason) for letter in system.dead_letters]
        assert letters == [(1, "stopped"), (2, "stopped"), ("left over", "stopped")]


async def test_rule_03_an_actor_blocked_on_one_that_stops_goes_on() -> None:
    """The same between two actors: the sender's handler goes on with its next line."""

    class Sender(Actor):
        async def receive(self, message: Any) -> str:
            sending.set()
            await message.tell("left over")
            return "went on"

    sending = anyio.Event()
    async with ActorSystem() as system, anyio.create_task_group() as group:
        ref, _ = await _fill(system)
        sender = await system.spawn(Sender)

        async def ask() -> None:
            assert await sender.ask(ref) == "went on"

        group.start_soon(ask)
        await sending.wait()
        await ref.kill()


async def test_rule_03_tell_nowait_says_whether_there_was_room() -> None:
    """It returns True for a message that is in the mailbox, and False for one that is not."""
    async with ActorSystem() as system:
        ref = await system.spawn(_slow(capacity=2))
        actor = ref.cell.actor
        assert ref.tell_nowait("in work")
        await actor.entered.wait()
        assert [ref.tell_nowait(number) for number in range(3)] == [True, True, False]
        for _ in range(4):
            actor.gate.release()
        await ref.ask("last")
        assert actor.got == ["in work", 0, 1, "last"]


@pytest.mark.parametrize("overflow", list(Overflow))
async def test_rule_03_tell_nowait_never_raises(overflow: Overflow, settled: Settled) -> None:
    """Whatever the policy, to a full mailbox, a suspended, a stopping and a stopped actor, it just answers."""

    def complain(message: object, reason: str) -> None:
        raise RuntimeError(f"{message} {reason}")

    async with ActorSystem() as system, system.events(DeadLetter) as letters:
        ref, actor = await _fill(system, overflow=overflow, on_discard=complain)
        assert ref.tell_nowait(3) is (overflow is Overflow.DROP_OLDEST)
        system.care.suspend(ref.cell)
        assert ref.tell_nowait(4) is (overflow is Overflow.DROP_OLDEST)
        async with anyio.create_task_group() as group:
            group.start_soon(ref.stop)
            await settled()
            assert ref.tell_nowait(5) is False
            actor.gate.release()
        assert ref.tell_nowait(6) is False
        seen = {(await letters.receive()).message for _ in range(len(system.dead_letters))}
        assert seen >= {5, 6}


async def _give_up(ask: Awaitable[Any]) -> None:
    with anyio.CancelScope() as scope:
        scope.cancel()
        await ask
    assert scope.cancelled_caught


async def test_rule_03_tombstones_do_not_take_room() -> None:
    """Asks that were given up make room at once."""
    async with ActorSystem() as system:
        ref = await system.spawn(_slow(capacity=2))
        actor = ref.cell.actor
        await ref.tell("in work")
        await actor.entered.wait()
        for ask in [ref.ask("given up"), ref.ask("given up")]:
            await _give_up(ask)
        assert ref.tell_nowait("a")
        assert ref.tell_nowait("b")
        assert not ref.tell_nowait("c")
        for _ in range(4):
            actor.gate.release()
        await ref.ask("last")
        assert actor.got == ["in work", "a", "b", "last"]


async def test_rule_03_a_mailbox_of_tombstones_lets_blocked_senders_in(settled: Settled) -> None:
    """When all that was before a blocked sender is given up, the sender is not forgotten."""
    async with ActorSystem() as system, anyio.create_task_group() as group:
        ref = await system.spawn(_slow(capacity=1))
        actor = ref.cell.actor
        await ref.tell("in work")
        await actor.entered.wait()
        ask = ref.ask("given up")
        group.start_soon(ref.tell, "blocked")
        await settled()
        await _give_up(ask)
        actor.gate.release()
        actor.gate.release()
        await settled()
        assert actor.got == ["in work", "blocked"]


def test_rule_03_mailboxes_out_of_range_are_refused() -> None:
    """A mailbox that cannot work is refused where it is written, with the value."""
    for options, value in (({"capacity": 0}, "0"), ({"block_timeout": -1.0}, "-1.0"), ({"ttl": 0.0}, "0.0")):
        with pytest.raises(ValueError, match=value):
            Mailbox(**options)  # pyright: ignore[reportArgumentType] - one of several fields
