"""What litellm's users bring with them: handlers of their own, and settings that the adapter must leave alone."""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors import errors
from tinyllm_actors.integrations.litellm import LiteLLMEmbeddings, LiteLLMModel, loading
from tinyllm_actors.llm.messages import UserMessage
from tinyllm_actors.llm.model import ChatRequest, Completed, TextDelta, Usage
from tinyllm_actors.testing.behaviours import Behaviour
from tinyllm_actors.testing.fault_server import FaultServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(importlib.util.find_spec("litellm") is None, reason="litellm is not installed"),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning"),  # litellm's affair
]

REQUEST = ChatRequest(messages=[UserMessage("hello")])


@asynccontextmanager
async def opened(model: Any) -> AsyncGenerator[Any]:
    """Open a model, and close it whatever happens."""
    await model.open()
    try:
        yield model
    finally:
        await model.aclose()


@pytest.fixture
async def handler(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A handler of the user's own, registered with litellm as `mine/…`."""
    litellm: Any = await loading.load()

    class Mine(litellm.CustomLLM):
        waiting = anyio.Event()
        ended = anyio.Event()

        async def acompletion(self, *_: Any, **more: Any) -> Any:
            if more["messages"][-1]["content"] == "hang":
                import asyncio

                self.waiting.set()
                try:
                    await asyncio.sleep(60)
                finally:
                    self.ended.set()
            if more["messages"][-1]["content"] == "fail":
                module: Any = importlib.import_module("litellm.llms.custom_llm")
                raise module.CustomLLMError(status_code=503, message="my server is away")
            return litellm.ModelResponse(
                choices=[{"message": {"role": "assistant", "content": "mine"}, "finish_reason": "stop"}],
                usage={"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4},
                model=more["model"],
            )

        async def astreaming(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
            for text, last in (("mi", False), ("ne", True)):
                yield {
                    "text": text,
                    "tool_use": None,
                    "is_finished": last,
                    "finish_reason": "stop" if last else "",
                    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5} if last else None,
                    "index": 0,
                }

        async def aembedding(self, *_: Any, **more: Any) -> Any:
            if more["input"] == ["fail"]:
                return litellm.EmbeddingResponse(model="mine", data=[{"embedding": {"not": "numbers"}}])
            rows = [
                {"object": "embedding", "index": n, "embedding": [float(len(t)), 1.0]}
                for n, t in enumerate(more["input"])
            ]
            return litellm.EmbeddingResponse(model="mine", data=rows, usage={"prompt_tokens": 2, "total_tokens": 2})

    mine = Mine()
    monkeypatch.setattr(litellm, "custom_provider_map", [{"provider": "mine", "custom_handler": mine}])
    return mine


async def test_a_handler_of_the_users_own_answers(handler: Any) -> None:
    """A `CustomLLM` that is registered with litellm is a model: whole, streamed, and for embeddings."""
    async with opened(LiteLLMModel("mine/any")) as model:
        completion = await model.complete(REQUEST)
        async with model.stream(REQUEST) as events:
            seen = [event async for event in events]
    assert (completion.message.content, completion.finish_reason) == ("mine", "stop")
    assert completion.usage == Usage(3, 1, 4)
    assert "".join(event.text for event in seen if isinstance(event, TextDelta)) == "mine"
    last = seen[-1]
    assert isinstance(last, Completed)
    assert (last.completion.message.content, last.completion.finish_reason) == ("mine", "stop")
    async with opened(LiteLLMEmbeddings("mine/any")) as model:
        embeddings = await model.embed(["one", "three"])
        with pytest.raises(errors.MalformedResponse, match="holds no embeddings"):
            await model.embed(["fail"])
    assert [row.tolist() for row in embeddings.vectors] == [[3.0, 1.0], [5.0, 1.0]]


async def test_a_handlers_failure_is_typed(handler: Any) -> None:
    """What the handler raises is one of our errors, with its status."""
    async with opened(LiteLLMModel("mine/any")) as model:
        with pytest.raises(errors.ModelError, match="my server is away"):
            await model.complete(ChatRequest(messages=[UserMessage("fail")]))


async def test_cancelling_reaches_the_handler(handler: Any) -> None:
    """A caller who leaves cancels the handler, on trio across the threads."""
    from threading import Event

    handler.waiting, handler.ended = Event(), Event()
    async with opened(LiteLLMModel("mine/any")) as model:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(model.complete, ChatRequest(messages=[UserMessage("hang")]))
            assert await anyio.to_thread.run_sync(handler.waiting.wait, 5)
            tasks.cancel_scope.cancel()
        assert await anyio.to_thread.run_sync(handler.ended.wait, 5)


@pytest.mark.parametrize("version", [None, "1.82.7", "1.50.0", "2.0.0"])
async def test_the_version_is_checked_before_anything_is_imported(
    version: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening with no litellm, or with one that does not fit, is a plain message with the command."""
    monkeypatch.setattr(loading, "_loaded", [])
    monkeypatch.setattr(loading, "installed_version", lambda: version)
    monkeypatch.setattr(importlib, "import_module", _refuse)
    for model in (LiteLLMModel("openai/any"), LiteLLMEmbeddings("openai/any")):
        with pytest.raises(errors.MissingDependency, match=r'pip install "tinyllm_actors\[litellm\]"'):
            await model.open()


def _refuse(name: str, package: str | None = None) -> Any:
    raise AssertionError(f"{name} was imported")


_PROGRAM = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["EXPERIMENTAL_OPENAI_BASE_LLM_HTTP_HANDLER"] = "true"
import litellm

def settings():
    plain = (bool, int, float, str, type(None), list, dict, tuple, set)
    return {
        name: repr(value) if len(repr(value)) < 10_000 else len(value)
        for name, value in vars(litellm).items()
        if not name.startswith("__") and isinstance(value, plain)
    }

litellm.callbacks, litellm.drop_params, litellm.num_retries
before, environment = settings(), dict(os.environ)
import anyio
from tinyllm_actors.integrations.litellm import LiteLLMEmbeddings, LiteLLMModel
from tinyllm_actors.llm.messages import UserMessage
from tinyllm_actors.llm.model import ChatRequest

async def main():
    for model in (LiteLLMModel("openai/x", mock_response="hi"), LiteLLMModel("gemini/x", mock_response="hi")):
        await model.open()
        request = ChatRequest(messages=[UserMessage("hello")])
        await model.complete(request)
        async with model.stream(request) as events:
            async for _ in events:
                pass
        await model.aclose()
    model = LiteLLMEmbeddings("openai/x", mock_response=[0.1, 0.2])
    await model.open()
    await model.embed(["one"])
    await model.aclose()

for backend in sys.argv[1:]:
    anyio.run(main, backend=backend)
after = settings()
print(json.dumps({
    "settings": sorted(name for name in before if before[name] != after.get(name)),
    "environment": sorted(set(os.environ.items()) ^ set(environment.items())),
}))
"""


def test_nothing_of_litellms_state_is_touched_but_what_is_told() -> None:
    """After calls of each kind litellm's module has the settings that it had, but for the one in the docstring."""
    command = [sys.executable, "-c", _PROGRAM, "asyncio", "trio"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=55)
    assert done.returncode == 0, done.stderr
    left = json.loads(done.stdout.splitlines()[-1])
    # These two are litellm's own, whoever calls it: it notes that it clears up at exit, and where its tokenizers are.
    assert set(left["settings"]) - {"_async_client_cleanup_registered"} == {"suppress_debug_info"}
    assert {name for name, _ in left["environment"]} <= {"TIKTOKEN_CACHE_DIR"}


async def test_no_ollama_is_asked_for_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call of an Ollama elsewhere asks nothing of one on this machine, and costs nothing."""
    asked: list[object] = []

    def look_up(self: Any, **about: Any) -> dict[str, Any]:
        asked.append(about)
        return {}

    async def answer(exchange: Any) -> None:
        message = {"role": "assistant", "content": "Fine."}
        said = {"model": "mine:7b", "created_at": "2026-01-01T00:00:00Z", "message": message, "done": True}
        await exchange.respond_json(
            200, {**said, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 2, "total_duration": 5}
        )

    async with FaultServer([Behaviour("answer", answer)]) as server:
        made = LiteLLMModel("ollama_chat/mine:7b", api_base=server.base_url.removesuffix("/v1"))
        async with opened(made) as model:
            ollama: Any = importlib.import_module("litellm.llms.ollama.common_utils")
            monkeypatch.setattr(ollama.OllamaModelInfo, "get_runtime_model_info", look_up)
            completion = await model.complete(REQUEST)
    assert completion.usage is not None
    assert completion.usage.cost == 0.0
    assert not asked
