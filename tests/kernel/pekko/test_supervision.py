"""Pekko's SupervisorSpec, SupervisorHierarchySpec, SupervisorTreeSpec and RestartStrategySpec.

| Case of Pekko | Here |
|---|---|
| not restart child more times than permitted | `test_too_many_failures_end_child_and_supervisor` |
| employee … not restarted after max retries, … within time range; 30 days | the same |
| restarts a child infinitely; immortal without max restarts | `test_a_child_may_fail_as_often_as_one_likes` |
| employee restarts after number of crashes not within time range | `test_what_is_long_ago_does_not_count` |
| not restart temporary actor | `test_a_supervisor_may_stop_instead` |
| (call-)kill(-call) single/multiple actors, one-way, OneForOne and AllForOne | `test_call_crash_call` |
| restart killed actors in nested hierarchy; kill the middle actor | `test_a_middle_actor_restarts_without_its_guests` |
| restart manager and workers in AllForOne | `test_a_failure_that_is_not_handled_restarts_the_manager` |
| not lose system messages when … (the decider fails) | `test_a_decider_that_fails_is_a_failure_of_the_supervisor` |
| send notification to supervisor when permanent failure | `test_the_watching_parent_is_told_of_the_end_only` |
| resume children after Resume | `test_resume_keeps_state_and_children` |
| have access to the failing child's reference | `test_it_is_said_which_child_failed` |
| those about starts and hooks | `test_life_cycle.py` |

Do not apply: "suspend children while failing" (the decision is taken at once, there is no time in which children are
suspended), "survive being stressed" (the torture test of this project does that), `withinTimeRange` without
`maxNrOfRetries` (both always have a value).

Differences, on purpose: `kill` ends an actor for good, so failures are raised here; too many failures end the
supervisor, as in OTP, where Pekko stops the child.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed, ActorStopped, RestartLimitExceeded
from tinyllm_actors.kernel import (
    ActorSystem,
    ChildFailed,
    ChildRestarted,
    Directive,
    Escalated,
    ExitKind,
    Restart,
    Strategy,
    Supervisor,
)
from tinyllm_actors.testing import Puppet, TestKit

if TYPE_CHECKING:
    from tinyllm_actors.kernel import ActorRef, ChildSpec, ExitReason

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


def _workers(*names: str) -> list[ChildSpec]:
    return [Worker.spec().named(name) for name in names]


def _doomed(config: Supervisor, children: list[ChildSpec]) -> ChildSpec:
    """Return the spec of a supervisor that ends, and stays away, when it has failed."""
    return config.spec(children).with_options(restart=Restart.TEMPORARY)


def _fail(_: object) -> None:
    raise LookupError("boom")


async def _incarnation(ref: ActorRef) -> int:
    return await Puppet.do(ref, lambda self: self.context.incarnation)


@pytest.mark.virtual_time
@pytest.mark.parametrize("limit", [0, 1, 2, 3])
async def test_too_many_failures_end_child_and_supervisor(limit: int) -> None:
    """A child is restarted as often as permitted, keeps its messages, and ends with one failure more."""
    async with ActorSystem() as system:
        config = Supervisor(max_restarts=limit, period=30 * 24 * 3600, backoff=None)
        supervisor = await system.spawn(_doomed(config, _workers("a")), name="s")
        (child,) = supervisor.children
        for number in range(limit):
            child.tell_nowait(_fail)
            assert await _incarnation(child) == number + 2
            await anyio.sleep(24 * 3600)
        child.tell_nowait(_fail)
        left = child.ask(_fail, timeout=None)
        assert isinstance((await supervisor.join()).cause, RestartLimitExceeded)
        with pytest.raises(ActorStopped):
            await left
        assert [entry.split()[0] for entry in LOG] == ["start", "stop"] * (limit + 1)


async def test_a_child_may_fail_as_often_as_one_likes() -> None:
    """With a bound that is out of reach, a hundred failures in a row are a hundred restarts."""
    async with ActorSystem() as system:
        await system.supervise(Supervisor(max_restarts=10**9, backoff=None), _workers("a"), name="s")
        for _ in range(100):
            system["s/a"].tell_nowait(_fail)
        assert await _incarnation(system["s/a"]) == 101


@pytest.mark.virtual_time
async def test_what_is_long_ago_does_not_count() -> None:
    """Failures that are further apart than the period are tolerated for ever."""
    async with ActorSystem() as system:
        await system.supervise(Supervisor(max_restarts=2, period=0.5, backoff=None), _workers("a"), name="s")
        for _ in range(20):
            await Puppet.tell(system["s/a"], _fail)
            await anyio.sleep(0.3)
        assert await _incarnation(system["s/a"]) == 21


async def test_a_supervisor_may_stop_instead() -> None:
    """A decider that says stop ends the child with its cause; nobody else is touched and nothing is counted."""
    config = Supervisor(strategy=Strategy.ONE_FOR_ALL, max_restarts=0, decider=lambda _: Directive.STOP)
    async with ActorSystem() as system:
        supervisor = await system.supervise(config, _workers("a", "b"), name="s")
        a, b = supervisor.children
        with pytest.raises(ActorFailed, match="boom"):
            await Puppet.do(a, _fail)
        reason = await a.join()
        assert (reason.kind, type(reason.cause)) == (ExitKind.FAILED, LookupError)
        assert supervisor.children == [b]
        assert await _incarnation(b) == 1


@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ONE, Strategy.ONE_FOR_ALL])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("one_way", [True, False])
async def test_call_crash_call(strategy: Strategy, count: int, one_way: bool) -> None:
    """Actors answer, one crashes, and all answer again: who restarts with it is as the strategy says."""
    async with ActorSystem() as system:
        supervisor = await system.supervise(
            Supervisor(strategy=strategy, backoff=None), _workers(*"abc"[:count]), name="s"
        )
        children = supervisor.children
        assert [await _incarnation(child) for child in children] == [1] * count
        victim = children[count // 2]
        if one_way:
            await Puppet.tell(victim, _fail)
        else:
            with pytest.raises(ActorFailed, match="boom"):
                await Puppet.do(victim, _fail)
        assert await _incarnation(victim) == 2
        others = [child for child in children if child != victim]
        expected = 2 if strategy is Strategy.ONE_FOR_ALL else 1
        assert [await _incarnation(child) for child in others] == [expected] * len(others)


async def test_a_middle_actor_restarts_without_its_guests() -> None:
    """The children that an actor started itself end with its incarnation; the next one starts its own."""

    class Middle(Worker):
        async def started(self) -> None:
            await super().started()
            await self.context.spawn(Worker, name="own")

    async with ActorSystem(supervisor=Supervisor(backoff=None)) as system:
        head = await system.spawn(Worker, name="head")
        middle = await Puppet.do(head, lambda self: self.context.spawn(Middle, name="middle"))
        own = system["head/middle/own"]
        guest = await Puppet.do(middle, lambda self: self.context.spawn(Worker, name="guest"))
        await Puppet.tell(middle, _fail)
        assert await _incarnation(middle) == 2
        assert not guest.alive
        assert not own.alive
        assert [child.path for child in await Puppet.do(middle, lambda self: self.context.children)] == [
            "head/middle/own"
        ]
        assert await _incarnation(head) == 1


async def test_a_failure_that_is_not_handled_restarts_the_manager() -> None:
    """A manager whose decider escalates fails with the worker's cause, and its boss restarts it with all workers."""
    manager = Supervisor(strategy=Strategy.ONE_FOR_ALL, decider=lambda _: Directive.ESCALATE)
    spec = manager.spec(_workers("a", "b", "c")).named("m")
    async with ActorSystem() as system, system.events(Escalated, ChildFailed) as events:
        await system.supervise(Supervisor(backoff=None), [spec], name="boss")
        workers = system["boss/m"].children
        await Puppet.tell(workers[0], _fail)
        assert [await _incarnation(worker) for worker in workers] == [2, 2, 2]
        failed, escalated, above = [await events.receive() for _ in range(3)]
        assert isinstance(escalated, Escalated)
        assert (failed.path, escalated.child, above.path) == ("boss/m/a", "boss/m/a", "boss/m")
        assert failed.cause is escalated.cause is above.cause


async def test_a_decider_that_fails_is_a_failure_of_the_supervisor() -> None:
    """What a decider raises escalates instead of the child's failure, and after the restart all is well."""

    def decider(_: BaseException) -> Directive:
        raise RuntimeError("cannot decide")

    async with ActorSystem() as system, system.events(Escalated) as events:
        parent = Supervisor(decider=decider).spec(_workers("child")).named("parent")
        await system.supervise(Supervisor(backoff=None), [parent], name="top")
        child = system["top/parent/child"]
        child.tell_nowait(_fail)
        waiting = child.ask(lambda self: self.context.incarnation, timeout=5)  # type: ignore[reportUnknownLambdaType]
        assert str((await events.receive()).cause) == "cannot decide"
        assert await waiting == 2


async def test_the_watching_parent_is_told_of_the_end_only() -> None:
    """A parent that watches its child hears nothing of its restart, and once of its end."""

    class Boss(Worker):
        supervision = Supervisor(max_restarts=5, backoff=None)

    async with TestKit() as kit:
        probe = await kit.probe()
        boss = await kit.system.spawn(Boss, name="boss")
        crasher = await Puppet.do(boss, lambda self: self.context.spawn(Worker, name="crasher"))
        await probe.watch(crasher)
        await Puppet.tell(crasher, _fail)
        assert await _incarnation(crasher) == 2
        assert probe.messages == []
        await crasher.kill()
        assert (await probe.expect_terminated(crasher)).kind is ExitKind.KILLED
        assert len(probe.messages) == 1


async def test_resume_keeps_state_and_children() -> None:
    """After a failure that the supervisor resumes, the object, its children and its messages are what they were."""

    def fail(self: Any) -> None:
        self.count = 1
        raise LookupError("boom")

    config = Supervisor(max_restarts=0, decider=lambda _: Directive.RESUME)
    async with ActorSystem() as system, system.events(ChildRestarted) as events:
        await system.supervise(config, _workers("middle"), name="boss")
        middle = system["boss/middle"]
        worker = await Puppet.do(middle, lambda self: self.context.spawn(Worker, name="worker"))
        for _ in range(3):
            with pytest.raises(ActorFailed):
                await Puppet.do(middle, fail)
        assert (await middle.get_state())["count"] == 1
        assert [await _incarnation(ref) for ref in (middle, worker)] == [1, 1]
        assert events.receive_nowait() is None


async def test_it_is_said_which_child_failed() -> None:
    """The failure that is published, and that escalates, names the child by its path."""
    async with ActorSystem() as system, system.events(ChildFailed, Escalated) as events:
        supervisor = await system.spawn(_doomed(Supervisor(max_restarts=0), _workers("a", "child")), name="parent")
        await Puppet.tell(system["parent/child"], _fail)
        reason = await supervisor.join()
        assert "'parent/child'" in str(reason.cause)
        assert (await events.receive()).path == "parent/child"
        assert (await events.receive()).child == "parent/child"
