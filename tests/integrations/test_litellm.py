"""Models behind litellm: what is sent, what comes back, how calls end early, and what is left behind."""

from __future__ import annotations

import asyncio
import gc
import importlib
import importlib.util
import subprocess
import sys
import threading
import warnings
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import pytest

from tinyllm_actors import errors
from tinyllm_actors.integrations._asyncio_bridge import open_bridge
from tinyllm_actors.integrations.litellm import LiteLLMModel, from_name
from tinyllm_actors.integrations.litellm.client import make_client
from tinyllm_actors.llm.messages import (
    AssistantMessage,
    FunctionCall,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from tinyllm_actors.llm.model import (
    Capabilities,
    ChatRequest,
    Completed,
    ReasoningDelta,
    ResponseSchema,
    TextDelta,
    ToolCallDelta,
    ToolSchema,
)
from tinyllm_actors.testing import behaviours as b
from tinyllm_actors.testing.fault_server import FaultServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Mapping

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(importlib.util.find_spec("litellm") is None, reason="litellm is not installed"),
    # litellm's affair: it asks an instance of a pydantic model for what belongs to the class.
    pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning"),
]

KEY = "sk-a-secret-that-nobody-may-see"
REQUEST = ChatRequest(messages=[UserMessage("What is the user's birthday?")])
TOOL = ToolSchema("get_user_property", "Look it up.", {"type": "object", "properties": {"name": {"type": "string"}}})
CALLS: list[tuple[str, Mapping[str, object]]] = [("get_user_property", {"name": "birthday"}), ("get_time", {})]


@asynccontextmanager
async def opened(server: FaultServer, name: str = "openai/any", **options: Any) -> AsyncGenerator[LiteLLMModel]:
    """Open a model on `server`, and close it whatever happens."""
    model = LiteLLMModel(name, api_base=server.base_url, api_key=KEY, **options)
    await model.open()
    try:
        yield model
    finally:
        await model.aclose()


def litellm() -> Any:
    """Return the module that the adapter has imported."""
    return sys.modules["litellm"]


# --- answers --------------------------------------------------------------------------------------


async def test_an_answer_has_text_reason_and_tokens() -> None:
    """A whole answer is a completion with everything that the provider said."""
    async with FaultServer([b.answer("January 1st.")]) as server, opened(server) as model:
        completion = await model.complete(REQUEST)
    assert completion.message.content == "January 1st."
    assert completion.finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.total_tokens == completion.usage.prompt_tokens + completion.usage.completion_tokens > 0
    assert completion.extra == {}


async def test_a_streamed_answer_comes_in_pieces_and_ends_with_the_whole() -> None:
    """The pieces make up the text; the last event is the completion, with tokens."""
    async with (
        FaultServer([b.answer("on January 1st.")]) as server,
        opened(server) as model,
        model.stream(REQUEST) as events,
    ):
        seen = [event async for event in events]
    assert "".join(event.text for event in seen if isinstance(event, TextDelta)) == "on January 1st."
    assert isinstance(seen[-1], Completed)
    assert seen[-1].completion.message.content == "on January 1st."
    assert seen[-1].completion.usage is not None
    assert seen[-1].completion.usage.total_tokens > 0
    assert sum(isinstance(event, Completed) for event in seen) == 1


async def test_reasoning_is_kept_apart() -> None:
    """The model's thinking is no part of the answer, whole or streamed."""
    behaviour = b.answer("Yes.", reasoning="Is it? It is.")
    async with FaultServer([behaviour, behaviour]) as server, opened(server) as model:
        completion = await model.complete(REQUEST)
        async with model.stream(REQUEST) as events:
            seen = [event async for event in events]
    assert (completion.message.content, completion.message.reasoning_content) == ("Yes.", "Is it? It is.")
    assert "".join(event.text for event in seen if isinstance(event, ReasoningDelta)) == "Is it? It is."


async def test_two_parallel_tool_calls_are_assembled() -> None:
    """Each call has its id, its name and whole arguments; its pieces say which call they are of."""
    behaviour = b.answer_tool_calls(CALLS)
    async with FaultServer([behaviour, behaviour]) as server, opened(server) as model:
        request = ChatRequest(messages=REQUEST.messages, tools=[TOOL])
        completion = await model.complete(request)
        async with model.stream(request) as events:
            seen = [event async for event in events]
    last = seen[-1]
    assert isinstance(last, Completed)
    for calls in (completion.message.tool_calls, last.completion.message.tool_calls):
        assert [(call.name, call.arguments.replace(" ", "")) for call in calls] == [
            ("get_user_property", '{"name":"birthday"}'),
            ("get_time", "{}"),
        ]
        assert len({call.id for call in calls}) == 2
    assert {event.index for event in seen if isinstance(event, ToolCallDelta)} == {0, 1}


async def test_the_request_arrives_as_it_was_meant() -> None:
    """Messages, tools, the choice among them, the schema, options and headers reach the provider; retries do not."""
    call = ToolCall("call_1", FunctionCall("get_user_property", '{"name":"birthday"}'))
    request = ChatRequest(
        messages=[
            SystemMessage("Be brief."),
            UserMessage("When?"),
            AssistantMessage(tool_calls=[call], reasoning_content="I should look it up."),
            ToolMessage("call_1", "January 1st"),
        ],
        tools=[TOOL],
        tool_choice="get_user_property",
        response_schema=ResponseSchema("day", {"type": "object", "properties": {"day": {"type": "string"}}}),
        options={"temperature": 0.5},
    )
    async with (
        FaultServer([b.answer("x"), b.answer("x")]) as server,
        opened(server, temperature=1.0, seed=7, extra_headers={"x-team": "blue"}) as model,
    ):
        await model.complete(request)
        async with model.stream(request) as events:
            assert [event async for event in events]
        plain, streamed = server.requests
    body: Any = plain.json
    assert body["model"] == "any"
    assert (body["temperature"], body["seed"]) == (0.5, 7)
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "tool"]
    assert body["messages"][2]["tool_calls"][0]["function"]["arguments"] == '{"name":"birthday"}'
    assert "reasoning_content" not in body["messages"][2]
    assert body["messages"][3] == {"role": "tool", "tool_call_id": "call_1", "content": "January 1st"}
    assert body["tools"] == [TOOL.to_wire()]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "get_user_property"}}
    assert body["response_format"]["json_schema"]["name"] == "day"
    assert not {"max_retries", "num_retries", "stream"} & body.keys()
    assert plain.headers["authorization"] == f"Bearer {KEY}"
    assert plain.headers["x-team"] == "blue"
    assert streamed.streamed
    assert streamed.wants_usage


async def test_a_known_price_is_told_and_an_unknown_one_is_not_zero() -> None:
    """The cost of a call is in dollars where litellm knows the model, and None where it does not."""
    async with FaultServer(b.answer("x")) as server:
        for name, known in (("openai/gpt-4o-mini", True), ("openai/any", False)):
            async with opened(server, name) as model:
                usage = (await model.complete(REQUEST)).usage
                assert usage is not None
                async with model.stream(REQUEST) as events:
                    last = [event async for event in events][-1]
                assert isinstance(last, Completed)
                assert last.completion.usage is not None
                for cost in (usage.cost, last.completion.usage.cost):
                    assert (cost is not None and 0 < cost < 0.01) if known else cost is None


async def test_what_a_model_can_do_is_read_from_litellms_table() -> None:
    """A known model has its capabilities, an unknown one the usual, and what the caller says wins."""
    async with FaultServer() as server:
        async with opened(server, "openai/gpt-4o-mini") as model:
            assert model.capabilities == Capabilities(images=True)
        async with opened(server) as model:
            assert model.capabilities == Capabilities()
        async with opened(server, "openai/gpt-4o-mini", capabilities=Capabilities(tools=False)) as model:
            assert model.capabilities == Capabilities(tools=False)


async def test_litellms_mock_response_needs_no_provider() -> None:
    """The option `mock_response` answers without a key and without a connection, whole and streamed."""
    model = from_name("litellm/openai/gpt-4o-mini", {"mock_response": "mocked", "api_key": ""})
    await model.open()
    try:
        assert (await model.complete(REQUEST)).message.content == "mocked"
        async with model.stream(REQUEST) as events:
            last = [event async for event in events][-1]
        assert isinstance(last, Completed)
        assert last.completion.message.content == "mocked"
    finally:
        await model.aclose()


async def test_many_calls_at_once_share_the_model() -> None:
    """Calls do not wait for one another, and each gets its own answer."""

    def choose(request: Any) -> b.Behaviour:
        return b.slow_first_byte(0.05, b.answer(f"echo {request.json['messages'][0]['content']}"))

    answers: dict[int, str | None] = {}
    async with FaultServer(choose) as server, opened(server) as model:

        async def ask(number: int) -> None:
            answers[number] = (await model.complete(ChatRequest(messages=[UserMessage(str(number))]))).message.content

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                for number in range(20):
                    tasks.start_soon(ask, number)
    assert answers == {number: f"echo {number}" for number in range(20)}


# --- ending early ---------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("behaviour", [b.hang(), b.hang(2)], ids=["from the start", "in the middle"])
async def test_the_callers_deadline_closes_the_connection(behaviour: b.Behaviour, streamed: bool) -> None:
    """When the caller's deadline passes, the server sees the connection close."""
    async with FaultServer(behaviour) as server, opened(server) as model:
        with anyio.move_on_after(5) as scope:
            async with anyio.create_task_group() as tasks:

                async def call() -> None:
                    if streamed:
                        async with model.stream(REQUEST) as events:
                            async for _ in events:
                                pass
                    else:
                        await model.complete(REQUEST)

                tasks.start_soon(call)
                await server.wait_request()
                scope.deadline = anyio.current_time() + 0.1
        assert scope.cancelled_caught
        await server.wait_closed_connection()


async def test_leaving_a_stream_closes_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that has enough leaves, and the provider stops to generate; the next call is answered."""
    async with FaultServer([b.endless(), b.answer("fine")]) as server, opened(server) as model:
        acompletion, kept = litellm().acompletion, list[Any]()

        async def keeping(**arguments: Any) -> Any:
            kept.append(await acompletion(**arguments))  # so that it is not the garbage collector who closes it
            return kept[-1]

        monkeypatch.setattr(litellm(), "acompletion", keeping)
        with anyio.fail_after(30):
            async with model.stream(REQUEST) as events:
                assert isinstance(await anext(events), TextDelta)
            await server.wait_closed_connection()
            assert (await model.complete(REQUEST)).message.content == "fine"


async def test_an_error_in_the_readers_block_is_the_readers() -> None:
    """What the block raises leaves it unchanged, and the connection is closed."""
    async with FaultServer([b.endless()]) as server, opened(server) as model:
        with pytest.raises(LookupError, match="mine"):
            async with model.stream(REQUEST) as events:
                await anext(events)
                raise LookupError("mine")
        await server.wait_closed_connection()


@pytest.mark.usefixtures("only_new_garbage")
async def test_a_call_that_is_cancelled_while_its_request_is_written_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What litellm makes in its thread for a caller who has left is awaited or dropped without a warning."""
    async with FaultServer(b.hang()) as server, opened(server) as model:
        writing, go_on = threading.Event(), threading.Event()
        module: Any = importlib.import_module("litellm.main")
        completion = module.completion

        def slowly(*arguments: Any, **more: Any) -> Any:
            writing.set()
            go_on.wait(5)
            return completion(*arguments, **more)

        monkeypatch.setattr(module, "completion", slowly)
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(model.complete, REQUEST)
                assert await anyio.to_thread.run_sync(writing.wait, 5)
                tasks.cancel_scope.cancel()
                go_on.set()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.collect()
    assert [str(warning.message) for warning in caught if "never awaited" in str(warning.message)] == []


async def test_a_stream_that_opens_as_its_caller_leaves_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that nobody was there to take is closed, not left to the garbage collector."""
    closed = threading.Event()

    class Stream:
        async def aclose(self) -> None:
            closed.set()

    async def opens_in_spite_of_it(**_: Any) -> Stream:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            return Stream()
        raise AssertionError("nobody left")

    async with FaultServer() as server, opened(server, idle_timeout=0.05) as model:
        monkeypatch.setattr(litellm(), "acompletion", opens_in_spite_of_it)
        with pytest.raises(errors.ModelTimeout):
            async with model.stream(REQUEST) as events:
                await anext(events)
        assert closed.is_set()


async def test_a_cancellation_inside_litellm_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """When litellm cancels itself, the call fails, and nobody else is cancelled."""

    async def cancelled(**_: Any) -> None:
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.cancel)
        await future

    async with FaultServer() as server, opened(server) as model:
        monkeypatch.setattr(litellm(), "acompletion", cancelled)
        with pytest.raises(errors.ModelUnavailable, match="somebody else"):
            await model.complete(REQUEST)
        with pytest.raises(errors.ModelUnavailable, match="somebody else"):
            async with model.stream(REQUEST) as events:
                await anext(events)


# --- opening and closing --------------------------------------------------------------------------


async def test_a_request_is_sent_once_though_litellm_would_try_again() -> None:
    """Where litellm's HTTP client sends a request again after a lost connection, ours reports the loss."""

    def lose(request: Any) -> Any:
        raise httpx.ConnectError("lost", request=request)

    async def post(client: Any, url: str) -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(lose)) as losing:
            client.client = losing
            with pytest.raises(httpx.ConnectError, match="lost"):
                await client.post(url, json={})

    import httpx

    async with FaultServer(b.answer("x")) as server, opened(server):
        async with open_bridge() as bridge:
            await bridge.call(post, await anyio.to_thread.run_sync(make_client), f"{server.base_url}/chat/completions")
        assert server.requests == []


async def test_closing_leaves_no_connection_and_no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the model is closed, so are its connections, though somebody may still hold its client."""
    kept: list[Any] = []

    def keeping(ssl_verify: object) -> Any:
        kept.append(make_client(ssl_verify))
        return kept[-1]

    monkeypatch.setattr("tinyllm_actors.integrations.litellm.session.make_client", keeping)
    async with FaultServer(b.answer("x")) as server:
        async with opened(server) as model:
            await model.complete(REQUEST)
            assert server.open_connections == 1
        await server.wait_no_connection()
        await model.aclose()


@pytest.fixture
def _callbacks_end() -> Generator[None]:
    """Take away what a test registers with litellm."""
    yield
    for name in ("callbacks", "success_callback", "failure_callback", "input_callback"):
        getattr(litellm(), name).clear()
    for name in ("_async_success_callback", "_async_failure_callback"):
        getattr(litellm(), name).clear()


@pytest.mark.usefixtures("_callbacks_end")
async def test_callbacks_run_and_their_worker_ends_with_the_model() -> None:
    """Who registers a callback with litellm is told of calls; the task that tells is gone when the model closes."""
    told: list[str] = []
    async with FaultServer(b.answer("x")) as server, opened(server) as model:
        base: Any = importlib.import_module("litellm.integrations.custom_logger").CustomLogger

        class Logger(base):
            async def async_log_success_event(self, *_: Any, **__: Any) -> None:
                for _turn in range(100):
                    await asyncio.sleep(0)
                told.append("success")

        litellm().callbacks.append(Logger())
        await model.complete(REQUEST)
        async with model.stream(REQUEST) as events:
            assert [event async for event in events]
        await model.aclose()
        assert told == ["success", "success"]


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
async def test_closing_ends_the_calls_that_are_under_way(streamed: bool) -> None:
    """Nobody waits for ever on a model that is closed: the call fails at once."""
    begun = anyio.Event()
    async with FaultServer(b.hang(2)) as server, opened(server) as model:

        async def call() -> None:
            with pytest.raises(errors.ModelError) as caught:
                if streamed:
                    async with model.stream(REQUEST) as events:
                        async for _ in events:
                            begun.set()
                else:
                    begun.set()
                    await model.complete(REQUEST)
            assert type(caught.value) is errors.ModelUnavailable
            assert not caught.value.retryable
            assert (caught.value.partial != "") is streamed

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                await server.wait_request()
                await begun.wait()
                await model.aclose()


async def test_a_model_is_opened_once_before_use_and_can_be_opened_again() -> None:
    """Using a closed model is a mistake that is named; opening or closing twice is none."""
    async with FaultServer(b.answer("x")) as server:
        model = LiteLLMModel("openai/any", api_base=server.base_url, api_key=KEY)
        with pytest.raises(RuntimeError, match="not open"):
            await model.complete(REQUEST)
        for _ in range(2):
            await model.open()
            await model.open()
            assert (await model.complete(REQUEST)).message.content == "x"
            await model.aclose()
            await model.aclose()
        with pytest.raises(RuntimeError, match="not open"):
            async with model.stream(REQUEST):
                pass


async def test_opening_names_an_unknown_provider_or_a_missing_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """What can be known without the network is said when the model is opened, in one sentence with the remedy."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(errors.UnknownModel, match=r"'opnai'.*did you mean 'openai/gpt-4o'\?"):
        await from_name("opnai/gpt-4o", {}).open()
    with pytest.raises(errors.MissingCredential, match="OPENAI_API_KEY"):
        await from_name("openai/gpt-4o", {}).open()
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    model = from_name("openai/gpt-4o", {})
    await model.open()
    await model.aclose()


PROGRAM = """
import logging, sys, threading
import anyio
import tinyllm_actors.integrations.litellm as adapter
from tinyllm_actors.llm.messages import UserMessage
from tinyllm_actors.llm.model import ChatRequest
from tinyllm_actors.testing.behaviours import answer, drop_stream, endless, rate_limited, reset
from tinyllm_actors.testing.fault_server import FaultServer

assert "litellm" not in sys.modules and "openai" not in sys.modules

async def main():
    request = ChatRequest(messages=[UserMessage("hello")])
    async with FaultServer([answer("one"), rate_limited(), reset(), answer("two"), drop_stream(), endless()]) as server:
        model = adapter.LiteLLMModel("openai/any", api_base=server.base_url, api_key="sk-a-secret-key")
        await model.open()
        assert (await model.complete(request)).message.content == "one"
        for _ in range(2):
            try:
                await model.complete(request)
            except adapter.ModelError:
                pass
        for _ in range(3):
            try:
                async with model.stream(request) as events:
                    seen = 0
                    async for _ in events:
                        seen += 1
                        if seen == 10:
                            break
            except adapter.ModelError:
                pass
        logging.getLogger("LiteLLM").error("what litellm would say of its troubles")
        await model.aclose()
        left = [thread.name for thread in threading.enumerate() if "tinyllm" in thread.name]
        assert not left, left

adapter.ModelError = __import__("tinyllm_actors.errors").errors.ModelError
anyio.run(main, backend=sys.argv[1], backend_options={"use_uvloop": True} if sys.argv[2] == "uvloop" else {})
print("done")
"""


async def test_a_program_ends_in_silence(anyio_backend: tuple[str, dict[str, Any]]) -> None:
    """A program with faults, cancellations and a closed model prints nothing of its own accord, at its end neither."""
    name, options = anyio_backend
    command = [sys.executable, "-W", "always::ResourceWarning", "-c", PROGRAM, name, "uvloop" if options else ""]
    result = await anyio.run_process(command, check=False, stderr=subprocess.PIPE)
    assert result.stderr.decode() == ""
    assert result.stdout.decode() == "done\n"
    assert result.returncode == 0
