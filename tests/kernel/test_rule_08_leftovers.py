"""Rule 8: what is left in a mailbox when an actor ends is accounted for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
import structlog
from structlog.testing import capture_logs

from tinyllm_actors.errors import ActorStopped
from tinyllm_actors.kernel import Actor, ActorSystem, DeadLetter, ExitReason, Mailbox, Restart, Supervisor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Settled = Callable[[], Awaitable[None]]

pytestmark = pytest.mark.anyio


class Slow(Actor):
    """Holds on to each message until it is cancelled, or fails it."""

    async def receive(self, message: str) -> None:
        if message == "crash":
            raise LookupError(message)
        await anyio.sleep_forever()


@pytest.mark.parametrize("ending", ["kill", "brutal stop", "failure", "system"])
async def test_rule_08_tells_become_dead_letters_and_asks_fail(ending: str, settled: Settled) -> None:
    """However an actor ends, each message that it did not begin is a dead letter, or a failed ask, and not both."""
    failed: list[str] = []
    system = ActorSystem()
    async with anyio.create_task_group() as group, system:
        options: dict[str, Any] = {"restart": Restart.TEMPORARY, "mailbox": Mailbox(capacity=3)}
        ref = await system.spawn(Slow.spec().with_options(shutdown=0.0, **options), name="left")
        await ref.tell("crash" if ending == "failure" else "in work")

        async def ask(message: str) -> None:
            try:
                await ref.ask(message, timeout=None)
            except ActorStopped as error:
                failed.append(str(error.message))

        for number, send in enumerate((ref.tell, ask, ref.tell, ask, ref.tell)):
            group.start_soon(send, f"message {number}")
            if ending != "failure":
                await settled()
        match ending:
            case "kill":
                await ref.kill()
            case "brutal stop":
                await ref.stop()
            case "failure":
                await ref.join()
            case _:
                pass
    assert sorted(failed) == ["message 1", "message 3"]
    letters = sorted((letter.message, letter.reason, letter.path) for letter in system.dead_letters)
    assert letters == [(f"message {number}", "stopped", "left") for number in (0, 2, 4)]


async def test_rule_08_what_comes_later_is_accounted_for_too() -> None:
    """A message to an actor that has ended is a dead letter at once, and an ask fails with the reason of its end."""
    async with ActorSystem() as system, system.events(DeadLetter) as letters:
        ref = await system.spawn(Slow, name="gone")
        await ref.stop()
        await ref.tell("late")
        assert ref.tell_nowait("later") is False
        with pytest.raises(ActorStopped, match=r"'gone'.*stopped") as caught:
            await ref.ask("asked")
        assert caught.value.message == "asked"
        assert [(await letters.receive()).message for _ in range(2)] == ["late", "later"]


async def test_rule_08_a_message_that_its_asker_took_back_is_no_leftover(settled: Settled) -> None:
    """A tombstone is neither a dead letter nor a failure."""
    async with ActorSystem() as system:
        ref = await system.spawn(Slow)
        await ref.tell("in work")
        await settled()
        with anyio.move_on_after(0):
            await ref.ask("taken back")
        await ref.kill()
        assert not list(system.dead_letters)


async def test_rule_08_a_restart_leaves_nothing_over(settled: Settled) -> None:
    """Messages that wait while an actor restarts are handled by the next incarnation, in order."""
    got: list[tuple[int, str]] = []

    class Collector(Actor):
        async def receive(self, message: str) -> None:
            if message == "crash":
                raise LookupError
            got.append((self.context.incarnation, message))

        async def stopped(self, reason: ExitReason) -> None:
            stopping.set()
            await release.wait()

    stopping, release = anyio.Event(), anyio.Event()
    async with ActorSystem(supervisor=Supervisor(backoff=None)) as system:
        ref = await system.spawn(Collector)
        for message in ("a", "crash", "b"):
            await ref.tell(message)
        await stopping.wait()
        await ref.tell("c")
        assert ref.tell_nowait("d")
        assert ref.state == "RESTARTING"
        release.set()
        while len(got) < 4:
            await anyio.lowlevel.checkpoint()
        assert got == [(1, "a"), (2, "b"), (2, "c"), (2, "d")]
        assert not list(system.dead_letters)


async def test_rule_08_undelivered_gets_back_what_was_told(settled: Settled) -> None:
    """With `undelivered`, what was told and not handled is handed back instead of becoming a dead letter."""
    back: list[object] = []
    async with ActorSystem() as system:
        ref = await system.spawn(Slow.spec().with_options(mailbox=Mailbox(undelivered=back.append)))
        await ref.tell("in work")
        await settled()
        await ref.tell("left over")
        await ref.kill()
        await ref.tell("late")
        assert back == ["left over", "late"]
        assert not list(system.dead_letters)


async def test_rule_08_an_undelivered_that_fails_makes_dead_letters(settled: Settled) -> None:
    """A hook that raises harms nobody, and its message is a dead letter after all."""

    def broken(message: object) -> None:
        raise RuntimeError(message)

    async with ActorSystem() as system:
        ref = await system.spawn(Slow.spec().with_options(mailbox=Mailbox(undelivered=broken)))
        await ref.kill()
        await ref.tell("late")
        assert [letter.message for letter in system.dead_letters] == ["late"]


async def test_rule_08_dead_letters_are_capped() -> None:
    """The newest `max_dead_letters` are kept."""
    async with ActorSystem(max_dead_letters=3) as system:
        ref = await system.spawn(Slow)
        await ref.stop()
        for number in range(10):
            await ref.tell(str(number))
        assert [letter.message for letter in system.dead_letters] == ["7", "8", "9"]


async def test_rule_08_dead_letters_are_logged_without_their_content() -> None:
    """The log has the path, the reason and the type; what users said stays out of it."""
    structlog.reset_defaults()
    with capture_logs() as logs:
        async with ActorSystem() as system:
            ref = await system.spawn(Slow, name="gone")
            await ref.stop()
            await ref.tell("a secret")
    lines = [entry for entry in logs if "dead letter" in entry["event"]]
    assert [(line["actor"], line["reason"], line["log_level"]) for line in lines] == [("gone", "stopped", "warning")]
    assert "secret" not in str(lines)
    assert "str" in lines[0]["event"]
