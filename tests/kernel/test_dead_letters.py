"""What becomes of messages that nobody handles (rule 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.kernel.desk import Clerk, Desk
from tinyllm_actors.errors import ActorStopped, MessageDiscarded
from tinyllm_actors.kernel import (
    ActorSystem,
    DeadLetter,
    Mailbox,
    Overflow,
)
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    pass


pytestmark = pytest.mark.anyio


async def test_rule_8_what_is_left_goes_to_undelivered() -> None:
    """Each told message once, at the end; asks fail; a hook that fails leaves a dead letter."""
    left: list[Any] = []

    def keep(message: object) -> None:
        if message == "bad":
            raise LookupError("broken")
        left.append(message)

    async with ActorSystem() as system:
        desk = await Desk.open(system, Mailbox(undelivered=keep))
        for message in ("one", "bad", "two"):
            await desk.ref.tell(message)
        ask = desk.ref.ask("three")
        await desk.ref.kill()
        await desk.ref.tell("too late")
        with pytest.raises(ActorStopped):
            await ask
        assert left == ["one", "two", "too late"]
        assert [letter.message for letter in system.dead_letters] == ["bad"]


async def test_rule_8_a_hook_that_fails_does_no_harm() -> None:
    """`on_discard` is for the caller's sake; its errors stay its own."""

    def fail(_: object, __: str) -> None:
        raise LookupError("broken")

    async with ActorSystem() as system:
        desk = await Desk.open(system, Mailbox(capacity=1, overflow=Overflow.DROP_NEWEST, on_discard=fail))
        await desk.ref.tell(1)
        await desk.ref.tell(2)
        assert await desk.work() == [1]
        assert len(system.dead_letters) == 1


async def test_rule_8_dead_letters_are_kept_up_to_a_cap() -> None:
    """The newest; the number of those that were dropped is known; each is published."""
    async with ActorSystem(max_dead_letters=2) as system, system.events(DeadLetter) as events:
        ref = await system.spawn(Puppet, name="gone")
        await ref.stop()
        for number in range(5):
            await ref.tell(number)
        letters = system.dead_letters
        assert [letter.message for letter in letters] == [3, 4]
        assert letters[0].path == "gone"
        assert letters.dropped == 3
        assert [(await events.receive()).message for _ in range(5)] == [0, 1, 2, 3, 4]
        letters.clear()
        assert len(letters) == 0


async def gone_with(system: ActorSystem, *messages: object) -> None:
    """Leave dead letters for an actor at "clerk"."""
    ref = await system.spawn(Puppet, name="clerk")
    await ref.stop()
    for message in messages:
        await ref.tell(message)


async def test_rule_8_dead_letters_can_be_sent_again() -> None:
    """To who is at their path now, oldest first; what is taken is no dead letter any more."""
    async with ActorSystem() as system:
        await gone_with(system, 1, 2, 3)
        assert system.replay_dead_letters() == 0
        seen: list[Any] = []
        ref = await system.spawn(Clerk, anyio.Event(), seen, name="clerk")
        assert system.replay_dead_letters(path="other") == 0
        assert system.replay_dead_letters(limit=2) == 2
        await ref.ask("done?")
        assert seen == [1, 2]
        assert [letter.message for letter in system.dead_letters] == [3]
        assert system.replay_dead_letters(path="clerk") == 1
        await ref.ask("done?")
        assert seen == [1, 2, 3]
        assert len(system.dead_letters) == 0


async def test_rule_8_a_full_mailbox_gets_no_dead_letters() -> None:
    """Those that do not fit stay, in order."""
    async with ActorSystem() as system:
        await gone_with(system, 1, 2, 3)
        desk = await Desk.open(system, Mailbox(capacity=2))
        assert system.replay_dead_letters() == 2
        assert [letter.message for letter in system.dead_letters] == [3]
        assert await desk.work() == [1, 2]


async def test_rule_8_a_letter_is_not_sent_for_ever() -> None:
    """One that dies again counts its replays, and stays after `max_replays`."""
    async with ActorSystem() as system:
        await gone_with(system, "boomerang")
        for replays in range(4):
            assert [letter.replays for letter in system.dead_letters] == [min(replays, 3)]
            desk = await Desk.open(system, Mailbox())
            assert system.replay_dead_letters(max_replays=3) == (1 if replays < 3 else 0)
            await desk.ref.kill()
        assert [letter.message for letter in system.dead_letters] == ["boomerang"]


async def test_rule_8_asks_are_not_sent_again() -> None:
    """Their askers were told, and may have asked somebody else."""
    async with ActorSystem() as system:
        desk = await Desk.open(system, Mailbox(capacity=1, overflow=Overflow.DROP_NEWEST))
        await desk.ref.tell(1)
        with pytest.raises(MessageDiscarded):
            await desk.ref.ask(2)
        await desk.work()
        assert system.replay_dead_letters() == 0
        assert [letter.asked for letter in system.dead_letters] == [True]
