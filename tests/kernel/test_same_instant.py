"""Two things at once: what ends as its time is up, and what is asked for between two messages."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed, ActorStopped
from tinyllm_actors.kernel import (
    Actor,
    ActorSystem,
    ChildOptions,
    ExitKind,
    ExitReason,
    Mailbox,
    Supervisor,
    Terminated,
    Unanswered,
)
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio

PATIENT = Supervisor(max_restarts=100, backoff=None)


@pytest.mark.virtual_time
async def test_a_handler_that_ends_as_its_time_is_up_takes_nobody_along() -> None:
    """It answers, or is stopped where the loop wakes the other first; who has its worker by then is not cancelled."""
    async with ActorSystem() as system, system.events(Unanswered) as unanswered:
        ref = await system.spawn(Puppet.spec().with_options(shutdown=1.0))
        due = anyio.current_time() + 1.0

        async def work(_: Puppet) -> str:
            await anyio.sleep_until(due)
            return "done"

        answer = ref.ask(work)
        await anyio.wait_all_tasks_blocked()
        async with anyio.create_task_group() as group:
            group.start_soon(ref.stop)
            with suppress(ActorStopped):
                assert await answer == "done"
        assert not ref.alive
        assert anyio.current_time() == due
        await anyio.sleep(10)
        assert unanswered.receive_nowait() is None


async def test_a_kill_without_any_grace_waits_for_no_task() -> None:
    """It is through at once, whether or not the actor's own task has had a turn in which it could end; and it ends."""
    closed: list[ExitReason] = []

    class Own(Puppet):
        options = ChildOptions(dedicated=True)

        async def stopped(self, reason: ExitReason) -> None:
            closed.append(reason)

    async with ActorSystem(grace=0.0) as system:
        for _ in range(20):  # trio takes them in any order
            own = await system.spawn(Own)
            assert await own.kill() == ExitReason.KILLED
    assert [reason.kind for reason in closed] == [ExitKind.KILLED] * 20


@pytest.mark.virtual_time
@pytest.mark.parametrize("cancels", [False, True])
async def test_a_look_that_stops_the_actor_holds_before_a_message_that_was_taken_back(cancels: bool) -> None:
    """`snapshot()` may call `context.stop()`; what was withdrawn meanwhile does not let another message through."""
    seen: list[str] = []

    class Looked(Actor):
        def snapshot(self) -> Any:
            self.context.stop()
            return "seen"

        async def receive(self, message: str) -> None:
            seen.append(message)
            if message == "first":
                self.context.send_after(1.0, "tick")
                await anyio.sleep(5)
                if cancels:
                    self.context.cancel_timer()

    async with ActorSystem() as system:
        ref = await system.spawn(Looked.spec().with_options(restart="transient"))
        await ref.tell("first")
        await ref.tell("second")
        await anyio.wait_all_tasks_blocked()
        assert await ref.get_state(timeout=10) == "seen"
        with anyio.fail_after(50):
            await ref.join()
        left = [letter.message for letter in system.dead_letters]
    assert seen == (["first"] if cancels else ["first", "tick"])
    assert left == ["second"]


async def test_a_plain_actor_that_is_watched_fails_in_its_askers_task_and_goes_on() -> None:
    """The next incarnation answers the next ask, and the watcher is told of the end only."""

    class Brittle(Actor):
        def receive(self, message: str) -> int:
            if message == "fail":
                raise LookupError("broken")
            return self.context.incarnation

    told: list[object] = []

    class Watcher(Actor):
        async def receive(self, message: object) -> None:
            if isinstance(message, Terminated):
                told.append(message.ref)
            else:
                self.context.watch(brittle)

    async with ActorSystem(supervisor=PATIENT) as system:
        brittle = await system.spawn(Brittle)
        watcher = await system.spawn(Watcher)
        await watcher.ask("watch")
        for incarnation in (2, 3):
            with pytest.raises(ActorFailed):
                await brittle.ask("fail")
            assert await brittle.ask("?") == incarnation
        assert told == []
        await brittle.stop()
        with anyio.fail_after(30):
            while not told:
                await anyio.lowlevel.checkpoint()
        assert told == [brittle]


@pytest.mark.virtual_time
async def test_a_hook_of_the_mailbox_that_ends_the_actor_ends_each_message_once() -> None:
    """`on_discard` runs where messages are looked at; none of those that were waiting is accounted for twice."""
    gate = anyio.Event()
    discarded: list[object] = []

    def on_discard(message: object, reason: str) -> None:
        discarded.append(message)
        ref.cell.system.care.end(ref.cell, ExitReason.STOPPED)

    async with ActorSystem() as system:
        mailbox = Mailbox(ttl=10, on_discard=on_discard)
        ref = await system.spawn(Puppet.spec().with_options(mailbox=mailbox))
        work: Callable[[Puppet], Any] = lambda _: gate.wait()  # noqa: E731
        await ref.tell(work)
        await anyio.wait_all_tasks_blocked()
        for name in ("a", "b"):
            await ref.tell(name)
        await anyio.sleep(20)
        await ref.tell("c")
        gate.set()
        with anyio.fail_after(50):
            await ref.join()
        letters = [(letter.message, letter.reason) for letter in system.dead_letters]
    assert discarded == ["a"]
    assert sorted(letters) == [("a", "expired"), ("b", "stopped"), ("c", "stopped")]
