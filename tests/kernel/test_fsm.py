"""State machines as actors (rule 17): the table, entries, answers, and what is seen from outside."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest

from tests.kernel.jobs import JOB, Job, Phase, Step, act, do, log_of
from tinyllm_actors.errors import ActorFailed, InvalidTransition
from tinyllm_actors.kernel import (
    ActorSystem,
    ChildOptions,
    InFlight,
    Keep,
    Machine,
    NamedTimeout,
    Next,
    NextEvent,
    Postpone,
    Reply,
    StateMachineActor,
    Supervisor,
    Transition,
)
from tinyllm_actors.testing import TestKit, VirtualClock, assert_golden, record_transitions

if TYPE_CHECKING:
    from tinyllm_actors.kernel import ReplyTo

pytestmark = pytest.mark.anyio

PATIENT = Supervisor(max_restarts=100, backoff=None)
GOLDEN = Path(__file__).parent.parent / "golden"


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
