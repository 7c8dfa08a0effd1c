"""OTP `supervisor_SUITE`, the groups about restart strategies, and the arithmetic of intensity and period.

| Case of OTP | Here |
|---|---|
| one_for_one, one_for_all, rest_for_one | `test_who_restarts` |
| the "restart frequency property" in each of them | `test_one_failure_too_many_ends_the_supervisor` |
| *_escalation, of each strategy | `test_a_child_that_cannot_restart_escalates` |
| one_for_all_other_child_fails_restart, rest_for_one_other_child_fails_restart | `test_another_fails_in_the_restart` |
| simple_one_for_one | `test_dynamic_children_restart_alone` |
| simple_one_for_one_corruption | `test_dynamic_children_fail_to_restart_side_by_side` |
| multiple_restarts | `test_all_fail_at_once` |
| intensity 0, in the manual | `test_intensity_0_tolerates_nothing` |
| the edge of the period, in `supervisor:add_restart` | `test_the_period_slides` |

Do not apply: simple_one_for_one_extra (`spawn` returns no extra information), simple_one_for_one_restart_ignore (there
is no `ignore`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import RestartLimitExceeded
from tinyllm_actors.kernel import (
    ActorSystem,
    ActorTerminated,
    ChildFailed,
    ChildRestarted,
    DynamicSupervisor,
    Escalated,
    ExitKind,
    Restart,
    Strategy,
    Supervisor,
)
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    from tinyllm_actors.kernel import ActorRef, ChildSpec, ExitReason

pytestmark = pytest.mark.anyio

LOG: list[str] = []
BROKEN: set[str] = set()


class Worker(Puppet):
    """Writes down its starts and ends, and does not start while its name is among the broken ones."""

    async def started(self) -> None:
        if self.context.name in BROKEN:
            LOG.append(f"!{self.context.name}")
            raise OSError(f"{self.context.name} is broken")
        LOG.append(f"+{self.context.name}")

    async def stopped(self, reason: ExitReason) -> None:
        LOG.append(f"-{self.context.name}")


@pytest.fixture(autouse=True)
def _fresh() -> None:
    LOG.clear()
    BROKEN.clear()


def _workers(*names: str) -> list[ChildSpec]:
    return [Worker.spec().named(name) for name in names]


def _doomed(config: Supervisor, children: list[ChildSpec]) -> ChildSpec:
    """Return the spec of a supervisor that ends, and stays away, when it has failed."""
    return config.spec(children).with_options(restart=Restart.TEMPORARY)


def _fail(_: object) -> None:
    raise LookupError("boom")


async def _incarnation(ref: ActorRef) -> int:
    return await Puppet.do(ref, lambda self: self.context.incarnation, timeout=60)  # longer than any back-off


@pytest.mark.parametrize(
    ("strategy", "log"),
    [
        (Strategy.ONE_FOR_ONE, ["-b", "+b"]),
        (Strategy.ONE_FOR_ALL, ["-c", "-b", "-a", "+a", "+b", "+c"]),
        (Strategy.REST_FOR_ONE, ["-c", "-b", "+b", "+c"]),
    ],
)
async def test_who_restarts(strategy: Strategy, log: list[str]) -> None:
    """The one that failed, all, or it and those after it; the others keep their incarnation, all their references."""
    async with ActorSystem() as system, system.events(ChildRestarted) as events:
        supervisor = await system.supervise(
            Supervisor(strategy=strategy, backoff=None), _workers("a", "b", "c"), name="s"
        )
        children = supervisor.children
        LOG.clear()
        await Puppet.tell(system["s/b"], _fail)
        restarted = [await events.receive() for _ in range(len(log) // 2)]
        assert log == LOG
        assert {event.path.removeprefix("s/") for event in restarted} == {entry[1:] for entry in log}
        assert supervisor.children == children
        for child in children:
            assert await _incarnation(child) == 1 + (f"+{child.name}" in log)


@pytest.mark.virtual_time
@pytest.mark.parametrize("strategy", [*Strategy, "dynamic"])
async def test_one_failure_too_many_ends_the_supervisor(strategy: str) -> None:
    """Two restarts in the period are tolerated; the third failure ends the supervisor and all it has."""
    limits: dict[str, Any] = {"max_restarts": 2, "period": 3600, "backoff": None}
    config = DynamicSupervisor(**limits) if strategy == "dynamic" else Supervisor(strategy=Strategy(strategy), **limits)
    async with ActorSystem() as system, system.events(ChildRestarted) as events:
        supervisor = await system.spawn(_doomed(config, _workers("a", "b", "c")), name="s")
        children = supervisor.children
        for victim in (children[0], children[1]):
            await Puppet.tell(victim, _fail)
            while (await events.receive()).path != victim.path:
                pass
            await anyio.sleep(1799)
        for child in children:
            await _incarnation(child)  # so that no restart is under way
        await Puppet.tell(children[2], _fail)
        reason = await supervisor.join()
        assert reason.kind is ExitKind.FAILED
        assert isinstance(reason.cause, RestartLimitExceeded)
        assert isinstance(reason.cause.__cause__, LookupError)
        assert not any(child.alive for child in children)


@pytest.mark.parametrize("strategy", [*Strategy, "dynamic"])
async def test_a_child_that_cannot_restart_escalates(strategy: str) -> None:
    """Each start that fails is a failure; after four the supervisor gives up, and takes the healthy ones along."""
    limits: dict[str, Any] = {"max_restarts": 4, "period": 3600, "backoff": None}
    config = DynamicSupervisor(**limits) if strategy == "dynamic" else Supervisor(strategy=Strategy(strategy), **limits)
    async with ActorSystem() as system, system.events(Escalated) as events:
        supervisor = await system.spawn(_doomed(config, _workers("a", "b")), name="s")
        a, b = supervisor.children
        LOG.clear()
        BROKEN.add("a")
        await Puppet.tell(a, _fail)
        reason = await supervisor.join()
        assert isinstance(reason.cause, RestartLimitExceeded)
        assert isinstance(reason.cause.__cause__, OSError)
        assert (await events.receive()).child == "s/a"
        assert LOG.count("!a") == 4
        assert LOG.count("-b") == LOG.count("+b") + 1
        assert not a.alive
        assert not b.alive


@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
async def test_another_fails_in_the_restart(strategy: Strategy) -> None:
    """When `b` does not start after `a` did: all for one begins anew with `a`; the rest for one leaves `a` as it is."""

    class Once(Worker):
        async def started(self) -> None:
            await super().started()
            if self.context.incarnation == 2:
                LOG[-1] = "!b"
                raise OSError("not this time")

    config = Supervisor(strategy=strategy, max_restarts=3, period=3600, backoff=None)
    async with ActorSystem() as system, system.events(ChildRestarted) as events:
        await system.supervise(config, [*_workers("a"), Once.spec().named("b"), *_workers("c")], name="s")
        LOG.clear()
        await Puppet.tell(system["s/a"], _fail)
        while (await events.receive()).path != "s/c":
            pass
        first = ["-c", "-b", "-a", "+a", "!b"]
        again = ["-a", "+a", "+b", "+c"] if strategy is Strategy.ONE_FOR_ALL else ["+b", "+c"]
        assert [*first, *again] == LOG
        assert await _incarnation(system["s/a"]) == (3 if strategy is Strategy.ONE_FOR_ALL else 2)


async def test_dynamic_children_restart_alone() -> None:
    """A failure of one child of a dynamic supervisor is no matter of the others."""
    async with ActorSystem() as system, system.events(ChildRestarted) as events:
        pool = await system.supervise(DynamicSupervisor(max_restarts=2, backoff=None), [], name="pool")
        first, second = await pool.spawn(Worker, name="a"), await pool.spawn(Worker, name="b")
        await Puppet.tell(first, _fail)
        assert (await events.receive()).path == "pool/a"
        assert pool.children == [first, second]
        assert [await _incarnation(first), await _incarnation(second)] == [2, 1]


@pytest.mark.virtual_time
async def test_dynamic_children_fail_to_restart_side_by_side() -> None:
    """Several that cannot start keep trying, each for itself, beside one that works; when mended, all come back."""
    config = DynamicSupervisor(max_restarts=1000, period=3600)
    async with ActorSystem() as system:
        pool = await system.supervise(config, [], name="pool")
        children = [await pool.spawn(Worker, name=name) for name in "abc"]
        BROKEN.update("ab")
        for child in children[:2]:
            await Puppet.tell(child, _fail)
        await anyio.sleep(60)
        assert LOG.count("!a") > 2
        assert LOG.count("!b") > 2
        assert pool.children == children
        assert await _incarnation(children[2]) == 1
        BROKEN.clear()
        assert all([await _incarnation(child) for child in children])
        for child in reversed(children):
            await child.stop()
        assert pool.children == []


@pytest.mark.parametrize("strategy", Strategy)
async def test_all_fail_at_once(strategy: Strategy) -> None:
    """Three children that fail in the same instant are all back, each once at a time, and nothing is left over."""
    config = Supervisor(strategy=strategy, max_restarts=3, period=3600, backoff=None)
    async with ActorSystem() as system, system.events(ChildFailed) as failures:
        supervisor = await system.supervise(config, _workers("a", "b", "c"), name="s")
        for child in supervisor.children:
            child.tell_nowait(_fail)
        assert {(await failures.receive()).path for _ in range(3)} == {"s/a", "s/b", "s/c"}
        incarnations = [await _incarnation(child) for child in supervisor.children]
        assert all(number > 1 for number in incarnations)
        running: set[str] = set()
        for entry in LOG:
            if entry[0] == "+":
                assert entry[1:] not in running
                running.add(entry[1:])
            else:
                running.discard(entry[1:])
        assert running == {"a", "b", "c"}


@pytest.mark.parametrize("strategy", Strategy)
async def test_intensity_0_tolerates_nothing(strategy: Strategy) -> None:
    """With no restarts allowed, the first failure ends the supervisor; the first end of a transient child does not."""

    def leave(self: Puppet) -> None:
        self.context.stop()

    config = Supervisor(strategy=strategy, max_restarts=0, period=1)
    specs = [*_workers("a"), Worker.spec().named("b").with_options(restart=Restart.TRANSIENT)]
    async with ActorSystem() as system, system.events(ChildRestarted, ActorTerminated) as events:
        supervisor = await system.spawn(_doomed(config, specs), name="s")
        a, b = supervisor.children
        await Puppet.tell(b, leave)
        assert (await b.join()).kind is ExitKind.NORMAL
        assert supervisor.alive
        await Puppet.tell(a, _fail)
        assert isinstance((await supervisor.join()).cause, RestartLimitExceeded)
        assert [(await events.receive()).path for _ in range(3)] == ["s/b", "s/a", "s"]


@pytest.mark.virtual_time
@pytest.mark.parametrize(("apart", "survives"), [(10.0, False), (10.001, True)])
async def test_the_period_slides(apart: float, survives: bool) -> None:
    """A restart counts for exactly `period` seconds: two that far apart are one too many, later they are not."""
    config = Supervisor(max_restarts=1, period=10, backoff=None)
    async with ActorSystem() as system, system.events(ChildRestarted) as events:
        supervisor = await system.spawn(_doomed(config, _workers("a")), name="s")
        (child,) = supervisor.children
        for number in range(3):
            await Puppet.tell(child, _fail)
            if number == 1 and not survives:
                assert isinstance((await supervisor.join()).cause, RestartLimitExceeded)
                return
            await events.receive()
            await anyio.sleep(apart)
        assert await _incarnation(child) == 4
