"""The actor behind `system.supervise(…)`: it has no messages of its own, only children."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinyllm_actors.errors import ActorFailed
from tinyllm_actors.kernel import life
from tinyllm_actors.kernel.actor import Actor
from tinyllm_actors.kernel.envelope import CURRENT, Ask
from tinyllm_actors.kernel.lifecycle import Lifecycle
from tinyllm_actors.kernel.ref import ActorRef
from tinyllm_actors.kernel.restart import Restart
from tinyllm_actors.kernel.spec import ChildOptions, ChildSpec, DynamicSupervisor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tinyllm_actors.kernel.cell import Cell
    from tinyllm_actors.kernel.spec import Supervisor

__all__ = ["SupervisorNode", "SupervisorRef", "SupervisorSpec"]


class SupervisorRef(ActorRef):
    """The way to a supervisor: it starts further children there. What is told to it becomes a dead letter.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem, Supervisor
    >>> async def main() -> None:
    ...     async with ActorSystem("service") as system:
    ...         parts = await system.supervise(Supervisor(), [Actor.spec().named("a")], name="parts")
    ...         await parts.spawn(Actor, name="b")
    ...         print([child.path for child in parts.children])
    >>> anyio.run(main)
    ['parts/a', 'parts/b']

    ```
    """

    __slots__ = ()

    async def spawn(
        self, what: ChildSpec | Callable[..., Actor] | Any, /, *args: Any, name: str | None = None, **kwargs: Any
    ) -> Any:
        """Start a child under the supervisor, the last in its order; like `ActorSystem.spawn`.

        ```python
        >>> import anyio
        >>> from tinyllm_actors import Actor, ActorSystem
        >>> from tinyllm_actors.kernel import DynamicSupervisor
        >>> class Session(Actor):
        ...     def receive(self, message: str) -> str:
        ...         return f"{self.context.path}: {message}"
        >>> async def main() -> str:
        ...     async with ActorSystem("service") as system:
        ...         sessions = await system.supervise(DynamicSupervisor(max_children=1000), [], name="sessions")
        ...         session = await sessions.spawn(Session, name="ann")
        ...         return await session.ask("hello")
        >>> anyio.run(main)
        'sessions/ann: hello'

        ```

        Args:
            what: a `ChildSpec`, an actor class or factory, or anything with a `spec()` method.
            args: for its constructor.
            kwargs: for its constructor.
            name: unique among siblings; left out, the class and a number.

        Raises:
            StartFailed: its constructor or `started()` raised. Nothing is left of it.
            NameTaken: a sibling has that name.
            ChildLimitExceeded: a `DynamicSupervisor` has `max_children` children already.
            ActorStopped: the supervisor has ended, or restarts at the moment.
        """
        system = self.cell.system
        return await system.spawn_under(self.cell, system.to_spec(what, args, kwargs), name)

    @property
    def children(self) -> list[ActorRef]:
        """Its children in start order."""
        return [self.cell.system.ref_to(child) for child in self.cell.children]


class SupervisorNode(Actor):
    """Starts its children in order. When it is restarted, the same references come back to life."""

    options = ChildOptions(shutdown=float("inf"))
    ref_type = SupervisorRef

    def __init__(self, config: Supervisor, children: Sequence[ChildSpec]) -> None:
        self.supervision = config  # type: ignore[misc] - one configuration for each node
        self._specs = children

    async def started(self) -> None:
        """Start every child, those of its specs first. One that does not start fails this start."""
        cell = self.kernel_cell
        first_time = cell.incarnation == 1
        kept = list(cell.children)
        for spec in self._specs:
            child = next((child for child in kept if child.spec is spec), None)
            if child is not None:
                kept.remove(child)
                if await _restarted(child):
                    continue
            if first_time or spec.options.restart is not Restart.TEMPORARY:
                await cell.system.spawn_under(cell, spec, None)
        for child in kept:
            await _restarted(child)

    async def receive(self, message: Any) -> None:
        """Refuse it. A stray message is no reason to restart the children."""
        envelope = CURRENT.get()
        assert envelope is not None
        if isinstance(envelope, Ask):
            envelope.fail(ActorFailed(envelope.receiver.path, TypeError("a supervisor takes no messages")))
        else:
            envelope.receiver.system.dead_letter(envelope.receiver, envelope, "unknown")

    async def produce(self, message: Any, emit: Callable[[Any], Awaitable[None]]) -> None:
        """Refuse it."""
        await self.receive(message)


async def _restarted(child: Cell) -> bool:
    """Start a child that its halted supervisor kept; False if it was stopped for good meanwhile."""
    if child.state is Lifecycle.RESTARTING:
        await life.start(child)
        assert child.parent is not None
        siblings = child.parent.as_parent.children
        siblings[child.name] = siblings.pop(child.name)  # the dictionary is the start order
        return True
    if life.ended(child):
        await life.joined(child)
    return False


class SupervisorSpec(ChildSpec):
    """The spec of a supervisor: what its halt and its shutdown need to know."""

    __slots__ = ("keeps_children", "unordered")

    def __init__(
        self,
        config: Supervisor,
        children: Sequence[ChildSpec],
        *more: object,
        factory: Callable[..., SupervisorNode] = SupervisorNode,
    ) -> None:
        super().__init__(factory, config, children, *more)
        self.unordered = isinstance(config, DynamicSupervisor)
        self.keeps_children = not self.unordered
