"""Tasks that an actor starts, and results that it sends to itself (rule 13)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from tests.kernel.clocked import Clocked, clocked
from tinyllm_actors.errors import ActorFailed
from tinyllm_actors.kernel import (
    ActorSystem,
    ChildFailed,
    Supervisor,
)

if TYPE_CHECKING:
    pass


pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

PATIENT = Supervisor(max_restarts=100, backoff=None)


async def test_rule_13_a_task_of_an_actor_ends_with_its_incarnation() -> None:
    """At a restart and at the stop."""

    class Owner(Clocked):
        async def started(self) -> None:
            self.context.start_task(self.work, self.context.incarnation)

        async def work(self, number: int) -> None:
            try:
                await anyio.sleep_forever()
            finally:
                self.ticks.append((anyio.current_time(), f"ended {number}"))

    async with ActorSystem(supervisor=PATIENT) as system:
        ticks: list[tuple[float, str]] = []
        owner = await system.spawn(Owner, ticks)
        await anyio.sleep(1.0)
        with pytest.raises(ActorFailed):
            await Clocked.do(owner, lambda _: 1 / 0)
        await anyio.sleep(1.0)
        await owner.stop()
        assert ticks == [(1.0, "ended 1"), (2.0, "ended 2")]


async def test_a_failed_task_is_a_failure_of_its_actor() -> None:
    """The supervisor is told the cause and restarts it."""

    async def fail() -> None:
        await anyio.sleep(1.0)
        raise LookupError("broken")

    async with ActorSystem(supervisor=PATIENT) as system, system.events(ChildFailed) as events:
        ref, _ = await clocked(system, lambda self: self.context.start_task(fail))
        assert isinstance((await events.receive()).cause, LookupError)
        assert await Clocked.do(ref, lambda self: self.context.incarnation) == 2


async def test_a_task_can_be_cancelled() -> None:
    """Alone, which is no failure."""
    async with ActorSystem(supervisor=PATIENT) as system:
        ref, _ = await clocked(system, lambda _: None)
        task = await Clocked.do(ref, lambda self: self.context.start_task(anyio.sleep_forever))
        assert task.name == "sleep_forever"
        await anyio.sleep(1.0)
        task.cancel()
        await anyio.sleep(1.0)
        assert not ref.cell.cold.tasks
        assert await Clocked.do(ref, lambda self: self.context.incarnation) == 1


async def test_pipe_to_self_sends_the_result_as_a_message() -> None:
    """The actor handles other messages meanwhile; a failure is a message where `on_error` makes one of it."""

    async def fetch(number: int) -> int:
        await anyio.sleep(5.0)
        return 100 // number

    def begin(self: Clocked) -> None:
        for number in (4, 0):
            self.context.pipe_to_self(fetch, number, on_result=str, on_error=lambda error: type(error).__name__)

    async with ActorSystem(supervisor=PATIENT) as system:
        ref, ticks = await clocked(system, begin)
        await ref.tell("meanwhile")
        await anyio.sleep(6.0)
        assert sorted(ticks) == [(0.0, "meanwhile"), (5.0, "25"), (5.0, "ZeroDivisionError")]
        await Clocked.do(ref, lambda self: self.context.pipe_to_self(fetch, 0, on_result=str))
        await anyio.sleep(6.0)
        assert await Clocked.do(ref, lambda self: self.context.incarnation) == 2


async def test_rule_13_a_piped_result_of_an_old_incarnation_is_dropped() -> None:
    """Whether the task was under way at the restart, or its result waited in the mailbox."""

    async def fetch() -> str:
        await anyio.sleep(1.0)
        return "result"

    async def fail_late(_: Clocked) -> None:
        await anyio.sleep(5.0)
        raise LookupError("broken")

    async with ActorSystem(supervisor=PATIENT) as system:
        ref, ticks = await clocked(system, lambda self: self.context.pipe_to_self(fetch, on_result=str))
        with pytest.raises(ActorFailed):
            await Clocked.do(ref, fail_late, timeout=None)
        await anyio.sleep(5.0)
        assert ticks == []
