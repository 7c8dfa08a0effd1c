"""Promises at the edges: what the rules say of mistakes, of bad moments, and of what seldom happens."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import (
    ActorFailed,
    ActorStopped,
    MailboxFull,
    RestartLimitExceeded,
    StartFailed,
    SystemClosed,
    UnknownActor,
)
from tinyllm_actors.kernel import (
    Actor,
    ActorSystem,
    Broadcast,
    ChildFailed,
    ChildOptions,
    ChildRestarted,
    ConsoleLog,
    ExitKind,
    ExitReason,
    InFlight,
    LeastBusy,
    Mailbox,
    Pool,
    Supervisor,
    Terminated,
    Unanswered,
    trace,
)
from tinyllm_actors.kernel.failure import without_cancellation
from tinyllm_actors.kernel.slots import current_backend
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tinyllm_actors.kernel import ReplyTo
pytestmark = pytest.mark.anyio

PATIENT = Supervisor(max_restarts=100, backoff=None)


# --- what is not there ----------------------------------------------------------------------------


async def test_what_an_actor_does_not_define_is_named() -> None:
    """An ask, a stream and a producer that lead nowhere say which method is missing."""

    class Half(Actor):
        async def produce(self, message: Any, emit: Any) -> None:
            await super().produce(message, emit)

    async with ActorSystem(supervisor=PATIENT) as system:
        bare, half = await system.spawn(Actor), await system.spawn(Half)
        with pytest.raises(ActorFailed, match=r"does not define receive\(\)"):
            await bare.ask("hello")
        for ref, missing in ((bare, "stream"), (half, "produce")):
            with pytest.raises(ActorFailed, match=rf"does not define {missing}\(\)"):
                async with ref.stream("hello") as items:
                    await items.receive()


async def test_the_context_shows_the_family() -> None:
    """An actor sees its parent and its children, and may supervise more of them."""

    class Child(Actor):
        async def receive(self, message: object) -> str | None:
            parent = self.context.parent
            return None if parent is None else parent.path

    class Parent(Actor):
        async def receive(self, message: str) -> Any:
            if message == "supervise":
                await self.context.supervise(Supervisor(), [Child.spec().named("c")], name="s")
                return [child.path for child in self.context.children]
            if message == "parent":
                return self.context.parent
            return self.context.child(message).path

    async with ActorSystem(supervisor=PATIENT) as system:
        parent = await system.spawn(Parent, name="p")
        assert await parent.ask("parent") is None
        with pytest.raises(ActorFailed) as caught:
            await parent.ask("s")
        assert isinstance(caught.value.cause, UnknownActor)
        assert await parent.ask("supervise") == ["p/s"]
        assert await parent.ask("s") == "p/s"
        assert await system["p/s/c"].ask("?") == "p/s"
        with pytest.raises(ActorFailed, match="nobody"):
            await parent.ask("nobody")


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


async def test_a_snapshot_that_fails_is_told() -> None:
    """`get_state` raises what it was, and the actor lives on."""

    class Shy(Puppet):
        def snapshot(self) -> Any:
            raise LookupError("nothing to see")

    async with ActorSystem() as system:
        shy = await system.spawn(Shy)
        with pytest.raises(ActorFailed, match="nothing to see"):
            await shy.get_state()
        assert shy.alive


async def test_nothing_is_spawned_where_nothing_can_be() -> None:
    """What is no actor, has its arguments already, or comes too late is refused with the reason."""
    async with ActorSystem() as system:
        with pytest.raises(TypeError, match="cannot spawn 42"):
            await system.spawn(42)
        with pytest.raises(TypeError, match="has its arguments already"):
            await system.spawn(Puppet.spec(), 1)
        with pytest.raises(StartFailed, match="made a int"):
            await system.spawn(lambda: 1)
    with pytest.raises(SystemClosed):
        await system.spawn(Puppet)
    with pytest.raises(RuntimeError, match="was used already"):
        async with system:
            pass


async def test_a_supervisor_takes_neither_messages_nor_streams() -> None:
    """Asks and streams fail, tells become dead letters, and its children live on."""
    async with ActorSystem() as system:
        node = await system.supervise(Supervisor(), [Puppet.spec().named("child")], name="node")
        await node.tell("hello")
        with pytest.raises(ActorFailed, match="takes no messages"):
            await node.ask("hello")
        with pytest.raises(ActorFailed, match="takes no messages"):
            async with node.stream("hello") as items:
                await items.receive()
        assert [letter.message for letter in system.dead_letters] == ["hello"]
        assert system.inspect("node/child").incarnation == 1


# --- services -------------------------------------------------------------------------------------


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


# --- mailboxes ------------------------------------------------------------------------------------


async def test_a_priority_that_fails_is_the_business_of_whoever_sent_the_message() -> None:
    """One that waits for room gets the error, as one does that need not wait; the actor goes on."""
    gate = anyio.Event()

    class Slow(Actor):
        async def receive(self, message: dict[str, float]) -> float:
            await gate.wait()
            return message["urgency"]

    mailbox = Mailbox(capacity=1, priority=lambda message: message["urgency"])
    async with ActorSystem() as system:
        slow = await system.spawn(Slow.spec().with_options(mailbox=mailbox))
        asks = [slow.ask({"urgency": number}) for number in range(2)]
        failures: list[BaseException] = []

        async def send() -> None:
            try:
                await slow.tell({})
            except KeyError as error:
                failures.append(error)

        ask = slow.ask({})
        async with anyio.create_task_group() as group:
            group.start_soon(send)
            await anyio.wait_all_tasks_blocked()
            gate.set()
        assert [await one for one in asks] == [0, 1]
        with pytest.raises(KeyError):
            await ask
        assert len(failures) == 1


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


async def test_a_broadcast_waits_for_room_at_each_member() -> None:
    """One that is full refuses after its time, which the sender is told when all others have theirs."""
    gate = anyio.Event()

    class Slow(Actor):
        async def receive(self, message: int) -> None:
            await gate.wait()

    for overflow in ("reject", "block"):
        gate = anyio.Event()
        mailbox = Mailbox(capacity=1, overflow=overflow, block_timeout=0.01)  # pyright: ignore[reportArgumentType]
        async with ActorSystem(supervisor=PATIENT) as system:
            pool = await system.spawn(Pool.spec(Slow.spec().with_options(mailbox=mailbox), 2, Broadcast()))
            await pool.tell(1)
            await anyio.wait_all_tasks_blocked()
            await pool.tell(2)
            with pytest.raises(MailboxFull):
                await pool.tell(3)
            assert not pool.tell_nowait(4)
            gate.set()


async def test_one_task_reads_a_stream_and_opens_it_once() -> None:
    """A second reader, or a second opening, is a mistake that is named; `drain` takes what is there."""

    class Numbers(Actor):
        async def stream(self, message: int) -> AsyncGenerator[int, None]:
            for number in range(message):
                yield number
            await gate.wait()

    gate = anyio.Event()
    async with ActorSystem() as system:
        numbers = await system.spawn(Numbers)
        request = numbers.stream(3)
        async with request as items, anyio.create_task_group() as group:
            await anyio.wait_all_tasks_blocked()
            assert items.drain() == [0, 1, 2]
            assert items.drain() == []
            group.start_soon(_end, items)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(RuntimeError, match="read by another task"):
                await items.receive()
            gate.set()
        with pytest.raises(RuntimeError, match="opened already"):
            async with request:
                pass


async def _end(items: Any) -> None:
    with pytest.raises(anyio.EndOfStream):
        await items.receive()


# --- answers that come later ----------------------------------------------------------------------


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


# --- an actor with a task of its own --------------------------------------------------------------


@pytest.mark.virtual_time
async def test_an_actor_with_a_task_of_its_own_sleeps_until_a_message_comes() -> None:
    """Passivation ends its task, and only the next message starts another."""

    class Own(Actor):
        options = ChildOptions(dedicated=True, passivate_after=10.0)

        async def receive(self, message: object) -> int:
            return self.context.incarnation

    async with ActorSystem() as system:
        own = await system.spawn(Own, name="own")
        for incarnation in (1, 2, 3):
            assert await own.ask("?", timeout=5) == incarnation
            await anyio.sleep(1000.0)
            node = system.inspect("own")
            assert (node.state, node.incarnation) == ("PASSIVE", incarnation)


async def test_one_that_does_not_close_at_all_is_abandoned() -> None:
    """`stopped()` that swallows its cancellation holds nobody up longer than the grace."""
    gate = anyio.Event()

    class Stubborn(Puppet):
        options = ChildOptions(dedicated=True, shutdown=0.01)

        async def stopped(self, reason: ExitReason) -> None:
            with anyio.CancelScope(shield=True):
                await gate.wait()

    async with ActorSystem(grace=0.01) as system, system.events(Unanswered) as events:
        stubborn = await system.spawn(Stubborn)
        await stubborn.stop()
        assert (await events.receive()).path == stubborn.path
        gate.set()


async def test_a_queued_message_whose_asker_left_is_skipped_by_its_own_task() -> None:
    """As by the pooled workers."""
    gate = anyio.Event()
    seen: list[str] = []

    class Own(Actor):
        options = ChildOptions(dedicated=True)

        async def receive(self, message: str) -> None:
            seen.append(message)
            await gate.wait()

    async with ActorSystem() as system:
        own = await system.spawn(Own)
        await own.tell("first")
        with anyio.move_on_after(0.01):
            await own.ask("left")
        last = own.ask("last")
        gate.set()
        await last
        assert seen == ["first", "last"]


# --- the console ----------------------------------------------------------------------------------


def test_the_console_wipes_what_is_drawn_below_and_writes_no_empty_text() -> None:
    """`below` is called before each write, and nothing is written for nothing."""
    file = io.StringIO()
    log = ConsoleLog(file)
    wiped: list[str] = []
    log.below = lambda: wiped.append(file.getvalue())
    log.write("")
    log.end()
    assert (file.getvalue(), wiped) == ("", [])
    log.write("text")
    log.line("a line")
    log.end()
    assert file.getvalue() == "text\na line\n"
    assert wiped == ["", "text"]


# --- watching and tracing -------------------------------------------------------------------------


async def test_a_watch_and_a_link_of_one_actor_end_separately() -> None:
    """Taking back the link leaves the watch, and the other way round."""
    seen: list[object] = []

    class Watches(Actor):
        async def receive(self, message: Any) -> None:
            if callable(message):
                message(self)
            else:
                seen.append(message)

    async with ActorSystem(supervisor=PATIENT) as system:
        target, watcher = await system.spawn(Puppet), await system.spawn(Watches)
        await watcher.ask(lambda self: (self.context.watch(target), self.context.link(target)))
        await watcher.ask(lambda self: self.context.unlink(target))
        await target.kill()
        await watcher.ask(lambda self: None)
        assert [type(message) for message in seen] == [Terminated]
        assert system.inspect(watcher.path).incarnation == 1


async def test_a_trace_goes_on_through_sleep() -> None:
    """An actor that is passive when the trace begins shows the messages that wake it."""

    class Sleepy(Actor):
        options = ChildOptions(passivate_after=0.01)

        async def receive(self, message: str) -> str:
            return message

    async with ActorSystem() as system:
        sleepy = await system.spawn(Sleepy, name="s")
        with anyio.fail_after(5):
            while system.inspect("s").state != "PASSIVE":  # noqa: ASYNC110 - it falls asleep on its own
                await anyio.sleep(0.01)
        async with trace(sleepy) as records:
            await sleepy.ask("hello")
            assert (await records.receive()).message == "str"


async def test_the_least_busy_member_counts_who_waits_for_room() -> None:
    """A sender that is blocked at a full mailbox is work to come."""
    gate = anyio.Event()
    served: list[str] = []

    class Slow(Actor):
        async def receive(self, message: int) -> None:
            served.append(self.context.name)
            await gate.wait()

    async with ActorSystem() as system:
        spec = Slow.spec().with_options(mailbox=Mailbox(capacity=1))
        pool = await system.spawn(Pool.spec(spec, 2, LeastBusy()))
        asks = [pool.ask(number) for number in range(8)]
        await anyio.wait_all_tasks_blocked()
        gate.set()
        for ask in asks:
            await ask
        assert served.count("1") == served.count("2") == 4


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


# --- bad moments ----------------------------------------------------------------------------------


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


async def test_a_broadcast_that_is_cancelled_takes_its_messages_back() -> None:
    """Those that still wait for room are not sent."""
    gate = anyio.Event()
    seen: list[int] = []

    class Slow(Actor):
        async def receive(self, message: int) -> None:
            await gate.wait()
            seen.append(message)

    async with ActorSystem() as system:
        spec = Slow.spec().with_options(mailbox=Mailbox(capacity=1))
        pool = await system.spawn(Pool.spec(spec, 2, Broadcast()))
        await pool.tell(1)
        await anyio.wait_all_tasks_blocked()
        await pool.tell(2)
        with anyio.move_on_after(0.01):
            await pool.tell(3)
        gate.set()
        await pool.ask(4)
        assert sorted(seen) == [1, 1, 2, 2, 4, 4]


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
            with anyio.fail_after(5):
                await events.receive()
        assert await later.ask("?", timeout=5) == 2
        assert [child.name for child in system.inspect("node").children] == ["first", "later"]


async def test_leaving_what_one_never_joined_is_no_mistake() -> None:
    """Groups and watches: nothing happens."""
    async with ActorSystem() as system:
        stranger, other = await system.spawn(Puppet), await system.spawn(Puppet)
        assert not system.group("friends").leave(stranger)
        await other.ask(lambda self: self.context.unwatch(stranger))
        await other.ask(lambda self: self.context.unlink(stranger))
        assert stranger.alive
        assert other.alive


async def test_a_cancellation_in_groups_is_one_cancellation() -> None:
    """However deep; with an error beside it the error counts."""
    cancelled: BaseException = LookupError("it was not cancelled")
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.sleep(1)
        except anyio.get_cancelled_exc_class() as caught:
            cancelled = caught
            raise
    nested = BaseExceptionGroup("two", [BaseExceptionGroup("one", [cancelled])])
    assert without_cancellation(nested) is cancelled
    error = LookupError("broken")
    assert without_cancellation(BaseExceptionGroup("both", [nested, error])) is error


async def test_what_was_set_before_is_not_waited_for() -> None:
    """A slot may be set before anybody waits, and twice."""
    slot = current_backend().new_slot()
    slot.set()
    slot.set()
    with anyio.fail_after(5):
        await slot
