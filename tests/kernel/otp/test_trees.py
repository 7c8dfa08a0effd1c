"""OTP `supervisor_SUITE`, the cases about trees, counts, restarts that hang, and scale.

| Case of OTP | Here |
|---|---|
| tree | `test_a_branch_restarts_with_its_own_children_and_without_guests` |
| count_children, count_children_supervisor | `test_thousands_of_children_are_counted` |
| count_restarting_children | `test_children_that_restart_are_still_children` |
| simple_global_supervisor | `test_a_registered_name_outlives_restarts` |
| hanging_restart_loop, hanging_restart_loop_simple | `test_a_child_that_cannot_come_back_can_be_stopped` |
| hanging_restart_loop_rest_for_one | `test_those_after_it_can_be_stopped_too` |
| the same, "terminating supervisor" | `test_a_supervisor_of_children_that_cannot_come_back_can_be_stopped` |
| order_of_children | `test_the_order_of_children_stays` |
| scale_start_stop_many_children, simple_one_for_one_scale_many_temporary_children | `test_stops_do_not_slow_down` |

Differences, on purpose: of a child in `rest_for_one` that is stopped while it cannot restart, OTP leaves those after it
down until somebody calls `restart_child`; here they start (a stop is no failure, and nobody would start them).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorStopped
from tinyllm_actors.kernel import (
    ActorSystem,
    ChildFailed,
    ChildRestarted,
    DynamicSupervisor,
    ExitKind,
    Lifecycle,
    Restart,
    Strategy,
    Supervisor,
)
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    from tinyllm_actors.kernel import ActorRef, ChildSpec

pytestmark = pytest.mark.anyio

BROKEN: set[str] = set()


class Worker(Puppet):
    """Does not start while its name is among the broken ones, or hangs there if `hang` is."""

    async def started(self) -> None:
        if self.context.name in BROKEN:
            if "hang" in BROKEN:
                await anyio.sleep_forever()
            raise OSError(f"{self.context.name} is broken")


@pytest.fixture(autouse=True)
def _mended() -> None:
    BROKEN.clear()


def _workers(*names: str) -> list[ChildSpec]:
    return [Worker.spec().named(name) for name in names]


def _fail(_: object) -> None:
    raise LookupError("boom")


async def _incarnation(ref: ActorRef) -> int:
    return await Puppet.do(ref, lambda self: self.context.incarnation, timeout=60)  # longer than any back-off


async def test_a_branch_restarts_with_its_own_children_and_without_guests() -> None:
    """When a dynamic branch gives up, one for all restarts every branch: specs come back, guests and the gone do not.

    A failure below is first a matter of the branch alone.
    """
    guests = DynamicSupervisor(max_restarts=1, backoff=None).spec([]).named("guests")
    gone = Supervisor().spec([]).named("gone").with_options(restart=Restart.TEMPORARY)
    own = Supervisor().spec(_workers("a", "b")).named("own")
    top = Supervisor(strategy=Strategy.ONE_FOR_ALL, max_restarts=4, backoff=None)
    async with ActorSystem() as system, system.events(ChildRestarted) as events:
        await system.supervise(top, [own, guests, gone], name="top")
        await system["top/gone"].stop()
        a, b = system["top/own"].children
        first, second = [await system["top/guests"].spawn(spec) for spec in _workers("c", "d")]

        await Puppet.tell(second, _fail)
        assert (await events.receive()).path == second.path
        assert [await _incarnation(ref) for ref in (a, b, first, second)] == [1, 1, 1, 2]

        await Puppet.tell(first, _fail)
        assert {(await events.receive()).path for _ in range(2)} == {"top/own", "top/guests"}
        assert system["top/own"].children == [a, b]
        assert [await _incarnation(ref) for ref in (a, b)] == [2, 2]
        assert system["top/guests"].children == []
        assert [child.name for child in system["top"].children] == ["own", "guests"]
        assert not first.alive


@pytest.mark.parametrize("kind", ["worker", "supervisor"])
async def test_thousands_of_children_are_counted(kind: str) -> None:
    """What a supervisor lists is what lives: 1,000, then 2,000, then none."""
    spec = Worker.spec() if kind == "worker" else Supervisor().spec()
    spec = spec.with_options(restart=Restart.TEMPORARY)
    async with ActorSystem() as system:
        pool = await system.supervise(DynamicSupervisor(), [], name="pool")
        for count in (1000, 2000):
            for _ in range(1000):
                await pool.spawn(spec)
            children = pool.children
            assert len(set(children)) == count
            assert len(system.inspect("pool").children) == count
        for child in pool.children:
            await child.kill()
        assert pool.children == []


@pytest.mark.virtual_time
async def test_children_that_restart_are_still_children() -> None:
    """A child that waits for its restart is listed with its state, and comes back when it can."""
    config = DynamicSupervisor(max_restarts=20, period=10)
    async with ActorSystem() as system, system.events(ChildFailed) as failures:
        pool = await system.supervise(config, _workers("a", "b", "c"), name="pool")
        children = pool.children
        BROKEN.update("ab")
        for child in children[:2]:
            await Puppet.tell(child, _fail)
        for _ in range(4):  # the crash, and a first restart that fails
            await failures.receive()
        assert pool.children == children
        states = [node.state for node in system.inspect("pool").children]
        assert states[2] == Lifecycle.RUNNING
        assert set(states[:2]) <= {Lifecycle.RESTARTING, Lifecycle.STARTING}
        BROKEN.clear()
        assert [await _incarnation(child) > 2 for child in children] == [True, True, False]
        for child in children:
            await child.stop()
        assert pool.children == []


async def test_a_registered_name_outlives_restarts() -> None:
    """A name leads to the same actor through its own restart and its supervisor's, and is free after its end."""

    class Server(Worker):
        async def started(self) -> None:
            self.context.system.registry.register("server", self.context.ref)

    middle = Supervisor(strategy=Strategy.ONE_FOR_ALL, max_restarts=1, backoff=None)
    top = Supervisor(strategy=Strategy.ONE_FOR_ALL, max_restarts=3, period=60, backoff=None)
    async with ActorSystem() as system:
        await system.supervise(top, [middle.spec([Server.spec().named("server")]).named("middle")], name="top")
        server = system.registry["server"]
        for incarnation in (2, 3):  # the second failure is too much for the middle
            await Puppet.tell(server, _fail)
            assert await _incarnation(system.registry["server"]) == incarnation
        assert system.registry["server"] == server
        await system["top"].kill()
        assert "server" not in system.registry


@pytest.mark.virtual_time
@pytest.mark.parametrize("way", ["fail", "hang"])
@pytest.mark.parametrize("config", [Supervisor(max_restarts=1000), DynamicSupervisor(max_restarts=1000)])
async def test_a_child_that_cannot_come_back_can_be_stopped(config: Supervisor, way: str) -> None:
    """Whether each restart fails or the start hangs, a stop ends it, its asker is told, and a new child can start."""
    async with ActorSystem() as system, system.events(ChildFailed) as failures:
        supervisor = await system.supervise(config, _workers("a"), name="s")
        child = system["s/a"]
        BROKEN.update({"a", way})
        await Puppet.tell(child, _fail)
        await failures.receive()
        if way == "fail":
            await failures.receive()
        else:
            await anyio.sleep(60)
        question = child.ask(_fail, timeout=None)
        assert (await child.stop(timeout=1)).kind is ExitKind.STOPPED
        with pytest.raises(ActorStopped):
            await question
        assert supervisor.children == []
        BROKEN.clear()
        (spec,) = _workers("a")
        assert await _incarnation(await supervisor.spawn(spec)) == 1


@pytest.mark.virtual_time
@pytest.mark.parametrize("way", ["fail", "hang"])
async def test_those_after_it_can_be_stopped_too(way: str) -> None:
    """In rest for one, those that wait for a child that cannot start can be stopped, and start when it is stopped."""
    config = Supervisor(strategy=Strategy.REST_FOR_ONE, max_restarts=1000)
    async with ActorSystem() as system:
        supervisor = await system.supervise(config, _workers("a", "b", "c", "d"), name="s")
        a, b, c, d = supervisor.children
        BROKEN.update({"b", way})
        await Puppet.tell(b, _fail)
        await anyio.sleep(60)
        assert [await _incarnation(a), c.state, d.state] == [1, Lifecycle.RESTARTING, Lifecycle.RESTARTING]
        assert (await c.stop(timeout=1)).kind is ExitKind.STOPPED
        assert (await b.stop(timeout=1)).kind is ExitKind.STOPPED
        assert await _incarnation(d) == 2
        assert supervisor.children == [a, d]


@pytest.mark.virtual_time
@pytest.mark.parametrize("way", ["fail", "hang"])
@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_a_supervisor_of_children_that_cannot_come_back_can_be_stopped(
    strategy: Strategy, way: str, how: str
) -> None:
    """A supervisor in the middle of restarts that do not succeed ends within its children's time to end."""
    config = Supervisor(strategy=strategy, max_restarts=1000)
    async with ActorSystem() as system:
        supervisor = await system.supervise(config, _workers("a", "b", "c"), name="s")
        children = supervisor.children
        BROKEN.update({"b", way})
        await Puppet.tell(children[1], _fail)
        await anyio.sleep(60)
        began = anyio.current_time()
        await getattr(supervisor, how)()
        assert anyio.current_time() - began <= 5
        assert not any(child.alive for child in children)


@pytest.mark.parametrize("strategy", Strategy)
async def test_the_order_of_children_stays(strategy: Strategy) -> None:
    """Whoever restarts, and whether in turn or with the supervisor, children are listed in the order of their start."""
    config = Supervisor(strategy=strategy, max_restarts=3, backoff=None)
    top = Supervisor(backoff=None)
    async with ActorSystem() as system, system.events(ChildRestarted) as events:
        await system.supervise(top, [config.spec(_workers("a", "b", "c")).named("s")], name="top")
        children = system["top/s"].children
        for victim in (1, 0, 2):
            await Puppet.tell(children[victim], _fail)
            for child in children:
                await _incarnation(child)
            assert system["top/s"].children == children
        await Puppet.tell(children[1], _fail)
        while (await events.receive()).path != "top/s":
            pass
        assert system["top/s"].children == children


async def test_stops_do_not_slow_down() -> None:
    """To stop ten times as many children, first to last or last to first, takes about ten times as long."""

    async def seconds(system: Any, count: int, *, backwards: bool) -> float:
        pool = await system.supervise(DynamicSupervisor(), [], name="pool")
        children = [await pool.spawn(Puppet) for _ in range(count)]
        began = time.process_time()
        for child in reversed(children) if backwards else children:
            await child.stop()
        took = time.process_time() - began
        await pool.stop()
        return took

    async with ActorSystem() as system:
        for backwards in (False, True):
            few = min([await seconds(system, 300, backwards=backwards) for _ in range(3)])
            many = min([await seconds(system, 3000, backwards=backwards) for _ in range(3)])
            assert many / few < 50  # OTP's own bound; quadratic would be 100
