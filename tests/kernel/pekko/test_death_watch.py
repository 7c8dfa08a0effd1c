"""Pekko's DeathWatchSpec.

| Case of Pekko | Here |
|---|---|
| notify with one Terminated message when an Actor is stopped | `test_one_message_for_one_end` |
| … when an Actor is already dead | `test_whoever_comes_late_is_told_at_once` |
| notify all monitors; notify _current_ monitors | `test_all_who_still_watch_are_told` |
| notify once when stopped but not when restarted | `test_a_restart_is_no_end` |
| fail a monitor which does not handle Terminated | `test_a_pact_is_a_link` |
| be able to watch a child with the same name after the old died | `test_the_next_of_the_same_name_is_another` |
| only notify when watching | `test_who_does_not_watch_is_not_told` |
| discard Terminated when unwatched between sysmsg and processing | `test_an_unwatch_takes_back_what_is_on_its_way` |
| stash watchWith termination message correctly (ActorWithStashSpec too) | `test_stash.py` |

Do not apply: watch with custom message (`Terminated` has the reference and the reason; make another of it where it
arrives). Difference, on purpose: who watches and does not handle `Terminated` does not fail by that alone; a pact to
die together is `self.context.link(ref)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import LinkedActorFailed
from tinyllm_actors.kernel import ActorSystem, ChildFailed, ExitKind, Restart, Supervisor, Terminated
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    from tinyllm_actors.kernel import ActorRef

pytestmark = pytest.mark.anyio


class Watcher(Puppet):
    """Keeps what it is told of."""

    def __init__(self, *targets: ActorRef) -> None:
        self.targets = targets
        self.told: list[Terminated] = []

    async def started(self) -> None:
        for target in self.targets:
            self.context.watch(target)

    async def receive(self, message: Any) -> Any:
        if isinstance(message, Terminated):
            self.told.append(message)
            return None
        return await super().receive(message)


def _known(self: Any) -> list[Terminated]:
    return self.told


async def _told(watcher: ActorRef) -> list[tuple[ActorRef, ExitKind]]:
    """Return what a watcher was told of until now."""
    told: list[Terminated] = await Puppet.do(watcher, _known)
    return [(message.ref, message.reason.kind) for message in told]


def _fail(_: object) -> None:
    raise LookupError("boom")


def _leave(self: Puppet) -> None:
    self.context.stop()


@pytest.mark.parametrize("how", ["stop", "kill", "leave", "fail"])
async def test_one_message_for_one_end(how: str) -> None:
    """However an actor ends, who watches it is told once, with the reason; to watch twice is to watch once."""
    async with ActorSystem() as system:
        terminal = await system.spawn(Puppet.spec().with_options(restart=Restart.TEMPORARY))
        watcher = await system.spawn(Watcher, terminal, terminal)
        if how in {"leave", "fail"}:
            await Puppet.tell(terminal, _leave if how == "leave" else _fail)
        else:
            await getattr(terminal, how)()
        reason = await terminal.join()
        assert await _told(watcher) == [(terminal, reason.kind)]
        await terminal.stop()
        await terminal.kill()
        assert await _told(watcher) == [(terminal, reason.kind)]


async def test_whoever_comes_late_is_told_at_once() -> None:
    """Who begins to watch after the end is told all the same, with the same reason."""
    async with ActorSystem() as system:
        terminal = await system.spawn(Puppet)
        await terminal.stop()
        watcher = await system.spawn(Watcher, terminal)
        assert await _told(watcher) == [(terminal, ExitKind.STOPPED)]


async def test_all_who_still_watch_are_told() -> None:
    """Of three watchers the one that has changed its mind hears nothing; the others do, each once."""
    async with ActorSystem() as system:
        terminal = await system.spawn(Puppet)
        watchers = [await system.spawn(Watcher, terminal) for _ in range(3)]
        await Puppet.do(watchers[1], lambda self: self.context.unwatch(terminal))
        await terminal.stop()
        expected = [(terminal, ExitKind.STOPPED)]
        assert [await _told(watcher) for watcher in watchers] == [expected, [], expected]


async def test_a_restart_is_no_end() -> None:
    """Two restarts are not told; the third failure, which ends the actor, is."""
    async with ActorSystem() as system:
        config = Supervisor(max_restarts=2, backoff=None)
        boss = config.spec([Puppet.spec().named("terminal")]).with_options(restart=Restart.TEMPORARY)
        await system.spawn(boss, name="boss")
        terminal = system["boss/terminal"]
        watcher = await system.spawn(Watcher, terminal)
        for _ in range(2):
            await Puppet.tell(terminal, _fail)
        assert await Puppet.do(terminal, lambda self: self.context.incarnation) == 3
        assert await _told(watcher) == []
        await Puppet.tell(terminal, _fail)
        await terminal.join()
        assert [ref for ref, _ in await _told(watcher)] == [terminal]


async def test_a_pact_is_a_link() -> None:
    """Who is linked to an actor that fails for good fails with it, and who watches that one is told in turn."""
    temporary = Puppet.spec().with_options(restart=Restart.TEMPORARY)
    async with ActorSystem() as system, system.events(ChildFailed) as failures:
        supervisor = await system.supervise(Supervisor(), [temporary.named("a"), temporary.named("b")], name="s")
        failed, brother = supervisor.children
        await Puppet.do(brother, lambda self: self.context.link(failed))
        watcher = await system.spawn(Watcher, brother)
        await Puppet.tell(failed, _fail)
        assert isinstance((await brother.join()).cause, LinkedActorFailed)
        assert [(await failures.receive()).path for _ in range(2)] == ["s/a", "s/b"]
        assert await _told(watcher) == [(brother, ExitKind.FAILED)]


async def test_the_next_of_the_same_name_is_another() -> None:
    """A parent starts, watches and loses one child of a name after the other, and is told of each."""

    async def raise_kid(self: Puppet) -> ActorRef:
        kid = await self.context.spawn(Puppet.spec().with_options(restart=Restart.TEMPORARY), name="kid")
        self.context.watch(kid)
        await Puppet.tell(kid, _leave)
        return kid

    async with ActorSystem() as system:
        parent = await system.spawn(Watcher)
        kids: list[ActorRef] = []
        for _ in range(3):
            kids.append(await Puppet.do(parent, raise_kid))
            await kids[-1].join()
        assert await _told(parent) == [(kid, ExitKind.NORMAL) for kid in kids]
        assert len(set(kids)) == 3
        assert len({kid.path for kid in kids}) == 1


async def test_who_does_not_watch_is_not_told() -> None:
    """The end of an actor is no matter of those who merely know it, nor of an incarnation that did not ask."""
    async with ActorSystem(supervisor=Supervisor(backoff=None)) as system:
        subject = await system.spawn(Puppet)
        friend = await system.spawn(Watcher)
        forgetful = await system.spawn(Watcher)
        await Puppet.do(forgetful, lambda self: self.context.watch(subject))
        await Puppet.tell(forgetful, _fail)
        assert await Puppet.do(forgetful, lambda self: self.context.incarnation) == 2
        await subject.stop()
        assert await _told(friend) == []
        assert await _told(forgetful) == []


async def test_an_unwatch_takes_back_what_is_on_its_way() -> None:
    """A watcher that is busy while the end comes, and then changes its mind, is not told."""
    entered, go_on = anyio.Event(), anyio.Event()

    async def change_mind(self: Puppet) -> None:
        entered.set()
        await go_on.wait()
        self.context.unwatch(subject)

    async with ActorSystem() as system:
        subject: ActorRef = await system.spawn(Puppet)
        watcher = await system.spawn(Watcher, subject)
        await Puppet.tell(watcher, change_mind)
        await entered.wait()
        await subject.stop()
        go_on.set()
        assert await _told(watcher) == []
        assert await Puppet.do(watcher, lambda self: self.context.incarnation) == 1
