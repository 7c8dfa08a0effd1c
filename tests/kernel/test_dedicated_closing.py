"""What an actor with a task of its own closes, however it starts and ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from tests.kernel.session import Session
from tinyllm_actors.errors import StartFailed, Unresponsive
from tinyllm_actors.kernel import (
    ActorSystem,
    ExitReason,
    Unanswered,
)
from tinyllm_actors.testing import TestKit

if TYPE_CHECKING:
    pass


pytestmark = pytest.mark.anyio


async def test_a_kill_closes_what_it_holds_open() -> None:
    """Only its own task can, so `stopped()` runs, cancelled; a handler in processing is cancelled first."""
    async with ActorSystem() as system:
        for busy in (False, True):
            log: list[str] = []
            session = await system.spawn(Session, log)
            if busy:
                began = anyio.Event()

                async def hang(_: Session, began: anyio.Event = began) -> None:
                    began.set()
                    await anyio.sleep_forever()

                await session.tell(hang)
                await began.wait()
            assert await session.kill() == ExitReason.KILLED
            assert sorted(log) == ["closed", "opened", "served", "stopping (killed)"]


async def test_a_failed_start_closes_what_was_opened() -> None:
    """`stopped()` runs, and the spawner gets the failure of `started()`."""

    class Broken(Session):
        async def started(self) -> None:
            await super().started()
            raise LookupError("broken")

    async with ActorSystem() as system:
        log: list[str] = []
        with pytest.raises(StartFailed) as caught:
            await system.spawn(Broken, log)
        assert isinstance(caught.value.cause, LookupError)
        assert log[0] == "opened"
        assert log[-1] == "closed"
        assert system.inspect().children == ()


@pytest.mark.virtual_time
async def test_a_cancelled_start_closes_what_was_opened() -> None:
    """A spawner that leaves takes the start back."""

    class Slow(Session):
        async def started(self) -> None:
            await super().started()
            await anyio.sleep_forever()

    async with ActorSystem() as system:
        log: list[str] = []
        with anyio.move_on_after(0.01):
            await system.spawn(Slow.spec(log).with_options(shutdown=0.0), name="slow")
        while system.inspect().children:
            await anyio.lowlevel.checkpoint()
        assert "stopping (failed)" in log


async def test_a_failure_of_stopped_is_reported() -> None:
    """The actor ends all the same."""

    class Broken(Session):
        async def stopped(self, reason: ExitReason) -> None:
            await super().stopped(reason)
            raise LookupError("broken")

    async with TestKit() as kit:
        session = await kit.system.spawn(Broken)
        await session.stop()
        assert [type(failure.cause) for failure in kit.failures] == [LookupError]


@pytest.mark.virtual_time
async def test_one_that_does_not_close_in_time_is_cancelled() -> None:
    """`stopped()` gets `shutdown` seconds."""

    class Slow(Session):
        async def stopped(self, reason: ExitReason) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                await super().stopped(reason)

    async with ActorSystem() as system, system.events(Unanswered) as events:
        log: list[str] = []
        session = await system.spawn(Slow.spec(log).with_options(shutdown=0.01))
        await session.stop()
        assert log[-1] == "closed"
        assert events.receive_nowait() is None


@pytest.mark.virtual_time
async def test_one_that_swallows_its_cancellation_is_abandoned() -> None:
    """Its asker and its stopper are told within the grace; what it held is closed when it gives in."""
    async with ActorSystem(grace=1.0) as system, system.events(Unanswered) as events:
        log: list[str] = []
        session = await system.spawn(Session, log)
        gate = anyio.Event()

        async def stubborn(_: Session) -> None:
            while not gate.is_set():
                with anyio.CancelScope(shield=True):
                    await gate.wait()

        ask = session.ask(stubborn)
        await anyio.sleep(0.1)
        try:
            await session.stop(timeout=0.5)
            assert anyio.current_time() == pytest.approx(0.1 + 0.5 + 1.0, abs=0.01)
            with pytest.raises(Unresponsive, match="did not stop"):
                await ask
            assert (await events.receive()).path == session.path
        finally:
            gate.set()
        with anyio.fail_after(5.0):
            while log[-1] != "closed":  # noqa: ASYNC110 - it is on its own by now
                await anyio.sleep(0.01)
