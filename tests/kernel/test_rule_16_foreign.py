"""Rule 16: what a library cancels is a failure of one message and never takes siblings down."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed, ForeignCancellation, StartFailed
from tinyllm_actors.kernel import Actor, ActorSystem, Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.anyio

AT_ONCE = Supervisor(max_restarts=1000, backoff=None)


class Waits(Actor):
    """Waits for a future that somebody else may cancel."""

    async def receive(self, message: Any) -> Any:
        if message == "who":
            return self.context.incarnation
        return await message


@pytest.fixture
def on_asyncio(anyio_backend_name: str) -> None:
    """Skip where a future cannot be cancelled by others."""
    if anyio_backend_name != "asyncio":
        pytest.skip("trio has no futures: there only scopes cancel, and those are the handler's own")


@pytest.mark.usefixtures("on_asyncio")
async def test_rule_16_a_cancelled_future_is_a_failure_of_its_message() -> None:
    """The asker gets ForeignCancellation, the actor restarts, and siblings and the system do not notice."""
    async with ActorSystem("test", supervisor=AT_ONCE) as system:
        ref, sibling = await system.spawn(Waits), await system.spawn(Waits)
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        other: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        ask, waiting = ref.ask(future), sibling.ask(other)
        await anyio.wait_all_tasks_blocked()
        future.cancel()
        with pytest.raises(ActorFailed) as caught:
            await ask
        assert isinstance(caught.value.cause, ForeignCancellation)
        other.set_result("undisturbed")
        assert await waiting == "undisturbed"
        assert await ref.ask("who") == 2
        assert await sibling.ask("who") == 1


@pytest.mark.usefixtures("on_asyncio")
async def test_rule_16_in_the_first_step_too() -> None:
    """A handler that raises the back end's cancellation by itself fails like any other."""

    class Raises(Actor):
        async def receive(self, message: Any) -> Any:
            raise asyncio.CancelledError

    class RaisesPlainly(Actor):
        def receive(self, message: Any) -> Any:
            raise asyncio.CancelledError

    async with ActorSystem("test", supervisor=AT_ONCE) as system:
        for kind in (Raises, RaisesPlainly):
            ref = await system.spawn(kind)
            with pytest.raises(ActorFailed) as caught:
                await ref.ask("now")
            assert isinstance(caught.value.cause, ForeignCancellation)


@pytest.mark.usefixtures("on_asyncio")
async def test_rule_16_in_a_start_too() -> None:
    """A start whose await is cancelled by somebody else is a failed start."""

    class Starts(Actor):
        async def started(self) -> None:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            future.cancel()
            await future

    async with ActorSystem("test", supervisor=AT_ONCE) as system:
        with pytest.raises(StartFailed) as caught:
            await system.spawn(Starts)
        assert isinstance(caught.value.cause, ForeignCancellation)


@pytest.mark.usefixtures("on_asyncio")
async def test_rule_16_in_a_stream_too() -> None:
    """The reader gets it as the failure of the producer."""

    class Streams(Actor):
        async def stream(self, message: Any) -> AsyncGenerator[int, None]:
            yield 1
            await message

    async with ActorSystem("test", supervisor=AT_ONCE) as system:
        ref = await system.spawn(Streams)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.cancel()
        items: list[int] = []
        with pytest.raises(ActorFailed) as caught:
            async with ref.stream(future) as stream:
                items.extend([item async for item in stream])
        assert isinstance(caught.value.cause, ForeignCancellation)


async def test_rule_16_a_scope_of_the_handlers_own_is_its_business() -> None:
    """A handler may cancel what it started; that is no failure."""

    class Bounded(Actor):
        async def receive(self, message: Any) -> str:
            with anyio.move_on_after(0):
                await anyio.sleep_forever()
            async with anyio.create_task_group() as group:
                group.start_soon(anyio.sleep_forever)
                group.cancel_scope.cancel()
            return "still here"

    async with ActorSystem("test") as system:
        ref = await system.spawn(Bounded)
        assert await ref.ask("go") == "still here"
