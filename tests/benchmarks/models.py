"""What a model call costs the client: an LLM actor and our adapters beside clients by hand and the vendor's SDK.

```text
python tests/benchmarks/models.py [--quick] [--only WORD] [--group NAME] [--json FILE]
```

The server is a process of its own (`model_server.py`), so the CPU time measured here is the client's: encoding, HTTP,
decoding and, for us, the typed events. In each round all take their turn; ratios are of the same round. The floor is
aiohttp by hand on asyncio, httpx by hand on trio, and litellm by hand, on its fastest settings, for its adapter.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
import tracemalloc
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from measuring import FLOOR, OURS, Case, Goal, Result, measure, per_cpu_second, render
from model_clients import (
    aiohttp_by_hand,
    httpx_by_hand,
    litellm_adapter,
    litellm_by_hand,
    llm_actor,
    messages,
    openai_sdk,
    our_adapter,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from model_clients import Client

CHUNKS = 2000
AT_ONCE = 1000
LATENCY_MS = 200
STREAMS, PACE_MS = 50, 10
ADAPTER = "adapter"

GROUPS: dict[str, tuple[str, dict[str, Any]]] = {
    "asyncio": ("asyncio", {FLOOR: aiohttp_by_hand, OURS: llm_actor, ADAPTER: our_adapter, "openai SDK": openai_sdk}),
    "uvloop": ("uvloop", {FLOOR: aiohttp_by_hand, OURS: llm_actor, ADAPTER: our_adapter}),
    "trio": ("trio", {FLOOR: httpx_by_hand, OURS: llm_actor, ADAPTER: our_adapter}),
    "litellm": ("asyncio", {FLOOR: litellm_by_hand, OURS: litellm_adapter}),
}
GOALS: dict[str, dict[str, Goal]] = {
    "asyncio": {
        "call": Goal(ratio=0.5),
        "message of history": Goal(below=5.0),
        "chunk": Goal(at_least=66_667),
        "1,000 calls": Goal(below=1.5),
        "first event": Goal(below=1.0),
        "kept": Goal(below=64.0),
    },
    "trio": {"call": Goal(ratio=0.77)},
    "litellm": {"call": Goal(ratio=0.95), "message of history": Goal(below=5.0), "chunk, together": Goal(ratio=0.95)},
}


class Runs:
    """The runs of one client against one server."""

    def __init__(self, client: Client, root: str, scale: float) -> None:
        self.client = client
        self.root = root
        self.count = max(10, int(200 * scale))
        self.short = messages(0)
        self.long = messages(400)

    async def _calls(self, history: list[dict[str, Any]]) -> float:
        start = time.process_time()
        for _ in range(self.count):
            await self.client.call(f"{self.root}/0/0", history)
        return per_cpu_second(self.count, start)

    async def calls(self) -> float:
        """Return calls a second."""
        await self.client.call(f"{self.root}/0/0", self.short)
        return await self._calls(self.short)

    async def long_calls(self) -> float:
        """Return calls with a history of 400 messages a second."""
        await self.client.call(f"{self.root}/0/0", self.long)
        return await self._calls(self.long)

    async def history(self) -> float:
        """Return what each message of the history adds to a call, in µs."""
        short, long = await self.calls(), await self.long_calls()
        return max(0.0, 1e6 / long - 1e6 / short) / 400

    async def chunks(self) -> float:
        """Return chunks a second, where the server sends them as fast as it can and many arrive together."""
        await self.client.stream(f"{self.root}/0/10", self.short)
        start = time.process_time()
        await self.client.stream(f"{self.root}/0/{CHUNKS}", self.short)
        return per_cpu_second(CHUNKS, start)

    async def chunks_alone(self) -> float:
        """Return chunks a second over many streams, each of whose chunks arrives alone."""
        each = 100
        await self.client.stream(f"{self.root}/0/{each}@{PACE_MS}", self.short)
        start = time.process_time()
        async with anyio.create_task_group() as tasks:
            for _ in range(STREAMS):
                tasks.start_soon(self.client.stream, f"{self.root}/0/{each}@{PACE_MS}", self.short)
        return per_cpu_second(STREAMS * each, start)

    async def at_once(self) -> float:
        """Return how long 1,000 calls at once take, as a multiple of the model's latency; the least of some.

        This is the time of the clock, so on a busy machine it says more of the others than of us.
        """
        path = f"{self.root}/{LATENCY_MS}/0"
        await self.client.call(path, self.short)
        await self._all_at_once(path)  # connections are opened once in the life of a service
        times: list[float] = []
        for _ in range(5):
            start = time.perf_counter()
            await self._all_at_once(path)
            times.append(time.perf_counter() - start)
        return min(times) / (LATENCY_MS / 1000)

    async def calls_among_many(self) -> float:
        """Return calls a second where 1,000 are under way."""
        path = f"{self.root}/{LATENCY_MS}/0"
        await self.client.call(path, self.short)
        await self._all_at_once(path)
        start = time.process_time()
        await self._all_at_once(path)
        return per_cpu_second(AT_ONCE, start)

    async def _all_at_once(self, path: str) -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(AT_ONCE):
                tasks.start_soon(self.client.call, path, self.short)

    async def first_event(self) -> float:
        """Return how long it takes until the first event, in ms; the least of some."""
        times: list[float] = []
        for _ in range(20):
            start = time.perf_counter()
            firsts: list[float] = []

            def note(firsts: list[float] = firsts) -> None:
                if not firsts:
                    firsts.append(time.perf_counter())

            await self.client.stream(f"{self.root}/0/5", self.short, note)
            times.append(firsts[0] - start)
        return min(times) * 1000

    async def kept(self) -> float:
        """Return how much more memory is held late in a stream than early, besides the text itself, in KB."""
        await self.client.stream(f"{self.root}/0/{CHUNKS}", self.short)
        held: list[int] = []
        seen = 0

        def note() -> None:
            nonlocal seen
            seen += 1
            if seen in (CHUNKS // 10, CHUNKS - CHUNKS // 10):
                held.append(tracemalloc.get_traced_memory()[0])

        tracemalloc.start()
        try:
            await self.client.stream(f"{self.root}/0/{CHUNKS}", self.short, note)
        finally:
            tracemalloc.stop()
        text = 60 * (CHUNKS - CHUNKS // 5)  # a short string takes 57 bytes, and 8 in the list
        return max(0.0, held[1] - held[0] - text) / 1000


def cases(group: str, runs: dict[str, Runs]) -> list[Case]:
    """Return what is measured, and what of it must be reached."""
    goals = GOALS.get(group, {})

    def each(run: Callable[[Runs], Callable[[], Awaitable[float]]], *names: str) -> dict[str, Any]:
        return {name: run(found) for name, found in runs.items() if not names or name in names}

    async def behind_adapter() -> float:
        mine, its = await runs[OURS].first_event(), await runs[ADAPTER].first_event()
        return max(0.0, mine - its)

    quick = (FLOOR, OURS, ADAPTER)
    found = [
        Case("a call", "/s", each(lambda r: r.calls), goals.get("call", Goal())),
        Case("a call with 400 messages", "/s", each(lambda r: r.long_calls)),
        Case("a message of history", "µs", each(lambda r: r.history), goals.get("message of history", Goal())),
        Case(
            "chunk, together",
            "/s",
            each(lambda r: r.chunks),
            goals.get("chunk", goals.get("chunk, together", Goal())),
        ),
        Case("chunk, each alone", "/s", each(lambda r: r.chunks_alone, *quick), goals.get("chunk", Goal())),
        Case(
            "1,000 calls at once, wall", "× 200 ms", each(lambda r: r.at_once, *quick), goals.get("1,000 calls", Goal())
        ),
        Case("a call among 1,000", "/s", each(lambda r: r.calls_among_many, *quick)),
        Case("memory kept by 1,600 chunks", "KB", each(lambda r: r.kept, *quick), goals.get("kept", Goal()), rounds=1),
    ]
    if ADAPTER in runs:
        late = {OURS: behind_adapter}
        found.append(Case("first event behind the adapter's", "ms", late, goals.get("first event", Goal())))
    if group in ("trio", "litellm"):  # httpx needs 20 s for 1,000 calls at once, litellm as many
        found = [case for case in found if "1,000" not in case.name]
        found.append(
            Case("1,000 calls at once, wall", "× 200 ms", each(lambda r: r.at_once, OURS), rounds=1),
        )
    return found


async def run(group: str, root: str, rounds: int, scale: float, only: str, progress: Any) -> list[Result]:
    """Measure one group against the server at `root`."""
    async with AsyncExitStack() as stack:
        runs = {
            name: Runs(await stack.enter_async_context(make()), root, scale) for name, make in GROUPS[group][1].items()
        }
        for found in runs.values():
            for _ in range(found.count):
                await found.client.call(f"{root}/0/0", found.short)
        return await measure([case for case in cases(group, runs) if only in case.name], rounds, progress)


@contextmanager
def server() -> Generator[str]:
    """Run the server in a process of its own, and yield its address."""
    command = [sys.executable, str(Path(__file__).with_name("model_server.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.stdin.close()


def main() -> None:
    """Measure, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--group", choices=[*GROUPS, "all"], default="all")
    parser.add_argument("--rounds", type=int, default=None, help="7, or 3 with --quick")
    parser.add_argument("--quick", action="store_true", help="a quarter of the counts")
    parser.add_argument("--only", default="", help="only cases whose name holds this")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write everything measured to FILE")
    options = parser.parse_args()
    if options.group == "all":
        documents: list[object] = []
        for group in GROUPS:  # a process each, so that none inherits another's heap
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "result.json"
                command = [sys.executable, __file__, "--group", group, "--json", str(file), "--only", options.only]
                command += ["--quick"] if options.quick else []
                command += [] if options.rounds is None else ["--rounds", str(options.rounds)]
                subprocess.run(command, check=True)
                documents += json.loads(file.read_text())
        if options.json is not None:
            options.json.write_text(json.dumps(documents, indent=1))
        return

    def progress(text: str) -> None:
        if sys.stderr.isatty():
            print(f"\r\x1b[K{options.group}: {text}", end="", file=sys.stderr, flush=True)

    rounds = options.rounds or (3 if options.quick else 7)
    backend = GROUPS[options.group][0]
    loop: dict[str, Any] = {"backend": backend}
    if backend == "uvloop":
        loop = {"backend": "asyncio", "backend_options": {"use_uvloop": True}}
    with server() as root:
        scale = 0.25 if options.quick else 1.0
        results = anyio.run(run, options.group, root, rounds, scale, options.only, progress, **loop)
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    print(render(f"{options.group}, Python {platform.python_version()}, {rounds} rounds", results), flush=True)
    if options.json is not None:
        document = {"group": options.group, "python": platform.python_version(), "rounds": rounds}
        document["cases"] = [result.as_dict() for result in results]
        options.json.write_text(json.dumps([document], indent=1))


if __name__ == "__main__":
    main()
