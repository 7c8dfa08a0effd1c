"""What langchain-postgres makes of the same data; run by `vector_stores.py` in an environment of its own.

```text
python vector_store_peer.py URI FOLDER COUNT
```

FOLDER has `rows.npy` and `queries.npy`; it prints JSON: insert rows/s, milliseconds a search, and what was found.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any


def main(uri: str, folder: str, count: int) -> None:
    """Fill a collection, build the index that a user would build, and search."""
    numpy: Any = importlib.import_module("numpy")
    sqlalchemy: Any = importlib.import_module("sqlalchemy")
    postgres: Any = importlib.import_module("langchain_postgres")
    embeddings: Any = importlib.import_module("langchain_core.embeddings")
    rows = numpy.load(Path(folder) / "rows.npy")[:count]
    queries = numpy.load(Path(folder) / "queries.npy")

    class Nothing(embeddings.Embeddings):
        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            raise NotImplementedError

        def embed_query(self, text: str) -> list[float]:
            raise NotImplementedError

    address = uri.replace("postgresql://", "postgresql+psycopg://", 1)
    store = postgres.PGVector(
        embeddings=Nothing(), connection=address, collection_name="peer", embedding_length=rows.shape[1], use_jsonb=True
    )
    started = time.perf_counter()
    for first in range(0, count, 1000):
        some = rows[first : first + 1000]
        numbers = range(first, first + len(some))
        store.add_embeddings(
            texts=[f"passage {n} about topic {n % 97}" for n in numbers],
            embeddings=some.tolist(),
            metadatas=[{"n": n} for n in numbers],
            ids=[str(n) for n in numbers],
        )
    inserted = count / (time.perf_counter() - started)
    engine = sqlalchemy.create_engine(address)
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("SET maintenance_work_mem = '512MB'"))
        connection.execute(
            sqlalchemy.text("CREATE INDEX ON langchain_pg_embedding USING hnsw (embedding vector_cosine_ops)")
        )
    engine.dispose()
    found: list[list[str]] = []
    times: list[float] = []
    for query in queries.tolist():
        started = time.perf_counter()
        hits = store.similarity_search_with_score_by_vector(query, k=10)
        times.append(time.perf_counter() - started)
        found.append([document.id for document, _ in hits])
    print(json.dumps({"insert": inserted, "milliseconds": sorted(times)[len(times) // 20] * 1e3, "found": found}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
