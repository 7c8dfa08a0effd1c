"""Rule 13: a restart keeps the reference and changes the incarnation; what becomes of the message in processing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed
from tinyllm_actors.kernel import Actor, ActorSystem, Backoff, ChildRestarted, InFlight, Mailbox, Supervisor

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from tinyllm_actors.kernel import ExitReason

    Settled = Callable[[], Awaitable[None]]

pytestmark = pytest.mark.anyio

TOLERANT = Supervisor(backoff=None, max_restarts=100)


class Keeper(Actor):
    """Keeps what it got; fails on `"crash"`."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    async def receive(self, message: Any) -> tuple[int, list[Any]]:
        if message == "crash":
            raise LookupError("crash")
        self.got.append(message)
        return self.context.incarnation, self.got


async def test_rule_13_the_reference_stays_and_the_state_goes() -> None:
    """The same reference leads to a new object, with a new incarnation number, at the same path."""
    async with ActorSystem(supervisor=TOLERANT) as system, system.events(ChildRestarted) as events:
        ref = await system.spawn(Keeper, name="k")
        assert await ref.ask("a") == (1, ["a"])
        for incarnation in (2, 3, 4):
            await ref.tell("crash")
            event = await events.receive()
            assert (event.path, event.incarnation) == ("k", incarnation)
            assert await ref.ask("b") == (incarnation, ["b"])
        assert system["k"] == ref


async def test_rule_13_hooks_run_once_for_each_incarnation() -> None:
    """`stopped()` gets the failure, after the last message and before the next `started()`."""
    log: list[str] = []

    class Hooked(Keeper):
        async def started(self) -> None:
            log.append(f"+{self.context.incarnation}")

        async def stopped(self, reason: ExitReason) -> None:
            await anyio.lowlevel.checkpoint()
            log.append(f"-{self.context.incarnation} {reason}")

    async with ActorSystem(supervisor=TOLERANT) as system:
        ref = await system.spawn(Hooked)
        await ref.tell("crash")
        await ref.ask("next")
    assert log == ["+1", "-1 failed: LookupError: crash", "+2", "-2 shutdown"]


async def test_rule_13_a_stopped_that_fails_does_not_hinder_the_restart() -> None:
    """A failure in `stopped()` is reported; the next incarnation starts."""

    class Clumsy(Keeper):
        async def stopped(self, reason: ExitReason) -> None:
            raise RuntimeError("clean-up")

    async with ActorSystem(supervisor=TOLERANT) as system:
        ref = await system.spawn(Clumsy)
        await ref.tell("crash")
        assert await ref.ask("next") == (2, ["next"])
        await ref.stop()


async def test_rule_13_fail_is_the_default(settled: Settled) -> None:
    """The asker of the message in processing gets the failure, and the message is not handled again."""
    async with ActorSystem(supervisor=TOLERANT) as system:
        ref = await system.spawn(Keeper)
        with pytest.raises(ActorFailed, match="crash"):
            await ref.ask("crash")
        assert await ref.ask("next") == (2, ["next"])
        assert not list(system.dead_letters)


class Flaky(Actor):
    """Fails the first `failures` attempts of each message, at once or after a wait."""

    log: list[tuple[Any, int, int, int]]

    def __init__(self, failures: int, *, wait: bool) -> None:
        self.failures = failures
        self.wait = wait

    async def receive(self, message: Any) -> Any:
        context = self.context
        self.log.append((message, context.message_id, context.attempt, context.incarnation))
        if self.wait:
            await anyio.lowlevel.checkpoint()
        if context.attempt < self.failures:
            raise LookupError(f"attempt {context.attempt}")
        return message

    async def stream(self, message: Any) -> AsyncGenerator[Any, None]:
        yield await self.receive(message)


def _flaky(failures: int, redeliveries: int, *, wait: bool) -> Any:
    Flaky.log = []
    return Flaky.spec(failures, wait=wait).with_options(on_inflight=InFlight(redeliveries=redeliveries))


@pytest.mark.virtual_time
@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize("supervisor", [TOLERANT, Supervisor(backoff=Backoff(0.01, 0.01), max_restarts=100)])
async def test_rule_13_redeliver_tries_the_same_message_again(wait: bool, supervisor: Supervisor) -> None:
    """With REDELIVER the next incarnation gets it first, with the same id and the next attempt; order is kept."""
    async with ActorSystem(supervisor=supervisor) as system:
        ref = await system.spawn(_flaky(1, 2, wait=wait))
        asks = [ref.ask(name) for name in "abc"]
        assert [await ask for ask in asks] == ["a", "b", "c"]
    assert [(message, attempt) for message, _, attempt, _ in Flaky.log] == [
        ("a", 0),
        ("a", 1),
        ("b", 0),
        ("b", 1),
        ("c", 0),
        ("c", 1),
    ]
    ids = [number for _, number, _, _ in Flaky.log]
    assert ids[0::2] == ids[1::2]
    assert len(set(ids)) == 3
    assert [incarnation for *_, incarnation in Flaky.log] == [1, 2, 2, 3, 3, 4]


@pytest.mark.parametrize("wait", [False, True])
async def test_rule_13_poison_is_given_up(wait: bool) -> None:
    """After so many redeliveries the asker gets the last failure, a dead letter says "poison", and the rest goes on."""
    async with ActorSystem(supervisor=TOLERANT) as system:
        ref = await system.spawn(_flaky(3, 2, wait=wait))
        with pytest.raises(ActorFailed, match="attempt 2"):
            await ref.ask("poison")
        assert [(letter.message, letter.reason) for letter in system.dead_letters] == [("poison", "poison")]
    assert [attempt for _, _, attempt, _ in Flaky.log] == [0, 1, 2]


async def test_rule_13_a_told_poison_is_a_dead_letter() -> None:
    """A message that nobody waits for ends the same way."""
    async with ActorSystem(supervisor=TOLERANT) as system:
        ref = await system.spawn(_flaky(9, 1, wait=False))
        await ref.tell("poison")
        with pytest.raises(ActorFailed):
            await ref.ask("more poison")
        assert [letter.message for letter in system.dead_letters] == ["poison", "more poison"]


@pytest.mark.virtual_time
async def test_rule_13_who_left_is_not_tried_again(settled: Settled) -> None:
    """A message whose asker has left meanwhile is not redelivered."""

    class Clumsy(Flaky):
        async def receive(self, message: Any) -> Any:
            self.log.append((message, 0, self.context.attempt, 0))
            try:
                await anyio.sleep_forever()
            finally:
                raise LookupError("clean-up")

    Flaky.log = []
    spec = Clumsy.spec(0, wait=True).with_options(on_inflight=InFlight(redeliveries=5))
    async with ActorSystem(supervisor=TOLERANT) as system:
        ref = await system.spawn(spec)
        with anyio.move_on_after(0.01):
            await ref.ask("left")
        await settled()
        assert len(Flaky.log) == 1


async def test_rule_13_a_redelivered_message_is_ahead_in_a_full_mailbox(settled: Settled) -> None:
    """Redelivery needs no room, and does not overtake what came before it."""
    async with ActorSystem(supervisor=TOLERANT) as system, anyio.create_task_group() as group:
        spec = _flaky(1, 1, wait=True).with_options(mailbox=Mailbox(capacity=1))
        ref = await system.spawn(spec)
        for name in "abcd":
            group.start_soon(ref.tell, name)
            await anyio.lowlevel.checkpoint()
        while len(Flaky.log) < 8:
            await anyio.lowlevel.checkpoint()
    assert [message for message, *_ in Flaky.log] == list("aabbccdd")


@pytest.mark.virtual_time
async def test_rule_13_timers_of_an_old_incarnation_are_dropped() -> None:
    """A timer that was set, or had just fired, before a crash sends nothing to the next incarnation."""

    class Timed(Keeper):
        async def receive(self, message: Any) -> Any:
            if message == "set":
                self.context.send_after(5.0, "single")
                self.context.send_after(1.0, "tick", name="periodic", every=1.0)
            if message == "hold":
                await anyio.sleep(3.5)  # ticks wait meanwhile
                raise LookupError
            return await super().receive(message)

    async with ActorSystem(supervisor=TOLERANT) as system:
        ref = await system.spawn(Timed)
        await ref.tell("set")
        await anyio.sleep(2.5)
        assert await ref.ask("look") == (1, ["set", "tick", "tick", "look"])
        await ref.tell("hold")
        await anyio.sleep(100)
        assert await ref.ask("look") == (2, ["look"])


async def test_rule_13_results_for_an_old_incarnation_are_dropped(settled: Settled) -> None:
    """What a task of the crashed incarnation would have piped to it does not reach the next one."""
    ended: list[str] = []

    class Piping(Keeper):
        async def receive(self, message: Any) -> Any:
            if message == "pipe":
                self.context.pipe_to_self(self._work, on_result=str, on_error=repr)
            return await super().receive(message)

        async def _work(self) -> str:
            try:
                await release.wait()
            finally:
                ended.append("task")
            return "result"

    release = anyio.Event()
    async with ActorSystem(supervisor=TOLERANT) as system:
        ref = await system.spawn(Piping)
        await ref.ask("pipe")
        await ref.tell("crash")
        assert await ref.ask("look") == (2, ["look"])
        assert ended == ["task"]
        release.set()
        await settled()
        assert await ref.ask("look") == (2, ["look", "look"])


async def test_rule_13_a_result_that_is_on_its_way_at_the_crash_is_dropped(settled: Settled) -> None:
    """A result that waits in the control lane when the actor crashes is not for the next incarnation."""

    class Piping(Keeper):
        async def receive(self, message: Any) -> Any:
            if message == "pipe and crash":
                self.context.pipe_to_self(self._work, on_result=str)
                await settled()  # the result is there by now
                raise LookupError
            return await super().receive(message)

        async def _work(self) -> str:
            return "result"

    async with ActorSystem(supervisor=TOLERANT) as system:
        ref = await system.spawn(Piping)
        await ref.tell("pipe and crash")
        assert await ref.ask("look") == (2, ["look"])


async def test_rule_13_children_end_with_their_parents_incarnation() -> None:
    """The children of a crashed actor are stopped; the next incarnation spawns its own."""

    class Parent(Keeper):
        async def started(self) -> None:
            children.append(await self.context.spawn(Keeper, name="child"))

    children: list[Any] = []
    async with ActorSystem(supervisor=TOLERANT) as system:
        ref = await system.spawn(Parent, name="p")
        await ref.tell("crash")
        await ref.ask("look")
        old, new = children
        assert not old.alive
        assert new.alive
        assert old != new
        assert system["p/child"] == new


def test_rule_13_redeliveries_out_of_range_are_refused() -> None:
    """A negative number is refused where it is written."""
    with pytest.raises(ValueError, match="-1"):
        InFlight(redeliveries=-1)
