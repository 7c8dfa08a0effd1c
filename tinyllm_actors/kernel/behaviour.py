"""Which function handles an actor's messages now: its `receive`, what it became, and who looks on.

The scheduler calls `actor.receive`, whatever that is. So a behaviour is an instance attribute that hides the method,
and handling a message costs the same with and without.
"""

from __future__ import annotations

import inspect
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import anyio

from tinyllm_actors.kernel.cell import CHANGED
from tinyllm_actors.kernel.envelope import CURRENT

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from tinyllm_actors.kernel.cell import Cell
    from tinyllm_actors.kernel.envelope import Envelope

    Receive = Callable[[Any], Any]
    Observer = Callable[[Envelope | None, float, str, BaseException | None], None]

__all__ = ["become", "observe", "refresh", "unbecome", "unobserve"]


def become(cell: Cell, receive: Receive, *, discard_old: bool) -> None:
    """Let `receive` handle the messages that follow."""
    stack = _stack(cell)
    if discard_old and len(stack) > 1:
        stack[-1] = receive
    else:
        stack.append(receive)
    refresh(cell)


def unbecome(cell: Cell) -> bool:
    """Go back to the handler before; False if it is the first already."""
    stack = _stack(cell)
    if len(stack) == 1:
        return False
    stack.pop()
    refresh(cell)
    return True


def observe(cell: Cell, observer: Observer) -> None:
    """Tell `observer` of each message that is handled: envelope, start, outcome, error."""
    cold = cell.cold
    cold.observers = (*cold.observers, observer)
    refresh(cell)


def unobserve(cell: Cell, observer: Observer) -> None:
    """Tell it no more."""
    cold = cell.cold
    cold.observers = tuple(other for other in cold.observers if other is not observer)
    refresh(cell)


def refresh(cell: Cell) -> None:
    """Install the handler that counts now: the top of the stack, with the observers around it."""
    actor = cell.actor
    if actor is None:
        return
    receive = _stack(cell)[-1]
    attributes = vars(actor)
    for name in ("stream", "produce"):
        attributes.pop(name, None)
    is_async = inspect.iscoroutinefunction(receive)
    if cell.cold.observers:
        receive = _observed(cell, receive) if is_async else _observed_plain(cell, receive)
        attributes["stream"] = _observed_stream(cell, actor.stream)
        attributes["produce"] = _observed(cell, actor.produce)
    attributes["receive"] = receive
    attributes["kernel_receive_is_async"] = is_async
    cell.plain = not is_async and cell.spec.options.inline
    if not cell.idle:
        cell.attention |= CHANGED  # whoever drains the mailbox holds the old handler


def _stack(cell: Cell) -> list[Receive]:
    stack = cell.cold.behaviours
    if not stack:
        assert cell.actor is not None
        stack = cell.cold.behaviours = [cell.actor.receive]
    return stack


def _report(cell: Cell, since: float, error: BaseException | None) -> None:
    envelope = CURRENT.get()
    if error is None:
        outcome = "returned"
    elif isinstance(error, Exception):
        outcome = "raised"
    else:
        outcome = "cancelled" if isinstance(error, anyio.get_cancelled_exc_class()) else "closed"
    for observer in cell.cold.observers:
        observer(envelope, since, outcome, error)


def _observed(cell: Cell, function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def receive(*arguments: Any) -> Any:
        since = cell.system.now()
        try:
            answer = await function(*arguments)
        except BaseException as error:
            _report(cell, since, error)
            raise
        _report(cell, since, None)
        return answer

    return receive


def _observed_plain(cell: Cell, function: Receive) -> Receive:
    def receive(message: Any) -> Any:
        since = cell.system.now()
        try:
            answer = function(message)
        except BaseException as error:
            _report(cell, since, error)
            raise
        _report(cell, since, None)
        return answer

    return receive


def _observed_stream(
    cell: Cell, function: Callable[[Any], AsyncGenerator[Any, None]]
) -> Callable[[Any], AsyncGenerator[Any, None]]:
    async def stream(message: Any) -> AsyncGenerator[Any, None]:
        since = cell.system.now()
        try:
            async with aclosing(function(message)) as items:
                async for item in items:
                    yield item
        except BaseException as error:
            _report(cell, since, error)
            raise
        _report(cell, since, None)

    return stream
