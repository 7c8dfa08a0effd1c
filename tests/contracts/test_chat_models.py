"""What each adapter of the port promises, beside what becomes of faults: nothing is lost on the way, nor made up."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from pydantic import BaseModel

from tinyllm_actors import ActorSystem
from tinyllm_actors.integrations.litellm import LiteLLMModel
from tinyllm_actors.integrations.openai_compatible import OpenAICompatibleModel
from tinyllm_actors.llm import (
    LLM,
    ChatModel,
    ChatRequest,
    Completed,
    Completion,
    FilePart,
    ImagePart,
    ReasoningDelta,
    ResponseSchema,
    StructuredOutput,
    SystemMessage,
    TextDelta,
    TextPart,
    ToolSchema,
    Usage,
    UserMessage,
)
from tinyllm_actors.testing.behaviours import Behaviour, answer, answer_tool_calls, refuse
from tinyllm_actors.testing.fault_server import FaultServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from tinyllm_actors.testing.http_exchange import Exchange, RecordedRequest

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.leaves_behind("threads", reason="litellm keeps a pool of threads for as long as the process lives"),
]

ADAPTERS: dict[str, Callable[[str], ChatModel]] = {
    "openai_compatible": lambda base: OpenAICompatibleModel("any", api_base=base, api_key="sk-0123456789"),
    "litellm": lambda base: LiteLLMModel("openai/any", api_base=base, api_key="sk-0123456789"),
}


class City(BaseModel):
    name: str
    people: int


REQUEST = ChatRequest(messages=[UserMessage("When is it?")])
TOOL = ToolSchema("find", "Find it.", {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]})

each_adapter = pytest.mark.parametrize("adapter", ADAPTERS)
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])


@asynccontextmanager
async def opened(adapter: str, server: FaultServer) -> AsyncGenerator[ChatModel]:
    """Yield a model that is closed afterwards."""
    model = ADAPTERS[adapter](server.base_url)
    await model.open()
    try:
        yield model
    finally:
        await model.aclose()


async def ask(model: ChatModel, request: ChatRequest, *, streamed: bool) -> tuple[list[Any], Completion]:
    """Return the events of one call, none if it is plain, and its answer."""
    with anyio.fail_after(30):
        if not streamed:
            return [], await model.complete(request)
        async with model.stream(request) as stream:
            events = [event async for event in stream]
    last = events.pop()
    assert isinstance(last, Completed)
    return events, last.completion


def said(**fields: Any) -> Behaviour:
    """Answer "Yes." with further fields; those of the choice below `choice`."""
    choice, usage = fields.pop("choice", {}), fields.pop("usage", None)
    top: dict[str, Any] = {"id": "x-1", "created": 1_700_000_000, "model": "any-2", **fields}

    async def play(exchange: Exchange) -> None:
        if not exchange.request.streamed:
            message = {"role": "assistant", "content": "Yes."}
            whole = {"index": 0, "message": message, "finish_reason": "stop", **choice}
            await exchange.respond_json(200, {**top, "object": "chat.completion", "choices": [whole], "usage": usage})
            return
        top["object"] = "chat.completion.chunk"
        await exchange.start_stream()
        first: dict[str, Any] = {**choice, "finish_reason": None}
        last: dict[str, Any] = {"finish_reason": choice.get("finish_reason", "stop")}
        chunks: list[dict[str, Any]] = [
            {"delta": {"role": "assistant", "content": "Yes."}, **first},
            {"delta": {}, **last},
        ]
        for more in chunks:
            await exchange.send_event(json.dumps({**top, "choices": [{"index": 0, **more}]}))
        if usage is not None:
            await exchange.send_event(json.dumps({**top, "choices": [], "usage": usage}))
        await exchange.send_event("[DONE]")
        await exchange.end_stream()

    return Behaviour("said", play)


@each_adapter
@both_ways
async def test_pictures_and_files_arrive_as_they_were_written(adapter: str, streamed: bool) -> None:
    """Content parts are sent in OpenAI's form, in their order."""
    parts = [
        TextPart("What is on it?"),
        ImagePart({"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}),
        FilePart({"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}),
        ImagePart({"url": "https://example.org/a.png"}),
    ]
    async with FaultServer(answer("A cat.")) as server, opened(adapter, server) as model:
        await ask(model, ChatRequest(messages=[SystemMessage("See."), UserMessage([*parts])]), streamed=streamed)
    body: Any = server.requests[0].json
    assert body["messages"][1]["content"] == [
        {"type": "text", "text": "What is on it?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
    ]


@each_adapter
@both_ways
async def test_options_tools_and_schemas_arrive_as_they_were_given(adapter: str, streamed: bool) -> None:
    """What is for the provider is not looked into; a named tool and a schema have OpenAI's form."""
    options: dict[str, Any] = {
        "temperature": 0.25,
        "seed": 7,
        "stop": ["\n\n"],
        "logit_bias": {"50256": -100},
        "max_completion_tokens": 5,
    }
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    request = ChatRequest(
        messages=REQUEST.messages,
        tools=[TOOL],
        tool_choice="find",
        response_schema=ResponseSchema("answer", schema),
        options=options,
    )
    async with FaultServer(answer("{}")) as server, opened(adapter, server) as model:
        await ask(model, request, streamed=streamed)
    body: Any = server.requests[0].json
    assert {name: body[name] for name in options} == options
    assert body["tools"] == [TOOL.to_wire()]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "find"}}
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "schema": schema, "strict": True},
    }


@each_adapter
@both_ways
async def test_thinking_is_no_part_of_the_answer(adapter: str, streamed: bool) -> None:
    """It has a field and events of its own."""
    thoughtful = answer("It is May 1st.", reasoning="hm, let me see")
    async with FaultServer(thoughtful) as server, opened(adapter, server) as model:
        events, completion = await ask(model, REQUEST, streamed=streamed)
    assert completion.message.content == "It is May 1st."
    assert completion.message.reasoning_content == "hm, let me see"
    if streamed:
        thinking = [isinstance(event, ReasoningDelta) for event in events]
        assert thinking == sorted(thinking, reverse=True)
        assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "It is May 1st."
        assert "".join(e.text for e in events if isinstance(e, ReasoningDelta)) == "hm, let me see"


@each_adapter
@both_ways
async def test_log_probabilities_come_through(adapter: str, streamed: bool) -> None:
    """They are asked for by an option, and are where OpenAI has them."""
    content = [{"token": "Yes", "logprob": -0.25, "bytes": [89], "top_logprobs": []}]
    request = ChatRequest(messages=REQUEST.messages, options={"logprobs": True, "top_logprobs": 1})
    async with FaultServer(said(choice={"logprobs": {"content": content}})) as server, opened(adapter, server) as model:
        _, completion = await ask(model, request, streamed=streamed)
    body: Any = server.requests[0].json
    assert (body["logprobs"], body["top_logprobs"]) == (True, 1)
    logprobs = completion.to_wire()["choices"][0]["logprobs"]
    assert [(entry["token"], entry["logprob"]) for entry in logprobs["content"]] == [("Yes", -0.25)]


@each_adapter
@both_ways
async def test_tokens_are_counted_by_kind(adapter: str, streamed: bool) -> None:
    """Cached and thinking tokens are told apart where the provider does, in our terms and in its own."""
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 20,
        "total_tokens": 120,
        "prompt_tokens_details": {"cached_tokens": 64},
        "completion_tokens_details": {"reasoning_tokens": 12},
    }
    async with FaultServer(said(usage=usage)) as server, opened(adapter, server) as model:
        _, completion = await ask(model, REQUEST, streamed=streamed)
    assert completion.usage is not None
    assert completion.usage.cost is None  # a price that nobody knows is not 0
    assert completion.usage == Usage(100, 20, 120, cached_tokens=64, reasoning_tokens=12)
    assert completion.to_wire()["usage"]["prompt_tokens"] == 100


@each_adapter
@both_ways
async def test_an_answer_without_usage_has_none(adapter: str, streamed: bool) -> None:
    """Nothing is made up where the provider does not count."""
    async with FaultServer(said()) as server, opened(adapter, server) as model:
        _, completion = await ask(model, REQUEST, streamed=streamed)
    if adapter == "openai_compatible" or streamed:  # litellm counts by itself where it may
        assert completion.usage is None
    if adapter == "openai_compatible" or not streamed:  # litellm gives chunks the name that was asked for
        assert (completion.model, completion.created) == ("any-2", 1_700_000_000)


@each_adapter
@both_ways
@pytest.mark.parametrize("reason", ["stop", "length", "content_filter"])
async def test_the_reason_to_end_is_kept(adapter: str, streamed: bool, reason: str) -> None:
    """A caller can tell an answer that was cut short."""
    async with FaultServer(said(choice={"finish_reason": reason})) as server, opened(adapter, server) as model:
        _, completion = await ask(model, REQUEST, streamed=streamed)
    assert completion.finish_reason == reason
    assert completion.message.content == "Yes."


@each_adapter
@both_ways
async def test_tool_calls_end_for_their_own_reason(adapter: str, streamed: bool) -> None:
    """Whatever the provider says, and their events add up to them."""
    request = ChatRequest(messages=REQUEST.messages, tools=[TOOL])
    calls = answer_tool_calls([("find", {"q": "ä"})], finish_reason="stop")
    async with FaultServer(calls) as server, opened(adapter, server) as model:
        events, completion = await ask(model, request, streamed=streamed)
    assert completion.finish_reason == "tool_calls"
    (call,) = completion.message.tool_calls
    assert (call.name, json.loads(call.arguments)) == ("find", {"q": "ä"})
    if streamed:
        assert "".join(event.arguments for event in events) == call.arguments
        assert {event.id for event in events} == {call.id}


@each_adapter
@both_ways
async def test_a_provider_that_refuses_schemas_is_asked_in_another_way(adapter: str, streamed: bool) -> None:
    """Native schema, then a tool that has to be called, then words: the answer is the same value."""
    words: Any = answer('Sure:\n```json\n{"name": "Ulm", "people": 126000,}\n```')

    def choose(request: RecordedRequest) -> Behaviour:
        body: Any = request.json
        if "response_format" in body:
            return refuse(400, "Invalid parameter: 'response_format' of type 'json_schema' is not supported.")
        return refuse(400, "tool_choice is not available for this model") if "tools" in body else words

    output = StructuredOutput(City)
    async with FaultServer(choose) as server, ActorSystem("test") as system:
        llm = await system.spawn(LLM.spec(ADAPTERS[adapter](server.base_url)))
        if streamed:
            async with llm.stream(request=REQUEST, output=output) as events:
                *_, result = [event async for event in events]
        else:
            result = await llm(request=REQUEST, output=output)
    assert output.parse(result["output"]["completion"]) == City(name="Ulm", people=126_000)
    assert len(server.requests) == 3
