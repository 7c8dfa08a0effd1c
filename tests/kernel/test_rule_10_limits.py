"""Rule 10: restarts have a limit, a wait before each, and overflow escalates. All on a virtual clock."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed, RestartLimitExceeded
from tinyllm_actors.kernel import Actor, ActorSystem, Backoff, ChildRestarted, Escalated, Supervisor

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]


class Fragile(Actor):
    async def receive(self, message: Any) -> Any:
        if isinstance(message, Exception):
            raise message
        return self.context.incarnation


async def crash(ref: Any, error: Exception | None = None) -> None:
    """Make the actor fail once and wait until it answers again."""
    with pytest.raises(ActorFailed):
        await ref.ask(error or ValueError("boom"))


def watched(**options: Any) -> Supervisor:
    """Return a supervisor with these limits."""
    return Supervisor(backoff=None, **options)


async def test_rule_10_more_restarts_than_allowed_escalate() -> None:
    """The restart after the last allowed one fails the supervisor: from the root it is raised out of the block."""
    seen: list[Any] = []
    with pytest.raises(RestartLimitExceeded) as caught:
        async with ActorSystem("test", supervisor=watched(max_restarts=2, period=5.0)) as system:
            system.events_stream.subscribe(seen.append, Escalated)
            ref = await system.spawn(Fragile, name="fragile")
            for _ in range(2):
                await crash(ref)
            assert await ref.ask("how often?") == 3
            await crash(ref, KeyError("the last"))
            await anyio.sleep_forever()
    assert isinstance(caught.value.cause, KeyError)
    assert (caught.value.child, caught.value.max_restarts, caught.value.period) == ("fragile", 2, 5.0)
    assert [event.child for event in seen] == ["fragile"]


async def test_rule_10_the_window_slides() -> None:
    """Restarts that are more than a period old do not count."""
    async with ActorSystem("test", supervisor=watched(max_restarts=2, period=5.0)) as system:
        ref = await system.spawn(Fragile)
        for _ in range(6):
            await crash(ref)
            await anyio.sleep(2.6)
        assert await ref.ask("how often?") == 7


async def test_rule_10_no_restart_at_all() -> None:
    """With max_restarts=0 the first failure escalates."""
    with pytest.raises(RestartLimitExceeded):
        async with ActorSystem("test", supervisor=watched(max_restarts=0)) as system:
            await crash(await system.spawn(Fragile))
            await anyio.sleep_forever()


async def test_rule_10_a_child_may_have_a_limit_of_its_own() -> None:
    """The child's limit escalates though the supervisor's has room."""
    with pytest.raises(RestartLimitExceeded) as caught:
        async with ActorSystem("test", supervisor=watched(max_restarts=100)) as system:
            patient = await system.spawn(Fragile)
            touchy = await system.spawn(Fragile.spec().with_options(max_restarts=1), name="touchy")
            for _ in range(5):
                await crash(patient)
            await crash(touchy)
            await crash(touchy)
            await anyio.sleep_forever()
    assert caught.value.child == "touchy"


async def test_rule_10_the_waits_grow_and_begin_anew_after_a_quiet_time() -> None:
    """3, 6, 12, 24, 30, 30 seconds, and 3 again after a minute without a failure."""
    backoff = Backoff(3.0, 30.0, jitter=0.0)
    supervisor = Supervisor(max_restarts=100, period=1000.0, backoff=backoff)
    async with ActorSystem("test", supervisor=supervisor) as system, system.events(ChildRestarted) as restarts:
        ref = await system.spawn(Fragile)
        waits: list[float] = []
        for quiet in (0, 0, 0, 0, 0, 0, 61, 0):
            await anyio.sleep(quiet)
            failed_at = anyio.current_time()
            await crash(ref)
            await restarts.receive()
            waits.append(round(anyio.current_time() - failed_at, 3))
    assert waits == [3.0, 6.0, 12.0, 24.0, 30.0, 30.0, 3.0, 6.0]


async def test_rule_10_jitter_only_lengthens() -> None:
    """With 20 % of jitter a wait of 10 s is between 10 and 12 s."""
    supervisor = Supervisor(max_restarts=100, period=1000.0, backoff=Backoff(10.0, 10.0, jitter=0.2))
    async with ActorSystem("test", supervisor=supervisor) as system, system.events(ChildRestarted) as restarts:
        ref = await system.spawn(Fragile)
        for _ in range(10):
            failed_at = anyio.current_time()
            await crash(ref)
            await restarts.receive()
            assert 10.0 <= anyio.current_time() - failed_at <= 12.001


async def test_rule_10_a_failure_may_ask_for_a_longer_wait() -> None:
    """An exception with `retry_after` has its way when it is longer than the back-off."""

    class Busy(Exception):
        retry_after = 42.0

    supervisor = Supervisor(backoff=Backoff(1.0, 1.0, jitter=0.0))
    async with ActorSystem("test", supervisor=supervisor) as system, system.events(ChildRestarted) as restarts:
        ref = await system.spawn(Fragile)
        await crash(ref, Busy("later"))
        await restarts.receive()
        assert anyio.current_time() == pytest.approx(42.0, abs=0.01)


async def test_rule_10_starts_that_fail_count_and_are_backed_off() -> None:
    """A restart whose start fails is one more failure; the waits go on growing and the limit holds."""
    starts: list[float] = []

    class NeverAgain(Actor):
        async def started(self) -> None:
            starts.append(anyio.current_time())
            if len(starts) > 1:
                raise ConnectionError("no database")

        async def receive(self, message: Any) -> None:
            raise ValueError(message)

    supervisor = Supervisor(max_restarts=3, period=60.0, backoff=Backoff(1.0, 30.0, jitter=0.0))
    with pytest.raises(RestartLimitExceeded) as caught:
        async with ActorSystem("test", supervisor=supervisor) as system:
            await crash(await system.spawn(NeverAgain))
            await anyio.sleep_forever()
    assert [round(at, 2) for at in starts] == [0.0, 1.0, 3.0, 7.0]
    assert isinstance(caught.value.cause, ConnectionError)


async def test_rule_10_messages_wait_while_the_actor_is_backed_off() -> None:
    """What is sent during the wait is handled by the next incarnation, in order."""
    supervisor = Supervisor(backoff=Backoff(5.0, 5.0, jitter=0.0))
    async with ActorSystem("test", supervisor=supervisor) as system:
        ref = await system.spawn(Fragile)
        await crash(ref)
        assert await ref.ask("who?") == 2
        assert anyio.current_time() == pytest.approx(5.0, abs=0.01)
