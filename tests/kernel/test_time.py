"""Timers, receive time-out, passivation, owned tasks (rules 13 and 19)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed
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
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinyllm_actors.kernel import ActorRef, ExitReason

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

PATIENT = Supervisor(max_restarts=100, backoff=None)


class Clocked(Puppet):
    """Notes when its own messages come."""

    def __init__(self, ticks: list[tuple[float, str]] | None = None, life: list[str] | None = None) -> None:
        self.ticks: list[tuple[float, str]] = [] if ticks is None else ticks
        self.life = life

    async def started(self) -> None:
        if self.life is not None:
            self.life.append(f"started {self.context.incarnation}")

    async def receive(self, message: Any) -> Any:
        if isinstance(message, str):
            self.ticks.append((round(anyio.current_time(), 6), message))
            return None
        return await super().receive(message)

    async def stopped(self, reason: ExitReason) -> None:
        if self.life is not None:
            self.life.append(f"stopped ({reason.kind})")


async def clocked(
    system: ActorSystem, begin: Callable[[Clocked], object], **options: Any
) -> tuple[ActorRef, list[tuple[float, str]]]:
    """Start an actor, let it begin, and return it with the list of its ticks."""
    ticks: list[tuple[float, str]] = []
    ref = await system.spawn(Clocked.spec(ticks).with_options(**options), name="clocked")
    await Clocked.do(ref, begin)
    return ref, ticks


# --- timers ---------------------------------------------------------------------------------------


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


# --- receive time-out -----------------------------------------------------------------------------


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


# --- passivation ----------------------------------------------------------------------------------


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


# --- owned tasks ----------------------------------------------------------------------------------


async def test_rule_13_a_task_of_an_actor_ends_with_its_incarnation() -> None:
    """At a restart and at the stop."""

    class Owner(Clocked):
        async def started(self) -> None:
            self.context.start_task(self.work, self.context.incarnation)

        async def work(self, number: int) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                self.ticks.append((anyio.current_time(), f"ended {number}"))

    async with ActorSystem(supervisor=PATIENT) as system:
        ticks: list[tuple[float, str]] = []
        owner = await system.spawn(Owner, ticks)
        await anyio.sleep(1.0)
        with pytest.raises(ActorFailed):
            await Clocked.do(owner, lambda _: 1 / 0)
        await anyio.sleep(1.0)
        await owner.stop()
        assert ticks == [(1.0, "ended 1"), (2.0, "ended 2")]


async def test_a_failed_task_is_a_failure_of_its_actor() -> None:
    """The supervisor is told the cause and restarts it."""

    async def fail() -> None:
        await anyio.sleep(1.0)
        raise LookupError("broken")

    async with ActorSystem(supervisor=PATIENT) as system, system.events(ChildFailed) as events:
        ref, _ = await clocked(system, lambda self: self.context.start_task(fail))
        assert isinstance((await events.receive()).cause, LookupError)
        assert await Clocked.do(ref, lambda self: self.context.incarnation) == 2


async def test_a_task_can_be_cancelled() -> None:
    """Alone, which is no failure."""
    async with ActorSystem(supervisor=PATIENT) as system:
        ref, _ = await clocked(system, lambda _: None)
        task = await Clocked.do(ref, lambda self: self.context.start_task(anyio.sleep_forever))
        assert task.name == "sleep_forever"
        await anyio.sleep(1.0)
        task.cancel()
        await anyio.sleep(1.0)
        assert not ref.cell.cold.tasks
        assert await Clocked.do(ref, lambda self: self.context.incarnation) == 1


async def test_pipe_to_self_sends_the_result_as_a_message() -> None:
    """The actor handles other messages meanwhile; a failure is a message where `on_error` makes one of it."""

    async def fetch(number: int) -> int:
        await anyio.sleep(5.0)
        return 100 // number

    def begin(self: Clocked) -> None:
        for number in (4, 0):
            self.context.pipe_to_self(fetch, number, on_result=str, on_error=lambda error: type(error).__name__)

    async with ActorSystem(supervisor=PATIENT) as system:
        ref, ticks = await clocked(system, begin)
        await ref.tell("meanwhile")
        await anyio.sleep(6.0)
        assert sorted(ticks) == [(0.0, "meanwhile"), (5.0, "25"), (5.0, "ZeroDivisionError")]
        await Clocked.do(ref, lambda self: self.context.pipe_to_self(fetch, 0, on_result=str))
        await anyio.sleep(6.0)
        assert await Clocked.do(ref, lambda self: self.context.incarnation) == 2


async def test_rule_13_a_piped_result_of_an_old_incarnation_is_dropped() -> None:
    """Whether the task was under way at the restart, or its result waited in the mailbox."""

    async def fetch() -> str:
        await anyio.sleep(1.0)
        return "result"

    async def fail_late(_: Clocked) -> None:
        await anyio.sleep(5.0)
        raise LookupError("broken")

    async with ActorSystem(supervisor=PATIENT) as system:
        ref, ticks = await clocked(system, lambda self: self.context.pipe_to_self(fetch, on_result=str))
        with pytest.raises(ActorFailed):
            await Clocked.do(ref, fail_late, timeout=None)
        await anyio.sleep(5.0)
        assert ticks == []


async def test_rule_19_passivation_works_with_a_priority_mailbox() -> None:
    """The actor falls asleep, and can be stopped then."""
    async with ActorSystem() as system:
        mailbox = Mailbox(priority=lambda _: 0.0)
        ref = await system.spawn(Clocked.spec().with_options(mailbox=mailbox, passivate_after=10.0))
        await anyio.sleep(11.0)
        assert ref.state is Lifecycle.PASSIVE
        assert (await ref.stop()).kind is ExitKind.STOPPED


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
