"""What travels: a message with the context it was sent in, and, for an ask, the place where its answer arrives."""

from __future__ import annotations

from contextvars import ContextVar, copy_context
from typing import TYPE_CHECKING, Any

from tinyllm_actors.errors import ActorStopped, AskDeadlock, AskTimeout

if TYPE_CHECKING:
    from collections.abc import Generator
    from contextvars import Context

    from tinyllm_actors.kernel.cell import Cell
    from tinyllm_actors.kernel.slots import Future
    from tinyllm_actors.kernel.timers import Entry

__all__ = ["CURRENT", "Ask", "Envelope", "Kind", "Signal"]

NEVER = float("inf")


class Kind:
    """What is expected back. Plain integers, because each message is asked for its kind twice."""

    TELL = 0
    ASK = 1
    STREAM = 2
    SIGNAL = 3


class Envelope:
    """A message on its way to one actor.

    Attributes:
        message: what was sent.
        receiver: the cell it was sent to.
        context: the sender's context variables, copied when it was sent; None once it is handled.
        deadline: when the sender stops waiting, on the system's clock; inherited by what the handler asks for.
        attempt: how often it was handled before (more than 0 only where the spec redelivers).
        sent_at: when it came into the mailbox, set only where that has a time to live.
        since: when its handler first waited for something; 0 until then.
    """

    __slots__ = ("attempt", "context", "deadline", "id", "message", "receiver", "sent_at", "since", "waits")

    kind = Kind.TELL

    done: bool = False
    """Whether nobody waits for it any more, so that it need not be handled. A slot in an ask, which is read often."""

    def __init__(self, message: object, receiver: Cell, context: Context | None, deadline: float = NEVER) -> None:
        self.message = message
        self.receiver = receiver
        self.context: Context | None = context
        self.deadline = deadline
        self.id = next(receiver.system.ids)
        self.attempt = 0
        self.since = 0.0
        self.waits: list[Ask] | None = None

    def succeed(self, value: object) -> None:
        """Deliver the answer, if somebody waits for one."""


CURRENT: ContextVar[Envelope | None] = ContextVar("tinyllm_actors.current", default=None)


class Signal(Envelope):
    """A message of the control lane: from a timer, a task or the kernel, to one incarnation and no other."""

    __slots__ = ("_incarnation", "_withdrawn")

    kind = Kind.SIGNAL

    def __init__(self, message: object, receiver: Cell) -> None:
        super().__init__(message, receiver, receiver.system.new_context())
        self._incarnation = receiver.incarnation
        self._withdrawn = False

    @property
    def done(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - nobody but an ask sets it
        """Whether it is void: withdrawn, or for an incarnation that has ended."""
        return self._withdrawn or self._incarnation != self.receiver.incarnation

    @property
    def waiting(self) -> bool:
        """Whether it is still to be handled."""
        return self.context is not None and not self.done and self is not CURRENT.get()

    def withdraw(self) -> None:
        """Take it back, unless it was handled already or is being handled now."""
        if self.waiting and self.receiver.current is not self:
            self._withdrawn = True


class Ask(Envelope):
    """An envelope whose answer somebody waits for: `await` it, once.

    It ends in exactly one way: with a value, with an `ActorError`, or with the cancellation of the waiter, which
    reaches the callee.
    """

    __slots__ = ("_failed", "_future", "_outcome", "_timeout", "_timer", "asker", "detached", "done")

    kind = Kind.ASK

    # Not `super().__init__(…)`: the call is 4 % of an ask. What is not set here is set before it is read.
    def __init__(self, message: object, receiver: Cell, asker: Envelope | None, timeout: float | None) -> None:
        system = receiver.system
        self.message = message
        self.receiver = receiver
        self.context = copy_context()
        self.id = next(system.ids)
        self.attempt = 0
        self.since = 0.0
        self.waits = None
        self.asker = asker
        self.detached = False
        self.done = False
        self._future: Future | None = None
        deadline = NEVER if asker is None else asker.deadline
        if timeout is not None or deadline != NEVER:
            now = system.now()
            if timeout is not None and now + timeout < deadline:  # a deadline can be shortened, never extended
                deadline = now + timeout
            self._timeout = deadline - now
            self._timer: Entry | None = system.timers.at(deadline, self)
        else:
            self._timer = None
        self.deadline = deadline

    def succeed(self, value: object) -> None:
        """Deliver the answer."""
        if not self.done:
            self._failed = False
            self._outcome: Any = value
            self._finish()

    def fail(self, error: BaseException) -> None:
        """Deliver a failure."""
        if not self.done:
            self._failed = True
            self._outcome = error
            self._finish()

    def _finish(self) -> None:
        self.done = True
        timer = self._timer
        if timer is not None:
            timer[2] = None  # what `Timers.cancel` does
        future = self._future
        if future is not None and not future.done():
            future.set_result(None)

    def expire(self) -> None:
        """End the ask because its deadline has passed."""
        self.give_up(AskTimeout(self.receiver.path, max(0.0, self._timeout)))

    def give_up(self, error: BaseException) -> None:
        """End the ask from the asker's side: a queued message becomes a tombstone, a running handler is cancelled."""
        if self.done:
            return
        self.fail(error)
        self.receiver.withdraw(self)

    def __await__(self) -> Generator[Any, Any, Any]:
        if not self.done:
            if self._future is not None:
                raise RuntimeError("this ask is awaited by another task already; ask again, or share the result")
            asker = self.asker
            if asker is not None:
                self.begin_wait(asker)
            self._future = future = self.receiver.system.backend.new_future()
            try:
                yield from future.__await__()
            except BaseException:  # cancellation, or the waiter's coroutine was closed
                self.give_up(ActorStopped(self.receiver.path, "its asker left", self.message))
                self._outcome = None
                raise
            finally:
                if asker is not None:
                    self.end_wait(asker)
        # On asyncio a time-out that the handler set holds its context, and so this ask, until it would have been due,
        # even when it was cancelled: what the ask brought is the asker's from now on.
        if not self._failed:
            outcome = self._outcome
            if outcome is not None:
                self._outcome = None
                self._failed = True
            return outcome
        # The failure's traceback holds this frame and those of the handler, which hold this ask. Who takes the failure
        # must be the only one that holds it, or else nothing but the garbage collector would free the actor's object.
        error, self._outcome = self._outcome, None
        try:
            raise error or RuntimeError("this ask was awaited already; ask again, or keep its answer")
        finally:
            del error

    def begin_wait(self, asker: Envelope) -> None:
        """Add the edge asker → receiver to the wait-for graph.

        Raises:
            AskDeadlock: the edge would close a cycle.
        """
        cycle = _cycle(asker.receiver, self.receiver)
        if cycle is not None:
            error = AskDeadlock([cell.path for cell in cycle])
            self.give_up(error)
            raise error
        if asker.waits is None:
            asker.waits = [self]
        else:
            asker.waits.append(self)

    def end_wait(self, asker: Envelope) -> None:
        """Take the edge back."""
        assert asker.waits is not None
        asker.waits.remove(self)


def _cycle(start: Cell, target: Cell) -> list[Cell] | None:
    """Return the way from `start` back to itself that begins with `target`, along what cells wait for."""
    if target is start:
        return [start, start]
    if target.current is None or not target.current.waits:
        return None  # the common case: the callee waits for nobody
    trail = [(target, [start, target])]
    seen = {target}
    while trail:
        cell, way = trail.pop()
        current = cell.current
        for ask in (current.waits or ()) if current is not None else ():
            after = ask.receiver
            if after is start:
                return [*way, start]
            if after not in seen:
                seen.add(after)
                trail.append((after, [*way, after]))
    return None
