"""The kernel's own figures. Everything is on (envelopes, context, deadlines, supervision); transitions are off."""

from __future__ import annotations

import time
import tracemalloc
from contextlib import asynccontextmanager, suppress
from statistics import median
from typing import TYPE_CHECKING

import anyio
from measuring import cpu, per_cpu_second

from tinyllm_actors.errors import ActorFailed
from tinyllm_actors.kernel import Actor, ActorRef, ActorSystem, Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["Echo", "Ours", "open_system"]


class Echo(Actor):
    async def receive(self, message: object) -> object:
        return message


class PlainEcho(Actor):
    def receive(self, message: object) -> object:
        return message


class Counting(Actor):
    async def receive(self, message: object) -> object:
        return message

    async def stream(self, message: int) -> AsyncGenerator[int, None]:
        for number in range(message):
            yield number


class Node(Actor):
    def __init__(self, finished: anyio.Event) -> None:
        self.finished = finished
        self.following: ActorRef | None = None

    async def receive(self, message: int | ActorRef) -> None:
        if isinstance(message, ActorRef):
            self.following = message
        elif message == 0:
            self.finished.set()
        elif self.following is not None:
            await self.following.tell(message - 1)


class Crashing(Actor):
    async def receive(self, message: int) -> None:
        raise ValueError(message)


class Waiting(Actor):
    def __init__(self, released: anyio.Event) -> None:
        self.released = released

    async def receive(self, message: object) -> None:
        await self.released.wait()


def open_system() -> ActorSystem:
    """Return a system that restarts without bound or back-off and logs no transitions."""
    return ActorSystem("bench", log_transitions=False, supervisor=Supervisor(max_restarts=10**9, backoff=None))


class Ours:
    """The measurements, for `scale` of the usual counts, on actors of one open system."""

    def __init__(self, system: ActorSystem, scale: float) -> None:
        self._system = system
        self._scale = scale

    @classmethod
    @asynccontextmanager
    async def open(cls, scale: float) -> AsyncGenerator[Ours]:
        """Open a system and make the actors that are measured again and again."""
        async with open_system() as system:
            ours = cls(system, scale)
            ours.echo = await system.spawn(Echo)
            ours.plain = await system.spawn(PlainEcho)
            ours.counting = await system.spawn(Counting)
            ours.crashing = await system.spawn(Crashing)
            yield ours

    echo: ActorRef
    plain: ActorRef
    counting: ActorRef
    crashing: ActorRef

    def _count(self, usual: int) -> int:
        return max(1000, int(usual * self._scale))

    async def tell(self) -> float:
        """Messages to one actor, by CPU second; the last is an ask, so all are handled."""
        count = self._count(100_000)
        echo = self.echo
        started = cpu()
        for number in range(count):
            await echo.tell(number)
        await echo.ask(None)
        return per_cpu_second(count, started)

    async def ask(self) -> float:
        """Asks one after another, by CPU second."""
        count = self._count(30_000)
        echo = self.echo
        started = cpu()
        for number in range(count):
            await echo.ask(number)
        return per_cpu_second(count, started)

    async def ask_latency(self) -> float:
        """The median time of an ask, in µs."""
        times: list[int] = []
        for number in range(self._count(10_000)):
            started = time.perf_counter_ns()
            await self.echo.ask(number)
            times.append(time.perf_counter_ns() - started)
        return median(times) / 1000

    async def ask_from_tasks(self) -> float:
        """Asks from 1000 tasks, each waiting for its answer before the next."""
        each = max(5, int(50 * self._scale))
        begin = anyio.Event()
        echo = self.echo

        async def asker() -> None:
            await begin.wait()
            for number in range(each):
                await echo.ask(number)

        started = cpu()
        async with anyio.create_task_group() as askers:
            for _ in range(1000):
                askers.start_soon(asker)
            await anyio.wait_all_tasks_blocked()
            started = cpu()
            begin.set()
        return per_cpu_second(1000 * each, started)

    async def ask_in_flight(self) -> float:
        """1000 asks under way at once from one task."""
        bursts = max(5, int(50 * self._scale))
        echo = self.echo
        started = cpu()
        for _ in range(bursts):
            answers = [echo.ask(number) for number in range(1000)]
            for answer in answers:
                await answer
        return per_cpu_second(1000 * bursts, started)

    async def ask_plain(self) -> float:
        """Asks of an idle actor whose handler is a plain function."""
        count = self._count(100_000)
        plain = self.plain
        started = cpu()
        for number in range(count):
            await plain.ask(number)
        return per_cpu_second(count, started)

    async def spawn_stop(self) -> float:
        """Actors started, all of them alive at once, and stopped, by CPU second."""
        count = self._count(100_000)
        system = self._system
        started = cpu()
        refs = [await system.spawn(Echo) for _ in range(count)]
        for ref in refs:
            await ref.stop()
        return per_cpu_second(count, started)

    async def bytes_idle(self) -> float:
        """What Python allocates for an idle actor and its reference, in bytes."""
        count = self._count(20_000)
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        refs = [await self._system.spawn(Echo) for _ in range(count)]
        used = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        for ref in refs:
            await ref.stop()
        return used / count

    async def bytes_blocked(self) -> float:
        """What Python allocates for an actor whose handler waits for something, in bytes."""
        count = self._count(2_000)
        released = anyio.Event()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        refs = [await self._system.spawn(Waiting, released) for _ in range(count)]
        for ref in refs:
            await ref.tell(None)
        await anyio.wait_all_tasks_blocked()
        used = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        released.set()
        for ref in refs:
            await ref.stop()
        return used / count

    async def ring(self) -> float:
        """A message handed on around 1000 actors, in hops by CPU second."""
        hops = self._count(200_000)
        finished = anyio.Event()
        nodes = [await self._system.spawn(Node, finished) for _ in range(1000)]
        for number, node in enumerate(nodes):
            await node.tell(nodes[(number + 1) % 1000])
        await nodes[-1].ask(nodes[0])
        started = cpu()
        await nodes[0].tell(hops)
        await finished.wait()
        rate = per_cpu_second(hops, started)
        for node in nodes:
            await node.stop()
        return rate

    async def restart(self) -> float:
        """Failures, each followed by a new incarnation, by CPU second."""
        count = self._count(20_000)
        crashing = self.crashing
        started = cpu()
        for number in range(count - 1):
            await crashing.tell(number)
        with suppress(ActorFailed):
            await crashing.ask(count)
        return per_cpu_second(count, started)

    async def stream(self) -> float:
        """Items through a stream with a buffer of 64, by CPU second."""
        count = self._count(200_000)
        started = cpu()
        async with self.counting.stream(count, buffer=64) as items:
            async for _ in items:
                pass
        return per_cpu_second(count, started)
