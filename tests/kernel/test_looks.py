"""Seeing an actor's state, and suspending it by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from pydantic import SecretStr

from tinyllm_actors.errors import ActorFailed, ActorStopped, AskTimeout, InvalidTransition
from tinyllm_actors.kernel import (
    ActorSystem,
    Lifecycle,
)
from tinyllm_actors.testing import Probe, Puppet

if TYPE_CHECKING:
    from collections.abc import Callable


pytestmark = pytest.mark.anyio


class Keeper(Puppet):
    """Has attributes, some of them secret."""

    def __init__(self) -> None:
        self.count = 3
        self.api_key = "sk-very-secret"
        self.settings = {"password": "hunter2", "seed": 1}
        self.wrapped = SecretStr("hidden")
        self.max_tokens = 100


async def test_the_state_of_an_actor_can_be_seen_without_its_secrets() -> None:
    """Its attributes by default; values of secret names are masked, also one level down."""
    async with ActorSystem() as system:
        ref = await system.spawn(Keeper)
        state = await ref.get_state()
        assert state == {
            "count": 3,
            "api_key": "***",
            "settings": {"password": "***", "seed": 1},
            "wrapped": SecretStr("hidden"),
            "max_tokens": 100,
        }
        assert "hidden" not in repr(state)


async def test_an_actor_chooses_what_its_state_is() -> None:
    """`snapshot()` is asked; a dictionary of it is masked, what fails is a failure of the question alone."""

    class Chosen(Keeper):
        def snapshot(self) -> Any:
            match self.count:
                case 3:
                    return {"token": "secret", "count": self.count}
                case 4:
                    return ["whatever"]
                case _:
                    raise LookupError("broken")

    async with ActorSystem() as system:
        ref = await system.spawn(Chosen)
        assert await ref.get_state() == {"token": "***", "count": 3}
        await Keeper.do(ref, lambda self: setattr(self, "count", 4))
        assert await ref.get_state() == ["whatever"]
        await Keeper.do(ref, lambda self: setattr(self, "count", 5))
        with pytest.raises(ActorFailed, match="LookupError"):
            await ref.get_state()
        assert await Keeper.do(ref, lambda self: self.count) == 5
        with pytest.raises(ActorFailed, match="LookupError"):  # in its own handler it is the handler's failure
            await Keeper.do(ref, lambda self: self.context.ref.get_state())


async def test_a_look_waits_for_the_message_in_processing_but_not_for_the_mailbox() -> None:
    """It comes between two messages, before those that wait."""
    async with ActorSystem() as system:
        ref = await system.spawn(Keeper)
        began, go = anyio.Event(), anyio.Event()
        counts: list[int] = []

        async def work(self: Keeper) -> None:
            self.count = 10
            began.set()
            await go.wait()
            self.count = 11

        async def look() -> None:
            counts.append((await ref.get_state())["count"])

        await Keeper.tell(ref, work)
        await began.wait()
        await Keeper.tell(ref, lambda self: setattr(self, "count", 12))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
            await anyio.lowlevel.checkpoint()
            assert counts == []
            go.set()
        assert counts == [11]


@pytest.mark.virtual_time
async def test_a_look_has_a_deadline() -> None:
    """A handler that hangs does not hang who looks; the look is withdrawn."""
    async with ActorSystem() as system:
        ref = await system.spawn(Keeper)
        await Keeper.tell(ref, lambda _: anyio.sleep_forever())
        while ref.cell.current is None:
            await anyio.lowlevel.checkpoint()
        with pytest.raises(AskTimeout):
            await ref.get_state(timeout=0.01)
        await ref.kill()


async def test_an_actor_may_look_at_itself() -> None:
    """In its own handler, without waiting for its end."""
    async with ActorSystem() as system:
        ref = await system.spawn(Keeper)

        async def look(self: Keeper) -> Any:
            await anyio.lowlevel.checkpoint()
            return await self.context.ref.get_state()

        assert (await Keeper.do(ref, look))["count"] == 3


async def test_an_actor_that_has_ended_has_no_state() -> None:
    """Neither before nor while somebody waits for it."""
    async with ActorSystem() as system:
        ref = await system.spawn(Keeper)
        await Keeper.tell(ref, lambda _: anyio.sleep_forever())
        while ref.cell.current is None:
            await anyio.lowlevel.checkpoint()
        caught: list[Exception] = []

        async def look() -> None:
            try:
                await ref.get_state()
            except ActorStopped as error:
                caught.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
            await anyio.lowlevel.checkpoint()
            await ref.kill()
        assert len(caught) == 1
        for call in (ref.get_state, ref.suspend):
            with pytest.raises(ActorStopped):
                await call()


@pytest.mark.virtual_time
async def test_looking_at_a_passive_actor_thaws_it() -> None:
    """There is no state before it is started again."""
    async with ActorSystem() as system:
        ref = await system.spawn(Keeper.spec().with_options(passivate_after=5.0))
        await anyio.sleep(6.0)
        assert ref.state is Lifecycle.PASSIVE
        assert (await ref.get_state())["count"] == 3
        assert ref.state is Lifecycle.RUNNING


async def test_a_suspended_actor_handles_nothing() -> None:
    """Messages wait, its state can be seen, and all goes on after `resume`; both may be repeated."""
    async with ActorSystem() as system:
        ref = await system.spawn(Keeper)
        await ref.suspend()
        await ref.suspend()
        assert ref.state is Lifecycle.SUSPENDED
        asks = [ref.ask(act) for act in (count_up, count_up)]
        await anyio.lowlevel.checkpoint()
        assert (await ref.get_state())["count"] == 3
        await ref.resume()
        await ref.resume()
        assert [await ask for ask in asks] == [4, 5]


def count_up(self: Keeper) -> int:
    """Count a message."""
    self.count += 1
    return self.count


async def test_suspend_waits_for_the_message_in_processing() -> None:
    """When it returns, nothing of the actor runs; a look that waits comes then."""
    async with ActorSystem() as system:
        ref = await system.spawn(Keeper)
        began, go = anyio.Event(), anyio.Event()
        log: list[str] = []

        async def work(_: Keeper) -> None:
            began.set()
            await go.wait()
            log.append("worked")

        async def suspend() -> None:
            await ref.suspend()
            log.append("suspended")

        async def look() -> None:
            await ref.get_state()
            log.append("looked")

        await Keeper.tell(ref, work)
        await began.wait()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(suspend)
            tasks.start_soon(look)
            await anyio.lowlevel.checkpoint()
            go.set()
        assert log[0] == "worked"
        assert sorted(log[1:]) == ["looked", "suspended"]


async def test_an_actor_may_suspend_itself() -> None:
    """After the message in processing, which it does not wait for."""
    async with ActorSystem() as system:
        ref = await system.spawn(Keeper)
        await Keeper.do(ref, lambda self: self.context.ref.suspend())
        assert ref.state is Lifecycle.SUSPENDED
        await ref.resume()
        assert await ref.ask(count_up) == 4


async def test_a_suspended_actor_resumed_while_queued_handles_one_message_at_a_time() -> None:
    """Being made runnable twice does not let two handlers run at once."""
    async with ActorSystem() as system:
        ref = await system.spawn(Keeper)
        at_once: list[int] = []
        running: list[int] = []

        def numbered(number: int) -> Callable[[Keeper], Any]:
            async def work(_: Keeper) -> None:
                running.append(number)
                at_once.append(len(running))
                await anyio.lowlevel.checkpoint()
                await anyio.lowlevel.checkpoint()
                running.remove(number)

            return work

        asks = [ref.ask(numbered(number)) for number in range(4)]  # it is in the run queue now
        for _ in range(3):
            system.care.suspend(ref.cell)
            system.care.resume(ref.cell)
        for ask in asks:
            await ask
        assert set(at_once) == {1}


@pytest.mark.virtual_time
async def test_only_a_running_actor_can_be_suspended() -> None:
    """A passive one, for example, is not; the state and the event are named."""
    async with ActorSystem() as system:
        ref = await system.spawn(Keeper.spec().with_options(passivate_after=0.5))
        await anyio.sleep(1.0)
        with pytest.raises(InvalidTransition, match="suspend in state PASSIVE"):
            await ref.suspend()


async def test_a_probe_is_told_what_happens() -> None:
    """The probe of the test kit gets messages and ends in order."""
    async with ActorSystem() as system:
        probe = await Probe.spawn(system)
        ref = await system.spawn(Keeper)
        await probe.watch(ref)
        await ref.stop()
        assert (await probe.expect_terminated(ref)).kind == "stopped"
