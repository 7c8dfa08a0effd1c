"""Looking into a running actor: its state, a pause, a trace of its messages. For people; programs send messages.

Source: OTP `sys`.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinyllm_actors.errors import ActorFailed, ActorStopped
from tinyllm_actors.kernel import behaviour, life
from tinyllm_actors.kernel.cell import CALLS
from tinyllm_actors.kernel.envelope import Ask
from tinyllm_actors.kernel.event_stream import EventStream, Subscription
from tinyllm_actors.kernel.lifecycle import Lifecycle
from tinyllm_actors.kernel.redaction import masked

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tinyllm_actors.kernel.cell import Cell
    from tinyllm_actors.kernel.envelope import Envelope
    from tinyllm_actors.kernel.ref import ActorRef

__all__ = ["Handled", "Look", "get_state", "resume", "suspend", "trace"]


@dataclass(frozen=True, slots=True)
class Handled:
    """An actor handled a message.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> from tinyllm_actors.kernel import trace
    >>> class Echo(Actor):
    ...     def receive(self, message: str) -> str:
    ...         return message
    >>> async def main() -> None:
    ...     async with ActorSystem("service") as system:
    ...         echo = await system.spawn(Echo, name="echo")
    ...         async with trace(echo) as records:
    ...             await echo.ask("hello")
    ...             handled = await anext(aiter(records))
    ...         print(handled.path, handled.message, handled.outcome)
    >>> anyio.run(main)
    echo str returned

    ```

    Attributes:
        path: whose message.
        message: the name of its type; its content may be private.
        message_id: its number, unique in the system.
        duration: seconds from the first line of the handler to its end, waits included.
        outcome: `"returned"`, `"raised"`, `"cancelled"`, or `"closed"` for one that was abandoned.
        error: the name of what it raised, if it did.
    """

    path: str
    message: str
    message_id: int
    duration: float
    outcome: str
    error: str | None = None


@asynccontextmanager
async def trace(ref: ActorRef, *, buffer: int = 1000) -> AsyncGenerator[Subscription]:
    """Watch an actor handle its messages: iterate what the block gets for a `Handled` record of each.

    It goes on through restarts. An actor that nobody traces pays nothing.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> from tinyllm_actors.kernel import trace
    >>> class Echo(Actor):
    ...     async def receive(self, message: str) -> str:
    ...         return message
    >>> async def main() -> None:
    ...     async with ActorSystem("service") as system:
    ...         echo = await system.spawn(Echo, name="echo")
    ...         async with trace(echo) as records:
    ...             await echo.ask("hello")
    ...             record = await records.receive()
    ...             print(record.path, record.message, record.outcome)
    >>> anyio.run(main)
    echo str returned

    ```

    Args:
        ref: whom to watch.
        buffer: records that wait for the reader; beyond it the oldest are dropped and counted in `dropped`.
    """
    cell = ref.cell
    records = EventStream(cell.system.backend)

    def record(envelope: Envelope | None, since: float, outcome: str, error: BaseException | None) -> None:
        name = "" if envelope is None else type(envelope.message).__name__
        number = 0 if envelope is None else envelope.id
        failure = type(error).__name__ if isinstance(error, Exception) else None
        records.publish(Handled(cell.path, name, number, cell.system.now() - since, outcome, failure))

    async with Subscription(records, (Handled,), buffer) as subscription:
        behaviour.observe(cell, record)
        try:
            yield subscription
        finally:
            behaviour.unobserve(cell, record)


class Look(Ask):
    """A call into an actor between two of its messages."""

    __slots__ = ()

    def run(self, cell: Cell) -> None:
        """Look now."""
        try:
            self.succeed(_snapshot(cell))
        except Exception as error:
            self.fail(ActorFailed(cell.path, error))


def _snapshot(cell: Cell) -> Any:
    assert cell.actor is not None
    state: Any = cell.actor.snapshot()
    return masked(state) if isinstance(state, dict) else state  # pyright: ignore[reportUnknownArgumentType]


async def get_state(cell: Cell, timeout: float | None) -> Any:
    """Return what `snapshot()` of the actor does, between two messages."""
    _refuse_ended(cell)
    asker = cell.system.asker()
    at_rest = cell.worker is None and cell.state in {Lifecycle.RUNNING, Lifecycle.SUSPENDED}
    if cell.actor is not None and (at_rest or (asker is not None and asker.receiver is cell)):
        try:
            return _snapshot(cell)
        except Exception as error:
            raise ActorFailed(cell.path, error) from error
    look = Look(None, cell, asker, timeout)
    cell.cold.looks = (*cell.cold.looks, look)
    cell.attention |= CALLS
    if cell.idle:
        cell.idle = False
        cell.system.scheduler.enqueue(cell)
    return await look


async def suspend(cell: Cell) -> None:
    """Handle no message after the one in processing; returns when that is finished."""
    if cell.state is not Lifecycle.SUSPENDED:
        _refuse_ended(cell)
        cell.system.care.suspend(cell)
    asker = cell.system.asker()
    if asker is None or asker.receiver is not cell:
        await life.quiet(cell)


def resume(cell: Cell) -> None:
    """Go on."""
    if cell.state is Lifecycle.SUSPENDED:
        cell.system.care.resume(cell)


def _refuse_ended(cell: Cell) -> None:
    if cell.capacity < 0:
        raise ActorStopped(cell.path)
