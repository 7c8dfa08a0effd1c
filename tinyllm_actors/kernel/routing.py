"""How one of many receivers is chosen for a message. Pure but for the counters of each chooser.

Source: Pekko, "Routers"; D. Karger et al., "Consistent Hashing and Random Trees", 1997.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol

from tinyllm_actors.kernel.lifecycle import Lifecycle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinyllm_actors.kernel.cell import Cell

__all__ = ["Broadcast", "ConsistentHash", "LeastBusy", "RoundRobin", "Router", "Routing"]

_READY = frozenset({Lifecycle.RUNNING, Lifecycle.PASSIVE})


class Router(Protocol):
    """Chooses for one pool."""

    def choose(self, cells: Sequence[Cell], message: object) -> Cell:
        """Return who gets `message`; there is at least one."""
        ...


class Routing(Protocol):
    """A way to choose; the same value may serve many pools.

    ```python
    >>> from dataclasses import dataclass
    >>> class First:  # a router: here the one that was started first, always
    ...     def choose(self, cells, message):
    ...         return cells[0]
    >>> class ToTheFirst:  # the routing: makes a router for each pool
    ...     def router(self):
    ...         return First()
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> from tinyllm_actors.kernel import Pool
    >>> class Worker(Actor):
    ...     async def receive(self, message: str) -> str:
    ...         return self.context.name
    >>> async def main() -> list[str]:
    ...     async with ActorSystem("service") as system:
    ...         pool = await system.spawn(Pool.spec(Worker.spec(), 3, ToTheFirst()))
    ...         return [await pool.ask("go") for _ in range(3)]
    >>> anyio.run(main)
    ['1', '1', '1']

    ```
    """

    def router(self) -> Router:
        """Return a chooser with counters of its own."""
        ...


@dataclass(frozen=True, slots=True)
class RoundRobin:
    """One after another; who is not ready, because it restarts or is suspended, is passed over. If in doubt, this.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> from tinyllm_actors.kernel import Pool, RoundRobin
    >>> class Worker(Actor):
    ...     async def receive(self, message: str) -> str:
    ...         return self.context.name
    >>> async def main() -> list[str]:
    ...     async with ActorSystem("service") as system:
    ...         pool = await system.spawn(Pool.spec(Worker.spec(), 3, RoundRobin()))
    ...         return [await pool.ask("go") for _ in range(4)]
    >>> anyio.run(main)
    ['1', '2', '3', '1']

    ```
    """

    def router(self) -> Router:
        """Return a chooser with a counter of its own."""
        return _RoundRobin()


class _RoundRobin:
    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next = 0

    def choose(self, cells: Sequence[Cell], message: object) -> Cell:
        count, start = len(cells), self._next
        for step in range(count):
            cell = cells[(start + step) % count]
            if cell.state in _READY:
                self._next = (start + step + 1) % count
                return cell
        self._next = (start + 1) % count
        return cells[start % count]


@dataclass(frozen=True, slots=True)
class LeastBusy:
    """The one with the fewest messages, the one in processing included. For work of very different length.

    Looks at each member for each message, so for dozens of them rather than thousands.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> from tinyllm_actors.kernel import Pool, LeastBusy
    >>> class Worker(Actor):
    ...     async def receive(self, message: str) -> str:
    ...         return self.context.name
    >>> async def main() -> bool:
    ...     async with ActorSystem("service") as system:
    ...         pool = await system.spawn(Pool.spec(Worker.spec(), 3, LeastBusy()))
    ...         return {await ask for ask in [pool.ask("go") for _ in range(3)]} == {"1", "2", "3"}
    >>> anyio.run(main)
    True

    ```
    """

    def router(self) -> Router:
        """Return a chooser that begins its search behind its last choice, so that equals take turns."""
        return _LeastBusy()


class _LeastBusy:
    __slots__ = ("_next",)

    def __init__(self) -> None:
        self._next = 0

    def choose(self, cells: Sequence[Cell], message: object) -> Cell:
        count, start = len(cells), self._next
        best = start % count
        least = _load(cells[best])
        for step in range(1, count):
            if least == 0:
                break
            index = (start + step) % count
            load = _load(cells[index])
            if load < least:
                best, least = index, load
        self._next = best + 1
        return cells[best]


_NOT_READY = 1_000_000_000
"""More than any mailbox holds."""


def _load(cell: Cell) -> int:
    load = 0 if cell.mailbox is None else len(cell.mailbox)
    load += len(cell.cold.waiters)  # which a member has: it is told of its end
    if not cell.idle:
        load += 1
    return load if cell.state in _READY else load + _NOT_READY


@dataclass(frozen=True, slots=True)
class ConsistentHash:
    """The same key always to the same member; when one leaves, only its keys move.

    The choice depends on the names of the members alone: it is the same in every process and after a restart.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> from tinyllm_actors.kernel import Pool, ConsistentHash
    >>> class Worker(Actor):
    ...     async def receive(self, message: str) -> str:
    ...         return self.context.name
    >>> async def main() -> bool:
    ...     async with ActorSystem("service") as system:
    ...         pool = await system.spawn(Pool.spec(Worker.spec(), 3, ConsistentHash(key=str)))
    ...         return await pool.ask("ann") == await pool.ask("ann")
    >>> anyio.run(main)
    True

    ```

    Args:
        key: what of a message decides; text, bytes or a whole number.
        points: places of each member on the ring. With 128 the busiest of ten gets about a quarter more than its
            share.
    """

    key: Callable[[Any], str | bytes | int]
    points: int = 128

    def __post_init__(self) -> None:
        if self.points < 1:
            raise ValueError(f"points must be at least 1, got {self.points!r}")

    def router(self) -> Router:
        """Return a chooser with a ring of its own."""
        return _Ring(self.key, self.points)


class _Ring:
    __slots__ = ("_cells", "_key", "_owners", "_places", "_points")

    def __init__(self, key: Callable[[Any], str | bytes | int], points: int) -> None:
        self._key = key
        self._points = points
        self._cells: Sequence[Cell] = ()
        self._places: list[int] = []
        self._owners: list[Cell] = []

    def choose(self, cells: Sequence[Cell], message: object) -> Cell:
        if cells is not self._cells:  # a pool makes a new sequence whenever its members change
            self._cells = cells
            ring = sorted(
                ((_hash(f"{cell.label}#{point}"), cell) for cell in cells for point in range(self._points)),
                key=lambda entry: entry[0],
            )
            self._places = [place for place, _ in ring]
            self._owners = [cell for _, cell in ring]
        place = bisect_right(self._places, _hash(self._key(message)))
        return self._owners[place % len(self._owners)]


def _hash(key: str | bytes | int) -> int:
    data = key if isinstance(key, bytes) else str(key).encode()
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")


@dataclass(frozen=True, slots=True)
class Broadcast:
    """Every member gets every message; an ask returns the list of their answers, in start order.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> from tinyllm_actors.kernel import Pool, Broadcast
    >>> class Worker(Actor):
    ...     async def receive(self, message: str) -> str:
    ...         return self.context.name
    >>> async def main() -> list[str]:
    ...     async with ActorSystem("service") as system:
    ...         pool = await system.spawn(Pool.spec(Worker.spec(), 3, Broadcast()))
    ...         return await pool.ask("go")
    >>> anyio.run(main)
    ['1', '2', '3']

    ```
    """

    def router(self) -> Router:
        """Return the chooser for what goes to one member only."""
        return _RoundRobin()
