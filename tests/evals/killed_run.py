"""A run over a dataset that its parent kills: `python killed_run.py RESULTS CALLS BACKEND`."""

from __future__ import annotations

import sys
from pathlib import Path

import anyio

from tinyllm_actors import ActorSystem
from tinyllm_actors.evals import ExactMatch, Example, evaluate

CASES = [Example(str(number), {"n": number}, expected=number) for number in range(90)]


async def main(results: str, calls: str) -> None:
    """Run all, and note each call in a file of its own, before its answer."""
    with Path(calls).open("a", encoding="utf-8", buffering=1) as noted:  # noqa: ASYNC230 - a test's notebook

        async def same(n: int) -> int:
            noted.write(f"{n}\n")
            await anyio.sleep(0.002)
            return n

        async with ActorSystem("killed") as system:
            run = await evaluate(system, same, CASES, [ExactMatch], results=results, max_concurrency=4)
    assert run.complete
    sys.stdout.write("complete\n")


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2], backend=sys.argv[3])
