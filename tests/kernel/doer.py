"""An actor that does what it is told, under a supervisor that bears with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinyllm_actors.kernel import Actor, Supervisor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

PATIENT = Supervisor(max_restarts=100, backoff=None)


class Doer(Actor):
    """Does what it is told, as a handler."""

    async def receive(self, message: Callable[[Doer], Awaitable[Any]]) -> Any:
        return await message(self)


async def crash(actor: Actor) -> None:
    """Raise in a handler."""
    raise LookupError("broken")
