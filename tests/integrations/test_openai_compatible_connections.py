"""The adapter's connections: how many, through which proxy, to which address; and what is its own of embeddings."""

from __future__ import annotations

import base64
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors import errors
from tinyllm_actors.integrations.litellm import LiteLLMEmbeddings
from tinyllm_actors.integrations.litellm import embedding_from_name as litellm_embedding
from tinyllm_actors.integrations.openai_compatible import (
    OpenAICompatibleEmbeddings,
    OpenAICompatibleModel,
    embedding_from_name,
)
from tinyllm_actors.llm.messages import UserMessage
from tinyllm_actors.llm.model import ChatRequest, ResponseSchema
from tinyllm_actors.testing import behaviours as b
from tinyllm_actors.testing.embeddings import answer_embeddings
from tinyllm_actors.testing.fault_server import FaultServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tinyllm_actors.testing.http_exchange import Exchange

pytestmark = pytest.mark.anyio

REQUEST = ChatRequest(messages=[UserMessage("hello")])


@asynccontextmanager
async def opened(api_base: str, **options: Any) -> AsyncGenerator[OpenAICompatibleModel]:
    """Open a model, and close it whatever happens."""
    model = OpenAICompatibleModel("any", api_base=api_base, **options)
    await model.open()
    try:
        yield model
    finally:
        await model.aclose()


# --- connections ----------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
async def test_no_more_connections_than_allowed(streamed: bool) -> None:
    """Of twelve calls at once three are under way, over three connections in all; the others wait their turn."""
    most = running = 0

    async def play(exchange: Exchange) -> None:
        nonlocal most, running
        running += 1
        most = max(most, running)
        if len(server.requests) <= 3:  # longer than a connection may take: those who wait their turn are not late
            await anyio.sleep(0.6)
        running -= 1
        await b.answer("fine").play(exchange)

    async with (
        FaultServer(b.Behaviour("counted", play)) as server,
        opened(server.base_url, max_connections=3, connect_timeout=0.5) as model,
    ):

        async def ask() -> None:
            if streamed:
                async with model.stream(REQUEST) as events:
                    assert [event async for event in events]
            else:
                await model.complete(REQUEST)

        async with anyio.create_task_group() as tasks:
            for _ in range(12):
                tasks.start_soon(ask)
        assert (len(server.requests), server.connections, most) == (12, 3, 3)


async def test_a_caller_who_leaves_the_queue_takes_no_turn() -> None:
    """A call that is cancelled while it waits for a connection is never sent, and the next one has its turn."""
    async with FaultServer([b.hang(), b.answer("fine")]) as server, opened(server.base_url, max_connections=1) as model:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(model.complete, REQUEST)
            await server.wait_request()
            with anyio.move_on_after(0.05) as scope:
                await model.complete(REQUEST)
            assert scope.cancelled_caught
            tasks.cancel_scope.cancel()
        with anyio.fail_after(30):
            assert (await model.complete(REQUEST)).message.content == "fine"
        assert len(server.requests) == 2


async def test_calls_go_through_the_proxy_that_is_given() -> None:
    """The proxy gets the whole address and its own credentials, in a header that the provider does not get."""
    async with (
        FaultServer(b.answer("by proxy")) as proxy,
        opened("http://provider.invalid/v1", proxy=proxy.base_url.replace("//", "//me:p%40ss@")[:-3]) as model,
    ):
        assert (await model.complete(REQUEST)).message.content == "by proxy"
        (request,) = proxy.requests
    assert request.path == "http://provider.invalid/v1/chat/completions"
    assert request.headers["proxy-authorization"] == f"Basic {base64.b64encode(b'me:p@ss').decode()}"


async def test_a_proxy_that_fails_is_told_apart() -> None:
    """One that does not listen, and one that will not connect, are named; its password is not."""
    async with FaultServer(b.refuse(407, "who are you?")) as proxy:
        address = proxy.base_url.replace("//", "//me:a-long-password@")[:-3]
        async with opened("https://provider.invalid/v1", proxy=address) as model:
            with pytest.raises(errors.ModelUnavailable, match=r"proxy refuses to connect .* 407") as caught:
                await model.complete(REQUEST)
            assert not caught.value.retryable
    async with opened("http://provider.invalid/v1", proxy=address) as model:
        with pytest.raises(errors.ModelUnavailable, match="the proxy cannot be reached") as caught:
            await model.complete(REQUEST)
    assert "a-long-password" not in f"{caught.value!r} {model!r}"


@pytest.mark.parametrize("proxy", ["", "socks5://h:1", "http://", "http://h:port", "http://me:secret@"])
async def test_a_proxy_that_is_none(proxy: str) -> None:
    """What is no address of a proxy is refused, and not quoted: there may be a password in it."""
    with pytest.raises(errors.ConfigurationError, match="proxy") as caught:
        OpenAICompatibleModel("any", api_base="http://h/v1", proxy=proxy)
    assert "secret" not in str(caught.value)


async def test_an_older_endpoint_of_azure_is_reached() -> None:
    """The version in the query and the key in a header arrive, and the key is shown nowhere."""
    async with FaultServer(b.refuse(400, "bad api-key a-secret-key-of-azure")) as server:
        base = server.base_url.replace("/v1", "/openai/deployments/mine?api-version=2024-10-21")
        async with opened(base, headers={"api-key": "a-secret-key-of-azure"}) as model:
            with pytest.raises(errors.RequestRejected) as caught:
                await model.complete(REQUEST)
            assert "api-version" not in repr(model)
        (request,) = server.requests
    assert request.path == "/openai/deployments/mine/chat/completions?api-version=2024-10-21"
    assert request.headers["api-key"] == "a-secret-key-of-azure"
    assert "authorization" not in request.headers
    assert "a-secret-key-of-azure" not in str(caught.value)


async def test_a_schema_is_asked_for() -> None:
    """The shape of the answer goes out as OpenAI's `response_format`, strict or not."""
    async with FaultServer(b.answer("{}")) as server, opened(server.base_url) as model:
        for strict in (True, False):
            schema = ResponseSchema("day", {"type": "object", "properties": {}}, strict=strict)
            await model.complete(ChatRequest(messages=REQUEST.messages, response_schema=schema))
        sent: Any = [request.json for request in server.requests]
    assert [body["response_format"] for body in sent] == [
        {
            "type": "json_schema",
            "json_schema": {"name": "day", "schema": {"type": "object", "properties": {}}, "strict": strict},
        }
        for strict in (True, False)
    ]


@pytest.mark.parametrize("number", [0, -1])
async def test_a_bound_that_lets_nothing_through(number: int) -> None:
    """No connection at all is refused when it is written."""
    with pytest.raises(errors.ConfigurationError, match=f"max_connections must be at least 1, .* not {number}"):
        OpenAICompatibleModel("any", api_base="http://h/v1", max_connections=number)


# --- embeddings -----------------------------------------------------------------------------------


@asynccontextmanager
async def embedding(server: FaultServer, **options: Any) -> AsyncGenerator[OpenAICompatibleEmbeddings]:
    """Open an embedding model, and close it whatever happens."""
    model = OpenAICompatibleEmbeddings("any", api_base=server.base_url, api_key="key-12345678", **options)
    await model.open()
    try:
        yield model
    finally:
        await model.aclose()


async def test_embeddings_keep_their_connection_and_send_what_they_were_given() -> None:
    """Calls share one connection; the texts, the options and the key arrive."""
    async with FaultServer(answer_embeddings()) as server, embedding(server, options={"user": "me"}) as model:
        for _ in range(3):
            await model.embed(["one", "two"])
        assert (len(server.requests), server.connections) == (3, 1)
        request = server.requests[0]
    assert request.path == "/v1/embeddings"
    assert request.json == {"model": "any", "input": ["one", "two"], "user": "me"}
    assert request.headers["authorization"] == "Bearer key-12345678"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"[]", errors.MalformedResponse),
        (b"<html>", errors.MalformedResponse),
        (b"{}", errors.MalformedResponse),
        (b'{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}', errors.RateLimited),
        (b'{"error": "model not loaded"}', errors.Overloaded),
    ],
)
async def test_an_answer_that_is_none(body: bytes, kind: type[errors.ModelError]) -> None:
    """What is no list of embeddings is malformed, an error under a 200 is what it says."""

    async def play(exchange: Exchange) -> None:
        await exchange.respond(200, body)

    async with FaultServer(b.Behaviour("odd", play)) as server, embedding(server) as model:
        with pytest.raises(kind) as caught:
            await model.embed(["one"])
    assert caught.value.model == model.name


async def test_an_answer_beyond_the_bound_is_refused() -> None:
    """An answer of more bytes than allowed is not read to its end."""
    async with FaultServer(answer_embeddings(4096)) as server, embedding(server, max_body_bytes=10_000) as model:
        with pytest.raises(errors.MalformedResponse, match="10000 are allowed"):
            await model.embed(["one"])


async def test_what_cannot_be_sent() -> None:
    """Half a character and an option that is no JSON are told before anything is sent."""
    async with FaultServer() as server:
        async with embedding(server) as model:
            with pytest.raises(errors.RequestRejected, match="UTF-8"):
                await model.embed(["\ud800"])
        async with embedding(server, options={"x": object()}) as model:
            with pytest.raises(errors.ConfigurationError, match="cannot be sent as JSON"):
                await model.embed(["one"])
        assert server.requests == []


class TestOptionsOfEmbeddings:
    def test_what_cannot_be(self) -> None:
        """A model without a name, a bound below one and what is the adapter's own are named."""
        for options, says in (
            ({"model": ""}, "model must name"),
            ({"dimensions": 0}, "dimensions must be at least 1"),
            ({"max_batch": 0}, "max_batch must be at least 1"),
            ({"options": {"input": "x"}}, "'input' cannot be a model option"),
            ({"options": {"dimensions": 3}}, "'dimensions' cannot be a model option"),
        ):
            arguments: Any = {"model": "any", "api_base": "http://h/v1"} | options
            with pytest.raises(errors.ConfigurationError, match=says):
                OpenAICompatibleEmbeddings(**arguments)

    def test_from_a_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """OpenAI's own are known to have length one; what is not the adapter's goes to the provider."""
        monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
        monkeypatch.setenv("OPENAI_API_KEY", "key-12345678")
        model = embedding_from_name("openai/text-embedding-3-small", {"dimensions": 256})
        assert (model.name, model.dimensions, model.unit_length) == ("openai/text-embedding-3-small", 256, True)
        assert (
            repr(model) == "OpenAICompatibleEmbeddings('text-embedding-3-small', api_base='https://api.openai.com/v1')"
        )
        assert not embedding_from_name("openai_compatible/any", {"api_base": "http://h/v1"}).unit_length
        with pytest.raises(errors.UnknownModel, match="text-embedding-3-small"):
            embedding_from_name("openai_compatible/", {})

    def test_litellms(self) -> None:
        """The same for litellm's: what is the adapter's own, and bounds that bound nothing, are refused."""
        for options in ({"input": "x"}, {"max_retries": 3}, {"num_retries": 3}, {"dimensions": 0}, {"max_batch": 0}):
            with pytest.raises(errors.ConfigurationError, match=next(iter(options))):
                litellm_embedding("openai/any", options)
        with pytest.raises(errors.ConfigurationError, match="idle_timeout"):
            LiteLLMEmbeddings("openai/any", idle_timeout=0)
        assert "key" not in repr(LiteLLMEmbeddings("openai/any", api_key="key-12345678"))
