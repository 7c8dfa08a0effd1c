"""A tracer that keeps traces in memory, for tests and for people who want to see the tree."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from tinyllm_actors.function.tracing import Tracer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.function.tracing import Observation

__all__ = ["TraceRecorder"]


class TraceRecorder(Tracer):
    """Keeps observations in memory: at once, so a test need not wait for them.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem, Agent
    >>> from tinyllm_actors.function.tracing import start_tracing
    >>> from tinyllm_actors.testing import ScriptedModel, TraceRecorder, text
    >>> async def main() -> None:
    ...     recorder = TraceRecorder()
    ...     async with ActorSystem("service") as system:
    ...         await start_tracing(system, recorder)
    ...         agent = await system.spawn(Agent.spec(name="Agent", model=ScriptedModel([text("Hello!")])))
    ...         await agent(content="Hi")
    ...     print(recorder.render())
    >>> anyio.run(main)
    Agent  agent
    ├── BufferMemory  retriever
    ├── Scripted  generation
    └── BufferMemory  retriever

    ```

    Args:
        max_kept: observations kept; older ones are let go.

    Attributes:
        observations: those that have ended, in the order in which they did.
        running: those that have not, by number, in the order in which they started.
    """

    name = "recorder"
    inline = True

    def __init__(self, max_kept: int = 100_000) -> None:
        self.observations: list[Observation] = []
        self.running: dict[int, Observation] = {}
        self._max_kept = max_kept

    def started(self, observation: Observation) -> None:
        """Keep it as one that runs."""
        self.running[observation.span] = observation

    def ended(self, observation: Observation) -> None:
        """Keep it."""
        self.running.pop(observation.span, None)
        self.observations.append(observation)
        if len(self.observations) > self._max_kept:
            del self.observations[: self._max_kept // 10 + 1]

    def find(self, name: str) -> Observation:
        """Return the first that ended of that name.

        Raises:
            LookupError: there is none.
        """
        for observation in self.observations:
            if observation.name == name:
                return observation
        known = ", ".join(sorted({observation.name for observation in self.observations}))
        raise LookupError(f"no observation is called {name!r}; there are: {known or 'none'}")

    def children(self, observation: Observation) -> list[Observation]:
        """Return those right inside of one, in the order in which they started."""
        return self._below()[observation.span]

    def _below(self) -> dict[int, list[Observation]]:
        below: defaultdict[int, list[Observation]] = defaultdict(list)
        known = {observation.span for observation in self.observations}
        for observation in sorted(self.observations, key=lambda one: one.started_at):
            below[observation.parent if observation.parent in known else 0].append(observation)
        return below

    def render(self, *, details: bool = False) -> str:
        """Return the trees as text, one line an observation, in the order in which they started.

        Args:
            details: how it ended, with tokens, dollars and time.
        """
        below = self._below()
        lines: list[str] = []

        def draw(found: Sequence[Observation], lead: str, *, outermost: bool = False) -> None:
            for place, observation in enumerate(found):
                is_last = place == len(found) - 1
                branch = "" if outermost else "└── " if is_last else "├── "
                lines.append(f"{lead}{branch}{_line(observation, details)}")
                inner = lead if outermost else lead + ("    " if is_last else "│   ")
                draw(below[observation.span], inner)

        draw(below[0], "", outermost=True)
        return "\n".join(lines)


def _line(observation: Observation, details: bool) -> str:
    words = [f"{observation.name}  {observation.kind}"]
    if observation.status != "ok":
        error = "" if observation.error is None else f": {observation.error['type']}"
        words.append(f"{observation.status}{error}")
    if details:
        if observation.model is not None:
            words.append(observation.model)
        if observation.usage:
            words.append(f"{observation.usage.get('total', 0)} tokens")
        if observation.cost is not None:
            words.append(f"${observation.cost:.6f}")
        words.append(f"{observation.seconds * 1000:.1f} ms")
    return "  ".join(words)
