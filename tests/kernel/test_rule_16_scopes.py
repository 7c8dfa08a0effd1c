"""Rule 16, for what a handler does to the task that it runs in: it fails for it, and nobody else notices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed, ForeignCancellation, ScopeLeftOpen, StartFailed
from tinyllm_actors.kernel import Actor, ActorSystem, ChildFailed, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinyllm_actors.kernel import ActorRef, ExitReason, Subscription

pytestmark = pytest.mark.anyio

AT_ONCE = Supervisor(max_restarts=1000, backoff=None)


class Careless(Actor):
    """Enters what it does not leave, or raises what only Python raises."""

    def __init__(self, where: str = "", how: str = "") -> None:
        self.where = where
        self.how = how
        self.opened: Any = None

    async def started(self) -> None:
        if self.where == "started":
            await self.do(self.how)

    async def stopped(self, reason: ExitReason) -> None:
        if self.where == "stopped":
            await self.do(self.how)

    async def receive(self, message: str) -> int:
        if message == "task":
            self.context.start_task(lambda: self.do(self.how))
        elif message != "who":
            await self.do(message)
        return self.context.incarnation

    async def do(self, how: str) -> None:
        if "later" in how:
            await anyio.lowlevel.checkpoint()
        match how.split()[0]:
            case "scope":
                self.opened = anyio.CancelScope()
                self.opened.__enter__()
            case "shield":
                self.opened = [anyio.CancelScope(), anyio.CancelScope(shield=True)]
                for scope in self.opened:
                    scope.__enter__()
            case "group":
                self.opened = await anyio.create_task_group().__aenter__()
                self.opened.start_soon(anyio.sleep_forever)
            case "expired":
                self.opened = anyio.CancelScope()
                self.opened.__enter__()
                self.opened.cancel()
                await anyio.sleep_forever()
            case "exit":
                raise GeneratorExit
            case other:
                raise LookupError(other)
        if "later" in how:
            await anyio.lowlevel.checkpoint()


class Bystander(Actor):
    """Waits until it is cancelled, or told."""

    def __init__(self, told: Callable[[], anyio.Event]) -> None:
        self.told = told

    async def receive(self, message: str) -> int:
        if message == "wait":
            await self.told().wait()
        return self.context.incarnation


async def still_sound(system: ActorSystem) -> bool:
    """Whether messages can be handled, and be cancelled alone, whichever worker runs them."""
    told = anyio.Event()
    others = [await system.spawn(Bystander, lambda: told) for _ in range(5)]

    async def wait(other: ActorRef) -> None:
        await other.ask("wait")

    async with anyio.create_task_group() as group:
        for other in others:
            group.start_soon(wait, other)
        await anyio.wait_all_tasks_blocked()
        group.cancel_scope.cancel()
    told.set()
    return [await other.ask("wait") for other in others] == [1] * 5


async def failure_of(events: Subscription) -> BaseException:
    """Return the next failure that was reported."""
    with anyio.fail_after(30):
        return (await events.receive()).cause


@pytest.mark.parametrize("how", ["scope", "shield", "group"])
async def test_rule_16_a_handler_that_leaves_a_scope_open_fails_afterwards(how: str) -> None:
    """It has answered before that is seen; the actor restarts, and its worker goes on in the scope that it was in."""
    async with ActorSystem(supervisor=AT_ONCE) as system, system.events(ChildFailed) as events:
        ref = await system.spawn(Careless)
        assert await ref.ask(how) == 1
        assert isinstance(await failure_of(events), ScopeLeftOpen)
        assert await still_sound(system)
        assert await ref.ask("who") == 2


@pytest.mark.parametrize("how", ["scope later", "shield later", "group later", "expired"])
async def test_rule_16_a_handler_that_waits_and_leaves_a_scope_open_fails(how: str) -> None:
    """Its asker gets `ScopeLeftOpen`, also if that scope has cancelled the handler, and siblings do not notice."""
    async with ActorSystem(supervisor=AT_ONCE) as system:
        ref = await system.spawn(Careless)
        with pytest.raises(ActorFailed) as caught:
            await ref.ask(how)
        assert isinstance(caught.value.cause, ScopeLeftOpen)
        assert await still_sound(system)
        assert await ref.ask("who") == 2


@pytest.mark.parametrize(("how", "kind"), [("group later", ScopeLeftOpen), ("exit", ForeignCancellation)])
@pytest.mark.parametrize("where", ["started", "stopped", "task"])
async def test_rule_16_a_hook_and_a_task_fail_for_it_too(where: str, how: str, kind: type[Exception]) -> None:
    """Neither the caller of `spawn`, in whose task `started()` runs, nor the system is the worse for it."""
    async with (
        anyio.create_task_group(),
        ActorSystem(supervisor=AT_ONCE) as system,
        system.events(ChildFailed) as events,
    ):
        spec = Careless.spec(where, how)
        if where == "started":
            with pytest.raises(StartFailed) as caught:
                await system.spawn(spec)
            assert isinstance(caught.value.cause, kind)
        else:
            ref = await system.spawn(spec)
            if where == "task":
                await ref.ask("task")
            else:
                await ref.stop()
        assert isinstance(await failure_of(events), kind)
        assert await still_sound(system)


@pytest.mark.parametrize("dedicated", [False, True])
@pytest.mark.parametrize("how", ["exit", "exit later"])
async def test_rule_16_a_generator_exit_is_a_failure_of_its_message(how: str, dedicated: bool) -> None:
    """What a handler raises so looks as if Python closed it, and is a foreign cancellation."""
    async with ActorSystem(supervisor=AT_ONCE) as system:
        ref = await system.spawn(Careless.spec().with_options(dedicated=dedicated))
        with pytest.raises(ActorFailed) as caught:
            await ref.ask(how)
        assert isinstance(caught.value.cause, ForeignCancellation)
        assert await ref.ask("who") == 2


async def test_rule_16_a_generator_exit_of_a_plain_handler_and_of_a_start_with_its_own_task() -> None:
    """The same where the handler runs in its asker's task, and where the hook runs in the actor's."""

    class Plain(Actor):
        def receive(self, message: str) -> int:
            if message == "exit":
                raise GeneratorExit
            return self.context.incarnation

    async with ActorSystem(supervisor=AT_ONCE) as system:
        ref = await system.spawn(Plain)
        with pytest.raises(ActorFailed) as caught:
            await ref.ask("exit")
        assert isinstance(caught.value.cause, ForeignCancellation)
        assert await ref.ask("who") == 2
        with pytest.raises(StartFailed) as refused:
            await system.spawn(Careless.spec("started", "exit later").with_options(dedicated=True))
        assert isinstance(refused.value.cause, ForeignCancellation)


async def test_rule_16_one_with_a_task_of_its_own_may_not_leave_open_what_a_message_opened() -> None:
    """What `started()` opens stays open; what a handler leaves open is a failure of its message."""
    async with ActorSystem(supervisor=AT_ONCE) as system:
        ref = await system.spawn(Careless.spec().with_options(dedicated=True))
        with pytest.raises(ActorFailed) as caught:
            await ref.ask("group")
        assert isinstance(caught.value.cause, ScopeLeftOpen)
        assert await ref.ask("who") == 2
        assert await still_sound(system)


async def test_rule_16_what_started_opened_and_stopped_did_not_close_is_reported() -> None:
    """An actor with a task of its own that leaves that task without closing what it holds has failed."""
    async with ActorSystem(supervisor=AT_ONCE) as system, system.events(ChildFailed) as events:
        ref = await system.spawn(Careless.spec("started", "group").with_options(dedicated=True))
        await ref.stop()
        assert isinstance(await failure_of(events), ScopeLeftOpen)
        assert await still_sound(system)


async def test_rule_16_a_message_may_not_close_what_started_opened() -> None:
    """A scope must be left where it was entered: a handler that leaves it fails, and nobody else notices."""

    class Closes(Careless):
        async def receive(self, message: str) -> int:
            if message == "close":
                self.opened.__exit__(None, None, None)
            return self.context.incarnation

    async with ActorSystem(supervisor=AT_ONCE) as system:
        ref = await system.spawn(Closes.spec("started", "scope").with_options(dedicated=True))
        with pytest.raises(ActorFailed):
            await ref.ask("close")
        assert await ref.ask("who") == 2
        assert await still_sound(system)
