"""An actor that does what a test tells it, from the inside."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Self, TypeVar

from tinyllm_actors.kernel import Actor

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinyllm_actors.kernel import ActorRef

__all__ = ["Puppet"]

P = TypeVar("P", bound="Puppet")


class Puppet(Actor):
    """Runs functions that are sent to it, as its handler: for tests of what an actor may do, without a class for each.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem
    >>> async def main() -> None:
    ...     async with ActorSystem("test") as system:
    ...         puppet = await system.spawn(Puppet, name="puppet")
    ...         print(await Puppet.do(puppet, lambda self: self.context.path))
    >>> anyio.run(main)
    puppet

    ```
    """

    async def receive(self, message: Callable[[Any], Any]) -> Any:
        """Call `message` with this actor, and await what is awaitable."""
        result = message(self)
        return await result if inspect.isawaitable(result) else result

    @classmethod
    async def do(cls, ref: ActorRef, function: Callable[[Self], Any], *, timeout: float | None = 5.0) -> Any:
        """Run a function (or a coroutine function) of the actor as its next message, and return what it returns.

        Args:
            ref: the puppet.
            function: gets the actor object.
            timeout: seconds to wait.

        Raises:
            ActorFailed: it raised; `cause` holds what.
        """
        return await ref.ask(function, timeout=timeout)

    @classmethod
    async def tell(cls, ref: ActorRef, function: Callable[[Self], Any]) -> None:
        """Run a function as its next message, without waiting for it."""
        await ref.tell(function)
