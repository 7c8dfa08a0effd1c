"""Each provider's own dialect, served on loopback, reads the same through each adapter that speaks it.

The exchanges in `dialects/` have the shapes, in every field and in their order, of exchanges that others recorded and
published, and of the providers' references and servers' sources; what they say is our own.
"""

from __future__ import annotations

import importlib.util
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tinyllm_actors import errors
from tinyllm_actors.integrations.litellm import LiteLLMModel
from tinyllm_actors.integrations.openai_compatible import OpenAICompatibleModel
from tinyllm_actors.llm import (
    AssistantMessage,
    ChatModel,
    ChatRequest,
    Completed,
    Completion,
    FunctionCall,
    ImagePart,
    ReasoningDelta,
    SystemMessage,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    ToolMessage,
    ToolSchema,
    Usage,
    UserMessage,
)
from tinyllm_actors.testing.behaviours import Behaviour
from tinyllm_actors.testing.fault_server import FaultServer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from tinyllm_actors.testing.http_exchange import Exchange

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning"),  # litellm's affair
]

KEY = "sk-a-secret-that-nobody-may-see"
QUESTION = ChatRequest(messages=[UserMessage("What is the capital of France?")])
FOLDER = Path(__file__).parent / "dialects"
DIALECTS: dict[str, Any] = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}

_CALLS = [
    ToolCall("", FunctionCall("get_weather", '{"city":"Paris"}')),
    ToolCall("", FunctionCall("get_time", '{"zone":"Europe/Paris"}')),
]
EXPECTED: dict[str, Completion] = {
    "text": Completion(AssistantMessage("The capital of France is Paris."), "stop", usage=Usage(12, 7, 19)),
    "length": Completion(AssistantMessage("The capital"), "length", usage=Usage(12, 2, 14)),
    "tools": Completion(AssistantMessage(tool_calls=_CALLS), "tool_calls", usage=Usage(80, 34, 114)),
    "reasoning": Completion(
        AssistantMessage("Paris.", reasoning_content="France has one capital."), "stop", usage=Usage(12, 15, 27)
    ),
}
ERRORS: dict[str, type[errors.ModelError]] = {
    "context": errors.ContextWindowExceeded,
    "overloaded": errors.Overloaded,
    "quota": errors.QuotaExceeded,
    "rate_limited": errors.RateLimited,
    "rejected": errors.RequestRejected,
    "server": errors.Overloaded,
    "unauthorized": errors.AuthenticationFailed,
}
HISTORY = ChatRequest(
    messages=[
        SystemMessage("Be brief."),
        UserMessage(
            [
                TextPart("What is it like here?"),
                ImagePart({"url": "data:image/png;base64,iVBORw0KGgo="}),
            ]
        ),
        AssistantMessage(
            tool_calls=[
                ToolCall("call00001", FunctionCall("get_weather", '{"city":"Paris"}')),
                ToolCall("call00002", FunctionCall("get_time", '{"zone":"Europe/Paris"}')),
            ]
        ),
        ToolMessage("call00001", "sunny", "get_weather"),
        ToolMessage("call00002", "noon", "get_time"),
    ],
    tools=[
        ToolSchema(name, f"{name}.", {"type": "object", "properties": {key: {"type": "string"}}, "required": [key]})
        for name, key in (("get_weather", "city"), ("get_time", "zone"))
    ],
    options={"temperature": 0.5},
)


@dataclass(frozen=True)
class Speaker:
    """An adapter that speaks a dialect."""

    dialect: str
    adapter: str

    @property
    def said(self) -> Any:
        return DIALECTS[self.dialect]

    def __str__(self) -> str:
        return f"{self.dialect} {self.adapter}"


def _speakers() -> Iterator[Speaker]:
    for name, dialect in DIALECTS.items():
        if dialect["openai_compatible"]:
            yield Speaker(name, "openai_compatible")
        if dialect["litellm"]:
            yield Speaker(name, "litellm")


def _param(speaker: Speaker, *more: str) -> Any:
    absent = speaker.adapter == "litellm" and importlib.util.find_spec("litellm") is None
    marks = [pytest.mark.skip(reason="litellm is not installed")] if absent else []
    return pytest.param(speaker, *more, id=" ".join([str(speaker), *more]), marks=marks)


ALL = [_param(speaker) for speaker in _speakers()]
ANSWERS = [_param(speaker, name) for speaker in _speakers() for name in speaker.said["answers"]]
FAILURES = [_param(speaker, name) for speaker in _speakers() for name in speaker.said["errors"]]


@asynccontextmanager
async def opened(speaker: Speaker, server: FaultServer) -> AsyncGenerator[ChatModel]:
    """Open a model of a dialect on `server`, and close it whatever happens."""
    if speaker.adapter == "litellm":
        # Those that put the version of the API into the path of each call want the address without it.
        bare = speaker.dialect in ("anthropic", "ollama")
        base = server.base_url.removesuffix("/v1") if bare else server.base_url
        model: ChatModel = LiteLLMModel(speaker.said["litellm"], api_base=base, api_key=KEY)
    else:
        model = OpenAICompatibleModel("any", api_base=server.base_url, api_key=KEY)
    await model.open()
    try:
        yield model
    finally:
        await model.aclose()


def answering(said: Any, name: str) -> Behaviour:
    """Answer as the dialect does: whole, or in the events of its streams."""

    async def play(exchange: Exchange) -> None:
        answer = said["answers"][name]
        streamed = exchange.request.streamed or "stream" in exchange.request.path
        if not streamed:
            await exchange.respond_json(200, answer["plain"])
            return
        ndjson = said["framing"] == "ndjson"
        end = {"ndjson": "\n", "sse": "\n\n", "sse, CRLF": "\r\n\r\n"}[said["framing"]]
        await exchange.start_stream(content_type="application/x-ndjson" if ndjson else "text/event-stream")
        for event in answer["stream"]:
            await exchange.send_chunk(f"{event}{end}".encode())
        await exchange.end_stream()

    return Behaviour(name, play)


def failing(said: Any, name: str) -> Behaviour:
    """Refuse as the dialect does."""
    error = said["errors"][name]

    async def play(exchange: Exchange) -> None:
        await exchange.respond_json(error["status"], error["body"], headers=error["headers"])

    return Behaviour(name, play)


def comparable(completion: Completion) -> Completion:
    """Return what of an answer is the same in all dialects."""
    calls = [
        ToolCall("", FunctionCall(call.name, json.dumps(json.loads(call.arguments), separators=(",", ":"))))
        for call in completion.message.tool_calls
    ]
    message = AssistantMessage(completion.message.content or None, calls, completion.message.reasoning_content)
    usage = completion.usage
    return Completion(
        message,
        completion.finish_reason,
        usage=None if usage is None else Usage(usage.prompt_tokens, usage.completion_tokens, usage.total_tokens),
    )


def pointed(value: Any, pointer: str) -> Any:
    """Return what a JSON pointer points to."""
    for step in pointer.split("/")[1:]:
        value = value[int(step) if step.isdecimal() else step]
    return value


@pytest.mark.parametrize(("speaker", "name"), ANSWERS)
async def test_an_answer_reads_the_same_in_each_dialect(speaker: Speaker, name: str) -> None:
    """Text, thinking, calls, the reason to end and tokens are the same, whole and streamed, whoever says them."""
    async with FaultServer(answering(speaker.said, name)) as server, opened(speaker, server) as model:
        request = ChatRequest(messages=QUESTION.messages, tools=HISTORY.tools if name == "tools" else ())
        whole = await model.complete(request)
        async with model.stream(request) as stream:
            events = [event async for event in stream]
    last = events[-1]
    assert isinstance(last, Completed)
    expected = EXPECTED[name]
    assert comparable(whole) == expected
    assert comparable(last.completion) == expected
    assert "".join(e.text for e in events if isinstance(e, TextDelta)) == (expected.message.content or "")
    thought = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
    assert thought == (expected.message.reasoning_content or "")
    pieces: dict[int, list[ToolCallDelta]] = {}
    for event in events:
        if isinstance(event, ToolCallDelta):
            pieces.setdefault(event.index, []).append(event)
    calls = last.completion.message.tool_calls
    assert [(p[0].id, p[0].name, json.loads("".join(d.arguments for d in p))) for p in pieces.values()] == [
        (call.id, call.name, json.loads(call.arguments)) for call in calls
    ]
    assert len({call.id for call in calls if call.id}) == len(calls)


@pytest.mark.parametrize(("speaker", "name"), FAILURES)
async def test_a_failure_means_the_same_in_each_dialect(speaker: Speaker, name: str) -> None:
    """A refusal has its class, whole and streamed, says when to come back, and is sent once."""
    async with FaultServer(failing(speaker.said, name)) as server, opened(speaker, server) as model:
        with pytest.raises(ERRORS[name]) as whole:
            await model.complete(QUESTION)
        with pytest.raises(ERRORS[name]) as streamed:
            async with model.stream(QUESTION) as events:
                async for _ in events:
                    pass
        assert len(server.requests) == 2
    for error in (whole.value, streamed.value):
        assert error.retry_after == (7.0 if name == "rate_limited" else None)
        assert error.retryable is ERRORS[name].default_retryable
        assert error.model == model.name
        assert not error.output_started
        assert KEY not in str(error)


@pytest.mark.parametrize("speaker", ALL)
async def test_a_history_is_written_in_the_dialect(speaker: Speaker) -> None:
    """Instructions, a picture, calls and their results, tools and options arrive where the provider looks for them."""
    async with FaultServer(answering(speaker.said, "text")) as server, opened(speaker, server) as model:
        await model.complete(HISTORY)
        (request,) = server.requests
    assert speaker.said["path"] in request.path
    assert {name: request.headers.get(name) for name in speaker.said["auth"]} == speaker.said["auth"]
    for pointer, value in speaker.said["sent"].items():
        assert pointed(request.json, pointer) == value, pointer


@pytest.mark.parametrize("speaker", [_param(speaker) for speaker in _speakers() if "broken_stream" in speaker.said])
async def test_an_error_in_the_middle_of_a_stream(speaker: Speaker) -> None:
    """What the provider says in its stream after the answer has begun is a failure with what had come."""
    said = {**speaker.said, "answers": {"text": {"stream": speaker.said["broken_stream"]}}}
    async with FaultServer(answering(said, "text")) as server, opened(speaker, server) as model:
        with pytest.raises(errors.ModelError) as caught:
            async with model.stream(QUESTION) as events:
                async for _ in events:
                    pass
    assert isinstance(caught.value, errors.StreamInterrupted | errors.Overloaded)
    assert caught.value.output_started
    assert caught.value.partial == "The capital"
    assert any(words in str(caught.value) for words in ("verloaded", "error", "EngineCore"))


@pytest.mark.parametrize("speaker", ALL)
async def test_a_stream_that_ends_too_early(speaker: Speaker) -> None:
    """Without the provider's reason to end, an answer is cut off, however politely the connection is closed."""
    events = speaker.said["answers"]["text"]["stream"]
    begun = next(place for place, event in enumerate(events) if "The capital" in event)
    said = {**speaker.said, "answers": {"text": {"stream": events[: begun + 1]}}}
    async with FaultServer(answering(said, "text")) as server, opened(speaker, server) as model:
        with pytest.raises(errors.StreamInterrupted) as caught:
            async with model.stream(QUESTION) as found:
                async for _ in found:
                    pass
    assert caught.value.retryable
    assert caught.value.output_started
    assert caught.value.partial == "The capital"
