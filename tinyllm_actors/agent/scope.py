"""What agents inside of agents share: how deep they are, and what they have used of each other's limits.

A scope travels with the messages of a run, as context variables do, so an agent that works inside of another one
counts its model calls and tool calls on all agents around it.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

from tinyllm_actors.errors import DelegationTooDeep, StepLimitExceeded

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RunScope", "current_scope"]

_SCOPE: Final[ContextVar[RunScope | None]] = ContextVar("tinyllm_actors.run_scope", default=None)


def current_scope() -> RunScope | None:
    """Return the scope of the run in which this code works; None outside of one."""
    return _SCOPE.get()


class RunScope:
    """One run of one agent.

    ```python
    >>> outer = RunScope("planner", max_steps=3, max_tool_calls=10, max_depth=2)
    >>> inner = RunScope("worker", max_steps=9, max_tool_calls=10, max_depth=5, parent=outer)
    >>> inner.take_step()
    >>> outer.steps, inner.steps_left(), inner.depth
    (1, 2, 2)

    ```

    Attributes:
        agent: its path.
        parent: the run that it is part of.
        depth: 1 for a run that is part of no other.
        steps: model calls so far, those of the runs inside included.
        tool_calls: tool calls so far, likewise.

    Args:
        max_steps: model calls that it may make, those of the runs inside included.
        max_tool_calls: tool calls that it may make, likewise; None for no limit of its own.
        max_depth: runs that may be inside of one another, this one included.

    Raises:
        DelegationTooDeep: an agent around this one allows no more inside of it.
    """

    __slots__ = ("agent", "depth", "max_depth", "max_steps", "max_tool_calls", "parent", "steps", "tool_calls")

    def __init__(
        self,
        agent: str,
        *,
        max_steps: int,
        max_tool_calls: int | None,
        max_depth: int,
        parent: RunScope | None = None,
    ) -> None:
        self.agent = agent
        self.parent = parent
        self.max_steps = max_steps
        self.max_tool_calls = max_tool_calls
        self.steps = 0
        self.tool_calls = 0
        self.depth = 1 if parent is None else parent.depth + 1
        # What an agent allows counts from itself: whoever is inside may only be stricter.
        allowed = self.depth - 1 + max_depth
        self.max_depth = allowed if parent is None else min(parent.max_depth, allowed)
        if self.depth > self.max_depth:
            raise DelegationTooDeep(self.max_depth, [scope.agent for scope in self.outwards()])

    def outwards(self) -> Iterator[RunScope]:
        """Yield this scope and those around it, the innermost first."""
        scope: RunScope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    def enter(self) -> None:
        """Make it the scope of everything that the handler of this message sends from now on."""
        _SCOPE.set(self)

    def steps_left(self) -> int:
        """Return how many model calls all limits around leave."""
        left = self.max_steps - self.steps
        scope = self.parent  # these four go outwards by hand: with `outwards` they took a tenth of a run's own time
        while scope is not None:
            left = min(left, scope.max_steps - scope.steps)
            scope = scope.parent
        return left

    def tool_calls_left(self) -> int | None:
        """Return how many tool calls all limits around leave; None if there is no limit."""
        left: int | None = None
        scope: RunScope | None = self
        while scope is not None:
            if scope.max_tool_calls is not None:
                mine = max(0, scope.max_tool_calls - scope.tool_calls)
                left = mine if left is None else min(left, mine)
            scope = scope.parent
        return left

    def take_step(self) -> None:
        """Count one model call.

        Raises:
            StepLimitExceeded: an agent around has none left.
        """
        scope: RunScope | None = self
        while scope is not None:
            if scope.steps >= scope.max_steps:
                raise StepLimitExceeded(scope.max_steps)
            scope = scope.parent
        scope = self
        while scope is not None:
            scope.steps += 1
            scope = scope.parent

    def take_tool_calls(self, wanted: int) -> int:
        """Count as many of `wanted` tool calls as all limits leave, and return how many that are."""
        left = self.tool_calls_left()
        granted = wanted if left is None else min(wanted, left)
        scope: RunScope | None = self
        while scope is not None:
            scope.tool_calls += granted
            scope = scope.parent
        return granted
