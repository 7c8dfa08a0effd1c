"""Actors that end while nobody needs them, and start again with the next message (rule 19)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.kernel.clocked import Clocked, clocked
from tinyllm_actors.kernel import (
    ActorSystem,
    ActorTerminated,
    ChildFailed,
    ChildRestarted,
    ExitKind,
    Lifecycle,
    Mailbox,
    Supervisor,
)

if TYPE_CHECKING:
    pass


pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

PATIENT = Supervisor(max_restarts=100, backoff=None)


async def test_rule_19_an_idle_actor_is_passivated_and_thawed_by_the_next_message() -> None:
    """Its incarnation ends in order; the reference stays; a message starts another and is handled by it."""
    async with ActorSystem() as system, system.events(ActorTerminated) as ends:
        life: list[str] = []
        spec = Clocked.spec(None, life).with_options(passivate_after=10.0)
        ref = await system.spawn(spec, name="clocked")
        await anyio.sleep(9.0)
        await Clocked.do(ref, lambda _: None)
        await anyio.sleep(9.0)
        assert ref.state is Lifecycle.RUNNING
        await anyio.sleep(2.0)
        assert ref.state is Lifecycle.PASSIVE
        assert ref.alive
        assert await Clocked.do(ref, lambda self: self.context.incarnation) == 2
        assert life == ["started 1", "stopped (passivated)", "started 2"]
        await anyio.sleep(11.0)
        assert ref.state is Lifecycle.PASSIVE
        assert ends.receive_nowait() is None


async def test_rule_19_a_passive_actor_keeps_the_order_of_messages_that_thaw_it() -> None:
    """All that come while it starts wait for it, in order."""
    async with ActorSystem() as system:
        ticks: list[tuple[float, str]] = []

        class Slow(Clocked):
            async def started(self) -> None:
                await anyio.sleep(1.0)

        ref = await system.spawn(Slow.spec(ticks).with_options(passivate_after=10.0))
        await anyio.sleep(12.0)
        for number in range(5):
            await ref.tell(str(number))
        await anyio.sleep(2.0)
        assert [message for _, message in ticks] == ["0", "1", "2", "3", "4"]


async def test_rule_19_own_timers_do_not_keep_an_actor_awake() -> None:
    """Only inbound messages do, also those that come while a tick is handled."""

    def begin(self: Clocked) -> None:
        self.context.send_after(3.0, "tick", every=3.0)

    async with ActorSystem() as system:
        ref, ticks = await clocked(system, begin, passivate_after=10.0)
        await anyio.sleep(9.5)
        assert ref.state is Lifecycle.RUNNING
        await anyio.sleep(1.0)
        assert ref.state is Lifecycle.PASSIVE
        assert [time for time, _ in ticks] == [3.0, 6.0, 9.0]

    class Slow(Clocked):
        async def receive(self, message: Any) -> Any:
            if message == "tick":
                await anyio.sleep(1.0)
            return await super().receive(message)

    async with ActorSystem() as system:
        start = anyio.current_time()
        ref = await system.spawn(Slow.spec().with_options(passivate_after=10.0))
        await Clocked.do(ref, begin)
        await anyio.sleep(6.5)  # in the middle of the second tick
        await ref.tell("from outside")
        await anyio.sleep(9.5)  # until 16, and it came to rest at 7
        assert ref.state is Lifecycle.RUNNING
        await anyio.sleep(2.0)
        assert ref.state is Lifecycle.PASSIVE
        assert anyio.current_time() - start == 18.0


async def test_rule_19_a_passive_actor_can_be_stopped() -> None:
    """It ends for good without being thawed."""
    async with ActorSystem() as system:
        life: list[str] = []
        ref = await system.spawn(Clocked.spec(None, life).with_options(passivate_after=10.0))
        await anyio.sleep(11.0)
        await ref.stop()
        assert life == ["started 1", "stopped (passivated)"]
        assert not ref.alive


async def test_rule_19_a_thaw_that_fails_is_a_failed_start() -> None:
    """It is reported, backed off and tried again; the message waits for the incarnation that starts."""
    async with ActorSystem(supervisor=PATIENT) as system, system.events(ChildFailed, ChildRestarted) as events:
        starts: list[float] = []

        class Fickle(Clocked):
            async def started(self) -> None:
                starts.append(anyio.current_time())
                if len(starts) == 2:
                    raise LookupError("broken")

        ref = await system.spawn(Fickle.spec().with_options(passivate_after=10.0))
        await anyio.sleep(11.0)
        assert await Clocked.do(ref, lambda self: self.context.incarnation) == 3
        failed = await events.receive()
        assert isinstance(failed.cause, LookupError)
        assert isinstance(await events.receive(), ChildRestarted)


async def test_rule_19_passivation_and_receive_timeout_go_together() -> None:
    """The receive time-out is the actor's own message, so it does not put passivation off."""
    async with ActorSystem() as system:
        ref, ticks = await clocked(
            system, lambda self: self.context.set_receive_timeout(4.0, "quiet"), passivate_after=10.0
        )
        await anyio.sleep(20.0)
        assert ref.state is Lifecycle.PASSIVE
        assert ticks == [(4.0, "quiet"), (8.0, "quiet")]


async def test_rule_19_passivation_works_with_a_priority_mailbox() -> None:
    """The actor falls asleep, and can be stopped then."""
    async with ActorSystem() as system:
        mailbox = Mailbox(priority=lambda _: 0.0)
        ref = await system.spawn(Clocked.spec().with_options(mailbox=mailbox, passivate_after=10.0))
        await anyio.sleep(11.0)
        assert ref.state is Lifecycle.PASSIVE
        assert (await ref.stop()).kind is ExitKind.STOPPED
