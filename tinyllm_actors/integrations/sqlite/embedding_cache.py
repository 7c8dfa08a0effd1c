"""Vectors of texts that were embedded before, in a SQLite file."""

from __future__ import annotations

from array import array
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tinyllm_actors.errors import StoreUnavailable
from tinyllm_actors.integrations.sqlite.database import Database
from tinyllm_actors.integrations.sqlite.schema import migrate
from tinyllm_actors.llm.embedding_cache import EmbeddingCache

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from tinyllm_actors.llm.embedding import Vector

__all__ = ["SQLiteEmbeddingCache"]

MIGRATIONS: Final = (
    """
    CREATE TABLE tinyllm_actors_embedding_spaces (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
    CREATE TABLE tinyllm_actors_embeddings (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        space INTEGER NOT NULL,
        text BLOB NOT NULL,
        vector BLOB NOT NULL,
        UNIQUE (space, text)
    )
    """,
)

_PREPARE: Final = partial(migrate, migrations=MIGRATIONS, versions="tinyllm_actors_embedding_schema")
_FIND: Final = (
    "SELECT vector FROM tinyllm_actors_embeddings WHERE text = ?"
    " AND space = (SELECT id FROM tinyllm_actors_embedding_spaces WHERE name = ?)"
)


class SQLiteEmbeddingCache(EmbeddingCache):
    """Keeps vectors in a SQLite file, so that a text is embedded once, however often the process starts.

    An `Embedder` takes it as `cache=…`; give one to the embedder of an `Ingest` that indexes anew, or to several
    embedders at once: of those of one model, one asks for a text and the others wait. Several processes may share the
    file, each for itself. A text is known by a digest of 16 bytes, and is not kept itself.

    ```python
    >>> import anyio, tempfile
    >>> from tinyllm_actors import ActorSystem
    >>> from tinyllm_actors.llm import Embedder
    >>> from tinyllm_actors.testing import HashEmbeddings
    >>> async def main(folder: str) -> None:
    ...     for _ in range(2):
    ...         model = HashEmbeddings()
    ...         async with SQLiteEmbeddingCache(f"{folder}/cache.db") as cache, ActorSystem("service") as system:
    ...             embedder = await system.spawn(Embedder.spec(model, cache=cache))
    ...             await embedder(texts=["one", "two"])
    ...             print(len(model.calls))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     anyio.run(main, folder)
    1
    0

    ```

    Args:
        path: of the file, made if it is not there; its folder must be.
        max_entries: vectors to keep; of more, the oldest go. A million of 384 dimensions take 1.6 GB.
        busy_timeout: seconds that a call waits while another process writes.

    Raises:
        ValueError: a limit has no meaning.
    """

    def __init__(self, path: str | Path, *, max_entries: int = 1_000_000, busy_timeout: float = 5.0) -> None:
        super().__init__()
        if max_entries < 1 or not 0 <= busy_timeout <= 3600:
            raise ValueError(
                f"need max_entries >= 1 and busy_timeout from 0 to 3600 seconds, got {max_entries!r} and"
                f" {busy_timeout!r}"
            )
        self.path = Path(path)
        self.name = f"sqlite:///{self.path}"
        self._max_entries = max_entries
        self._busy_timeout = busy_timeout
        self._database: Database | None = None

    def __repr__(self) -> str:
        return f"SQLiteEmbeddingCache({str(self.path)!r})"

    async def __aenter__(self) -> Self:
        """Open the file, make it if it is not there, and bring its tables up to date.

        Raises:
            StoreError: it cannot be opened.
        """
        if self._database is None:
            database = Database(self.path, self.name, "normal", self._busy_timeout, _PREPARE)
            await database.open()
            self._database = database
        return self

    async def __aexit__(
        self, type: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file when the calls that have begun are done."""
        database, self._database = self._database, None
        if database is not None:
            await database.aclose()

    @property
    def _file(self) -> Database:
        if self._database is None:
            raise StoreUnavailable(f"cache {self.name!r} is not open; use it inside `async with`", retryable=False)
        return self._database

    async def load(self, space: str, keys: Sequence[bytes]) -> dict[bytes, Vector]:
        """Return the vectors that are known."""

        def work(database: sqlite3.Connection) -> dict[bytes, Vector]:
            found: dict[bytes, Vector] = {}
            for key in keys:
                row = database.execute(_FIND, (key, space)).fetchone()
                if row is not None and row[0] and len(row[0]) % 4 == 0:
                    found[key] = array("f", row[0])
            return found

        return await self._file.read(work)

    async def save(self, space: str, vectors: Mapping[bytes, Vector]) -> None:
        """Keep vectors; of too many, the oldest go."""

        def work(database: sqlite3.Connection) -> None:
            database.execute("INSERT OR IGNORE INTO tinyllm_actors_embedding_spaces (name) VALUES (?)", (space,))
            database.executemany(
                "INSERT OR REPLACE INTO tinyllm_actors_embeddings (space, text, vector)"
                " SELECT id, ?, ? FROM tinyllm_actors_embedding_spaces WHERE name = ?",
                ((key, vector.tobytes(), space) for key, vector in vectors.items()),
            )
            database.execute(
                "DELETE FROM tinyllm_actors_embeddings"
                " WHERE number <= (SELECT max(number) FROM tinyllm_actors_embeddings) - ?",
                (self._max_entries,),
            )

        await self._file.write(work)
