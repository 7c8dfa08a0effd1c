"""Pekko's ActorLifeCycleSpec, SupervisorMiscSpec, Ticket669Spec, and what SupervisorSpec says about starts.

| Case of Pekko | Here |
|---|---|
| invoke preRestart, preStart, postRestart; default for …; not invoke … | `test_the_hooks_of_each_incarnation` |
| log failures in postStop | the same |
| restart properly when same instance is returned | `test_the_same_object_may_be_returned_again` |
| attempt restart when exception during restart | `test_failures_of_a_restart_are_tried_again` |
| not break supervisor strategy due to unhandled exception in preStart | the same |
| supervise exceptions on child actor initialize | `test_a_parent_that_cannot_start_its_child_starts_again` |
| be able to create named children in its constructor | the same, in `started()` |
| log pre-creation check failures, at the top and below | `test_a_start_that_fails_is_reported_with_its_cause` |
| failure in creation when the strategy returns Resume | `test_resume_of_a_failed_start_is_a_restart` |
| (not) be able to recreate child when old child is … | `test_a_name_is_free_when_its_actor_has_ended` |
| reply on failure during preRestart / postStop | `test_a_deferred_answer_can_be_given_in_the_end` |
| clear the behavior stack upon restart | `test_behaviour.py` |

Do not apply: dispatchers and mailboxes that cannot be made (there are none to choose), a context after the end, a
kid made in `handleChildTerminated` (there is no such hook: watch the child).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed, NameTaken, StartFailed
from tinyllm_actors.kernel import (
    Actor,
    ActorSystem,
    ActorTerminated,
    ChildFailed,
    Directive,
    ExitKind,
    Restart,
    Supervisor,
    Terminated,
)
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    from tinyllm_actors.kernel import ActorRef, ChildSpec, ExitReason, ReplyTo

pytestmark = pytest.mark.anyio

LOG: list[str] = []


class Worker(Puppet):
    async def started(self) -> None:
        LOG.append(f"start {self.context.name} {self.context.incarnation}")

    async def stopped(self, reason: ExitReason) -> None:
        LOG.append(f"stop {self.context.name} {self.context.incarnation}")


@pytest.fixture(autouse=True)
def _fresh_log() -> None:
    LOG.clear()


def _doomed(config: Supervisor, children: list[ChildSpec]) -> ChildSpec:
    """Return the spec of a supervisor that ends, and stays away, when it has failed."""
    return config.spec(children).with_options(restart=Restart.TEMPORARY)


def _fail(_: object) -> None:
    raise LookupError("boom")


async def _incarnation(ref: ActorRef) -> int:
    return await Puppet.do(ref, lambda self: self.context.incarnation)


async def test_the_hooks_of_each_incarnation() -> None:
    """`started()` and `stopped()` run once for each incarnation, and a failure of the latter is said, and no more."""

    class Sore(Worker):
        async def stopped(self, reason: ExitReason) -> None:
            await super().stopped(reason)
            LOG.append(str(reason))
            raise OSError("hurrah")

    async with ActorSystem() as system, system.events(ChildFailed, ActorTerminated) as events:
        await system.supervise(Supervisor(backoff=None), [Sore.spec().named("a")], name="s")
        child = system["s/a"]
        await Puppet.tell(child, _fail)
        assert await _incarnation(child) == 2
        assert (await child.stop()).kind is ExitKind.STOPPED
        failure = "failed: LookupError: boom"
        assert ["start a 1", "stop a 1", failure, "start a 2", "stop a 2", "stopped"] == LOG
        causes = [str((await events.receive()).cause) for _ in range(3)]
        assert causes == ["boom", "hurrah", "hurrah"]
        assert isinstance(await events.receive(), ActorTerminated)


async def test_the_same_object_may_be_returned_again() -> None:
    """A factory may hand out one object for every incarnation: its hooks run each time."""
    actor = Worker()
    async with ActorSystem() as system:
        config = Supervisor(max_restarts=3, backoff=None)
        supervisor = await system.supervise(config, [], name="s")
        child = await supervisor.spawn(lambda: actor, name="a")
        for number in range(3):
            await Puppet.tell(child, _fail)
            assert await _incarnation(child) == number + 2
    assert [f"{what} a {number}" for number in (1, 2, 3, 4) for what in ("start", "stop")] == LOG


async def test_failures_of_a_restart_are_tried_again() -> None:
    """An end that raises, then a start that raises, and the third object takes the message that waited."""
    made = 0

    class Dying(Worker):
        def __init__(self) -> None:
            nonlocal made
            self.number, made = made, made + 1
            if self.number == 1:
                raise OSError("start")

        async def stopped(self, reason: ExitReason) -> None:
            if self.number == 0:
                raise OSError("end")

    async with ActorSystem() as system, system.events(ChildFailed) as failures:
        await system.supervise(Supervisor(max_restarts=3, backoff=None), [Dying.spec().named("a")], name="s")
        with pytest.raises(ActorFailed, match="boom"):
            await Puppet.do(system["s/a"], _fail)
        assert (await system["s/a"].get_state())["number"] == 2
        assert [str((await failures.receive()).cause) for _ in range(3)] == ["boom", "end", "start"]
        assert made == 3


async def test_a_parent_that_cannot_start_its_child_starts_again() -> None:
    """A child that does not start fails the start of the parent that needs it; the next time it may succeed."""
    attempts = 0

    class Child(Worker):
        async def started(self) -> None:
            nonlocal attempts
            attempts += 1
            if attempts == 2:
                raise OSError("not yet")

    class Parent(Worker):
        async def started(self) -> None:
            await self.context.spawn(Child, name="child")

    async with ActorSystem(supervisor=Supervisor(backoff=None)) as system, system.events(ChildFailed) as failures:
        parent = await system.spawn(Parent, name="parent")
        await Puppet.tell(parent, _fail)
        assert await _incarnation(parent) == 3
        assert await _incarnation(system["parent/child"]) == 1
        failed = [await failures.receive() for _ in range(3)]
        assert [event.path for event in failed] == ["parent", "parent/child", "parent"]
        assert failed[1].cause is failed[2].cause


@pytest.mark.parametrize("below", [True, False])
async def test_a_start_that_fails_is_reported_with_its_cause(below: bool) -> None:
    """Whoever spawns an actor that cannot be made gets the cause, and it is published as a failure."""

    def broken() -> Actor:
        raise AssertionError("no such mailbox")

    async with ActorSystem() as system, system.events(ChildFailed) as failures:
        if below:
            top = await system.spawn(Worker, name="top")
            with pytest.raises(ActorFailed) as failed:
                await Puppet.do(top, lambda self: self.context.spawn(broken, name="x"))
            error = failed.value.cause
        else:
            with pytest.raises(StartFailed) as start:
                await system.spawn(broken, name="x")
            error = start.value
        assert isinstance(error, StartFailed)
        event = await failures.receive()
        assert event.path == ("top/x" if below else "x")
        assert event.cause is error.cause
        assert isinstance(event.cause, AssertionError)


async def test_resume_of_a_failed_start_is_a_restart() -> None:
    """Where there is no object to go on with, resume makes one; the hook runs once for each that was made."""
    made: list[int] = []

    class Creation(Worker):
        def __init__(self) -> None:
            made.append(len(made) + 1)
            if 1 < made[-1] < 6:
                raise ValueError("oh no")

    def decider(cause: BaseException) -> Directive:
        return Directive.RESUME if isinstance(cause, ValueError) and len(made) % 2 else Directive.RESTART

    async with ActorSystem() as system:
        config = Supervisor(max_restarts=10, backoff=None, decider=decider)
        await system.supervise(config, [Creation.spec().named("a")], name="s")
        await Puppet.tell(system["s/a"], _fail)
        assert await _incarnation(system["s/a"]) == 6
    assert made == [1, 2, 3, 4, 5, 6]
    assert LOG == ["start a 1", "stop a 1", "start a 6", "stop a 6"]


async def test_a_name_is_free_when_its_actor_has_ended() -> None:
    """While a child ends its name is taken; the moment its watching parent is told, it is free."""

    class Parent(Worker):
        async def started(self) -> None:
            self.kid = await self.context.spawn(Worker, name="foo")
            self.context.watch(self.kid)

        async def receive(self, message: Any) -> Any:
            if not isinstance(message, Terminated):
                with pytest.raises(NameTaken, match="'parent/foo'"):
                    await self.context.spawn(Worker, name="foo")
                return
            again = await self.context.spawn(Worker, name="foo")
            assert message.ref == self.kid != again
            assert again.path == self.kid.path
            born.set()

    async with ActorSystem() as system:
        parent = await system.spawn(Parent, name="parent")
        entered, go_on, born = anyio.Event(), anyio.Event(), anyio.Event()

        async def wait(_: object) -> None:
            entered.set()
            await go_on.wait()

        old = system["parent/foo"]
        await Puppet.tell(old, wait)
        await entered.wait()
        async with anyio.create_task_group() as group:
            group.start_soon(old.stop)
            await anyio.wait_all_tasks_blocked()
            assert not old.alive
            await parent.ask("try", timeout=5)
            go_on.set()
        await born.wait()
        assert await _incarnation(system["parent/foo"]) == 1


@pytest.mark.parametrize("limit", [0, 3])
async def test_a_deferred_answer_can_be_given_in_the_end(limit: int) -> None:
    """`stopped()` may still answer what the incarnation owes, whether it is restarted after a failure or ends."""

    class Debtor(Worker):
        owed: ReplyTo

        async def receive(self, message: Any) -> None:
            if message == "crash":
                raise LookupError
            self.owed = self.context.reply_later()

        async def stopped(self, reason: ExitReason) -> None:
            assert self.owed.reply(str(reason.kind))

    async with ActorSystem() as system:
        config = Supervisor(max_restarts=limit, backoff=None)
        await system.spawn(_doomed(config, [Debtor.spec().named("a")]), name="s")
        debtor = system["s/a"]
        question = debtor.ask("owe me", timeout=5)
        await debtor.tell("crash")
        assert await question == ("failed" if limit else "shutdown")
        if limit:
            await debtor.stop()
