"""Rule 10: how often, how soon, and what happens when it is too often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed, ActorStopped, RateLimited, RestartLimitExceeded
from tinyllm_actors.kernel import (
    Actor,
    ActorSystem,
    Backoff,
    ChildRestarted,
    ChildSpec,
    Directive,
    Escalated,
    ExitKind,
    Restart,
    Strategy,
    Supervisor,
)

if TYPE_CHECKING:
    from tinyllm_actors.kernel import ActorRef

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

STOP = Supervisor(decider=lambda _: Directive.STOP)


class Fragile(Actor):
    """Raises what it is told, and says which incarnation it is."""

    async def receive(self, message: Exception | str) -> int:
        if isinstance(message, Exception):
            raise message
        return self.context.incarnation


async def _crash(ref: Any, error: Exception | None = None) -> None:
    with pytest.raises((ActorFailed, ActorStopped)):
        await ref.ask(error or LookupError("crash"))


async def _supervised(system: ActorSystem, config: Supervisor, *specs: ChildSpec) -> tuple[ActorRef, Any]:
    top = await system.supervise(config, specs or [Fragile.spec().named("a")], name="s")
    return top, system["s/a"]


@pytest.mark.parametrize("max_restarts", [0, 1, 3])
async def test_rule_10_one_failure_too_many_escalates(max_restarts: int) -> None:
    """`max_restarts` failures inside a period are restarted; the next one fails the supervisor, with the cause."""
    async with ActorSystem(supervisor=STOP) as system, system.events(Escalated) as events:
        top, a = await _supervised(system, Supervisor(max_restarts=max_restarts, backoff=None))
        for number in range(max_restarts):
            await _crash(a)
            assert await a.ask("incarnation") == number + 2
        await _crash(a, LookupError("the last one"))
        reason = await top.join()
        assert reason.kind is ExitKind.FAILED
        assert isinstance(reason.cause, RestartLimitExceeded)
        assert (reason.cause.child, reason.cause.max_restarts, reason.cause.period) == ("s/a", max_restarts, 5.0)
        assert str(reason.cause.cause) == "the last one"
        event = await events.receive()
        assert (event.path, event.child) == ("s", "s/a")
        assert not a.alive


async def test_rule_10_the_window_slides() -> None:
    """Failures older than the period are forgotten, one by one: two at a time are tolerated, for ever."""
    async with ActorSystem(supervisor=STOP) as system:
        _, a = await _supervised(system, Supervisor(max_restarts=2, period=10.0, backoff=None))
        for _ in range(10):
            await _crash(a)
            await anyio.sleep(5.1)
        assert await a.ask("incarnation") == 11


async def test_rule_10_the_children_of_a_supervisor_share_its_window() -> None:
    """Two children that fail in turn use up one budget."""
    async with ActorSystem(supervisor=STOP) as system:
        specs = [Fragile.spec().named("a"), Fragile.spec().named("b")]
        top, a = await _supervised(system, Supervisor(max_restarts=3, backoff=None), *specs)
        for ref in (a, system["s/b"], a):
            await _crash(ref)
        await _crash(system["s/b"])
        assert (await top.join()).kind is ExitKind.FAILED


async def test_rule_10_a_child_may_have_a_smaller_budget_of_its_own() -> None:
    """A child with `max_restarts=1` fails the supervisor on its second failure, a sibling does not."""
    async with ActorSystem(supervisor=STOP) as system:
        specs = [Fragile.spec().named("a"), Fragile.spec().named("b").with_options(max_restarts=1)]
        top, a = await _supervised(system, Supervisor(max_restarts=10, backoff=None), *specs)
        for ref in (a, a, a, system["s/b"]):
            await _crash(ref)
        assert await system["s/b"].ask("incarnation") == 2
        await _crash(system["s/b"])
        reason = await top.join()
        assert isinstance(reason.cause, RestartLimitExceeded)
        assert (reason.cause.child, reason.cause.max_restarts) == ("s/b", 1)


async def test_rule_10_escalation_goes_up_level_by_level() -> None:
    """Each supervisor on the way counts the failure once; the causes are chained down to the first."""
    async with ActorSystem(supervisor=Supervisor(max_restarts=1, backoff=None)) as system:
        _, a = await _supervised(system, Supervisor(max_restarts=1, backoff=None))
        with pytest.raises(RestartLimitExceeded) as caught:
            async with ActorSystem(supervisor=Supervisor(max_restarts=1, backoff=None)) as inner:
                _, a = await _supervised(inner, Supervisor(max_restarts=1, backoff=None))
                async with inner.events(ChildRestarted) as events:
                    restarted: list[str] = []
                    for _ in range(4):
                        await a.tell(LookupError("crash"))
                        restarted.append((await events.receive()).path)
                    pytest.fail(f"the fourth failure was restarted: {restarted}")
        outer = caught.value
        assert (outer.child, outer.path) == ("s", "system")
        assert isinstance(outer.cause, RestartLimitExceeded)
        assert outer.cause.child == "s/a"
        assert isinstance(outer.cause.cause, LookupError)


async def test_rule_10_an_escalated_supervisor_begins_with_a_new_window() -> None:
    """After its own restart a supervisor tolerates as many failures as at first."""
    async with ActorSystem(supervisor=Supervisor(backoff=None)) as system, system.events(ChildRestarted) as events:
        _, a = await _supervised(system, Supervisor(max_restarts=1, backoff=None))
        paths: list[str] = []
        for _ in range(5):
            await a.tell(LookupError("crash"))
            paths.append((await events.receive()).path)
        assert paths == ["s/a", "s", "s/a", "s", "s/a"]


async def _waits(config: Supervisor, failures: int, *, pause: float = 0.0, error: Any = None) -> list[float]:
    """Return how long each of so many restarts in a row took."""
    waits: list[float] = []
    async with ActorSystem() as system:
        _, a = await _supervised(system, config)
        for _ in range(failures):
            began = anyio.current_time()
            await _crash(a, error and error())
            await a.ask("incarnation")
            waits.append(round(anyio.current_time() - began, 6))
            await anyio.sleep(pause)
    return waits


async def test_rule_10_the_back_off_is_exponential_up_to_its_maximum() -> None:
    """The worked numbers: 3, 6, 12, 24, 30, 30 seconds."""
    config = Supervisor(max_restarts=100, backoff=Backoff(3.0, 30.0, jitter=0.0))
    assert await _waits(config, 6) == [3, 6, 12, 24, 30, 30]


async def test_rule_10_without_back_off_a_restart_takes_no_time() -> None:
    """`backoff=None` restarts at once."""
    assert await _waits(Supervisor(max_restarts=100, backoff=None), 3) == [0, 0, 0]


async def test_rule_10_jitter_lengthens_a_wait_by_its_share_at_most() -> None:
    """With `jitter=0.5` a wait of 4 seconds takes from 4 to 6, and not always the same."""
    config = Supervisor(max_restarts=100, backoff=Backoff(4.0, 4.0, jitter=0.5))
    waits = await _waits(config, 20)
    assert all(4 <= wait <= 6 for wait in waits)
    assert len(set(waits)) > 10


async def test_rule_10_a_quiet_time_resets_the_back_off() -> None:
    """After `reset_after` seconds without a failure the waits begin with the first again."""
    config = Supervisor(max_restarts=100, backoff=Backoff(1.0, 30.0, jitter=0.0, reset_after=10.0))
    assert await _waits(config, 4, pause=5.0) == [1, 2, 4, 8]
    assert await _waits(config, 4, pause=9.5) == [1, 1, 1, 1]


async def test_rule_10_children_have_their_own_back_off() -> None:
    """A child that fails often does not make its sibling wait."""
    config = Supervisor(max_restarts=100, backoff=Backoff(1.0, 30.0, jitter=0.0))
    async with ActorSystem() as system:
        _, a = await _supervised(system, config, Fragile.spec().named("a"), Fragile.spec().named("b"))
        for _ in range(4):
            await _crash(a)
            await a.ask("incarnation")
        began = anyio.current_time()
        await _crash(system["s/b"])
        await system["s/b"].ask("incarnation")
        assert anyio.current_time() - began == 1


@pytest.mark.parametrize(
    ("retry_after", "expected"),
    [(20.0, 20), (20, 20), (0.5, 1), (None, 1), (-3.0, 1), (float("inf"), 1), (float("nan"), 1), ("soon", 1)],
)
async def test_rule_10_a_failure_may_say_when_to_retry(retry_after: Any, expected: float) -> None:
    """`retry_after` of a failure lengthens the wait; what is no number of seconds is ignored."""
    config = Supervisor(max_restarts=100, backoff=Backoff(1.0, 30.0, jitter=0.0))
    assert await _waits(config, 1, error=lambda: RateLimited("429", retry_after=retry_after)) == [expected]


async def test_rule_10_a_failure_says_when_to_retry_without_back_off_too() -> None:
    """`retry_after` counts even where restarts are immediate."""
    config = Supervisor(max_restarts=100, backoff=None)
    assert await _waits(config, 1, error=lambda: RateLimited("429", retry_after=7.0)) == [7]


@pytest.mark.parametrize("where", ["constructor", "started"])
async def test_rule_10_failed_starts_count_and_back_off(where: str) -> None:
    """A restart whose start fails is one more failure, after one more, longer wait."""
    starts: list[float] = []

    class Down(Fragile):
        def __init__(self) -> None:
            if where == "constructor":
                self._start()

        async def started(self) -> None:
            if where == "started":
                self._start()

        def _start(self) -> None:
            starts.append(anyio.current_time())
            if 1 < len(starts) < 5:
                raise ConnectionError("still down")

    async with ActorSystem() as system:
        config = Supervisor(max_restarts=100, backoff=Backoff(1.0, 30.0, jitter=0.0))
        _, a = await _supervised(system, config, Down.spec().named("a"))
        await _crash(a)
        assert await a.ask("incarnation") == 5
    assert starts == [0, 1, 3, 7, 15]


async def test_rule_10_failed_starts_use_up_the_window() -> None:
    """An actor that never comes back fails its supervisor, with the reason of the last start."""
    starts = 0

    def once() -> Fragile:
        nonlocal starts
        starts += 1
        if starts > 1:
            raise ConnectionError(f"start {starts}")
        return Fragile()

    async with ActorSystem(supervisor=STOP) as system:
        config = Supervisor(max_restarts=3, period=60.0, backoff=Backoff(1.0, 1.0, jitter=0.0))
        top, a = await _supervised(system, config, ChildSpec(once).named("a"))
        await _crash(a)
        reason = await top.join()
        assert isinstance(reason.cause, RestartLimitExceeded)
        assert str(reason.cause.cause) == "start 4"


async def test_rule_10_a_normal_end_of_a_permanent_child_counts_too() -> None:
    """An actor that stops itself again and again, and must always be there, is a failure of its supervisor."""

    class Leaving(Actor):
        async def receive(self, message: object) -> None:
            self.context.stop()

    async with ActorSystem(supervisor=STOP) as system:
        top, a = await _supervised(system, Supervisor(max_restarts=2, backoff=None), Leaving.spec().named("a"))
        for _ in range(3):
            await a.tell("leave")
        assert isinstance((await top.join()).cause, RestartLimitExceeded)


async def test_rule_10_a_strategy_restart_counts_once() -> None:
    """One failure that restarts three siblings is one failure."""
    async with ActorSystem(supervisor=STOP) as system:
        specs = [Fragile.spec().named(name) for name in "abc"]
        config = Supervisor(strategy=Strategy.ONE_FOR_ALL, max_restarts=2, backoff=None)
        _, a = await _supervised(system, config, *specs)
        for _ in range(2):
            await _crash(a)
        assert await system["s/c"].ask("incarnation") == 3


async def test_rule_10_what_a_temporary_child_does_is_not_counted() -> None:
    """Children that are never restarted do not use up restarts."""
    async with ActorSystem(supervisor=STOP) as system:
        top = await system.supervise(Supervisor(max_restarts=0), [], name="s")
        for _ in range(5):
            child = await top.spawn(Fragile.spec().with_options(restart=Restart.TEMPORARY))
            await _crash(child)
        assert top.alive
