"""What a stop does not wait for."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import anyio
import pytest

from tinyllm_actors import Actor, ActorSystem, ChildSpec, Strategy, Supervisor
from tinyllm_actors.errors import ActorStopped
from tinyllm_actors.kernel import ChildRestarted, ExitReason

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]


class Waits(Actor):
    """Handles each message by waiting for ever: before, in or behind an interruptible block, as it says."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.began = anyio.Event()
        self.go = anyio.Event()

    async def receive(self, message: str) -> None:
        """Wait."""
        try:
            if message == "late":
                self.began.set()
                await self.go.wait()
            if message == "nested":
                with self.context.interruptible():
                    pass
            if message == "behind":
                with self.context.interruptible():
                    await anyio.lowlevel.checkpoint()
                self.began.set()
                await anyio.sleep_forever()
            with self.context.interruptible():
                with self.context.interruptible():
                    await anyio.lowlevel.checkpoint()
                self.began.set()
                await anyio.sleep_forever()
        finally:
            self.seen.append("ended")

    async def stream(self, message: Any) -> AsyncGenerator[int]:
        """Give one item and wait."""
        with self.context.interruptible():
            yield 1
            await anyio.sleep_forever()

    async def stopped(self, reason: ExitReason) -> None:
        """Take a second, which a stop grants as ever."""
        await anyio.sleep(1.0)
        self.seen.append("stopped")


@pytest.mark.parametrize(("message", "seconds"), [("in", 1.0), ("nested", 1.0), ("behind", 6.0)])
async def test_a_stop_waits_for_all_but_that(message: str, seconds: float) -> None:
    """In the block the handler is cancelled at once, and `stopped()` runs all the same; elsewhere it has 5 seconds."""
    actor = Waits()
    async with ActorSystem("a") as system:
        ref = await system.spawn(lambda: actor)
        await ref.tell(message)
        await actor.began.wait()
        start = system.now()
        await ref.stop()
        assert system.now() - start == pytest.approx(seconds)
    assert actor.seen == ["ended", "stopped"]


async def test_whoever_enters_it_while_the_stop_waits_is_not_waited_for() -> None:
    """What was worth finishing is over then."""
    actor = Waits()
    async with ActorSystem("a") as system:
        ref = await system.spawn(lambda: actor)
        await ref.tell("late")
        await actor.began.wait()
        start = system.now()
        async with anyio.create_task_group() as group:
            group.start_soon(ref.stop)
            await anyio.sleep(2.0)
            assert actor.seen == []
            actor.go.set()
        assert system.now() - start == pytest.approx(3.0)
    assert actor.seen == ["ended", "stopped"]


async def test_the_asker_is_told_as_with_any_stop() -> None:
    """Nobody waits for an answer that does not come."""
    actor = Waits()
    async with ActorSystem("a") as system:
        ref = await system.spawn(lambda: actor)

        async def ask() -> None:
            with pytest.raises(ActorStopped):
                await ref.ask("in", timeout=None)

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await actor.began.wait()
            await ref.stop()


async def test_a_stream_may_be_in_it() -> None:
    """Its reader is told at once."""
    async with ActorSystem("a") as system:
        ref = await system.spawn(Waits)
        start = system.now()
        with pytest.raises(ActorStopped):
            async with ref.stream("?", timeout=None) as items:
                async for item in items:
                    assert item == 1
                    system.start_task(ref.stop)
        await ref.join()
        assert system.now() - start == pytest.approx(1.0)


async def test_a_restart_does_not_wait_either() -> None:
    """The next incarnation's handler is waited for again, until it is in such a block itself."""
    made: list[Waits] = []

    def make() -> Waits:
        made.append(Waits())
        return made[-1]

    class Fails(Actor):
        async def receive(self, message: object) -> None:
            raise RuntimeError("down")

    async with ActorSystem("a") as system:
        both = [ChildSpec(make).named("waits"), Fails.spec().named("fails")]
        await system.supervise(Supervisor(strategy=Strategy.ONE_FOR_ALL), both, name="both")
        await system["both/waits"].tell("in")
        await made[0].began.wait()
        start = system.now()
        async with system.events(ChildRestarted) as restarts:
            await system["both/fails"].tell("?")
            while (await restarts.receive()).path != "both/waits":
                pass
        assert system.now() - start == pytest.approx(1.0)
        await system["both/waits"].tell("behind")
        await made[1].began.wait()
        start = system.now()
        await system["both/waits"].stop()
        assert system.now() - start == pytest.approx(6.0)


async def test_outside_of_a_handler_it_changes_nothing() -> None:
    """A task of the actor ends with it anyhow, and a handler beside it has its time."""
    began = anyio.Event()

    class Tasked(Actor):
        async def started(self) -> None:
            with self.context.interruptible():
                await anyio.sleep(0.5)
            self.context.start_task(self.wait)

        async def receive(self, message: object) -> None:
            began.set()
            await anyio.sleep_forever()

        async def wait(self) -> None:
            with self.context.interruptible():
                await anyio.sleep_forever()

    async with ActorSystem("a") as system:
        ref = await system.spawn(Tasked)
        await ref.tell("?")
        await began.wait()
        start = system.now()
        assert str(await ref.stop()) == "stopped"
        assert system.now() - start == pytest.approx(5.0)
