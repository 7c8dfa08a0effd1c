"""Rule 6: deadlines, context variables and the id travel with the message, and end with it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import structlog

from tinyllm_actors.errors import AskTimeout
from tinyllm_actors.kernel import Actor, ActorSystem, InFlight, Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

pytestmark = pytest.mark.anyio

REQUEST: ContextVar[str] = ContextVar("request", default="none")


class Doer(Actor):
    """Does what it is told, as a handler."""

    async def receive(self, message: Callable[[Doer], Awaitable[Any]]) -> Any:
        return await message(self)


class Plain(Actor):
    """The same as a plain function."""

    def receive(self, message: str) -> Any:
        match message:
            case "remaining":
                return self.context.remaining()
            case "deadlines":
                return self.context.deadline, self.context.deadline
            case "id":
                return self.context.message_id
            case _:
                before = REQUEST.get()
                REQUEST.set("bound by a handler")
                return before


async def deadline(actor: Doer) -> float:
    """Return how much time the handler has."""
    return actor.context.remaining()


@pytest.mark.virtual_time
async def test_rule_06_a_handler_knows_its_deadline() -> None:
    """`remaining()` counts down to the asker's time-out; without one it is infinite."""

    async def twice(actor: Doer) -> tuple[float, float, float]:
        before = actor.context.remaining()
        await anyio.sleep(2)
        return before, actor.context.remaining(), actor.context.deadline

    async with ActorSystem(ask_timeout=None) as system:
        ref = await system.spawn(Doer)
        assert await ref.ask(twice, timeout=10.0) == (10.0, 8.0, 10.0)
        assert await ref.ask(deadline) == float("inf")
        assert await ref.ask(deadline, timeout=5.0) == 5.0


@pytest.mark.virtual_time
async def test_rule_06_a_plain_handler_knows_its_deadline_too() -> None:
    """A handler that runs in the asker's task has the asker's time-out, or the system's."""
    async with ActorSystem(ask_timeout=7.0) as system:
        ref = await system.spawn(Plain)
        assert await ref.ask("remaining", timeout=3.0) == 3.0
        assert await ref.ask("remaining") == 7.0
        assert await ref.ask("remaining", timeout=None) == float("inf")


@pytest.mark.virtual_time
async def test_rule_06_a_plain_handler_inherits_a_deadline_too() -> None:
    """In the asker's task as well, a deadline can be shortened and not extended, and does not move."""

    async def nested(actor: Doer) -> list[tuple[float, float]]:
        await anyio.sleep(1)
        return [await inner.ask("deadlines", timeout=timeout) for timeout in (None, 100.0, 2.0)]

    async with ActorSystem() as system:
        inner = await system.spawn(Plain)
        outer = await system.spawn(Doer)
        began = anyio.current_time()
        answers = await outer.ask(nested, timeout=5.0)
        assert answers == [(began + 5.0,) * 2, (began + 5.0,) * 2, (began + 3.0,) * 2]


@pytest.mark.virtual_time
async def test_rule_06_a_nested_ask_inherits_the_deadline() -> None:
    """What a handler asks for has what is left of its own time, whatever time-out it names or leaves out."""
    async with ActorSystem(ask_timeout=300.0) as system:
        inner, outer = await system.spawn(Doer), await system.spawn(Doer)

        async def nested(_: Doer) -> list[float]:
            await anyio.sleep(1)
            return [
                await inner.ask(deadline),
                await inner.ask(deadline, timeout=None),
                await inner.ask(deadline, timeout=100.0),
                await inner.ask(deadline, timeout=2.0),
            ]

        assert await outer.ask(nested, timeout=10.0) == [9.0, 9.0, 9.0, 2.0]


@pytest.mark.virtual_time
async def test_rule_06_a_deadline_is_never_extended() -> None:
    """Three levels down, a longer time-out does not keep anybody beyond the first asker's time."""
    ended: list[tuple[str, float]] = []

    async def sleep(_: Doer) -> None:
        try:
            await anyio.sleep(1000)
        finally:
            ended.append(("sleep", anyio.current_time()))

    async with ActorSystem() as system:
        first, second, third = [await system.spawn(Doer) for _ in range(3)]

        async def go_on(_: Doer) -> None:
            await third.ask(sleep, timeout=500.0)

        async def begin(_: Doer) -> None:
            await second.ask(go_on, timeout=200.0)

        with pytest.raises(AskTimeout, match="within 3 s"):
            await first.ask(begin, timeout=3.0)
        for ref in (first, second, third):
            await ref.ask(deadline)
    assert ended == [("sleep", 3.0)]


@pytest.mark.virtual_time
async def test_rule_06_a_handler_may_outlive_a_shorter_nested_deadline() -> None:
    """When a nested ask runs out of its own shorter time, the asking handler catches that and goes on."""

    async def sleep(_: Doer) -> None:
        await anyio.sleep(1000)

    async with ActorSystem() as system:
        inner, outer = await system.spawn(Doer, name="inner"), await system.spawn(Doer)

        async def nested(_: Doer) -> str:
            try:
                await inner.ask(sleep, timeout=1.0)
            except AskTimeout as error:
                return f"{error.path} after {error.timeout:g} s"
            return "no"

        assert await outer.ask(nested, timeout=10.0) == "inner after 1 s"


@pytest.mark.virtual_time
async def test_rule_06_a_stream_inherits_the_deadline() -> None:
    """A stream opened inside a handler ends when the handler's time does."""

    class Endless(Actor):
        async def stream(self, message: object) -> AsyncGenerator[Any, None]:
            while True:
                yield self.context.remaining()
                await anyio.sleep(1)

    async with ActorSystem() as system:
        endless, reader = await system.spawn(Endless), await system.spawn(Doer)
        got: list[float] = []

        async def read(_: Doer) -> None:
            async with endless.stream("go") as items:
                while True:
                    got.append(await items.receive())

        with pytest.raises(AskTimeout):
            await reader.ask(read, timeout=2.5)
        assert got == [2.5, 1.5, 0.5]


async def test_rule_06_a_handler_sees_the_senders_context_variables() -> None:
    """What the sender had bound when it sent is what the handler sees, for tell, ask and stream."""

    class Streamer(Doer):
        async def stream(self, message: object) -> AsyncGenerator[Any, None]:
            for _ in range(2):
                yield REQUEST.get()
                await anyio.lowlevel.checkpoint()

    seen: list[str] = []

    async def look(_: Doer) -> str:
        before = REQUEST.get()
        await anyio.lowlevel.checkpoint()
        seen.append(before)
        return REQUEST.get()

    async with ActorSystem() as system:
        ref = await system.spawn(Streamer)
        for name in ("one", "two"):
            REQUEST.set(name)
            await ref.tell(look)
            assert await ref.ask(look) == name
            async with ref.stream(0, buffer=1) as items:
                REQUEST.set("changed afterwards")
                assert [item async for item in items] == [name, name]
    assert seen == ["one", "one", "two", "two"]


async def test_rule_06_what_a_handler_binds_is_gone_with_its_message() -> None:
    """Neither the next message of the actor, nor its sender, sees what a handler bound."""

    async def bind(_: Doer) -> None:
        REQUEST.set("bound by a handler")
        structlog.contextvars.bind_contextvars(handler="bound")
        await anyio.lowlevel.checkpoint()
        REQUEST.set("bound again")

    async def look(_: Doer) -> tuple[str, dict[str, Any]]:
        return REQUEST.get(), structlog.contextvars.get_contextvars()

    async with ActorSystem() as system:
        ref = await system.spawn(Doer)
        await ref.ask(bind)
        assert await ref.ask(look) == ("none", {})
        assert REQUEST.get() == "none"


async def test_rule_06_structlogs_context_follows_a_request() -> None:
    """What the sender bound for structlog is bound in the handler, and in the handlers that it asks in turn."""

    async def look(_: Doer) -> dict[str, Any]:
        return structlog.contextvars.get_contextvars()

    async with ActorSystem() as system:
        inner, outer = await system.spawn(Doer), await system.spawn(Doer)

        async def nested(_: Doer) -> tuple[dict[str, Any], dict[str, Any]]:
            with structlog.contextvars.bound_contextvars(step="nested"):
                asked = await inner.ask(look)
            return asked, await inner.ask(look)

        with structlog.contextvars.bound_contextvars(request="r-1"):
            asked = await outer.ask(nested)
        assert asked == ({"request": "r-1", "step": "nested"}, {"request": "r-1"})
        assert await inner.ask(look) == {}


async def test_rule_06_an_actor_does_not_inherit_from_whoever_spawned_it() -> None:
    """Hooks, timers and tasks of an actor run without the spawner's context variables, and so does its next message."""
    seen: dict[str, str] = {}

    class Child(Doer):
        async def started(self) -> None:
            seen["started"] = REQUEST.get()
            self.context.send_after(0.0, self._look("timer"))
            self.context.start_task(self._task)

        def _look(self, name: str) -> Callable[[Doer], Awaitable[Any]]:
            async def look(_: Doer) -> None:
                seen[name] = REQUEST.get()

            return look

        async def _task(self) -> None:
            seen["task"] = REQUEST.get()
            await self.context.ref.ask(self._look("asked by its task"))

        async def stopped(self, reason: Any) -> None:
            seen["stopped"] = REQUEST.get()

    async def spawn(actor: Doer) -> Any:
        REQUEST.set("the spawner's")
        return await actor.context.spawn(Child)

    async with ActorSystem() as system:
        parent = await system.spawn(Doer)
        child = await parent.ask(spawn)
        while len(seen) < 4:
            await anyio.lowlevel.checkpoint()
        await child.stop()
    assert seen == dict.fromkeys(("started", "timer", "task", "asked by its task", "stopped"), "none")


async def test_rule_06_a_plain_handler_has_a_context_of_its_own() -> None:
    """A handler that runs in the asker's own task does not bind anything there."""
    async with ActorSystem() as system:
        ref = await system.spawn(Plain)
        REQUEST.set("asker's")
        assert await ref.ask("bind") == "asker's"
        assert REQUEST.get() == "asker's"


async def test_rule_06_message_ids_are_unique() -> None:
    """Each message has a number of its own, whichever way it came; outside of one it is 0."""

    async def number(actor: Doer) -> int:
        return actor.context.message_id

    class Hooked(Doer):
        in_hook = -1

        async def started(self) -> None:
            Hooked.in_hook = self.context.message_id

    async with ActorSystem() as system:
        a, b, plain = await system.spawn(Hooked), await system.spawn(Doer), await system.spawn(Plain)
        numbers = [await ref.ask(number) for ref in (a, b, a, b)]
        numbers += [await plain.ask("id") for _ in range(2)]
        assert len(set(numbers)) == 6
        assert all(number > 0 for number in numbers)
    assert Hooked.in_hook == 0


async def test_rule_06_a_redelivered_message_keeps_its_id_deadline_and_context() -> None:
    """The second attempt is the same message."""
    seen: list[tuple[int, float, str, int]] = []

    async def fail_once(actor: Doer) -> None:
        context = actor.context
        seen.append((context.message_id, context.deadline, REQUEST.get(), context.attempt))
        if context.attempt == 0:
            raise LookupError

    spec = Doer.spec().with_options(on_inflight=InFlight(redeliveries=1))
    async with ActorSystem(supervisor=Supervisor(backoff=None)) as system:
        ref = await system.spawn(spec)
        REQUEST.set("r-1")
        await ref.ask(fail_once, timeout=60.0)
    first, second = seen
    assert first[:3] == second[:3]
    assert (first[3], second[3]) == (0, 1)
