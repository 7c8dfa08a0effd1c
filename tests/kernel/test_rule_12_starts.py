"""Rule 12: `spawn` returns after `started()`; a start that fails is reported and leaves nothing behind."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tinyllm_actors.errors import NameTaken, StartFailed, SystemClosed, UnknownActor
from tinyllm_actors.kernel import Actor, ActorSystem, ChildFailed, Lifecycle, Supervisor

pytestmark = pytest.mark.anyio


async def test_rule_12_spawn_waits_for_started() -> None:
    """No message is handled, and spawn does not return, before started() is done."""
    order: list[str] = []
    gate = anyio.Event()

    class Slow(Actor):
        async def started(self) -> None:
            await gate.wait()
            order.append("started")

        async def receive(self, message: str) -> None:
            order.append(message)

    async with ActorSystem("test") as system:

        async def spawn() -> None:
            ref = await system.spawn(Slow, name="slow")
            order.append("spawned")
            await ref.ask("asked")

        async with anyio.create_task_group() as group:
            group.start_soon(spawn)
            await anyio.wait_all_tasks_blocked()
            early = system["slow"]
            assert early.state is Lifecycle.STARTING
            await early.tell("told early")
            gate.set()
    assert order[0] == "started"
    assert sorted(order[1:]) == ["asked", "spawned", "told early"]
    assert order.index("told early") < order.index("asked")


@pytest.mark.parametrize("where", ["constructor", "started"])
async def test_rule_12_a_failed_start_is_raised_reported_and_gone(where: str) -> None:
    """The spawner gets the cause, subscribers an event, and the name is free again; the supervisor lives on."""

    class Faulty(Actor):
        def __init__(self, good: bool) -> None:
            self.good = good
            if not good and where == "constructor":
                raise ValueError("cannot be made")

        async def started(self) -> None:
            await anyio.lowlevel.checkpoint()
            if not self.good:
                raise ValueError("cannot start")

        async def receive(self, message: Any) -> str:
            return "here"

    async with ActorSystem("test", supervisor=Supervisor(max_restarts=0)) as system:
        async with system.events(ChildFailed) as failures:
            with pytest.raises(StartFailed) as caught:
                await system.spawn(Faulty, False, name="faulty")
            assert isinstance(caught.value.cause, ValueError)
            assert caught.value.path == "faulty"
            assert (await failures.receive()).cause is caught.value.cause
        with pytest.raises(UnknownActor):
            system["faulty"]
        ref = await system.spawn(Faulty, True, name="faulty")
        assert await ref.ask("?") == "here"


async def test_rule_12_a_cancelled_spawn_leaves_nothing() -> None:
    """When the spawner is cancelled, started() is cancelled and the name is free."""
    cancelled = anyio.Event()

    class Slow(Actor):
        async def started(self) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                cancelled.set()

    async with ActorSystem("test") as system:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: system.spawn(Slow, name="slow"))
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        assert cancelled.is_set()
        with pytest.raises(UnknownActor):
            system["slow"]


async def test_rule_12_names_are_unique_among_siblings() -> None:
    """A second actor of a name is refused and the first one undisturbed."""
    async with ActorSystem("test") as system:
        first = await system.spawn(Actor, name="one")
        with pytest.raises(NameTaken, match="'one'"):
            await system.spawn(Actor, name="one")
        assert first.alive
        for name in ("", "a/b"):
            with pytest.raises(ValueError, match=repr(name)):
                await system.spawn(Actor, name=name)


async def test_rule_12_nothing_starts_in_a_closed_system() -> None:
    """After the block, and before it, a spawn is refused with a sentence that says what to do."""
    system = ActorSystem("test")
    with pytest.raises((SystemClosed, AttributeError, RuntimeError)):
        await system.spawn(Actor)
    async with system:
        pass
    with pytest.raises(SystemClosed, match="async with"):
        await system.spawn(Actor)


async def test_rule_12_what_cannot_be_an_actor_is_named() -> None:
    """A factory that makes something else, and something that is no factory, are refused with its name."""
    async with ActorSystem("test") as system:
        with pytest.raises(StartFailed, match="int"):
            await system.spawn(lambda: 3)
        with pytest.raises(TypeError, match="3"):
            await system.spawn(3)
        with pytest.raises(StartFailed, match="takes no arguments"):
            await system.spawn(Actor, sise=3)
