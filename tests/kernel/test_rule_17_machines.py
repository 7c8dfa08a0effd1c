"""Rules 17 and 18: machines are tables, an illegal transition is a failure, and moves are logged and published."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from tinyllm_actors import Function
from tinyllm_actors.errors import ActorFailed, InvalidTransition
from tinyllm_actors.function import FUNCTION, Call, Step
from tinyllm_actors.kernel import LIFECYCLE, Actor, ActorSystem, Lifecycle, Machine, Supervisor, Transition
from tinyllm_actors.kernel.lifecycle import Event

pytestmark = pytest.mark.anyio


class Confused(Function):
    """Takes a step that its table does not have."""

    async def run(self, **_: Any) -> None:
        self._step(Step.CLOSE)


@pytest.mark.parametrize("machine", [LIFECYCLE, FUNCTION], ids=["lifecycle", "function"])
def test_rule_17_each_edge_leads_where_the_table_says(machine: Machine[Any, Any]) -> None:
    """Every pair in the table is taken, and every pair that is not is refused with both names."""
    events = {event for _, event in machine.edges}
    for state in machine.states():
        for event in events:
            if (state, event) in machine.edges:
                assert machine.step("somebody", state, event) is machine.edges[state, event]
            else:
                with pytest.raises(InvalidTransition) as caught:
                    machine.step("somebody", state, event)
                assert (caught.value.path, caught.value.state, caught.value.event) == ("somebody", state, event)
                assert str(state) in str(caught.value)


@pytest.mark.parametrize("machine", [LIFECYCLE, FUNCTION], ids=["lifecycle", "function"])
def test_rule_17_a_machine_is_drawn_from_its_table(machine: Machine[Any, Any]) -> None:
    """The drawing has one line for each edge."""
    drawing = machine.mermaid()
    for (source, event), target in machine.edges.items():
        assert f"    {source} --> {target}: {event}" in drawing
    assert drawing.count("-->") == len(machine.edges) + 1


def test_rule_18_every_state_of_a_life_leads_to_its_end() -> None:
    """From each state the actor can be stopped, and STOPPED is final."""
    for state in Lifecycle:
        if state not in {Lifecycle.STOPPING, Lifecycle.STOPPED}:
            assert LIFECYCLE.edges[state, Event.STOP] is Lifecycle.STOPPING
    assert not any(source is Lifecycle.STOPPED for source, _ in LIFECYCLE.edges)


async def test_rule_17_an_illegal_transition_is_a_failure_of_the_actor() -> None:
    """It crashes, its supervisor restarts it, and nothing is swallowed."""
    async with ActorSystem("test", supervisor=Supervisor(backoff=None)) as system:
        ref = await system.spawn(Confused)
        result = await ref()
        assert result["error"]["type"] == "InvalidTransition"
        with pytest.raises(ActorFailed):
            await ref.ask(Call({}))
        await anyio.wait_all_tasks_blocked()
        assert system.inspect().children[0].incarnation == 3


async def test_rule_17_transitions_are_records() -> None:
    """Whoever subscribes gets who, which machine, from, event, to and the message."""
    async with ActorSystem("test") as system, system.events(Transition) as events:
        ref = await system.spawn(Actor, name="one")
        await ref.stop()
        moves: list[Any] = []
        while (event := events.receive_nowait()) is not None:
            moves.append((event.path, event.machine, event.source, event.event, event.target))
    assert moves == [
        ("one", "lifecycle", "NEW", "start", "STARTING"),
        ("one", "lifecycle", "STARTING", "started", "RUNNING"),
        ("one", "lifecycle", "RUNNING", "stop", "STOPPING"),
        ("one", "lifecycle", "STOPPING", "stopped", "STOPPED"),
    ]


async def test_rule_17_transitions_are_logged() -> None:
    """One structlog event each, in the words of the trace, with the fields beside it."""

    class Echo(Function):
        async def run(self, text: str) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
            return text

    with capture_logs() as logs:
        async with ActorSystem("test", log_transitions=True) as system:
            ref = await system.spawn(Echo, name="echo")
            await ref(text="hello")
    lines = [entry for entry in logs if entry.get("machine") == "function"]
    assert [entry["event"].partition(":")[0] for entry in lines] == ["[Echo] transition to"] * len(lines)
    assert [entry["target"] for entry in lines][:3] == ["INIT", "INPUT_VALIDATION", "RUNNING"]
    assert {entry["log_level"] for entry in lines} == {"info"}
    assert {entry["log_level"] for entry in logs if entry.get("machine") == "lifecycle"} == {"debug"}
    assert all(entry["actor"] == "echo" for entry in lines)
    assert lines[1]["message_id"] > 0


async def test_rule_17_a_log_that_cannot_be_written_harms_nobody() -> None:
    """A sink that raises is counted; the actor goes on."""
    import structlog

    def refuse(*_: Any) -> Any:
        raise OSError("disk full")

    structlog.configure(processors=[refuse])
    try:
        async with ActorSystem("test", log_transitions=True) as system:
            ref = await system.spawn(Actor)
            await anyio.lowlevel.checkpoint()
            assert ref.alive
            assert system.events_stream.log_failures > 0
    finally:
        structlog.reset_defaults()
