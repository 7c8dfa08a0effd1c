"""State machines as actors (rule 17): time-outs and inserted events."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.kernel.jobs import Job, Phase, Step, act, do, say
from tinyllm_actors.errors import ActorFailed
from tinyllm_actors.kernel import (
    ActorSystem,
    CancelTimeout,
    Keep,
    NamedTimeout,
    Next,
    NextEvent,
    Postpone,
    StateTimeout,
    Supervisor,
)

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.anyio

PATIENT = Supervisor(max_restarts=100, backoff=None)


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
