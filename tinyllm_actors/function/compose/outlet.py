"""The way from a part's stream to the reader of the whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from tinyllm_actors.function.ref import Call

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tinyllm_actors.function.result import Result

__all__ = ["NOTHING", "Ending", "Outlet", "PartCall"]

NOTHING: Final = object()


class PartCall(Call):
    """A call from one composite to another, whose stream then ends with `Ending`."""

    __slots__ = ()


class Ending:
    """The result of a composite, told to the composite that it is a part of.

    Attributes:
        result: its dictionary.
        told: whether the items before said all of it.
    """

    __slots__ = ("result", "told")

    def __init__(self, result: Result, told: bool) -> None:
        self.result = result
        self.told = told


class Outlet:
    """Passes items on to the reader and knows whether output has started.

    Items of a type with `starts_output = False` (such as an agent's "run started") are held back until output starts
    or the part succeeds, so that another part can still take over.

    Args:
        emit: hands one item to the reader; None where nobody reads a stream.
    """

    __slots__ = ("_emit", "_held", "started", "told")

    def __init__(self, emit: Callable[[Any], Awaitable[None]] | None = None) -> None:
        self._emit = emit
        self._held: list[Any] = []
        self.started = False
        self.told: object = NOTHING
        """The output that the items said in full, if they did."""

    @property
    def live(self) -> bool:
        """Whether somebody reads a stream."""
        return self._emit is not None

    async def put(self, item: Any) -> None:
        """Pass an item on."""
        if not self.started and not getattr(cast("object", item), "starts_output", True):
            self._held.append(item)
            return
        self.started = True
        await self.flush()
        if self._emit is not None:
            await self._emit(item)

    async def flush(self) -> None:
        """Pass on what was held back."""
        if self._held and self._emit is not None:
            held, self._held = self._held, []
            for item in held:
                await self._emit(item)

    def fork(self) -> Outlet:
        """Return an outlet for one attempt; what it holds back is lost unless the attempt is adopted."""
        return Outlet(self.put if self.live else None)

    async def adopt(self, attempt: Outlet) -> None:
        """Make an attempt that succeeded the one that counts."""
        await attempt.flush()
        self.told = attempt.told
