"""Who is told of what happens inside a system: those who subscribed to it."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from tinyllm_actors.kernel.events import ActorTerminated, Transition

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

    from tinyllm_actors.kernel.slots import Backend, Slot

    Moves: TypeAlias = Sequence[tuple[str, str, str]]
    MovesCallback: TypeAlias = Callable[[str, str, str, Moves, int, float], None]

__all__ = ["EventStream", "Subscription"]


class Subscription:
    """Events as they come; iterate it inside `async with system.events(…)`.

    The newest `buffer` events wait for a slow reader; older ones are dropped and counted in `dropped`, since a
    publisher never waits.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> from tinyllm_actors.kernel import ActorTerminated
    >>> async def main() -> None:
    ...     async with ActorSystem("service") as system, system.events(ActorTerminated, buffer=2) as ends:
    ...         for name in "abc":
    ...             await (await system.spawn(Actor, name=name)).stop()
    ...         print([(await ends.receive()).path for _ in range(2)], ends.receive_nowait(), ends.dropped)
    >>> anyio.run(main)
    ['b', 'c'] None 1

    ```
    """

    def __init__(self, stream: EventStream, kinds: tuple[type, ...], buffer: int) -> None:
        self.dropped = 0
        self._stream = stream
        self._kinds = kinds
        self._events: deque[Any] = deque(maxlen=buffer)
        self._slot: Slot | None = None

    def _publish(self, event: object) -> None:
        if len(self._events) == self._events.maxlen:
            self.dropped += 1
        self._events.append(event)
        if self._slot is not None:
            self._slot.set()
            self._slot = None

    async def __aenter__(self) -> Self:
        self._stream.subscribe(self._publish, *self._kinds)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stream.unsubscribe(self._publish)

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Any:
        while not self._events:
            self._slot = slot = self._stream.backend.new_slot()
            await slot
        return self._events.popleft()

    async def receive(self) -> Any:
        """Return the next event."""
        return await self.__anext__()

    def receive_nowait(self) -> Any | None:
        """Return the next event if there is one already."""
        return self._events.popleft() if self._events else None


class EventStream:
    """Publishes events to those who subscribed to their type. Without subscribers a publication costs one look-up."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.transitions = False  # whether anybody listens to these, which are made most often
        self.terminations = False
        self.log_failures = 0
        self._subscribers: dict[Callable[[Any], None], tuple[type, ...]] = {}
        self._by_type: dict[type, list[Callable[[Any], None]]] = {}
        self._of_moves: dict[Callable[[Any], None], MovesCallback] = {}
        self._told_of_moves: list[MovesCallback] = []

    def subscribe(self, callback: Callable[[Any], None], *kinds: type, moves: MovesCallback | None = None) -> None:
        """Call `callback` with each event of these types (all of them if none is named).

        Args:
            callback: what is called.
            kinds: the types.
            moves: called instead of `callback` with what `publish_moves` got, once for all of it.
        """
        self._subscribers[callback] = kinds or (object,)
        if moves is not None:
            self._of_moves[callback] = moves
        self._changed()

    def unsubscribe(self, callback: Callable[[Any], None]) -> None:
        """Call it no more."""
        self._subscribers.pop(callback, None)
        self._of_moves.pop(callback, None)
        self._changed()

    def _changed(self) -> None:
        self._by_type.clear()
        listeners = self.listeners(Transition)
        self._told_of_moves = [self._of_moves.get(callback) or partial(_one_by_one, callback) for callback in listeners]
        self.transitions = bool(listeners)
        self.terminations = bool(self.listeners(ActorTerminated))

    def listeners(self, kind: type) -> list[Callable[[Any], None]]:
        """Return who is called with events of this type. Where nobody is, the event need not even be made."""
        callbacks = self._by_type.get(kind)
        if callbacks is None:
            callbacks = [callback for callback, kinds in self._subscribers.items() if issubclass(kind, kinds)]
            self._by_type[kind] = callbacks
        return callbacks

    def publish(self, event: object) -> None:
        """Hand `event` to its subscribers; they must not block and must not raise."""
        for callback in self.listeners(type(event)):
            callback(event)

    def publish_moves(
        self, path: str, name: str, machine: str, moves: Moves, message_id: int = 0, elapsed: float = 0.0
    ) -> None:
        """Publish a `Transition` for each of the moves that a machine made at one moment.

        Args:
            path: whose.
            name: how the actor is called in the log.
            machine: which of its machines.
            moves: source, event and target of each, oldest first: the same object each time, as it is in a table of
                them, so that a listener can know it again.
            message_id: the message in processing; 0 outside of one.
            elapsed: seconds in the source of the first; the others took none.
        """
        for callback in self._told_of_moves:
            callback(path, name, machine, moves, message_id, elapsed)


def _one_by_one(
    callback: Callable[[Any], None], path: str, name: str, machine: str, moves: Moves, message_id: int, elapsed: float
) -> None:
    for source, event, target in moves:
        callback(Transition(path, name, machine, source, event, target, message_id, elapsed))
        elapsed = 0.0
