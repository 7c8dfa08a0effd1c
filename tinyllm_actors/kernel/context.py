"""What an actor sees of the system from inside: `self.context`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tinyllm_actors.errors import ActorStopped, UnknownActor
from tinyllm_actors.kernel import behaviour, watch
from tinyllm_actors.kernel.cell import LEAVING
from tinyllm_actors.kernel.deferred import defer
from tinyllm_actors.kernel.envelope import CURRENT, NEVER, Ask
from tinyllm_actors.kernel.interruptible import Interruptible
from tinyllm_actors.kernel.lifecycle import ExitReason
from tinyllm_actors.kernel.names import find_child
from tinyllm_actors.kernel.owned import RECEIVE_TIMEOUT, OwnedTask, OwnedTimer, ReceiveTimeout

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tinyllm_actors.kernel.actor import Actor
    from tinyllm_actors.kernel.cell import Cell
    from tinyllm_actors.kernel.deferred import ReplyTo
    from tinyllm_actors.kernel.envelope import Envelope
    from tinyllm_actors.kernel.node import SupervisorRef
    from tinyllm_actors.kernel.ref import ActorRef
    from tinyllm_actors.kernel.spec import ChildSpec, Supervisor
    from tinyllm_actors.kernel.system import ActorSystem

__all__ = ["ActorContext"]


class ActorContext:
    """The actor's place in the tree and what it may do there. Valid in its own handlers, hooks and tasks.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> class Parent(Actor):
    ...     async def receive(self, message: str) -> list[str]:
    ...         child = await self.context.spawn(Actor, name=message)
    ...         self.context.send_after(60.0, "bedtime")
    ...         return [self.context.path, child.path, f"{self.context.remaining():.0f} s left"]
    >>> async def main() -> list[str]:
    ...     async with ActorSystem("family") as system:
    ...         parent = await system.spawn(Parent, name="ann")
    ...         return await parent.ask("bob", timeout=5.0)
    >>> anyio.run(main)
    ['ann', 'ann/bob', '5 s left']

    ```
    """

    __slots__ = ("_cell",)

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    # --- who and where -----------------------------------------------------------------------------

    @property
    def system(self) -> ActorSystem:
        """The system it lives in."""
        return self._cell.system

    @property
    def ref(self) -> ActorRef:
        """The reference to this actor, to hand to others."""
        return self._cell.system.ref_to(self._cell)

    @property
    def path(self) -> str:
        """Where it is in the tree."""
        return self._cell.path

    @property
    def name(self) -> str:
        """The last part of its path."""
        return self._cell.label

    @property
    def parent(self) -> ActorRef | None:
        """Its supervisor; None under the root."""
        parent = self._cell.parent
        return None if parent is None or parent.parent is None else self._cell.system.ref_to(parent)

    @property
    def incarnation(self) -> int:
        """How often it was started; 1 for the first time."""
        return self._cell.incarnation

    # --- the message in processing -----------------------------------------------------------------

    @property
    def _current(self) -> Envelope | None:
        current = CURRENT.get()
        return current if current is not None and current.receiver is self._cell else None

    @property
    def message_id(self) -> int:
        """The number of the message in processing, unique in the system; 0 outside of one."""
        current = self._current
        return 0 if current is None else current.id

    @property
    def attempt(self) -> int:
        """How often the message in processing was tried before; more than 0 only where the spec redelivers."""
        current = self._current
        return 0 if current is None else current.attempt

    @property
    def deadline(self) -> float:
        """When whoever waits for this message stops waiting, on the clock of `anyio.current_time()`; inf for never."""
        current = self._current
        return NEVER if current is None else current.deadline

    def remaining(self) -> float:
        """Seconds until the deadline; inf if there is none."""
        deadline = self.deadline
        return math.inf if deadline == NEVER else max(0.0, deadline - self._cell.system.now())

    def detach(self) -> None:
        """Go on with the message in processing even if its asker leaves or its deadline passes."""
        current = self._current
        if isinstance(current, Ask):
            current.detached = True

    def reply_later(self) -> ReplyTo:
        """Take over the answer to the message in processing: what the handler returns is not it any more.

        ```python
        class Batcher(Actor):
            async def receive(self, message: str) -> None:
                self.waiting.append((message, self.context.reply_later()))
        ```

        The asker's deadline goes on. If this incarnation ends first, the asker gets `ActorStopped` or `ActorFailed`.

        Raises:
            TypeError: `receive` is a plain `def`, which may run in the asker's task and must answer there.
        """
        actor = self._cell.actor
        if actor is not None and not actor.kernel_receive_is_async:
            raise TypeError(f"{type(actor).__name__}.receive must be `async def` to reply later")
        return defer(self._current)

    def become(self, receive: Callable[[Any], Any], *, discard_old: bool = True) -> None:
        """Let `receive` handle the messages that follow, instead of the actor's own method.

        A restart begins with the method again. For more than two or three behaviours, a `StateMachineActor` says
        better which may follow which.

        ```python
        >>> import anyio
        >>> from tinyllm_actors import Actor, ActorSystem
        >>> class Lamp(Actor):
        ...     async def receive(self, message: str) -> str:
        ...         self.context.become(self.lit)
        ...         return "on"
        ...     async def lit(self, message: str) -> str:
        ...         self.context.unbecome()
        ...         return "off"
        >>> async def main() -> list[str]:
        ...     async with ActorSystem("house") as system:
        ...         lamp = await system.spawn(Lamp)
        ...         return [await lamp.ask("press") for _ in range(3)]
        >>> anyio.run(main)
        ['on', 'off', 'on']

        ```

        Args:
            receive: a coroutine function or a plain one, of one message.
            discard_old: take the place of the last behaviour; False to keep that for `unbecome`. The actor's own
                method is always kept.
        """
        behaviour.become(self._cell, receive, discard_old=discard_old)

    def unbecome(self) -> bool:
        """Go back to the behaviour before; False if it is the actor's own method already."""
        return behaviour.unbecome(self._cell)

    # --- other actors ------------------------------------------------------------------------------

    def watch(self, ref: ActorRef) -> None:
        """Get one `Terminated(ref, reason)` when that actor has ended for good; at once if it has already.

        A restart of it is no end. The watch ends with this incarnation: watch in `started()`.

        ```python
        >>> import anyio
        >>> from tinyllm_actors import Actor, ActorRef, ActorSystem
        >>> from tinyllm_actors.kernel import Terminated
        >>> class Heir(Actor):
        ...     def __init__(self, relative: ActorRef) -> None:
        ...         self.relative = relative
        ...     async def started(self) -> None:
        ...         self.context.watch(self.relative)
        ...     async def receive(self, message: object) -> None:
        ...         match message:
        ...             case Terminated(ref, reason):
        ...                 print(f"{ref.path} ended: {reason}")
        >>> async def main() -> None:
        ...     async with ActorSystem("family") as system:
        ...         uncle = await system.spawn(Actor, name="uncle")
        ...         heir = await system.spawn(Heir, uncle)
        ...         await uncle.stop()
        ...         await heir.ask("what else?")  # after what came before
        >>> anyio.run(main)
        uncle ended: stopped

        ```
        """
        watch.watch(self._cell, ref.cell)

    def unwatch(self, ref: ActorRef) -> None:
        """Watch it no more; a `Terminated` that is not handled yet does not come either."""
        watch.unwatch(self._cell, ref.cell)

    def link(self, ref: ActorRef) -> None:
        """Share the fate of another actor: when one of the two ends abnormally, the other fails.

        It fails with `LinkedActorFailed`, and its supervisor decides. An end in good order has no effect, and a
        restart is no end: where restarts shall be shared, use a supervisor with `Strategy.ONE_FOR_ALL`.

        Raises:
            LinkedActorFailed: that actor has ended abnormally already.
        """
        watch.link(self._cell, ref.cell)

    def unlink(self, ref: ActorRef) -> None:
        """Take the link back, whoever of the two made it."""
        watch.unlink(self._cell, ref.cell)

    # --- children ----------------------------------------------------------------------------------

    async def spawn(
        self, what: ChildSpec | Callable[..., Actor] | Any, /, *args: Any, name: str | None = None, **kwargs: Any
    ) -> Any:
        """Start a child; like `ActorSystem.spawn`, under this actor. It ends when this incarnation does."""
        cell = self._cell
        return await cell.system.spawn_under(cell, cell.system.to_spec(what, args, kwargs), name)

    async def supervise(self, supervisor: Supervisor, children: list[ChildSpec], *, name: str) -> SupervisorRef:
        """Start a supervisor with its children, under this actor."""
        return await self._cell.system.supervise_under(self._cell, supervisor, children, name)

    @property
    def children(self) -> list[ActorRef]:
        """Its children in start order."""
        return [self._cell.system.ref_to(child) for child in self._cell.children]

    def child(self, name: str) -> ActorRef:
        """Return the child of that name.

        Raises:
            UnknownActor: there is none.
        """
        family = self._cell.family
        child = None if family is None else find_child(family, name)
        if child is None:
            raise UnknownActor(f"{self._cell.path}/{name}")
        return self._cell.system.ref_to(child)

    def stop(self) -> None:
        """End after the message in processing. A permanent actor is started again by its supervisor."""
        cell = self._cell
        cell.cold.leaving = ExitReason.NORMAL
        cell.attention |= LEAVING
        if cell.idle:
            cell.idle = False
            cell.system.scheduler.enqueue(cell)

    # --- time and tasks ----------------------------------------------------------------------------

    def send_after(self, delay: float, message: object, *, name: str = "timer", every: float | None = None) -> None:
        """Send `message` to this actor after `delay` seconds; a timer of the same name is replaced.

        Args:
            delay: seconds from now.
            message: what to send.
            name: what the timer is called, to cancel or replace it.
            every: seconds between repetitions; None for once. A period that was missed is skipped.
        """
        if delay < 0 or (every is not None and every <= 0):
            raise ValueError(f"need delay >= 0 and every > 0, got delay={delay!r}, every={every!r}")
        self.cancel_timer(name)
        self._cell.cold.timers[name] = OwnedTimer(self._cell, name, delay, message, every)

    def cancel_timer(self, name: str = "timer") -> bool:
        """Cancel a timer; False if there is none of that name."""
        timer = None if self._cell.extra is None else self._cell.extra.timers.pop(name, None)
        if timer is None:
            return False
        timer.cancel()
        return True

    def set_receive_timeout(self, seconds: float | None, message: object = None) -> None:
        """Send `message` to this actor whenever no message came for `seconds`; None for no more.

        It replaces the one before. Messages of the actor's own timers count too.

        Raises:
            ValueError: `seconds` is not above 0.
        """
        if seconds is not None and seconds <= 0:
            raise ValueError(f"a receive time-out is above 0 seconds, or None for none, not {seconds!r}")
        cold = self._cell.cold
        if cold.receive_timeout is not None:
            cold.receive_timeout.cancel()
            cold.idle_timers = tuple(timer for timer in cold.idle_timers if timer is not cold.receive_timeout)
            self.cancel_timer(RECEIVE_TIMEOUT)
        cold.receive_timeout = None
        if seconds is not None:
            cold.receive_timeout = ReceiveTimeout(self._cell, seconds, message)
            cold.idle_timers = (*cold.idle_timers, cold.receive_timeout)

    def interruptible(self) -> Interruptible:
        """Return a block, for a handler, in which a stop does not wait for the handler: it is cancelled at once.

        A stop waits for what is in progress, 5 seconds by default, as that may be worth finishing. To wait for a
        person, or for whatever comes some day, is not; what ought to be done at the end belongs into `stopped()`.

        ```python
        >>> import anyio
        >>> from tinyllm_actors import Actor, ActorSystem
        >>> class Patient(Actor):
        ...     async def receive(self, message: anyio.Event) -> None:
        ...         with self.context.interruptible():
        ...             message.set()
        ...             await anyio.sleep_forever()
        >>> async def main() -> None:
        ...     waits = anyio.Event()
        ...     async with ActorSystem("service") as system:
        ...         ref = await system.spawn(Patient)
        ...         await ref.tell(waits)
        ...         await waits.wait()
        ...         with anyio.fail_after(3):
        ...             print(await ref.stop())
        >>> anyio.run(main)
        stopped

        ```
        """
        return Interruptible(self._cell)

    def start_task(self, function: Callable[..., Awaitable[Any]], *args: Any, name: str | None = None) -> OwnedTask:
        """Run a coroutine function beside this actor's messages. A failure is a failure of the actor.

        The task ends with this incarnation. It must not touch the actor's state: let it `tell` the actor instead.
        """
        return self._own(OwnedTask(self._cell, name or function.__name__, lambda: function(*args)))

    def pipe_to_self(
        self,
        function: Callable[..., Awaitable[Any]],
        *args: Any,
        on_result: Callable[[Any], object],
        on_error: Callable[[BaseException], object] | None = None,
    ) -> OwnedTask:
        """Run a coroutine function and send what `on_result` makes of its result to this actor.

        Args:
            function: what to run.
            args: its arguments.
            on_result: makes a message of what it returned.
            on_error: makes a message of a failure; without it a failure of the task is one of the actor.
        """
        return self._own(OwnedTask(self._cell, function.__name__, lambda: function(*args), on_result, on_error))

    def _own(self, task: OwnedTask) -> OwnedTask:
        if self._cell.actor is None:
            raise ActorStopped(self._cell.path, "it is stopping, and starts no tasks")
        cold = self._cell.cold
        if cold.tasks:
            cold.tasks.add(task)
        else:
            cold.tasks = {task}
        self._cell.system.start_task(task.run)
        return task
