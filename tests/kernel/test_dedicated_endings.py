"""How the task of an actor that has one to itself ends, and what then becomes of messages."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from tinyllm_actors.kernel import (
    Actor,
    ActorSystem,
    ChildOptions,
    ExitReason,
    Supervisor,
    Unanswered,
)
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    pass
pytestmark = pytest.mark.anyio

PATIENT = Supervisor(max_restarts=100, backoff=None)


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


@pytest.mark.virtual_time
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


@pytest.mark.virtual_time
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
