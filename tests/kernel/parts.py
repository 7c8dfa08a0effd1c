"""Children of a supervisor that say when they start and stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinyllm_actors.kernel import Actor, Strategy, Supervisor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tinyllm_actors.kernel import ChildSpec, ExitReason

LOG: list[str] = []
"""The starts and stops of parts, as `+name` and `-name`; each test begins with an empty one."""


class Part(Actor):
    """Writes down each start and stop, does what it is told, and knows its incarnation."""

    async def started(self) -> None:
        LOG.append(f"+{self.context.name}")

    async def receive(self, message: Callable[[Part], Awaitable[Any]] | str) -> Any:
        if isinstance(message, str):
            return self.context.incarnation
        return await message(self)

    async def stopped(self, reason: ExitReason) -> None:
        LOG.append(f"-{self.context.name}")


async def crash(_: Part) -> None:
    """Fail in a handler."""
    raise LookupError("crash")


def at_once(strategy: Strategy, **options: Any) -> Supervisor:
    """Return a supervisor that restarts at once."""
    return Supervisor(strategy=strategy, backoff=None, **options)


def parts(*names: str, **options: Any) -> list[ChildSpec]:
    """Return specs of parts with these names."""
    return [Part.spec().named(name).with_options(**options) for name in names]


async def restarts(events: Any, count: int) -> list[str]:
    """Return the paths of those that restart next, in order."""
    return [(await events.receive()).path for _ in range(count)]
