"""Pekko's TimerSpec and ReceiveTimeoutSpec.

| Case of Pekko | Here |
|---|---|
| schedule non-repeated ticks | `test_one_tick` |
| schedule repeated ticks | `test_ticks_keep_their_rate` |
| replace timer | `test_a_timer_that_is_replaced_is_not_heard_of_again` |
| cancel timer | `test_a_timer_that_is_cancelled_is_not_heard_of_again` |
| cancel timers when restarted / when stopped | `test_timers_end_with_the_incarnation` |
| discard timers from old incarnation … 1 and 2 | `test_a_tick_on_its_way_is_not_for_the_next_incarnation` |
| get timeout; carry the configured timeout duration | `test_silence_is_noticed` |
| reschedule timeout after regular receive | `test_each_message_starts_the_time_again` |
| be able to turn off timeout; remove existing timeout | `test_the_timeout_can_be_turned_off` |
| not receive timeout message when not specified | `test_without_a_timeout_there_is_silence` |
| be able to turn on timeout in a handler; changed multiple times | `test_the_last_timeout_counts` |
| get the timeout when scheduled immediately on restart | `test_the_next_incarnation_sets_its_own_timeout` |
| will cancel receive timeout task if stopped | `test_a_timeout_does_not_outlive_its_actor` |

Do not apply: NotInfluenceReceiveTimeout (every message that is handled counts, timers' too; what shall not count
belongs into another actor; for passivation own timers do not count), AutoReceivedMessages (there are none), the FSM
variants (`test_stash.py`). The message of a time-out is the user's own, so it carries whatever it should.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed
from tinyllm_actors.kernel import ActorSystem, Supervisor
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinyllm_actors.kernel import ActorContext, ActorRef

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

LOG: list[tuple[float, Any]] = []


class Target(Puppet):
    """Writes down what it gets, and when."""

    async def receive(self, message: Any) -> Any:
        if callable(message):
            return await super().receive(message)
        LOG.append((anyio.current_time(), message))
        return None


@pytest.fixture(autouse=True)
def _fresh_log() -> None:
    LOG.clear()


def _crash(_: object) -> None:
    raise LookupError("boom")


def _ticks() -> list[tuple[float, Any]]:
    return [(round(when, 6), message) for when, message in LOG]


def _context(self: Puppet) -> ActorContext:
    return self.context


async def _inside(ref: ActorRef, what: str, *args: Any, **kwargs: Any) -> Any:
    """Call a method of the actor's context in a handler."""
    return await Puppet.do(ref, lambda self: getattr(_context(self), what)(*args, **kwargs))


async def _busy_for(ref: ActorRef, seconds: float, last_act: Callable[[Puppet], object]) -> None:
    """Keep the actor in a handler, which ends with `last_act`."""

    async def work(self: Puppet) -> None:
        await anyio.sleep(seconds)
        last_act(self)

    await Puppet.tell(ref, work)


async def test_one_tick() -> None:
    """A timer that is set once fires once, at its time."""
    async with ActorSystem() as system:
        target = await system.spawn(Target)
        await _inside(target, "send_after", 10, "tick")
        await anyio.sleep(100)
        assert _ticks() == [(10, "tick")]


async def test_ticks_keep_their_rate() -> None:
    """A periodic timer keeps to its grid, first and later ticks alike, until its actor ends."""
    async with ActorSystem() as system:
        target = await system.spawn(Target)
        await _inside(target, "send_after", 1, "tick", every=2)
        await anyio.sleep(6)
        await target.stop()
        await anyio.sleep(60)
        assert _ticks() == [(1, "tick"), (3, "tick"), (5, "tick")]


async def test_a_timer_that_is_replaced_is_not_heard_of_again() -> None:
    """Not even a tick that waits in the mailbox while the timer is replaced is handled."""
    async with ActorSystem() as system:
        target = await system.spawn(Target)
        await _inside(target, "send_after", 1, "old", every=1)
        await anyio.sleep(1.5)
        await _busy_for(target, 2, lambda self: self.context.send_after(1, "new"))
        await anyio.sleep(60)
        assert _ticks() == [(1, "old"), (4.5, "new")]


async def test_a_timer_that_is_cancelled_is_not_heard_of_again() -> None:
    """The same of one that is cancelled; to cancel says whether there was one; other timers go on."""
    async with ActorSystem() as system:
        target = await system.spawn(Target)
        await _inside(target, "send_after", 1, "tick", name="a", every=1)
        await _inside(target, "send_after", 5, "other", name="b")
        await anyio.sleep(1.5)
        cancelled: list[bool] = []
        await _busy_for(target, 2, lambda self: cancelled.extend([self.context.cancel_timer("a") for _ in range(2)]))
        await anyio.sleep(60)
        assert _ticks() == [(1, "tick"), (5, "other")]
        assert cancelled == [True, False]


@pytest.mark.parametrize("how", ["restart", "stop"])
async def test_timers_end_with_the_incarnation(how: str) -> None:
    """Neither the next incarnation nor anybody else gets the ticks of one that has ended."""
    async with ActorSystem(supervisor=Supervisor(backoff=None)) as system:
        target = await system.spawn(Target)
        await _inside(target, "send_after", 1, "tick", every=1)
        if how == "restart":
            with pytest.raises(ActorFailed):
                await Puppet.do(target, _crash)
            assert await Puppet.do(target, lambda self: self.context.incarnation) == 2
        else:
            await target.stop()
        await anyio.sleep(60)
        assert _ticks() == []
        assert list(system.dead_letters) == []


async def test_a_tick_on_its_way_is_not_for_the_next_incarnation() -> None:
    """A tick that waits while its incarnation crashes is dropped; the next incarnation has its own, from its start."""

    class Ticking(Target):
        async def started(self) -> None:
            self.context.send_after(1, self.context.incarnation, every=1)

    async with ActorSystem(supervisor=Supervisor(backoff=None)) as system:
        target = await system.spawn(Ticking)
        await anyio.sleep(1.5)
        await _busy_for(target, 1.2, _crash)  # a tick comes at 2, the crash at 2.7
        await anyio.sleep(3.4)
        assert _ticks() == [(1, 1), (3.7, 2), (4.7, 2)]


async def test_silence_is_noticed() -> None:
    """After the set time without a message the chosen one comes, and again after as long without another."""
    async with ActorSystem() as system:
        target = await system.spawn(Target)
        await _inside(target, "set_receive_timeout", 5, "silence")
        await anyio.sleep(12)
        assert _ticks() == [(5, "silence"), (10, "silence")]


async def test_each_message_starts_the_time_again() -> None:
    """A hundred messages, each before the time is over, put it off; then it runs from the last."""
    async with ActorSystem() as system:
        target = await system.spawn(Target)
        await _inside(target, "set_receive_timeout", 1, "silence")
        for number in range(100):
            await target.tell(number)
            await anyio.sleep(0.9)
        await anyio.sleep(0.15)
        await target.stop()
        assert [message for _, message in LOG] == [*range(100), "silence"]
        assert _ticks()[-1][0] == pytest.approx(99 * 0.9 + 1)


async def test_the_timeout_can_be_turned_off() -> None:
    """None is for no more time-outs, in the handler of one or of another message."""
    async with ActorSystem() as system:
        target = await system.spawn(Target)
        await _inside(target, "set_receive_timeout", 5, "silence")
        await anyio.sleep(7)
        await _inside(target, "set_receive_timeout", None)
        await anyio.sleep(100)
        assert _ticks() == [(5, "silence")]


async def test_without_a_timeout_there_is_silence() -> None:
    """An actor that sets none gets none."""
    async with ActorSystem() as system:
        await system.spawn(Target)
        await anyio.sleep(1000)
    assert LOG == []


async def test_the_last_timeout_counts() -> None:
    """One that is set in a handler runs from the end of that handler; of several the last holds."""

    def change(self: Puppet) -> None:
        for seconds in (1, 20, 10):
            self.context.set_receive_timeout(seconds, seconds)

    async with ActorSystem() as system:
        target = await system.spawn(Target)
        await _inside(target, "set_receive_timeout", 5, 5)
        await anyio.sleep(3)
        await _busy_for(target, 3, change)
        await anyio.sleep(15)
        assert _ticks() == [(16, 10)]


async def test_the_next_incarnation_sets_its_own_timeout() -> None:
    """A time-out set in `started()` of a restarted actor works, and that of the crashed one is gone."""

    class Restarting(Target):
        async def started(self) -> None:
            self.context.set_receive_timeout(3 * self.context.incarnation, self.context.incarnation)

    async with ActorSystem(supervisor=Supervisor(backoff=None)) as system:
        target = await system.spawn(Restarting)
        await anyio.sleep(1)
        with pytest.raises(ActorFailed):
            await Puppet.do(target, _crash)
        await anyio.sleep(8)
        assert _ticks() == [(7, 2)]


async def test_a_timeout_does_not_outlive_its_actor() -> None:
    """An actor that sets a time-out and ends leaves nothing behind."""

    def last_act(self: Puppet) -> None:
        self.context.set_receive_timeout(1, "silence")

    async with ActorSystem() as system:
        target = await system.spawn(Target)
        await Puppet.do(target, last_act)
        await target.stop()
        await anyio.sleep(60)
        assert LOG == []
        assert list(system.dead_letters) == []
