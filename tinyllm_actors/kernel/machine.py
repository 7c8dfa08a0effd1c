"""State machines as tables: what may follow what is data, checked in one place and drawn from the same data.

```python
>>> from enum import StrEnum
>>> class Door(StrEnum):
...     OPEN = "OPEN"
...     CLOSED = "CLOSED"
>>> door = Machine("door", {(Door.OPEN, "shut"): Door.CLOSED, (Door.CLOSED, "pull"): Door.OPEN}, initial=Door.CLOSED)
>>> door.step("hall/door", Door.CLOSED, "pull")
<Door.OPEN: 'OPEN'>

```
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from tinyllm_actors.errors import InvalidTransition

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Machine"]

S = TypeVar("S")
E = TypeVar("E")


@dataclass(frozen=True, slots=True)
class Machine(Generic[S, E]):
    """A transition table; it holds no state and does no I/O.

    ```python
    >>> from tinyllm_actors.kernel import Machine
    >>> lamp = Machine("lamp", {("off", "press"): "on", ("on", "press"): "off"}, initial="off")
    >>> lamp.step("hall/lamp", lamp.initial, "press")
    'on'
    >>> lamp.step("hall/lamp", "on", "kick")
    Traceback (most recent call last):
    tinyllm_actors.errors.InvalidTransition: ...

    ```

    Args:
        name: what the machine is called in transition records.
        edges: next state for each `(state, event)` pair; a missing pair is illegal.
        initial: the state to begin in.
    """

    name: str
    edges: Mapping[tuple[S, E], S]
    initial: S

    def step(self, path: str, state: S, event: E) -> S:
        """Return the state that follows `event`.

        Args:
            path: whose machine it is, for the error.
            state: where the machine is.
            event: what happens.

        Raises:
            InvalidTransition: the table has no such edge; the state stays as it was.
        """
        try:
            return self.edges[state, event]
        except KeyError:
            raise InvalidTransition(path, state, event) from None

    def walk(self, state: S, events: Iterable[E]) -> list[tuple[S, E, S]]:
        """Return the moves that several events make, one after the other: from where, by what, to where.

        ```python
        >>> Machine("lamp", {("OFF", "press"): "ON", ("ON", "press"): "OFF"}, initial="OFF").walk("OFF", ["press"] * 2)
        [('OFF', 'press', 'ON'), ('ON', 'press', 'OFF')]

        ```

        Raises:
            InvalidTransition: the table has no edge for one of them.
        """
        moves: list[tuple[S, E, S]] = []
        for event in events:
            target = self.step("", state, event)
            moves.append((state, event, target))
            state = target
        return moves

    def states(self) -> list[S]:
        """Return every state once, the initial one first, in the order of the table."""
        found: dict[S, None] = {self.initial: None}
        for (source, _), target in self.edges.items():
            found[source] = None
            found[target] = None
        return list(found)

    def mermaid(self) -> str:
        """Return the machine as a Mermaid state diagram.

        ```python
        >>> print(Machine("lamp", {("OFF", "press"): "ON", ("ON", "press"): "OFF"}, initial="OFF").mermaid())
        stateDiagram-v2
            [*] --> OFF
            OFF --> ON: press
            ON --> OFF: press

        ```
        """
        lines = ["stateDiagram-v2", f"    [*] --> {self.initial!s}"]
        lines += [f"    {source!s} --> {target!s}: {event!s}" for (source, event), target in self.edges.items()]
        return "\n".join(lines)
