"""`StaticEmbeddings`: vectors from a table of tokens, computed here, without network, key or server."""

from __future__ import annotations

import importlib
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from tinyllm_actors.errors import ConfigurationError, MissingDependency, RequestRejected
from tinyllm_actors.integrations.local_model.weights import folder_of
from tinyllm_actors.llm.embedding import EmbeddingModel, Embeddings
from tinyllm_actors.llm.model import Usage

if TYPE_CHECKING:
    import os

    from tinyllm_actors.llm.embedding import Vector

__all__ = ["StaticEmbeddings"]

WEIGHTS_PACKAGE = "wordllama"
"""The package that brings the default table. It is never imported: it sets up the root logger when it is."""

_INSTALL = 'pip install "tinyllm_actors[embeddings]"'
_SLICE = 64
"""Texts between two looks at whether the caller still waits."""


class StaticEmbeddings(EmbeddingModel):
    """An embedding model that is a table: the vector of a text is the mean of its tokens' vectors, of length 1.

    It knows nothing of the order of words, and is good enough to find what is about the same things. A text takes some
    30 µs, the table 33 MB of memory; all of it happens in a worker thread.

    ```python
    model = StaticEmbeddings()
    await model.open()
    cat, feline, invoice = (await model.embed(["a cat", "a small feline", "an unpaid invoice"])).vectors
    await model.aclose()
    ```

    Args:
        weights: a safetensors file with one table, of one row for each token; None takes WordLlama's of 256 dimensions
            from its package.
        tokenizer: the `tokenizer.json` that belongs to it; None looks beside `weights`.
        name: what the model is called in logs, traces and errors, after `local/`.
        max_batch: texts in one call.

    Raises:
        ConfigurationError: a number is out of range, or there is a tokenizer without weights.
    """

    unit_length = True

    def __init__(
        self,
        weights: str | os.PathLike[str] | None = None,
        *,
        tokenizer: str | os.PathLike[str] | None = None,
        name: str = "wordllama",
        max_batch: int = 8192,
    ) -> None:
        if max_batch < 1:
            raise ConfigurationError(f"max_batch must be at least 1, not {max_batch!r}")
        if tokenizer is not None and weights is None:
            raise ConfigurationError(f"tokenizer {tokenizer!r} needs the weights that it belongs to")
        self.name = f"local/{name}"
        self.max_batch = max_batch
        self._weights = weights
        self._tokenizer = tokenizer
        self._table: _Table | None = None
        self._opening = anyio.Lock()

    def __repr__(self) -> str:
        """Show the model and whether it is open."""
        return f"<StaticEmbeddings {self.name!r}, {'open' if self._table is not None else 'not open'}>"

    async def open(self) -> None:
        """Load the table, in a worker thread, unless it is.

        Raises:
            MissingDependency: a package or the weights are not installed; the message holds the command.
            ConfigurationError: a file is not there, or is of another kind.
        """
        async with self._opening:
            if self._table is None:
                self._table = await anyio.to_thread.run_sync(_load, self._weights, self._tokenizer)
                self.dimensions = self._table.dimensions

    async def aclose(self) -> None:
        """Forget the table."""
        self._table = None

    async def embed_batch(self, texts: list[str]) -> Embeddings:
        """Return one vector for each text.

        Raises:
            RequestRejected: a text has no token, or cannot be written as UTF-8.
        """
        table = self._table
        if table is None:
            raise RuntimeError(f"{self!r} is not open; await open() before the first call")
        vectors: list[Vector] = []
        tokens = 0
        for start in range(0, len(texts), _SLICE):
            rows, count = await anyio.to_thread.run_sync(table.rows, texts[start : start + _SLICE])
            tokens += count
            for row in rows:
                if row is None:
                    raise RequestRejected(
                        f"{self.name}: texts[{len(vectors)}] holds nothing that the model knows", model=self.name
                    )
                vectors.append(row)
        return Embeddings(vectors, self.name, Usage(prompt_tokens=tokens, total_tokens=tokens, cost=0.0))


class _Table:
    """Rows of numbers, one for each token, and who makes tokens of texts."""

    def __init__(self, numpy: Any, tokenizer: Any, rows: Any) -> None:
        self._numpy = numpy
        self._tokenizer = tokenizer
        self._rows = rows
        self.dimensions = int(rows.shape[1])

    def rows(self, texts: list[str]) -> tuple[list[Vector | None], int]:
        """Return the vector of each text, None for one without tokens, and how many tokens there were."""
        # Half a surrogate pair is no text; what it stands for is not known anyway.
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        tokens = [encoding.ids for encoding in self._tokenizer.encode_batch(clean, add_special_tokens=False)]
        return [self._mean(ids) for ids in tokens], sum(map(len, tokens))

    def _mean(self, ids: list[int]) -> Vector | None:
        numpy = self._numpy
        # Each token once and how often: the memory is bounded by the table, however long the text is.
        distinct, counts = numpy.unique(numpy.asarray(ids, dtype=numpy.int64), return_counts=True)
        total = counts.astype(numpy.float32) @ self._rows[distinct]
        length = float(numpy.linalg.norm(total))
        if not length > 0:
            return None
        vector: Vector = array("f")
        vector.frombytes((total / length).astype(numpy.float32).tobytes())
        return vector


def _load(weights: str | os.PathLike[str] | None, tokenizer: str | os.PathLike[str] | None) -> _Table:
    """Return the table.

    Raises:
        MissingDependency: a package is not installed.
        ConfigurationError: a file is not there, or is of another kind.
    """
    try:
        numpy: Any = importlib.import_module("numpy")
        safetensors: Any = importlib.import_module("safetensors")
        tokenizers: Any = importlib.import_module("tokenizers")
    except ImportError as error:
        raise MissingDependency(
            f"local embeddings need the package {error.name!r}, which is not installed: run {_INSTALL}"
        ) from error
    table, vocabulary = _files(weights, tokenizer)
    try:
        with safetensors.safe_open(str(table), framework="numpy") as file:
            tensors = [file.get_tensor(key) for key in file.keys()]  # noqa: SIM118 - it is no mapping
        encoder = tokenizers.Tokenizer.from_file(str(vocabulary))
    except Exception as error:  # both are written in Rust and raise what they like
        raise ConfigurationError(f"cannot read {str(table)!r} with {str(vocabulary)!r}: {error}") from error
    tables = [tensor for tensor in tensors if tensor.ndim == 2]
    if len(tables) != 1:
        raise ConfigurationError(f"{str(table)!r} holds {len(tables)} tables; one is needed")
    rows = tables[0].astype(numpy.float32)
    if encoder.get_vocab_size() > len(rows):
        raise ConfigurationError(
            f"{str(vocabulary)!r} has {encoder.get_vocab_size()} tokens and {str(table)!r} {len(rows)} rows; "
            "they do not belong together"
        )
    encoder.no_padding()
    encoder.no_truncation()
    return _Table(numpy, encoder, rows)


def _files(weights: str | os.PathLike[str] | None, tokenizer: str | os.PathLike[str] | None) -> tuple[Path, Path]:
    if weights is None:
        folder = folder_of(WEIGHTS_PACKAGE)
        if folder is None:
            raise MissingDependency(f"local embeddings have no weights: run {_INSTALL}, or give a safetensors file")
        found = [*folder.glob("weights/*_256.safetensors")], [*folder.glob("tokenizers/*.json")]
        if not all(found):
            raise ConfigurationError(f"{str(folder)!r} holds no weights of 256 dimensions; run {_INSTALL}")
        return found[0][0], found[1][0]
    table = Path(weights).expanduser()
    vocabulary = Path(tokenizer).expanduser() if tokenizer is not None else table.with_name("tokenizer.json")
    for path, what in ((table, "weights"), (vocabulary, "tokenizer")):
        if not path.is_file():
            raise ConfigurationError(f"{what} {str(path)!r} is no file")
    return table, vocabulary
