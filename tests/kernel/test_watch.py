"""Death watch and links (rule 14)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed, LinkedActorFailed
from tinyllm_actors.kernel import (
    ActorSystem,
    ChildFailed,
    ChildOptions,
    ChildRestarted,
    ExitKind,
    ExitReason,
    Restart,
    Supervisor,
    Terminated,
)
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    from tinyllm_actors.kernel import ActorRef

pytestmark = pytest.mark.anyio

PATIENT = Supervisor(max_restarts=100, backoff=None)


class Mortal(Puppet):
    """Ends for good when it fails."""

    options = ChildOptions(restart=Restart.TEMPORARY)


class Watcher(Puppet):
    """Keeps what it is told of ends."""

    def __init__(self, *watched: ActorRef) -> None:
        self.watched = watched
        self.ends: list[Terminated] = []

    async def started(self) -> None:
        for ref in self.watched:
            self.context.watch(ref)

    async def receive(self, message: Any) -> Any:
        if isinstance(message, Terminated):
            self.ends.append(message)
            return None
        return await super().receive(message)


def boom(_: object) -> None:
    """Fail."""
    raise LookupError("broken")


async def crash(ref: ActorRef) -> None:
    """Let a puppet fail."""
    with pytest.raises(ActorFailed):
        await ref.ask(boom)


async def ends_of(watcher: ActorRef) -> list[tuple[str, ExitKind]]:
    """Return who the watcher was told of; asked after everything that is on the control lane by now."""
    ends: list[Terminated] = await Watcher.do(watcher, lambda self: self.ends)
    return [(end.ref.path, end.reason.kind) for end in ends]


async def incarnation_of(ref: ActorRef) -> int:
    """Return how often a puppet was started."""
    return await Puppet.do(ref, lambda self: self.context.incarnation)


async def test_rule_14_a_watcher_is_told_once_of_a_final_stop() -> None:
    """One `Terminated` with reference and reason, however often it was watched."""
    async with ActorSystem(supervisor=PATIENT) as system:
        mortal = await system.spawn(Mortal, name="mortal")
        watcher = await system.spawn(Watcher, mortal, mortal)
        await mortal.stop()
        assert await ends_of(watcher) == [("mortal", ExitKind.STOPPED)]


async def test_rule_14_the_reason_holds_the_cause() -> None:
    """An actor that failed and is not restarted ends with the failure as the reason."""
    async with ActorSystem(supervisor=PATIENT) as system:
        mortal = await system.spawn(Mortal, name="mortal")
        watcher = await system.spawn(Watcher, mortal)
        await crash(mortal)
        await mortal.join()
        ends: list[Terminated] = await Watcher.do(watcher, lambda self: self.ends)
        assert isinstance(ends[0].reason.cause, LookupError)
        assert ends[0].ref == mortal


async def test_rule_14_a_watcher_of_the_dead_is_told_at_once() -> None:
    """Watching an actor that has ended already is told as if it had been watched in time."""
    async with ActorSystem() as system:
        mortal = await system.spawn(Mortal, name="mortal")
        await mortal.stop()
        watcher = await system.spawn(Watcher)
        await Watcher.do(watcher, lambda self: self.context.watch(mortal))
        assert await ends_of(watcher) == [("mortal", ExitKind.STOPPED)]


async def test_rule_14_a_restart_is_no_end() -> None:
    """Restarts of the watched actor are not told, and the watch outlives them."""
    async with ActorSystem(supervisor=PATIENT) as system:
        phoenix = await system.spawn(Puppet, name="phoenix")
        watcher = await system.spawn(Watcher, phoenix)
        for _ in range(3):
            await crash(phoenix)
        assert await ends_of(watcher) == []
        await phoenix.stop()
        assert await ends_of(watcher) == [("phoenix", ExitKind.STOPPED)]


async def test_rule_14_the_end_comes_before_messages_that_wait() -> None:
    """`Terminated` takes the control lane: a watcher whose mailbox holds messages hears of it next."""
    async with ActorSystem() as system:
        mortal = await system.spawn(Mortal)
        watcher = await system.spawn(Watcher, mortal)
        began, go = anyio.Event(), anyio.Event()
        seen: list[int] = []

        async def block(_: Watcher) -> None:
            began.set()
            await go.wait()

        await Watcher.tell(watcher, block)
        await began.wait()
        await Watcher.tell(watcher, lambda self: seen.append(len(self.ends)))
        await mortal.stop()
        go.set()
        assert len(await ends_of(watcher)) == 1
        assert seen == [1]


async def test_rule_14_unwatch_takes_back_what_is_on_its_way() -> None:
    """After `unwatch` nothing is told, not even of an end that has happened and waits to be handled."""
    async with ActorSystem() as system:
        mortal = await system.spawn(Mortal)
        other = await system.spawn(Mortal, name="other")
        watcher = await system.spawn(Watcher, mortal, other)

        async def leave(self: Watcher) -> None:
            await mortal.stop()  # while this handler runs, so that nobody can have handled what it sends
            await other.stop()
            self.context.unwatch(mortal)

        await Watcher.do(watcher, leave)
        assert await ends_of(watcher) == [("other", ExitKind.STOPPED)]


async def test_rule_14_a_watch_ends_with_the_incarnation_that_made_it() -> None:
    """A new incarnation is not told of what it does not watch; one that watches again is."""
    async with ActorSystem(supervisor=PATIENT) as system:
        mortal = await system.spawn(Mortal, name="mortal")
        forgetful = await system.spawn(Watcher)
        faithful = await system.spawn(Watcher, mortal)
        await Watcher.do(forgetful, lambda self: self.context.watch(mortal))
        for watcher in (forgetful, faithful):
            await crash(watcher)
        await mortal.stop()
        assert await ends_of(forgetful) == []
        assert await ends_of(faithful) == [("mortal", ExitKind.STOPPED)]


async def test_rule_14_an_end_during_the_restart_of_the_watcher_is_not_lost() -> None:
    """A watcher that watches in `started()` is told of an end that came while it was down."""
    async with ActorSystem(supervisor=PATIENT) as system:
        mortal = await system.spawn(Mortal, name="mortal")
        gate = anyio.Event()
        starts: list[int] = []

        class Slow(Watcher):
            async def started(self) -> None:
                starts.append(self.context.incarnation)
                if len(starts) == 2:
                    await gate.wait()
                await super().started()

        watcher = await system.spawn(Slow, mortal)
        await crash(watcher)
        await mortal.stop()
        gate.set()
        assert await ends_of(watcher) == [("mortal", ExitKind.STOPPED)]


async def test_a_watcher_that_ended_is_forgotten() -> None:
    """The watched actor keeps nothing of watchers that are gone."""
    async with ActorSystem() as system:
        mortal = await system.spawn(Mortal)
        watcher = await system.spawn(Watcher, mortal)
        await watcher.stop()
        assert not mortal.cell.cold.watchers


async def test_a_link_fails_the_other_when_one_ends_abnormally() -> None:
    """Whoever made the link: when one ends with a failure for good, the other fails with a typed cause."""
    async with ActorSystem(supervisor=PATIENT) as system:
        for maker, victim in ((0, 0), (0, 1), (1, 0), (1, 1)):
            pair: list[ActorRef] = [await system.spawn(Mortal), await system.spawn(Mortal)]
            other = pair[1 - maker]
            await Mortal.do(pair[maker], lambda self, other=other: self.context.link(other))
            await crash(pair[victim])
            cause = (await pair[1 - victim].join()).cause
            assert isinstance(cause, LinkedActorFailed)
            assert cause.peer == pair[victim].path
            assert isinstance(cause.cause, LookupError)


async def test_a_linked_actor_that_fails_is_its_supervisors_business() -> None:
    """A linked permanent actor is restarted, not ended."""
    async with ActorSystem(supervisor=PATIENT) as system, system.events(ChildFailed, ChildRestarted) as events:
        mortal, permanent = await system.spawn(Mortal), await system.spawn(Puppet)
        await Mortal.do(mortal, lambda self: self.context.link(permanent))
        await mortal.kill()
        failed = await events.receive()
        assert isinstance(failed.cause, LinkedActorFailed)
        assert (await events.receive()).path == permanent.path
        assert permanent.alive


async def test_a_link_does_nothing_at_an_end_in_good_order() -> None:
    """An actor that is stopped takes nobody with it; nor does one that only restarts."""
    async with ActorSystem(supervisor=PATIENT) as system:
        one, two = await system.spawn(Puppet), await system.spawn(Puppet)
        await Puppet.do(one, lambda self: self.context.link(two))
        await crash(one)
        await one.stop()
        assert await incarnation_of(two) == 1


async def test_a_link_outlives_restarts_of_both() -> None:
    """A link holds between two actors, whichever incarnations of them live."""
    async with ActorSystem(supervisor=PATIENT) as system:
        one, two = await system.spawn(Puppet), await system.spawn(Puppet)
        await Puppet.do(one, lambda self: self.context.link(two))
        await crash(one)
        await crash(two)
        assert [await incarnation_of(one), await incarnation_of(two)] == [2, 2]
        await one.kill()
        assert await incarnation_of(two) == 3


async def test_unlink_takes_the_link_back_on_either_side() -> None:
    """After `unlink` by the one that did not make the link, neither fails with the other."""
    async with ActorSystem(supervisor=PATIENT) as system:
        one, two = await system.spawn(Mortal), await system.spawn(Mortal)
        await Mortal.do(one, lambda self: self.context.link(two))
        await Mortal.do(two, lambda self: self.context.unlink(one))
        await one.kill()
        assert await incarnation_of(two) == 1


async def test_linking_to_one_that_failed_already_fails_at_once() -> None:
    """`link` raises for an actor that has ended abnormally, and does nothing for one that was stopped."""
    async with ActorSystem(supervisor=PATIENT) as system:
        killed, stopped = await system.spawn(Mortal, name="killed"), await system.spawn(Mortal)
        await killed.kill()
        assert await stopped.stop() == ExitReason.STOPPED
        puppet = await system.spawn(Puppet)
        await Puppet.do(puppet, lambda self: self.context.link(stopped))
        with pytest.raises(ActorFailed, match="'killed'") as caught:
            await Puppet.do(puppet, lambda self: self.context.link(killed))
        assert isinstance(caught.value.cause, LinkedActorFailed)


async def test_an_actor_may_watch_and_link_the_same_one() -> None:
    """Watch and link are independent: taking back one leaves the other."""
    async with ActorSystem(supervisor=PATIENT) as system:
        mortal = await system.spawn(Mortal, name="mortal")
        watcher = await system.spawn(Watcher, mortal)
        await Watcher.do(watcher, lambda self: self.context.link(mortal))
        await Watcher.do(watcher, lambda self: self.context.unlink(mortal))
        await mortal.kill()
        assert await ends_of(watcher) == [("mortal", ExitKind.KILLED)]
        assert await incarnation_of(watcher) == 1


async def test_a_link_to_oneself_is_none() -> None:
    """An actor that links to itself is not harmed by it."""
    async with ActorSystem(supervisor=PATIENT) as system:
        puppet = await system.spawn(Puppet)
        await Puppet.do(puppet, lambda self: self.context.link(puppet))
        assert (await puppet.kill()) == ExitReason.KILLED
