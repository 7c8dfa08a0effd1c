"""Rule 12: a reference leads to an actor that is up; what does not start leaves nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import anyio
import pytest

from tinyllm_actors.errors import ActorStopped, ForeignCancellation, StartFailed, SystemClosed
from tinyllm_actors.kernel import (
    BRUTAL_KILL,
    Actor,
    ActorSystem,
    ActorTerminated,
    ChildFailed,
    ChildRestarted,
    ChildSpec,
    Supervisor,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tinyllm_actors.kernel import ExitReason

    Settled = Callable[[], Awaitable[None]]

pytestmark = pytest.mark.anyio


class Recorder(Actor):
    """Writes down its life."""

    log: ClassVar[list[str]] = []

    async def started(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.log.append("started")

    async def receive(self, message: str) -> str:
        self.log.append(message)
        return message

    async def stopped(self, reason: ExitReason) -> None:
        await anyio.lowlevel.checkpoint()
        self.log.append("stopped")


@pytest.fixture(autouse=True)
def _fresh() -> None:
    Recorder.log.clear()


async def test_rule_12_spawn_returns_when_started_is_through() -> None:
    """The first message cannot come before the end of `started()`, and the hook has the actor's context."""

    class Deep(Recorder):
        async def started(self) -> None:
            assert self.context.path == "deep"
            assert self.context.incarnation == 1
            await super().started()

    async with ActorSystem() as system:
        ref = await system.spawn(Deep, name="deep")
        assert Recorder.log == ["started"]
        assert await ref.ask("hello") == "hello"


async def test_rule_12_messages_wait_for_the_start(settled: Settled) -> None:
    """What an actor sends itself, or gets through a reference it handed out, waits until it is up."""

    class Early(Recorder):
        async def started(self) -> None:
            await self.context.ref.tell("early")
            handed_out.append(self.context.ref)
            await go_on.wait()
            await super().started()

    handed_out: list[Any] = []
    go_on = anyio.Event()
    async with ActorSystem() as system, anyio.create_task_group() as group:
        group.start_soon(system.spawn, Early)
        await settled()
        await handed_out[0].tell("from outside")
        await settled()
        assert Recorder.log == []
        go_on.set()
        await handed_out[0].ask("last")
        assert Recorder.log == ["started", "early", "from outside", "last"]


class _Broken(Recorder):
    async def started(self) -> None:
        raise ConnectionError("no database")


class _BrokenInside(Recorder):
    def __init__(self) -> None:
        raise ConnectionError("no database")


class _BrokenGroup(Recorder):
    async def started(self) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self._fail)

    async def _fail(self) -> None:
        raise ConnectionError("no database")


@pytest.mark.parametrize("broken", [_Broken, _BrokenInside, _BrokenGroup])
async def test_rule_12_a_failed_start_is_raised_reported_and_leaves_nothing(broken: type[Actor]) -> None:
    """`spawn` raises `StartFailed` with the cause; it is published, nothing is left in the tree, and no hook runs."""
    async with ActorSystem() as system, system.events(ChildFailed, ActorTerminated, ChildRestarted) as events:
        with pytest.raises(StartFailed, match=r"'x' did not start: ConnectionError: no database") as caught:
            await system.spawn(broken, name="x")
        assert isinstance(caught.value.cause, ConnectionError)
        with pytest.raises(LookupError):
            system["x"]
        failed, ended = await events.receive(), await events.receive()
        assert (failed.path, failed.cause) == ("x", caught.value.cause)
        assert (ended.path, type(ended)) == ("x", ActorTerminated)
        assert events.receive_nowait() is None
        assert Recorder.log == []


async def test_rule_12_what_a_failed_start_had_started_ends() -> None:
    """Children, timers and tasks that `started()` had made before it failed are gone when `spawn` raises."""
    cancelled: list[str] = []

    class HalfWay(Recorder):
        async def started(self) -> None:
            await self.context.spawn(Recorder, name="child")
            self.context.send_after(0.0, "timer")
            self.context.start_task(self._task)
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            raise ConnectionError

        async def _task(self) -> None:
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                cancelled.append("task")
                raise

    async with ActorSystem() as system:
        with pytest.raises(StartFailed):
            await system.spawn(HalfWay, name="half")
        assert Recorder.log == ["started", "stopped"]
        assert cancelled == ["task"]


@pytest.mark.virtual_time
async def test_rule_12_cancelling_spawn_leaves_nothing(settled: Settled) -> None:
    """A spawn that is given up cancels `started()`, and the name is free again."""

    class Slow(Recorder):
        async def started(self) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                self.log.append("given up")

    async with ActorSystem() as system:
        with anyio.move_on_after(0.01) as scope:
            await system.spawn(Slow, name="x")
        assert scope.cancelled_caught
        assert Recorder.log == ["given up"]
        await system.spawn(Recorder, name="x")


async def test_rule_12_an_actor_that_was_stopped_while_it_started_runs_stopped(settled: Settled) -> None:
    """If `started()` gets through all the same, `stopped()` releases what it took; it is no failure of the actor."""
    go_on = anyio.Event()

    class Slow(Recorder):
        async def started(self) -> None:
            handed_out.append(self.context.ref)
            await go_on.wait()
            self.log.append("started")

    handed_out: list[Any] = []
    failures: list[StartFailed] = []
    async with ActorSystem() as system, system.events(ChildFailed) as events, anyio.create_task_group() as group:

        async def spawn() -> None:
            with pytest.raises(StartFailed, match="it was stopped while it started") as caught:
                await system.spawn(Slow, name="x")
            failures.append(caught.value)

        group.start_soon(spawn)
        await settled()
        group.start_soon(handed_out[0].stop)
        await settled()
        go_on.set()
        await handed_out[0].join()
        await settled()
        assert isinstance(failures[0].cause, ActorStopped)
        assert Recorder.log == ["started", "stopped"]
        assert events.receive_nowait() is None


async def test_rule_12_killing_an_actor_that_starts_cancels_the_start(settled: Settled) -> None:
    """A kill does not wait for `started()`."""

    class Slow(Recorder):
        async def started(self) -> None:
            handed_out.append(self.context.ref)
            await anyio.sleep_forever()

    handed_out: list[Any] = []
    async with ActorSystem() as system, anyio.create_task_group() as group:

        async def spawn() -> None:
            with pytest.raises(StartFailed):
                await system.spawn(Slow, name="x")

        group.start_soon(spawn)
        await settled()
        await handed_out[0].kill()
        assert Recorder.log == []


async def test_rule_12_a_start_that_swallows_its_cancellation_is_abandoned(settled: Settled) -> None:
    """Not even `started()` can hold its killer up, and the spawner's own task is unharmed."""

    class Stubborn(Recorder):
        async def started(self) -> None:
            handed_out.append(self.context.ref)
            while True:
                try:
                    await anyio.sleep(1000)
                except anyio.get_cancelled_exc_class():
                    continue

    handed_out: list[Any] = []
    async with ActorSystem(grace=0.02) as system, anyio.create_task_group() as group:

        async def spawn() -> None:
            with pytest.raises(StartFailed, match="Unresponsive"):
                await system.spawn(Stubborn.spec().with_options(shutdown=BRUTAL_KILL))
            with anyio.move_on_after(0.01) as scope:  # a cancellation that is left over would break this
                await anyio.sleep_forever()
            assert scope.cancelled_caught

        group.start_soon(spawn)
        await settled()
        await handed_out[0].kill()


async def test_rule_12_stopping_in_started_takes_effect_after_it() -> None:
    """`self.context.stop()` in `started()` lets the start end, and then the actor leaves."""

    class Brief(Recorder):
        async def started(self) -> None:
            self.context.stop()
            await super().started()

    async with ActorSystem() as system:
        ref = await system.spawn(Brief.spec().with_options(restart="transient"))
        await ref.join()
        assert Recorder.log == ["started", "stopped"]


async def test_rule_12_a_foreign_cancellation_of_a_start_is_its_failure() -> None:
    """A start whose future is cancelled by a library fails, and the spawner is not cancelled."""

    class Unlucky(Recorder):
        async def started(self) -> None:
            raise anyio.get_cancelled_exc_class() if backend == "asyncio" else ForeignCancellation("stands in on trio")

    import sniffio

    backend = sniffio.current_async_library()
    async with ActorSystem() as system:
        with pytest.raises(StartFailed) as caught:
            await system.spawn(Unlucky)
        assert isinstance(caught.value.cause, ForeignCancellation)


async def test_rule_12_a_failed_restart_is_a_failure_of_its_own() -> None:
    """A start that fails is published, counted, and tried again."""
    starts = 0

    class Flaky(Recorder):
        async def started(self) -> None:
            nonlocal starts
            starts += 1
            if starts == 2:
                raise ConnectionError("second start")
            await super().started()

        async def receive(self, message: str) -> str:
            raise LookupError("crash")

    async with ActorSystem(supervisor=Supervisor(backoff=None)) as system:
        async with system.events(ChildFailed, ChildRestarted) as events:
            ref = await system.spawn(Flaky)
            await ref.tell("crash")
            found = [await events.receive() for _ in range(3)]
        assert [str(event.cause) for event in found] == ["crash", "second start", "second start"]
        assert [type(event) for event in found] == [ChildFailed, ChildFailed, ChildRestarted]
        assert [event.incarnation for event in found] == [1, 2, 3]


async def test_rule_12_a_factory_must_make_an_actor() -> None:
    """What is no actor is refused, with its type, and so is what cannot be spawned at all."""
    async with ActorSystem() as system:
        with pytest.raises(StartFailed, match="made a dict, not an Actor"):
            await system.spawn(ChildSpec(dict[str, str]))  # pyright: ignore[reportArgumentType] - on purpose
        with pytest.raises(TypeError, match="42"):
            await system.spawn(42)
        with pytest.raises(TypeError, match="already"):
            await system.spawn(Recorder.spec(), "more")


async def test_rule_12_a_factory_runs_again_for_each_incarnation() -> None:
    """A function that makes actors is called with its arguments for every incarnation."""
    made: list[tuple[Any, ...]] = []

    class Fragile(Actor):
        async def receive(self, message: str) -> int:
            if message == "crash":
                raise LookupError
            return len(made)

    def make(*args: Any, **kwargs: Any) -> Fragile:
        made.append((args, kwargs))
        return Fragile()

    async with ActorSystem(supervisor=Supervisor(backoff=None)) as system:
        ref = await system.spawn(make, 1, two=2)
        await ref.tell("crash")
        assert await ref.ask("count") == 2
        assert made == [((1,), {"two": 2})] * 2


async def test_rule_12_a_factory_may_make_an_actor_with_hooks_later() -> None:
    """If a later incarnation is of another class, its `started()` runs all the same."""

    class Bare(Actor):
        async def receive(self, message: str) -> str:
            raise LookupError

    kinds: list[type[Actor]] = [Bare, Recorder]

    def make() -> Actor:
        return kinds.pop(0)()

    async with ActorSystem(supervisor=Supervisor(backoff=None)) as system:
        ref = await system.spawn(make)
        await ref.tell("crash")
        assert await ref.ask("hello") == "hello"
        assert Recorder.log == ["started", "hello"]


async def test_rule_12_the_constructor_has_no_context() -> None:
    """The context is refused with a hint before the object is an actor."""

    class Early(Actor):
        def __init__(self) -> None:
            _ = self.context

    async with ActorSystem() as system:
        with pytest.raises(StartFailed, match=r"use `started\(\)`"):
            await system.spawn(Early)


async def test_rule_12_an_ending_actor_takes_no_children_and_starts_no_tasks() -> None:
    """In `stopped()`, a new child or task would outlive its actor: both are refused."""
    refused: list[str] = []

    class Late(Actor):
        async def stopped(self, reason: ExitReason) -> None:
            try:
                await self.context.spawn(Recorder)
            except (ActorStopped, SystemClosed):
                refused.append("child")
            try:
                self.context.start_task(anyio.sleep_forever)
            except ActorStopped:
                refused.append("task")

    async with ActorSystem() as system:
        ref = await system.spawn(Late)
        await ref.stop()
        assert refused == ["child", "task"]
