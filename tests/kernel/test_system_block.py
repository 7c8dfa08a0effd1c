"""The block of a system: what leaving it means, however it is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorStopped, RestartLimitExceeded, SystemClosed
from tinyllm_actors.kernel import Actor, ActorSystem, Supervisor, life
from tinyllm_actors.kernel.failure import without_cancellation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tinyllm_actors.kernel import ExitReason
    from tinyllm_actors.kernel.cell import Cell

pytestmark = pytest.mark.anyio

FRAGILE = Supervisor(max_restarts=0)


class Doer(Actor):
    """Does what it is told, as a handler."""

    async def receive(self, message: Callable[[Doer], Awaitable[Any]]) -> Any:
        return await message(self)


class Recorder(Doer):
    """Writes down its life, with a wait in each step."""

    def __init__(self, log: list[str], name: str) -> None:
        self.log = log
        self.label = name

    async def started(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.log.append(f"{self.label} started")

    async def stopped(self, reason: ExitReason) -> None:
        await anyio.lowlevel.checkpoint()
        self.log.append(f"{self.label} stopped ({reason.kind})")


async def fail(actor: Doer) -> None:
    """Raise in a handler."""
    raise LookupError("broken")


async def test_an_error_of_the_block_comes_out_unchanged() -> None:
    """What the block raises is raised from it, the same object, in no group, after an orderly shutdown."""
    log: list[str] = []
    error = ZeroDivisionError("mine")
    with pytest.raises(ZeroDivisionError) as caught:
        async with ActorSystem() as system:
            await system.spawn(Recorder, log, "a")
            raise error
    assert caught.value is error
    assert log == ["a started", "a stopped (shutdown)"]


async def test_a_failure_that_nobody_contains_is_raised_with_its_cause() -> None:
    """Escalation to the root cancels the block, stops the others in order, and raises there with the cause."""
    log: list[str] = []
    with pytest.raises(RestartLimitExceeded) as caught:
        async with ActorSystem(supervisor=FRAGILE) as system:
            await system.spawn(Recorder, log, "a")
            broken = await system.spawn(Doer)
            await broken.tell(fail)
            await anyio.sleep_forever()
    assert isinstance(caught.value.cause, LookupError)
    assert caught.value.__cause__ is caught.value.cause
    assert log == ["a started", "a stopped (shutdown)"]


async def test_an_error_of_the_block_is_preferred_to_an_escalation() -> None:
    """When the block fails while it is cancelled because of an escalation, its own error is raised, with a note."""
    with pytest.raises(KeyError, match="clean-up") as caught:
        async with ActorSystem(supervisor=FRAGILE) as system:
            broken = await system.spawn(Doer)
            await broken.tell(fail)
            try:
                await anyio.sleep_forever()
            finally:
                raise KeyError("clean-up")
    assert "RestartLimitExceeded" in caught.value.__notes__[0]


async def test_an_escalation_wins_over_the_group_in_which_the_block_is_cancelled() -> None:
    """A task group inside the block that is cancelled by an escalation does not hide the escalation."""
    with pytest.raises(RestartLimitExceeded):
        async with ActorSystem(supervisor=FRAGILE) as system:
            broken = await system.spawn(Doer)
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep_forever)
                group.start_soon(broken.tell, fail)
                await anyio.sleep_forever()


async def test_an_escalation_wins_over_a_failure_beside_the_cancellation_that_it_causes() -> None:
    """Where the block raises both in one group, as a task group on trio may, the cause of all is what comes out."""
    with pytest.raises(RestartLimitExceeded) as caught:
        async with ActorSystem(supervisor=FRAGILE) as system:
            broken = await system.spawn(Doer)
            await broken.tell(fail)
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class() as cancelled:
                raise BaseExceptionGroup("clean-up", [cancelled, KeyError("clean-up")]) from None
    assert isinstance(caught.value.cause, LookupError)


@pytest.mark.virtual_time
async def test_cancelling_the_block_from_outside_still_shuts_down_in_order() -> None:
    """A cancelled block lets handlers finish and runs `stopped()` of each actor, last one first; then it is over."""
    log: list[str] = []

    async def work(actor: Doer) -> None:
        await anyio.sleep(2)
        log.append("work finished")

    with anyio.move_on_after(1) as scope:
        async with ActorSystem() as system:
            await system.spawn(Recorder, log, "a")
            last = await system.spawn(Recorder, log, "b")
            await last.tell(work)
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert log == ["a started", "b started", "work finished", "b stopped (shutdown)", "a stopped (shutdown)"]
    assert anyio.current_time() == 2


@pytest.mark.virtual_time
async def test_a_cancelled_block_is_left_within_its_time() -> None:
    """The shutdown of a cancelled block is bounded by `shutdown_timeout` and `grace`, whatever its actors do."""

    async def dawdle(actor: Doer) -> None:
        await anyio.sleep(1000)

    with anyio.move_on_after(1):
        async with ActorSystem(shutdown_timeout=3.0, grace=1.0) as system:
            ref = await system.spawn(Doer.spec().with_options(shutdown=100.0))
            await ref.tell(dawdle)
            await anyio.sleep_forever()
    assert anyio.current_time() == pytest.approx(4.0)


@pytest.mark.parametrize("how", [KeyboardInterrupt, SystemExit])
async def test_what_ends_the_program_ends_the_system_in_order_first(how: type[BaseException]) -> None:
    """KeyboardInterrupt in a handler is raised from the block itself, after the other actors were stopped."""
    log: list[str] = []

    async def interrupt(actor: Doer) -> None:
        raise how

    with pytest.raises(how):
        async with ActorSystem() as system:
            await system.spawn(Recorder, log, "a")
            ref = await system.spawn(Doer)
            await ref.tell(interrupt)
            await anyio.sleep_forever()
    assert log == ["a started", "a stopped (shutdown)"]


async def test_what_ends_the_program_ends_an_answer_in_place_too() -> None:
    """SystemExit in a plain handler that runs in the asker's task leaves nothing half done."""

    class Plain(Actor):
        def receive(self, message: object) -> None:
            raise SystemExit

    system = ActorSystem()
    with pytest.raises(SystemExit):
        async with system:
            ref = await system.spawn(Plain)
            await ref.ask("now")
    assert system.scheduler.inline_depth == 0


async def test_a_closed_system_takes_nothing_new() -> None:
    """After its block a system spawns nothing, and its references answer with typed errors at once."""
    async with ActorSystem("gone") as system:
        ref = await system.spawn(Doer, name="a")
    with pytest.raises(SystemClosed, match="'gone'"):
        await system.spawn(Doer)
    with pytest.raises(SystemClosed):
        system["a"]
    with pytest.raises(ActorStopped, match="'a'"):
        await ref.ask(fail, timeout=1.0)
    with pytest.raises(ActorStopped):
        async with ref.stream(1, timeout=1.0) as items:
            await items.receive()
    assert not ref.tell_nowait(fail)
    await ref.tell(fail)
    assert not ref.alive
    await ref.stop()
    await ref.kill()
    await ref.join()
    assert [letter.reason for letter in system.dead_letters] == ["stopped", "stopped"]


async def test_a_system_that_was_not_entered_takes_nothing() -> None:
    """Before its block a system says so, instead of failing somewhere inside."""
    system = ActorSystem("later")
    with pytest.raises(SystemClosed, match="'later'"):
        await system.spawn(Doer)


async def test_a_system_is_entered_once() -> None:
    """A second block of the same system is refused."""
    system = ActorSystem()
    async with system:
        pass
    with pytest.raises(RuntimeError, match="used already"):
        async with system:
            pass


async def test_two_systems_in_one_loop_do_not_meet() -> None:
    """Systems beside and inside one another have trees, names and failures of their own."""
    async with ActorSystem("outer") as outer:
        ref = await outer.spawn(Doer, name="same")

        async def name(actor: Doer) -> str:
            return actor.context.system.name

        with pytest.raises(RestartLimitExceeded):
            async with ActorSystem("inner", supervisor=FRAGILE) as inner:
                other = await inner.spawn(Doer, name="same")
                assert [await ref.ask(name), await other.ask(name)] == ["outer", "inner"]

                async def across(actor: Doer) -> str:
                    return await other.ask(name)

                assert await ref.ask(across) == "inner"
                await other.tell(fail)
                await anyio.sleep_forever()
        assert await ref.ask(name) == "outer"


async def test_entering_a_block_that_is_cancelled_already_leaves_nothing_behind() -> None:
    """A system entered in a cancelled scope is left at the first wait, with all its tasks."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        async with ActorSystem() as system:
            await system.spawn(Doer)
            await anyio.sleep_forever()
    assert scope.cancelled_caught


async def test_the_first_of_two_failures_that_end_the_system_is_raised() -> None:
    """What the second was does not matter any more."""

    async def first(actor: Doer) -> None:
        raise SystemExit("first")

    async def second(actor: Doer) -> None:
        raise SystemExit("second")

    with pytest.raises(SystemExit, match="first"):
        async with ActorSystem() as system:
            one, two = await system.spawn(Doer), await system.spawn(Doer)
            await one.tell(first)
            await two.tell(second)
            await anyio.sleep_forever()


async def test_a_second_interrupt_during_the_shutdown_ends_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the system waits for its actors to stop is raised from the block, and leaves no task behind."""
    joined = life.joined

    async def interrupted(cell: Cell) -> ExitReason:
        if cell.parent is not None:
            return await joined(cell)
        monkeypatch.setattr(life, "joined", joined)
        raise KeyboardInterrupt

    ended: list[str] = []

    async def hang(actor: Doer) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("cancelled")

    ref: Any = None
    with pytest.raises(KeyboardInterrupt):
        async with ActorSystem() as system:
            ref = await system.spawn(Doer.spec().with_options(shutdown=100.0))
            await ref.tell(hang)
            await anyio.wait_all_tasks_blocked()
            monkeypatch.setattr(life, "joined", interrupted)
    assert ended == ["cancelled"]
    assert not ref.alive


async def test_an_error_beside_the_cancellation_of_the_block_comes_out() -> None:
    """A block that is cancelled from outside and fails meanwhile raises the failure."""
    with pytest.raises(BaseException) as caught, anyio.CancelScope() as scope:  # noqa: PT011 - a group, or what is left
        async with ActorSystem():
            scope.cancel()
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class() as cancelled:
                raise BaseExceptionGroup("both", [cancelled, LookupError("broken")]) from None
    left = without_cancellation(caught.value)
    assert isinstance(left, LookupError)
