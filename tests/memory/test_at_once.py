"""A memory that waits for nothing answers in its asker's task; one that waits for something may."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from tinyllm_actors import ActorSystem, BufferMemory, Evaluator
from tinyllm_actors.errors import ActorFailed
from tinyllm_actors.llm import UserMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.anyio


class Slow(BufferMemory):
    async def run(self, messages: Sequence[Any] = (), clear: bool = False) -> dict[str, list[Any]]:
        await anyio.lowlevel.checkpoint()
        return await super().run(messages, clear)


class Slower(Slow):
    """Inherits what waits."""


class Processed(BufferMemory):
    async def process_output(self, **output: Any) -> dict[str, Any]:
        await anyio.lowlevel.checkpoint()
        return {"memories": output["memories"][-1:]}


class Judge(Evaluator):
    async def run(self, input: Any, output: Any, error: Any) -> dict[str, Any]:
        await anyio.lowlevel.checkpoint()
        return {"evals": {"length": len(output["memories"])}}


async def test_an_idle_memory_answers_without_a_change_of_tasks() -> None:
    """What else is runnable does not run in between."""
    ran: list[str] = []

    async def other() -> None:
        ran.append("other")

    async with ActorSystem("test") as system, anyio.create_task_group() as tasks:
        memory = await system.spawn(BufferMemory)
        tasks.start_soon(other)
        assert (await memory(messages=[UserMessage("Hi")]))["status"] == "success"
        assert ran == []


@pytest.mark.parametrize("kind", [Slow, Slower, Processed])
async def test_hooks_may_wait(kind: type[BufferMemory]) -> None:
    """A memory whose hooks wait works like any other."""
    async with ActorSystem("test") as system:
        memory = await system.spawn(kind)
        await memory(messages=[UserMessage("Hi")])
        assert (await memory())["output"] == {"memories": [UserMessage("Hi")]}


async def test_evaluators_may_wait() -> None:
    """They are asked, and their scores are in the answer."""
    async with ActorSystem("test") as system:
        memory = await system.spawn(BufferMemory.spec(run_evaluators=[Judge.spec()]))
        result = await memory(messages=[UserMessage("Hi")])
        assert result["evaluations"][0]["evals"] == {"length": 1}


async def test_it_takes_calls_only() -> None:
    """Anything else is the fault of its sender."""
    async with ActorSystem("test") as system:
        memory = await system.spawn(BufferMemory)
        with pytest.raises(ActorFailed) as caught:
            await memory.ask("Hi")
        assert isinstance(caught.value.cause, TypeError)
