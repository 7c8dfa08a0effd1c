"""OTP `supervisor_SUITE`, the group `significant`: supervisors that end when their work is done.

| Case of OTP | Here |
|---|---|
| nonsignificant_temporary, nonsignificant_transient | `test_the_end_of_others_does_not_matter` |
| significant_temporary, significant_transient (any) | `test_any_significant_child_ends_it` |
| significant_temporary, significant_transient (all) | `test_the_last_significant_child_ends_it` |
| both, "terminated via the supervisor" | `test_a_child_that_was_stopped_does_not_end_it` |
| significant_bystander | `test_bystanders_do_not_end_it` |
| significant_escalation | `test_it_counts_as_an_end_of_the_supervisors_own` |

Do not apply:

- significant_upgrade_* (seven cases): there is no hot code loading.
- significant_simple: OTP refuses automatic shutdown for a simple_one_for_one supervisor, which has one spec for all
  its children; a `DynamicSupervisor` takes different ones, so it may have significant children
  (`test_a_dynamic_supervisor_may_have_significant_children`).

Differences, on purpose: a supervisor that ended in this way stays away even if it is permanent, which OTP restarts and
advises against; a significant child under `auto_shutdown="never"` is no error, and has no effect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tinyllm_actors.kernel import (
    ActorSystem,
    ChildRestarted,
    DynamicSupervisor,
    ExitKind,
    Restart,
    Strategy,
    Supervisor,
)
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    from tinyllm_actors.kernel import ActorRef, ChildSpec

pytestmark = pytest.mark.anyio

MODES = ["never", "any", "all"]


def _child(name: str, restart: Restart, *, significant: bool = True) -> ChildSpec:
    return Puppet.spec().named(name).with_options(restart=restart, significant=significant)


def _leave(self: Puppet) -> None:
    self.context.stop()


def _fail(_: object) -> None:
    raise LookupError("boom")


async def _end(child: ActorRef, how: str) -> None:
    """End a child for good, or let it fail."""
    if how == "leave":
        await Puppet.tell(child, _leave)
    elif how == "fail":
        await Puppet.tell(child, _fail)
    else:
        await getattr(child, how)()


async def _goes_on(supervisor: ActorRef) -> bool:
    """Whether a supervisor is alive once what was about to happen has."""
    probe = await supervisor.cell.system.spawn(Puppet)
    await Puppet.do(probe, lambda _: None)
    await probe.stop()
    return supervisor.alive


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("how", ["leave", "fail", "stop", "kill"])
@pytest.mark.parametrize("restart", [Restart.TEMPORARY, Restart.TRANSIENT])
async def test_the_end_of_others_does_not_matter(mode: str, how: str, restart: Restart) -> None:
    """However a child ends that is not significant, its supervisor goes on in every mode."""
    specs = [_child("a", restart, significant=False), _child("b", Restart.TRANSIENT)]
    async with ActorSystem() as system, system.events(ChildRestarted) as events:
        config = Supervisor(auto_shutdown=mode, backoff=None)
        supervisor = await system.supervise(config, specs, name="s")
        a, b = supervisor.children
        await _end(a, how)
        if how == "fail" and restart is Restart.TRANSIENT:
            assert (await events.receive()).path == "s/a"
        else:
            await a.join()
        assert await _goes_on(supervisor)
        assert b.alive


@pytest.mark.parametrize(
    ("restart", "how", "ends"),
    [
        (Restart.TEMPORARY, "leave", True),
        (Restart.TEMPORARY, "fail", True),
        (Restart.TEMPORARY, "kill", True),
        (Restart.TRANSIENT, "leave", True),
        (Restart.TRANSIENT, "fail", False),
    ],
)
@pytest.mark.parametrize("strategy", Strategy)
async def test_any_significant_child_ends_it(restart: Restart, how: str, ends: bool, strategy: Strategy) -> None:
    """When one of them has ended by itself and for good, so does the supervisor, with all others; a restart is none."""
    specs = [_child("a", restart), _child("b", restart), _child("c", restart, significant=False)]
    config = Supervisor(auto_shutdown="any", strategy=strategy, backoff=None)
    async with ActorSystem() as system, system.events(ChildRestarted) as events:
        supervisor = await system.supervise(config, specs, name="s")
        children = supervisor.children
        await _end(children[0], how)
        if ends:
            assert (await supervisor.join()).kind is ExitKind.SHUTDOWN
            assert not any(child.alive for child in children)
        else:
            assert (await events.receive()).path == "s/a"
            assert await _goes_on(supervisor)


@pytest.mark.parametrize("restart", [Restart.TEMPORARY, Restart.TRANSIENT])
async def test_the_last_significant_child_ends_it(restart: Restart) -> None:
    """Under `all` the first of two to leave changes nothing; the second ends the supervisor and what is left."""
    specs = [_child("a", restart), _child("b", restart), _child("c", restart, significant=False)]
    async with ActorSystem() as system:
        supervisor = await system.supervise(Supervisor(auto_shutdown="all"), specs, name="s")
        a, b, c = supervisor.children
        await _end(a, "leave")
        await a.join()
        assert await _goes_on(supervisor)
        await _end(b, "leave")
        assert (await supervisor.join()).kind is ExitKind.SHUTDOWN
        assert not c.alive


@pytest.mark.parametrize("mode", ["any", "all"])
@pytest.mark.parametrize("restart", [Restart.TEMPORARY, Restart.TRANSIENT])
async def test_a_child_that_was_stopped_does_not_end_it(mode: str, restart: Restart) -> None:
    """A stop that somebody ordered is no end of the child's own, and a new child in its place is as significant."""
    async with ActorSystem() as system:
        supervisor = await system.supervise(Supervisor(auto_shutdown=mode), [_child("a", restart)], name="s")
        await _end(system["s/a"], "stop")
        assert await _goes_on(supervisor)
        again = await supervisor.spawn(_child("a", restart))
        await _end(again, "leave")
        assert (await supervisor.join()).kind is ExitKind.SHUTDOWN


@pytest.mark.parametrize("mode", ["any", "all"])
@pytest.mark.parametrize("strategy", Strategy)
@pytest.mark.parametrize("restart", [Restart.TEMPORARY, Restart.TRANSIENT])
async def test_bystanders_do_not_end_it(mode: str, strategy: Strategy, restart: Restart) -> None:
    """Significant children that the failure of a sibling stops have not ended by themselves."""
    specs = [_child("a", restart), _child("b", Restart.PERMANENT, significant=False), _child("c", restart)]
    async with ActorSystem() as system, system.events(ChildRestarted) as events:
        config = Supervisor(auto_shutdown=mode, strategy=strategy, backoff=None)
        supervisor = await system.supervise(config, specs, name="s")
        await Puppet.tell(system["s/b"], _fail)
        while (await events.receive()).path != "s/b":
            pass
        if restart is Restart.TRANSIENT and strategy is not Strategy.ONE_FOR_ONE:
            assert (await events.receive()).path == "s/c"
        assert await _goes_on(supervisor)


@pytest.mark.parametrize("significant", [True, False])
@pytest.mark.parametrize("restart", [Restart.TEMPORARY, Restart.TRANSIENT])
async def test_it_counts_as_an_end_of_the_supervisors_own(significant: bool, restart: Restart) -> None:
    """A supervisor that stops because its work is done is done itself: the one above follows if it is significant."""
    config = Supervisor(auto_shutdown="any")
    inner = config.spec([_child("worker", Restart.TRANSIENT)]).named("inner")
    async with ActorSystem() as system:
        inner = inner.with_options(restart=restart, significant=significant)
        outer = await system.supervise(config, [inner, Puppet.spec().named("other")], name="outer")
        done = system["outer/inner"]
        await _end(system["outer/inner/worker"], "leave")
        assert (await done.join()).kind is ExitKind.SHUTDOWN
        if significant:
            assert (await outer.join()).kind is ExitKind.SHUTDOWN
        else:
            assert await _goes_on(outer)
            assert [child.name for child in outer.children] == ["other"]


async def test_a_significant_supervisor_that_was_stopped_does_not_end_the_one_above() -> None:
    """Whoever stops a significant supervisor stops no more than that, though its significant children end with it."""
    config = Supervisor(auto_shutdown="any")
    inner = config.spec([_child("worker", Restart.TRANSIENT)]).named("inner")
    async with ActorSystem() as system:
        inner = inner.with_options(restart=Restart.TRANSIENT, significant=True)
        outer = await system.supervise(config, [inner], name="outer")
        await system["outer/inner"].stop()
        assert await _goes_on(outer)


async def test_a_dynamic_supervisor_may_have_significant_children() -> None:
    """A crew of a leader and helpers goes home with the leader."""
    async with ActorSystem() as system:
        crew = await system.supervise(DynamicSupervisor(auto_shutdown="any"), [], name="crew")
        leader = await crew.spawn(_child("leader", Restart.TEMPORARY))
        helper = await crew.spawn(Puppet)
        await _end(leader, "leave")
        assert (await crew.join()).kind is ExitKind.SHUTDOWN
        assert not helper.alive
