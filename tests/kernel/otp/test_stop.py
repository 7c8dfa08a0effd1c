"""OTP `supervisor_SUITE`, the group `sup_stop` and what else it says about ends that take time.

| Case of OTP | Here |
|---|---|
| sup_stop_infinity | `test_a_child_with_all_the_time_it_wants_gets_it` |
| sup_stop_timeout | `test_a_child_that_takes_too_long_is_cancelled` |
| sup_stop_timeout_dynamic, simple_one_for_one_shutdown | `test_dynamic_children_share_the_time_to_stop` |
| sup_stop_brutal_kill | `test_a_brutal_kill_asks_nobody` |
| sup_stop_brutal_kill_dynamic | `test_a_brutal_kill_of_many_asks_nobody` |
| sup_stop_race | `test_a_child_that_ends_while_it_is_stopped_is_no_failure` |
| the same, of a sibling | `test_nobody_is_restarted_while_the_supervisor_ends` |
| sup_stop_non_shutdown_exit_dynamic | `test_a_child_that_fails_in_its_end_is_reported` |
| child_unlink | `test_a_child_that_cannot_be_ended_does_not_hold_up_its_supervisor` |
| shutdown order, in the manual and in `tree` | `test_a_tree_ends_from_the_leaves_and_from_the_last` |

The times are exact, on a virtual clock. OTP's two steps, `exit(Pid, shutdown)` and `exit(Pid, kill)`, are three here,
since a coroutine can refuse both: wait, cancel, abandon. Nothing of this group does not apply.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.kernel import (
    BRUTAL_KILL,
    ActorSystem,
    ActorTerminated,
    ChildFailed,
    ChildRestarted,
    DynamicSupervisor,
    ExitKind,
    Supervisor,
    Unanswered,
)
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tinyllm_actors.kernel import ActorRef, ChildSpec, ExitReason

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

LOG: list[tuple[str, float]] = []
BEGUN: list[str] = []


class Worker(Puppet):
    """Takes some seconds to stop."""

    def __init__(self, takes: float = 0.0) -> None:
        self._takes = takes

    async def stopped(self, reason: ExitReason) -> None:
        BEGUN.append(self.context.name)
        await anyio.sleep(self._takes)
        LOG.append((self.context.name, anyio.current_time()))


@pytest.fixture(autouse=True)
def _fresh_log() -> None:
    LOG.clear()
    BEGUN.clear()


def _worker(name: str, takes: float = 0.0, **options: Any) -> ChildSpec:
    return Worker.spec(takes).named(name).with_options(**options)


async def _busy(ref: ActorRef, handler: Callable[[], Awaitable[object]]) -> None:
    """Return once the actor is inside of `handler`."""
    entered = anyio.Event()

    async def work(_: Puppet) -> None:
        entered.set()
        await handler()

    await Puppet.tell(ref, work)
    await entered.wait()


async def _seconds(what: Awaitable[object]) -> float:
    began = anyio.current_time()
    await what
    return anyio.current_time() - began


async def test_a_child_with_all_the_time_it_wants_gets_it() -> None:
    """Without a bound the supervisor waits for an hour's message and an hour's clean-up, and then ends in order."""
    async with ActorSystem() as system:
        supervisor = await system.supervise(Supervisor(), [_worker("a", 3600, shutdown=float("inf"))], name="s")
        child = system["s/a"]
        await _busy(child, lambda: anyio.sleep(3600))
        assert await _seconds(supervisor.stop()) == pytest.approx(7200)
        assert (await child.join()).kind is ExitKind.SHUTDOWN
        assert [name for name, _ in LOG] == ["a"]


async def test_a_child_that_takes_too_long_is_cancelled() -> None:
    """After its `shutdown` seconds a message is cancelled, and after as many again a clean-up that does not end."""
    async with ActorSystem() as system:
        specs = [_worker("quick", shutdown=1), _worker("slow", shutdown=1), _worker("slower", 3600, shutdown=1)]
        supervisor = await system.supervise(Supervisor(), specs, name="s")
        await _busy(system["s/slow"], anyio.sleep_forever)
        began = anyio.current_time()
        assert await _seconds(supervisor.stop()) == pytest.approx(2)
        assert [name for name, _ in LOG] == ["slow", "quick"]
        assert [when for _, when in LOG] == pytest.approx([began + 2] * 2)


async def test_dynamic_children_share_the_time_to_stop() -> None:
    """Children of a dynamic supervisor stop at once: those that need 1 s do, one that needs 5 is cut off after 2."""
    async with ActorSystem() as system:
        pool = await system.supervise(DynamicSupervisor(), [], name="pool")
        for name, takes in (("a", 1), ("b", 1), ("c", 5)):
            await pool.spawn(_worker(name, takes, shutdown=2))
        assert await _seconds(pool.stop()) == pytest.approx(2)
        assert sorted(LOG) == [("a", pytest.approx(1)), ("b", pytest.approx(1))]


async def test_a_brutal_kill_asks_nobody() -> None:
    """A child under `BRUTAL_KILL` ends in the instant, in the middle of its message and without `stopped()`."""
    async with ActorSystem() as system:
        specs = [_worker("polite", 1), _worker("brutal", 3600, shutdown=BRUTAL_KILL)]
        supervisor = await system.supervise(Supervisor(), specs, name="s")
        brutal = system["s/brutal"]
        await _busy(brutal, anyio.sleep_forever)
        assert await _seconds(supervisor.stop()) == pytest.approx(1)
        assert BEGUN == ["polite"]
        assert not brutal.alive


async def test_a_brutal_kill_of_many_asks_nobody() -> None:
    """The same of a hundred children of a dynamic supervisor."""
    async with ActorSystem() as system:
        pool = await system.supervise(DynamicSupervisor(), [], name="pool")
        for number in range(100):
            child = await pool.spawn(_worker(str(number), 3600, shutdown=BRUTAL_KILL))
            if number % 2:
                await _busy(child, anyio.sleep_forever)
        children = pool.children
        assert await _seconds(pool.stop()) == pytest.approx(0)
        assert not any(child.alive for child in children)
        assert BEGUN == []


async def test_a_child_that_ends_while_it_is_stopped_is_no_failure() -> None:
    """A child that leaves, or fails, in the message during which its supervisor stops is not restarted."""

    async def leave(self: Puppet) -> None:
        entered.set()
        await anyio.sleep(1)
        self.context.stop()

    async def crash(_: Puppet) -> None:
        entered.set()
        await anyio.sleep(1)
        raise LookupError("on my way out")

    async with ActorSystem() as system:
        for number, last_act in enumerate((leave, crash)):
            supervisor = await system.supervise(Supervisor(max_restarts=0), [_worker("a")], name=str(number))
            child, entered = system[f"{number}/a"], anyio.Event()
            await Puppet.tell(child, last_act)
            await entered.wait()
            assert await _seconds(supervisor.stop()) == pytest.approx(1)
            assert (await child.join()).kind is ExitKind.SHUTDOWN
        assert [name for name, _ in LOG] == ["a", "a"]


@pytest.mark.parametrize("how", ["fail", "leave"])
async def test_nobody_is_restarted_while_the_supervisor_ends(how: str) -> None:
    """A child that fails or leaves while a later one is still being stopped ends for good."""
    config = Supervisor(max_restarts=3, backoff=None)
    async with ActorSystem() as system, system.events(ChildRestarted) as restarts:
        supervisor = await system.supervise(config, [_worker("a"), _worker("slow", 3)], name="s")
        child = system["s/a"]

        async def last_act(self: Puppet) -> None:
            await anyio.sleep(1)
            if how == "fail":
                raise LookupError("too soon")
            self.context.stop()

        await Puppet.tell(child, last_act)
        assert await _seconds(supervisor.stop()) == pytest.approx(3)
        assert not child.alive
        assert [name for name, _ in LOG] == ["a", "slow"]
        assert restarts.receive_nowait() is None


async def test_a_child_that_fails_in_its_end_is_reported() -> None:
    """What `stopped()` raises is published as a failure, and changes nothing about the end of child and supervisor."""

    class Sore(Worker):
        async def stopped(self, reason: ExitReason) -> None:
            raise OSError("it hurt")

    async with ActorSystem() as system, system.events(ChildFailed) as failures:
        pool = await system.supervise(DynamicSupervisor(max_restarts=0), [], name="pool")
        children = [await pool.spawn(Sore) for _ in range(3)]
        assert (await pool.stop()).kind is ExitKind.STOPPED
        assert {(await child.join()).kind for child in children} == {ExitKind.SHUTDOWN}
        reported = [await failures.receive() for _ in children]
        assert {event.path for event in reported} == {child.path for child in children}
        assert all(isinstance(event.cause, OSError) for event in reported)


async def test_a_child_that_cannot_be_ended_does_not_hold_up_its_supervisor() -> None:
    """A handler that swallows its cancellation is given up after `shutdown` and `grace` seconds, and said to be."""

    async def refuse() -> None:
        for _ in range(2):
            try:
                await anyio.sleep_forever()
            except BaseException:  # noqa: BLE001, RUF100 - what nobody should write, and somebody does
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(60)

    async with ActorSystem(grace=1.0) as system, system.events(Unanswered, ActorTerminated) as events:
        supervisor = await system.supervise(Supervisor(), [_worker("naughty", shutdown=1)], name="s")
        await _busy(system["s/naughty"], refuse)
        assert await _seconds(supervisor.stop()) == pytest.approx(2)
        assert await events.receive() == Unanswered("s/naughty", 1.0)
        assert [(await events.receive()).path for _ in range(2)] == ["s/naughty", "s"]


async def test_a_tree_ends_from_the_leaves_and_from_the_last() -> None:
    """Each supervisor ends its children in reverse start order, and those end theirs before they have ended."""
    left = Supervisor().spec([_worker("a", 1), _worker("b", 1)]).named("left")
    right = Supervisor().spec([_worker("c", 1), _worker("d", 1)]).named("right")
    async with ActorSystem() as system:
        top = await system.supervise(Supervisor(), [left, _worker("middle", 1), right], name="top")
        assert await _seconds(top.stop()) == pytest.approx(5)
        assert [name for name, _ in LOG] == ["d", "c", "middle", "b", "a"]
