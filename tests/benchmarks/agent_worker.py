"""Holds conversations in one way, in a process of its own, and says what they cost; `agents.py` starts it.

It reads commands from its standard input and writes figures to its standard output, one JSON value a line. A process
for each way, so that none pays for another's modules and heap, and an interpreter of its own for those whose
dependencies do not go together with ours.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
import tracemalloc
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from agent_subjects import aiohttp_by_hand, our_adapter, our_agent

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from agent_subjects import Subject

QUESTION = "When is the birthday of the user?"
TURNS = 5


class Worker:
    """What can be asked of one way.

    Args:
        subject: the way.
        root: address of the server.
    """

    def __init__(self, subject: Subject, root: str) -> None:
        self.subject = subject
        self.root = root

    async def turns(self, count: int) -> float:
        """Return the CPU time of a turn with one tool call and two model calls, in µs."""
        conversation = await self.subject.conversation(f"{self.root}/0/0", forgetful=True)
        for _ in range(5):
            await conversation.turn(QUESTION)
        start = time.process_time()
        for _ in range(count):
            await conversation.turn(QUESTION)
        return (time.process_time() - start) / count * 1e6

    async def chunks(self, count: int) -> float:
        """Return the CPU time of a piece of a streamed answer until the user has it, in µs."""
        warm = await self.subject.conversation(f"{self.root}/0/10")
        await warm.stream(QUESTION)
        conversation = await self.subject.conversation(f"{self.root}/0/{count}")
        start = time.process_time()
        seen = await conversation.stream(QUESTION)
        spent = time.process_time() - start
        assert seen >= count, seen
        return spent / count * 1e6

    async def crowd(self, count: int, latency_ms: int) -> dict[str, float]:
        """Return how `count` conversations of five turns at once went; see `agents.py` for the figures."""
        base = f"{self.root}/{latency_ms}/0"
        ideal = 2 * latency_ms / 1000
        late: list[float] = []

        async def one() -> None:
            conversation = await self.subject.conversation(base)
            for _ in range(TURNS):
                began = time.perf_counter()
                await conversation.turn(QUESTION)
                late.append(time.perf_counter() - began - ideal)

        cpu, start = time.process_time(), time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for _ in range(count):
                tasks.start_soon(one)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        late.sort()
        return {
            "wall": wall / (TURNS * ideal),
            "cpu": cpu / (TURNS * ideal),
            "p50": late[len(late) // 2] * 1000,
            "p99": late[len(late) * 99 // 100] * 1000,
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        }

    async def idle(self, count: int) -> float:
        """Return the memory of a live conversation of 20 messages that waits for its user, in KB."""
        base = f"{self.root}/0/0"
        kept: list[Any] = []

        async def talk() -> None:
            conversation = await self.subject.conversation(base)
            for _ in range(TURNS):
                await conversation.turn(QUESTION)
            kept.append(conversation)

        for _ in range(3):
            await talk()
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(count):
                await talk()
            gc.collect()
            return (tracemalloc.get_traced_memory()[0] - before) / count / 1000
        finally:
            tracemalloc.stop()


def subjects() -> dict[str, Callable[[], AbstractAsyncContextManager[Subject]]]:
    """Return the ways by name. Those that need other packages are looked for only when one of them is asked for."""
    found: dict[str, Callable[[], AbstractAsyncContextManager[Subject]]] = {
        "floor": aiohttp_by_hand,
        "tinyllm": our_agent,
        "tinyllm without a network": partial(our_agent, instant=True),
        "tinyllm with short pauses": partial(our_agent, short=True),
        "adapter": our_adapter,
        "tinyllm on litellm": partial(our_agent, litellm=True),
        "litellm adapter": partial(our_adapter, litellm=True),
    }
    if sys.argv[1] not in found:
        from agent_peers import PEERS

        found.update(PEERS)
    return found


async def main(name: str, root: str) -> None:
    """Serve commands until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a package prints is no figure
    async with subjects()[name]() as subject:
        worker = Worker(subject, root)
        print(json.dumps("ready"), file=answers, flush=True)
        while line := await anyio.to_thread.run_sync(sys.stdin.readline):
            command = json.loads(line)
            gc.collect()
            gc.freeze()
            figure = await getattr(worker, command.pop("do"))(**command)
            gc.unfreeze()
            print(json.dumps(figure), file=answers, flush=True)


if __name__ == "__main__":
    backend = sys.argv[3]
    loop: dict[str, Any] = {"backend": backend}
    if backend == "uvloop":
        loop = {"backend": "asyncio", "backend_options": {"use_uvloop": True}}
    anyio.run(main, sys.argv[1], sys.argv[2], **loop)
