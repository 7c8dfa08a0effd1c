"""Being told of each message that an actor handles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed, AskTimeout
from tinyllm_actors.kernel import (
    Actor,
    ActorSystem,
    Handled,
    Supervisor,
    trace,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable


pytestmark = pytest.mark.anyio

PATIENT = Supervisor(max_restarts=100, backoff=None)


class Traced(Actor):
    """Does a little of everything."""

    async def receive(self, message: Any) -> Any:
        match message:
            case "boom":
                raise LookupError("broken")
            case "hang":
                await anyio.sleep_forever()
            case "become":
                self.context.become(self.other)
            case _:
                return message

    async def other(self, message: Any) -> str:
        return "other"

    async def stream(self, message: int) -> AsyncGenerator[int, None]:
        for number in range(message):
            if number == 5:
                raise LookupError("five")
            yield number


@pytest.mark.virtual_time
async def test_a_trace_tells_of_each_message() -> None:
    """Type, id, duration and outcome, through restarts and changes of behaviour; never the content."""
    async with ActorSystem(supervisor=PATIENT) as system:
        ref = await system.spawn(Traced, name="traced")
        await ref.ask("before")
        async with trace(ref) as records:
            await ref.ask("hello")
            with pytest.raises(ActorFailed):
                await ref.ask("boom")
            with pytest.raises(AskTimeout):
                await ref.ask("hang", timeout=0.01)
            await ref.ask("become")
            assert await ref.ask(7) == "other"
            found = [await records.receive() for _ in range(5)]
        assert [(record.message, record.outcome, record.error) for record in found] == [
            ("str", "returned", None),
            ("str", "raised", "LookupError"),
            ("str", "cancelled", None),
            ("str", "returned", None),
            ("int", "returned", None),
        ]
        assert all(record.path == "traced" and record.message_id > 0 for record in found)
        assert found[2].duration == pytest.approx(0.01)
        assert not any("hello" in repr(record) for record in found)
        await ref.ask("after")
        assert records.receive_nowait() is None


async def test_streams_are_traced() -> None:
    """To their end, their failure, or until the reader leaves."""
    async with ActorSystem(supervisor=PATIENT) as system:
        ref = await system.spawn(Traced)
        async with trace(ref) as records:
            async with ref.stream(2) as items:
                assert [item async for item in items] == [0, 1]
            with pytest.raises(ActorFailed):
                async with ref.stream(9) as items:
                    async for _ in items:
                        pass
            async with ref.stream(4, buffer=1) as items:
                await items.receive()
            found = [await records.receive() for _ in range(3)]
        assert [record.outcome for record in found][:2] == ["returned", "raised"]
        assert found[2].outcome in {"cancelled", "closed"}


async def test_rule_21_a_producer_that_waits_for_nothing_ends_when_its_reader_leaves() -> None:
    """It does not run on, which would block the event loop."""

    class Endless(Actor):
        async def stream(self, message: object) -> AsyncGenerator[int, None]:
            while True:
                yield 1

    async with ActorSystem() as system:
        ref = await system.spawn(Endless)
        async with ref.stream("?", buffer=1) as items:
            assert await items.receive() == 1
        await ref.stop()


async def test_producers_are_traced() -> None:
    """An actor that defines `produce` instead of a generator."""

    class Producer(Actor):
        async def produce(self, message: int, emit: Callable[[Any], Awaitable[None]]) -> None:
            for number in range(message):
                await emit(number)

    async with ActorSystem() as system:
        ref = await system.spawn(Producer)
        async with trace(ref) as records:
            async with ref.stream(2) as items:
                assert [item async for item in items] == [0, 1]
            assert (await records.receive()).outcome == "returned"


async def test_a_plain_handler_is_traced_in_place() -> None:
    """It goes on answering in the asker's task."""

    class Plain(Actor):
        def receive(self, message: str) -> int:
            if message == "boom":
                raise LookupError("broken")
            return anyio.get_current_task().id

    async with ActorSystem(supervisor=PATIENT) as system:
        ref = await system.spawn(Plain)
        async with trace(ref) as records:
            assert await ref.ask("?") == anyio.get_current_task().id
            with pytest.raises(ActorFailed):
                await ref.ask("boom")
            assert [(await records.receive()).outcome for _ in range(2)] == ["returned", "raised"]


async def test_traces_are_independent() -> None:
    """Two may run at once; the newest records are kept for a slow reader, and what was dropped is counted."""
    async with ActorSystem() as system:
        ref = await system.spawn(Traced)
        async with trace(ref) as outer, trace(ref, buffer=2) as inner:
            for number in range(5):
                await ref.ask(number)
            assert inner.dropped == 3
            assert outer.dropped == 0
            assert isinstance(await inner.receive(), Handled)
        assert not ref.cell.cold.observers
