"""Answers that come later than the end of the handler that got the question, and messages put off for later."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from tinyllm_actors.errors import ActorFailed, ActorStopped, MailboxFull
from tinyllm_actors.kernel.envelope import Ask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinyllm_actors.kernel.cell import Cell
    from tinyllm_actors.kernel.cold import Cold
    from tinyllm_actors.kernel.envelope import Envelope
    from tinyllm_actors.kernel.lifecycle import ExitReason
    from tinyllm_actors.kernel.mailbox import Queue

__all__ = ["ReplyTo", "admit_urgent", "defer", "fail_deferred", "postpone", "recall", "requeue"]


class _DeferredAsk(Ask):
    """An ask whose answer is not what its handler returns.

    An ask takes this class while it is deferred (the layout is the same). So the scheduler, which delivers what a
    handler returned, need not ask of each message whether it may.
    """

    __slots__ = ()

    def succeed(self, value: object) -> None:
        """What the handler returned is not the answer."""

    def _finish(self) -> None:
        left = self.receiver.cold.deferred.pop(self, None)
        super()._finish()
        if left is not None:
            left()


class ReplyTo:
    """Where the answer to a message goes, for an actor that has none yet. Each way to answer works once.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> from tinyllm_actors.kernel import ReplyTo
    >>> class Pairs(Actor):
    ...     def __init__(self) -> None:
    ...         self.first: tuple[str, ReplyTo] | None = None
    ...     async def receive(self, message: str) -> None:
    ...         me = self.context.reply_later()
    ...         if self.first is None:
    ...             self.first = message, me
    ...             return
    ...         (name, partner), self.first = self.first, None
    ...         partner.reply(message)
    ...         me.reply(name)
    >>> async def main() -> list[str]:
    ...     async with ActorSystem("dance") as system:
    ...         pairs = await system.spawn(Pairs)
    ...         asks = [pairs.ask(name) for name in ("ann", "ben")]
    ...         return [await ask for ask in asks]
    >>> anyio.run(main)
    ['ben', 'ann']

    ```
    """

    __slots__ = ("_ask",)

    def __init__(self, ask: Ask | None) -> None:
        self._ask = ask

    @property
    def waiting(self) -> bool:
        """Whether somebody still waits: it was an ask, not answered yet, not given up and not too late."""
        return self._ask is not None and not self._ask.done

    def on_leave(self, act: Callable[[], object]) -> None:
        """Call `act`, which must be quick and not raise, when the asker leaves before it was answered.

        It leaves when it is cancelled, when its deadline passes, and when this incarnation ends. At once if it has.
        """
        if self._ask is None:
            return
        if self._ask.done:
            act()
        else:
            self._ask.receiver.cold.deferred[self._ask] = act

    def reply(self, value: object) -> bool:
        """Answer. False if nobody waits any more."""
        waiting = self._answering()
        if self._ask is not None:
            Ask.succeed(self._ask, value)
        return waiting

    def fail(self, error: BaseException) -> bool:
        """Answer with a failure: the asker gets `ActorFailed` with this cause. False if nobody waits any more."""
        waiting = self._answering()
        if self._ask is not None:
            self._ask.fail(ActorFailed(self._ask.receiver.path, error))
        return waiting

    def _answering(self) -> bool:
        if self._ask is None or self._ask.done:
            return False
        self._ask.receiver.cold.deferred.pop(self._ask, None)  # it does not leave, it gets its answer
        return True


def defer(envelope: Envelope | None) -> ReplyTo:
    """Answer the message in processing later; what its handler returns does not count."""
    if envelope is None or type(envelope) not in {Ask, _DeferredAsk}:
        return ReplyTo(None)  # a told message, a stream, or none: nobody waits for a reply
    ask = cast("Ask", envelope)
    ask.__class__ = _DeferredAsk
    if not ask.done:
        ask.receiver.cold.deferred[ask] = None
    return ReplyTo(ask)


def recall(envelope: Envelope) -> None:
    """Make an ordinary ask of a deferred or detached one, which will be handled again."""
    if isinstance(envelope, Ask):
        envelope.detached = False
        if type(envelope) is _DeferredAsk:
            envelope.receiver.cold.deferred.pop(envelope, None)
            cast("Ask", envelope).__class__ = Ask


def fail_deferred(extra: Cold, path: str, reason: ExitReason) -> None:
    """The incarnation ended: nobody is left to answer."""
    for ask in list(extra.deferred):
        if reason.cause is not None:
            ask.fail(ActorFailed(path, reason.cause))
        else:
            ask.fail(ActorStopped(path, f"it ended before it answered ({reason})", ask.message))


def postpone(cell: Cell, envelope: Envelope, limit: int) -> None:
    """Put the message in processing off until `requeue`, unless `limit` are already. Its asker goes on waiting."""
    postponed = cell.cold.postponed = [entry for entry in cell.cold.postponed if not entry[0].done]
    if len(postponed) >= limit:
        if isinstance(envelope, Ask):
            envelope.fail(MailboxFull(cell.path, limit, envelope.message))
        else:
            cell.system.dead_letter(cell, envelope, "full")
        return
    if cell.capacity < 0:
        if isinstance(envelope, Ask):
            envelope.fail(ActorStopped(cell.path, "it is stopped", envelope.message))
        else:
            cell.system.dead_letter(cell, envelope, "stopped")
        return
    assert envelope.context is not None
    if type(envelope) is Ask:
        envelope.__class__ = _DeferredAsk
    postponed.append((envelope, envelope.context))


def requeue(cell: Cell, extra: Cold) -> None:
    """Put what was put off back into the mailbox, before everything else, oldest first."""
    extra.replay = False
    if not extra.postponed:
        return
    postponed, extra.postponed = extra.postponed, ()
    mailbox = cell.new_queue() if cell.mailbox is None else cell.mailbox
    extra.ahead = [envelope for envelope in extra.ahead if envelope.context is not None]
    for envelope, context in postponed:
        recall(envelope)
        envelope.context = context
    _put_first(mailbox, extra, [envelope for envelope, _ in postponed])


def admit_urgent(mailbox: Queue, extra: Cold) -> bool:
    """Let the control lane in, in order, behind what a state machine has inserted and what came back to it.

    Returns:
        Whether to look again after the next message.
    """
    ahead = extra.ahead
    while ahead and (ahead[-1].context is None or ahead[-1].done):
        ahead.pop()  # it was handled
    if extra.inserted:
        _put_first(mailbox, extra, extra.inserted)
        extra.inserted = ()
    elif not ahead and extra.urgent:
        _put_first(mailbox, extra, extra.urgent)
        extra.urgent = ()
    return bool(extra.ahead)


def _put_first(mailbox: Queue, extra: Cold, envelopes: Sequence[Envelope]) -> None:
    ahead = extra.ahead or []
    for envelope in reversed(envelopes):
        mailbox.appendleft(envelope)
        ahead.append(envelope)
    extra.ahead = ahead
