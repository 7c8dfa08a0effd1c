r"""What an agent costs beside other frameworks, and beside the same loop by hand, in one run.

```text
python tests/benchmarks/agents.py [--quick] [--peers PYTHON] [--backend NAME] [--only WORD] [--json FILE]
```

All talk to the same server on loopback, a process of its own (`model_server.py`), and each works in a process of its
own (`agent_worker.py`), whose CPU time counts. They take turns in each round; ratios are of the same round. The floor
is aiohttp by hand, without any check; the adapter makes the two model calls of a turn and nothing else.

Peers are optional. Their dependencies do not all go together with ours, so they may have an environment of their own:

```text
python -m venv /tmp/peers
/tmp/peers/bin/pip install anyio openai-agents 'pydantic-ai-slim[openai]' langgraph langchain-openai agno \
    autogen-agentchat 'autogen-ext[openai]'
python tests/benchmarks/agents.py --peers /tmp/peers/bin/python
```

The crowd is 1,000 conversations at once, of five turns with one tool call and two model calls that take 200 ms each.
Nobody can do it in less than 2 s: the figures are multiples of that, as time of the clock, and as CPU time, which says
more on a busy machine. Half of our CPU time there is the garbage collector's, which looks through all that a thousand
conversations hold again and again; `short_pauses()` is the documented switch against that.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import anyio
from measuring import FLOOR, OURS, Case, Goal, Result, measure, render
from models import server

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ADAPTER = "adapter"
ALONE = "tinyllm without a network"
SHORT = "tinyllm with short pauses"
LITELLM = "tinyllm on litellm"
LITELLM_ADAPTER = "litellm adapter"
PEERS = ("pydantic-ai", "openai-agents", "langgraph", "agno", "autogen")
LATENCY_MS = 200


class Process:
    """A worker.

    Args:
        name: of the way it works in.
        root: address of the server.
        backend: of its event loop.
        python: its interpreter.
    """

    def __init__(self, name: str, root: str, backend: str, python: str) -> None:
        self.name = name
        worker = str(Path(__file__).with_name("agent_worker.py"))
        command = [python, worker, name, root, backend]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.ready = self._answer() == "ready"

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line else None

    def __call__(self, do: str, **arguments: int) -> Any:
        """Have it do something, and return the figure.

        Raises:
            RuntimeError: it broke down; why is on its standard error.
        """
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        figure = self._answer()
        if figure is None:
            raise RuntimeError(f"{self.name!r} broke down while it did {do!r}")
        return figure

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()


class Bench:
    """The workers of one run, started as they are needed."""

    def __init__(self, root: str, backend: str, peers: str | None, stack: ExitStack) -> None:
        self._root = root
        self._backend = backend
        self._peers = peers
        self._stack = stack
        self._known: dict[str, Process | None] = {}

    def start(self, name: str) -> Process | None:
        """Start a worker; None if its package is not there."""
        peer = name in PEERS
        if peer and self._peers is None:
            return None
        python = self._peers if peer and self._peers is not None else sys.executable
        process = Process(name, self._root, "asyncio" if peer or name == FLOOR else self._backend, python)
        if not process.ready:
            print(f"{name} is not measured: it does not start with {python}", file=sys.stderr)
            return None
        return process

    def get(self, name: str) -> Process | None:
        """Return the worker of that name that lives through the run."""
        if name not in self._known:
            self._known[name] = process = self.start(name)
            if process is not None:
                self._stack.enter_context(process)
        return self._known[name]


def figures(bench: Bench, names: tuple[str, ...], do: str, **arguments: int) -> dict[str, Callable[[], Awaitable[Any]]]:
    """Return what measures one thing for each of these, where it is there."""
    found: dict[str, Callable[[], Awaitable[Any]]] = {}
    for name in names:
        process = bench.get(name)
        if process is None:
            continue

        async def run(process: Process = process) -> Any:
            return process(do, **arguments)

        found[name] = run
    return found


def cases(bench: Bench, scale: float) -> list[Case]:
    """Return what is measured round by round, and what of it must be reached."""
    everybody = (FLOOR, OURS, ADAPTER, *PEERS)
    count, pieces = max(20, int(200 * scale)), max(500, int(2000 * scale))
    turns = figures(bench, everybody, "turns", count=count)
    alone = figures(bench, (ALONE,), "turns", count=count)
    litellm = figures(bench, (LITELLM, LITELLM_ADAPTER), "turns", count=count)

    async def above(mine: Callable[[], Awaitable[float]], its: Callable[[], Awaitable[float]]) -> float:
        below = await its()
        return await mine() - below

    found = [
        Case("a turn with one tool call", "µs", turns, Goal(below=800)),
        Case("  of it above the adapter", "µs", {OURS: lambda: above(turns[OURS], turns[ADAPTER])}, Goal(below=300)),
        Case("  likewise, with a model that is instant", "µs", {OURS: alone[ALONE]}, Goal(below=300)),
        Case("a piece of a streamed answer", "µs", figures(bench, everybody, "chunks", count=pieces), Goal(below=18)),
        Case(
            "a live idle agent, 20 messages",
            "KB",
            figures(bench, (FLOOR, OURS, *PEERS), "idle", count=50),
            Goal(below=12),
            rounds=1,
        ),
    ]
    if LITELLM in litellm:
        subjects = {FLOOR: litellm[LITELLM_ADAPTER], OURS: litellm[LITELLM]}
        found.append(Case("a turn on litellm; floor: its adapter", "µs", subjects, Goal(below=4300)))
    return found


def crowd_results(bench: Bench, count: int, progress: Callable[[str], None]) -> list[Result]:
    """Let a crowd talk to each, one after the other, each in a fresh process."""
    rows = {
        "wall": (f"{count:,} × 5 turns, wall", "× ideal", Goal(below=2.5)),
        "cpu": ("  CPU time", "× ideal", Goal()),
        "p50": ("  a turn later than its model calls, p50", "ms", Goal()),
        "p99": ("  likewise, p99", "ms", Goal()),
        "peak": ("  peak memory", "MB", Goal(below=150)),
    }
    seen: dict[str, dict[str, float]] = {}
    for name in (FLOOR, OURS, SHORT, *PEERS):
        progress(f"a crowd talks to {name}")
        process = bench.start(name)
        if process is not None:
            with process:
                seen[name] = process("crowd", count=count, latency_ms=LATENCY_MS)
    results = [
        Result(Case(title, unit, {}, goal), {name: [figure[key]] for name, figure in seen.items() if name != SHORT})
        for key, (title, unit, goal) in rows.items()
    ]
    for key in ("wall", "cpu"):
        title, unit, goal = rows[key]
        figures = {FLOOR: [seen[FLOOR][key]], OURS: [seen[SHORT][key]]}
        results.append(Result(Case(f"{title.strip()}, with short_pauses()", unit, {}, goal), figures))
    return results


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=["asyncio", "uvloop", "trio", "all"], default="asyncio")
    parser.add_argument("--peers", default=None, metavar="PYTHON", help="an interpreter that has the peers")
    parser.add_argument("--rounds", type=int, default=None, help="7, or 3 with --quick")
    parser.add_argument("--quick", action="store_true", help="a quarter of the counts")
    parser.add_argument("--only", default="", help="only cases whose name holds this")
    parser.add_argument("--crowd", type=int, default=1000, help="conversations of the crowd; 0 for none")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write everything measured to FILE")
    options = parser.parse_args()
    if options.backend == "all":
        documents: list[object] = []
        for backend in ("asyncio", "uvloop", "trio"):
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "result.json"
                given = sys.argv[1:]
                subprocess.run(
                    [sys.executable, __file__, *given, "--backend", backend, "--json", str(file)], check=True
                )
                documents += json.loads(file.read_text())
        if options.json is not None:
            options.json.write_text(json.dumps(documents, indent=1))
        return

    def progress(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)

    rounds = options.rounds or (3 if options.quick else 7)
    with server() as root, ExitStack() as stack:
        bench = Bench(root, options.backend, options.peers, stack)
        chosen = [case for case in cases(bench, 0.25 if options.quick else 1.0) if options.only in case.name]
        results = anyio.run(measure, chosen, rounds, progress)
        if options.crowd and options.only in "crowd":
            results += crowd_results(bench, options.crowd, progress)
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    print(render(f"{options.backend}, Python {platform.python_version()}, {rounds} rounds", results), flush=True)
    if options.json is not None:
        document = {"backend": options.backend, "python": platform.python_version(), "rounds": rounds}
        document["cases"] = [result.as_dict() for result in results]
        options.json.write_text(json.dumps([document], indent=1))


if __name__ == "__main__":
    main()
