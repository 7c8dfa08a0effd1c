"""The live tree as data and as text: who is there, in which state, doing what, and who waits for whom.

A look costs one visit to each actor and stops nobody. It shows the names of types, never what messages or actors
hold: `ref.get_state()` does that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinyllm_actors.kernel.cell import Cell
    from tinyllm_actors.kernel.envelope import Envelope

__all__ = ["ActorNode", "look_at"]


@dataclass(frozen=True, slots=True)
class ActorNode:
    """One actor as it was when somebody looked.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> async def main() -> None:
    ...     async with ActorSystem("service") as system:
    ...         await system.spawn(Actor, name="a")
    ...         tree = system.inspect()
    ...         print([(node.path, node.actor, node.state, node.depth) for node in tree.children])
    >>> anyio.run(main)
    [('a', 'Actor', 'RUNNING', 0)]

    ```

    Attributes:
        path: where it is; the name of the system for the root.
        name: the last part of the path.
        actor: the name of its class.
        state: where it is in its life, such as `"RUNNING"`.
        incarnation: how often it was started.
        message: the name of the type of the message in processing; None if its handler waits for nothing.
        message_id: its number; 0 without one.
        busy_for: seconds since the handler first waited for something; 0.0 without a message.
        depth: messages that wait, senders that wait for room included.
        postponed: messages that a state machine has put off.
        capacity: how many may wait in the mailbox; None for no bound.
        restarts_left: how often it may still fail now before its supervisor does.
        waits_for: the paths of the actors whose answers the handler waits for.
        machines: the state of each of its state machines by name.
        dedicated: whether it has a task of its own.
        children: its children in start order.
    """

    path: str
    name: str
    actor: str
    state: str
    incarnation: int
    message: str | None = None
    message_id: int = 0
    busy_for: float = 0.0
    depth: int = 0
    postponed: int = 0
    capacity: int | None = None
    restarts_left: int | None = None
    waits_for: tuple[str, ...] = ()
    machines: Mapping[str, str] = field(default_factory=dict[str, str])
    dedicated: bool = False
    children: tuple[ActorNode, ...] = ()

    def walk(self) -> Iterator[ActorNode]:
        """Yield this node and all below it, parents first, in start order."""
        stack: list[ActorNode] = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))

    def find(self, path: str) -> ActorNode | None:
        """Return the node at a path, or None."""
        return next((node for node in self.walk() if node.path == path), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the tree as plain dictionaries, lists, strings and numbers, for JSON."""
        made: dict[int, dict[str, Any]] = {}
        for node in reversed(list(self.walk())):
            entry = {name: getattr(node, name) for name in _PLAIN_FIELDS}
            entry["waits_for"] = list(node.waits_for)
            entry["machines"] = dict(node.machines)
            entry["children"] = [made.pop(id(child)) for child in node.children]
            made[id(node)] = entry
        return made[id(self)]

    def render(self) -> str:
        """Return the tree as text, one line an actor.

        ```python
        >>> import anyio
        >>> from tinyllm_actors import Actor, ActorSystem, Supervisor
        >>> class Cook(Actor):
        ...     async def receive(self, message: object) -> None: ...
        >>> async def main() -> None:
        ...     async with ActorSystem("inn") as system:
        ...         cooks = [Cook.spec().named("ann"), Cook.spec().named("ben")]
        ...         await system.supervise(Supervisor(), cooks, name="kitchen")
        ...         print(system.inspect().render())
        >>> anyio.run(main)
        inn
        └── kitchen  SupervisorNode RUNNING
            ├── ann  Cook RUNNING
            └── ben  Cook RUNNING

        ```
        """
        lines: list[str] = []
        stack: list[tuple[ActorNode, str, str]] = [(self, "", "")]
        while stack:
            node, lead, below = stack.pop()
            lines.append(f"{lead}{node.line()}" if lines else node.name)
            for child in reversed(node.children):
                is_last = child is node.children[-1]
                stack.append((child, below + ("└── " if is_last else "├── "), below + ("    " if is_last else "│   ")))
        return "\n".join(lines)

    def line(self) -> str:
        """Return what `render()` says of this actor alone."""
        words = [f"{self.name}  {self.actor} {self.state}"]
        words += [f"{machine}:{state}" for machine, state in self.machines.items()]
        if self.incarnation > 1:
            words.append(f"#{self.incarnation}")
        if self.message is not None:
            words.append(f"on {self.message} for {self.busy_for:.1f} s")
        if self.waits_for:
            words.append(f"waits for {', '.join(self.waits_for)}")
        if self.depth:
            words.append(f"{self.depth} waiting")
        if self.postponed:
            words.append(f"{self.postponed} postponed")
        return "  ".join(words)


_PLAIN_FIELDS = [entry.name for entry in fields(ActorNode) if entry.name not in {"waits_for", "machines", "children"}]


def look_at(root: Cell) -> ActorNode:
    """Return the tree under `root`, its node included."""
    # Children first, without recursion: trees may be deep. A cell's path is made from its parent's.
    order: list[tuple[Cell, str]] = []
    stack = [(root, root.path)]
    while stack:
        cell, path = stack.pop()
        order.append((cell, path))
        if cell.family is not None:
            prefix = "" if cell.parent is None else f"{path}/"
            stack += [(child, f"{prefix}{child.label}") for child in cell.children]
    nodes: dict[Cell, ActorNode] = {}
    for cell, path in reversed(order):
        children = tuple(nodes.pop(child) for child in cell.children)
        nodes[cell] = _node(cell, path, children)
    return nodes[root]


def _node(cell: Cell, path: str, children: tuple[ActorNode, ...]) -> ActorNode:
    system, extra, actor = cell.system, cell.extra, cell.actor
    current = cell.current
    if current is None:  # perhaps it is the one that looks, in a handler that has not waited yet
        asker = system.asker()
        current = asker if asker is not None and asker.receiver is cell else None
    depth = 0 if cell.mailbox is None else len(cell.mailbox)
    if extra is not None:
        depth += len(extra.waiters) + len(extra.urgent)
    now = system.now()
    return ActorNode(
        path=path,
        name=cell.label,
        actor=cell.spec.label if actor is None else type(actor).__name__,
        state=cell.state.value,
        incarnation=cell.incarnation,
        message=None if current is None else type(current.message).__name__,
        message_id=0 if current is None else current.id,
        busy_for=0.0 if cell.current is None else now - cell.current.since,
        depth=depth,
        postponed=0 if extra is None else sum(not envelope.done for envelope, _ in extra.postponed),
        capacity=cell.spec.options.mailbox.capacity,
        restarts_left=None if cell.parent is None else _restarts_left(cell, cell.parent, now),
        waits_for=_waits_for(current),
        machines={} if actor is None else _machines(actor.machine_states),
        dedicated=cell.spec.options.dedicated,
        children=children,
    )


def _restarts_left(cell: Cell, parent: Cell, now: float) -> int:
    return cell.system.care.supervision(parent).restarts_left(cell, now)


def _waits_for(current: Envelope | None) -> tuple[str, ...]:
    return () if current is None else tuple(ask.receiver.path for ask in current.waits or ())


def _machines(states: Any) -> dict[str, str]:
    try:
        return {name: str(state) for name, state in states().items()}
    except Exception as error:
        return {"?": type(error).__name__}
