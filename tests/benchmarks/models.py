"""What a model call costs the client: our adapters beside clients by hand and the vendor's SDK.

```text
python tests/benchmarks/models.py [--json] [--quick] [--only NAME …]
```

The server is a process of its own (`model_server.py`), so the CPU time measured here is the client's: encoding, HTTP,
decoding and, for us, the typed events. Each client runs in a fresh process; figures are medians of rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

HISTORIES = (0, 20, 100, 400)
CHUNKS = 2000
CONVERSATIONS, CALLS = 1000, 5
LATENCY_MS = 200
TEXT = "A line of a conversation that goes on about birthdays and their dates. "


class Client(Protocol):
    """One way to call a model."""

    async def call(self, base: str, history: list[dict[str, Any]]) -> None:
        """Make one plain call and read its answer."""
        ...

    async def stream(self, base: str, history: list[dict[str, Any]]) -> None:
        """Make one streamed call and read its answer."""
        ...


def messages(count: int) -> list[dict[str, Any]]:
    """Return a history of `count` messages and a question."""
    turns = [{"role": ("user", "assistant")[i % 2], "content": f"{i} {TEXT}"} for i in range(count)]
    return [*turns, {"role": "user", "content": "When is it?"}]


# --- clients --------------------------------------------------------------------------------------


@asynccontextmanager
async def ours() -> AsyncGenerator[Client]:
    """Open our adapter; one model per address, as in a service."""
    from tinyllm_actors.integrations.openai_compatible import OpenAICompatibleModel
    from tinyllm_actors.llm.messages import Message, decode_messages
    from tinyllm_actors.llm.model import ChatRequest, Completed

    models: dict[str, OpenAICompatibleModel] = {}
    decoded: dict[int, list[Message]] = {}

    async def model_at(base: str) -> OpenAICompatibleModel:
        model = OpenAICompatibleModel("bench", api_base=base, api_key="x")
        await model.open()
        return models.setdefault(base, model)

    class Ours:
        @staticmethod
        def request(history: list[dict[str, Any]]) -> ChatRequest:
            # A conversation holds structs, so making them is no part of a call.
            if id(history) not in decoded:
                decoded[id(history)] = decode_messages(history)
            return ChatRequest(messages=decoded[id(history)])

        async def call(self, base: str, history: list[dict[str, Any]]) -> None:
            model = models.get(base) or await model_at(base)
            assert (await model.complete(self.request(history))).message.content

        async def stream(self, base: str, history: list[dict[str, Any]]) -> None:
            model = models.get(base) or await model_at(base)
            last: object = None
            async with model.stream(self.request(history)) as events:
                async for event in events:
                    last = event
            assert isinstance(last, Completed)

    try:
        yield Ours()
    finally:
        for model in models.values():
            await model.aclose()


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

        async def stream(self, base: str, history: list[dict[str, Any]]) -> None:
            body = msgspec.json.encode({"model": "bench", "messages": history, "stream": True})
            rest, text = b"", ""
            async with session.post(f"{base}/chat/completions", data=body) as response:
                async for piece in response.content.iter_any():
                    *events, rest = (rest + piece).split(b"\n\n")
                    for event in events:
                        if event != b"data: [DONE]":
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

        async def stream(self, base: str, history: list[dict[str, Any]]) -> None:
            body = msgspec.json.encode({"model": "bench", "messages": history, "stream": True})
            text = ""
            async with client.stream("POST", f"{base}/chat/completions", content=body) as response:
                async for line in response.aiter_lines():
                    if line and line != "data: [DONE]":
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

        async def stream(self, base: str, history: list[Any]) -> None:
            text = ""
            chunks = await client_at(base).chat.completions.create(model="bench", messages=history, stream=True)
            async for chunk in chunks:
                text += chunk.choices[0].delta.content or ""
            assert text

    try:
        yield Sdk()
    finally:
        for client in clients.values():
            await client.close()


@asynccontextmanager
async def litellm_adapter() -> AsyncGenerator[Client]:
    """Open the litellm adapter."""
    from tinyllm_actors.integrations.litellm import LiteLLMModel
    from tinyllm_actors.llm.messages import decode_messages
    from tinyllm_actors.llm.model import ChatRequest

    models: dict[str, LiteLLMModel] = {}

    async def model_at(base: str) -> LiteLLMModel:
        if base not in models:
            model = LiteLLMModel("openai/bench", api_base=base, api_key="x")
            await model.open()
            models[base] = model
        return models[base]

    class Adapter:
        async def call(self, base: str, history: list[dict[str, Any]]) -> None:
            model = await model_at(base)
            assert (await model.complete(ChatRequest(messages=decode_messages(history)))).message.content

        async def stream(self, base: str, history: list[dict[str, Any]]) -> None:
            model = await model_at(base)
            async with model.stream(ChatRequest(messages=decode_messages(history))) as events:
                async for _ in events:
                    pass

    try:
        yield Adapter()
    finally:
        for model in models.values():
            await model.aclose()


CLIENTS: dict[str, tuple[Callable[[], Any], str]] = {
    "ours, asyncio": (ours, "asyncio"),
    "ours, uvloop": (ours, "uvloop"),
    "ours, trio": (ours, "trio"),
    "aiohttp by hand, asyncio": (aiohttp_by_hand, "asyncio"),
    "httpx by hand, asyncio": (httpx_by_hand, "asyncio"),
    "httpx by hand, trio": (httpx_by_hand, "trio"),
    "openai SDK, asyncio": (openai_sdk, "asyncio"),
    "litellm adapter, asyncio": (litellm_adapter, "asyncio"),
}
SLOW = {"httpx by hand, trio", "httpx by hand, asyncio", "openai SDK, asyncio", "litellm adapter, asyncio"}


# --- measuring ------------------------------------------------------------------------------------


async def cpu_per(times: int, rounds: int, what: Callable[[], Awaitable[None]]) -> float:
    """Return the CPU time of one `what()` in µs: the median over `rounds` of `times` each."""
    await what()
    figures: list[float] = []
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(times):
            await what()
        figures.append((time.process_time() - start) / times * 1e6)
    return statistics.median(figures)


async def measure(name: str, root: str, *, quick: bool) -> dict[str, float]:
    """Return the figures of one client."""
    make, _ = CLIENTS[name]
    rounds = 3 if quick else 7
    at_once, streams = f"{root}/0/0", f"{root}/0/{CHUNKS}"
    figures: dict[str, float] = {}
    async with AsyncExitStack() as stack:
        client: Client = await stack.enter_async_context(make())
        short = messages(0)
        for _ in range(20 if quick else 200):
            await client.call(at_once, short)
        for count in HISTORIES:
            history = messages(count)

            async def call(history: list[dict[str, Any]] = history) -> None:
                await client.call(at_once, history)

            figures[f"call, history {count}, µs"] = await cpu_per(50 if quick else 200, rounds, call)
        longest = HISTORIES[-1]
        grown = figures[f"call, history {longest}, µs"] - figures["call, history 0, µs"]
        figures["message of history, µs"] = grown / longest

        async def stream() -> None:
            await client.stream(streams, short)

        figures["chunk, µs"] = await cpu_per(1, rounds, stream) / CHUNKS
        conversations = 100 if quick or (name in SLOW) else CONVERSATIONS

        async def converse() -> None:
            for _ in range(CALLS):
                await client.call(f"{root}/{LATENCY_MS}/0", short)

        await client.call(f"{root}/{LATENCY_MS}/0", short)
        start, cpu = time.perf_counter(), time.process_time()
        async with anyio.create_task_group() as tasks:
            for _ in range(conversations):
                tasks.start_soon(converse)
        figures["conversations at once"] = conversations
        figures["wall ÷ ideal"] = (time.perf_counter() - start) / (CALLS * LATENCY_MS / 1000)
        figures["call among them, µs"] = (time.process_time() - cpu) / (CALLS * conversations) * 1e6
    return figures


def run_one(name: str, *, quick: bool) -> dict[str, float]:
    """Measure one client, in this process, against a server in another."""
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("model_server.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with server:
        assert server.stdin is not None
        assert server.stdout is not None
        root = f"http://127.0.0.1:{int(server.stdout.readline())}"
        backend = CLIENTS[name][1]
        try:
            return anyio.run(
                lambda: measure(name, root, quick=quick),
                backend="trio" if backend == "trio" else "asyncio",
                backend_options={"use_uvloop": True} if backend == "uvloop" else {},
            )
        finally:
            server.stdin.close()


def main() -> None:
    """Measure all clients, each in a process of its own, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
    parser.add_argument("--quick", action="store_true", help="fewer rounds and conversations")
    parser.add_argument("--only", nargs="+", default=list(CLIENTS), choices=list(CLIENTS), metavar="NAME")
    parser.add_argument("--child", choices=list(CLIENTS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(run_one(options.child, quick=options.quick)))
        return
    results: dict[str, dict[str, float]] = {}
    for name in options.only:
        command = [sys.executable, __file__, "--child", name, *(["--quick"] if options.quick else [])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            print(f"{name}: not measured: {reason}", file=sys.stderr)
            continue
        results[name] = json.loads(done.stdout.splitlines()[-1])
        if not options.json:
            figures = " · ".join(f"{key} {value:,.1f}" for key, value in results[name].items())
            print(f"{name}: {figures}", flush=True)
    if options.json:
        print(json.dumps(results, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
