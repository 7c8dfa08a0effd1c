"""The litellm adapter where litellm calls a vendor's SDK with clients of its own, as for Azure."""

from __future__ import annotations

import importlib.util
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors import errors
from tinyllm_actors.integrations.litellm import LiteLLMEmbeddings, LiteLLMModel
from tinyllm_actors.llm.messages import UserMessage
from tinyllm_actors.llm.model import ChatRequest, Completed, TextDelta
from tinyllm_actors.testing import behaviours as b
from tinyllm_actors.testing.fault_server import FaultServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(importlib.util.find_spec("litellm") is None, reason="litellm is not installed"),
    # litellm's affair: it asks an instance of a pydantic model for what belongs to the class.
    pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning"),
]

KEY = "sk-a-secret-that-nobody-may-see"
REQUEST = ChatRequest(messages=[UserMessage("What is the user's birthday?")])


@pytest.fixture
def _nothing_blocked(anyio_backend_name: str) -> Generator[None]:
    """Fail blocking calls as in all tests, but for one of litellm's: for its own clients it looks for certificates."""
    if anyio_backend_name != "asyncio" or importlib.util.find_spec("blockbuster") is None:
        yield
        return
    import blockbuster

    detector = blockbuster.BlockBuster("tinyllm_actors")
    for name in [name for name in detector.functions if name.startswith("threading.Lock.")]:
        del detector.functions[name]
    looking = {"get_ssl_verify", "get_ssl_configuration"}
    detector.functions["os.stat"].can_block_in("litellm/llms/custom_httpx/http_handler.py", looking)
    detector.activate()
    try:
        yield
    finally:
        detector.deactivate()


@pytest.fixture(autouse=True)
def _without_our_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPERIMENTAL_OPENAI_BASE_LLM_HTTP_HANDLER", "false")


@asynccontextmanager
async def opened(server: FaultServer, **options: Any) -> AsyncGenerator[LiteLLMModel]:
    """Open a model on `server`, and close it whatever happens."""
    model = LiteLLMModel("openai/any", api_base=server.base_url, api_key=KEY, **options)
    await model.open()
    try:
        yield model
    finally:
        await model.aclose()


async def test_answers_are_the_same() -> None:
    """An answer through the SDK is the same completion, whole and streamed."""
    async with FaultServer(b.answer("January 1st.")) as server, opened(server) as model:
        completion = await model.complete(REQUEST)
        async with model.stream(REQUEST) as events:
            seen = [event async for event in events]
    last = seen[-1]
    assert isinstance(last, Completed)
    assert last.completion.message == completion.message
    assert last.completion.usage == completion.usage
    assert "".join(event.text for event in seen if isinstance(event, TextDelta)) == "January 1st."


async def test_leaving_a_stream_closes_the_connection() -> None:
    """A reader that has enough leaves, and the provider stops to generate."""
    async with FaultServer([b.endless()]) as server, opened(server) as model:
        with anyio.fail_after(30):
            async with model.stream(REQUEST) as events:
                assert isinstance(await anext(events), TextDelta)
            await server.wait_closed_connection()


async def test_a_broken_stream_is_interrupted() -> None:
    """A stream that breaks off is no answer, whichever way it does."""
    async with FaultServer([b.drop_stream(2), b.truncated_stream(2)]) as server, opened(server) as model:
        for _ in range(2):
            with pytest.raises(errors.StreamInterrupted) as caught:
                async with model.stream(REQUEST) as events:
                    async for _ in events:
                        pass
            assert (caught.value.partial, caught.value.output_started) == ("The birthday", True)


async def test_a_client_that_litellm_keeps_itself_is_closed_with_the_last_model() -> None:
    """Where our own client cannot be used, litellm's is closed and forgotten when nobody needs it on this loop."""
    kept = sys.modules["litellm"].in_memory_llm_clients_cache.cache_dict
    before = set(kept)
    async with FaultServer(b.answer("x")) as server:
        async with opened(server) as first:
            async with opened(server) as second:
                await second.complete(REQUEST)
                await first.complete(REQUEST)
                assert set(kept) > before
            assert (await first.complete(REQUEST)).message.content == "x"
        assert set(kept) == before
        await server.wait_no_connection()


async def test_without_our_client_nothing_is_tried_twice_either() -> None:
    """The SDK behind litellm is told not to try again."""
    async with FaultServer([b.server_error(503), b.rate_limited(retry_after=0.01)]) as server:
        async with opened(server) as model:
            with pytest.raises(errors.Overloaded):
                await model.complete(REQUEST)
            with pytest.raises(errors.RateLimited) as caught:
                await model.complete(REQUEST)
        assert caught.value.retry_after == 0.01
        assert len(server.requests) == 2


async def test_embeddings_through_the_sdk() -> None:
    """OpenAI's own embeddings come in order and with a price; nothing is tried twice, and who leaves is heard of."""
    from tinyllm_actors.testing.embeddings import answer_embeddings, hash_vector

    steps = [answer_embeddings(shuffled=True), b.rate_limited(retry_after=7), b.hang()]
    async with FaultServer(steps) as server:
        model = LiteLLMEmbeddings("openai/text-embedding-3-small", api_base=server.base_url, api_key=KEY)
        await model.open()
        try:
            embeddings = await model.embed(["a red fox", "tax forms"])
            assert embeddings.vectors == [hash_vector("a red fox"), hash_vector("tax forms")]
            assert embeddings.usage is not None
            assert embeddings.usage.prompt_tokens == 5
            assert 0 < (embeddings.usage.cost or 0) < 0.01
            with pytest.raises(errors.RateLimited) as caught:
                await model.embed(["x"])
            assert caught.value.retry_after == 7
            assert len(server.requests) == 2
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(model.embed, ["x"])
                await server.wait_request(3)
                tasks.cancel_scope.cancel()
            await server.wait_closed_connection()
        finally:
            await model.aclose()
        await server.wait_no_connection()
