"""Messages that wait for too long (rule 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.kernel.desk import Desk, by_number
from tinyllm_actors.errors import MessageDiscarded
from tinyllm_actors.kernel import (
    ActorSystem,
    Mailbox,
    Overflow,
    Supervisor,
)
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    pass


pytestmark = pytest.mark.anyio

PATIENT = Supervisor(max_restarts=100, backoff=None)


@pytest.mark.virtual_time
@pytest.mark.parametrize("priority", [None, by_number])
async def test_rule_2_a_message_that_waited_too_long_is_discarded(priority: Any) -> None:
    """Asks fail, tells become dead letters, the hook is called; the young ones are handled."""
    discarded: list[Any] = []
    async with ActorSystem() as system:
        mailbox = Mailbox(
            ttl=10.0, priority=priority, on_discard=lambda message, reason: discarded.append((message, reason))
        )
        desk = await Desk.open(system, mailbox)
        await desk.ref.tell(1)
        ask = desk.ref.ask(2)
        await anyio.sleep(6.0)
        await desk.ref.tell(3)
        await anyio.sleep(6.0)
        assert await desk.work() == [3]
        with pytest.raises(MessageDiscarded, match="expired") as caught:
            await ask
        assert caught.value.message == 2
        assert discarded == [(1, "expired"), (2, "expired")]
        assert [(letter.message, letter.reason, letter.asked) for letter in system.dead_letters] == [
            (1, "expired", False),
            (2, "expired", True),
        ]


@pytest.mark.virtual_time
async def test_rule_2_an_expired_message_takes_no_room() -> None:
    """A full mailbox of expired messages takes new ones."""
    async with ActorSystem() as system:
        desk = await Desk.open(system, Mailbox(capacity=2, ttl=10.0, overflow=Overflow.REJECT))
        for message in (1, 2):
            await desk.ref.tell(message)
        await anyio.sleep(11.0)
        for message in (3, 4):
            await desk.ref.tell(message)
        assert await desk.work() == [3, 4]


@pytest.mark.virtual_time
async def test_rule_2_messages_of_the_control_lane_do_not_expire() -> None:
    """Nor do messages that are handled again."""
    async with ActorSystem(supervisor=PATIENT) as system:

        class Slow(Puppet):
            async def started(self) -> None:
                self.ticks: list[int] = []
                self.context.send_after(1.0, self.tick)

            def tick(self, _: Slow) -> None:
                self.ticks.append(self.context.incarnation)

        slow = await system.spawn(Slow.spec().with_options(mailbox=Mailbox(ttl=5.0)))
        await Puppet.do(slow, lambda _: anyio.sleep(20.0), timeout=None)
        assert await Slow.do(slow, lambda self: self.ticks) == [1]


@pytest.mark.virtual_time
async def test_rule_2_time_begins_when_there_is_room() -> None:
    """A sender that waited for room long ago does not bring an expired message."""
    async with ActorSystem() as system:
        desk = await Desk.open(system, Mailbox(capacity=1, ttl=10.0))
        await desk.ref.tell(1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(desk.ref.tell, 2)
            await anyio.sleep(11.0)
            assert await desk.work() == [2]
