"""What was said and answered is nobody's any more but the asker's: no idle actor keeps it, even with no collector."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed
from tinyllm_actors.kernel import Actor, ActorSystem, Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator

pytestmark = pytest.mark.anyio

AT_ONCE = Supervisor(max_restarts=1000, backoff=None)


class Thing:
    """What can be looked for."""


class Answers(Actor):
    async def receive(self, message: Thing) -> Thing:
        return Thing()


class AnswersPlainly(Actor):
    def receive(self, message: Thing) -> Thing:
        return Thing()


class AnswersLater(Actor):
    """Waits with a time-out that is due long after the answer, as a call of a model does."""

    async def receive(self, message: Thing) -> Thing:
        with anyio.fail_after(600):
            await anyio.sleep(0.001)
        return Thing()


class Fails(Actor):
    async def receive(self, message: Thing) -> Thing:
        raise LookupError(Thing())


class FailsLater(Actor):
    async def receive(self, message: Thing) -> Thing:
        with anyio.fail_after(600):
            await anyio.sleep(0.001)
        raise LookupError(Thing())


class Hangs(Actor):
    async def receive(self, message: Thing) -> Thing:
        with anyio.fail_after(600):
            await anyio.sleep_forever()
        raise AssertionError


class Streams(Actor):
    async def stream(self, message: Thing) -> AsyncGenerator[Thing, None]:
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
            yield Thing()


class Produces(Actor):
    async def produce(self, message: Thing, emit: Callable[[Thing], Awaitable[None]]) -> None:
        for _ in range(3):
            await emit(Thing())


@pytest.fixture
def no_collector(only_new_garbage: None) -> Iterator[None]:
    """Let nothing be freed but what nobody holds."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("dedicated", [False, True])
@pytest.mark.parametrize("kind", [Answers, AnswersPlainly, AnswersLater, Fails, FailsLater, Hangs, Streams, Produces])
async def test_no_actor_keeps_a_message_or_its_answer(kind: type[Actor], dedicated: bool) -> None:
    """Once the asker has dropped them they are gone, whether that is an answer, a failure, an item or nothing."""
    seen: list[weakref.ref[Any]] = []
    async with ActorSystem(supervisor=AT_ONCE) as system:
        ref = await system.spawn(kind.spec().with_options(dedicated=dedicated))

        async def ask() -> None:
            message = Thing()
            seen.append(weakref.ref(message))
            if kind in (Streams, Produces):
                async with ref.stream(message, buffer=1) as items:
                    seen.extend([weakref.ref(item) async for item in items])
            elif kind is Hangs:
                with anyio.move_on_after(0.01):
                    await ref.ask(message)
            else:
                try:
                    answer = await ref.ask(message)
                except ActorFailed as failed:
                    answer = failed.cause.args[0]
                seen.append(weakref.ref(answer))

        for _ in range(3):
            await ask()
        await anyio.wait_all_tasks_blocked()
        assert [thing() for thing in seen if thing() is not None] == []
