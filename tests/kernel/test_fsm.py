"""State machines as actors (rule 17)."""

from __future__ import annotations

from enum import StrEnum, auto
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed, ActorStopped, AskTimeout, InvalidTransition, MailboxFull
from tinyllm_actors.kernel import (
    ActorSystem,
    CancelTimeout,
    ChildOptions,
    ExitReason,
    InFlight,
    Keep,
    Machine,
    NamedTimeout,
    Next,
    NextEvent,
    Postpone,
    Reply,
    StateMachineActor,
    StateTimeout,
    Supervisor,
    Transition,
)
from tinyllm_actors.testing import TestKit, VirtualClock, assert_golden, record_transitions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinyllm_actors.kernel import ActorRef, ReplyTo
    from tinyllm_actors.kernel.fsm_actions import Action

pytestmark = pytest.mark.anyio

PATIENT = Supervisor(max_restarts=100, backoff=None)
GOLDEN = Path(__file__).parent.parent / "golden"


class Phase(StrEnum):
    IDLE = "IDLE"
    BUSY = "BUSY"
    DONE = "DONE"


class Step(StrEnum):
    BEGIN = auto()
    REPEAT = auto()
    FINISH = auto()
    RESET = auto()


JOB = Machine(
    "job",
    {
        (Phase.IDLE, Step.BEGIN): Phase.BUSY,
        (Phase.BUSY, Step.REPEAT): Phase.BUSY,
        (Phase.BUSY, Step.FINISH): Phase.DONE,
        (Phase.BUSY, Step.RESET): Phase.IDLE,
        (Phase.DONE, Step.RESET): Phase.IDLE,
    },
    initial=Phase.IDLE,
)


class Job(StateMachineActor):
    """Does in each state what a message (a function of it) says, and writes everything down."""

    machine = JOB

    def __init__(self, log: list[str] | None = None, entry: dict[Phase, Sequence[Action]] | None = None) -> None:
        self.log: list[str] = [] if log is None else log
        self.entry = entry or {}

    async def on_any(self, message: Any) -> Any:
        self.log.append(f"{self.state}: {message if isinstance(message, str) else 'do'}")
        if isinstance(message, str):
            return len(self.log)
        return message(self)

    def enter_idle(self, source: Phase | None) -> Sequence[Action]:
        self.log.append(f"enter IDLE from {source}")
        return self.entry.get(Phase.IDLE, ())

    async def enter_busy(self, source: Phase | None) -> Keep:
        self.log.append(f"enter BUSY from {source}")
        return Keep(self.entry.get(Phase.BUSY, ()))


def act(function: Callable[[Job], Any]) -> Callable[[Job], Any]:
    """Return a message that does something in a job."""
    return function


def say(result: Any) -> Callable[[Job], Any]:
    """Return a message whose handler returns `result`."""
    return lambda _: result


async def do(ref: ActorRef, result: Any) -> Any:
    """Send a message whose handler returns `result`."""
    return await ref.ask(say(result), timeout=5.0)


async def log_of(ref: ActorRef) -> list[str]:
    """Return what was written down, without this question."""
    log: list[str] = await ref.ask(act(lambda self: Keep([Reply(list(self.log))])))
    return log[:-1]


# --- the table ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("edge", "target"), list(JOB.edges.items()), ids=lambda value: str(value))
async def test_rule_17_every_edge_of_the_table_can_be_taken(edge: tuple[Phase, Step], target: Phase) -> None:
    """From the initial state to the edge's source by any way, and then along the edge, by event and by state."""
    source, event = edge
    for choice in (Next(event=event), Next(target, event=event)):
        async with ActorSystem() as system:
            job = await system.spawn(Job, name="job")
            for step in way_to(source):
                await do(job, Next(event=step))
            await do(job, choice)
            assert system.inspect("job").machines == {"job": target}


def way_to(state: Phase) -> list[Step]:
    """Return the events of a shortest way to `state`."""
    ways: dict[Phase, list[Step]] = {JOB.initial: []}
    while state not in ways:
        for (source, event), target in JOB.edges.items():
            if source in ways:
                ways.setdefault(target, [*ways[source], event])
    return ways[state]


async def test_rule_17_a_missing_edge_is_a_failure_and_nothing_happens() -> None:
    """`InvalidTransition` names actor, state and event; the state stays, no action ran, no transition is published."""
    async with TestKit(supervisor=PATIENT) as kit:
        spec = Job.spec().with_options(on_inflight=InFlight(0))
        job = await kit.system.spawn(spec, name="job")
        probe = await kit.probe()
        for result in (Next(Phase.DONE, [NamedTimeout("t", 0.0, "late")]), Next(event=Step.FINISH), Next(Phase.IDLE)):
            with pytest.raises(ActorFailed) as caught:
                await do(job, result)
            assert isinstance(caught.value.cause, InvalidTransition)
            assert caught.value.cause.state is Phase.IDLE
            assert "job" in str(caught.value.cause)
        with pytest.raises(ActorFailed) as caught:
            await do(job, Next(Phase.DONE, event=Step.BEGIN))
        assert isinstance(caught.value.cause, InvalidTransition)
        assert {event.target for event in kit.transitions if event.machine == "job"} == {"IDLE"}
        assert probe.messages == []


async def test_rule_17_a_state_without_a_handler_takes_no_messages() -> None:
    """A message there is an `InvalidTransition` that names its type."""

    class Lamp(StateMachineActor):
        machine = Machine("lamp", {("off", "press"): "on"}, initial="off")

        def on_off(self, message: object) -> Next:
            return Next("on")

    async with ActorSystem(supervisor=PATIENT) as system:
        lamp = await system.spawn(Lamp)
        assert await lamp.ask("press") is None
        with pytest.raises(ActorFailed, match="no transition for str in state on"):
            await lamp.ask("press")


async def test_rule_17_methods_that_name_no_state_are_found_when_the_class_is_made() -> None:
    """A misspelt method does not wait for its first message."""
    with pytest.raises(TypeError, match=r"Broken\.on_buzy names no state of machine 'job'"):
        type("Broken", (StateMachineActor,), {"machine": JOB, "on_buzy": None})
    with pytest.raises(TypeError, match="the state to go to, or the event"):
        Next()


async def test_rule_17_a_subclass_that_forgets_to_start_its_base_is_told() -> None:
    """`started()` without `super().started()` fails the first message with the remedy."""

    class Forgetful(Job):
        async def started(self) -> None: ...

    async with ActorSystem(supervisor=PATIENT) as system:
        with pytest.raises(ActorFailed, match=r"await super\(\)\.started\(\)"):
            await do(await system.spawn(Forgetful), None)


# --- entering, replying ---------------------------------------------------------------------------


async def test_rule_17_entering_a_state_runs_its_entry() -> None:
    """At the start and at each change of state, not on an edge from a state to itself."""
    async with ActorSystem() as system:
        job = await system.spawn(Job)
        for step in (Step.BEGIN, Step.REPEAT, Step.RESET):
            await do(job, Next(event=step))
        entries = [line for line in await log_of(job) if line.startswith("enter")]
        assert entries == ["enter IDLE from None", "enter BUSY from IDLE", "enter IDLE from BUSY"]


async def test_rule_17_a_restart_begins_in_the_initial_state() -> None:
    """The new incarnation knows nothing of the old one's state."""
    async with ActorSystem(supervisor=PATIENT) as system:
        log: list[str] = []
        job = await system.spawn(Job, log, name="job")
        await do(job, Next(Phase.BUSY))
        with pytest.raises(ActorFailed):
            await job.ask(act(lambda _: 1 / 0))
        await job.ask("hello")
        assert log[-2:] == ["enter IDLE from None", "IDLE: hello"]


async def test_rule_17_what_is_no_transition_answers_the_ask() -> None:
    """A plain value keeps the state; `Reply` answers along with a transition; without either the answer is None."""
    async with ActorSystem() as system:
        job = await system.spawn(Job)
        assert await do(job, {"plain": True}) == {"plain": True}
        assert await do(job, Keep([Reply("kept")])) == "kept"
        assert await do(job, Keep()) is None
        assert await do(job, Next(Phase.BUSY, [Reply("busy")])) == "busy"


async def test_rule_17_an_asker_can_be_answered_by_a_later_message() -> None:
    """`Reply(value, to)` answers whoever was taken over with `reply_later()`."""
    async with ActorSystem() as system:
        job = await system.spawn(Job)
        held: list[ReplyTo] = []
        early = job.ask(act(lambda self: held.append(self.context.reply_later())))
        await do(job, Keep())
        assert await do(job, Next(Phase.BUSY, [Reply("second"), Reply("first", held[0])])) == "second"
        assert await early == "first"


async def test_rule_17_a_wrong_action_is_found_before_any_runs() -> None:
    """The message fails with what was wrong; the state is as it was."""
    async with ActorSystem(supervisor=PATIENT) as system:
        log: list[str] = []
        job = await system.spawn(Job, log)
        with pytest.raises(ActorFailed, match="'nonsense' is no action"):
            await do(job, Next(Phase.BUSY, [NextEvent("never"), "nonsense"]))  # pyright: ignore[reportArgumentType]
        await job.ask("after")
        assert "IDLE: never" not in log
        assert log[-1] == "IDLE: after"


async def test_rule_17_entering_a_state_cannot_postpone() -> None:
    """There is no message that could be put off."""
    async with ActorSystem(supervisor=PATIENT) as system:
        job = await system.spawn(Job, None, {Phase.BUSY: [Postpone()]})
        with pytest.raises(ActorFailed, match="enter_busy cannot postpone"):
            await do(job, Next(Phase.BUSY))


# --- postponing -----------------------------------------------------------------------------------


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


# --- time-outs and events -------------------------------------------------------------------------


@pytest.mark.virtual_time
async def test_rule_17_a_state_timeout_fires_in_its_state() -> None:
    """After its seconds, once, as a message."""
    async with ActorSystem() as system:
        log: list[str] = []
        job = await system.spawn(Job, log)
        await do(job, Next(Phase.BUSY, [StateTimeout(10.0, "slow")]))
        await anyio.sleep(9.0)
        assert "BUSY: slow" not in log
        await anyio.sleep(20.0)
        assert log.count("BUSY: slow") == 1


@pytest.mark.virtual_time
async def test_rule_17_a_change_of_state_cancels_the_state_timeout() -> None:
    """Even one that is due already and waits to be handled; an edge to the same state does not."""
    async with ActorSystem() as system:
        log: list[str] = []
        job = await system.spawn(Job, log)
        await do(job, Next(Phase.BUSY, [StateTimeout(10.0, "slow")]))
        await anyio.sleep(6.0)
        await do(job, Next(event=Step.REPEAT))
        await anyio.sleep(6.0)
        assert log.count("BUSY: slow") == 1
        await do(job, Keep([StateTimeout(10.0, "again")]))

        async def late(_: Job) -> Any:
            await anyio.sleep(15.0)  # it fires, and waits behind this message
            return Next(Phase.DONE)

        class Patient(Job):
            async def on_any(self, message: Any) -> Any:
                result = await super().on_any(message)
                return await result if hasattr(result, "__await__") else result

        patient = await system.spawn(Patient, log)
        await do(patient, Next(Phase.BUSY, [StateTimeout(10.0, "again")]))
        await patient.ask(late)
        await anyio.sleep(20.0)
        assert log.count("DONE: again") == 0
        assert log.count("BUSY: again") == 1  # the one of the first job


@pytest.mark.virtual_time
async def test_rule_17_a_state_timeout_can_be_replaced_and_cancelled() -> None:
    """There is one at a time; None cancels it."""
    async with ActorSystem() as system:
        log: list[str] = []
        job = await system.spawn(Job, log)
        await do(job, Keep([StateTimeout(5.0, "first")]))
        await do(job, Keep([StateTimeout(10.0, "second")]))
        await anyio.sleep(12.0)
        await do(job, Keep([StateTimeout(5.0, "third")]))
        await do(job, Keep([StateTimeout(None)]))
        await anyio.sleep(12.0)
        assert [line for line in log if line in {"IDLE: first", "IDLE: second", "IDLE: third"}] == ["IDLE: second"]


@pytest.mark.virtual_time
async def test_rule_17_a_named_timeout_outlives_the_state() -> None:
    """It fires in whichever state; one of the same name is replaced; it can be cancelled."""
    async with ActorSystem() as system:
        log: list[str] = []
        job = await system.spawn(Job, log)
        await do(job, Keep([NamedTimeout("a", 5.0, "first"), NamedTimeout("b", 5.0, "b"), NamedTimeout("c", 5.0, "c")]))
        await do(job, Next(Phase.BUSY, [NamedTimeout("a", 7.0, "second"), CancelTimeout("c"), CancelTimeout("?")]))
        await anyio.sleep(20.0)
        assert [line for line in log if line.startswith("BUSY: ") and line != "BUSY: do"] == ["BUSY: b", "BUSY: second"]


@pytest.mark.virtual_time
async def test_rule_17_a_timeout_that_is_over_waits_for_what_comes_back() -> None:
    """First what is inserted, then what was postponed, then time-outs in the order they were due, then the others."""
    async with ActorSystem() as system:
        log: list[str] = []

        class Patient(Job):
            async def on_idle(self, message: Any) -> Any:
                if message == "postponed":
                    return Postpone()
                result = await super().on_any(message)
                return await result if hasattr(result, "__await__") else result

        async def late(self: Job) -> Any:
            await anyio.sleep(15.0)  # both time-outs are over, and wait behind this message
            return Next(Phase.BUSY, [NextEvent("inserted")])

        job = await system.spawn(Patient, log)
        await job.tell("postponed")
        await do(job, Keep([NamedTimeout("b", 10.0, "second"), NamedTimeout("a", 5.0, "first")]))
        asking = job.ask(late)
        await job.tell("other")
        await asking
        await anyio.sleep(1.0)
        assert [line.removeprefix("BUSY: ") for line in log if line.startswith("BUSY: ")] == [
            "inserted",
            "postponed",
            "first",
            "second",
            "other",
        ]


async def test_rule_17_a_timeout_of_no_time_comes_before_messages_that_wait() -> None:
    """And after what is inserted."""
    async with ActorSystem() as system:
        log: list[str] = []
        job = await system.spawn(Job, log)
        opening = job.ask(say(Keep([StateTimeout(0, "state"), NamedTimeout("n", 0, "named"), NextEvent("inserted")])))
        await job.tell("waiting")
        await opening
        await do(job, Keep())
        assert log[2:6] == ["IDLE: inserted", "IDLE: state", "IDLE: named", "IDLE: waiting"]


async def test_rule_17_a_timeout_in_the_past_is_refused_where_it_is_made() -> None:
    """The value is named."""
    for seconds in (-1.0, float("nan")):
        with pytest.raises(ValueError, match=f"not after {seconds!r}"):
            StateTimeout(seconds)
        with pytest.raises(ValueError, match=f"not after {seconds!r}"):
            NamedTimeout("n", seconds)


@pytest.mark.virtual_time
async def test_rule_17_timeouts_end_with_the_incarnation() -> None:
    """A new incarnation gets none of the old one's."""
    async with ActorSystem(supervisor=PATIENT) as system:
        log: list[str] = []
        job = await system.spawn(Job, log)
        await do(job, Keep([StateTimeout(5.0, "old"), NamedTimeout("n", 5.0, "old")]))
        with pytest.raises(ActorFailed):
            await job.ask(act(lambda _: 1 / 0))
        await anyio.sleep(10.0)
        assert "IDLE: old" not in log


async def test_rule_17_a_next_event_comes_before_messages_that_wait() -> None:
    """And entries may send it, after the actions of the handler."""
    async with ActorSystem() as system:
        log: list[str] = []
        job = await system.spawn(Job, log, {Phase.BUSY: [NextEvent("from entry")]})
        opening = job.ask(say(Next(Phase.BUSY, [NextEvent("inserted")])))
        await job.tell("waiting")
        await opening
        await do(job, Keep())
        assert [line for line in log if line.startswith("BUSY: ")][:3] == [
            "BUSY: inserted",
            "BUSY: from entry",
            "BUSY: waiting",
        ]


# --- seen from outside ----------------------------------------------------------------------------


@pytest.mark.virtual_time
async def test_rule_17_transitions_are_published() -> None:
    """Each is a record of who, which machine, from, event, to, which message, and how long it was there."""
    async with ActorSystem() as system, system.events(Transition) as events:
        job = await system.spawn(Job, name="job")
        await anyio.sleep(3.0)
        await do(job, Next(event=Step.BEGIN))
        records: list[Transition] = []
        while (record := events.receive_nowait()) is not None:
            if record.machine == "job":
                records.append(record)
        started, begun = records
        assert (started.event, started.target) == ("init", "IDLE")
        assert (begun.path, begun.name, begun.source, begun.event, begun.target) == (
            "job",
            "job",
            "IDLE",
            "begin",
            "BUSY",
        )
        assert begun.elapsed == 3.0
        assert begun.message_id > 0


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_rule_17_the_log_of_a_machine_is_kept_as_a_golden_file(backend: str) -> None:
    """The lines that the log shows are those of the file."""

    async def main() -> list[str]:
        async with ActorSystem() as system:
            with record_transitions(system) as lines:
                job = await system.spawn(Job, name="Job")
                for step in (Step.BEGIN, Step.REPEAT, Step.FINISH, Step.RESET, Step.BEGIN, Step.RESET):
                    await do(job, Next(event=step))
            return lines

    assert_golden(VirtualClock(backend).run(main), GOLDEN / "job.txt")


async def test_a_machine_may_have_a_task_of_its_own() -> None:
    """`dedicated` and postponing go together."""

    class Own(Job):
        options = ChildOptions(dedicated=True)

    async with ActorSystem() as system:
        own = await system.spawn(Own)
        ask = own.ask(act(lambda self: Postpone() if self.state is Phase.IDLE else "back"))
        await do(own, Next(Phase.BUSY))
        assert await ask == "back"
