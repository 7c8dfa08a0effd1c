"""Ways through the kernel that few programs take."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.kernel.doer import PATIENT, Doer, crash
from tinyllm_actors.errors import ActorFailed, AskTimeout
from tinyllm_actors.kernel import (
    Actor,
    ActorSystem,
    Broadcast,
    ChildFailed,
    Machine,
    Mailbox,
    Next,
    Pool,
    Reply,
    StateMachineActor,
)
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tinyllm_actors.kernel import ActorRef

pytestmark = pytest.mark.anyio


async def test_a_snapshot_of_a_busy_actor_that_fails_is_told() -> None:
    """`get_state` raises what it was once it is its turn, and the actor lives on."""
    gate = anyio.Event()

    class Shy(Puppet):
        def snapshot(self) -> Any:
            raise LookupError("nothing to see")

    async def wait(actor: Any) -> None:
        await gate.wait()

    shy: Any = None
    async with ActorSystem() as system, anyio.create_task_group() as group:
        shy = await system.spawn(Shy)
        await shy.tell(wait)
        await anyio.wait_all_tasks_blocked()

        async def look() -> None:
            with pytest.raises(ActorFailed, match="nothing to see"):
                await shy.get_state()

        group.start_soon(look)
        await anyio.wait_all_tasks_blocked()
        gate.set()
    assert not shy.alive


async def test_a_base_of_state_machines_needs_no_table() -> None:
    """What several machines share may be in a class without one."""

    class Base(StateMachineActor):
        async def on_any(self, message: str) -> Next:
            return Next(message, [Reply("it is")])

    class Lamp(Base):
        machine = Machine("lamp", {("off", "push"): "on"}, initial="off")

    async with ActorSystem() as system:
        lamp = await system.spawn(Lamp)
        assert await lamp.ask("on") == "it is"
        assert system.inspect(lamp.path).machines == {"lamp": "on"}


async def test_a_detached_producer_goes_on_without_a_reader() -> None:
    """What it emits is dropped, and it lets others run."""
    made: list[int] = []
    done = anyio.Event()

    class Source(Actor):
        async def produce(self, message: int, emit: Callable[[Any], Awaitable[None]]) -> None:
            for number in range(message):
                await emit(number)
                made.append(number)
            done.set()

    async with ActorSystem() as system:
        ref = await system.spawn(Source.spec().with_options(detached=True))
        async with ref.stream(50, buffer=2) as items:
            assert await items.receive() == 0
        with anyio.fail_after(30):
            await done.wait()
        assert made == list(range(50))


async def test_a_pool_without_members_takes_nothing() -> None:
    """`tell_nowait` says so, and the message is a dead letter."""
    async with ActorSystem() as system:
        pool = await system.spawn(Pool.spec(Doer.spec(), size=1))
        for path in [child.path for child in system.inspect(pool.path).children]:
            await system[path].stop()
        assert not pool.tell_nowait(crash)
        assert len(system.dead_letters) == 1


async def test_a_pool_takes_messages_without_a_wait_as_its_members_do() -> None:
    """`tell_nowait` to a pool asks the member whose turn it is, and says whether that one had room."""
    seen: list[str] = []
    gate = anyio.Event()

    class Member(Actor):
        async def receive(self, message: str) -> None:
            seen.append(message)
            await gate.wait()

    async with ActorSystem() as system:
        member = Member.spec().with_options(mailbox=Mailbox(capacity=1))
        pool = await system.spawn(Pool.spec(member, size=2))
        taken = [pool.tell_nowait("a"), pool.tell_nowait("b")]
        await anyio.wait_all_tasks_blocked()
        taken += [pool.tell_nowait(message) for message in ("c", "d", "e")]
        assert taken == [True, True, True, True, False]
        assert seen == ["a", "b"]
        gate.set()


async def test_a_broadcast_to_plain_handlers_ends_with_the_first_failure() -> None:
    """Those that have answered already need not be told that nobody waits."""

    class Plain(Actor):
        def receive(self, message: str) -> str:
            raise LookupError(message)

    async with ActorSystem(supervisor=PATIENT) as system:
        pool = await system.spawn(Pool.spec(Plain.spec(), size=3, routing=Broadcast()))
        with pytest.raises(ActorFailed):
            await pool.ask("boom")


async def test_many_asks_of_idle_actors_let_others_run() -> None:
    """An asker whose answers are there at once does not keep the event loop for itself."""

    class Plain(Actor):
        def receive(self, message: int) -> int:
            return message

    turns: list[int] = []

    async def other() -> None:
        while True:
            turns.append(1)
            await anyio.lowlevel.checkpoint()

    async with ActorSystem() as system, anyio.create_task_group() as group:
        ref = await system.spawn(Plain)
        group.start_soon(other)
        for number in range(10_000):
            assert await ref.ask(number) == number
        group.cancel_scope.cancel()
    assert len(turns) > 3


async def test_a_plain_handler_knows_how_long_its_asker_waits() -> None:
    """Though it runs in the asker's task, its deadline is that of the ask."""

    class Plain(Actor):
        def receive(self, message: str) -> float:
            return self.context.remaining()

    async with ActorSystem() as system:
        ref = await system.spawn(Plain)
        assert 50 < await ref.ask("now", timeout=60.0) <= 60


@pytest.mark.virtual_time
async def test_a_reply_to_an_asker_that_left_a_detached_handler_is_dropped() -> None:
    """`reply_later` in a handler whose asker has gone promises an answer to nobody."""
    gate, waiting = anyio.Event(), list[bool]()

    async def later(actor: Doer) -> None:
        await gate.wait()
        waiting.append(actor.context.reply_later().waiting)

    async with ActorSystem() as system:
        ref = await system.spawn(Doer.spec().with_options(detached=True))
        with pytest.raises(AskTimeout):
            await ref.ask(later, timeout=0.01)
        gate.set()
        await ref.stop()
        assert waiting == [False]


async def test_a_cycle_is_looked_for_once_wherever_waits_meet() -> None:
    """Two ways to the same actor are no cycle, and are followed once."""
    gate = anyio.Event()
    answers: list[Any] = []

    async def wait(actor: Doer) -> str:
        await gate.wait()
        return "done"

    async with ActorSystem() as system, anyio.create_task_group() as group:
        top, left, right, bottom = [await system.spawn(Doer) for _ in range(4)]
        await bottom.tell(wait)

        async def through(actor: Doer) -> Any:
            return await bottom.ask(wait)

        async def ask() -> None:
            async def first(actor: Doer) -> Any:
                async with anyio.create_task_group() as inside:
                    inside.start_soon(wait_for, left)
                    inside.start_soon(wait_for, right)
                return "both"

            async def wait_for(ref: ActorRef) -> None:
                answers.append(await ref.ask(through))

            await top.ask(first)

        group.start_soon(ask)
        await anyio.wait_all_tasks_blocked()

        async def of_top(actor: Doer) -> Any:
            return await top.ask(wait)

        other = await system.spawn(Doer)
        group.start_soon(_ask, other, of_top)
        await anyio.wait_all_tasks_blocked()
        gate.set()
    assert answers == ["done", "done"]


async def _ask(ref: ActorRef, message: Any) -> None:
    await ref.ask(message)


async def test_one_with_a_task_of_its_own_lets_blocked_senders_in_one_by_one() -> None:
    """Each message that it takes makes room for the next, in order."""
    seen: list[int] = []

    class Slow(Actor):
        async def receive(self, message: int) -> None:
            await anyio.lowlevel.checkpoint()
            seen.append(message)

    async with ActorSystem() as system, anyio.create_task_group() as group:
        ref = await system.spawn(Slow.spec().with_options(dedicated=True, mailbox=Mailbox(capacity=1)))
        for number in range(10):
            group.start_soon(ref.tell, number)
            await anyio.lowlevel.checkpoint()
        with anyio.fail_after(30):
            while len(seen) < 10:
                await anyio.lowlevel.checkpoint()
    assert seen == list(range(10))


@pytest.mark.virtual_time
@pytest.mark.parametrize("dedicated", [False, True])
async def test_a_timer_that_the_message_before_it_cancels_sends_nothing(dedicated: bool) -> None:
    """Two that are due at the same instant: what the first says about the second holds."""
    seen: list[str] = []

    class Timed(Actor):
        async def receive(self, message: str) -> None:
            seen.append(message)
            if message == "start":
                self.context.send_after(1.0, "first", name="first")
                self.context.send_after(1.0, "second", name="second")
            elif message == "first":
                self.context.cancel_timer("second")

    async with ActorSystem() as system:
        ref = await system.spawn(Timed.spec().with_options(dedicated=dedicated))
        await ref.tell("start")
        await anyio.sleep(5)
    assert seen == ["start", "first"]


async def test_anything_with_a_spec_can_be_spawned() -> None:
    """An object that says by `spec()` how to make an actor is enough."""

    class Recipe:
        def spec(self) -> Any:
            return Doer.spec()

    async with ActorSystem() as system, system.events(ChildFailed):
        assert (await system.spawn(Recipe())).alive
