"""The embedding model on this machine: what it needs, what it reads, and what it leaves alone."""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from tinyllm_actors import ActorSystem, errors
from tinyllm_actors.integrations.local_model import StaticEmbeddings, embedding_from_name, static_embedding
from tinyllm_actors.llm import Embedder

_PACKAGES = ("numpy", "safetensors", "tokenizers", "wordllama")

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        any(importlib.util.find_spec(package) is None for package in _PACKAGES), reason="embeddings are not installed"
    ),
]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A table of two tokens, `one` and `two`, and its tokenizer."""
    np: Any = importlib.import_module("numpy")
    save_file: Any = importlib.import_module("safetensors.numpy").save_file
    tokenizers: Any = importlib.import_module("tokenizers")

    table, vocabulary = tmp_path / "table.safetensors", tmp_path / "tokenizer.json"
    save_file({"embeddings": np.array([[3, 4], [0, 2]], dtype=np.float16)}, table)
    tokenizer: Any = tokenizers.Tokenizer(tokenizers.models.WordLevel({"one": 0, "two": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save(str(vocabulary))
    return table, vocabulary


async def test_a_vector_is_the_mean_of_its_tokens_with_length_one(files: tuple[Path, Path]) -> None:
    """A table of one's own works; the tokenizer is found beside it; repetitions count."""
    model = embedding_from_name(f"local/{files[0]}", {})
    await model.open()
    rows = (await model.embed(["one", "one two", "two one two"])).vectors
    assert model.dimensions == 2
    assert [row.tolist() for row in rows] == [
        pytest.approx([0.6, 0.8]),
        pytest.approx([3 / 45**0.5, 6 / 45**0.5]),
        pytest.approx([3 / 73**0.5, 8 / 73**0.5]),
    ]
    assert repr(model) == "<StaticEmbeddings 'local/table', open>"
    await model.aclose()


async def test_a_text_that_the_model_does_not_know_is_refused(files: tuple[Path, Path]) -> None:
    """There is no vector of nothing; the text is told by its place."""
    model = StaticEmbeddings(files[0], tokenizer=files[1])
    await model.open()
    with pytest.raises(errors.RequestRejected, match=r"texts\[1\] holds nothing"):
        await model.embed(["one", " "])
    await model.aclose()


async def test_any_text_of_any_length_is_taken() -> None:
    """Half characters, control characters and a megabyte of words have a vector."""
    model = StaticEmbeddings()
    await model.open()
    embeddings = await model.embed(["\ud800", "\x00", "word " * 200_000, "🦊"])
    assert embeddings.dimensions == 256
    assert embeddings.usage is not None
    assert embeddings.usage.total_tokens > 200_000
    await model.aclose()


async def test_the_packages_code_is_not_run() -> None:
    """The root logger is left alone, which importing the package would set up."""
    handlers = list(logging.getLogger().handlers)
    model = StaticEmbeddings()
    await model.open()
    await model.aclose()
    assert "wordllama" not in sys.modules
    assert logging.getLogger().handlers == handlers


async def test_it_is_the_offline_default_of_an_embedder() -> None:
    """`"local"` embeds without network or key, and finds what is about the same."""
    async with ActorSystem("test") as system:
        embedder = await system.spawn(Embedder, "local")
        result: Any = await embedder(texts=["I forgot my password", "reset the login credentials", "a recipe for soup"])
    asked, close, far = result["output"]["embeddings"].vectors
    assert sum(x * y for x, y in zip(asked, close, strict=True)) > sum(x * y for x, y in zip(asked, far, strict=True))


@pytest.mark.parametrize("package", _PACKAGES)
async def test_what_is_absent_is_named_with_the_command(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing package is an error that says how to install it."""
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(errors.MissingDependency, match=r'pip install "tinyllm_actors\[embeddings\]"'):
        await StaticEmbeddings().open()


async def test_files_that_do_not_fit_are_named(files: tuple[Path, Path], tmp_path: Path) -> None:
    """A file that is not there, of another kind, or of another table is an error that names it."""
    np: Any = importlib.import_module("numpy")
    save_file: Any = importlib.import_module("safetensors.numpy").save_file

    table, vocabulary = files
    with pytest.raises(errors.ConfigurationError, match=r"weights .*none\.safetensors' is no file"):
        await StaticEmbeddings(tmp_path / "none.safetensors").open()
    with pytest.raises(errors.ConfigurationError, match=r"tokenizer .*none\.json' is no file"):
        await StaticEmbeddings(table, tokenizer=tmp_path / "none.json").open()
    with pytest.raises(errors.ConfigurationError, match="cannot read"):
        await StaticEmbeddings(vocabulary, tokenizer=vocabulary).open()
    (tmp_path / "other.json").write_text(json.dumps({"version": "1.0"}))
    with pytest.raises(errors.ConfigurationError, match="cannot read"):
        await StaticEmbeddings(table, tokenizer=tmp_path / "other.json").open()
    row = np.zeros((1, 2), dtype=np.float32)
    save_file({"a": row, "b": row}, tmp_path / "two.safetensors")
    with pytest.raises(errors.ConfigurationError, match="2 tables; one is needed"):
        await StaticEmbeddings(tmp_path / "two.safetensors").open()
    save_file({"a": row}, tmp_path / "short.safetensors")
    with pytest.raises(errors.ConfigurationError, match=r"2 tokens and .* 1 rows"):
        await StaticEmbeddings(tmp_path / "short.safetensors").open()


async def test_a_package_without_its_files_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation that lacks the weights says so."""

    def here(package: str) -> Path:
        return tmp_path

    monkeypatch.setattr(static_embedding, "folder_of", here)
    with pytest.raises(errors.ConfigurationError, match="holds no weights of 256 dimensions"):
        await StaticEmbeddings().open()


def test_options_that_cannot_be() -> None:
    """What makes no sense is refused when it is written."""
    with pytest.raises(errors.ConfigurationError, match="max_batch must be at least 1, not 0"):
        StaticEmbeddings(max_batch=0)
    with pytest.raises(errors.ConfigurationError, match=r"tokenizer 'x' needs the weights"):
        StaticEmbeddings(tokenizer="x")
    with pytest.raises(errors.ConfigurationError, match="no option 'temperature'"):
        embedding_from_name("local", {"temperature": 1})
