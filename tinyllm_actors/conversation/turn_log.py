"""The events of one turn, for whoever reads them: at once, later, or again after a disconnect."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import anyio

if TYPE_CHECKING:
    from tinyllm_actors.function import Result

__all__ = ["MAX_EVENTS", "TurnLog"]

MAX_EVENTS: Final = 20_000
"""Events that are kept of one turn; of a longer one the oldest are let go."""


class TurnLog:
    """What happened in a turn, in this process.

    Readers hold no one up: the turn goes on at its own pace, and a reader that is slow finds the events here. Each
    event has a number, which counts from 0.

    Attributes:
        turn_id: which turn.
        result: how it ended; None while it goes on.
        error: why nothing more will be told here, though the turn has not ended.
        readers: how many wait for it.
        streams: how many are open that read it.
        dropped: how many of the oldest events are gone.
    """

    __slots__ = ("__weakref__", "_changed", "_events", "dropped", "error", "readers", "result", "streams", "turn_id")

    def __init__(self, turn_id: str) -> None:
        self.turn_id = turn_id
        self.result: Result | None = None
        self.error: BaseException | None = None
        self.readers = 0
        self.streams = 0
        self.dropped = 0
        self._events: list[Any] = []
        self._changed: anyio.Event | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more will be told here."""
        return self.result is not None or self.error is not None

    @property
    def size(self) -> int:
        """How many events there were."""
        return self.dropped + len(self._events)

    def add(self, event: object) -> None:
        """Tell an event."""
        self._events.append(event)
        if len(self._events) >= MAX_EVENTS:
            gone = MAX_EVENTS // 4  # a quarter at once, so that it costs little for each
            del self._events[:gone]
            self.dropped += gone
        self._wake()

    def finish(self, result: Result, event: object) -> None:
        """Tell the last event."""
        self.result = result
        self.add(event)

    def fail(self, error: BaseException) -> None:
        """Say that nothing more will be told here; nothing happens if it had ended."""
        if not self.ended:
            self.error = error
            self._wake()

    def forget(self) -> bool:
        """Let the events of a turn that has ended go, all but the last. Returns whether nobody is reading them."""
        if self.streams:
            return False
        self.dropped += max(0, len(self._events) - 1)
        del self._events[:-1]
        return True

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    def at(self, number: int) -> list[Any]:
        """Return the events from a number on, those that are gone left out; never waits."""
        return self._events[max(0, number - self.dropped) :]

    async def more(self, number: int) -> None:
        """Wait until there is an event of this number, or nothing more will be told."""
        self.readers += 1
        try:
            while self.size <= number and not self.ended:
                if self._changed is None:
                    self._changed = anyio.Event()
                await self._changed.wait()
        finally:
            self.readers -= 1

    async def end(self) -> Result:
        """Wait until the turn has ended, and return how.

        Raises:
            BaseException: what broke the turn off, though it has not ended.
        """
        self.readers += 1
        try:
            while not self.ended:
                if self._changed is None:
                    self._changed = anyio.Event()
                await self._changed.wait()
        finally:
            self.readers -= 1
        if self.result is None:
            assert self.error is not None
            raise self.error
        return self.result
