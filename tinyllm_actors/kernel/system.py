"""The actor system: the root of the tree, and the task group in which everything runs."""

from __future__ import annotations

from contextvars import copy_context
from itertools import count
from typing import TYPE_CHECKING, Any, Final, cast

import anyio

from tinyllm_actors.errors import ActorStopped, StartFailed, SystemClosed, UnknownActor
from tinyllm_actors.kernel import life
from tinyllm_actors.kernel.actor import Actor
from tinyllm_actors.kernel.break_off import break_off
from tinyllm_actors.kernel.cell import Cell
from tinyllm_actors.kernel.dead_letters import DeadLetters
from tinyllm_actors.kernel.envelope import CURRENT, Envelope
from tinyllm_actors.kernel.event_stream import EventStream, Subscription
from tinyllm_actors.kernel.extension import extension
from tinyllm_actors.kernel.groups import Group, Groups
from tinyllm_actors.kernel.house import House
from tinyllm_actors.kernel.inspect import ActorNode, look_at
from tinyllm_actors.kernel.lifecycle import ExitReason, Lifecycle
from tinyllm_actors.kernel.log import attach_log
from tinyllm_actors.kernel.names import claim, find_child
from tinyllm_actors.kernel.node import SupervisorRef, SupervisorSpec
from tinyllm_actors.kernel.ref import ActorRef
from tinyllm_actors.kernel.registry import Registry
from tinyllm_actors.kernel.restart import Backoff
from tinyllm_actors.kernel.scheduler import Scheduler
from tinyllm_actors.kernel.slots import current_backend
from tinyllm_actors.kernel.spec import DEFAULT_OPTIONS, ChildSpec, DynamicSupervisor, Supervisor, check_name
from tinyllm_actors.kernel.supervision import Caretaker, check_room
from tinyllm_actors.kernel.timers import Timers

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence
    from contextvars import Context
    from types import TracebackType
    from typing import Self, Unpack

    from tinyllm_actors.conversation import Conversations, ConversationStore
    from tinyllm_actors.conversation.settings import ConversationOptions
    from tinyllm_actors.kernel.transition_filter import TransitionFilter

__all__ = ["ActorSystem"]


_SERVICES: Final = "services"
_RUNNING: Final = Lifecycle.RUNNING


class _Root(Actor):
    """Supervises what `system.spawn` starts."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervision = supervisor  # type: ignore[misc] - one configuration for each system


class ActorSystem:
    """A tree of actors inside one event loop; an async context manager.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> class Echo(Actor):
    ...     def receive(self, message: str) -> str:
    ...         return message.upper()
    >>> async def main() -> str:
    ...     async with ActorSystem("service") as system:
    ...         echo = await system.spawn(Echo, name="echo")
    ...         return await echo.ask("hello")
    >>> anyio.run(main, backend="trio")
    'HELLO'

    ```

    Leaving the block stops every actor, children before parents, the last started first. A failure that no supervisor
    could contain cancels the block and is raised from it.

    Args:
        name: what the system is called in logs.
        supervisor: how actors spawned directly under the system are supervised.
        ask_timeout: seconds an ask waits when it does not say; None for as long as the callee lives.
        shutdown_timeout: seconds for the whole shutdown, after which what still runs is cancelled.
        grace: seconds a cancelled handler gets before it is abandoned.
        log_transitions: write each transition to structlog, or those that a filter lets through; None for "if
            structlog has been configured".
        max_dead_letters: how many are kept for `dead_letters`.
    """

    def __init__(
        self,
        name: str = "system",
        *,
        supervisor: Supervisor | None = None,
        ask_timeout: float | None = 300.0,
        shutdown_timeout: float = 30.0,
        grace: float = 1.0,
        log_transitions: bool | TransitionFilter | None = None,
        max_dead_letters: int = 1000,
    ) -> None:
        self.name = check_name(name)
        self.ask_timeout = ask_timeout
        self.shutdown_timeout = shutdown_timeout
        self.grace = grace
        self.dead_letters = DeadLetters(max_dead_letters)
        self.registry = Registry()
        self.tracing: Any = None  # what the calls of Functions are told to; None while nobody wants to know
        self._groups = Groups(self)
        self.ids = count(1)
        self._numbers = count(1)
        self._log_transitions = log_transitions
        self._supervisor = supervisor or Supervisor()
        self._open = False
        self._house: House | None = None

    async def __aenter__(self) -> Self:
        if self._house is not None:
            raise RuntimeError(f"actor system {self.name!r} was used already; make a new one")
        self.backend = current_backend()
        self.now = self.backend.now
        self._context = copy_context()
        self._context.run(CURRENT.set, None)
        self.events_stream = EventStream(self.backend)
        await attach_log(self.events_stream, transitions=self._log_transitions)
        self._house = House(self.new_context)
        self.start_task = self._house.start
        self.start_worker = self._house.start_bare
        self.timers = Timers(self.now, self.start_task)
        self.scheduler = Scheduler(self)
        self.care = Caretaker(self)
        await self._house.open()
        self._root = Cell(self, None, self.name, ChildSpec(_Root, self._supervisor))
        life.make(self._root)
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        assert self._house is not None
        self._open = False
        try:
            with anyio.CancelScope(shield=True):
                try:
                    with anyio.move_on_after(self.shutdown_timeout):
                        self.care.end(self._root, ExitReason.SHUTDOWN)
                        await life.joined(self._root)
                finally:
                    await break_off(self._root)
        except BaseException as hurried:  # a second Ctrl-C: no shield holds it
            await self._house.close(type(hurried), hurried, hurried.__traceback__)
            raise
        return await self._house.close(kind, error, traceback)

    # --- spawning ----------------------------------------------------------------------------------

    def spawn(
        self, what: ChildSpec | Callable[..., Actor] | Any, /, *args: Any, name: str | None = None, **kwargs: Any
    ) -> Coroutine[Any, Any, Any]:
        """Start an actor directly under the system and return its reference, once it takes messages.

        Args:
            what: a `ChildSpec`, an actor class or factory (called with the other arguments), or anything with a
                `spec()` method.
            args: for its constructor.
            kwargs: for its constructor.
            name: unique among siblings; left out, the class and a number.

        Raises:
            StartFailed: its constructor or `started()` raised; `cause` holds what. Nothing is left of it.
            NameTaken: a sibling has that name.
            SystemClosed: the system is not running.
        """
        return self.spawn_under(self._running_root(), self.to_spec(what, args, kwargs), name)

    async def supervise(self, supervisor: Supervisor, children: Sequence[ChildSpec], *, name: str) -> SupervisorRef:
        """Start a supervisor and, in order, its children; they are at `"name/child"`.

        Raises:
            StartFailed: a child did not start; those before it were stopped again.
            NameTaken: a sibling has that name.
            ChildLimitExceeded: there are more children than the supervisor may have.
        """
        return await self.supervise_under(self._running_root(), supervisor, children, name)

    async def supervise_under(
        self, parent: Cell, supervisor: Supervisor, children: Sequence[ChildSpec], name: str
    ) -> SupervisorRef:
        """Like `supervise`, anywhere in the tree."""
        return await self.spawn_under(parent, SupervisorSpec(supervisor, list(children)), name)

    async def spawn_under(self, parent: Cell, spec: ChildSpec, name: str | None) -> Any:
        """Start a child of `parent`."""
        if not self._open:
            raise SystemClosed(self.name)
        family = parent.family or parent.as_parent
        halting = parent.extra is not None and parent.extra.halting
        if halting or (parent.state is not _RUNNING and life.ended(parent)):
            raise ActorStopped(parent.path, "it is stopping, and takes no children")
        children = family.children
        key: str | int
        chosen = spec.name if name is None else name
        if chosen is not None:
            key = claim(family, check_name(chosen))
        else:
            key = next(self._numbers)
            while family.has_numbered_names and f"{spec.label}-{key}" in children:
                key = next(self._numbers)
        if len(children) >= family.room:
            check_room(parent, family)
        children[key] = cell = Cell(self, parent, key, spec)
        try:
            if not life.start_at_once(cell):
                await life.start_with_hook(cell)
        except BaseException as error:
            if isinstance(error, StartFailed) and not life.ended(cell):  # to be stopped meanwhile is no failure
                self.care.report(cell, error.cause)
            with anyio.CancelScope(shield=True):  # bounded, as every halt is
                self.care.end(cell, ExitReason.STOPPED)
                await life.joined(cell)
            raise
        return ActorRef(cell) if spec.ref_type is None else spec.ref_type(cell)  # as `ref_to`

    @staticmethod
    def to_spec(what: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ChildSpec:
        """Return the spec that `what` stands for."""
        if isinstance(what, type) and issubclass(what, Actor):
            if args or kwargs:
                return what.spec(*args, **kwargs)
            shared = what.kernel_bare_spec  # what `what.spec()` would return; the call is a twentieth of a spawn
            return shared if shared and shared.options is (what.options or DEFAULT_OPTIONS) else what.spec()
        if isinstance(what, ChildSpec):
            if args or kwargs:
                raise TypeError(f"{what!r} has its arguments already; pass them to spec(…), or spawn the class")
            return what
        if not isinstance(what, type) and hasattr(what, "spec"):
            return cast("ChildSpec", what.spec(*args, **kwargs))
        if callable(what):
            return ChildSpec(cast("Callable[..., Actor]", what), *args, **kwargs)
        raise TypeError(f"cannot spawn {what!r}: give an Actor class, a ChildSpec, or a callable that makes an actor")

    async def service(self, name: str, spec: ChildSpec) -> ActorRef:
        """Return the shared actor of that name, started on first use; it outlives those that use it.

        Services (a model's connections, a store) are stopped after all other actors.

        Raises:
            StartFailed: it did not start.
        """
        root = self._running_root()
        children = root.as_parent.children
        services = children.get(_SERVICES)
        if services is None:
            # The back-off alone keeps a service that cannot start below this bound: it never takes the system down.
            patient = DynamicSupervisor(max_restarts=20, period=60.0, backoff=Backoff(0.5, 30.0, jitter=0.2))
            await self.supervise_under(root, patient, [], _SERVICES)
            services = children.pop(_SERVICES)
            # Children end in reverse order of this dictionary: put what the others need in front.
            root.as_parent.children = {_SERVICES: services, **children}
        cell = services.as_parent.children.get(name)
        return await self.spawn_under(services, spec, name) if cell is None else self.ref_to(cell)

    async def conversations(
        self,
        agent: ChildSpec,
        *,
        store: str | ConversationStore = "sqlite:///conversations.db",
        name: str = "conversations",
        **settings: Unpack[ConversationOptions],
    ) -> Conversations:
        """Start a set of durable conversations: `chats = await system.conversations(Agent.spec(…), store="sqlite:///…")`.

        `chats[key]` is a conversation, whether it is new, in memory or asleep.
        `tinyllm_actors.conversation.open_conversations`, which does it, says more.

        Args:
            agent: the spec of the agent of each.
            store: a URL (`"sqlite:///chats.db"`, `"postgresql://…"`, `"memory:"`) or a store.
            name: of the set, in the tree of actors.
            **settings: of `tinyllm_actors.conversation.ConversationSettings`.
        """
        return await extension("conversations")(self, agent, store=store, name=name, **settings)

    # --- looking -----------------------------------------------------------------------------------

    def __getitem__(self, path: str) -> Any:
        """Return the reference to the actor at `path`, such as `system["pair/a"]`.

        Raises:
            UnknownActor: there is none.
        """
        cell = self._find(path)
        if cell is None:
            raise UnknownActor(path)
        return self.ref_to(cell)

    def _find(self, path: str) -> Cell | None:
        cell = self._running_root()
        for label in path.split("/"):
            child = None if cell.family is None else find_child(cell.family, label)
            if child is None:
                return None
            cell = child
        return cell

    def group(self, name: str) -> Group:
        """Return the group of that name, which exists as long as it has members."""
        return Group(self._groups, name)

    def inspect(self, path: str | None = None) -> ActorNode:
        """Return the live tree, or the part of it under `path`, as it is now; `.render()` draws it.

        Raises:
            UnknownActor: there is no actor at `path`.
        """
        cell = self._running_root() if path is None else self._find(path)
        if cell is None:
            raise UnknownActor(path or "")
        return look_at(cell)

    def replay_dead_letters(self, *, path: str | None = None, limit: int | None = None, max_replays: int = 3) -> int:
        """Send dead letters again, oldest first, to who is at their path now. Returns how many mailboxes took.

        Those that cannot be delivered stay: nobody is there, its mailbox is full, or they were asks, whose askers
        have been told that no answer comes.

        Args:
            path: only those for that actor; None for all.
            limit: at most so many; None for all.
            max_replays: leave those that were sent again so often already.
        """
        return self.dead_letters.replay(self._find, path=path, limit=limit, max_replays=max_replays)

    def events(self, *kinds: type, buffer: int = 1000) -> Subscription:
        """Subscribe to events of these types (all, if none is named): `async with system.events(Transition) as e`.

        Args:
            kinds: classes of events.
            buffer: events that wait for the reader; beyond it the oldest are dropped and counted.
        """
        return Subscription(self.events_stream, kinds, buffer)

    # --- for the kernel ----------------------------------------------------------------------------

    def _running_root(self) -> Cell:
        if not self._open:
            raise SystemClosed(self.name)
        return self._root

    def ref_to(self, cell: Cell) -> Any:
        """Return a reference to a cell, of the type that its actor class asks for."""
        return (cell.spec.ref_type or ActorRef)(cell)

    def new_context(self) -> Context:
        """Return the context variables that were bound when the system started, and nothing else."""
        return self._context.copy()

    def asker(self) -> Envelope | None:
        """Return the message that the running code handles, if it is inside a handler of this system."""
        current = CURRENT.get()
        if current is None or current.context is None or current.receiver.system is not self:
            return None
        return current

    def dead_letter(self, cell: Cell, envelope: Envelope, reason: str) -> None:
        """Record a message that nobody handled."""
        self.events_stream.publish(self.dead_letters.add(cell, envelope, reason))

    def crash(self, error: BaseException) -> None:
        """A failure reached the root: cancel the block of the system, which raises it."""
        assert self._house is not None
        self._open = False
        self._house.fail(error)
