"""The actor behind `system.supervise(…)`: it has no messages of its own, only children."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyllm_actors.kernel import life
from tinyllm_actors.kernel.actor import Actor
from tinyllm_actors.kernel.spec import ChildOptions, ChildSpec, DynamicSupervisor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.kernel.spec import Supervisor

__all__ = ["SupervisorNode", "SupervisorSpec"]


class SupervisorNode(Actor):
    """Starts its children in order. When it is restarted, the same references come back to life."""

    options = ChildOptions(shutdown=float("inf"))

    def __init__(self, config: Supervisor, children: Sequence[ChildSpec]) -> None:
        self.supervision = config  # type: ignore[misc] - one configuration for each node
        self._specs = children

    async def started(self) -> None:
        """Start every child; one that fails to start fails this start, and those before it are stopped."""
        cell = self.kernel_cell
        existing = cell.cold.children
        if existing:
            for child in list(existing.values()):
                await life.start(child)
            return
        try:
            for spec in self._specs:
                await cell.system.spawn_under(cell, spec, None)
        except BaseException:
            await life.stop_children(cell)
            raise


class SupervisorSpec(ChildSpec):
    """The spec of a supervisor: what its halt and its shutdown need to know."""

    __slots__ = ("keeps_children", "unordered")

    def __init__(self, config: Supervisor, children: Sequence[ChildSpec]) -> None:
        super().__init__(SupervisorNode, config, children)
        self.unordered = isinstance(config, DynamicSupervisor)
        self.keeps_children = not self.unordered
