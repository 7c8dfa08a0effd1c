"""Two things that happen to an actor at once, one of which is its end."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from tinyllm_actors.errors import (
    ActorFailed,
    ActorStopped,
    RestartLimitExceeded,
    SystemClosed,
)
from tinyllm_actors.kernel import (
    Actor,
    ActorSystem,
    ChildFailed,
    ChildRestarted,
    ExitKind,
    ExitReason,
    InFlight,
    Supervisor,
)
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    from tinyllm_actors.kernel import ReplyTo
pytestmark = pytest.mark.anyio

PATIENT = Supervisor(max_restarts=100, backoff=None)


async def test_an_idle_actor_can_be_stopped_by_its_own_task() -> None:
    """`context.stop()` needs no message to take effect."""

    class Leaves(Actor):
        async def started(self) -> None:
            self.context.start_task(self.leave)

        async def leave(self) -> None:
            await go.wait()
            self.context.stop()

    go = anyio.Event()
    async with ActorSystem() as system:
        ref = await system.spawn(Leaves.spec().with_options(restart="transient"))
        go.set()
        assert (await ref.join()).kind is ExitKind.NORMAL


async def test_a_service_is_started_once_and_ends_last() -> None:
    """Whoever asks first starts it; those that use it are stopped before it."""
    ended: list[str] = []

    class Store(Puppet):
        async def stopped(self, reason: ExitReason) -> None:
            ended.append(self.context.name)

    async with ActorSystem() as system:
        await system.spawn(Store, name="before")
        first = await system.service("store", Store.spec())
        assert await system.service("store", Store.spec()) == first
        other = await system.service("other", Store.spec())
        assert other != first
        await system.spawn(Store, name="after")
    assert ended[:2] == ["after", "before"]
    assert sorted(ended[2:]) == ["other", "store"]


async def test_what_the_kernel_sends_to_an_ended_actor_is_dropped() -> None:
    """A result that comes while it is stopped reaches nobody and harms nobody."""

    class Pipes(Puppet):
        async def started(self) -> None:
            self.context.pipe_to_self(self.late, on_result=lambda value: value)

        async def late(self) -> str:
            with anyio.CancelScope(shield=True):
                await gate.wait()
            return "late"

    gate = anyio.Event()
    async with ActorSystem() as system:
        ref = await system.spawn(Pipes)
        async with anyio.create_task_group() as group:
            group.start_soon(ref.stop)
            await anyio.wait_all_tasks_blocked()
            gate.set()
        assert not ref.alive
        assert list(system.dead_letters) == []


@pytest.mark.virtual_time
async def test_who_leaves_before_the_answer_is_told_at_once_if_it_has_left() -> None:
    """`on_leave` acts now for an asker that has gone, never for one that was told or has its answer."""
    left: list[str] = []
    kept: list[ReplyTo] = []

    class Keeps(Actor):
        async def receive(self, message: str) -> None:
            reply = self.context.reply_later()
            kept.append(reply)
            reply.on_leave(lambda: left.append(message))

    async with ActorSystem() as system:
        keeps = await system.spawn(Keeps)
        with anyio.move_on_after(0.01):
            await keeps.ask("asked")
        await keeps.tell("told")
        await anyio.wait_all_tasks_blocked()
        await keeps.stop()
        assert left == ["asked"]
        kept[0].on_leave(lambda: left.append("again"))
        kept[1].on_leave(lambda: left.append("never"))
        assert left == ["asked", "again"]
        assert not kept[0].reply("late")
        assert not kept[1].fail(LookupError())


async def test_a_redelivered_message_of_an_actor_that_was_stopped_meanwhile_is_accounted_for() -> None:
    """It fails its asker once, with the failure."""

    class Breaks(Actor):
        async def receive(self, message: str) -> None:
            self.context.stop()
            raise LookupError("broken")

    async with ActorSystem(supervisor=PATIENT) as system:
        spec = Breaks.spec().with_options(restart="temporary", on_inflight=InFlight(2))
        with pytest.raises((ActorFailed, ActorStopped)):
            await (await system.spawn(spec)).ask("go", timeout=5)


async def test_who_asked_a_supervisor_that_gave_up_is_told_why() -> None:
    """Its handler is cancelled, and the asker gets the failure, not the cancellation."""

    class Child(Actor):
        async def receive(self, message: object) -> None:
            raise LookupError("broken")

    class Parent(Actor):
        supervision = Supervisor(max_restarts=0)

        async def receive(self, message: object) -> None:
            child = await self.context.spawn(Child)
            await child.tell("break")
            await anyio.sleep_forever()

    async with ActorSystem(supervisor=PATIENT) as system:
        parent = await system.spawn(Parent)
        with pytest.raises(ActorFailed) as caught:
            await parent.ask("go", timeout=5)
        assert isinstance(caught.value.cause, RestartLimitExceeded)


async def test_a_result_of_which_no_message_can_be_made_is_a_failure_of_the_actor() -> None:
    """As is a failure for which `on_error` raises."""

    class Pipes(Actor):
        async def receive(self, message: str) -> None:
            if message == "result":
                self.context.pipe_to_self(_nothing, on_result=lambda _: 1 / 0)
            else:
                self.context.pipe_to_self(_broken, on_result=str, on_error=lambda _: 1 / 0)

    async with ActorSystem(supervisor=PATIENT) as system, system.events(ChildFailed) as events:
        pipes = await system.spawn(Pipes)
        for message in ("result", "error"):
            await pipes.tell(message)
            assert isinstance((await events.receive()).cause, ZeroDivisionError)


async def _nothing() -> None: ...


async def _broken() -> None:
    raise LookupError("broken")


async def test_an_actor_that_ends_with_its_system_starts_nothing_more() -> None:
    """Its `stopped()` is told that the system is closed, or that it is stopping itself."""
    told: list[BaseException] = []

    class Late(Puppet):
        async def stopped(self, reason: ExitReason) -> None:
            try:
                await self.context.spawn(Puppet)
            except (SystemClosed, ActorStopped) as error:
                told.append(error)

    async with ActorSystem() as system:
        await (await system.spawn(Late)).stop()
        await system.spawn(Late)
    assert [type(error) for error in told] == [ActorStopped, SystemClosed]


@pytest.mark.virtual_time
async def test_a_suspension_can_be_taken_back_while_the_message_in_processing_runs() -> None:
    """Then nothing is handled twice or at the same time."""
    gate = anyio.Event()
    running: list[str] = []

    class Slow(Actor):
        async def receive(self, message: str) -> str:
            running.append(message)
            await gate.wait()
            assert running.pop() == message
            return message

    async with ActorSystem() as system:
        slow = await system.spawn(Slow)
        asks = [slow.ask(message) for message in ("first", "second")]
        await anyio.wait_all_tasks_blocked()
        with anyio.move_on_after(0.01):
            await slow.suspend()
        await slow.resume()
        await anyio.wait_all_tasks_blocked()
        assert running == ["first"]
        gate.set()
        assert [await ask for ask in asks] == ["first", "second"]


async def test_children_that_came_later_come_back_with_their_supervisor() -> None:
    """Those of its specs first; one that was stopped meanwhile stays away."""

    class Fragile(Actor):
        async def receive(self, message: str) -> int:
            if message == "break":
                raise LookupError(message)
            return self.context.incarnation

    async with ActorSystem(supervisor=PATIENT) as system:
        node = await system.supervise(Supervisor(max_restarts=0), [Fragile.spec().named("first")], name="node")
        later = await node.spawn(Fragile, name="later")
        gone = await node.spawn(Fragile, name="gone")
        await gone.stop()
        async with system.events(ChildRestarted) as events:
            await system["node/first"].tell("break")
            with anyio.fail_after(30):
                await events.receive()
        assert await later.ask("?", timeout=5) == 2
        assert [child.name for child in system.inspect("node").children] == ["first", "later"]
