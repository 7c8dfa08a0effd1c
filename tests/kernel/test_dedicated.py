"""Actors with a task of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.kernel.session import Session
from tinyllm_actors.errors import ActorFailed, AskTimeout
from tinyllm_actors.kernel import (
    Actor,
    ActorSystem,
    ChildFailed,
    ChildOptions,
    ChildRestarted,
    InFlight,
    Mailbox,
    Supervisor,
)

if TYPE_CHECKING:
    pass


pytestmark = pytest.mark.anyio

PATIENT = Supervisor(max_restarts=100, backoff=None)


OPEN_AND_CLOSE = ["opened", "stopping (stopped)", "served", "closed"]


async def break_session(self: Session) -> None:
    """Let a task that the session holds open fail, and wait for what comes of it."""

    async def fail() -> None:
        raise ConnectionError("lost")

    assert self.tasks is not None
    self.tasks.start_soon(fail)
    await anyio.sleep_forever()


async def test_a_scope_may_stay_open_from_one_message_to_the_next() -> None:
    """What `started()` opens serves every message, and `stopped()` closes it in the same task."""
    async with ActorSystem() as system:
        log: list[str] = []
        session = await system.spawn(Session, log)
        tasks: list[int] = []

        async def note(self: Session) -> None:
            tasks.append(anyio.get_current_task().id)
            await anyio.lowlevel.checkpoint()
            tasks.append(anyio.get_current_task().id)

        for _ in range(3):
            await Session.do(session, note)
        assert len(set(tasks)) == 1
        assert tasks[0] != anyio.get_current_task().id
        assert log == ["opened"]
        await session.stop()
        assert log == OPEN_AND_CLOSE


async def test_messages_come_in_order_one_at_a_time() -> None:
    """Hundreds of them, told and asked, by handlers that wait and handlers that do not."""
    async with ActorSystem() as system:
        seen: list[int] = []
        busy: list[int] = []
        session = await system.spawn(Session.spec().with_options(mailbox=Mailbox(capacity=None)))

        def quick(number: int) -> Any:
            def act(_: Session) -> None:
                seen.append(number)

            return act

        def slow(number: int) -> Any:
            async def act(_: Session) -> None:
                busy.append(number)
                await anyio.lowlevel.checkpoint()
                assert busy == [number]
                busy.clear()
                seen.append(number)

            return act

        for number in range(300):
            await session.tell(quick(number) if number % 3 else slow(number))
        await Session.do(session, lambda _: None)
        assert seen == list(range(300))


async def test_a_plain_handler_runs_in_the_actors_task_too() -> None:
    """Never in the asker's."""

    class Plain(Actor):
        options = ChildOptions(dedicated=True)

        def receive(self, message: object) -> int:
            return anyio.get_current_task().id

    async with ActorSystem() as system:
        plain = await system.spawn(Plain)
        ids = {await plain.ask("?") for _ in range(3)}
        assert len(ids) == 1
        assert anyio.get_current_task().id not in ids


async def test_streams_work() -> None:
    """To the end, and when the reader leaves early."""
    async with ActorSystem() as system:
        session = await system.spawn(Session)
        async with session.stream(3) as items:
            assert [item async for item in items] == [0, 1, 2]
        async with session.stream(1000, buffer=1) as items:
            assert await items.receive() == 0
        assert await Session.do(session, lambda self: self.context.incarnation) == 1


@pytest.mark.virtual_time
async def test_a_message_can_be_cancelled_alone() -> None:
    """An asker that leaves or is too late cancels its handler, not what the actor holds open."""
    async with ActorSystem() as system:
        log: list[str] = []
        session = await system.spawn(Session, log)

        async def hang(_: Session) -> None:
            await anyio.sleep_forever()

        with pytest.raises(AskTimeout):
            await session.ask(hang, timeout=0.01)
        with anyio.move_on_after(0.01):
            await session.ask(hang)
        assert await Session.do(session, lambda self: self.context.incarnation) == 1
        assert log == ["opened"]


async def test_a_failed_message_restarts_it_in_a_new_task() -> None:
    """The old scope is closed, the new incarnation opens its own."""
    async with ActorSystem(supervisor=PATIENT) as system:
        log: list[str] = []
        session = await system.spawn(Session, log)
        with pytest.raises(ActorFailed):
            await Session.do(session, lambda _: 1 / 0)
        assert await Session.do(session, lambda self: self.context.incarnation) == 2
        assert log == ["opened", "stopping (failed)", "served", "closed", "opened"]


async def test_it_takes_no_message_before_its_start_was_seen() -> None:
    """One that fails with what it sent itself in `started()` has started, and is restarted as others are."""

    class Eager(Actor):
        options = ChildOptions(dedicated=True)

        async def started(self) -> None:
            if self.context.incarnation == 1:
                self.context.ref.tell_nowait("fail")

        async def receive(self, message: str) -> int:
            if message == "fail":
                raise LookupError(message)
            return self.context.incarnation

    async with ActorSystem(supervisor=PATIENT) as system:
        eager = await system.spawn(Eager)
        assert await eager.ask("how often?") == 2


async def test_a_message_can_be_redelivered() -> None:
    """To the next incarnation's task."""
    async with ActorSystem(supervisor=PATIENT) as system:
        session = await system.spawn(Session.spec().with_options(on_inflight=InFlight(redeliveries=1)))

        def act(self: Session) -> int:
            if self.context.attempt == 0:
                raise LookupError("broken")
            return self.context.incarnation

        assert await Session.do(session, act) == 2


@pytest.mark.parametrize("idle", [True, False])
async def test_a_failure_of_what_it_holds_open_is_its_failure(idle: bool) -> None:
    """Whether it waits for messages or handles one; the asker and the supervisor are told the cause."""
    async with ActorSystem(supervisor=PATIENT) as system, system.events(ChildFailed, ChildRestarted) as events:
        log: list[str] = []
        session = await system.spawn(Session, log)
        if idle:

            async def fail() -> None:
                raise ConnectionError("lost")

            def start(self: Session) -> None:
                assert self.tasks is not None
                self.tasks.start_soon(fail)

            await Session.do(session, start)
        else:
            with pytest.raises(ActorFailed) as caught:
                await Session.do(session, break_session)
            assert isinstance(caught.value.cause, ConnectionError)
        failed = await events.receive()
        assert isinstance(failed.cause, ConnectionError)
        assert (await events.receive()).incarnation == 2
        assert events.receive_nowait() is None
        assert await Session.do(session, lambda self: self.context.incarnation) == 2


async def test_a_stop_waits_for_the_message_in_processing() -> None:
    """And then closes in order."""
    async with ActorSystem() as system:
        log: list[str] = []
        session = await system.spawn(Session, log)
        began, go = anyio.Event(), anyio.Event()

        async def work(_: Session) -> str:
            began.set()
            await go.wait()
            log.append("worked")
            return "done"

        answers: list[str] = []

        async def ask() -> None:
            answers.append(await session.ask(work))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await began.wait()
            tasks.start_soon(session.stop)
            await anyio.lowlevel.checkpoint()
            go.set()
        assert answers == ["done"]
        assert log == ["opened", "worked", "stopping (stopped)", "served", "closed"]


async def test_it_may_stop_itself() -> None:
    """After the message in processing."""
    async with ActorSystem(supervisor=PATIENT) as system:
        session = await system.spawn(Session)
        await Session.do(session, lambda self: self.context.stop())
        assert await Session.do(session, lambda self: self.context.incarnation) == 2


def later(_: Session) -> str:
    """Answer."""
    return "later"


async def test_suspend_and_resume_work() -> None:
    """Messages wait meanwhile."""
    async with ActorSystem() as system:
        session = await system.spawn(Session)
        await session.suspend()
        ask = session.ask(later)
        state: dict[str, Any] = await session.get_state()
        assert "log" in state
        await session.resume()
        assert await ask == "later"


async def test_the_end_of_the_system_closes_it() -> None:
    """In order, with nothing left behind."""
    log: list[str] = []
    async with ActorSystem() as system:
        await system.spawn(Session, log)
    assert log == ["opened", "stopping (shutdown)", "served", "closed"]
