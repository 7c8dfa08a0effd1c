"""What a tool call costs above its function, in µs of CPU time.

```text
python tests/benchmarks/tools.py [--backend asyncio|uvloop|trio] [--rounds N] [--json]
```

The floor is two Functions, one calling the other, as a toolkit calls a tool: what supervision, states and deadlines
cost by themselves.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

import anyio
from measuring import FLOOR, OURS, Case, Goal, cpu, measure, render

from tinyllm_actors import ActorSystem, Function, Toolkit, tool
from tinyllm_actors.tool import ToolRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

COUNT = 500


@tool
async def add(a: int, b: int) -> int:
    """Add."""
    return a + b


class Inner(Function):
    async def run(self, **arguments: Any) -> dict[str, Any]:
        return arguments


class Outer(Function):
    async def started(self) -> None:
        self.inner = await self.context.spawn(Inner)
        await super().started()

    async def run(self, **arguments: Any) -> Any:
        return await self.inner.within(30.0)(**arguments)


async def timed(call: Callable[[], Awaitable[object]]) -> float:
    """Return the µs that one call takes."""
    started = cpu()
    for _ in range(COUNT):
        await call()
    return (cpu() - started) / COUNT * 1e6


async def main(rounds: int, as_json: bool) -> int:
    """Measure, print, and return 1 if a goal is missed."""
    calls = [ToolRequest("a", "add", '{"a": 1, "b": 2}')]
    async with ActorSystem("benchmark") as system:
        toolkit = await system.spawn(Toolkit([add]))
        outer = await system.spawn(Outer)
        unbounded = toolkit.within(None)

        async def streamed() -> None:
            async with unbounded.stream(calls=calls) as events:
                async for _ in events:
                    pass

        async def observed() -> None:
            await unbounded(calls=calls, observe=seen.append)

        def subjects(ours: Callable[[], Awaitable[object]]) -> dict[str, Callable[[], Awaitable[float]]]:
            return {FLOOR: lambda: timed(lambda: outer(a=1)), OURS: lambda: timed(ours)}

        seen: list[object] = []
        alone = add.validate(calls[0].arguments)
        cases = [
            Case("the function by itself, with its deadline", "µs", subjects(lambda: add.call(alone))),
            Case("a turn of one call", "µs", subjects(lambda: unbounded(calls=calls)), Goal(below=80)),
            Case("the same, observed", "µs", subjects(observed), Goal(below=80)),
            Case("the same, streamed", "µs", subjects(streamed), Goal(below=100)),
            Case("a turn of eight calls", "µs", subjects(lambda: unbounded(calls=calls * 8))),
        ]
        results = await measure(cases, rounds, lambda said: None)
    print(json.dumps([r.as_dict() for r in results]) if as_json else render("A tool call, µs of CPU", results))
    return int(any(result.reached() is False for result in results))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="asyncio", choices=["asyncio", "uvloop", "trio"])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    loop: dict[str, Any] = {"backend": given.backend}
    if given.backend == "uvloop":
        loop = {"backend": "asyncio", "backend_options": {"use_uvloop": True}}
    sys.exit(anyio.run(main, given.rounds, given.json, **loop))
