"""What a call of a Function costs: validated three times, through all states, with transitions neither read nor logged.

    python tests/benchmarks/functions.py --backend all

Times are of CPU, in µs for a call, in medians of rounds in which everybody takes a turn. The floor is the same call
without the look at whether somebody wants transitions.
"""

from __future__ import annotations

import argparse
import logging
import sys
from typing import TYPE_CHECKING, Any

import anyio
import structlog
from measuring import FLOOR, OURS, Case, Goal, Result, cpu, measure, render
from pydantic import BaseModel

from tinyllm_actors import ActorSystem, Function
from tinyllm_actors.function import FUNCTION, Step

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

BACKENDS = ("asyncio", "uvloop", "trio")


class Question(BaseModel):
    content: str
    limit: int = 10


class Answer(BaseModel):
    response: str


class Whole(Function):
    """Has every hook and every validator."""

    input_validator = Question
    output_validator = Answer
    processed_output_validator = Answer

    async def run(self, content: str, limit: int) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return {"response": content}

    async def process_output(self, response: str) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return {"response": response}

    async def close(self, response: str) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        pass


class Blind(Whole):
    """Does not look whether somebody wants transitions."""

    def _step(self, step: Step) -> None:
        self.state = FUNCTION.edges[self.state, step]


async def score(input: Any, output: Any, error: Any) -> float:
    """Say 1."""
    return 1.0


async def _spent(spec: Any, count: int) -> float:
    """Return the CPU seconds of `count` calls, one after another."""
    async with ActorSystem("bench", log_transitions=False) as system:
        ref = await system.spawn(spec)
        result = await ref(content="hello")
        assert result["status"] == "success"
        started = cpu()
        for _ in range(count):
            await ref(content="hello")
        return cpu() - started


def cases(count: int) -> list[Case]:
    """Return what is measured, with the goals."""

    def micros(spec: Any) -> Callable[[], Awaitable[float]]:
        async def run() -> float:
            return await _spent(spec, count) / count * 1e6

        return run

    def rate(spec: Any) -> Callable[[], Awaitable[float]]:
        async def run() -> float:
            return count / await _spent(spec, count)

        return run

    scored = Whole.spec(run_evaluators=[score], processed_output_evaluators=[score])
    return [
        Case("a call, every hook and validator", "µs", {OURS: micros(Whole)}, Goal(below=25.0)),
        Case("the same, two evaluators", "µs", {OURS: micros(scored)}),
        Case("transitions that nobody wants", "calls/s", {FLOOR: rate(Blind), OURS: rate(Whole)}, Goal(ratio=0.95)),
    ]


def main() -> int:
    """Measure, print, and return 1 if a goal is not reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=[*BACKENDS, "all"], default="asyncio")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=3000)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    missed = False
    for backend in BACKENDS if arguments.backend == "all" else (arguments.backend,):
        options = {"use_uvloop": True} if backend == "uvloop" else {}

        async def run() -> list[Result]:
            return await measure(cases(arguments.calls), arguments.rounds, lambda _: None)

        results = anyio.run(run, backend="trio" if backend == "trio" else "asyncio", backend_options=options)
        print(render(f"Functions on {backend}", results), end="\n\n", flush=True)
        missed |= any(result.reached() is False for result in results)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
