"""Rule 13: a restart keeps the reference and changes the incarnation; what was in processing fails its asker."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tinyllm_actors.errors import ActorFailed
from tinyllm_actors.kernel import Actor, ActorSystem, ExitKind, ExitReason, InFlight, Restart, Supervisor

pytestmark = pytest.mark.anyio

AT_ONCE = Supervisor(max_restarts=1000, backoff=None)


class Counter(Actor):
    def __init__(self, start: int) -> None:
        self.value = start

    async def receive(self, message: Any) -> Any:
        if message == "boom":
            await anyio.lowlevel.checkpoint()
            raise ValueError("boom")
        self.value += message
        return self.value


async def test_rule_13_the_reference_survives_and_the_state_does_not() -> None:
    """The factory runs again with the same arguments; the same reference leads to the new object."""
    async with ActorSystem("test", supervisor=AT_ONCE) as system:
        ref = await system.spawn(Counter, 10, name="counter")
        assert await ref.ask(1) == 11
        with pytest.raises(ActorFailed) as caught:
            await ref.ask("boom")
        assert isinstance(caught.value.cause, ValueError)
        assert await ref.ask(1) == 11
        assert system["counter"] == ref


async def test_rule_13_only_the_message_in_processing_is_lost() -> None:
    """What waits in the mailbox is handled by the next incarnation, once and in order."""
    async with ActorSystem("test", supervisor=AT_ONCE) as system:
        ref = await system.spawn(Counter, 0)
        asks = [ref.ask(message) for message in (1, "boom", 2, "boom", 3)]
        answers: list[Any] = []
        for ask in asks:
            try:
                answers.append(await ask)
            except ActorFailed as error:
                answers.append(type(error.cause))
        assert answers == [1, ValueError, 2, ValueError, 3]


async def test_rule_13_timers_and_tasks_of_the_old_incarnation_are_dropped() -> None:
    """A timer, a task and a piped result of an incarnation that ended never reach the next."""
    heard: list[Any] = []
    ended = anyio.Event()

    class Owner(Actor):
        async def receive(self, message: Any) -> None:
            heard.append((self.context.incarnation, message))
            if message == "own":
                self.context.send_after(0.01, "timer")
                self.context.pipe_to_self(self.work, on_result=lambda result: result)
            elif message == "boom":
                raise ValueError("boom")

        async def work(self) -> str:
            try:
                await anyio.sleep_forever()
            finally:
                ended.set()
            return "piped"

    async with ActorSystem("test", supervisor=AT_ONCE) as system:
        ref = await system.spawn(Owner)
        await ref.ask("own")
        with pytest.raises(ActorFailed):
            await ref.ask("boom")
        await ended.wait()
        await ref.ask("again")
        await anyio.sleep(0.03)
        assert heard == [(1, "own"), (1, "boom"), (2, "again")]


async def test_rule_13_the_old_incarnation_is_told_why() -> None:
    """stopped() of the failed object runs, with the failure, before the next one starts."""
    log: list[Any] = []

    class Loud(Counter):
        async def started(self) -> None:
            log.append("started")

        async def stopped(self, reason: ExitReason) -> None:
            log.append((reason.kind, type(reason.cause)))

    async with ActorSystem("test", supervisor=AT_ONCE) as system:
        ref = await system.spawn(Loud, 0)
        with pytest.raises(ActorFailed):
            await ref.ask("boom")
        await ref.ask(1)
        assert log == ["started", (ExitKind.FAILED, ValueError), "started"]


@pytest.mark.parametrize(
    ("restart", "after_failure", "after_stop"),
    [(Restart.PERMANENT, True, True), (Restart.TRANSIENT, True, False), (Restart.TEMPORARY, False, False)],
)
async def test_rule_13_restart_types(restart: Restart, after_failure: bool, after_stop: bool) -> None:
    """Permanent children come back always, transient ones after a failure, temporary ones never."""

    class Ends(Actor):
        async def receive(self, message: str) -> None:
            if message == "fail":
                raise ValueError(message)
            self.context.stop()

    async with ActorSystem("test", supervisor=AT_ONCE) as system:
        for how, comes_back in (("fail", after_failure), ("stop", after_stop)):
            ref = await system.spawn(Ends.spec().with_options(restart=restart))
            await ref.tell(how)
            await anyio.wait_all_tasks_blocked()
            assert ref.alive == comes_back
            if not comes_back:
                reason = await ref.join()
                assert reason.kind is (ExitKind.FAILED if how == "fail" else ExitKind.NORMAL)


async def test_rule_13_redelivery_counts_its_attempts() -> None:
    """With redelivery the next incarnations handle the same message, until one succeeds; the asker gets its answer."""
    seen: list[tuple[int, int, int]] = []

    class Third(Actor):
        async def receive(self, message: Any) -> str:
            context = self.context
            seen.append((context.incarnation, context.message_id, context.attempt))
            if context.attempt < 2:
                raise ConnectionError("not yet")
            return "done"

    async with ActorSystem("test", supervisor=AT_ONCE) as system:
        ref = await system.spawn(Third.spec().with_options(on_inflight=InFlight(redeliveries=2)))
        assert await ref.ask("work") == "done"
    assert [(incarnation, attempt) for incarnation, _, attempt in seen] == [(1, 0), (2, 1), (3, 2)]
    assert len({message_id for _, message_id, _ in seen}) == 1


async def test_rule_13_a_poison_message_becomes_a_dead_letter() -> None:
    """After its last redelivery the message is put aside, its asker fails, and the next message is handled."""

    class Allergic(Actor):
        async def receive(self, message: str) -> str:
            if message == "poison":
                raise ValueError(message)
            return message

    async with ActorSystem("test", supervisor=AT_ONCE) as system:
        ref = await system.spawn(Allergic.spec().with_options(on_inflight=InFlight(redeliveries=2)), name="a")
        with pytest.raises(ActorFailed):
            await ref.ask("poison")
        assert await ref.ask("food") == "food"
        assert [(letter.path, letter.message, letter.reason) for letter in system.dead_letters] == [
            ("a", "poison", "poison")
        ]
