"""A reference that can be called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinyllm_actors.errors import ActorError
from tinyllm_actors.function.result import failure
from tinyllm_actors.kernel import ActorRef
from tinyllm_actors.kernel.ref import SYSTEM_DEFAULT

if TYPE_CHECKING:
    from tinyllm_actors.function.result import Result
    from tinyllm_actors.kernel.cell import Cell
    from tinyllm_actors.kernel.stream import StreamRequest

__all__ = ["Call", "FunctionRef"]


class Call:
    """The message of a call: keyword arguments for `run()`."""

    __slots__ = ("arguments",)
    __match_args__ = ("arguments",)

    def __init__(self, arguments: dict[str, Any]) -> None:
        self.arguments = arguments

    def __repr__(self) -> str:
        return f"Call({', '.join(self.arguments)})"  # names only: the values are the users'


class FunctionRef(ActorRef):
    """The way to a Function: call it with keyword arguments, get its dictionary.

    The call never raises for what happens to the Function; an actor that is stopped, crashes or is too late is an
    error dictionary too. Cancelling the caller cancels the call.
    """

    __slots__ = ("_timeout",)

    def __init__(self, cell: Cell, timeout: float | None = SYSTEM_DEFAULT) -> None:
        super().__init__(cell)
        self._timeout = timeout

    def within(self, timeout: float | None) -> FunctionRef:
        """Return the same reference with a time-out for its calls, in seconds; None for no bound."""
        return type(self)(self.cell, timeout)

    async def __call__(self, **arguments: Any) -> Result:
        """Call the Function and return `{"status": "success", "output": …}` or `{"status": "error", …}`."""
        try:
            return await self.ask(Call(arguments), timeout=self._timeout)
        except ActorError as error:
            return failure(error, state="DELIVERY")

    # `message` is by position only: a Function may have an argument of that name.
    def stream(
        self, message: object = None, /, *, timeout: float | None = None, buffer: int = 64, **arguments: Any
    ) -> StreamRequest[Any]:
        """Open the answer as a stream: `async with ref.stream(content="…") as events: …`.

        Args:
            message: for other actors' sake; leave it out.
            timeout: seconds for the whole stream; left out, that of `within()`, if any.
            buffer: items that the producer may be ahead.
            **arguments: what `run()` gets.
        """
        if timeout is None and self._timeout is not None and self._timeout != SYSTEM_DEFAULT:
            timeout = self._timeout
        return super().stream(Call(arguments) if message is None else message, timeout=timeout, buffer=buffer)
