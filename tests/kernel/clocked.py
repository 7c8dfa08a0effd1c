"""An actor that notes when it handles what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from tinyllm_actors.kernel import (
    ActorSystem,
)
from tinyllm_actors.testing import Puppet

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinyllm_actors.kernel import ActorRef, ExitReason


class Clocked(Puppet):
    """Notes when its own messages come."""

    def __init__(self, ticks: list[tuple[float, str]] | None = None, life: list[str] | None = None) -> None:
        self.ticks: list[tuple[float, str]] = [] if ticks is None else ticks
        self.life = life

    async def started(self) -> None:
        if self.life is not None:
            self.life.append(f"started {self.context.incarnation}")

    async def receive(self, message: Any) -> Any:
        if isinstance(message, str):
            self.ticks.append((round(anyio.current_time(), 6), message))
            return None
        return await super().receive(message)

    async def stopped(self, reason: ExitReason) -> None:
        if self.life is not None:
            self.life.append(f"stopped ({reason.kind})")


async def clocked(
    system: ActorSystem, begin: Callable[[Clocked], object], **options: Any
) -> tuple[ActorRef, list[tuple[float, str]]]:
    """Start an actor, let it begin, and return it with the list of its ticks."""
    ticks: list[tuple[float, str]] = []
    ref = await system.spawn(Clocked.spec(ticks).with_options(**options), name="clocked")
    await Clocked.do(ref, begin)
    return ref, ticks
