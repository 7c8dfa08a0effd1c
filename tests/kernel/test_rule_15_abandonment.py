"""Rule 15, the last step of the ladder: what swallows its cancellation is abandoned, and nobody waits for it.

Such code spins, so these tests run in real time, with a short grace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed, ActorStopped, StartFailed, Unresponsive
from tinyllm_actors.kernel import (
    BRUTAL_KILL,
    Actor,
    ActorSystem,
    ChildFailed,
    ChildRestarted,
    Directive,
    ExitKind,
    Strategy,
    Supervisor,
    Unanswered,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tinyllm_actors.kernel import ExitReason

    Settled = Callable[[], Awaitable[None]]

pytestmark = pytest.mark.anyio

GRACE = 0.02


async def swallow() -> None:
    """Never end, whoever asks."""
    while True:
        try:
            await anyio.sleep(1000)
        except anyio.get_cancelled_exc_class():
            continue


class Stubborn(Actor):
    """Swallows its cancellation wherever it is told to."""

    def __init__(self, *where: str) -> None:
        self.where = where
        self.gate = anyio.Event()

    async def started(self) -> None:
        if "started" in self.where and self.context.incarnation > 1:
            await swallow()

    async def receive(self, message: str) -> str:
        if message == "crash":
            raise LookupError
        if message == "task":
            self.context.start_task(swallow)
        if message == "shielded":
            with anyio.CancelScope(shield=True):
                await self.gate.wait()
        if message == "hang":
            await swallow()
        return message

    async def stopped(self, reason: ExitReason) -> None:
        if "stopped" in self.where:
            await swallow()


def _spec(*where: str) -> Any:
    return Stubborn.spec(*where).with_options(shutdown=GRACE)


@pytest.mark.parametrize("what", ["hang", "task"])
async def test_rule_15_a_stop_abandons_what_does_not_end(what: str, settled: Settled) -> None:
    """A handler or a task that swallows its cancellation is reported, and the stop returns."""
    async with ActorSystem(grace=GRACE) as system, system.events(Unanswered) as events:
        ref = await system.spawn(_spec())
        await ref.tell(what)
        await settled()
        assert (await ref.stop()).kind is ExitKind.STOPPED
        event = await events.receive()
        assert (event.path, event.waited) == (ref.path, GRACE)


async def test_rule_15_a_stopped_hook_that_does_not_end_is_abandoned() -> None:
    """Clean-up is timed: after `shutdown` it is cancelled, after `grace` it is given up."""
    async with ActorSystem(grace=GRACE) as system, system.events(Unanswered, ChildFailed) as events:
        ref = await system.spawn(_spec("stopped"))
        await ref.stop()
        assert isinstance(await events.receive(), Unanswered)
        assert isinstance((await events.receive()).cause, Unresponsive)


async def test_rule_15_a_restart_does_not_wait_for_what_does_not_end(settled: Settled) -> None:
    """A sibling that cannot be stopped for a restart is abandoned, and its next incarnation works."""
    config = Supervisor(strategy=Strategy.ONE_FOR_ALL, backoff=None)
    async with ActorSystem(grace=GRACE) as system, system.events(ChildRestarted) as events:
        await system.supervise(config, [_spec().named("a"), _spec().named("b")], name="s")
        a, b = system["s/a"], system["s/b"]
        hanging = b.ask("hang")
        await settled()
        await a.tell("crash")
        assert [(await events.receive()).path for _ in range(2)] == ["s/a", "s/b"]
        with pytest.raises(Unresponsive):
            await hanging
        assert await b.ask("hello") == "hello"


async def test_rule_15_a_shield_does_not_hold_up_a_supervisor(settled: Settled) -> None:
    """A handler inside a shield is given up like any other, though on trio its task lives on until the shield ends."""
    async with ActorSystem(grace=GRACE) as system:
        ref = await system.spawn(_spec())
        actor: Any = ref.cell.actor
        asked = ref.ask("shielded")
        await settled()
        try:
            with anyio.fail_after(30):
                await ref.stop()
                with pytest.raises(Unresponsive):
                    await asked
        finally:
            actor.gate.set()


async def test_rule_15_leaving_the_system_does_not_wait_for_what_does_not_end(settled: Settled) -> None:
    """A system with handlers, tasks, starts and clean-ups that never end is left, in bounded time."""
    began = anyio.current_time()
    async with ActorSystem(grace=GRACE, shutdown_timeout=0.1) as system:
        for message in ("hang", "task"):
            ref = await system.spawn(_spec("stopped"))
            await ref.tell(message)
        ref = await system.spawn(_spec("started"))
        await ref.tell("crash")
        last = await system.spawn(Stubborn.spec().with_options(shutdown=1000.0))
        await last.tell("hang")
        await settled()
    assert anyio.current_time() - began < 5
    assert not last.alive


async def test_rule_15_a_shutdown_that_is_broken_off_cancels_tasks_too(settled: Settled) -> None:
    """When the time for the shutdown is over, tasks of actors that it had not come to are cancelled."""
    cancelled = False

    async def wait() -> None:
        nonlocal cancelled
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            cancelled = True
            raise

    class Owner(Actor):
        async def started(self) -> None:
            self.context.start_task(wait)

    async with ActorSystem(grace=GRACE, shutdown_timeout=0.02) as system:
        await system.spawn(Owner)
        last = await system.spawn(Stubborn.spec().with_options(shutdown=1000.0))
        await last.tell("hang")
        await settled()
    assert cancelled


@pytest.mark.parametrize("where", ["handler", "hook"])
async def test_rule_15_a_kill_overtakes_a_slow_stop(where: str, settled: Settled) -> None:
    """An actor that takes its time to stop is killed in the middle of it."""

    class Slow(Actor):
        async def receive(self, message: str) -> None:
            await anyio.sleep_forever()

        async def stopped(self, reason: ExitReason) -> None:
            if where == "hook":
                await anyio.sleep_forever()

    async with ActorSystem() as system, anyio.create_task_group() as group:
        ref = await system.spawn(Slow.spec().with_options(shutdown=1000.0))
        if where == "handler":
            await ref.tell("wait")
            await settled()
        group.start_soon(ref.stop)
        await settled()
        assert ref.state == "STOPPING"
        with anyio.fail_after(30):
            await ref.kill()


async def test_rule_15_a_kill_overtakes_a_slow_restart(settled: Settled) -> None:
    """An actor whose `stopped()` takes for ever during a restart can be killed."""

    class Slow(Stubborn):
        async def stopped(self, reason: ExitReason) -> None:
            await anyio.sleep_forever()

    async with ActorSystem(supervisor=Supervisor(backoff=None)) as system:
        ref = await system.spawn(Slow.spec().with_options(shutdown=1000.0))
        await ref.tell("crash")
        await settled()
        assert ref.state == "RESTARTING"
        with anyio.fail_after(30):
            assert (await ref.kill()).kind is ExitKind.KILLED


@pytest.mark.virtual_time
async def test_rule_15_an_explicit_timeout_is_the_one_that_counts() -> None:
    """`stop(timeout=…)` may give more time than the spec, and less."""

    class Slow(Actor):
        async def receive(self, message: float) -> str:
            await anyio.sleep(message)
            return "finished"

    async with ActorSystem() as system:
        for shutdown, timeout, outcome in ((0.01, 5.0, "finished"), (5.0, 0.01, ActorStopped)):
            ref = await system.spawn(Slow.spec().with_options(shutdown=shutdown))
            asked = ref.ask(0.1)
            await anyio.lowlevel.checkpoint()
            async with anyio.create_task_group() as group:
                group.start_soon(ref.stop, timeout)
            if outcome == "finished":
                assert await asked == outcome
            else:
                with pytest.raises(ActorStopped):
                    await asked


@pytest.mark.parametrize("whom", ["itself", "its parent"])
@pytest.mark.parametrize("how", ["stop", "kill"])
async def test_rule_15_an_actor_may_end_itself_and_its_parents(how: str, whom: str) -> None:
    """A handler that stops its own actor, or one above it, goes on to its end; a kill cancels it where it waits."""
    log: list[str] = []

    class Child(Actor):
        async def receive(self, message: Any) -> None:
            reason = await getattr(message, how)()
            log.append(f"went on: {reason}")
            await anyio.lowlevel.checkpoint()
            log.append("went on to the end")

    class Parent(Actor):
        async def started(self) -> None:
            self.child = await self.context.spawn(Child, name="child")

    async with ActorSystem() as system:
        parent = await system.spawn(Parent, name="parent")
        child = system["parent/child"]
        end = child if whom == "itself" else parent
        await child.tell(end)
        await end.join()
    assert log[0] == ("went on: stopped" if how == "stop" else "went on: killed")
    if how == "stop" or whom == "its parent":  # a kill of the parent stops its children in order
        assert log[1:] == ["went on to the end"]


async def test_rule_15_a_child_that_fails_while_its_supervisor_stops_is_not_restarted(settled: Settled) -> None:
    """Neither a restart nor an escalation comes out of a shutdown."""

    class Failing(Stubborn):
        async def receive(self, message: str) -> str:
            entered.set()
            await release.wait()
            raise LookupError

    for directive in (Directive.RESTART, Directive.ESCALATE):
        entered, release = anyio.Event(), anyio.Event()
        config = Supervisor(backoff=None, decider=lambda _, directive=directive: directive)
        async with ActorSystem() as system, system.events(ChildRestarted) as events, anyio.create_task_group() as group:
            specs = [Failing.spec().named("a").with_options(shutdown=5.0), Stubborn.spec().named("b")]
            top = await system.supervise(config, specs, name="s")
            asked = system["s/a"].ask("go")
            slow: Any = system["s/b"].cell.actor
            await entered.wait()
            await system["s/b"].tell("shielded")
            await settled()
            group.start_soon(top.stop)
            await settled()
            release.set()
            with pytest.raises(ActorFailed):
                await asked
            slow.gate.set()
            assert (await top.join()).kind is ExitKind.STOPPED
            assert events.receive_nowait() is None


async def test_rule_15_stopping_a_supervisor_that_starts_stops_what_it_has_started(settled: Settled) -> None:
    """A tree that is stopped half way up comes down again, and the spawner is told."""
    log: list[str] = []

    class Part(Actor):
        def __init__(self, name: str) -> None:
            self.name = name

        async def started(self) -> None:
            log.append(f"+{self.name}")
            if self.name == "slow":
                await anyio.sleep_forever()

        async def stopped(self, reason: ExitReason) -> None:
            log.append(f"-{self.name}")

    async with ActorSystem() as system, anyio.create_task_group() as group:

        async def supervise() -> None:
            specs = [Part.spec(name).named(name).with_options(shutdown=BRUTAL_KILL) for name in ("slow", "late")]
            first = Part.spec("first").named("first")
            with pytest.raises(StartFailed):
                await system.supervise(Supervisor(), [first, *specs], name="s")

        group.start_soon(supervise)
        await settled()
        await system["s"].kill()
        assert log == ["+first", "+slow", "-first"]
