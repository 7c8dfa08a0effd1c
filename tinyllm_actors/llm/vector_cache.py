"""Vectors by the text that they are of, as many as fit."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from typing import TYPE_CHECKING

from tinyllm_actors.llm.embedding_cache import text_key

if TYPE_CHECKING:
    from tinyllm_actors.llm.embedding import Vector

__all__ = ["VectorCache"]

_OVERHEAD = 250
"""What an entry takes beside its numbers, in bytes: two objects with their heads, and its place in the table."""


class VectorCache:
    """Keeps vectors in memory; of one too many, the least recently used go.

    A text is known by a digest of 16 bytes, so that long texts take no memory here.

    ```python
    >>> cache = VectorCache(max_bytes=10_000)
    >>> cache.put("one", array("f", [1.0]))
    >>> cache.get("one"), cache.get("two")
    (array('f', [1.0]), None)

    ```

    Args:
        max_bytes: memory for all of it, roughly; 0 keeps nothing.

    Attributes:
        hits: how often a vector was there.
        misses: how often it was not.
    """

    __slots__ = ("_bytes", "_kept", "_max_bytes", "hits", "misses")

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, text: str) -> Vector | None:
        """Return a vector, which is the caller's own, or None."""
        key = text_key(text)
        found = self._kept.get(key)
        if found is None:
            self.misses += 1
            return None
        self.hits += 1
        self._kept.move_to_end(key)
        vector: Vector = array("f")
        vector.frombytes(found)
        return vector

    def put(self, text: str, vector: Vector) -> None:
        """Keep a copy of a vector."""
        key, value = text_key(text), vector.tobytes()
        old = self._kept.pop(key, None)
        self._bytes += len(value) + _OVERHEAD - (0 if old is None else len(old) + _OVERHEAD)
        self._kept[key] = value
        while self._bytes > self._max_bytes:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= len(dropped) + _OVERHEAD
