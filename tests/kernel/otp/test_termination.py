"""OTP `supervisor_SUITE`, the groups about how a child ended and whether it comes back.

| Case of OTP | Here |
|---|---|
| permanent_normal, transient_normal, temporary_normal | `test_an_end_in_good_order` |
| permanent_abnormal, transient_abnormal, temporary_abnormal | `test_an_abnormal_end`, for each way to fail |
| permanent_shutdown, transient_shutdown, temporary_shutdown | `test_an_end_that_somebody_ordered` |
| faulty_application_shutdown | `test_a_system_that_cannot_start_says_why` |
| temporary_bystander | `test_a_temporary_bystander_goes_and_does_not_come_back` |
| do_not_save_child_specs_for_temporary_children | `test_the_name_of_a_temporary_child_is_free_again` |
| do_not_save_start_parameters_for_temporary_children | `test_nothing_is_kept_of_a_temporary_child` |

Differences, on purpose:

- `ref.stop()` and `ref.kill()` are orders, and final: not even a permanent child comes back. In OTP that is
  `supervisor:terminate_child`; `exit(Pid, kill)` from anywhere, which is a failure there, has no counterpart.
- An actor cannot end itself with reason `shutdown` or `{shutdown, Term}`: it leaves (`self.context.stop()`) or fails.
- A transient child that left is forgotten, as a temporary one is; OTP keeps its spec for `restart_child`. A supervisor
  that restarts starts both kinds of its own specs as its strategy says, see `test_trees.py`.
"""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed, StartFailed, UnknownActor
from tinyllm_actors.kernel import (
    Actor,
    ActorSystem,
    ActorTerminated,
    ChildRestarted,
    ExitKind,
    Restart,
    Strategy,
    Supervisor,
)
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from tinyllm_actors.kernel import ActorRef, ChildSpec

pytestmark = pytest.mark.anyio

BOOM = LookupError("boom")


class Worker(Puppet):
    async def stream(self, message: Any) -> AsyncGenerator[int, None]:
        yield 1
        raise BOOM


def _worker(name: str, restart: Restart) -> ChildSpec:
    return Worker.spec().named(name).with_options(restart=restart)


def _raise(_: object = None) -> None:
    raise BOOM


async def _in_a_handler(ref: ActorRef) -> None:
    await Puppet.tell(ref, _raise)


async def _in_an_answer(ref: ActorRef) -> None:
    with pytest.raises(ActorFailed) as caught:
        await Puppet.do(ref, _raise)
    assert caught.value.cause is BOOM


async def _in_a_task(ref: ActorRef) -> None:
    async def fail() -> None:
        await anyio.lowlevel.checkpoint()
        _raise()

    await Puppet.tell(ref, lambda self: self.context.start_task(fail) and None)


async def _in_a_timer(ref: ActorRef) -> None:
    await Puppet.tell(ref, lambda self: self.context.send_after(0, _raise))


async def _in_a_stream(ref: ActorRef) -> None:
    with pytest.raises(ActorFailed):
        async with ref.stream("items") as items:
            async for _ in items:
                pass


async def _by_a_link(ref: ActorRef) -> None:
    peer = await ref.cell.system.spawn(_worker("peer", Restart.TEMPORARY))
    await Puppet.do(ref, lambda self: self.context.link(peer))
    await Puppet.tell(peer, _raise)
    await peer.join()


async def _in_a_group(ref: ActorRef) -> None:
    def fail(_: object) -> None:
        raise ExceptionGroup("outer", [ExceptionGroup("inner", [BOOM])])

    await Puppet.tell(ref, fail)


WAYS = [_in_a_handler, _in_an_answer, _in_a_task, _in_a_timer, _in_a_stream, _by_a_link, _in_a_group]


async def _outcome(system: ActorSystem, ref: ActorRef, events: Any) -> bool:
    """Wait for the end of an incarnation; whether another one followed."""
    while (event := await events.receive()).path != ref.path:
        pass
    if isinstance(event, ChildRestarted):
        assert await Puppet.do(ref, lambda self: self.context.incarnation) == 2
        assert system[ref.path] == ref
        return True
    assert not ref.alive
    with pytest.raises(UnknownActor):
        system[ref.path]
    return False


@pytest.mark.parametrize("restart", Restart)
async def test_an_end_in_good_order(restart: Restart) -> None:
    """A child that leaves comes back only if it is permanent; its reference stays valid, its name stays its own."""
    async with ActorSystem() as system, system.events(ChildRestarted, ActorTerminated) as events:
        await system.supervise(Supervisor(max_restarts=2, backoff=None), [_worker("a", restart)], name="s")
        ref = system["s/a"]
        await Puppet.tell(ref, lambda self: self.context.stop())
        came_back = await _outcome(system, ref, events)
        assert came_back is (restart is Restart.PERMANENT)
        if not came_back:
            assert (await ref.join()).kind is ExitKind.NORMAL


@pytest.mark.parametrize("restart", Restart)
@pytest.mark.parametrize("fail", WAYS)
async def test_an_abnormal_end(restart: Restart, fail: Callable[[ActorRef], Awaitable[None]]) -> None:
    """However a child fails, it comes back unless it is temporary; then its end has the cause."""
    async with ActorSystem() as system, system.events(ChildRestarted, ActorTerminated) as events:
        await system.supervise(Supervisor(max_restarts=2, backoff=None), [_worker("a", restart)], name="s")
        ref = system["s/a"]
        await fail(ref)
        came_back = await _outcome(system, ref, events)
        assert came_back is (restart is not Restart.TEMPORARY)
        if not came_back:
            reason = await ref.join()
            assert reason.kind is ExitKind.FAILED
            assert reason.cause is not None
            assert BOOM in (reason.cause, reason.cause.__cause__)


@pytest.mark.parametrize("restart", Restart)
@pytest.mark.parametrize("order", ["stop", "kill"])
async def test_an_end_that_somebody_ordered(restart: Restart, order: str) -> None:
    """Whoever stops or kills a child has it gone for good, and it costs the supervisor no restart."""
    async with ActorSystem() as system, system.events(ChildRestarted, ActorTerminated) as events:
        supervisor = await system.supervise(Supervisor(max_restarts=0), [_worker("a", restart)], name="s")
        ref = system["s/a"]
        reason = await getattr(ref, order)()
        assert reason.kind is {"stop": ExitKind.STOPPED, "kill": ExitKind.KILLED}[order]
        assert await _outcome(system, ref, events) is False
        assert supervisor.alive
        assert (await supervisor.spawn(_worker("a", restart))).alive


async def test_a_system_that_cannot_start_says_why() -> None:
    """The cause of a start that fails deep in a tree comes out at the top, named and typed, and nothing is left."""

    class Faulty(Actor):
        async def started(self) -> None:
            raise ModuleNotFoundError("no such driver")

    spec = Supervisor().spec([Supervisor().spec([Faulty.spec().named("server")]).named("inner")])
    with pytest.raises(StartFailed, match="no such driver") as caught:
        async with ActorSystem() as system:
            try:
                await system.spawn(spec, name="app")
            finally:
                assert system.inspect().children == ()
    assert isinstance(caught.value.cause, ModuleNotFoundError)


@pytest.mark.parametrize("strategy", [Strategy.ONE_FOR_ALL, Strategy.REST_FOR_ONE])
async def test_a_temporary_bystander_goes_and_does_not_come_back(strategy: Strategy) -> None:
    """When a sibling's failure stops a temporary child, that is its end, and its supervisor goes on without it."""
    specs = [_worker("a", Restart.PERMANENT), _worker("b", Restart.TEMPORARY)]
    async with ActorSystem() as system, system.events(ChildRestarted) as events:
        supervisor = await system.supervise(Supervisor(strategy=strategy, backoff=None), specs, name="s")
        bystander = system["s/b"]
        await Puppet.tell(system["s/a"], _raise)
        assert (await bystander.join()).kind is ExitKind.SHUTDOWN
        assert (await events.receive()).path == "s/a"
        assert [child.name for child in supervisor.children] == ["a"]


@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize("how", ["leave", "fail", "stop", "kill"])
async def test_the_name_of_a_temporary_child_is_free_again(strategy: Strategy, how: str) -> None:
    """However a temporary child ends, its spec can be spawned again at once."""
    async with ActorSystem() as system:
        supervisor = await system.supervise(Supervisor(strategy=strategy), [], name="s")
        spec = _worker("a", Restart.TEMPORARY)
        for _ in range(3):
            child = await supervisor.spawn(spec)
            if how == "leave":
                await Puppet.tell(child, lambda self: self.context.stop())
            elif how == "fail":
                await Puppet.tell(child, _raise)
            else:
                await getattr(child, how)()
            await child.join()
        assert supervisor.children == []


@pytest.mark.usefixtures("only_new_garbage")
async def test_nothing_is_kept_of_a_temporary_child() -> None:
    """Once it has ended and its reference is dropped, its arguments are garbage."""

    class Large(list[int]):
        pass

    class Holder(Puppet):
        def __init__(self, large: Large) -> None:
            self.large = large

    async with ActorSystem() as system:
        supervisor = await system.supervise(Supervisor(), [], name="s")
        large = Large(range(1000))
        kept = weakref.ref(large)
        child = await supervisor.spawn(Holder.spec(large).with_options(restart=Restart.TEMPORARY))
        assert kept() is not None
        await Puppet.tell(child, lambda self: self.context.stop())
        await child.join()
        del large, child
        for _ in range(3):
            await anyio.lowlevel.checkpoint()  # the worker lets go of what it handled last
            gc.collect()
        assert kept() is None
