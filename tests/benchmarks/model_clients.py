"""Ways to call a model, side by side: clients by hand, vendors' SDKs, our adapters, and an LLM actor."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

__all__ = [
    "Client",
    "aiohttp_by_hand",
    "httpx_by_hand",
    "litellm_adapter",
    "litellm_by_hand",
    "llm_actor",
    "messages",
    "openai_sdk",
    "our_adapter",
]

TEXT = "A line of a conversation that goes on about birthdays and their dates. "


def nothing() -> None:
    """Do nothing with an event."""


class Client(Protocol):
    """One way to call a model."""

    async def call(self, base: str, history: list[dict[str, Any]]) -> None:
        """Make one plain call and read its answer."""
        ...

    async def stream(self, base: str, history: list[dict[str, Any]], on_event: Callable[[], None] = nothing) -> None:
        """Make one streamed call and read its answer; `on_event` is called for each piece."""
        ...


def messages(count: int) -> list[dict[str, Any]]:
    """Return a history of `count` messages and a question."""
    turns = [{"role": ("user", "assistant")[i % 2], "content": f"{i} {TEXT}"} for i in range(count)]
    return [*turns, {"role": "user", "content": "When is it?"}]


# --- clients --------------------------------------------------------------------------------------


@asynccontextmanager
async def aiohttp_by_hand() -> AsyncGenerator[Client]:
    """Open an aiohttp session; JSON by msgspec into dictionaries, events split by hand."""
    import aiohttp
    import msgspec

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))

    class ByHand:
        async def call(self, base: str, history: list[dict[str, Any]]) -> None:
            body = msgspec.json.encode({"model": "bench", "messages": history})
            async with session.post(f"{base}/chat/completions", data=body) as response:
                assert msgspec.json.decode(await response.read())["choices"][0]["message"]["content"]

        async def stream(
            self, base: str, history: list[dict[str, Any]], on_event: Callable[[], None] = nothing
        ) -> None:
            body = msgspec.json.encode({"model": "bench", "messages": history, "stream": True})
            rest, text = b"", ""
            async with session.post(f"{base}/chat/completions", data=body) as response:
                async for piece in response.content.iter_any():
                    *events, rest = (rest + piece).split(b"\n\n")
                    for event in events:
                        if event != b"data: [DONE]":
                            on_event()
                            text += msgspec.json.decode(event[6:])["choices"][0]["delta"].get("content", "")
            assert text

    async with session:
        yield ByHand()


@asynccontextmanager
async def httpx_by_hand() -> AsyncGenerator[Client]:
    """Open an httpx client."""
    import httpx
    import msgspec

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    client = httpx.AsyncClient(timeout=120, limits=limits, trust_env=False)

    class ByHand:
        async def call(self, base: str, history: list[dict[str, Any]]) -> None:
            body = msgspec.json.encode({"model": "bench", "messages": history})
            response = await client.post(f"{base}/chat/completions", content=body)
            assert msgspec.json.decode(response.content)["choices"][0]["message"]["content"]

        async def stream(
            self, base: str, history: list[dict[str, Any]], on_event: Callable[[], None] = nothing
        ) -> None:
            body = msgspec.json.encode({"model": "bench", "messages": history, "stream": True})
            text = ""
            async with client.stream("POST", f"{base}/chat/completions", content=body) as response:
                async for line in response.aiter_lines():
                    if line and line != "data: [DONE]":
                        on_event()
                        text += msgspec.json.decode(line[6:])["choices"][0]["delta"].get("content", "")
            assert text

    async with client:
        yield ByHand()


@asynccontextmanager
async def openai_sdk() -> AsyncGenerator[Client]:
    """Open the vendor's SDK."""
    import openai

    clients: dict[str, openai.AsyncOpenAI] = {}

    def client_at(base: str) -> openai.AsyncOpenAI:
        if base not in clients:
            clients[base] = openai.AsyncOpenAI(base_url=base, api_key="x", max_retries=0, timeout=600)
        return clients[base]

    class Sdk:
        async def call(self, base: str, history: list[Any]) -> None:
            completion = await client_at(base).chat.completions.create(model="bench", messages=history)
            assert completion.choices[0].message.content

        async def stream(self, base: str, history: list[Any], on_event: Callable[[], None] = nothing) -> None:
            text = ""
            chunks = await client_at(base).chat.completions.create(model="bench", messages=history, stream=True)
            async for chunk in chunks:
                on_event()
                text += chunk.choices[0].delta.content or ""
            assert text

    try:
        yield Sdk()
    finally:
        for client in clients.values():
            await client.close()


@asynccontextmanager
async def litellm_by_hand() -> AsyncGenerator[Client]:
    """Call litellm on the fastest settings that it has, with a client that is kept."""
    from tinyllm_actors.integrations.litellm.client import make_client
    from tinyllm_actors.integrations.litellm.loading import load, unobserved

    litellm = await load()
    client: Any = await anyio.to_thread.run_sync(make_client)

    class ByHand:
        @staticmethod
        def arguments(base: str, history: list[dict[str, Any]]) -> dict[str, Any]:
            more = {"api_key": "x", "api_base": base, "num_retries": 0, "client": client}
            return {"model": "openai/bench", "messages": history, **more}

        async def call(self, base: str, history: list[dict[str, Any]]) -> None:
            with unobserved(litellm):
                response = await litellm.acompletion(**self.arguments(base, history))
            assert response.choices[0].message.content

        async def stream(
            self, base: str, history: list[dict[str, Any]], on_event: Callable[[], None] = nothing
        ) -> None:
            text = ""
            with unobserved(litellm):
                chunks = await litellm.acompletion(**self.arguments(base, history), stream=True)
            async for chunk in chunks:
                on_event()
                text += chunk.choices[0].delta.content or ""
            assert text

    try:
        yield ByHand()
    finally:
        await client.close()


@asynccontextmanager
async def litellm_adapter() -> AsyncGenerator[Client]:
    """Open the litellm adapter."""
    from tinyllm_actors.integrations.litellm import LiteLLMModel

    async with _adapter(lambda base: LiteLLMModel("openai/bench", api_base=base, api_key="x")) as client:
        yield client


@asynccontextmanager
async def our_adapter() -> AsyncGenerator[Client]:
    """Open our adapter; one model per address, as in a service."""
    from tinyllm_actors.integrations.openai_compatible import OpenAICompatibleModel

    async with _adapter(lambda base: OpenAICompatibleModel("bench", api_base=base, api_key="x")) as client:
        yield client


@asynccontextmanager
async def _adapter(make: Callable[[str], Any]) -> AsyncGenerator[Client]:
    from tinyllm_actors.llm import Completed

    models: dict[str, Any] = {}

    async def model_at(base: str) -> Any:
        model = make(base)
        await model.open()
        return models.setdefault(base, model)

    class Adapter:
        async def call(self, base: str, history: list[dict[str, Any]]) -> None:
            model = models.get(base) or await model_at(base)
            assert (await model.complete(request_of(history))).message.content

        async def stream(
            self, base: str, history: list[dict[str, Any]], on_event: Callable[[], None] = nothing
        ) -> None:
            model = models.get(base) or await model_at(base)
            last: object = None
            async with model.stream(request_of(history)) as events:
                async for event in events:
                    on_event()
                    last = event
            assert isinstance(last, Completed)

    try:
        yield Adapter()
    finally:
        for model in models.values():
            await model.aclose()


@asynccontextmanager
async def llm_actor() -> AsyncGenerator[Client]:
    """Spawn an LLM Function on our adapter; one per address and in-flight call, as agents have one each."""
    from tinyllm_actors import ActorSystem
    from tinyllm_actors.integrations.openai_compatible import OpenAICompatibleModel
    from tinyllm_actors.llm import LLM

    models: dict[str, Any] = {}
    idle: dict[str, list[Any]] = {}

    class Actors:
        async def take(self, base: str) -> Any:
            if base not in models:
                models[base] = OpenAICompatibleModel("bench", api_base=base, api_key="x")
            spare = idle.setdefault(base, [])
            return spare.pop() if spare else await system.spawn(LLM.spec(models[base]))

        async def call(self, base: str, history: list[dict[str, Any]]) -> None:
            llm = await self.take(base)
            result = await llm(request=request_of(history))
            assert result["output"]["completion"].message.content, result
            idle[base].append(llm)

        async def stream(
            self, base: str, history: list[dict[str, Any]], on_event: Callable[[], None] = nothing
        ) -> None:
            llm = await self.take(base)
            last: Any = None
            async with llm.stream(request=request_of(history)) as events:
                async for event in events:
                    on_event()
                    last = event
            assert last["status"] == "success"
            idle[base].append(llm)

    async with ActorSystem("bench") as system:
        yield Actors()


_decoded: dict[int, Any] = {}


def request_of(history: list[dict[str, Any]]) -> Any:
    """Return the request; a conversation holds structs, so making them is no part of a call."""
    from tinyllm_actors.llm import ChatRequest
    from tinyllm_actors.llm.messages import decode_messages

    if id(history) not in _decoded:
        _decoded[id(history)] = history, ChatRequest(messages=decode_messages(history))
    return _decoded[id(history)][1]
