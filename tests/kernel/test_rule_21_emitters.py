"""Rule 21, for producers whose tasks emit side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.kernel import Actor, ActorSystem

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = pytest.mark.anyio


class Choir(Actor):
    """Each of its tasks emits a row of numbers."""

    async def produce(self, message: tuple[int, int], emit: Callable[[Any], Awaitable[None]]) -> None:
        voices, count = message

        async def sing(voice: int) -> None:
            for number in range(count):
                await emit((voice, number))

        async with anyio.create_task_group() as group:
            for voice in range(voices):
                group.start_soon(sing, voice)


class Lent(Actor):
    """Lends what it emits with to the test, until that says that it is done."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.emit: Callable[[Any], Awaitable[None]] | None = None

    async def receive(self, message: Any) -> Any:
        raise NotImplementedError

    async def produce(self, message: Any, emit: Callable[[Any], Awaitable[None]]) -> None:
        self.emit = emit
        await self.done.wait()


@pytest.mark.parametrize("buffer", [1, 2, 3, 64])
async def test_rule_21_tasks_that_emit_side_by_side_all_get_their_turn(buffer: int) -> None:
    """Every item of every task arrives once, those of one task in order, and at most `buffer` of them wait."""
    async with ActorSystem() as system:
        ref = await system.spawn(Choir)
        with anyio.fail_after(30):
            async with ref.stream((5, 40), buffer=buffer) as items:
                await anyio.wait_all_tasks_blocked()
                assert len(items.drain()) == buffer
                rest: list[tuple[int, int]] = []
                async for item in items:
                    rest.append(item)
                    await anyio.lowlevel.checkpoint()
                    waiting = items.drain()
                    assert len(waiting) <= buffer
                    rest += waiting
        assert len(rest) == 200 - buffer
        for voice in range(5):
            numbers = [number for other, number in rest if other == voice]
            assert numbers == list(range(40 - len(numbers), 40))


async def test_rule_21_who_leaves_the_line_leaves_the_others_their_turn() -> None:
    """A task that is cancelled while it waits, or just as its turn comes, does not keep the turn."""
    async with ActorSystem() as system:
        ref = await system.spawn(Lent)
        actor: Any = ref.cell.actor
        scopes = {name: anyio.CancelScope() for name in ("first", "waits", "comes", "last")}

        async def emit(name: str) -> None:
            with scopes[name]:
                await actor.emit(name)

        async with ref.stream(None, buffer=1) as items, anyio.create_task_group() as group:
            await anyio.wait_all_tasks_blocked()
            for name in scopes:
                group.start_soon(emit, name)
                await anyio.wait_all_tasks_blocked()
            scopes["waits"].cancel()
            await anyio.wait_all_tasks_blocked()
            scopes["first"].cancel()  # which hands its turn to the one that
            scopes["comes"].cancel()  # is cancelled in the same instant
            await anyio.wait_all_tasks_blocked()
            assert await items.receive() == "first"
            assert await items.receive() == "last"
            group.start_soon(actor.emit, "after")
            assert await items.receive() == "after"
            actor.done.set()
            assert [item async for item in items] == []


async def test_rule_21_a_producer_that_is_cancelled_again_and_again_stays_within_the_buffer() -> None:
    """To give up an `emit` that waits, and to try the next item, does not get around the bound."""
    async with ActorSystem() as system:
        ref = await system.spawn(Lent)
        actor: Any = ref.cell.actor
        async with ref.stream(None, buffer=2) as items:
            await anyio.wait_all_tasks_blocked()
            for number in range(5):
                with anyio.move_on_after(0):
                    await actor.emit(number)
            assert items.drain() == [0, 1]
            actor.done.set()


async def test_rule_21_to_drain_a_stream_makes_room() -> None:
    """A producer that waits for room goes on when the reader takes everything at once, and then waits for more."""
    async with ActorSystem() as system:
        ref = await system.spawn(Choir)
        async with ref.stream((1, 4), buffer=2) as items:
            await anyio.wait_all_tasks_blocked()
            assert items.drain() == [(0, 0), (0, 1)]
            with anyio.fail_after(30):
                assert await items.receive() == (0, 2)


async def test_rule_21_all_emitters_learn_that_the_reader_has_left() -> None:
    """Those who stand in line are cancelled with the producer."""
    async with ActorSystem() as system:
        ref = await system.spawn(Choir)
        async with ref.stream((5, 40), buffer=1) as items:
            await items.receive()
        with anyio.fail_after(30):
            assert (await ref.stop()).kind == "stopped"
