"""Timers, receive time-out, passivation, owned tasks (rules 13 and 19)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.kernel.clocked import Clocked, clocked
from tinyllm_actors.errors import ActorFailed
from tinyllm_actors.kernel import (
    ActorSystem,
    Supervisor,
)
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    pass


pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

PATIENT = Supervisor(max_restarts=100, backoff=None)


async def test_rule_19_a_timer_fires_once() -> None:
    """After its delay, and is forgotten then."""
    async with ActorSystem() as system:
        ref, ticks = await clocked(system, lambda self: self.context.send_after(5.0, "tick"))
        await anyio.sleep(60.0)
        assert ticks == [(5.0, "tick")]
        assert await Clocked.do(ref, lambda self: self.context.cancel_timer()) is False
        assert not ref.cell.cold.timers


async def test_rule_19_a_periodic_timer_keeps_its_grid() -> None:
    """It fires at delay, delay + every …; what a slow handler missed is skipped, not made up for."""
    async with ActorSystem() as system:
        ref, ticks = await clocked(system, lambda self: self.context.send_after(1.0, "tick", every=2.0))
        await anyio.sleep(5.5)
        assert [time for time, _ in ticks] == [1.0, 3.0, 5.0]
        await Clocked.do(ref, lambda _: anyio.sleep(5.0), timeout=None)  # until 10.5, over 7 and 9
        await anyio.sleep(1.0)
        assert [time for time, _ in ticks] == [1.0, 3.0, 5.0, 10.5, 11.0]
        assert await Clocked.do(ref, lambda self: self.context.cancel_timer()) is True
        await anyio.sleep(10.0)
        assert len(ticks) == 5


async def test_rule_19_timers_have_names() -> None:
    """One of the same name is replaced, another one is not."""

    def begin(self: Clocked) -> None:
        self.context.send_after(1.0, "first")
        self.context.send_after(2.0, "second")
        self.context.send_after(3.0, "third", name="other")

    async with ActorSystem() as system:
        _, ticks = await clocked(system, begin)
        await anyio.sleep(10.0)
        assert ticks == [(2.0, "second"), (3.0, "third")]


async def test_rule_19_a_cancelled_timer_is_silent_even_if_it_has_fired() -> None:
    """A tick that waits behind the message that cancels the timer does not come."""

    async def late(self: Clocked) -> bool:
        await anyio.sleep(5.0)
        return self.context.cancel_timer()

    async with ActorSystem() as system:
        ref, ticks = await clocked(system, lambda self: self.context.send_after(1.0, "tick"))
        assert await Clocked.do(ref, late, timeout=None) is True
        await anyio.sleep(5.0)
        assert ticks == []


async def test_rule_19_a_tick_may_cancel_or_replace_its_own_timer() -> None:
    """The tick that is being handled is handled to its end."""

    class Own(Clocked):
        async def receive(self, message: Any) -> Any:
            if message == "tick":
                self.context.cancel_timer()
                await anyio.sleep(1.0)
                if not self.ticks:
                    self.context.send_after(1.0, "tick")
            return await super().receive(message)

    async with ActorSystem() as system:
        ticks: list[tuple[float, str]] = []
        own = await system.spawn(Own, ticks)
        await Clocked.do(own, lambda self: self.context.send_after(1.0, "tick", every=10.0))
        await anyio.sleep(60.0)
        assert ticks == [(2.0, "tick"), (4.0, "tick")]


async def test_rule_13_timers_of_an_old_incarnation_are_dropped() -> None:
    """Those that are set, and a tick that waits in the mailbox when the actor fails."""

    async def fail_late(_: Clocked) -> None:
        await anyio.sleep(5.0)
        raise LookupError("broken")

    async with ActorSystem(supervisor=PATIENT) as system:

        def begin(self: Clocked) -> None:
            self.context.send_after(1.0, "waiting")
            self.context.send_after(20.0, "set", name="other")

        ref, ticks = await clocked(system, begin)
        with pytest.raises(ActorFailed):
            await Clocked.do(ref, fail_late, timeout=None)
        await anyio.sleep(60.0)
        assert ticks == []


async def test_rule_19_nonsense_delays_are_refused() -> None:
    """The wrong values are named."""
    async with ActorSystem(supervisor=PATIENT) as system:
        ref, _ = await clocked(system, lambda _: None)
        with pytest.raises(ActorFailed, match=r"delay=-1"):
            await Clocked.do(ref, lambda self: self.context.send_after(-1, "?"))
        with pytest.raises(ActorFailed, match=r"every=0"):
            await Clocked.do(ref, lambda self: self.context.send_after(1, "?", every=0))
        with pytest.raises(ActorFailed, match=r"not 0"):
            await Clocked.do(ref, lambda self: self.context.set_receive_timeout(0, "?"))


async def test_rule_19_a_receive_timeout_comes_whenever_no_message_did() -> None:
    """Again and again while it is quiet; a message starts the wait anew."""
    async with ActorSystem() as system:
        ref, ticks = await clocked(system, lambda self: self.context.set_receive_timeout(10.0, "quiet"))
        await anyio.sleep(25.0)
        assert ticks == [(10.0, "quiet"), (20.0, "quiet")]
        await ref.tell("hello")
        await anyio.sleep(9.0)
        await ref.tell("hello")
        await anyio.sleep(11.0)
        assert ticks[2:] == [(25.0, "hello"), (34.0, "hello"), (44.0, "quiet")]


async def test_rule_19_a_receive_timeout_can_be_replaced_and_cancelled() -> None:
    """There is one at a time; None ends it."""
    async with ActorSystem() as system:
        ref, ticks = await clocked(system, lambda self: self.context.set_receive_timeout(10.0, "first"))
        await Clocked.do(ref, lambda self: self.context.set_receive_timeout(5.0, "second"))
        await anyio.sleep(7.0)
        assert ticks == [(5.0, "second")]
        await Clocked.do(ref, lambda self: self.context.set_receive_timeout(None))
        await anyio.sleep(60.0)
        assert len(ticks) == 1


async def test_rule_19_a_receive_timeout_does_not_count_work() -> None:
    """A handler that takes longer than the time-out is not interrupted, and the wait begins when it is done."""
    async with ActorSystem() as system:
        ref, ticks = await clocked(system, lambda self: self.context.set_receive_timeout(10.0, "quiet"))
        await Clocked.do(ref, lambda _: anyio.sleep(30.0), timeout=None)
        await anyio.sleep(11.0)
        assert ticks == [(40.0, "quiet")]


async def test_rule_19_a_receive_timeout_ends_with_the_incarnation() -> None:
    """The next one has none."""
    async with ActorSystem(supervisor=PATIENT) as system:
        ref, ticks = await clocked(system, lambda self: self.context.set_receive_timeout(10.0, "quiet"))
        with pytest.raises(ActorFailed):
            await Clocked.do(ref, lambda _: 1 / 0)
        await anyio.sleep(60.0)
        assert ticks == []


async def test_rule_19_periods_that_were_missed_together_are_skipped_together() -> None:
    """A loop that stood still for many periods gives one message, and the next comes on the grid, not at once."""

    def arm(self: Puppet) -> None:
        self.context.send_after(10.0, "tick", every=10.0)

    async with ActorSystem() as system:
        ref = await system.spawn(Puppet)
        await ref.ask(arm, timeout=5.0)
        (timer,) = ref.cell.cold.timers.values()
        timer.when -= 100.0  # as if it were 85 seconds too late
        await anyio.sleep(15.0)
        assert anyio.current_time() < timer.when <= anyio.current_time() + 10.0
