"""Room in mailboxes: who waits for it, who gives up waiting, and who counts as busy."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from tinyllm_actors.errors import (
    MailboxFull,
)
from tinyllm_actors.kernel import (
    Actor,
    ActorSystem,
    Broadcast,
    LeastBusy,
    Mailbox,
    Pool,
    Supervisor,
)

if TYPE_CHECKING:
    pass
pytestmark = pytest.mark.anyio

PATIENT = Supervisor(max_restarts=100, backoff=None)


async def test_a_priority_that_fails_is_the_business_of_whoever_sent_the_message() -> None:
    """One that waits for room gets the error, as one does that need not wait; the actor goes on."""
    gate = anyio.Event()

    class Slow(Actor):
        async def receive(self, message: dict[str, float]) -> float:
            await gate.wait()
            return message["urgency"]

    mailbox = Mailbox(capacity=1, priority=lambda message: message["urgency"])
    async with ActorSystem() as system:
        slow = await system.spawn(Slow.spec().with_options(mailbox=mailbox))
        asks = [slow.ask({"urgency": number}) for number in range(2)]
        failures: list[BaseException] = []

        async def send() -> None:
            try:
                await slow.tell({})
            except KeyError as error:
                failures.append(error)

        ask = slow.ask({})
        async with anyio.create_task_group() as group:
            group.start_soon(send)
            await anyio.wait_all_tasks_blocked()
            gate.set()
        assert [await one for one in asks] == [0, 1]
        with pytest.raises(KeyError):
            await ask
        assert len(failures) == 1


@pytest.mark.virtual_time
async def test_a_broadcast_waits_for_room_at_each_member() -> None:
    """One that is full refuses after its time, which the sender is told when all others have theirs."""
    gate = anyio.Event()

    class Slow(Actor):
        async def receive(self, message: int) -> None:
            await gate.wait()

    for overflow in ("reject", "block"):
        gate = anyio.Event()
        mailbox = Mailbox(capacity=1, overflow=overflow, block_timeout=0.01)  # pyright: ignore[reportArgumentType]
        async with ActorSystem(supervisor=PATIENT) as system:
            pool = await system.spawn(Pool.spec(Slow.spec().with_options(mailbox=mailbox), 2, Broadcast()))
            await pool.tell(1)
            await anyio.wait_all_tasks_blocked()
            await pool.tell(2)
            with pytest.raises(MailboxFull):
                await pool.tell(3)
            assert not pool.tell_nowait(4)
            gate.set()


async def test_the_least_busy_member_counts_who_waits_for_room() -> None:
    """A sender that is blocked at a full mailbox is work to come."""
    gate = anyio.Event()
    served: list[str] = []

    class Slow(Actor):
        async def receive(self, message: int) -> None:
            served.append(self.context.name)
            await gate.wait()

    async with ActorSystem() as system:
        spec = Slow.spec().with_options(mailbox=Mailbox(capacity=1))
        pool = await system.spawn(Pool.spec(spec, 2, LeastBusy()))
        asks = [pool.ask(number) for number in range(8)]
        await anyio.wait_all_tasks_blocked()
        gate.set()
        for ask in asks:
            await ask
        assert served.count("1") == served.count("2") == 4


@pytest.mark.virtual_time
async def test_a_broadcast_that_is_cancelled_takes_its_messages_back() -> None:
    """Those that still wait for room are not sent."""
    gate = anyio.Event()
    seen: list[int] = []

    class Slow(Actor):
        async def receive(self, message: int) -> None:
            await gate.wait()
            seen.append(message)

    async with ActorSystem() as system:
        spec = Slow.spec().with_options(mailbox=Mailbox(capacity=1))
        pool = await system.spawn(Pool.spec(spec, 2, Broadcast()))
        await pool.tell(1)
        await anyio.wait_all_tasks_blocked()
        await pool.tell(2)
        with anyio.move_on_after(0.01):
            await pool.tell(3)
        gate.set()
        await pool.ask(4)
        assert sorted(seen) == [1, 1, 2, 2, 4, 4]
