"""Asks that are answered later, by another message or never."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tinyllm_actors.errors import ActorFailed, ActorStopped, AskTimeout
from tinyllm_actors.kernel import (
    Actor,
    ActorSystem,
    InFlight,
    ReplyTo,
    Supervisor,
)
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    from tinyllm_actors.kernel import ActorRef


pytestmark = pytest.mark.anyio

PATIENT = Supervisor(max_restarts=100, backoff=None)


class Holder(Puppet):
    """Keeps where answers go."""

    def __init__(self) -> None:
        self.held: list[ReplyTo] = []

    def hold(self) -> str:
        """Take over the answer to the message in processing; what is returned must not be it."""
        self.held.append(self.context.reply_later())
        return "not the answer"


def lookup(_: Holder) -> object:
    """Fail."""
    return dict[str, int]()["missing"]


async def held_by(ref: ActorRef) -> list[ReplyTo]:
    """Return what a holder keeps, once it has handled what it was sent."""
    return await Holder.do(ref, lambda self: self.held)


async def test_rule_4_an_ask_may_be_answered_later() -> None:
    """With a value or a failure, by another message or from outside; each way works once."""
    async with ActorSystem() as system:
        ref = await system.spawn(Holder)
        asks = [ref.ask(Holder.hold) for _ in range(3)]
        first, second, third = await held_by(ref)
        assert first.waiting
        assert first.reply("one") is True
        assert first.reply("again") is False
        assert first.fail(LookupError()) is False
        assert second.fail(LookupError("none")) is True
        assert third.reply(None) is True
        assert await asks[0] == "one"
        with pytest.raises(ActorFailed) as caught:
            await asks[1]
        assert isinstance(caught.value.cause, LookupError)
        assert await asks[2] is None
        assert not ref.cell.cold.deferred


@pytest.mark.virtual_time
async def test_rule_4_a_deadline_ends_a_deferred_ask() -> None:
    """Whoever answers too late is told so, and nothing of the ask is kept."""
    async with ActorSystem() as system:
        ref = await system.spawn(Holder)
        with pytest.raises(AskTimeout):
            await ref.ask(Holder.hold, timeout=0.01)
        (late,) = await held_by(ref)
        assert not late.waiting
        assert late.reply("late") is False
        assert not ref.cell.cold.deferred


async def test_rule_4_deferred_asks_end_with_the_incarnation() -> None:
    """With the failure at a restart, with `ActorStopped` at the stop; nobody waits for ever."""
    async with ActorSystem(supervisor=PATIENT) as system:
        ref = await system.spawn(Holder)
        early = ref.ask(Holder.hold)
        with pytest.raises(ActorFailed):
            await Holder.do(ref, lookup)
        with pytest.raises(ActorFailed) as caught:
            await early
        assert isinstance(caught.value.cause, KeyError)
        late = ref.ask(Holder.hold)
        await held_by(ref)
        await ref.stop()
        with pytest.raises(ActorStopped, match="before it answered"):
            await late


async def test_rule_4_a_handler_that_defers_and_fails_has_failed() -> None:
    """The asker gets the failure at once."""

    def defer_and_fail(self: Holder) -> None:
        self.hold()
        raise LookupError("broken")

    async with ActorSystem(supervisor=PATIENT) as system:
        ref = await system.spawn(Holder)
        with pytest.raises(ActorFailed):
            await Holder.do(ref, defer_and_fail)


async def test_rule_13_a_deferred_ask_can_be_redelivered() -> None:
    """A handler that deferred, failed and gets the message again may answer it as usual."""

    def defer_once(self: Holder) -> str:
        if self.context.attempt:
            return "at last"
        self.hold()
        raise LookupError("broken")

    async with ActorSystem(supervisor=PATIENT) as system:
        ref = await system.spawn(Holder.spec().with_options(on_inflight=InFlight(redeliveries=1)))
        assert await Holder.do(ref, defer_once) == "at last"


async def test_a_told_message_has_nobody_to_answer() -> None:
    """`reply_later` works all the same, so that an actor need not know."""
    async with ActorSystem() as system:
        ref = await system.spawn(Holder)
        await ref.tell(Holder.hold)
        (nobody,) = await held_by(ref)
        assert not nobody.waiting
        assert nobody.reply("?") is False
        assert nobody.fail(LookupError()) is False


async def test_a_plain_handler_cannot_answer_later() -> None:
    """It may run in the asker's task; the error says what to do."""

    class Plain(Actor):
        def receive(self, message: object) -> None:
            self.context.reply_later()

    async with ActorSystem(supervisor=PATIENT) as system:
        ref = await system.spawn(Plain)
        with pytest.raises(ActorFailed, match=r"Plain\.receive must be `async def`"):
            await ref.ask("?")
