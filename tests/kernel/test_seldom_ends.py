"""Ends and restarts that meet something else at the same moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.kernel.doer import PATIENT, Doer, crash
from tinyllm_actors.errors import RestartLimitExceeded, StartFailed
from tinyllm_actors.kernel import (
    Actor,
    ActorSystem,
    Backoff,
    ExitReason,
    Strategy,
    Supervisor,
)
from tinyllm_actors.kernel.scheduler import Suspension, Worker, begin, resume
from tinyllm_actors.kernel.slots import current_backend

if TYPE_CHECKING:
    from tinyllm_actors.kernel import ActorRef

pytestmark = pytest.mark.anyio


async def test_a_child_that_is_stopped_while_its_supervisor_starts_again_is_made_anew() -> None:
    """The supervisor waits for its end, and then starts what its spec says."""
    refs: dict[str, ActorRef] = {}

    class Elder(Doer):
        async def started(self) -> None:
            if self.context.incarnation > 1:
                cell = refs["younger"].cell
                cell.system.care.end(cell, ExitReason.STOPPED)

    async with ActorSystem(supervisor=PATIENT) as system:
        specs = [Elder.spec().named("elder"), Doer.spec().named("younger")]
        await system.supervise(Supervisor(max_restarts=0), specs, name="family")
        refs = {name: system[f"family/{name}"] for name in ("elder", "younger")}
        await refs["elder"].tell(crash)
        with anyio.fail_after(30):
            await refs["younger"].join()
            while system["family"].state != "RUNNING" or len(system["family"].cell.children) < 2:
                await anyio.lowlevel.checkpoint()
        assert system["family/younger"] != refs["younger"]
        assert system["family/elder"] == refs["elder"]


@pytest.mark.virtual_time
async def test_a_child_that_comes_while_its_supervisor_waits_to_start_again_stays_as_it_is() -> None:
    """Only who was there before the restart starts again with the supervisor."""
    slow = Supervisor(max_restarts=100, backoff=Backoff(initial=10.0, jitter=0.0))
    async with ActorSystem(supervisor=slow) as system:
        family = await system.supervise(Supervisor(max_restarts=0), [Doer.spec().named("elder")], name="family")
        await system["family/elder"].tell(crash)
        await anyio.sleep(5)
        assert family.state == "RESTARTING"
        guest = await family.spawn(Doer, name="guest")
        await anyio.sleep(10)
        nodes = {node.path: node.incarnation for node in system.inspect("family").children}
        assert nodes == {"family/elder": 2, "family/guest": 1}
        assert guest.alive


async def test_a_sibling_that_is_stopping_takes_no_part_in_a_restart() -> None:
    """With one for all, who was told to stop before does not come back."""
    gate = anyio.Event()

    class Slow(Doer):
        async def stopped(self, reason: ExitReason) -> None:
            await gate.wait()

    async with ActorSystem(supervisor=PATIENT) as system, anyio.create_task_group() as group:
        supervisor = Supervisor(strategy=Strategy.ONE_FOR_ALL, backoff=None)
        await system.supervise(supervisor, [Slow.spec().named("slow"), Doer.spec().named("other")], name="all")
        slow, other = system["all/slow"], system["all/other"]
        group.start_soon(slow.stop)
        await anyio.wait_all_tasks_blocked()
        await other.tell(crash)
        await anyio.wait_all_tasks_blocked()
        gate.set()
        await slow.join()

        async def which(actor: Doer) -> int:
            return actor.context.incarnation

        assert await other.ask(which) == 2
        assert not slow.alive


async def test_a_start_that_a_childs_failure_ended_says_so() -> None:
    """`spawn` names what the child's supervisor, which was still starting, gave up on."""

    class Parent(Actor):
        supervision = Supervisor(max_restarts=0)

        async def started(self) -> None:
            child = await self.context.spawn(Doer)
            await child.tell(crash)
            await anyio.sleep_forever()

        async def receive(self, message: Any) -> None:
            raise NotImplementedError

    async with ActorSystem(supervisor=PATIENT) as system:
        with anyio.fail_after(30), pytest.raises(StartFailed) as caught:
            await system.spawn(Parent)
        assert isinstance(caught.value.cause, RestartLimitExceeded)


async def test_a_passive_actor_that_was_stopped_does_not_wake() -> None:
    """The message that woke it came too late."""
    async with ActorSystem() as system:
        ref = await system.spawn(Doer)
        await ref.stop()
        await system.care.thaw(ref.cell)
        assert not ref.alive


async def test_a_fault_of_the_kernel_ends_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that cannot go on does not leave everybody waiting."""

    def broken(*_: object) -> None:
        raise RuntimeError("the kernel is broken")

    with pytest.raises(RuntimeError, match="the kernel is broken"):
        async with ActorSystem() as system:
            ref = await system.spawn(Doer)
            with monkeypatch.context() as patch:
                patch.setattr(system.care, "fail", broken)
                await ref.tell(crash)
                await anyio.sleep_forever()


async def test_a_handler_whose_event_loop_is_gone_is_closed() -> None:
    """Closing the coroutine of a worker closes the handler in it, which can clean up."""
    closed: list[str] = []

    async def handler() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            closed.append("closed")

    async with ActorSystem() as system:
        worker, context = Worker(), system.new_context()
        held = context.run(begin, None, handler)
        assert type(held) is Suspension

        async def work() -> None:
            await resume(held, context, worker)

        coroutine = work()
        coroutine.send(None)
        coroutine.close()
    assert closed == ["closed"]
    assert worker.abandoned


async def test_what_has_no_task_yet_is_not_interrupted() -> None:
    """A task that was given up before it ran has nothing that could be woken."""
    backend = current_backend()
    backend.interrupt(None)
    backend.forget_interrupt(None)


async def test_what_ends_the_program_in_a_start_with_its_own_task_ends_the_system() -> None:
    """SystemExit in `started()` is raised from the block."""

    class Exits(Actor):
        async def started(self) -> None:
            raise SystemExit(3)

    with pytest.raises(SystemExit):
        async with ActorSystem() as system:
            await system.spawn(Exits.spec().with_options(dedicated=True))


@pytest.mark.virtual_time
async def test_a_start_that_swallows_its_cancellation_is_abandoned_with_its_own_task() -> None:
    """Whoever stops the actor waits no longer than its grace, and the task ends when it next runs."""

    class Stubborn(Actor):
        async def started(self) -> None:
            while True:
                try:
                    await anyio.sleep_forever()
                except anyio.get_cancelled_exc_class():
                    gone.append("swallowed")
                    with anyio.CancelScope(shield=True):
                        await gate.wait()

    gate, gone = anyio.Event(), list[str]()
    async with ActorSystem(grace=0.01) as system, anyio.create_task_group() as group:

        async def spawn() -> None:
            with pytest.raises(StartFailed):
                await system.spawn(Stubborn.spec().with_options(dedicated=True, shutdown=0.01), name="stubborn")

        group.start_soon(spawn)
        await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(30):
            await system["stubborn"].kill()
        gate.set()
