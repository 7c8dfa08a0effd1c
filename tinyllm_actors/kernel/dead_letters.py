"""The messages that nobody handled: kept up to a cap, to be looked at and sent again."""

from __future__ import annotations

from collections import deque
from contextvars import copy_context
from typing import TYPE_CHECKING

from tinyllm_actors.kernel.envelope import Ask, Envelope
from tinyllm_actors.kernel.events import DeadLetter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tinyllm_actors.kernel.cell import Cell

__all__ = ["DeadLetters"]


class _Replayed(Envelope):
    """A dead letter on its second way."""

    __slots__ = ("replays",)

    replays: int


class DeadLetters:
    """The newest dead letters, oldest first; `system.dead_letters`.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> async def main() -> None:
    ...     async with ActorSystem("service") as system:
    ...         old = await system.spawn(Actor, name="a")
    ...         await old.stop()
    ...         await old.tell("hello")
    ...         print([(letter.path, letter.message) for letter in system.dead_letters])
    ...         await system.spawn(Actor, name="a")  # somebody is there again
    ...         print(system.replay_dead_letters(), len(list(system.dead_letters)))
    >>> anyio.run(main)
    [('a', 'hello')]
    1 0

    ```

    Args:
        capacity: how many are kept; older ones are dropped and counted in `dropped`.
    """

    __slots__ = ("_letters", "dropped")

    def __init__(self, capacity: int) -> None:
        self._letters: deque[DeadLetter] = deque(maxlen=capacity)
        self.dropped = 0

    def add(self, cell: Cell, envelope: Envelope, reason: str) -> DeadLetter:
        """Keep a message that was for `cell`."""
        replays = envelope.replays if isinstance(envelope, _Replayed) else 0
        letter = DeadLetter(cell.path, envelope.message, reason, isinstance(envelope, Ask), replays)
        self.dropped += len(self._letters) == self._letters.maxlen
        self._letters.append(letter)
        return letter

    def replay(
        self, find: Callable[[str], Cell | None], *, path: str | None, limit: int | None, max_replays: int
    ) -> int:
        """Send letters again, oldest first, to those that `find` returns; returns how many were taken.

        What is taken is no dead letter any more. The rest stays: asks, whose askers were told long ago, letters to
        nobody, to a full mailbox, or replayed `max_replays` times already.
        """
        taken = 0
        kept: list[DeadLetter] = []
        letters = list(self._letters)
        self._letters.clear()
        for letter in letters:
            wanted = not letter.asked and letter.replays < max_replays and path in {None, letter.path}
            if wanted and (limit is None or taken < limit) and _send(letter, find(letter.path)):
                taken += 1
            else:
                kept.append(letter)
        again = list(self._letters)  # those that died once more on their way
        self._letters.clear()
        self._letters.extend([*kept, *again])
        return taken

    def clear(self) -> None:
        """Forget them all."""
        self._letters.clear()

    def __iter__(self) -> Iterator[DeadLetter]:
        return iter(list(self._letters))

    def __getitem__(self, index: int) -> DeadLetter:
        return self._letters[index]

    def __len__(self) -> int:
        return len(self._letters)


def _send(letter: DeadLetter, cell: Cell | None) -> bool:
    if cell is None or cell.capacity < 0 or cell.depth() >= cell.capacity:
        return False
    envelope = _Replayed(letter.message, cell, copy_context())
    envelope.replays = letter.replays + 1
    cell.post(envelope)
    return True
