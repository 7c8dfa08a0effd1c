"""The floor: what two tasks over a raw anyio memory object stream do, in the strongest shape that was found.

Requests go through `send_nowait` of an unbounded stream to a task that does `async for`; a reply is the cheapest
one-shot thing the back end has. That is faster than `send` on any buffer and faster than two streams or an
`anyio.Event` for the reply (by 1.5×, 5× and 1.4× on asyncio), so it is the honest one to be compared with. A reader
that empties the buffer with `receive_nowait` is faster still, since it never lets anybody else run: it has a row of
its own.
"""

from __future__ import annotations

import asyncio
import math
import time
from statistics import median
from typing import TYPE_CHECKING, Any

import anyio
import sniffio
import trio
from measuring import cpu, per_cpu_second

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from anyio.abc import TaskGroup
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

__all__ = ["Floor"]


class TrioFuture:
    """The least that one trio task needs to wait for another."""

    __slots__ = ("_done", "_result", "_task")

    def __init__(self) -> None:
        self._done = False
        self._result: object = None
        self._task: trio.lowlevel.Task | None = None

    def set_result(self, result: object) -> None:
        self._result = result
        self._done = True
        if self._task is not None:
            trio.lowlevel.reschedule(self._task)

    def __await__(self) -> Generator[Any, Any, object]:
        if not self._done:
            self._task = trio.lowlevel.current_task()
            parking = trio.lowlevel.wait_task_rescheduled
            yield from parking(lambda _: trio.lowlevel.Abort.SUCCEEDED).__await__()
        return self._result


def _futures() -> Callable[[], Any]:
    if sniffio.current_async_library() == "trio":
        return TrioFuture
    return asyncio.get_running_loop().create_future


async def _echo(requests: MemoryObjectReceiveStream[Any]) -> None:
    async with requests:
        async for item, reply in requests:
            reply.set_result(item)


class Floor:
    """The measurements, for `scale` of the usual counts."""

    def __init__(self, scale: float) -> None:
        self._scale = scale

    def _count(self, usual: int) -> int:
        return max(1000, int(usual * self._scale))

    async def tell(self) -> float:
        """Messages from one task to another, by CPU second."""
        count = self._count(100_000)
        send, receive = anyio.create_memory_object_stream[int](math.inf)

        async def reader() -> None:
            async with receive:
                async for _ in receive:
                    pass

        started = cpu()
        async with anyio.create_task_group() as group:
            group.start_soon(reader)
            for number in range(count):
                send.send_nowait(number)
            send.close()
        return per_cpu_second(count, started)

    async def tell_drained(self) -> float:
        """The same with a reader that empties the buffer without ever letting another task run."""
        count = self._count(100_000)
        send, receive = anyio.create_memory_object_stream[int](1000)

        async def reader() -> None:
            with receive:
                try:
                    while True:
                        try:
                            receive.receive_nowait()
                        except anyio.WouldBlock:
                            await receive.receive()
                except anyio.EndOfStream:
                    pass

        started = cpu()
        async with anyio.create_task_group() as group:
            group.start_soon(reader)
            for number in range(count):
                try:
                    send.send_nowait(number)
                except anyio.WouldBlock:
                    await send.send(number)
            send.close()
        return per_cpu_second(count, started)

    async def ask(self) -> float:
        """Requests and replies, one after another, by CPU second."""
        count = self._count(30_000)
        new_future = _futures()
        send, receive = anyio.create_memory_object_stream[Any](math.inf)
        started = cpu()
        async with anyio.create_task_group() as group:
            group.start_soon(_echo, receive)
            for number in range(count):
                reply = new_future()
                send.send_nowait((number, reply))
                await reply
            send.close()
        return per_cpu_second(count, started)

    async def ask_latency(self) -> float:
        """The median time from request to reply, in µs."""
        new_future = _futures()
        times: list[int] = []
        send, receive = anyio.create_memory_object_stream[Any](math.inf)
        async with anyio.create_task_group() as group:
            group.start_soon(_echo, receive)
            for number in range(self._count(10_000)):
                started = time.perf_counter_ns()
                reply = new_future()
                send.send_nowait((number, reply))
                await reply
                times.append(time.perf_counter_ns() - started)
            send.close()
        return median(times) / 1000

    async def ask_from_tasks(self) -> float:
        """Requests from 1000 tasks, each waiting for its reply before the next; the tasks are there already."""
        each = max(5, int(50 * self._scale))
        new_future = _futures()
        begin = anyio.Event()
        send, receive = anyio.create_memory_object_stream[Any](math.inf)

        async def asker() -> None:
            await begin.wait()
            for number in range(each):
                reply = new_future()
                send.send_nowait((number, reply))
                await reply

        started = cpu()
        async with anyio.create_task_group() as group:
            group.start_soon(_echo, receive)
            async with anyio.create_task_group() as askers:
                for _ in range(1000):
                    askers.start_soon(asker)
                await anyio.wait_all_tasks_blocked()
                started = cpu()
                begin.set()
            send.close()
        return per_cpu_second(1000 * each, started)

    async def ask_in_flight(self) -> float:
        """1000 requests under way at once from one task."""
        bursts = max(5, int(50 * self._scale))
        new_future = _futures()
        send, receive = anyio.create_memory_object_stream[Any](math.inf)
        started = cpu()
        async with anyio.create_task_group() as group:
            group.start_soon(_echo, receive)
            for _ in range(bursts):
                replies: list[Any] = []
                for number in range(1000):
                    reply = new_future()
                    send.send_nowait((number, reply))
                    replies.append(reply)
                for reply in replies:
                    await reply
            send.close()
        return per_cpu_second(1000 * bursts, started)

    async def spawn_stop(self) -> float:
        """Tasks with a stream each, started and ended: a tenth of the 100,000, which cost 650 MB here."""
        count = self._count(10_000)
        streams: list[MemoryObjectSendStream[Any]] = []
        started = cpu()
        async with anyio.create_task_group() as group:
            for _ in range(count):
                send, receive = anyio.create_memory_object_stream[Any](16)
                group.start_soon(_echo, receive)
                streams.append(send)
            await anyio.lowlevel.checkpoint()
            for send in streams:
                send.close()
        return per_cpu_second(count, started)

    async def ring(self) -> float:
        """A message handed on around 1000 tasks, in hops by CPU second."""
        hops = self._count(50_000)
        pairs = [anyio.create_memory_object_stream[int](math.inf) for _ in range(1000)]
        finished = anyio.Event()

        async def node(receive: MemoryObjectReceiveStream[int], following: MemoryObjectSendStream[int]) -> None:
            with receive, following:
                async for left in receive:
                    if left == 0:
                        finished.set()
                    else:
                        following.send_nowait(left - 1)

        used = math.inf
        async with anyio.create_task_group() as group:
            for number, (_, receive) in enumerate(pairs):
                group.start_soon(node, receive, pairs[(number + 1) % 1000][0])
            await anyio.wait_all_tasks_blocked()
            started = cpu()
            pairs[0][0].send_nowait(hops)
            await finished.wait()
            used = cpu() - started
            group.cancel_scope.cancel()
        return hops / used

    async def restart(self) -> float:
        """Tasks that fail on their message and are replaced by a new task, by CPU second."""
        count = self._count(10_000)
        send, receive = anyio.create_memory_object_stream[int](math.inf)

        async def crashing() -> None:
            async for number in receive:
                raise ValueError(number)

        async def supervised(group: TaskGroup) -> None:
            try:
                await crashing()
            except ValueError:
                group.start_soon(supervised, group)

        started = cpu()
        with receive:
            async with anyio.create_task_group() as group:
                group.start_soon(supervised, group)
                for number in range(count):
                    send.send_nowait(number)
                send.close()
        return per_cpu_second(count, started)

    async def stream(self) -> float:
        """Items through a stream with a buffer of 64, by CPU second."""
        count = self._count(50_000)
        send, receive = anyio.create_memory_object_stream[int](64)

        async def producer() -> None:
            async with send:
                for number in range(count):
                    await send.send(number)

        started = cpu()
        async with anyio.create_task_group() as group:
            group.start_soon(producer)
            async with receive:
                async for _ in receive:
                    pass
        return per_cpu_second(count, started)
