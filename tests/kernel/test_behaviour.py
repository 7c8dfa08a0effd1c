"""Becoming, answering later, tracing, looking inside, suspending."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from pydantic import SecretStr

from tinyllm_actors.errors import ActorFailed, ActorStopped, AskTimeout, InvalidTransition
from tinyllm_actors.kernel import (
    Actor,
    ActorSystem,
    Directive,
    Handled,
    InFlight,
    Lifecycle,
    ReplyTo,
    Supervisor,
    trace,
)
from tinyllm_actors.testing import Probe, Puppet

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from tinyllm_actors.kernel import ActorRef

pytestmark = pytest.mark.anyio

PATIENT = Supervisor(max_restarts=100, backoff=None)


class Chameleon(Actor):
    """Answers which behaviour handled a message, and changes it when told."""

    async def receive(self, message: str) -> str:
        return await self.handle("first", message)

    async def second(self, message: str) -> str:
        return await self.handle("second", message)

    def third(self, message: str) -> str:
        if message == "back":
            self.context.unbecome()
        return "third"

    async def handle(self, name: str, message: str) -> str:
        match message:
            case "second":
                self.context.become(self.second)
            case "push third":
                self.context.become(self.third, discard_old=False)
            case "back":
                return f"{name} {self.context.unbecome()}"
            case "wait":
                await anyio.lowlevel.checkpoint()
            case "boom":
                raise LookupError("broken")
            case _:
                pass
        return name


async def ask_all(ref: ActorRef, *messages: str) -> list[str]:
    """Ask all at once, so that they are handled in one go, and return the answers."""
    asks = [ref.ask(message) for message in messages]
    return [await ask for ask in asks]


# --- become ---------------------------------------------------------------------------------------


async def test_become_changes_the_handler_from_the_next_message_on() -> None:
    """Also for messages that waited already, for asynchronous and plain handlers."""
    async with ActorSystem() as system:
        ref = await system.spawn(Chameleon)
        assert await ask_all(ref, "?", "second", "?", "push third", "?", "back", "?", "back", "?") == [
            "first",
            "first",
            "second",
            "second",
            "third",
            "third",
            "second",
            "second True",
            "first",
        ]
        assert await ref.ask("back") == "first False"


async def test_become_takes_the_place_of_the_last_behaviour_unless_told_to_keep_it() -> None:
    """`discard_old=False` stacks; the actor's own method is always at the bottom."""
    async with ActorSystem() as system:
        ref = await system.spawn(Chameleon)
        assert await ask_all(ref, "second", "second", "back", "?") == ["first", "second", "second True", "first"]
        assert await ask_all(ref, "push third", "back", "?") == ["first", "third", "first"]


async def test_a_restart_begins_with_the_actors_own_behaviour() -> None:
    """Nothing of the stack is left."""
    async with ActorSystem(supervisor=PATIENT) as system:
        ref = await system.spawn(Chameleon)
        await ask_all(ref, "second", "push third", "back")
        with pytest.raises(ActorFailed):
            await ref.ask("boom")
        assert await ask_all(ref, "?", "back") == ["first", "first False"]


async def test_a_resumed_actor_keeps_its_behaviour() -> None:
    """`Directive.RESUME` keeps the object and what it has become."""
    async with ActorSystem(supervisor=Supervisor(decider=lambda _: Directive.RESUME)) as system:
        ref = await system.spawn(Chameleon)
        await ref.ask("second")
        with pytest.raises(ActorFailed):
            await ref.ask("boom")
        assert await ref.ask("?") == "second"


async def test_become_works_across_a_wait() -> None:
    """In a handler that has waited, and before one that does."""

    class Waiting(Chameleon):
        async def receive(self, message: str) -> str:
            await anyio.lowlevel.checkpoint()
            return await super().receive(message)

    async with ActorSystem() as system:
        ref = await system.spawn(Waiting)
        assert await ask_all(ref, "?", "second", "wait", "back", "wait") == [
            "first",
            "first",
            "second",
            "second True",
            "first",
        ]


async def test_a_plain_behaviour_answers_an_idle_ask_in_place() -> None:
    """An actor that became plain is as quick as one that was born so, and one that became asynchronous is right."""

    class Switch(Actor):
        def receive(self, message: str) -> int:
            if message == "async":
                self.context.become(self.slow)
            return anyio.get_current_task().id

        async def slow(self, message: str) -> int:
            await anyio.lowlevel.checkpoint()
            if message == "plain":
                self.context.unbecome()
            return anyio.get_current_task().id

    async with ActorSystem() as system:
        ref = await system.spawn(Switch)
        mine = anyio.get_current_task().id
        assert await ref.ask("?") == mine
        assert await ref.ask("async") == mine
        assert await ref.ask("?") != mine
        assert await ref.ask("plain") != mine
        assert await ref.ask("?") == mine


# --- answering later ------------------------------------------------------------------------------


class Holder(Puppet):
    """Keeps where answers go."""

    def __init__(self) -> None:
        self.held: list[ReplyTo] = []

    def hold(self) -> str:
        """Take over the answer to the message in processing; what is returned must not be it."""
        self.held.append(self.context.reply_later())
        return "not the answer"


def lookup(_: Holder) -> object:
    """Fail."""
    return dict[str, int]()["missing"]


async def held_by(ref: ActorRef) -> list[ReplyTo]:
    """Return what a holder keeps, once it has handled what it was sent."""
    return await Holder.do(ref, lambda self: self.held)


async def test_rule_4_an_ask_may_be_answered_later() -> None:
    """With a value or a failure, by another message or from outside; each way works once."""
    async with ActorSystem() as system:
        ref = await system.spawn(Holder)
        asks = [ref.ask(Holder.hold) for _ in range(3)]
        first, second, third = await held_by(ref)
        assert first.waiting
        assert first.reply("one") is True
        assert first.reply("again") is False
        assert first.fail(LookupError()) is False
        assert second.fail(LookupError("none")) is True
        assert third.reply(None) is True
        assert await asks[0] == "one"
        with pytest.raises(ActorFailed) as caught:
            await asks[1]
        assert isinstance(caught.value.cause, LookupError)
        assert await asks[2] is None
        assert not ref.cell.cold.deferred


async def test_rule_4_a_deadline_ends_a_deferred_ask() -> None:
    """Whoever answers too late is told so, and nothing of the ask is kept."""
    async with ActorSystem() as system:
        ref = await system.spawn(Holder)
        with pytest.raises(AskTimeout):
            await ref.ask(Holder.hold, timeout=0.01)
        (late,) = await held_by(ref)
        assert not late.waiting
        assert late.reply("late") is False
        assert not ref.cell.cold.deferred


async def test_rule_4_deferred_asks_end_with_the_incarnation() -> None:
    """With the failure at a restart, with `ActorStopped` at the stop; nobody waits for ever."""
    async with ActorSystem(supervisor=PATIENT) as system:
        ref = await system.spawn(Holder)
        early = ref.ask(Holder.hold)
        with pytest.raises(ActorFailed):
            await Holder.do(ref, lookup)
        with pytest.raises(ActorFailed) as caught:
            await early
        assert isinstance(caught.value.cause, KeyError)
        late = ref.ask(Holder.hold)
        await held_by(ref)
        await ref.stop()
        with pytest.raises(ActorStopped, match="before it answered"):
            await late


async def test_rule_4_a_handler_that_defers_and_fails_has_failed() -> None:
    """The asker gets the failure at once."""

    def defer_and_fail(self: Holder) -> None:
        self.hold()
        raise LookupError("broken")

    async with ActorSystem(supervisor=PATIENT) as system:
        ref = await system.spawn(Holder)
        with pytest.raises(ActorFailed):
            await Holder.do(ref, defer_and_fail)


async def test_rule_13_a_deferred_ask_can_be_redelivered() -> None:
    """A handler that deferred, failed and gets the message again may answer it as usual."""

    def defer_once(self: Holder) -> str:
        if self.context.attempt:
            return "at last"
        self.hold()
        raise LookupError("broken")

    async with ActorSystem(supervisor=PATIENT) as system:
        ref = await system.spawn(Holder.spec().with_options(on_inflight=InFlight(redeliveries=1)))
        assert await Holder.do(ref, defer_once) == "at last"


async def test_a_told_message_has_nobody_to_answer() -> None:
    """`reply_later` works all the same, so that an actor need not know."""
    async with ActorSystem() as system:
        ref = await system.spawn(Holder)
        await ref.tell(Holder.hold)
        (nobody,) = await held_by(ref)
        assert not nobody.waiting
        assert nobody.reply("?") is False
        assert nobody.fail(LookupError()) is False


async def test_a_plain_handler_cannot_answer_later() -> None:
    """It may run in the asker's task; the error says what to do."""

    class Plain(Actor):
        def receive(self, message: object) -> None:
            self.context.reply_later()

    async with ActorSystem(supervisor=PATIENT) as system:
        ref = await system.spawn(Plain)
        with pytest.raises(ActorFailed, match=r"Plain\.receive must be `async def`"):
            await ref.ask("?")


# --- tracing --------------------------------------------------------------------------------------


class Traced(Actor):
    """Does a little of everything."""

    async def receive(self, message: Any) -> Any:
        match message:
            case "boom":
                raise LookupError("broken")
            case "hang":
                await anyio.sleep_forever()
            case "become":
                self.context.become(self.other)
            case _:
                return message

    async def other(self, message: Any) -> str:
        return "other"

    async def stream(self, message: int) -> AsyncGenerator[int, None]:
        for number in range(message):
            if number == 5:
                raise LookupError("five")
            yield number


@pytest.mark.virtual_time
async def test_a_trace_tells_of_each_message() -> None:
    """Type, id, duration and outcome, through restarts and changes of behaviour; never the content."""
    async with ActorSystem(supervisor=PATIENT) as system:
        ref = await system.spawn(Traced, name="traced")
        await ref.ask("before")
        async with trace(ref) as records:
            await ref.ask("hello")
            with pytest.raises(ActorFailed):
                await ref.ask("boom")
            with pytest.raises(AskTimeout):
                await ref.ask("hang", timeout=0.01)
            await ref.ask("become")
            assert await ref.ask(7) == "other"
            found = [await records.receive() for _ in range(5)]
        assert [(record.message, record.outcome, record.error) for record in found] == [
            ("str", "returned", None),
            ("str", "raised", "LookupError"),
            ("str", "cancelled", None),
            ("str", "returned", None),
            ("int", "returned", None),
        ]
        assert all(record.path == "traced" and record.message_id > 0 for record in found)
        assert found[2].duration == pytest.approx(0.01)
        assert not any("hello" in repr(record) for record in found)
        await ref.ask("after")
        assert records.receive_nowait() is None


async def test_streams_are_traced() -> None:
    """To their end, their failure, or until the reader leaves."""
    async with ActorSystem(supervisor=PATIENT) as system:
        ref = await system.spawn(Traced)
        async with trace(ref) as records:
            async with ref.stream(2) as items:
                assert [item async for item in items] == [0, 1]
            with pytest.raises(ActorFailed):
                async with ref.stream(9) as items:
                    async for _ in items:
                        pass
            async with ref.stream(4, buffer=1) as items:
                await items.receive()
            found = [await records.receive() for _ in range(3)]
        assert [record.outcome for record in found][:2] == ["returned", "raised"]
        assert found[2].outcome in {"cancelled", "closed"}


async def test_rule_21_a_producer_that_waits_for_nothing_ends_when_its_reader_leaves() -> None:
    """It does not run on, which would block the event loop."""

    class Endless(Actor):
        async def stream(self, message: object) -> AsyncGenerator[int, None]:
            while True:
                yield 1

    async with ActorSystem() as system:
        ref = await system.spawn(Endless)
        async with ref.stream("?", buffer=1) as items:
            assert await items.receive() == 1
        await ref.stop()


async def test_producers_are_traced() -> None:
    """An actor that defines `produce` instead of a generator."""

    class Producer(Actor):
        async def produce(self, message: int, emit: Callable[[Any], Awaitable[None]]) -> None:
            for number in range(message):
                await emit(number)

    async with ActorSystem() as system:
        ref = await system.spawn(Producer)
        async with trace(ref) as records:
            async with ref.stream(2) as items:
                assert [item async for item in items] == [0, 1]
            assert (await records.receive()).outcome == "returned"


async def test_a_plain_handler_is_traced_in_place() -> None:
    """It goes on answering in the asker's task."""

    class Plain(Actor):
        def receive(self, message: str) -> int:
            if message == "boom":
                raise LookupError("broken")
            return anyio.get_current_task().id

    async with ActorSystem(supervisor=PATIENT) as system:
        ref = await system.spawn(Plain)
        async with trace(ref) as records:
            assert await ref.ask("?") == anyio.get_current_task().id
            with pytest.raises(ActorFailed):
                await ref.ask("boom")
            assert [(await records.receive()).outcome for _ in range(2)] == ["returned", "raised"]


async def test_traces_are_independent() -> None:
    """Two may run at once; the newest records are kept for a slow reader, and what was dropped is counted."""
    async with ActorSystem() as system:
        ref = await system.spawn(Traced)
        async with trace(ref) as outer, trace(ref, buffer=2) as inner:
            for number in range(5):
                await ref.ask(number)
            assert inner.dropped == 3
            assert outer.dropped == 0
            assert isinstance(await inner.receive(), Handled)
        assert not ref.cell.cold.observers


# --- state, suspending ----------------------------------------------------------------------------


class Keeper(Puppet):
    """Has attributes, some of them secret."""

    def __init__(self) -> None:
        self.count = 3
        self.api_key = "sk-very-secret"
        self.settings = {"password": "hunter2", "seed": 1}
        self.wrapped = SecretStr("hidden")
        self.max_tokens = 100


async def test_the_state_of_an_actor_can_be_seen_without_its_secrets() -> None:
    """Its attributes by default; values of secret names are masked, also one level down."""
    async with ActorSystem() as system:
        ref = await system.spawn(Keeper)
        state = await ref.get_state()
        assert state == {
            "count": 3,
            "api_key": "***",
            "settings": {"password": "***", "seed": 1},
            "wrapped": SecretStr("hidden"),
            "max_tokens": 100,
        }
        assert "hidden" not in repr(state)


async def test_an_actor_chooses_what_its_state_is() -> None:
    """`snapshot()` is asked; a dictionary of it is masked, what fails is a failure of the question alone."""

    class Chosen(Keeper):
        def snapshot(self) -> Any:
            match self.count:
                case 3:
                    return {"token": "secret", "count": self.count}
                case 4:
                    return ["whatever"]
                case _:
                    raise LookupError("broken")

    async with ActorSystem() as system:
        ref = await system.spawn(Chosen)
        assert await ref.get_state() == {"token": "***", "count": 3}
        await Keeper.do(ref, lambda self: setattr(self, "count", 4))
        assert await ref.get_state() == ["whatever"]
        await Keeper.do(ref, lambda self: setattr(self, "count", 5))
        with pytest.raises(ActorFailed, match="LookupError"):
            await ref.get_state()
        assert await Keeper.do(ref, lambda self: self.count) == 5
        with pytest.raises(ActorFailed, match="LookupError"):  # in its own handler it is the handler's failure
            await Keeper.do(ref, lambda self: self.context.ref.get_state())


async def test_a_look_waits_for_the_message_in_processing_but_not_for_the_mailbox() -> None:
    """It comes between two messages, before those that wait."""
    async with ActorSystem() as system:
        ref = await system.spawn(Keeper)
        began, go = anyio.Event(), anyio.Event()
        counts: list[int] = []

        async def work(self: Keeper) -> None:
            self.count = 10
            began.set()
            await go.wait()
            self.count = 11

        async def look() -> None:
            counts.append((await ref.get_state())["count"])

        await Keeper.tell(ref, work)
        await began.wait()
        await Keeper.tell(ref, lambda self: setattr(self, "count", 12))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
            await anyio.lowlevel.checkpoint()
            assert counts == []
            go.set()
        assert counts == [11]


async def test_a_look_has_a_deadline() -> None:
    """A handler that hangs does not hang who looks; the look is withdrawn."""
    async with ActorSystem() as system:
        ref = await system.spawn(Keeper)
        await Keeper.tell(ref, lambda _: anyio.sleep_forever())
        while ref.cell.current is None:
            await anyio.lowlevel.checkpoint()
        with pytest.raises(AskTimeout):
            await ref.get_state(timeout=0.01)
        await ref.kill()


async def test_an_actor_may_look_at_itself() -> None:
    """In its own handler, without waiting for its end."""
    async with ActorSystem() as system:
        ref = await system.spawn(Keeper)

        async def look(self: Keeper) -> Any:
            await anyio.lowlevel.checkpoint()
            return await self.context.ref.get_state()

        assert (await Keeper.do(ref, look))["count"] == 3


async def test_an_actor_that_has_ended_has_no_state() -> None:
    """Neither before nor while somebody waits for it."""
    async with ActorSystem() as system:
        ref = await system.spawn(Keeper)
        await Keeper.tell(ref, lambda _: anyio.sleep_forever())
        while ref.cell.current is None:
            await anyio.lowlevel.checkpoint()
        caught: list[Exception] = []

        async def look() -> None:
            try:
                await ref.get_state()
            except ActorStopped as error:
                caught.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(look)
            await anyio.lowlevel.checkpoint()
            await ref.kill()
        assert len(caught) == 1
        for call in (ref.get_state, ref.suspend):
            with pytest.raises(ActorStopped):
                await call()


@pytest.mark.virtual_time
async def test_looking_at_a_passive_actor_thaws_it() -> None:
    """There is no state before it is started again."""
    async with ActorSystem() as system:
        ref = await system.spawn(Keeper.spec().with_options(passivate_after=5.0))
        await anyio.sleep(6.0)
        assert ref.state is Lifecycle.PASSIVE
        assert (await ref.get_state())["count"] == 3
        assert ref.state is Lifecycle.RUNNING


async def test_a_suspended_actor_handles_nothing() -> None:
    """Messages wait, its state can be seen, and all goes on after `resume`; both may be repeated."""
    async with ActorSystem() as system:
        ref = await system.spawn(Keeper)
        await ref.suspend()
        await ref.suspend()
        assert ref.state is Lifecycle.SUSPENDED
        asks = [ref.ask(act) for act in (count_up, count_up)]
        await anyio.lowlevel.checkpoint()
        assert (await ref.get_state())["count"] == 3
        await ref.resume()
        await ref.resume()
        assert [await ask for ask in asks] == [4, 5]


def count_up(self: Keeper) -> int:
    """Count a message."""
    self.count += 1
    return self.count


async def test_suspend_waits_for_the_message_in_processing() -> None:
    """When it returns, nothing of the actor runs; a look that waits comes then."""
    async with ActorSystem() as system:
        ref = await system.spawn(Keeper)
        began, go = anyio.Event(), anyio.Event()
        log: list[str] = []

        async def work(_: Keeper) -> None:
            began.set()
            await go.wait()
            log.append("worked")

        async def suspend() -> None:
            await ref.suspend()
            log.append("suspended")

        async def look() -> None:
            await ref.get_state()
            log.append("looked")

        await Keeper.tell(ref, work)
        await began.wait()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(suspend)
            tasks.start_soon(look)
            await anyio.lowlevel.checkpoint()
            go.set()
        assert log[0] == "worked"
        assert sorted(log[1:]) == ["looked", "suspended"]


async def test_an_actor_may_suspend_itself() -> None:
    """After the message in processing, which it does not wait for."""
    async with ActorSystem() as system:
        ref = await system.spawn(Keeper)
        await Keeper.do(ref, lambda self: self.context.ref.suspend())
        assert ref.state is Lifecycle.SUSPENDED
        await ref.resume()
        assert await ref.ask(count_up) == 4


async def test_a_suspended_actor_resumed_while_queued_handles_one_message_at_a_time() -> None:
    """Being made runnable twice does not let two handlers run at once."""
    async with ActorSystem() as system:
        ref = await system.spawn(Keeper)
        at_once: list[int] = []
        running: list[int] = []

        def numbered(number: int) -> Callable[[Keeper], Any]:
            async def work(_: Keeper) -> None:
                running.append(number)
                at_once.append(len(running))
                await anyio.lowlevel.checkpoint()
                await anyio.lowlevel.checkpoint()
                running.remove(number)

            return work

        asks = [ref.ask(numbered(number)) for number in range(4)]  # it is in the run queue now
        for _ in range(3):
            system.care.suspend(ref.cell)
            system.care.resume(ref.cell)
        for ask in asks:
            await ask
        assert set(at_once) == {1}


@pytest.mark.virtual_time
async def test_only_a_running_actor_can_be_suspended() -> None:
    """A passive one, for example, is not; the state and the event are named."""
    async with ActorSystem() as system:
        ref = await system.spawn(Keeper.spec().with_options(passivate_after=0.5))
        await anyio.sleep(1.0)
        with pytest.raises(InvalidTransition, match="suspend in state PASSIVE"):
            await ref.suspend()


async def test_a_probe_is_told_what_happens() -> None:
    """The probe of the test kit gets messages and ends in order."""
    async with ActorSystem() as system:
        probe = await Probe.spawn(system)
        ref = await system.spawn(Keeper)
        await probe.watch(ref)
        await ref.stop()
        assert (await probe.expect_terminated(ref)).kind == "stopped"
