"""Embeddings in OpenAI's wire form, and the registry of adapters. Pure."""

from __future__ import annotations

import base64
import json
from array import array
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm_actors.errors import MalformedResponse, UnknownModel
from tinyllm_actors.integrations.litellm import LiteLLMEmbeddings
from tinyllm_actors.integrations.local_model import StaticEmbeddings
from tinyllm_actors.integrations.openai_compatible import OpenAICompatibleEmbeddings
from tinyllm_actors.llm import embedding_from_name
from tinyllm_actors.llm.batching import batches
from tinyllm_actors.llm.embedding import Embeddings, checked_embeddings
from tinyllm_actors.llm.embedding_wire import convert_embeddings, decode_embeddings, embeddings_from_wire
from tinyllm_actors.llm.vector_cache import VectorCache
from tinyllm_actors.testing import HashEmbeddings

ROW = {"object": "embedding", "embedding": [1, 2.5], "index": 0}


def read(body: Any) -> Embeddings:
    """Read a body."""
    return embeddings_from_wire(decode_embeddings(msgspec.json.encode(body)), "m")


def test_rows_are_put_in_the_order_of_the_texts() -> None:
    """The index counts where there is one, else the place; numbers and Base64 are the same."""
    packed = base64.b64encode(array("f", [3.0, 4.0]).tobytes()).decode()
    second = {"embedding": packed, "index": 1}
    expected = [array("f", [1.0, 2.5]), array("f", [3.0, 4.0])]
    assert read({"data": [second, ROW]}).vectors == expected
    assert read({"data": [{"embedding": [1, 2.5]}, {"embedding": packed}]}).vectors == expected
    answer = read({"data": [ROW], "model": "name", "usage": {"prompt_tokens": 3, "total_tokens": 3}})
    assert answer.model == "name"
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 3
    assert (read({"data": [ROW], "model": 7}).model, read({"data": []}).dimensions) == ("m", 0)
    assert embeddings_from_wire(convert_embeddings({"data": [ROW]}), "m").vectors == expected[:1]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"data": None},
        {"data": [ROW, ROW]},
        {"data": [{**ROW, "index": 1}]},
        {"data": [{**ROW, "index": -1}]},
        {"data": [{**ROW, "embedding": "not Base64!"}]},
        {"data": [{**ROW, "embedding": "AAA="}]},
    ],
)
def test_what_is_no_list_of_rows_is_malformed(body: Any) -> None:
    """Rows that are missing, doubled, of nobody, or no numbers are refused."""
    with pytest.raises(MalformedResponse):
        read(body)


@pytest.mark.parametrize("body", ["[]", '{"data": [{"embedding": ["x"]}]}', '{"data": [{"index": 0}]}', "{"])
def test_what_is_of_another_shape_is_no_answer(body: str) -> None:
    """Text that is no such JSON is told apart from an answer."""
    with pytest.raises(msgspec.DecodeError):
        decode_embeddings(body.encode())


@pytest.mark.parametrize(
    ("rows", "count"),
    [("[[1]]", 2), ("[[1], [1, 2]]", 2), ("[[]]", 1), ("[[NaN]]", 1), ("[[1e39, -1e39]]", 1)],
)
def test_rows_that_do_not_fit_are_malformed(rows: str, count: int) -> None:
    """Too few rows, rows of several lengths or none, and values that are no finite number never reach a caller."""
    model = HashEmbeddings()
    model.dimensions = 0
    with pytest.raises(MalformedResponse):
        checked_embeddings(Embeddings([array("f", row) for row in json.loads(rows)]), count, model)


@given(st.lists(st.text(min_size=1, max_size=9)), st.integers(1, 5), st.integers(1, 20))
def test_batches_lose_nothing_and_keep_their_bounds(texts: list[str], max_texts: int, max_characters: int) -> None:
    """All texts are in a batch, in order; a batch is too large only if it is one text."""
    made = list(batches(texts, max_texts=max_texts, max_characters=max_characters))
    assert [text for batch in made for text in batch] == texts
    for batch in made:
        assert 1 <= len(batch) <= max_texts
        assert len(batch) == 1 or sum(map(len, batch)) <= max_characters


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 40))), st.integers(0, 1500))
def test_the_cache_keeps_what_was_put_last_within_its_bound(puts: list[tuple[str, int]], max_bytes: int) -> None:
    """What is kept is what was put, newest first, and never more than fits."""
    cache = VectorCache(max_bytes)
    latest: dict[str, int] = {}
    for text, length in puts:
        cache.put(text, array("f", [float(length)] * length))
        latest.pop(text, None)
        latest[text] = length
    room, kept = max_bytes, 0
    for text, length in reversed(latest.items()):
        room -= 4 * length + 250
        found = cache.get(text)
        if room < 0:
            assert found is None
        else:
            kept += 1
            assert found == array("f", [float(length)] * length)
    assert len(cache) == kept
    assert (cache.hits, cache.hits + cache.misses) == (kept, len(latest))


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("local", {}, StaticEmbeddings),
        ("local/wordllama", {}, StaticEmbeddings),
        ("local/models/other.safetensors", {}, StaticEmbeddings),
        ("openai/text-embedding-3-small", {"api_key": "x"}, OpenAICompatibleEmbeddings),
        ("openai_compatible/any", {"api_base": "http://h/v1"}, OpenAICompatibleEmbeddings),
        ("mistral/mistral-embed", {}, LiteLLMEmbeddings),
        ("litellm/cohere/embed-v4.0", {"max_batch": 10}, LiteLLMEmbeddings),
    ],
)
def test_a_name_finds_its_adapter(name: str, options: dict[str, Any], kind: type) -> None:
    """The prefix chooses the adapter; what has none goes to litellm."""
    model = embedding_from_name(name, options)
    assert type(model) is kind
    assert model.name == {"local": "local/wordllama", "local/models/other.safetensors": "local/other"}.get(
        name, name.removeprefix("litellm/")
    )


@pytest.mark.parametrize("name", ["nonsense", "openai/", "openai", "local/", "local/nonsense", "litellm/", "/x", ""])
def test_a_name_that_names_nothing_is_told(name: str) -> None:
    """What no adapter takes is named, with an example."""
    with pytest.raises(UnknownModel, match=r"local|/"):
        embedding_from_name(name)
