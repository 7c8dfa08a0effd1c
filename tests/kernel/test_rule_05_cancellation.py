"""Rule 5: whoever leaves, or runs out of time, takes the question back, wherever it has got to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed, ActorStopped, AskTimeout
from tinyllm_actors.kernel import Actor, ActorSystem, ChildFailed, Mailbox

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    Settled = Callable[[], Awaitable[None]]

pytestmark = pytest.mark.anyio


class Worker(Actor):
    """Notes what it begins, what it ends, and what is cancelled; `"hold…"` waits until the gate is open."""

    def __init__(self, log: list[str], *, detach: bool = False) -> None:
        self.log = log
        self.detach = detach
        self.gate = anyio.Event()

    async def receive(self, message: str) -> str:
        if self.detach:
            self.context.detach()
        self.log.append(f"begin {message}")
        try:
            if message.startswith("hold"):
                await self.gate.wait()
        except anyio.get_cancelled_exc_class():
            self.log.append(f"cancelled {message}")
            raise
        self.log.append(f"end {message}")
        return message

    async def stream(self, message: str) -> AsyncGenerator[str, None]:
        yield await self.receive(message)


class Asker:
    """An ask in a task of its own that can be cancelled from outside."""

    def __init__(self, ask: Awaitable[Any]) -> None:
        self._ask = ask
        self.scope = anyio.CancelScope()
        self.outcome: Any = None

    async def __call__(self) -> None:
        with self.scope:
            try:
                self.outcome = await self._ask
            except Exception as error:
                self.outcome = type(error)
            except anyio.get_cancelled_exc_class():
                self.outcome = "cancelled"
                raise


async def test_rule_05_cancelling_an_asker_cancels_the_running_handler(settled: Settled) -> None:
    """The handler gets a cancellation where it waits; its actor lives on with its state."""
    log: list[str] = []
    async with ActorSystem() as system, anyio.create_task_group() as group:
        ref = await system.spawn(Worker, log)
        asker = Asker(ref.ask("hold"))
        group.start_soon(asker)
        await settled()
        asker.scope.cancel()
        assert await ref.ask("next") == "next"
        assert asker.outcome == "cancelled"
        assert log == ["begin hold", "cancelled hold", "begin next", "end next"]
        assert ref.cell.incarnation == 1


async def test_rule_05_cancelling_an_asker_takes_a_queued_message_back(settled: Settled) -> None:
    """A message that waits in the mailbox when its asker leaves is never begun."""
    log: list[str] = []
    async with ActorSystem() as system, anyio.create_task_group() as group:
        ref = await system.spawn(Worker, log)
        await ref.tell("hold")
        asker = Asker(ref.ask("never"))
        group.start_soon(asker)
        await settled()
        asker.scope.cancel()
        await settled()
        ref.cell.actor.gate.set()
        await ref.ask("next")
        assert log == ["begin hold", "end hold", "begin next", "end next"]


async def test_rule_05_cancelling_an_asker_takes_a_blocked_message_back(settled: Settled) -> None:
    """A message that waits for room when its asker leaves is never sent, and the next in line moves up."""
    log: list[str] = []
    async with ActorSystem() as system, anyio.create_task_group() as group:
        ref = await system.spawn(Worker.spec(log).with_options(mailbox=Mailbox(capacity=1)))
        await ref.tell("hold")
        await settled()
        await ref.tell("queued")
        asker, behind = Asker(ref.ask("never")), Asker(ref.ask("behind"))
        group.start_soon(asker)
        group.start_soon(behind)
        await settled()
        asker.scope.cancel()
        await settled()
        ref.cell.actor.gate.set()
        await ref.ask("next")
        await settled()
        assert behind.outcome == "behind"
        assert [line for line in log if line.startswith("begin")] == [
            "begin hold",
            "begin queued",
            "begin behind",
            "begin next",
        ]


async def test_rule_05_an_asker_that_leaves_in_the_first_step_is_noticed() -> None:
    """A handler whose first line makes its asker leave is cancelled at its first wait."""
    log: list[str] = []

    class Rude(Worker):
        async def receive(self, message: str) -> str:
            if message == "hold":
                asker.scope.cancel()
            return await super().receive(message)

    async with ActorSystem() as system, anyio.create_task_group() as group:
        ref = await system.spawn(Rude, log)
        asker = Asker(ref.ask("hold"))
        group.start_soon(asker)
        await asker_done(asker)
        assert await ref.ask("next") == "next"
        assert log == ["begin hold", "cancelled hold", "begin next", "end next"]


async def asker_done(asker: Asker) -> None:
    """Wait for the end of an asker."""
    while asker.outcome is None:
        await anyio.lowlevel.checkpoint()


@pytest.mark.virtual_time
async def test_rule_05_a_deadline_reaches_running_queued_and_blocked() -> None:
    """When the time is over, the handler is cancelled, and what waits behind it is not begun."""
    log: list[str] = []
    async with ActorSystem() as system, anyio.create_task_group() as group:
        ref = await system.spawn(Worker.spec(log).with_options(mailbox=Mailbox(capacity=1)))
        askers = [
            Asker(ref.ask(message, timeout=timeout))
            for message, timeout in (("hold a", 3.0), ("hold b", 2.0), ("hold c", 1.0), ("hold d", 4.0))
        ]
        for asker in askers:
            group.start_soon(asker)
        await anyio.sleep(10)
        assert [asker.outcome for asker in askers] == [AskTimeout] * 4
        assert log == ["begin hold a", "cancelled hold a", "begin hold d", "cancelled hold d"]
        assert await ref.ask("next") == "next"


async def test_rule_05_cancellation_goes_down_a_chain_of_asks(settled: Settled) -> None:
    """Cancelling the first asker cancels the handlers of all actors that work for it."""
    log: list[str] = []

    class Link(Actor):
        def __init__(self, after: Any) -> None:
            self.after = after

        async def receive(self, message: str) -> str:
            try:
                return await self.after.ask(message)
            except anyio.get_cancelled_exc_class():
                log.append("cancelled link")
                raise

    async with ActorSystem() as system, anyio.create_task_group() as group:
        last = await system.spawn(Worker, log)
        middle = await system.spawn(Link, last)
        first = await system.spawn(Link, middle)
        asker = Asker(first.ask("hold"))
        group.start_soon(asker)
        await settled()
        asker.scope.cancel()
        assert await first.ask("next") == "next"
        assert sorted(log[:4]) == ["begin hold", "cancelled hold", "cancelled link", "cancelled link"]


@pytest.mark.parametrize("how", ["option", "detach"])
async def test_rule_05_a_detached_handler_goes_on(how: str, settled: Settled) -> None:
    """With `detached=True`, or after `detach()`, the handler ends its work though nobody waits for it."""
    log: list[str] = []
    async with ActorSystem() as system, anyio.create_task_group() as group:
        spec = Worker.spec(log, detach=how == "detach").with_options(detached=how == "option")
        ref = await system.spawn(spec)
        asker = Asker(ref.ask("hold"))
        group.start_soon(asker)
        await settled()
        asker.scope.cancel()
        await settled()
        assert asker.outcome == "cancelled"
        ref.cell.actor.gate.set()
        await ref.ask("next")
        assert log == ["begin hold", "end hold", "begin next", "end next"]


@pytest.mark.virtual_time
async def test_rule_05_a_detached_handler_goes_on_after_its_deadline() -> None:
    """The same when its time is over instead."""
    log: list[str] = []
    async with ActorSystem() as system:
        ref = await system.spawn(Worker.spec(log).with_options(detached=True))
        with pytest.raises(AskTimeout):
            await ref.ask("hold", timeout=1.0)
        ref.cell.actor.gate.set()
        await ref.ask("next")
        assert log == ["begin hold", "end hold", "begin next", "end next"]


async def test_rule_05_a_detached_handler_still_ends_with_its_actor(settled: Settled) -> None:
    """Detaching is from the asker, not from the kernel: a kill cancels it."""
    log: list[str] = []
    async with ActorSystem() as system:
        ref = await system.spawn(Worker.spec(log).with_options(detached=True))
        await ref.tell("hold")
        await settled()
        await ref.kill()
        assert log == ["begin hold", "cancelled hold"]


async def test_rule_05_a_handler_that_fails_while_it_is_cancelled_has_failed(settled: Settled) -> None:
    """A clean-up that raises is a failure of the actor, though the asker has left."""

    class Clumsy(Worker):
        async def receive(self, message: str) -> str:
            try:
                return await super().receive(message)
            finally:
                if message == "hold":
                    raise LookupError("clean-up")

    async with ActorSystem() as system, system.events(ChildFailed) as events, anyio.create_task_group() as group:
        ref = await system.spawn(Clumsy, [])
        asker = Asker(ref.ask("hold"))
        group.start_soon(asker)
        await settled()
        asker.scope.cancel()
        event = await events.receive()
        assert isinstance(event.cause, LookupError)


async def test_rule_05_a_handler_may_finish_its_answer_when_cancelled(settled: Settled) -> None:
    """A handler that catches its cancellation and ends at once keeps its actor; the next message is not cancelled."""

    class Stubborn(Worker):
        async def receive(self, message: str) -> str:
            try:
                return await super().receive(message)
            except anyio.get_cancelled_exc_class():
                return "never mind"

    log: list[str] = []
    async with ActorSystem() as system, anyio.create_task_group() as group:
        ref = await system.spawn(Stubborn, log)
        asker = Asker(ref.ask("hold"))
        group.start_soon(asker)
        await settled()
        asker.scope.cancel()
        ref.cell.actor.gate.set()
        assert await ref.ask("hold again") == "hold again"
        assert ref.cell.incarnation == 1


@pytest.mark.virtual_time
async def test_rule_05_leaving_a_stream_cancels_its_producer() -> None:
    """Cancelling the reader reaches a producer that has not yielded yet."""
    log: list[str] = []
    async with ActorSystem() as system:
        ref = await system.spawn(Worker, log)
        with anyio.move_on_after(0.01):
            async with ref.stream("hold") as items:
                await items.receive()
        await ref.ask("next")
        assert log == ["begin hold", "cancelled hold", "begin next", "end next"]


async def test_rule_05_a_cancelled_asker_inside_an_actor_does_not_harm_the_callee(settled: Settled) -> None:
    """When the asking actor is killed, the callee's handler is cancelled and the callee lives on."""
    log: list[str] = []

    class Middle(Actor):
        async def receive(self, message: Any) -> Any:
            return await message.ask("hold")

    async with ActorSystem() as system, anyio.create_task_group() as group:
        callee = await system.spawn(Worker, log)
        middle = await system.spawn(Middle)
        asker = Asker(middle.ask(callee))
        group.start_soon(asker)
        await settled()
        await middle.kill()
        assert await callee.ask("next") == "next"
        assert asker.outcome is ActorStopped
        assert log == ["begin hold", "cancelled hold", "begin next", "end next"]


async def test_rule_05_an_ask_that_is_never_awaited_is_a_message_all_the_same() -> None:
    """Dropping the awaitable is no way to leave: it is handled, and its failure reaches the supervisor alone."""
    log: list[str] = []
    async with ActorSystem() as system:
        ref = await system.spawn(Worker, log)
        ref.ask("dropped")
        ref.ask(1)  # fails
        with pytest.raises(ActorFailed):
            await ref.ask(2)
        assert log == ["begin dropped", "end dropped", "begin 1", "begin 2"]
