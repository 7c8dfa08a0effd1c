"""Several children of one kind, made when they are needed, so that one part can work on several things at once."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

from tinyllm_actors.function.compose.part import Part
from tinyllm_actors.kernel import ChildSpec

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tinyllm_actors.function.compose.part import Source
    from tinyllm_actors.kernel import ActorContext

__all__ = ["Lanes"]


class Lanes:
    """Hands out a part to one user at a time, and makes another one while there are fewer than `count`.

    A spec is one child for each lane, since an actor handles one message at a time. A live reference is shared by all
    lanes: whether it works on several calls at once is its affair (a pool does).

    Args:
        context: of the composite.
        label: what errors call the part.
        source: what it is made from.
        count: how many users there may be at a time.
        first: the part that is there already.
    """

    def __init__(self, context: ActorContext, label: str, source: Source, count: int, first: Part) -> None:
        self._context = context
        self._label = label
        self._source = source
        self._first = first
        self._free = [first]
        self._made = 1
        self._room = anyio.Semaphore(count)

    @asynccontextmanager
    async def use(self) -> AsyncGenerator[Part]:
        """Open a part that nobody else uses; waits while all are used."""
        async with self._room:
            part = await self._take()
            try:
                yield part
            finally:
                self._free.append(part)

    async def _take(self) -> Part:
        if not isinstance(self._source, ChildSpec):
            return self._first
        if self._free:
            return self._free.pop()
        self._made += 1
        part = await Part.start(self._context, f"{self._label}-lane-{self._made}", self._source)
        part.label = self._label
        return part
