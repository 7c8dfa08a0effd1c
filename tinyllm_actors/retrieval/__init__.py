"""Retrieval: documents, how they are read, cut, indexed, found and cited.

Vector stores
-------------
A `VectorStore` keeps rows (id, text, vector, metadata) in named collections and finds them by nearness (`search`), by
words (`search_text`) and by metadata (`field("year") >= 2020`). `vector_store_from_url` gives one: `"memory:"`,
`"sqlite:///vectors.db"` or `"postgresql://…"` with pgvector. The port's module says what all of them promise.

- A row replaces those with its id or its text, so a collection holds neither twice.
- Scores of `search`: the cosine (−1 to 1), the inner product, or minus the Euclidean distance; higher is nearer.
  Scores of `search_text` have an order and no scale.
- A filter means what `matches` says, in every store, and is applied before the best `k` are chosen. A key that is
  missing is as one that is None, and `!=` is the exact opposite of `==`.
- What no database can keep is refused by name, as an `InputRejected`, before anything is sent.

Which one: SQLite until a collection has some hundred thousand rows or a second machine, then PostgreSQL. Fill a large
collection first, and then `build_index`: in PostgreSQL an index makes each insert several times slower, and in SQLite
it is of the rows that there are. Ten of 100,000 rows of 384 dimensions in a SQLite file, on two busy cores: 12 ms
compared with all (7 ms of CPU), 0.9 ms with `Hnsw` (recall 1.0; built in 45 s), 0.8 ms of the 1 % that a filter on an
indexed key keeps, 57 ms of those without the index. Rows are taken in at 26,000 a second there, at 11,000 in
PostgreSQL, which finds ten with `Hnsw` in 1.6 ms, 16 % more than the bare statement takes.

Which search, measured on 503 questions about building in Sweden, each with one right answer among 503 (package
`zaragoza-construction-faq`, in English), with vectors of the model `"local"`, by
`tests/benchmarks/retrieval_quality.py`:

```text
                                       recall@1   @5    @10    nDCG@10
words, BM25 in memory                    0.330   0.565  0.656   0.484
words, SQLite (BM25 with stems)          0.360   0.636  0.706   0.531
words, PostgreSQL                        0.382   0.644  0.708   0.546
vectors, compared with all               0.346   0.618  0.706   0.523
vectors, HNSW in PostgreSQL              0.346   0.618  0.706   0.523
hybrid_search, memory                    0.380   0.648  0.744   0.552
hybrid_search, SQLite                    0.408   0.668  0.757   0.576
hybrid_search, PostgreSQL                0.398   0.668  0.757   0.571
hybrid, then variety (MMR 0.3 of 20)     0.346   0.604  0.726   0.521
hybrid, then `rerank` of 20 by MiniLM    0.547   0.777  0.803   0.683
vectors of "local/minilm"                0.557   0.813  0.869   0.716
hybrid_search with these vectors         0.505   0.736  0.811   0.656
```

So `hybrid_search` finds five more of a hundred answers than either of its halves. Variety costs some of that where one
answer is enough; it is for prompts that should hear several sides.

`rerank` takes any scorer. The one above compares vectors of `"local/minilm"`: it puts the right answer first 14 times
more often in a hundred, and costs 15 ms for each text that it has not seen. To search by these vectors at once is
better still, and words then only spoil it: measure before you mix. A scorer also spoils what it cannot judge: this one
knows English, and of the same questions in Swedish nDCG falls from 0.402 to 0.364. A cross-encoder, which reads query
and text together, fits into the same place; none was measured, as no package with the weights of one was found.

PostgreSQL beside langchain-postgres 0.0.19 on one server, with the same 100,000 rows of 384 dimensions and the same
HNSW index, in one run on two busy cores: 4,700 rows/s inserted (theirs 470), 3.0 ms a search (theirs 24.5), recall@10
1.0 (theirs 1.0).
"""

from tinyllm_actors.retrieval.bm25 import BM25Index
from tinyllm_actors.retrieval.chunking import Chunk, ChunkChanges, Chunker, chunk_changes, chunk_id
from tinyllm_actors.retrieval.citations import CitationReport, CitedSentence, QuoteCheck, check_citations
from tinyllm_actors.retrieval.document import AnyDocument, DictionaryDocument, Document, ImageDocument, TableDocument
from tinyllm_actors.retrieval.document_store import DocumentStore, FittedDocuments
from tinyllm_actors.retrieval.filters import AllOf, AnyOf, Compare, Contains, Field, Filter, NotFilter, field, matches
from tinyllm_actors.retrieval.fusion import normalised, reciprocal_rank_fusion
from tinyllm_actors.retrieval.hnsw import Hnsw
from tinyllm_actors.retrieval.hybrid import hybrid_search
from tinyllm_actors.retrieval.ingest import (
    ChunkIndex,
    Ingest,
    IngestLedger,
    IngestProgress,
    VectorIndex,
    chunk_metadata,
)
from tinyllm_actors.retrieval.loading import FORMATS, FoundFile, Loader, LoadLimits, LoadProgress, find_files
from tinyllm_actors.retrieval.memory_store import MemoryVectorStore
from tinyllm_actors.retrieval.quality import ndcg_at, recall_at, reciprocal_rank
from tinyllm_actors.retrieval.registry import vector_store_from_url
from tinyllm_actors.retrieval.rerank import Scorer, maximal_marginal_relevance, rerank
from tinyllm_actors.retrieval.retriever import Retriever
from tinyllm_actors.retrieval.rows import Collection, Hit, Metadata, MetadataValue, Metric, Row, Scalar
from tinyllm_actors.retrieval.sizing import estimate_size
from tinyllm_actors.retrieval.vector_store import VectorStore

__all__ = [
    "FORMATS",
    "AllOf",
    "AnyDocument",
    "AnyOf",
    "BM25Index",
    "Chunk",
    "ChunkChanges",
    "ChunkIndex",
    "Chunker",
    "CitationReport",
    "CitedSentence",
    "Collection",
    "Compare",
    "Contains",
    "DictionaryDocument",
    "Document",
    "DocumentStore",
    "Field",
    "Filter",
    "FittedDocuments",
    "FoundFile",
    "Hit",
    "Hnsw",
    "ImageDocument",
    "Ingest",
    "IngestLedger",
    "IngestProgress",
    "LoadLimits",
    "LoadProgress",
    "Loader",
    "MemoryVectorStore",
    "Metadata",
    "MetadataValue",
    "Metric",
    "NotFilter",
    "QuoteCheck",
    "Retriever",
    "Row",
    "Scalar",
    "Scorer",
    "TableDocument",
    "VectorIndex",
    "VectorStore",
    "check_citations",
    "chunk_changes",
    "chunk_id",
    "chunk_metadata",
    "estimate_size",
    "field",
    "find_files",
    "hybrid_search",
    "matches",
    "maximal_marginal_relevance",
    "ndcg_at",
    "normalised",
    "recall_at",
    "reciprocal_rank",
    "reciprocal_rank_fusion",
    "rerank",
    "vector_store_from_url",
]
