"""The speed and the size of the kernel beside a raw anyio stream, pykka and autogen-core, in one run.

    python tests/benchmarks/kernel.py --backend all

Rates are per second of CPU time, in medians of rounds in which everybody takes a turn. `--quick` takes a minute for
each back end and is noisy.
"""

from __future__ import annotations

import argparse
import json
import logging
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import structlog
from kernel_floor import Floor
from kernel_log import log_cases
from kernel_ours import Ours
from kernel_pauses import pause_cases
from kernel_peers import autogen_measurements, pykka_measurements
from measuring import FLOOR, OURS, Case, Goal, Result, measure, render

if TYPE_CHECKING:
    from collections.abc import Sequence

BACKENDS = ("asyncio", "uvloop", "trio")


def cases(backend: str, floor: Floor, ours: Ours, scale: float) -> list[Case]:
    """Return what is measured, with the goals for this back end."""
    pykka = pykka_measurements(scale)
    autogen = autogen_measurements(scale) if backend != "trio" else {}
    ask = {"asyncio": 0.65, "uvloop": 0.6, "trio": 0.9}[backend]
    at_once = 1.4 if backend == "trio" else 2.2
    quick_answer = Goal(below=8.0) if backend == "asyncio" else Goal()
    against: dict[str, dict[str, float]] = {"tell": {"autogen": 40.0}, "ask": {"pykka": 2.5, "autogen": 15.0}}
    if backend == "trio":
        against = {"tell": {}, "ask": {}}

    def subjects(name: str, mine: Any, its: Any = None) -> dict[str, Any]:
        found = {} if its is None else {FLOOR: its}
        found[OURS] = mine
        if name in pykka:
            found["pykka"] = pykka[name]
        if name in autogen:
            found["autogen"] = autogen[name]
        return found

    return [
        Case("tell", "/s", subjects("tell", ours.tell, floor.tell), Goal(ratio=1.8, peers=against["tell"])),
        Case("tell, floor drains in batches", "/s", {FLOOR: floor.tell_drained, OURS: ours.tell}),
        Case("ask", "/s", subjects("ask", ours.ask, floor.ask), Goal(ratio=ask, peers=against["ask"])),
        Case("ask, median time", "µs", {FLOOR: floor.ask_latency, OURS: ours.ask_latency}, quick_answer),
        Case(
            "ask, 1000 at once",
            "/s",
            subjects("ask_in_flight", ours.ask_in_flight, floor.ask_from_tasks),
            Goal(ratio=at_once),
        ),
        Case("ask, 1000 at once, both from one task", "/s", {FLOOR: floor.ask_in_flight, OURS: ours.ask_in_flight}),
        Case("ask, 1000 at once, both from tasks", "/s", {FLOOR: floor.ask_from_tasks, OURS: ours.ask_from_tasks}),
        Case("ask of an idle actor, plain def", "/s", {FLOOR: floor.ask, OURS: ours.ask_plain}, Goal(ratio=5.0)),
        Case("ring of 1000", "hop/s", {FLOOR: floor.ring, OURS: ours.ring}, Goal(ratio=8.0)),
        Case("crash and restart", "/s", {FLOOR: floor.restart, OURS: ours.restart}, Goal(ratio=3.0)),
        Case("stream, buffer 64", "item/s", {FLOOR: floor.stream, OURS: ours.stream}, Goal(ratio=10.0)),
        Case(
            "spawn and stop, 100,000",
            "/s",
            subjects("spawn_stop", ours.spawn_stop, floor.spawn_stop),
            Goal(at_least=500_000),
        ),
        Case("an idle actor", "bytes", {OURS: ours.bytes_idle}, Goal(below=600), rounds=1),
        Case("a blocked actor", "bytes", {OURS: ours.bytes_blocked}, Goal(below=8192), rounds=1),
    ]


async def run(backend: str, rounds: int, scale: float, only: str, progress: Any) -> list[Result]:
    """Measure everything on the running back end."""
    results: list[Result] = []
    async with Ours.open(scale) as ours:
        chosen = [case for case in cases(backend, Floor(scale), ours, scale) if only in case.name]
        results += await measure(chosen, rounds, progress)
    with tempfile.TemporaryDirectory() as folder:
        chosen = [case for case in log_cases(Path(folder), scale) if only in case.name]
        results += await measure(chosen, rounds, progress)
    quiet()
    chosen = [case for case in pause_cases(scale) if only in case.name]
    results += await measure(chosen, rounds, progress)
    return results


def quiet() -> None:
    """Let no failure that a benchmark provokes be printed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", choices=[*BACKENDS, "all"], default="all")
    parser.add_argument("--rounds", type=int, default=None, help="5, or 3 with --quick")
    parser.add_argument("--quick", action="store_true", help="a fifth of the counts")
    parser.add_argument("--only", default="", help="only cases whose name holds this")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write everything measured to FILE")
    return parser.parse_args(argv)


def main() -> None:
    """Measure, and print tables."""
    options = arguments()
    if options.backend == "all":
        documents: list[object] = []
        for backend in BACKENDS:  # a process each, so that none inherits another's heap
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "result.json"
                command = [sys.executable, __file__, "--backend", backend, "--json", str(file), "--only", options.only]
                command += ["--quick"] if options.quick else []
                command += [] if options.rounds is None else ["--rounds", str(options.rounds)]
                subprocess.run(command, check=True)
                documents += json.loads(file.read_text())
        if options.json is not None:
            options.json.write_text(json.dumps(documents, indent=1))
        return

    def progress(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{options.backend}: {text}", end="", file=sys.stderr, flush=True)

    quiet()
    rounds = options.rounds or (3 if options.quick else 5)
    scale = 0.2 if options.quick else 1.0
    loop: dict[str, Any] = {"backend": options.backend}
    if options.backend == "uvloop":
        loop = {"backend": "asyncio", "backend_options": {"use_uvloop": True}}
    results = anyio.run(run, options.backend, rounds, scale, options.only, progress, **loop)
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    title = f"{options.backend}, Python {platform.python_version()}, {rounds} rounds"
    print(render(title, results), flush=True)
    if options.json is not None:
        document = {"backend": options.backend, "python": platform.python_version(), "rounds": rounds}
        document["cases"] = [result.as_dict() for result in results]
        options.json.write_text(json.dumps([document], indent=1))


if __name__ == "__main__":
    main()
