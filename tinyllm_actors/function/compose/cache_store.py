"""Where cached answers are kept: the port, and the store in memory."""

from __future__ import annotations

import abc
import copy
from collections import OrderedDict
from typing import Any, Final

import anyio

__all__ = ["MISSING", "CacheStore", "MemoryStore", "copied"]

MISSING: Final = object()


def copied(value: Any) -> Any:
    """Return a copy of an answer, so that what one caller does to it the next does not see.

    What cannot be copied (an open file, a lock) is shared.
    """
    try:
        return copy.deepcopy(value)
    except Exception:
        return value


class CacheStore(abc.ABC):
    """Keeps answers by their keys, at most `size` of them, each for `ttl` seconds.

    Args:
        size: answers kept; of one more, the least recently used goes.
        ttl: seconds; None for as long as there is room.

    Raises:
        ValueError: one of them is not above 0.
    """

    def __init__(self, size: int, ttl: float | None) -> None:
        if size < 1 or (ttl is not None and not ttl > 0):
            raise ValueError(f"need size >= 1 and ttl > 0 seconds or None, got size={size!r} and ttl={ttl!r}")
        self.size = size
        self.ttl = ttl

    async def open(self) -> None:  # noqa: B027 - nothing to do is a good default
        """Get ready; called once, before everything else."""

    async def aclose(self) -> None:  # noqa: B027 - nothing to do is a good default
        """Release what `open()` holds."""

    @abc.abstractmethod
    async def get(self, key: str) -> Any:
        """Return the answer of that key, or `MISSING`."""

    @abc.abstractmethod
    async def put(self, key: str, value: Any) -> None:
        """Keep an answer.

        Raises:
            TypeError: an answer of that type cannot be kept here.
        """

    @abc.abstractmethod
    async def forget(self, key: str | None) -> int:
        """Drop the answer of that key, or all for None. Returns how many there were."""


class MemoryStore(CacheStore):
    """Keeps answers in memory, for as long as the actor lives."""

    def __init__(self, size: int, ttl: float | None) -> None:
        super().__init__(size, ttl)
        self._answers: OrderedDict[str, tuple[float | None, Any]] = OrderedDict()

    async def get(self, key: str) -> Any:
        """Return a copy of the answer."""
        found = self._answers.get(key)
        if found is None:
            return MISSING
        expires, value = found
        if expires is not None and anyio.current_time() >= expires:
            del self._answers[key]
            return MISSING
        self._answers.move_to_end(key)
        return copied(value)

    async def put(self, key: str, value: Any) -> None:
        """Keep a copy of the answer."""
        expires = None if self.ttl is None else anyio.current_time() + self.ttl
        self._answers[key] = expires, copied(value)
        self._answers.move_to_end(key)
        while len(self._answers) > self.size:
            self._answers.popitem(last=False)

    async def forget(self, key: str | None) -> int:
        """Drop one, or all."""
        if key is not None:
            return int(self._answers.pop(key, None) is not None)
        count = len(self._answers)
        self._answers.clear()
        return count
