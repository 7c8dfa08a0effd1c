"""Rule 18: the lifecycle is a machine like any other, and an actor goes along its edges and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import InvalidTransition, StartFailed
from tinyllm_actors.kernel import LIFECYCLE, Actor, ActorSystem, Lifecycle, Machine, Strategy, Supervisor, Transition
from tinyllm_actors.kernel.lifecycle import Event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Settled = Callable[[], Awaitable[None]]
    Route = Callable[[ActorSystem, Settled], Awaitable[None]]

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

TOLERANT = Supervisor(backoff=None, max_restarts=100)


class Worker(Actor):
    """Crashes on demand; starts slowly where it is told to."""

    gate: anyio.Event | None = None

    async def started(self) -> None:
        if self.gate is not None and (self.context.incarnation > 1 or self.context.name == "first"):
            await self.gate.wait()

    async def receive(self, message: str) -> Any:
        if message == "crash":
            raise LookupError
        return message


class Fragile(Worker):
    """Cannot start again, once."""

    async def started(self) -> None:
        if self.context.incarnation == 2:
            raise ConnectionError


async def _asleep(ref: Any) -> None:
    with anyio.fail_after(5):
        while ref.state is not Lifecycle.PASSIVE:  # noqa: ASYNC110 - what there is to wait for is the thing under test
            await anyio.sleep(0.001)


async def _passive(system: ActorSystem) -> Any:
    ref = await system.spawn(Worker.spec().with_options(passivate_after=0.001))
    await _asleep(ref)
    return ref


async def _run_and_stop(system: ActorSystem, settled: Settled) -> None:
    ref = await system.spawn(Worker)
    await ref.stop()


async def _crash(system: ActorSystem, settled: Settled) -> None:
    ref = await system.spawn(Worker)
    await ref.tell("crash")
    await ref.ask("next")


async def _failed_restart(system: ActorSystem, settled: Settled) -> None:
    ref = await system.spawn(Fragile)
    await ref.tell("crash")
    await ref.ask("next")


async def _suspend(system: ActorSystem, settled: Settled) -> None:
    ref = await system.spawn(Worker)
    await ref.suspend()
    await ref.resume()
    await ref.suspend()
    await ref.stop()


async def _restart_while_suspended(system: ActorSystem, settled: Settled) -> None:
    config = Supervisor(strategy=Strategy.ONE_FOR_ALL, backoff=None)
    await system.supervise(config, [Worker.spec().named("a"), Worker.spec().named("b")], name="s")
    await system["s/a"].suspend()
    await system["s/b"].tell("crash")
    await system["s/a"].ask("next")


async def _thaw(system: ActorSystem, settled: Settled) -> None:
    ref = await _passive(system)
    await ref.ask("next")


async def _stop_while_passive(system: ActorSystem, settled: Settled) -> None:
    ref = await _passive(system)
    await ref.stop()


async def _restart_while_passive(system: ActorSystem, settled: Settled) -> None:
    config = Supervisor(strategy=Strategy.ONE_FOR_ALL, backoff=None)
    idle = Worker.spec().named("a").with_options(passivate_after=0.001)
    await system.supervise(config, [idle, Worker.spec().named("b")], name="s")
    await _asleep(system["s/a"])
    await system["s/b"].tell("crash")
    await settled()
    await system["s/a"].ask("next")


async def _stop_while_starting(system: ActorSystem, settled: Settled) -> None:
    Worker.gate = anyio.Event()
    async with anyio.create_task_group() as group:

        async def spawn() -> None:
            with pytest.raises(StartFailed):
                await system.spawn(Worker, name="first")

        group.start_soon(spawn)
        await settled()
        await system["first"].kill()
    Worker.gate = None


async def _stop_while_restarting(system: ActorSystem, settled: Settled) -> None:
    class Slow(Worker):
        async def stopped(self, reason: Any) -> None:
            await release.wait()

    release = anyio.Event()
    ref = await system.spawn(Slow)
    await ref.tell("crash")
    await settled()
    async with anyio.create_task_group() as group:
        group.start_soon(ref.stop)
        await settled()
        release.set()


ROUTES: dict[str, Route] = {
    route.__name__: route
    for route in (
        _run_and_stop,
        _crash,
        _failed_restart,
        _suspend,
        _restart_while_suspended,
        _thaw,
        _stop_while_passive,
        _restart_while_passive,
        _stop_while_starting,
        _stop_while_restarting,
    )
}

NOT_TAKEN = {
    # A cell is new for no longer than a function call; the edge is for whoever would stop it there.
    (Lifecycle.NEW, "stop"),
}


async def test_rule_18_every_edge_of_the_lifecycle_is_taken_and_no_other(settled: Settled) -> None:
    """Along these routes actors take each edge of the table, always from where they were."""
    taken: set[tuple[str, str]] = set()
    for route in ROUTES.values():
        async with (
            ActorSystem(supervisor=TOLERANT) as system,
            system.events(Transition, buffer=10_000) as events,
        ):
            await route(system, settled)
            await settled()
            where: dict[str, str] = {}
            while (event := events.receive_nowait()) is not None:
                assert event.machine == "lifecycle"
                assert event.source == where.get(event.path, Lifecycle.NEW)
                assert LIFECYCLE.edges[event.source, event.event] == event.target
                where[event.path] = event.target
                taken.add((event.source, event.event))
                if event.target == Lifecycle.STOPPED:
                    del where[event.path]  # the name may be used again
    assert taken == set(LIFECYCLE.edges) - NOT_TAKEN


async def _states_of_a_life(system: ActorSystem) -> list[str]:
    class Seen(Actor):
        def __init__(self) -> None:
            look()

        async def receive(self, message: object) -> None:
            look()

    def look() -> None:
        states.append(system.inspect("seen").state)

    states: list[str] = []
    ref = await system.spawn(Seen, name="seen")
    look()
    await ref.ask("look")
    await ref.stop()
    return [*states, ref.state.value]


async def test_rule_18_a_life_that_nobody_listens_to_is_no_other() -> None:
    """From its constructor to its end an actor is seen in the same states, whether its moves are published or not."""
    async with ActorSystem(log_transitions=False) as system:
        unheard = await _states_of_a_life(system)
        async with system.events(Transition) as events:
            assert await _states_of_a_life(system) == unheard == ["STARTING", "RUNNING", "RUNNING", "STOPPED"]
            moves = [await events.receive() for _ in range(4)]
    assert [(move.source, move.target) for move in moves] == [
        ("NEW", "STARTING"),
        ("STARTING", "RUNNING"),
        ("RUNNING", "STOPPING"),
        ("STOPPING", "STOPPED"),
    ]


def test_rule_18_the_lifecycle_is_a_machine() -> None:
    """It is an instance of the engine that users have, and draws itself."""
    assert isinstance(LIFECYCLE, Machine)
    assert set(LIFECYCLE.states()) == set(Lifecycle)
    assert "RUNNING --> SUSPENDED: suspend" in LIFECYCLE.mermaid()
    with pytest.raises(Exception, match=r"'x'.*resume.*RUNNING"):
        LIFECYCLE.step("x", Lifecycle.RUNNING, "resume")  # pyright: ignore[reportArgumentType] - a word is enough


async def test_rule_18_stopping_while_it_falls_asleep_or_wakes_up(settled: Settled) -> None:
    """A stop that meets a passivation or a thaw wins, and the message that woke it is accounted for."""

    class Sleepy(Worker):
        async def stopped(self, reason: Any) -> None:
            await release.wait()

    release = anyio.Event()
    async with ActorSystem() as system:
        ref = await system.spawn(Sleepy.spec().with_options(passivate_after=0.001))
        await _asleep(ref)
        async with anyio.create_task_group() as group:
            group.start_soon(ref.stop)
            await settled()
            release.set()
        assert not ref.alive
        ref = await _passive(system)
        await ref.tell("wake up")
        await ref.stop()
        assert [letter.message for letter in system.dead_letters] == ["wake up"]


async def test_rule_18_a_message_during_passivation_starts_the_next_incarnation(settled: Settled) -> None:
    """What comes while an actor falls asleep is answered by the one that wakes."""

    class Sleepy(Worker):
        async def receive(self, message: str) -> Any:
            return self.context.incarnation

        async def stopped(self, reason: Any) -> None:
            await release.wait()

    release = anyio.Event()
    async with ActorSystem() as system:
        ref = await system.spawn(Sleepy.spec().with_options(passivate_after=0.001))
        await _asleep(ref)
        asked = ref.ask("hello")
        release.set()
        assert await asked == 2


async def test_rule_18_an_illegal_move_of_an_actor_is_refused() -> None:
    """The error names actor, state and event; nothing has moved, and the actor goes on."""
    async with ActorSystem() as system:
        ref = await system.spawn(Actor, name="a")
        with pytest.raises(InvalidTransition, match=r"'?a'?.*resume.*RUNNING"):
            ref.cell.transition(Event.RESUME)
        assert ref.state is Lifecycle.RUNNING
        await ref.suspend()
        assert ref.state is Lifecycle.SUSPENDED
