"""Streams: a bounded channel from the handler that yields to the one consumer that reads.

The producer runs ahead until `buffer` items wait, then parks; the consumer wakes it when half of them are read, so
that both sides work in batches. The consumer owns the lifetime: leaving the block cancels the producer. Tasks of one
producer may emit side by side: while one of them waits for room, the others stand in line behind it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import anyio

from tinyllm_actors.errors import ActorStopped
from tinyllm_actors.kernel.envelope import Ask, Envelope, Kind

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from types import TracebackType

    from tinyllm_actors.kernel.cell import Cell
    from tinyllm_actors.kernel.slots import Slot

__all__ = ["StreamAsk", "StreamReader", "StreamRequest", "pump"]

T = TypeVar("T")

CLEANUP_SECONDS = 5.0


class StreamAsk(Ask):
    """The envelope of a stream: its answer is the end of the stream, its items go through the channel."""

    __slots__ = ("_line", "buffer", "capacity", "reader_slot", "writer_slot")

    kind = Kind.STREAM

    def __init__(
        self, message: object, receiver: Cell, asker: Envelope | None, timeout: float | None, capacity: int
    ) -> None:
        super().__init__(message, receiver, asker, timeout)
        self.capacity = max(1, capacity)
        self.buffer: deque[Any] = deque()
        self.reader_slot: Slot | None = None
        self.writer_slot: Slot | None = None  # of who waits for room, or did so until it was cancelled
        self._line: deque[Slot] | None = None  # of those behind it; None if nobody waits

    async def emit(self, item: object) -> None:
        """Hand an item to the reader; waits while `capacity` items are unread. Several tasks may do so at once."""
        if self.writer_slot is not None or self._line is not None:
            await self._wait_in_line()
        self.buffer.append(item)
        if self.reader_slot is not None:
            self.reader_slot.set()
            self.reader_slot = None
        if len(self.buffer) >= self.capacity:
            await self._wait_in_line()

    async def _wait_in_line(self) -> None:
        """Wait until there is room, first come first served."""
        if self._line is None:
            self._line = deque()
        else:
            self._line.append(turn := self.receiver.system.backend.new_slot())
            try:
                await turn
            except BaseException:
                if turn in self._line:
                    self._line.remove(turn)
                else:
                    self._next_in_line()
                raise
        try:
            if len(self.buffer) >= self.capacity:
                await self.wait_for_reader()
        finally:
            self._next_in_line()

    def _next_in_line(self) -> None:
        if self._line:
            self._line.popleft().set()
        else:
            self._line = None

    async def wait_for_reader(self) -> None:
        """Wait until there is room in the channel."""
        if self.done:
            # The reader left. A cancelled producer must come to a point where that shows, and a detached one, which
            # goes on without a reader, must let others run.
            self.buffer.clear()
            await self.receiver.system.backend.yield_now()
            return
        self.writer_slot = slot = self.receiver.system.backend.new_slot()
        await slot

    def _finish(self) -> None:
        super()._finish()
        for slot in (self.reader_slot, self.writer_slot):
            if slot is not None:
                slot.set()


async def pump(events: AsyncGenerator[Any, Any], ask: StreamAsk) -> None:
    """Move what `events` yields into the channel until it ends, fails or is cancelled."""
    buffer, capacity = ask.buffer, ask.capacity
    try:
        async for item in events:  # `emit`, without a coroutine for each item
            buffer.append(item)
            if ask.reader_slot is not None:
                ask.reader_slot.set()
                ask.reader_slot = None
            if len(buffer) >= capacity:
                await ask.wait_for_reader()
    finally:
        # The generator's own clean-up must be able to await even when this message is being cancelled.
        with anyio.CancelScope(shield=True, deadline=anyio.current_time() + CLEANUP_SECONDS):
            await events.aclose()


class StreamReader(Generic[T]):
    """The consumer's end of a stream. Iterate it, or call `receive()`; one task at a time.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> class Counter(Actor):
    ...     async def stream(self, message: int):
    ...         for number in range(message):
    ...             yield number
    >>> async def main() -> None:
    ...     async with ActorSystem("service") as system:
    ...         counter = await system.spawn(Counter)
    ...         async with counter.stream(1000, buffer=8) as items:
    ...             print(await items.receive(), [item async for item in items][-1])
    >>> anyio.run(main)
    0 999

    ```
    """

    __slots__ = ("_ask", "_buffer", "_low")

    def __init__(self, ask: StreamAsk) -> None:
        self._ask = ask
        self._buffer = ask.buffer
        self._low = ask.capacity // 2

    def __aiter__(self) -> StreamReader[T]:
        return self

    async def __anext__(self) -> T:
        buffer = self._buffer
        if not buffer and not await self._wait():
            raise StopAsyncIteration
        item = buffer.popleft()
        ask = self._ask
        if ask.writer_slot is not None and len(buffer) <= self._low:
            ask.writer_slot.set()
            ask.writer_slot = None
        return item

    async def receive(self) -> T:
        """Return the next item.

        Raises:
            anyio.EndOfStream: the stream is finished.
            ActorFailed: the producer failed; what it had yielded before was delivered first.
            ActorStopped: the producer stopped before it ended the stream.
            AskTimeout: the stream's deadline has passed.
        """
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            raise anyio.EndOfStream from None

    def drain(self) -> list[T]:
        """Return what was produced and not read, and take it out; never waits."""
        items = list(self._buffer)
        self._buffer.clear()
        ask = self._ask
        if ask.writer_slot is not None:
            ask.writer_slot.set()
            ask.writer_slot = None
        return items

    async def _wait(self) -> bool:
        """Wait for an item; False at the end of the stream."""
        ask = self._ask
        asker = ask.asker
        while not self._buffer:
            if ask.done:
                await ask  # raises if the stream failed
                return False
            if ask.reader_slot is not None:
                raise RuntimeError("this stream is read by another task already")
            if asker is not None:
                ask.begin_wait(asker)
            ask.reader_slot = slot = ask.receiver.system.backend.new_slot()
            try:
                await slot
            finally:
                ask.reader_slot = None
                if asker is not None:
                    ask.end_wait(asker)
        return True


class StreamRequest(Generic[T]):
    """What `ref.stream(…)` returns: an async context manager that opens the stream."""

    __slots__ = ("_arguments", "_ask")

    def __init__(self, cell: Cell, message: object, timeout: float | None, buffer: int) -> None:
        self._arguments = (cell, message, timeout, buffer)
        self._ask: StreamAsk | None = None

    async def __aenter__(self) -> StreamReader[T]:
        cell, message, timeout, buffer = self._arguments
        if self._ask is not None:
            raise RuntimeError("this stream was opened already; call ref.stream(…) again")
        self._ask = ask = StreamAsk(message, cell, cell.system.asker(), timeout, buffer)
        cell.post(ask)
        return StreamReader(ask)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        ask = self._ask
        if ask is not None and not ask.done:
            ask.give_up(ActorStopped(ask.receiver.path, "its reader left", ask.message))
            ask.buffer.clear()
