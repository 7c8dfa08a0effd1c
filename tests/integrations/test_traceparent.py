"""A model call carries the trace on, where that is asked for, whichever adapter makes it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from tinyllm_actors import ActorSystem, Agent
from tinyllm_actors.function.tracing import continue_trace, start_tracing
from tinyllm_actors.integrations.openai_compatible import OpenAICompatibleEmbeddings, OpenAICompatibleModel
from tinyllm_actors.llm import Embedder
from tinyllm_actors.testing import TraceRecorder
from tinyllm_actors.testing.behaviours import Behaviour, answer
from tinyllm_actors.testing.fault_server import FaultServer

if TYPE_CHECKING:
    from tinyllm_actors.testing.http_exchange import Exchange

pytestmark = pytest.mark.anyio

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(params=["openai/any", "litellm/openai/any", "litellm/hosted_vllm/any"])
def model(request: pytest.FixtureRequest) -> str:
    """Name the model through each adapter."""
    if "litellm" in request.param and find_spec("litellm") is None:
        pytest.skip("litellm is not installed")
    return request.param


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_generation_is_the_providers_parent(model: str, streamed: bool) -> None:
    """The header names the observation of the model's call, inside of the caller's trace; other headers stay."""
    recorder = TraceRecorder()
    async with FaultServer([answer("Fine.")]) as server, ActorSystem("test") as system:
        await start_tracing(system, recorder)
        options: dict[str, Any] = {"api_base": server.base_url, "api_key": "x", "send_traceparent": True}
        options |= {"extra_headers": {"x-mine": "1"}} if "litellm" in model else {"headers": {"x-mine": "1"}}
        agent = await system.spawn(Agent.spec(model=model, model_options=options))
        with continue_trace(CALLER):
            if streamed:
                async with agent.stream(content="Hello") as events:
                    async for _ in events:
                        pass
            else:
                await agent(content="Hello")
    [request] = server.requests
    [generation] = [seen for seen in recorder.observations if seen.kind == "generation"]
    assert generation.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert request.headers["traceparent"] == generation.traceparent
    assert request.headers["x-mine"] == "1"


async def test_a_stranger_is_told_nothing(model: str) -> None:
    """Unless it is asked for, no request has the header."""
    async with FaultServer([answer("Fine.")]) as server, ActorSystem("test") as system:
        await start_tracing(system, TraceRecorder())
        options = {"api_base": server.base_url, "api_key": "x"}
        await (await system.spawn(Agent.spec(model=model, model_options=options)))(content="Hello")
    assert "traceparent" not in server.requests[0].headers


async def vectors(exchange: Exchange) -> None:
    """Answer with one vector."""
    data = [{"object": "embedding", "index": 0, "embedding": [1.0, 0.0]}]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    await exchange.respond_json(200, {"object": "list", "data": data, "model": "any", "usage": usage})


async def test_embeddings_too() -> None:
    """A batch of texts names the embedding's observation; untraced, it passes on what the caller sent."""
    recorder = TraceRecorder()
    async with FaultServer([Behaviour("vectors", vectors)] * 2) as server:
        made = OpenAICompatibleEmbeddings("any", api_base=server.base_url, send_traceparent=True)
        for traced in (True, False):
            async with ActorSystem("test") as system:
                if traced:
                    await start_tracing(system, recorder)
                embedder = await system.spawn(Embedder.spec(made, cache_bytes=0))
                with continue_trace(CALLER):
                    assert (await embedder(texts=["one"]))["status"] == "success"
        first, second = (request.headers.get("traceparent") for request in server.requests)
    assert first == recorder.find("Embedder").traceparent
    assert second == CALLER


async def test_a_proxys_credentials_stay() -> None:
    """The header does not take the place of those that a proxy wants."""
    async with FaultServer([answer("Fine.")]) as proxy, ActorSystem("test") as system:
        await start_tracing(system, TraceRecorder())
        address = proxy.base_url.removesuffix("/v1").replace("http://", "http://ann:secret-of-ann@")
        made = OpenAICompatibleModel("any", api_base="http://models.invalid/v1", proxy=address, send_traceparent=True)
        assert (await (await system.spawn(Agent.spec(model=made)))(content="Hello"))["status"] == "success"
    headers = proxy.requests[0].headers
    assert headers["proxy-authorization"].startswith("Basic ")
    assert "traceparent" in headers
