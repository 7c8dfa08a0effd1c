"""Rule 15: shutdown goes in reverse order, waits, cancels, abandons, and never hangs."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tinyllm_actors.errors import ActorStopped
from tinyllm_actors.kernel import BRUTAL_KILL, Actor, ActorSystem, ExitKind, ExitReason, Supervisor, Unanswered

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]


class Logged(Actor):
    """Says when it ends."""

    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log

    async def receive(self, message: Any) -> Any:
        if message == "wait":
            await anyio.sleep_forever()
        return message

    async def stopped(self, reason: ExitReason) -> None:
        self.log.append(self.name)


async def test_rule_15_children_end_before_parents_and_the_last_started_first() -> None:
    """The whole tree ends in exactly the reverse order of its start."""
    log: list[str] = []

    class Parent(Logged):
        async def started(self) -> None:
            for name in ("first", "second"):
                await self.context.spawn(Logged, f"{self.name}.{name}", self.log)

    async with ActorSystem("test") as system:
        await system.spawn(Parent, "a", log)
        await system.supervise(
            Supervisor(), [Logged.spec("s.1", log).named("1"), Logged.spec("s.2", log).named("2")], name="s"
        )
        await system.spawn(Parent, "b", log)
    assert log == ["b.second", "b.first", "b", "s.2", "s.1", "a.second", "a.first", "a"]


async def test_rule_15_the_message_in_processing_is_finished() -> None:
    """A stop waits for the handler, answers its asker, and refuses what came after it."""

    class Slow(Actor):
        async def receive(self, message: float) -> str:
            entered.set()
            await anyio.sleep(message)
            return "done"

    entered = anyio.Event()
    async with ActorSystem("test") as system:
        ref = await system.spawn(Slow)
        first, second = ref.ask(2.0), ref.ask(2.0)
        await entered.wait()
        async with anyio.create_task_group() as group:
            group.start_soon(ref.stop)
            with pytest.raises(ActorStopped):
                await second
            assert await first == "done"
        assert anyio.current_time() == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize(("shutdown", "after"), [(3.0, 3.0), (BRUTAL_KILL, 0.0)])
async def test_rule_15_what_takes_longer_is_cancelled(shutdown: float, after: float) -> None:
    """After its own shutdown time a handler is cancelled and its asker told; a brutal kill does not wait."""
    log: list[str] = []
    async with ActorSystem("test") as system:
        ref = await system.spawn(Logged.spec("slow", log).with_options(shutdown=shutdown))
        ask = ref.ask("wait")
        await anyio.wait_all_tasks_blocked()
        began = anyio.current_time()
        await ref.stop()
        assert anyio.current_time() - began == pytest.approx(after, abs=0.05)
        with pytest.raises(ActorStopped):
            await ask
        assert log == ([] if shutdown == BRUTAL_KILL else ["slow"])


@pytest.mark.real_time
async def test_rule_15_a_handler_that_swallows_its_cancellation_hangs_nobody() -> None:
    """It is abandoned after the grace, reported, and the block of the system ends.

    In real time, since it never stops running and so lets no virtual time pass.
    """
    reports: list[Unanswered] = []
    holding = True

    class Stubborn(Actor):
        async def receive(self, message: Any) -> None:
            while holding:
                try:
                    await anyio.sleep_forever()
                except anyio.get_cancelled_exc_class():
                    continue

    with anyio.fail_after(30):
        async with ActorSystem("test", grace=0.05) as system:
            system.events_stream.subscribe(reports.append, Unanswered)
            ref = await system.spawn(Stubborn.spec().with_options(shutdown=0.02), name="stubborn")
            await ref.tell("hold")
            await anyio.wait_all_tasks_blocked()
    holding = False
    assert [(report.path, report.waited) for report in reports] == [("stubborn", 0.05)]


async def test_rule_15_a_stopped_hook_has_its_time_too() -> None:
    """A clean-up that hangs is cancelled after the shutdown time, one that fails is reported; both end the actor."""

    class Hangs(Actor):
        async def stopped(self, reason: ExitReason) -> None:
            await anyio.sleep_forever()

    class Fails(Actor):
        async def stopped(self, reason: ExitReason) -> None:
            raise OSError("cannot close")

    async with ActorSystem("test") as system:
        hangs = await system.spawn(Hangs.spec().with_options(shutdown=2.0))
        fails = await system.spawn(Fails)
        assert (await fails.stop()).kind is ExitKind.STOPPED
        assert (await hangs.stop()).kind is ExitKind.STOPPED
        assert anyio.current_time() == pytest.approx(2.0, abs=0.05)


async def test_rule_15_the_whole_shutdown_has_a_deadline() -> None:
    """However many children take their time, the block ends after shutdown_timeout."""
    async with ActorSystem("test", shutdown_timeout=5.0, grace=0.5) as system:
        for number in range(20):
            ref = await system.spawn(Logged.spec(str(number), []).with_options(shutdown=4.0))
            await ref.tell("wait")
        await anyio.wait_all_tasks_blocked()
        began = anyio.current_time()
    assert anyio.current_time() - began < 7.0


async def test_rule_15_a_cancelled_block_still_shuts_down_in_order() -> None:
    """When the block is cancelled from outside, clean-up runs, with awaits, before the scope is left."""
    cleaned: list[str] = []

    class Careful(Actor):
        async def stopped(self, reason: ExitReason) -> None:
            await anyio.sleep(1)
            cleaned.append("clean")

    with anyio.move_on_after(10) as scope:
        async with ActorSystem("test") as system:
            await system.spawn(Careful)
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert cleaned == ["clean"]


async def test_rule_15_the_blocks_own_exception_is_raised_as_it_is() -> None:
    """No exception group around it."""
    error = LookupError("mine")
    with pytest.raises(LookupError) as caught:
        async with ActorSystem("test") as system:
            await system.spawn(Actor)
            raise error
    assert caught.value is error


async def test_rule_15_kill_is_at_once() -> None:
    """No clean-up, no waiting; whoever joins is told."""
    log: list[str] = []
    async with ActorSystem("test") as system:
        ref = await system.spawn(Logged, "killed", log)
        await ref.tell("wait")
        await anyio.wait_all_tasks_blocked()
        assert (await ref.kill()).kind is ExitKind.KILLED
        assert (await ref.join()).kind is ExitKind.KILLED
        assert log == []
        assert anyio.current_time() == pytest.approx(0.0, abs=0.01)
