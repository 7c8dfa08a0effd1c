"""Asks that were given up while they waited take up no room."""

from __future__ import annotations

import anyio
import pytest

from tinyllm_actors.errors import MailboxFull
from tinyllm_actors.kernel import Actor, ActorRef, ActorSystem, Mailbox, Overflow

pytestmark = pytest.mark.anyio


class Gate(Actor):
    """Waits with an event until it is set; notes all else."""

    def __init__(self, seen: list[object]) -> None:
        self.seen = seen

    async def receive(self, message: object) -> object:
        if isinstance(message, anyio.Event):
            await message.wait()
        else:
            self.seen.append(message)
        return message


async def give_up(ref: ActorRef, message: object) -> None:
    """Ask, and leave before the answer."""
    async with anyio.create_task_group() as group:

        async def ask() -> None:
            await ref.ask(message)

        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()


@pytest.mark.parametrize("overflow", [Overflow.REJECT, Overflow.BLOCK, Overflow.DROP_NEWEST])
async def test_an_ask_that_was_given_up_makes_room_in_a_full_mailbox(overflow: Overflow) -> None:
    """A full mailbox takes as many messages as asks in it were given up, under each policy, and then no more."""
    seen: list[object] = []
    opened = anyio.Event()
    async with ActorSystem() as system:
        mailbox = Mailbox(capacity=3, overflow=overflow)
        ref = await system.spawn(Gate.spec(seen).with_options(mailbox=mailbox))
        await ref.tell(opened)
        await anyio.wait_all_tasks_blocked()
        await ref.tell("first")
        await give_up(ref, "left")
        await give_up(ref, "left too")
        with anyio.fail_after(30):
            await ref.tell("second")
            await ref.tell("third")
        if overflow is Overflow.REJECT:
            with pytest.raises(MailboxFull):
                await ref.tell("fourth")
        else:
            assert not ref.tell_nowait("fourth")
        opened.set()
        await anyio.wait_all_tasks_blocked()
    assert seen == ["first", "second", "third"]


async def test_asks_given_up_between_two_messages_are_taken_out() -> None:
    """An ask given up before a message is handled has left the mailbox after it, so it does not fill it later."""
    seen: list[object] = []
    gates = [anyio.Event(), anyio.Event()]
    async with ActorSystem() as system:
        ref = await system.spawn(Gate.spec(seen).with_options(mailbox=Mailbox(capacity=3, overflow=Overflow.REJECT)))
        await ref.tell(gates[0])
        await anyio.wait_all_tasks_blocked()
        await ref.tell(gates[1])
        await give_up(ref, "left")
        await give_up(ref, "left too")
        gates[0].set()
        await anyio.wait_all_tasks_blocked()
        for message in ("first", "second", "third"):
            await ref.tell(message)
        gates[1].set()
        await anyio.wait_all_tasks_blocked()
    assert seen == ["first", "second", "third"]
