"""Rule 21: a stream belongs to its message; leaving cancels, failures are exceptions, and the buffer is bounded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed, ActorStopped, AskDeadlock, AskTimeout
from tinyllm_actors.kernel import Actor, ActorSystem, Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

pytestmark = pytest.mark.anyio

AT_ONCE = Supervisor(max_restarts=1000, backoff=None)


class Source(Actor):
    """Counts, and says how far it came and how it ended."""

    def __init__(self) -> None:
        self.made = 0
        self.closed = 0

    async def receive(self, message: Any) -> Any:
        return (self.made, self.closed, self.context.incarnation)

    async def stream(self, message: int) -> AsyncGenerator[int, None]:
        try:
            for n in range(message):
                self.made += 1
                yield n
            if message == 3:
                raise ValueError("three is unlucky")
        finally:
            await anyio.lowlevel.checkpoint()  # clean-up that awaits must get its turn, cancelled or not
            self.closed += 1


class Producer(Actor):
    """The same without a generator, and with scopes open."""

    async def receive(self, message: Any) -> str:
        return "free"

    async def produce(self, message: int, emit: Callable[[Any], Awaitable[None]]) -> None:
        async with anyio.create_task_group() as group:
            with anyio.fail_after(10):
                group.start_soon(anyio.sleep, 0)
                for n in range(message):
                    await emit(n)


@pytest.mark.parametrize("kind", [Source, Producer])
@pytest.mark.parametrize("buffer", [1, 2, 64])
async def test_rule_21_every_item_comes_in_order(kind: type[Actor], buffer: int) -> None:
    """Whatever the buffer, items come once and in order, and the stream ends."""
    async with ActorSystem("test") as system:
        ref = await system.spawn(kind)
        for count in (0, 1, 100):
            async with ref.stream(count, buffer=buffer) as items:
                assert [item async for item in items] == list(range(count))


async def test_rule_21_the_producer_runs_at_most_the_buffer_ahead() -> None:
    """With nobody reading, exactly `buffer` items are made."""
    async with ActorSystem("test") as system:
        ref = await system.spawn(Source)
        actor: Any = ref.cell.actor
        async with ref.stream(1000, buffer=8) as items:
            await anyio.wait_all_tasks_blocked()
            assert actor.made == 8
            for _ in range(100):
                await items.receive()
            await anyio.wait_all_tasks_blocked()
            assert actor.made <= 108


async def test_rule_21_leaving_the_block_cancels_the_producer() -> None:
    """Its clean-up has run when the next message is handled; the actor is not restarted."""
    async with ActorSystem("test", supervisor=AT_ONCE) as system:
        ref = await system.spawn(Source)
        async with ref.stream(1000, buffer=4) as items:
            assert await items.receive() == 0
        made, closed, incarnation = await ref.ask("state")
        assert made < 20
        assert (closed, incarnation) == (1, 1)


async def test_rule_21_a_failure_is_raised_after_what_came_before() -> None:
    """The reader gets all items, then the cause; the producer's supervisor sees the failure."""
    async with ActorSystem("test", supervisor=AT_ONCE) as system:
        ref = await system.spawn(Source)
        seen: list[int] = []
        with pytest.raises(ActorFailed) as caught:
            async with ref.stream(3) as items:
                async for item in items:
                    seen.append(item)  # noqa: PERF401 - what came before the failure must be seen
        assert seen == [0, 1, 2]
        assert isinstance(caught.value.cause, ValueError)
        assert (await ref.ask("state"))[2] == 2


async def test_rule_21_an_end_is_not_a_failure() -> None:
    """receive() says EndOfStream, again and again."""
    async with ActorSystem("test") as system:
        ref = await system.spawn(Source)
        async with ref.stream(1) as items:
            assert await items.receive() == 0
            for _ in range(2):
                with pytest.raises(anyio.EndOfStream):
                    await items.receive()


@pytest.mark.virtual_time
async def test_rule_21_a_stream_has_a_deadline() -> None:
    """At its time-out the reader gets AskTimeout and the producer is cancelled."""
    cancelled = anyio.Event()

    class Silent(Actor):
        async def receive(self, message: Any) -> str:
            return "free"

        async def stream(self, message: Any) -> AsyncGenerator[int, None]:
            yield 1
            try:
                await anyio.sleep_forever()
            finally:
                cancelled.set()

    async with ActorSystem("test") as system:
        ref = await system.spawn(Silent)
        with pytest.raises(AskTimeout):
            async with ref.stream("go", timeout=0.02) as items:
                async for _ in items:
                    pass
        await cancelled.wait()
        assert await ref.ask("?") == "free"


async def test_rule_21_a_producer_that_stops_tells_its_reader() -> None:
    """A stop in the middle of a stream is an exception for the reader, not an end."""
    async with ActorSystem("test") as system:
        ref = await system.spawn(Source.spec().with_options(shutdown=0.0))
        with pytest.raises(ActorStopped):
            async with ref.stream(1000, buffer=1) as items:
                async for item in items:
                    if item == 1:
                        await ref.stop()
        with pytest.raises(ActorStopped):
            async with ref.stream(1) as items:
                await items.receive()


async def test_rule_21_two_readers_do_not_mix() -> None:
    """A second stream waits for the first: one message at a time."""
    async with ActorSystem("test") as system:
        ref = await system.spawn(Source)
        results: dict[int, list[int]] = {}

        async def read(count: int) -> None:
            async with ref.stream(count, buffer=2) as items:
                results[count] = [item async for item in items]

        async with anyio.create_task_group() as group:
            for count in (10, 20, 30):
                group.start_soon(read, count)
        assert results == {count: list(range(count)) for count in (10, 20, 30)}


async def test_rule_21_a_stream_that_waits_for_itself_is_a_deadlock() -> None:
    """A producer that asks the actor which reads it is found out."""

    class Reader(Actor):
        async def receive(self, message: Any) -> Any:
            if message == "busy?":
                return "no"
            async with message.stream(self.context.ref) as items:
                return [item async for item in items]

    class Asks(Actor):
        async def stream(self, message: Any) -> AsyncGenerator[Any, None]:
            yield await message.ask("busy?")

    async with ActorSystem("test", supervisor=AT_ONCE) as system:
        reader, asks = await system.spawn(Reader), await system.spawn(Asks)
        with pytest.raises(ActorFailed) as caught:
            await reader.ask(asks)
        cause: Any = caught.value.cause
        assert isinstance(cause.cause, AskDeadlock)


async def test_rule_21_an_actor_that_does_not_stream_says_so() -> None:
    """The reader is told which class lacks what."""

    class Mute(Actor):
        pass

    async with ActorSystem("test", supervisor=AT_ONCE) as system:
        ref = await system.spawn(Mute)
        with pytest.raises(ActorFailed, match="Mute does not stream"):
            async with ref.stream("?") as items:
                await items.receive()
