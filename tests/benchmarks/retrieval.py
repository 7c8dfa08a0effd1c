"""Whether an ingest of very many documents keeps memory flat, goes on where it was, and says how far it is.

```text
python tests/benchmarks/retrieval.py [--backend asyncio|uvloop|trio] [--documents N] [--json]
```

`growth` is how much resident memory grew, in MiB, between a tenth and the end of the ingest, of the process that
ingests (the index is a counter, so that only the pipeline is measured). Times are CPU time of this process; reading
happens in others.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from tinyllm_actors import ActorSystem
from tinyllm_actors.retrieval import Chunk, Chunker, ChunkIndex, Ingest, IngestProgress, estimate_size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GOALS = {"growth_mib": 16.0, "again_share": 0.7}
"""The most that memory may grow, and the CPU of an ingest without changes as a share of the first one."""


class Counter(ChunkIndex):
    def __init__(self) -> None:
        self.count = 0

    async def upsert(self, chunks: Sequence[Chunk]) -> None:
        self.count += len(chunks)

    async def relabel(self, metadata: Mapping[str, dict[str, Any]]) -> None:
        pass

    async def delete(self, ids: Sequence[str]) -> None:
        pass


def resident() -> float:
    """Return MiB of resident memory."""
    gc.collect()
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize() / 2**20


def write_documents(root: Path, count: int) -> None:
    """Write documents of about 4 KB, a hundred in each folder, no two alike."""
    for number in range(count):
        folder = root / f"{number // 100:04}"
        folder.mkdir(exist_ok=True)
        text = "\n".join(
            f"## Section {part}\nDocument {number} says {part}. " + "More words. " * 60 for part in range(5)
        )
        (folder / f"{number:06}.md").write_text(f"# Document {number}\n{text}")


async def ingest(root: Path, ledger: Path, documents: int) -> dict[str, Any]:
    """Ingest a folder, and return what that took."""
    index = Counter()
    memory: list[float] = []
    progress = 0
    result: Any = None
    async with ActorSystem("bench") as system:
        ref = await system.spawn(Ingest.spec(index, root, ledger=ledger, chunker=Chunker(count=estimate_size)))
        started = time.process_time()
        async with ref.stream() as events:
            async for event in events:
                if isinstance(event, IngestProgress):
                    progress += 1
                    if event.done % max(1, documents // 10) == 0:
                        memory.append(resident())
                else:
                    result = event
        seconds = time.process_time() - started
    if result["status"] == "error":
        raise SystemExit(result["message"])
    return {
        "documents": documents,
        "told_of": progress,
        "chunks": index.count,
        "cpu_seconds": round(seconds, 2),
        "documents_per_cpu_second": round(documents / seconds),
        "memory_mib": [round(value, 1) for value in memory],
        "growth_mib": round(max(memory) - memory[0], 1),
        **{name: result["output"][name] for name in ("indexed", "unchanged", "failed")},
    }


async def measure(documents: int) -> dict[str, dict[str, Any]]:
    """Ingest a folder twice."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "documents"
        root.mkdir()
        await anyio.to_thread.run_sync(write_documents, root, documents)
        ledger = Path(folder) / "ledger.db"
        first = await ingest(root, ledger, documents)
        again = await ingest(root, ledger, documents)
        return {"first": first, "again": again}


def main() -> int:
    """Return 0 if all goals are reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="asyncio", choices=["asyncio", "uvloop", "trio"])
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    options: dict[str, Any] = {"backend": given.backend}
    if given.backend == "uvloop":
        options = {"backend": "asyncio", "backend_options": {"use_uvloop": True}}
    found = anyio.run(measure, given.documents, **options)
    share = found["again"]["cpu_seconds"] / found["first"]["cpu_seconds"]
    reached = {
        "memory is flat": found["first"]["growth_mib"] <= GOALS["growth_mib"],
        "each document is told of": found["first"]["told_of"] == given.documents,
        "what is indexed is not indexed again": found["again"]["chunks"] == 0,
        "without changes it costs less": share <= GOALS["again_share"],
    }
    if given.json:
        print(json.dumps({**found, "reached": reached}))
    else:
        for name, values in found.items():
            print(f"{name}:", ", ".join(f"{key}={value}" for key, value in values.items()))
        for goal, met in reached.items():
            print(f"{'ok  ' if met else 'MISS'} {goal}")
    return 0 if all(reached.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
