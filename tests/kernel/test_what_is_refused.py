"""What cannot be done is refused by name; what is no mistake is taken."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import (
    ActorFailed,
    StartFailed,
    SystemClosed,
)
from tinyllm_actors.kernel import (
    Actor,
    ActorSystem,
    Supervisor,
)
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.anyio

PATIENT = Supervisor(max_restarts=100, backoff=None)


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


async def test_leaving_what_one_never_joined_is_no_mistake() -> None:
    """Groups and watches: nothing happens."""
    async with ActorSystem() as system:
        stranger, other = await system.spawn(Puppet), await system.spawn(Puppet)
        assert not system.group("friends").leave(stranger)
        await other.ask(lambda self: self.context.unwatch(stranger))
        await other.ask(lambda self: self.context.unlink(stranger))
        assert stranger.alive
        assert other.alive
