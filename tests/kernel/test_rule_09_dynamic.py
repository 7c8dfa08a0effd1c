"""Rule 9, for supervisors with many children that come and go, and for children that take theirs along."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from tests.kernel.parts import LOG, Part, at_once, crash, parts, restarts
from tinyllm_actors.errors import ChildLimitExceeded
from tinyllm_actors.kernel import (
    ActorSystem,
    ChildRestarted,
    DynamicSupervisor,
    ExitKind,
    Restart,
    Strategy,
)

if TYPE_CHECKING:
    from tinyllm_actors.kernel import ExitReason


pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _fresh_log() -> None:
    LOG.clear()


async def test_rule_09_a_dynamic_supervisor_bounds_its_children() -> None:
    """`max_children` refuses one too many with a typed error, and counts those that live now."""
    async with ActorSystem() as system:
        pool = await system.supervise(DynamicSupervisor(max_children=2), parts("a"), name="pool")
        b = await pool.spawn(Part, name="b")
        with pytest.raises(ChildLimitExceeded, match=r"'pool'.*2") as caught:
            await pool.spawn(Part, name="c")
        assert caught.value.max_children == 2
        await b.stop()
        c = await pool.spawn(Part, name="c")
        assert c.path == "pool/c"
        assert [child.name for child in pool.children] == ["a", "c"]


@pytest.mark.virtual_time
async def test_rule_09_a_dynamic_supervisor_stops_its_children_together() -> None:
    """Ten children that each take a second to stop are gone after one second, not after ten."""

    class Slow(Part):
        async def stopped(self, reason: ExitReason) -> None:
            await anyio.sleep(1)

    async with ActorSystem() as system:
        pool = await system.supervise(DynamicSupervisor(), [], name="pool")
        for _ in range(10):
            await pool.spawn(Slow)
        began = anyio.current_time()
        await pool.stop()
        assert anyio.current_time() - began == pytest.approx(1)


async def test_rule_09_a_restarted_dynamic_supervisor_begins_without_its_guests() -> None:
    """Children that came later end with the incarnation of a dynamic supervisor; those of its specs start again."""
    async with ActorSystem(supervisor=at_once(Strategy.ONE_FOR_ONE)) as system, system.events(ChildRestarted) as e:
        pool = await system.supervise(DynamicSupervisor(max_restarts=0), parts("a"), name="pool")
        guest = await pool.spawn(Part, name="guest")
        await guest.tell(crash)
        assert await restarts(e, 1) == ["pool"]
        assert not guest.alive
        assert [child.name for child in pool.children] == ["a"]


@pytest.mark.parametrize(
    ("auto_shutdown", "leavers", "ends"),
    [("never", ["a", "b"], False), ("any", ["a"], True), ("all", ["a"], False), ("all", ["a", "b"], True)],
)
async def test_rule_09_significant_children_take_their_supervisor_along(
    auto_shutdown: str, leavers: list[str], ends: bool
) -> None:
    """A supervisor stops when any, or all, of its significant children have ended by themselves."""

    async def leave(part: Part) -> None:
        part.context.stop()

    specs = [*parts("a", "b", restart=Restart.TRANSIENT, significant=True), *parts("c")]
    async with ActorSystem() as system:
        s = await system.supervise(at_once(Strategy.ONE_FOR_ONE, auto_shutdown=auto_shutdown), specs, name="s")
        for name in leavers:
            ref = system[f"s/{name}"]
            await ref.tell(leave)
            await ref.join()
        if ends:
            assert (await s.join()).kind is ExitKind.SHUTDOWN
            assert "-c" in LOG
        else:
            assert await system["s/c"].ask("incarnation") == 1


async def test_rule_09_stopping_a_significant_child_does_not_take_its_supervisor_along() -> None:
    """Only an end of its own counts; one that somebody ordered does not."""
    specs = [*parts("a", restart=Restart.TRANSIENT, significant=True), *parts("c")]
    async with ActorSystem() as system:
        await system.supervise(at_once(Strategy.ONE_FOR_ONE, auto_shutdown="any"), specs, name="s")
        await system["s/a"].stop()
        assert await system["s/c"].ask("incarnation") == 1
