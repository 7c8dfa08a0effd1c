"""Several Functions at once, of which the first answer counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from tinyllm_actors.function.compose.composite import Composite, composite_spec, sources_of
from tinyllm_actors.function.compose.failures import all_failed
from tinyllm_actors.function.compose.outlet import Outlet

if TYPE_CHECKING:
    from tinyllm_actors.function.result import Failure, Result
    from tinyllm_actors.kernel import ChildSpec

__all__ = ["Race", "race"]


class Race(Composite):
    """Calls all of its parts and keeps the first success. See `race`."""

    async def flow(self, arguments: dict[str, Any], outlet: Outlet) -> Any:
        """Run the parts against one another."""
        heat = _Heat(len(self.parts), outlet)
        failures: list[Failure] = []

        async def run_one(index: int) -> None:
            attempt = heat.attempt(index)
            with heat.scopes[index]:
                result = await self.parts[index].answer(dict(arguments), attempt)
                if result["status"] == "error" and not attempt.started:
                    failures.append(self.parts[index].failed(result))
                elif heat.claim(index):
                    heat.result = result
                    if result["status"] == "success":
                        await outlet.adopt(attempt)

        async with anyio.create_task_group() as group:
            for index in range(len(self.parts)):
                group.start_soon(run_one, index)
        if heat.result is None or heat.winner is None:
            raise self.give_up(all_failed(failures))
        if heat.result["status"] == "error":
            raise self.give_up(self.parts[heat.winner].failed(heat.result))
        return heat.result["output"]


class _Heat:
    """Who is ahead. The first to deliver anything cancels the others."""

    def __init__(self, count: int, outlet: Outlet) -> None:
        self.scopes = [anyio.CancelScope() for _ in range(count)]
        self.winner: int | None = None
        self.result: Result | None = None
        self._outlet = outlet

    def attempt(self, index: int) -> Outlet:
        """Return the outlet of one part, which wins with its first item."""

        async def put(item: Any) -> None:
            if not self.claim(index):
                await anyio.sleep_forever()  # it lost a moment ago, and its cancellation is on its way
            await self._outlet.put(item)

        return Outlet(put if self._outlet.live else None)

    def claim(self, index: int) -> bool:
        """Win, unless somebody has."""
        if self.winner is None:
            self.winner = index
            for other, scope in enumerate(self.scopes):
                if other != index:
                    scope.cancel()
        return self.winner == index


def race(*parts: Any, name: str | None = None, **options: Any) -> ChildSpec:
    """Return the spec of a Function that calls all `parts` at once and answers what the first success is.

    The others are cancelled. A part that fails is out of the race; if all do, the error names each. A stream belongs
    to the part whose output starts first, even if it fails later.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import run
    >>> from tinyllm_actors.function.compose import race
    >>> async def slow(text: str) -> str:
    ...     await anyio.sleep(60)
    ...     return "slow"
    >>> async def quick(text: str) -> str:
    ...     return "quick"
    >>> run(race(slow, quick), text="go")
    {'status': 'success', 'output': 'quick'}

    ```

    Args:
        parts: Function specs or classes, callables, or references to live Functions.
        name: what it is called.
        **options: of `Function`.

    Raises:
        TypeError: a part cannot be called.
        ValueError: there is no part.
    """
    return composite_spec(Race, sources_of(parts, "a race"), name=name, **options)
