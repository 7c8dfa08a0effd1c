"""State machines as actors (rule 17): messages that wait for another state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.kernel.jobs import Job, Phase, Step, act, do, say
from tinyllm_actors.errors import ActorFailed, ActorStopped, AskTimeout, MailboxFull
from tinyllm_actors.kernel import (
    ActorSystem,
    ExitReason,
    Keep,
    Next,
    NextEvent,
    Postpone,
    Supervisor,
)

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.anyio

PATIENT = Supervisor(max_restarts=100, backoff=None)


async def test_rule_17_postponed_messages_come_back_oldest_first() -> None:
    """On a change of state, before all that waits; their askers are answered then, each with its own answer."""

    class Gate(Job):
        async def on_idle(self, message: Any) -> Any:
            if isinstance(message, str):
                return Postpone()
            return await self.on_any(message)

    async with ActorSystem() as system:
        log: list[str] = []
        gate = await system.spawn(Gate, log)
        asks = [gate.ask(f"ask {number}") for number in range(2)]
        await gate.tell("told")
        assert (await do(gate, Keep())) is None
        assert system.inspect(gate.path).postponed == 3
        opening = gate.ask(say(Next(Phase.BUSY)))
        late = gate.ask("late")
        await opening
        answers = [await ask for ask in asks]
        await late
        assert [line for line in log if line.startswith("BUSY: ")] == [
            "BUSY: ask 0",
            "BUSY: ask 1",
            "BUSY: told",
            "BUSY: late",
        ]
        assert answers == [log.index("BUSY: ask 0") + 1, log.index("BUSY: ask 1") + 1]
        assert system.inspect(gate.path).postponed == 0


async def test_rule_17_an_edge_to_the_same_state_brings_nothing_back() -> None:
    """Only a change of state does."""
    async with ActorSystem() as system:
        job = await system.spawn(Job)
        await do(job, Next(Phase.BUSY))
        off = job.ask(act(lambda self: Postpone() if self.state is Phase.BUSY else "back"))
        await do(job, Next(event=Step.REPEAT))
        assert system.inspect(job.path).postponed == 1
        await do(job, Next(event=Step.FINISH))
        assert await off == "back"


async def test_rule_17_a_message_may_change_the_state_and_be_postponed() -> None:
    """Then it is handled again in the new state, and its asker gets that answer."""
    async with ActorSystem() as system:
        job = await system.spawn(Job)

        def step(self: Job) -> Any:
            return Next(Phase.BUSY, [Postpone()]) if self.state is Phase.IDLE else f"in {self.state}"

        assert await job.ask(step) == "in BUSY"


async def test_rule_17_a_message_is_postponed_once_however_often_its_actions_say_so() -> None:
    """It comes back once."""
    async with ActorSystem() as system:
        log: list[str] = []
        job = await system.spawn(Job, log)
        await job.tell(
            act(lambda self: Keep([Postpone(), Postpone()]) if self.state is Phase.IDLE else log.append("!"))
        )
        await do(job, Next(Phase.BUSY))
        await do(job, Keep())
        assert log.count("!") == 1


async def test_rule_17_a_message_whose_entry_fails_was_not_postponed() -> None:
    """Delivery is at most once: it failed, and the next incarnation does not get it again."""
    async with ActorSystem(supervisor=PATIENT) as system:
        log: list[str] = []

        class Broken(Job):
            async def enter_busy(self, source: Phase | None) -> Keep:
                raise LookupError("broken")

        broken = await system.spawn(Broken, log)
        await broken.tell(say(Next(Phase.BUSY, [Postpone()])))
        await do(broken, Keep())
        assert log.count("IDLE: do") == 2


async def test_rule_17_a_change_of_state_is_finished_though_its_asker_leaves() -> None:
    """The entry is not cut short, and the actions run: a machine would be stuck that waits for a lost time-out."""
    async with ActorSystem() as system:
        entered, go = anyio.Event(), anyio.Event()
        log: list[str] = []

        class Slow(Job):
            async def enter_busy(self, source: Phase | None) -> Keep:
                entered.set()
                await go.wait()
                return Keep([NextEvent("from entry")])

        slow = await system.spawn(Slow, log)
        async with anyio.create_task_group() as group:
            group.start_soon(do, slow, Next(Phase.BUSY, [NextEvent("inserted")]))
            await entered.wait()
            group.cancel_scope.cancel()
        go.set()
        await do(slow, Keep())
        assert log[-3:] == ["BUSY: inserted", "BUSY: from entry", "BUSY: do"]


@pytest.mark.virtual_time
async def test_rule_17_an_asker_may_leave_while_its_message_is_postponed() -> None:
    """Its message does not come back."""
    async with ActorSystem() as system:
        log: list[str] = []
        job = await system.spawn(Job, log)

        def off(self: Job) -> Postpone | None:
            return Postpone() if self.state is Phase.IDLE else self.log.append("!")

        with pytest.raises(AskTimeout):
            await job.ask(off, timeout=0.01)
        await do(job, Next(Phase.BUSY))
        await do(job, Keep())
        assert "!" not in log


async def test_rule_17_postponed_messages_survive_a_restart() -> None:
    """They have not been handled, so the next incarnation gets them, in order."""
    async with ActorSystem(supervisor=PATIENT) as system:
        seen: list[Any] = []

        class Picky(Job):
            def on_idle(self, message: Any) -> Any:
                seen.append((self.context.incarnation, message))
                if message == "boom":
                    raise LookupError("broken")
                return Postpone() if self.context.incarnation == 1 else message

        picky = await system.spawn(Picky)
        asks = [picky.ask(number) for number in range(3)]
        with pytest.raises(ActorFailed):
            await picky.ask("boom")
        assert [await ask for ask in asks] == [0, 1, 2]
        assert seen == [(1, 0), (1, 1), (1, 2), (1, "boom"), (2, 0), (2, 1), (2, 2)]


async def test_rule_17_postponed_messages_are_accounted_for_at_the_end() -> None:
    """At the final stop asks fail and tells become dead letters."""
    async with ActorSystem() as system:
        job = await system.spawn(Job)
        ask = job.ask(say(Postpone()))
        off = say(Postpone())
        await job.tell(off)
        await do(job, Keep())
        await job.stop()
        with pytest.raises(ActorStopped):
            await ask
        assert [letter.message for letter in system.dead_letters] == [off]


async def test_rule_17_a_message_postponed_while_stopping_is_accounted_for() -> None:
    """The last message cannot be put off for ever."""
    async with ActorSystem() as system:
        began, go = anyio.Event(), anyio.Event()

        class Slow(Job):
            async def on_idle(self, message: Any) -> Postpone:
                began.set()
                await go.wait()
                return Postpone()

        slow = await system.spawn(Slow)
        told = await system.spawn(Slow)
        ask = slow.ask("?")
        await began.wait()
        slow.cell.system.care.end(slow.cell, ExitReason.STOPPED)
        go.set()
        with pytest.raises(ActorStopped):
            await ask
        began, go = anyio.Event(), anyio.Event()
        await told.tell("!")
        await began.wait()
        told.cell.system.care.end(told.cell, ExitReason.STOPPED)
        go.set()
        await told.join()
        assert [(letter.message, letter.reason) for letter in system.dead_letters] == [("!", "stopped")]


async def test_rule_17_postponing_is_bounded() -> None:
    """One message too many fails its asker with `MailboxFull`, or becomes a dead letter; the machine lives on."""

    class Small(Job):
        max_postponed = 2

    async with ActorSystem() as system:
        small = await system.spawn(Small)
        asks = [small.ask(say(Postpone())) for _ in range(2)]
        with pytest.raises(MailboxFull, match=r"\(2 messages\)"):
            await small.ask(say(Postpone()))
        await small.tell(say(Postpone()))
        await do(small, Keep())
        assert [letter.reason for letter in system.dead_letters] == ["full"]
        assert await small.ask(act(lambda self: self.context.incarnation)) == 1
        del asks
