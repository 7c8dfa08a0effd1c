"""OTP `supervisor_SUITE`, the groups about starting and about the administration of children.

| Case of OTP | Here |
|---|---|
| sup_start_normal, sup_start_map, which_children | `test_it_starts_its_children_in_order` |
| sup_start_fail, sup_start_error_return | `test_a_supervisor_whose_own_start_fails_leaves_nothing` |
| sup_start_child_returns_error | `test_a_child_that_does_not_start_is_not_kept` |
| sup_start_child_returns_error_simple | `test_a_dynamic_child_that_does_not_start_is_not_kept` |
| sup_start_restart_child_returns_error | `test_what_was_stopped_may_fail_to_start_again` |
| the first children stop when a later one does not start | `test_a_start_that_fails_midway_stops_those_before` |
| child_adm | `test_children_are_started_stopped_and_started_again` |
| child_adm_simple, which_children_simple_one_for_one | `test_dynamic_children_come_and_go` |
| child_specs, child_specs_map, sup_start_map_faulty_specs | `test_specs_that_cannot_work_are_refused` |
| the same name twice in child_specs | `test_two_specs_of_one_name_are_refused` |
| sup_flags | `test_flags_that_cannot_work_are_refused` |
| already_started_outside_supervisor | `test_a_name_registered_by_another_fails_the_start` |

Do not apply:

- sup_start_ignore_* (seven cases): a start here either succeeds or fails; there is no third outcome `ignore`.
- extra_return: `spawn` returns the reference and nothing beside it.
- `delete_child`, `already_present`: what has ended for good is forgotten with its name, so there is nothing to delete;
  to start it again is to spawn its spec again (`test_children_are_started_stopped_and_started_again`).
- external_start_no_progress_log, format_log_1, format_log_2: the texts of OTP's reports.
- code_change*, get_callback_module: there is no hot code loading.
- `modules` and `type` of a child spec: of use to code loading only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from tinyllm_actors.errors import ActorStopped, NameTaken, StartFailed, UnknownActor
from tinyllm_actors.kernel import (
    ActorSystem,
    ChildOptions,
    DynamicSupervisor,
    ExitKind,
    Restart,
    Strategy,
    Supervisor,
)
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinyllm_actors.kernel import ChildSpec, ExitReason

pytestmark = pytest.mark.anyio

LOG: list[str] = []


class Worker(Puppet):
    def __init__(self, error: Exception | None = None) -> None:
        self._error = error

    async def started(self) -> None:
        if self._error is not None:
            raise self._error
        LOG.append(f"+{self.context.name}")

    async def stopped(self, reason: ExitReason) -> None:
        LOG.append(f"-{self.context.name}: {reason.kind.value}")


@pytest.fixture(autouse=True)
def _fresh_log() -> None:
    LOG.clear()


def _workers(*names: str, error: Exception | None = None) -> list[ChildSpec]:
    return [Worker.spec(error).named(name) for name in names]


async def test_it_starts_its_children_in_order() -> None:
    """A supervisor starts what its specs say, lists it in start order, and ends in good order."""
    async with ActorSystem() as system:
        supervisor = await system.supervise(Supervisor(max_restarts=2, period=3600), [], name="empty")
        assert supervisor.children == []
        assert (await supervisor.stop()).kind is ExitKind.STOPPED

        supervisor = await system.supervise(Supervisor(), _workers("a", "b", "c"), name="full")
        assert [child.name for child in supervisor.children] == ["a", "b", "c"]
        assert system["full/b"] == supervisor.children[1]
        with pytest.raises(UnknownActor, match="'full/x'"):
            system["full/x"]
        await supervisor.stop()
    assert LOG == ["+a", "+b", "+c", "-c: shutdown", "-b: shutdown", "-a: shutdown"]


async def test_a_supervisor_whose_own_start_fails_leaves_nothing() -> None:
    """An actor that supervises others and does not start itself raises where it was spawned, and its name is free."""

    class Boss(Worker):
        supervision = Supervisor()

    async with ActorSystem() as system:
        with pytest.raises(StartFailed, match=r"'boss'.*no boss today") as caught:
            await system.spawn(Boss, RuntimeError("no boss today"), name="boss")
        assert isinstance(caught.value.cause, RuntimeError)
        with pytest.raises(UnknownActor):
            system["boss"]
        assert (await system.spawn(Boss, name="boss")).alive


async def test_a_child_that_does_not_start_is_not_kept() -> None:
    """Starting a child that raises tells whoever starts it, and costs its siblings nothing."""
    async with ActorSystem() as system:
        supervisor = await system.supervise(Supervisor(max_restarts=0), _workers("a"), name="s")
        with pytest.raises(StartFailed, match=r"'s/b'.*out of order") as caught:
            await supervisor.spawn(Worker.spec(OSError("out of order")).named("b"))
        assert isinstance(caught.value.cause, OSError)
        assert [child.name for child in supervisor.children] == ["a"]
        assert LOG == ["+a"]


async def test_a_dynamic_child_that_does_not_start_is_not_kept() -> None:
    """The same of a dynamic supervisor, whose room for children it does not take up either."""
    async with ActorSystem() as system:
        pool = await system.supervise(DynamicSupervisor(max_children=1, max_restarts=0), [], name="pool")
        for _ in range(3):
            with pytest.raises(StartFailed):
                await pool.spawn(Worker, OSError("out of order"))
        assert pool.children == []
        assert (await pool.spawn(Worker)).alive


async def test_what_was_stopped_may_fail_to_start_again() -> None:
    """Spawning the spec of a child that was stopped is a start like the first, and may fail like it."""
    errors: list[Exception | None] = [None, OSError("worn out")]
    async with ActorSystem() as system:
        supervisor = await system.supervise(Supervisor(), [], name="s")
        child = await supervisor.spawn(lambda: Worker(errors.pop(0)), name="a")
        await child.stop()
        with pytest.raises(StartFailed, match="worn out"):
            await supervisor.spawn(lambda: Worker(errors.pop(0)), name="a")
        assert supervisor.children == []


async def test_a_start_that_fails_midway_stops_those_before() -> None:
    """When the third of three children does not start, the first two stop in reverse, and the error names the third."""
    specs = [*_workers("a", "b"), *_workers("c", error=OSError("out of order"))]
    async with ActorSystem() as system:
        with pytest.raises(StartFailed) as caught:
            await system.supervise(Supervisor(), specs, name="s")
        assert isinstance(caught.value.cause, OSError)
        assert [entry.partition(":")[0] for entry in LOG] == ["+a", "+b", "-b", "-a"]
        with pytest.raises(UnknownActor):
            system["s"]


async def test_children_are_started_stopped_and_started_again() -> None:
    """A name is taken while its child lives; a stop, twice if you like, frees it; the same spec starts a new child."""
    (spec,) = _workers("a")
    async with ActorSystem() as system:
        supervisor = await system.supervise(Supervisor(), [spec], name="s")
        first = system["s/a"]
        with pytest.raises(NameTaken, match="'s/a'"):
            await supervisor.spawn(spec)

        assert (await first.stop()).kind is ExitKind.STOPPED
        assert (await first.stop()).kind is ExitKind.STOPPED
        assert supervisor.children == []
        with pytest.raises(UnknownActor):
            system["s/a"]

        second = await supervisor.spawn(spec)
        assert second == system["s/a"] != first
        assert [child.name for child in supervisor.children] == ["a"]
        with pytest.raises(ActorStopped):
            await Puppet.do(first, lambda self: self.context.name)

        await supervisor.stop()
        with pytest.raises(ActorStopped, match="'s'"):
            await supervisor.spawn(spec)


async def test_dynamic_children_come_and_go() -> None:
    """Each child of a dynamic supervisor is stopped by its own reference; others are not touched."""
    async with ActorSystem() as system:
        pool = await system.supervise(DynamicSupervisor(), [], name="pool")
        stranger = await system.spawn(Worker, name="stranger")
        first, second = await pool.spawn(Worker), await pool.spawn(Worker)
        assert pool.children == [first, second]
        await first.stop()
        await first.stop()
        assert pool.children == [second]
        assert not first.alive
        assert stranger not in pool.children
        assert stranger.alive


@pytest.mark.parametrize(
    ("make", "kind", "message"),
    [
        (lambda: Worker.spec().with_options(shutdown=-10), ValueError, "-10"),
        (lambda: Worker.spec().with_options(shutdown=float("nan")), ValueError, "nan"),
        (lambda: Worker.spec().with_options(significant=True), ValueError, "permanent"),
        (lambda: Worker.spec().with_options(prmanent=True), TypeError, "prmanent"),
        (lambda: Restart("prmanent"), ValueError, "prmanent"),
        (lambda: Worker.spec().named(""), ValueError, "''"),
        (lambda: Worker.spec().named("a/b"), ValueError, "'a/b'"),
    ],
)
def test_specs_that_cannot_work_are_refused(make: Callable[[], object], kind: type[Exception], message: str) -> None:
    """A child spec that makes no sense is refused where it is written, with the value that is wrong."""
    with pytest.raises(kind, match=message):
        make()


@pytest.mark.parametrize("what", [None, 1, "Worker", object()])
async def test_what_is_no_spec_is_refused(what: object) -> None:
    """Spawning something that makes no actor is an error of the caller, and names it."""
    async with ActorSystem() as system:
        supervisor = await system.supervise(Supervisor(), [], name="s")
        with pytest.raises(TypeError, match="cannot spawn"):
            await supervisor.spawn(cast("Any", what))
        assert supervisor.alive


async def test_two_specs_of_one_name_are_refused() -> None:
    """Two children of one name fail the start of their supervisor, and the first of them is stopped again."""
    async with ActorSystem() as system:
        with pytest.raises(StartFailed) as caught:
            await system.supervise(Supervisor(), _workers("a", "a"), name="s")
        assert isinstance(caught.value.cause, NameTaken)
        assert LOG[0] == "+a"
        assert LOG[1].startswith("-a")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Strategy("none_for_one"), "none_for_one"),
        (lambda: Supervisor(max_restarts=-1), "-1"),
        (lambda: Supervisor(period=0), "0"),
        (lambda: Supervisor(period=-2), "-2"),
        (lambda: Supervisor(period=float("inf")), "inf"),
        (lambda: Supervisor(period=float("nan")), "nan"),
        (lambda: Supervisor(auto_shutdown="any_significant"), "any_significant"),
        (lambda: DynamicSupervisor(strategy=Strategy.REST_FOR_ONE), "rest_for_one"),
    ],
)
def test_flags_that_cannot_work_are_refused(make: Callable[[], object], message: str) -> None:
    """A supervisor that makes no sense is refused where it is written, with the value that is wrong."""
    with pytest.raises(ValueError, match=message):
        make()


def test_unknown_flags_are_refused() -> None:
    """OTP ignores a flag that it does not know; here a misspelt one is an error."""
    with pytest.raises(TypeError, match="silly"):
        Supervisor(**cast("Any", {"silly": True}))


def test_defaults_are_those_of_otp_where_both_have_them() -> None:
    """A child is permanent and gets 5 s to end; a supervisor restarts one for one and gets as long as it takes."""
    options = ChildOptions()
    assert (options.restart, options.shutdown, options.significant) == (Restart.PERMANENT, 5.0, False)
    supervisor = Supervisor()
    assert (supervisor.strategy, supervisor.period, supervisor.auto_shutdown) == (Strategy.ONE_FOR_ONE, 5.0, "never")
    assert supervisor.spec().options.shutdown == float("inf")


async def test_a_name_registered_by_another_fails_the_start() -> None:
    """A child that wants a registered name which somebody else has does not start, and says whose it is."""

    class Clerk(Worker):
        async def started(self) -> None:
            self.context.system.registry.register("clerk", self.context.ref)

    async with ActorSystem() as system:
        supervisor = await system.supervise(Supervisor(), [], name="s")
        outsider = await system.spawn(Worker, name="outsider")
        system.registry.register("clerk", outsider)
        with pytest.raises(StartFailed) as caught:
            await supervisor.spawn(Clerk, name="a")
        assert isinstance(caught.value.cause, NameTaken)
        assert "outsider" in str(caught.value.cause)
        assert system.registry["clerk"] == outsider
        await outsider.stop()
        clerk = await supervisor.spawn(Clerk, name="a")
        assert system.registry["clerk"] == clerk
