"""Pekko's ActorWithStashSpec, ActorWithBoundedStashSpec, TimersAndStashSpec and FSMActorSpec.

What Pekko stashes, a `StateMachineActor` postpones, as in OTP: it says so of a message, and a change of state brings it
back. `unstashAll` is that change.

| Case of Pekko | Here |
|---|---|
| stash messages | `test_what_was_put_off_comes_back` |
| support protocols | `test_a_protocol_is_kept_though_messages_are_early` |
| process stashed messages after restart | `test_what_was_put_off_survives_a_restart` |
| re-receive unstashed Terminated messages; stash watchWith | `test_the_end_of_another_can_be_put_off` |
| Timers combined with stashing | `test_a_timer_can_be_put_off` |
| a stash of limited capacity throws | `test_room_for_what_is_put_off_is_limited` |
| unlock the lock | `test_the_lock` |
| log termination (next state does not exist) | `test_a_state_that_cannot_follow_is_a_failure` |
| run onTermination upon stop, with updated state | `test_the_end_knows_the_last_state` |
| cancel all timers when terminated | `test_timers_end_with_the_machine` |
| allow cancelling stateTimeout by issuing forMax(Inf) | `test_a_state_timeout_can_be_taken_back` |

Do not apply: the same message stashed twice is an error (an answer says it once), transforming of state results (a
method is a function: call it), the rolling event log of LoggingFSM (`system.events(Transition)` and `trace(ref)`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed, InvalidTransition, MailboxFull
from tinyllm_actors.kernel import (
    ActorSystem,
    Keep,
    Machine,
    NamedTimeout,
    Next,
    Postpone,
    Reply,
    StateMachineActor,
    StateTimeout,
    Supervisor,
    Terminated,
    Transition,
)
from tinyllm_actors.testing import Puppet, TestKit

if TYPE_CHECKING:
    from tinyllm_actors.kernel import ActorRef, ExitReason

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]


class Channel(StateMachineActor):
    """Takes `write` while open, `open` while closed, and puts off the other; `crash` fails."""

    machine = Machine("channel", {("closed", "open"): "open", ("open", "close"): "closed"}, initial="closed")
    max_postponed = 5

    def __init__(self, log: list[Any]) -> None:
        self.log = log

    def on_any(self, message: Any) -> object:
        if message == "crash":
            raise LookupError("boom")
        if self.state == "closed" and message != "open":
            return Postpone()
        if self.state == "open" and message == "open":
            return Postpone()
        self.log.append(message)
        if message in {"open", "close"}:
            return Next("open" if message == "open" else "closed", [Reply(message)])
        return f"did {message}"


async def test_what_was_put_off_comes_back() -> None:
    """A message that is early is handled once the state has changed, and its asker gets its answer."""
    log: list[Any] = []
    async with ActorSystem() as system:
        channel = await system.spawn(Channel, log)
        early = channel.ask("bye", timeout=5)
        assert await channel.ask("open", timeout=5) == "open"
        assert await early == "did bye"
    assert log == ["open", "bye"]


async def test_a_protocol_is_kept_though_messages_are_early() -> None:
    """Whatever comes when it does not fit waits its turn, in order."""
    log: list[Any] = []
    async with ActorSystem() as system:
        channel = await system.spawn(Channel, log)
        for message in ("open", "write 1", "open", "close", "write 2", "close", "open"):
            channel.tell_nowait(message)
        assert await channel.ask("done", timeout=5) == "did done"
    assert log == ["open", "write 1", "close", "open", "write 2", "close", "open", "done"]


async def test_what_was_put_off_survives_a_restart() -> None:
    """What a machine put off before it crashed is handled by the next incarnation, before what came later."""
    log: list[Any] = []
    async with ActorSystem(supervisor=Supervisor(backoff=None)) as system:
        channel = await system.spawn(Channel, log)
        early = channel.ask("hello", timeout=5)
        for message in ("crash", "open", "later"):
            channel.tell_nowait(message)
        assert await early == "did hello"
        assert await channel.ask("done", timeout=5) == "did done"
    assert log == ["open", "hello", "later", "done"]


async def test_the_end_of_another_can_be_put_off() -> None:
    """A `Terminated` that is early comes back like any other message, once."""
    log: list[Any] = []

    class Mourner(Channel):
        async def started(self) -> None:
            await super().started()
            self.context.watch(watched)

    async with ActorSystem() as system:
        watched: ActorRef = await system.spawn(Puppet)
        mourner = await system.spawn(Mourner, log)
        reason = await watched.stop()
        assert await mourner.ask("open", timeout=5) == "open"
        assert await mourner.ask("done", timeout=5) == "did done"
    assert log == ["open", Terminated(watched, reason), "done"]


async def test_a_timer_can_be_put_off() -> None:
    """So does the message of a timer."""
    log: list[Any] = []

    class Clock(Channel):
        async def started(self) -> None:
            await super().started()
            self.context.send_after(1, "scheduled")

    async with ActorSystem() as system:
        clock = await system.spawn(Clock, log)
        await anyio.sleep(2)
        assert log == []
        assert await clock.ask("open", timeout=5) == "open"
        assert await clock.ask("done", timeout=5) == "did done"
    assert log == ["open", "scheduled", "done"]


async def test_room_for_what_is_put_off_is_limited() -> None:
    """One message more than `max_postponed` fails its asker, and a told one is a dead letter; the rest waits on."""
    log: list[Any] = []
    async with ActorSystem() as system:
        channel = await system.spawn(Channel, log)
        early = [channel.ask(number, timeout=5) for number in range(5)]
        with pytest.raises(MailboxFull, match="5"):
            await channel.ask("too much", timeout=5)
        await channel.tell("too much as well")
        await channel.tell("open")
        assert [await ask for ask in early] == [f"did {number}" for number in range(5)]
        assert [letter.message for letter in system.dead_letters] == ["too much as well"]


class Lock(StateMachineActor):
    """Opens for one second when it gets its code, digit by digit."""

    machine = Machine("lock", {("locked", "code"): "open", ("open", "time"): "locked"}, initial="locked")

    def __init__(self, code: str, log: list[Any]) -> None:
        self.code, self.so_far, self.log = code, "", log

    def on_locked(self, digit: str) -> object:
        if digit == "hello":
            return "world"
        if digit == "bye":
            self.context.stop()
            return None
        self.so_far += digit
        if len(self.so_far) < len(self.code):
            return None
        right, self.so_far = self.so_far == self.code, ""
        return Next("open") if right else None

    def enter_open(self, source: object) -> list[StateTimeout | NamedTimeout]:
        self.log.append("unlocked")
        return [StateTimeout(1.0, "time"), NamedTimeout("alarm", 10.0, "alarm")]

    def on_open(self, message: str) -> object:
        if message == "time":
            return Next("locked")
        if message == "stay open":
            return Keep([StateTimeout(None)])
        if message == "leave":
            return Next("vault")
        self.log.append(f"unhandled {message}")
        return None

    def enter_locked(self, source: object) -> None:
        self.log.append("locked")

    async def stopped(self, reason: ExitReason) -> None:
        self.log.append(f"{reason.kind} while {self.state}")


async def test_the_lock() -> None:
    """The wrong code does nothing, the right one opens it for a second; each move is published, and it can be asked."""
    log: list[Any] = []
    async with TestKit() as kit:
        lock = await kit.system.spawn(Lock, "33221", log, name="lock")
        for digit in "3322933221":
            await lock.tell(digit)
        await anyio.sleep(0.5)
        assert log == ["locked", "unlocked"]
        await anyio.sleep(0.6)
        assert log == ["locked", "unlocked", "locked"]
        moves = [event for event in kit.transitions if event.machine == "lock"]
        assert [(move.source, move.target) for move in moves] == [
            ("locked", "locked"),
            ("locked", "open"),
            ("open", "locked"),
        ]
        assert await lock.ask("hello", timeout=1) == "world"
        await lock.kill()


async def test_a_state_that_cannot_follow_is_a_failure() -> None:
    """To go to a state that the table does not know from here is `InvalidTransition`, and the machine begins anew."""
    log: list[Any] = []
    async with ActorSystem(supervisor=Supervisor(backoff=None)) as system:
        lock = await system.spawn(Lock, "1", log, name="lock")
        await lock.tell("1")
        with pytest.raises(ActorFailed) as caught:
            await lock.ask("leave", timeout=5)
        assert isinstance(caught.value.cause, InvalidTransition)
        assert "vault" in str(caught.value)
        assert await lock.ask("hello", timeout=5) == "world"
        assert log == ["locked", "unlocked", "failed while open", "locked"]


@pytest.mark.parametrize(("state", "how"), [("locked", "stop"), ("open", "stop"), ("locked", "bye")])
async def test_the_end_knows_the_last_state(state: str, how: str) -> None:
    """`stopped()` runs with the reason, in the state in which the machine ended."""
    log: list[Any] = []
    async with ActorSystem() as system:
        lock = await system.spawn(Lock, "1", log)
        if state == "open":
            await lock.ask("1", timeout=5)
        if how == "stop":
            await lock.stop()
            assert log[-1] == f"stopped while {state}"
        else:
            await lock.tell("bye")
            await anyio.sleep(1)  # a permanent actor that leaves is started again
            assert log == ["locked", f"normal while {state}", "locked"]


@pytest.mark.parametrize("how", ["stop", "crash"])
async def test_timers_end_with_the_machine(how: str) -> None:
    """Neither the state's time-out nor a named one outlives the incarnation that set it."""
    log: list[Any] = []
    async with ActorSystem(supervisor=Supervisor(backoff=None)) as system:
        lock = await system.spawn(Lock, "1", log)
        await lock.ask("1", timeout=5)
        if how == "stop":
            await lock.stop()
        else:
            with pytest.raises(ActorFailed):
                await lock.ask("leave", timeout=5)
        await anyio.sleep(60)
        assert log[2:] == (["stopped while open"] if how == "stop" else ["failed while open", "locked"])
        assert list(system.dead_letters) == []


async def test_a_state_timeout_can_be_taken_back() -> None:
    """`StateTimeout(None)` keeps the state for ever; named time-outs go on."""
    log: list[Any] = []
    async with ActorSystem() as system, system.events(Transition) as events:
        lock = await system.spawn(Lock, "1", log)
        await lock.ask("1", timeout=5)
        await lock.ask("stay open", timeout=5)
        await anyio.sleep(60)
        assert log == ["locked", "unlocked", "unhandled alarm"]
        while (event := events.receive_nowait()) is not None:
            assert event.target != "locked" or event.event == "init"
