"""The handle through which everybody else speaks to an actor."""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

from tinyllm_actors.errors import ActorFailed
from tinyllm_actors.kernel import debug, life
from tinyllm_actors.kernel.envelope import CURRENT, NEVER, Ask, Envelope
from tinyllm_actors.kernel.failure import settle
from tinyllm_actors.kernel.lifecycle import ExitReason, Lifecycle
from tinyllm_actors.kernel.mailbox import Overflow
from tinyllm_actors.kernel.scheduler import invoke
from tinyllm_actors.kernel.stream import StreamRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator
    from contextvars import Context

    from tinyllm_actors.kernel.cell import Cell
    from tinyllm_actors.kernel.slots import Backend

__all__ = ["ActorRef"]

SYSTEM_DEFAULT: Final = float("-inf")
"""A time-out that stands for the system's `ask_timeout`; one that no arithmetic with deadlines comes to by chance."""

MAX_INLINE: Final = 16
"""How deep askers may run one another's handlers before the run queue takes over."""

YIELD_EVERY: Final = 64
"""Asks that were answered in place between two checkpoints."""


_STOPPED: Final = Lifecycle.STOPPED


class _Answered(Envelope):
    """An ask whose handler runs in the asker's own task, and, to be awaited, its answer.

    Attributes:
        value: the answer.
        error: the failure, where there was one.
        backend: set where it is time to let others run before the answer is read.
    """

    __slots__ = ("_limit", "_timeout", "backend", "error", "value")

    # Not `super().__init__(…)`: see `Ask`.
    def __init__(self, message: object, receiver: Cell, context: Context, timeout: float | None, limit: float) -> None:
        self.message = message
        self.receiver = receiver
        self.context = context
        self.id = next(receiver.system.ids)
        self.attempt = 0
        self.since = 0.0
        self.waits = None
        self.value: object = None
        self.error: ActorFailed | None = None
        self.backend: Backend | None = None
        self._timeout = timeout
        self._limit = limit  # the asker's own deadline

    @property
    def deadline(self) -> float:
        """When the asker stops waiting.

        The clock is read when a handler first wants to know, which hardly any plain one does: it takes a twentieth of
        such an ask. Before that moment there was nothing but the handler's own work, since it cannot wait.
        """
        if self._timeout is not None:  # asked again it stays the same, since a later one never counts
            self._limit = min(self._limit, self.receiver.system.now() + self._timeout)
        return self._limit

    def __await__(self) -> Generator[Any, Any, Any]:
        if self.backend is not None:
            yield from self.backend.yield_now().__await__()
        error = self.error
        if error is None:
            return self.value
        self.error = None  # see the end of `Ask.__await__`
        try:
            raise error
        finally:
            del error


class ActorRef:
    """The way to one actor, whichever incarnation of it lives.

    References are equal when they lead to the same actor. They are valid in the event loop of their system only.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> class Doubler(Actor):
    ...     def receive(self, message: int) -> int:
    ...         return message * 2
    >>> async def main() -> None:
    ...     async with ActorSystem("service") as system:
    ...         ref = await system.spawn(Doubler, name="doubler")
    ...         await ref.tell(1)  # no answer
    ...         print(ref, ref.tell_nowait(2), await ref.ask(21, timeout=1.0))
    ...         print(await ref.stop(), ref.alive)
    >>> anyio.run(main)
    <ActorRef 'doubler' RUNNING> True 42
    stopped False

    ```
    """

    __slots__ = ("cell",)

    def __init__(self, cell: Cell) -> None:
        self.cell = cell

    @property
    def path(self) -> str:
        """Where the actor is in the tree, such as `"pair/a"`."""
        return self.cell.path

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.cell.label

    @property
    def alive(self) -> bool:
        """Whether it has not ended for good (it may be starting or restarting)."""
        return self.cell.state not in {Lifecycle.STOPPING, Lifecycle.STOPPED}

    @property
    def state(self) -> Lifecycle:
        """Where the actor is in its life."""
        return self.cell.state

    async def tell(self, message: object) -> None:
        """Send a message without waiting for an answer; returns once it is in the mailbox.

        Waits for room when the mailbox is full and its policy is to block. A message to an actor that has ended
        becomes a dead letter.

        Raises:
            MailboxFull: there is no room, and the policy is to reject, or `block_timeout` has passed.
        """
        cell = self.cell
        waiter = cell.post(Envelope(message, cell, copy_context()))
        if waiter is not None:
            await waiter.wait()

    def tell_nowait(self, message: object) -> bool:
        """Send a message if there is room. Returns whether it was taken; never raises, never waits."""
        cell = self.cell
        envelope = Envelope(message, cell, copy_context())
        mailbox = cell.mailbox
        if cell.capacity < 0 or (mailbox is not None and len(mailbox) >= cell.capacity) or cell.attention:
            return self._try_post(cell, envelope)
        cell.post(envelope)
        return True

    @staticmethod
    def _try_post(cell: Cell, envelope: Envelope) -> bool:
        depth = cell.depth()
        full = depth >= cell.capacity
        overflow = cell.spec.options.mailbox.overflow
        if cell.capacity < 0:
            cell.refuse(envelope, "stopped")
            return False
        if full and overflow in {Overflow.BLOCK, Overflow.REJECT}:
            return False
        cell.post(envelope)
        return not (full and overflow is Overflow.DROP_NEWEST)

    def ask(self, message: object, *, timeout: float | None = SYSTEM_DEFAULT) -> Awaitable[Any]:
        """Send a message and return its answer, to be awaited once.

        The message is sent at once; many asks can be under way before the first is awaited. Cancelling the awaiting
        task, or the deadline, withdraws the message or cancels the handler that works on it. An idle actor whose
        `receive` is a plain `def` answers in the caller's task.

        Args:
            message: what the actor's `receive` gets.
            timeout: seconds to wait; None for as long as the actor lives; left out for the system's `ask_timeout`.
                Inside a handler, the deadline of the message being handled holds too.

        Raises:
            ActorFailed: the handler raised; `cause` holds what.
            ActorStopped: the actor has ended, or ended before it answered.
            AskTimeout: no answer in time.
            AskDeadlock: the actor waits, perhaps through others, for the one that asks.
            MailboxFull: there was no room, and the policy is to reject.
            MessageDiscarded: the mailbox's policy dropped the message.
        """
        cell = self.cell
        system = cell.system
        asker = CURRENT.get()  # what follows is `system.asker()`, without the call
        if asker is not None and (asker.context is None or asker.receiver.system is not system):
            asker = None
        if timeout == SYSTEM_DEFAULT:
            timeout = system.ask_timeout
        scheduler = system.scheduler
        actor = cell.actor
        if not cell.idle or not cell.plain or scheduler.inline_depth >= MAX_INLINE or actor is None:
            ask = Ask(message, cell, asker, timeout)
            cell.post(ask)
            return ask
        # It is idle, so it is its turn, and its handler is a plain function: it runs here, in the asker's task.
        context = copy_context()
        answer = _Answered(message, cell, context, timeout, NEVER if asker is None else asker.deadline)
        cell.idle = False
        scheduler.inline_depth += 1
        scheduler.answered += 1
        if not scheduler.answered % YIELD_EVERY:
            answer.backend = system.backend
        try:
            answer.value = context.run(invoke, answer, actor.receive)
        except BaseException as error:
            answer.error = ActorFailed(cell.path, settle(cell, answer, error, None))
        scheduler.inline_depth -= 1
        answer.context = None
        if cell.mailbox or cell.attention or cell.extra is not None:
            if cell.actor is not None and not cell.idle:
                cell.wake()
        else:
            cell.idle = True
        return answer

    def stream(self, message: object, *, timeout: float | None = None, buffer: int = 64) -> StreamRequest[Any]:
        """Open the answer to `message` as a stream: `async with ref.stream(m) as items: async for item in items: …`.

        Leaving the block cancels the producer.

        Args:
            message: what the actor's `stream` gets.
            timeout: seconds for the whole stream; None for no bound but the inherited deadline.
            buffer: items that the producer may be ahead. If in doubt, 64.

        Raises:
            ActorFailed: the producer failed; raised by the iteration, after the items that came before.
            ActorStopped: the actor has ended, or ended before the stream did.
            AskTimeout: the deadline has passed.
        """
        return StreamRequest(self.cell, message, timeout, buffer)

    async def stop(self, timeout: float | None = None) -> ExitReason:
        """Stop the actor for good and wait until it has ended.

        It finishes the message in processing, its children end in reverse order, and `stopped()` runs. What waits in
        its mailbox is accounted for: asks fail with `ActorStopped`, tells become dead letters. Called by the actor
        itself, or by one below it, it takes effect after the current message and does not wait.

        Args:
            timeout: seconds before the message in processing is cancelled; None for the `shutdown` of its spec.
        """
        cell = self.cell
        system = cell.system
        system.care.end(cell, ExitReason.STOPPED, timeout)
        if cell.state is _STOPPED:  # it was idle and owned nothing
            return cell.reason or ExitReason.STOPPED
        if _waits_for(cell, system.asker()):
            return ExitReason.STOPPED
        return await life.joined(cell)

    async def kill(self) -> ExitReason:
        """End the actor at once: its handler is cancelled and `stopped()` does not run."""
        cell = self.cell
        asker = cell.system.asker()
        cell.system.care.end(cell, ExitReason.KILLED)
        if _waits_for(cell, asker):
            return ExitReason.KILLED
        return await life.joined(cell)

    async def join(self) -> ExitReason:
        """Wait until the actor has ended for good (restarts do not count) and return why."""
        return await life.joined(self.cell)

    # --- for people, see `debug` -------------------------------------------------------------------

    async def get_state(self, *, timeout: float | None = 5.0) -> Any:
        """Return what the actor's `snapshot()` does: its attributes, between two messages.

        It comes before the messages that wait, and works while the actor is suspended.

        Raises:
            ActorStopped: it has ended.
            AskTimeout: the message in processing took longer than `timeout` seconds.
            ActorFailed: `snapshot()` raised.
        """
        return await debug.get_state(self.cell, timeout)

    async def suspend(self) -> None:
        """Let the actor handle no message after the one in processing, for which this waits. Messages wait meanwhile.

        Raises:
            ActorStopped: it has ended.
            InvalidTransition: it is not running.
        """
        await debug.suspend(self.cell)

    async def resume(self) -> None:
        """Let a suspended actor go on; nothing happens to any other."""
        debug.resume(self.cell)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ActorRef) and other.cell is self.cell

    def __hash__(self) -> int:
        return hash(self.cell)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r} {self.state.value}>"


def _waits_for(cell: Cell, asker: Envelope | None) -> bool:
    """Whether the end of `cell` waits for the end of the running handler, so that this must not wait for that."""
    inside = None if asker is None else asker.receiver
    while inside is not None and inside is not cell:
        inside = inside.parent
    return inside is cell
