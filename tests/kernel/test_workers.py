"""The tasks that handlers wait in: kept while as many wait again and again, and no longer."""

from __future__ import annotations

import anyio
import pytest

from tinyllm_actors import Actor, ActorSystem
from tinyllm_actors.kernel.scheduler import MIN_SPARE

pytestmark = pytest.mark.anyio

CROWD = 100


class Waits(Actor):
    """Waits for the event that it is sent, and says which task it waited in."""

    async def receive(self, message: anyio.Event) -> int:
        await message.wait()
        return anyio.get_current_task().id


class Asks(Actor):
    """Asks another actor twice, one message after the other."""

    def __init__(self, gates: list[anyio.Event]) -> None:
        self.gates = gates

    async def receive(self, message: object) -> list[int]:
        other = await self.context.spawn(Waits)
        return [await other.ask(gate) for gate in self.gates]


async def test_waiting_again_takes_no_new_tasks() -> None:
    """As many handlers as waited before wait in the tasks that are there."""
    gates = [anyio.Event(), anyio.Event()]
    found: list[list[int]] = []
    async with ActorSystem() as system, anyio.create_task_group() as tasks:

        async def one() -> None:
            found.append(await (await system.spawn(Asks, gates)).ask(None))

        for _ in range(CROWD):
            tasks.start_soon(one)
        for gate in gates:
            await anyio.wait_all_tasks_blocked()
            gate.set()
    first, second = ({pair[turn] for pair in found} for turn in (0, 1))
    assert len(first) == len(second) == CROWD
    assert len(second - first) <= 1  # the one that held the turn


async def test_tasks_that_nobody_needs_end() -> None:
    """When a crowd has gone, a few tasks are kept, not one for each that once waited."""
    async with ActorSystem() as system:
        await anyio.wait_all_tasks_blocked()
        before = len(anyio.get_running_tasks())
        gate = anyio.Event()
        for _ in range(CROWD):
            await (await system.spawn(Waits)).tell(gate)
        await anyio.wait_all_tasks_blocked()
        assert len(anyio.get_running_tasks()) >= before + CROWD
        gate.set()
        await anyio.wait_all_tasks_blocked()
        assert len(anyio.get_running_tasks()) <= before + MIN_SPARE + 1
