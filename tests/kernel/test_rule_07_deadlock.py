"""Rule 7: a cycle of asks fails before it blocks, with the cycle in the error; what only looks like one goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed, AskDeadlock
from tinyllm_actors.kernel import Actor, ActorSystem, Directive, Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

pytestmark = pytest.mark.anyio

RESUME = Supervisor(decider=lambda _: Directive.RESUME)


class Hop(Actor):
    """Passes a message on along a way of actors; what comes back is the names it went through."""

    async def receive(self, message: Sequence[Any]) -> list[str]:
        if not message:
            return [self.context.name]
        return [self.context.name, *await message[0].ask(message[1:], timeout=None)]

    async def stream(self, message: Sequence[Any]) -> AsyncGenerator[str, None]:
        for name in await self.receive(message):
            yield name


class Catching(Hop):
    """Turns a deadlock into an answer."""

    async def receive(self, message: Sequence[Any]) -> list[str]:
        try:
            return await super().receive(message)
        except AskDeadlock as error:
            return ["caught", *error.cycle]


async def test_rule_07_a_self_ask_fails() -> None:
    """An actor that asks itself is told so at once; asked again without, it answers."""
    async with ActorSystem(supervisor=RESUME) as system:
        a = await system.spawn(Hop, name="a")
        with pytest.raises(ActorFailed, match=r"'a' → 'a'") as caught:
            await a.ask([a])
        assert isinstance(caught.value.cause, AskDeadlock)
        assert caught.value.cause.cycle == ("a", "a")
        assert await a.ask([]) == ["a"]


@pytest.mark.parametrize("length", [2, 3, 10])
async def test_rule_07_a_cycle_fails_where_it_would_close(length: int) -> None:
    """The last ask of a cycle fails, with all paths in the order in which they wait; the others are told by it."""
    async with ActorSystem(supervisor=RESUME) as system:
        refs = [await system.spawn(Hop, name=f"n{number}") for number in range(length)]
        with pytest.raises(ActorFailed) as caught:
            await refs[0].ask([*refs[1:], refs[0]])
        cause: Any = caught.value
        while not isinstance(cause, AskDeadlock):
            cause = cause.cause
        names = [ref.path for ref in refs]
        assert cause.cycle == (names[-1], *names)
        assert await refs[0].ask(refs[1:]) == names


async def test_rule_07_a_caught_deadlock_leaves_everybody_working() -> None:
    """A handler may catch `AskDeadlock` and answer all the same; the one it asked does not get the message later."""
    got: list[object] = []

    class Noting(Hop):
        async def receive(self, message: Sequence[Any]) -> list[str]:
            got.append(len(message))
            return await super().receive(message)

    async with ActorSystem() as system:
        a, b = await system.spawn(Noting, name="a"), await system.spawn(Catching, name="b")
        assert await a.ask([b, a]) == ["a", "caught", "b", "a", "b"]
        assert await a.ask([]) == ["a"]
    assert got == [2, 0]


async def test_rule_07_a_cycle_through_a_stream_fails() -> None:
    """Waiting for an item is waiting, and so is being waited for by a reader."""

    class Reader(Hop):
        async def receive(self, message: Sequence[Any]) -> list[str]:
            if not message:
                return [self.context.name]
            async with message[0].stream(message[1:]) as items:
                return [self.context.name, *[item async for item in items]]

    async with ActorSystem() as system:
        reader, producer = await system.spawn(Reader, name="reader"), await system.spawn(Catching, name="producer")
        assert await reader.ask([producer, reader]) == ["reader", "caught", "producer", "reader", "producer"]
        assert await reader.ask([producer]) == ["reader", "producer"]


async def test_rule_07_a_cycle_through_one_of_several_asks_is_found() -> None:
    """A handler that waits for many at once is in a cycle if one of them is."""

    class Fan(Actor):
        async def receive(self, message: Sequence[Sequence[Any]]) -> dict[int, list[str]]:
            answers: dict[int, list[str]] = {}

            async def ask(number: int, way: Sequence[Any]) -> None:
                answers[number] = await way[0].ask(way[1:])

            async with anyio.create_task_group() as group:
                for number, way in enumerate(message):
                    group.start_soon(ask, number, way)
            return answers

    async with ActorSystem() as system:
        fan = await system.spawn(Fan, name="fan")
        a, b, c = [await system.spawn(Catching, name=name) for name in "abc"]
        answers = await fan.ask([[a, b], [c, fan]])
        assert answers == {0: ["a", "b"], 1: ["caught", "c", "fan", "c"]}


async def test_rule_07_a_diamond_is_no_cycle() -> None:
    """Two ways to one actor are not a deadlock, nor is asking the same actor twice, nor a long chain."""
    async with ActorSystem() as system:
        a, b, c = [await system.spawn(Hop, name=name) for name in "abc"]
        chain = [await system.spawn(Hop, name=f"n{number}") for number in range(50)]
        asks = [a.ask([c]), b.ask([c]), a.ask([b, c])]
        assert [await ask for ask in asks] == [["a", "c"], ["b", "c"], ["a", "b", "c"]]
        assert await chain[0].ask(chain[1:]) == [ref.path for ref in chain]


async def test_rule_07_back_edges_of_finished_asks_do_not_count() -> None:
    """Once an answer is there, its receiver may ask back."""

    class PingPong(Actor):
        async def receive(self, message: tuple[Any, int]) -> int:
            other, count = message
            if count == 0:
                return 0
            first = await other.ask((self.context.ref, 0))
            return first + count

    async with ActorSystem() as system:
        a, b = await system.spawn(PingPong), await system.spawn(PingPong)
        assert await a.ask((b, 1)) == 1
        assert await b.ask((a, 2)) == 2


async def test_rule_07_telling_in_a_circle_is_no_deadlock() -> None:
    """Only asks wait."""
    done = anyio.Event()

    class Ring(Actor):
        async def receive(self, message: tuple[Any, int]) -> None:
            other, count = message
            if count == 0:
                done.set()
            else:
                await other.tell((self.context.ref, count - 1))

    async with ActorSystem() as system:
        a, b = await system.spawn(Ring), await system.spawn(Ring)
        await a.tell((b, 100))
        await done.wait()


async def test_rule_07_an_actors_own_task_may_ask_it() -> None:
    """A task that an actor started is not its handler, so asking the actor from there is no self-ask."""

    class Owner(Actor):
        async def receive(self, message: str) -> str:
            if message == "start":
                self.context.start_task(self._ask)
            return message

        async def _ask(self) -> None:
            answers.append(await self.context.ref.ask("from its task"))
            asked.set()

    answers: list[str] = []
    asked = anyio.Event()
    async with ActorSystem() as system:
        ref = await system.spawn(Owner)
        await ref.ask("start")
        await asked.wait()
    assert answers == ["from its task"]
