"""What the embedded model says, which does not depend on the event loop: one is enough."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tinyllm_actors.errors import ConfigurationError, RequestRejected, StreamInterrupted
from tinyllm_actors.integrations.local_model import LocalModel
from tinyllm_actors.llm.messages import ImagePart, Message, SystemMessage, ToolMessage, UserMessage
from tinyllm_actors.llm.model import (
    ChatRequest,
    Completed,
    Completion,
    ResponseSchema,
    StreamEvent,
    ToolCallDelta,
    ToolSchema,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MISSING = LocalModel.available()
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
    pytest.mark.timeout(300),  # a busy machine may compute a tenth as fast
]

PROPERTY = ToolSchema(
    "get_user_property",
    "Look up a property of the current user.",
    {
        "type": "object",
        "properties": {"asked_property": {"type": "string", "enum": ["name", "birthday"]}},
        "required": ["asked_property"],
        "additionalProperties": False,
    },
)
RESULTS = {"name": "Elias", "birthday": "January 1st"}
SYSTEM = SystemMessage("You are a helpful assistant.")


@pytest.fixture(scope="module")
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Run the tests of this module on asyncio only."""
    return "asyncio", {}


@pytest.fixture(scope="module")
async def model(anyio_backend: Any) -> AsyncIterator[LocalModel]:
    """One slot, so that a call that kept it would be noticed by the next one."""
    model = LocalModel(slots=1, context=4096)
    await model.open()
    yield model
    await model.aclose()


def ask(*messages: Message, **request: Any) -> ChatRequest:
    """Return a request with the system message before `messages`."""
    return ChatRequest(messages=[SYSTEM, *messages], **request)


async def events_of(model: LocalModel, request: ChatRequest) -> tuple[list[StreamEvent], Completion]:
    """Return what is streamed, and the whole answer at its end."""
    async with model.stream(request) as stream:
        events = [event async for event in stream]
    last = events.pop()
    assert isinstance(last, Completed)
    return events, last.completion


async def converse(model: LocalModel, question: str) -> tuple[list[str], str]:
    """Return the properties that were asked for and the answer, as an agent would get them."""
    messages: list[Message] = [SYSTEM, UserMessage(question)]
    asked: list[str] = []
    while len(asked) < 5:
        message = (await model.complete(ChatRequest(messages=messages, tools=[PROPERTY]))).message
        messages.append(message)
        if not message.tool_calls:
            return asked, str(message.content)
        (call,) = message.tool_calls
        assert call.name == "get_user_property"
        asked.append(json.loads(call.arguments)["asked_property"])
        messages.append(ToolMessage(call.id, RESULTS[asked[-1]], call.name))
    return asked, ""


@pytest.mark.parametrize(
    "question",
    ["What is the user's birthday?", "I forgot my birthday, can you tell me?", "When is the birthday of Elias?"],
)
async def test_looks_up_the_birthday_and_tells_it(model: LocalModel, question: str) -> None:
    """The main job: one call of the tool with the right argument, then an answer that holds the result."""
    asked, answer = await converse(model, question)
    assert asked == ["birthday"]
    assert "January 1st" in answer


async def test_the_same_question_gets_the_same_answer(model: LocalModel) -> None:
    """At temperature 0 a conversation can be repeated, whatever the server did in between."""
    first = await converse(model, "What is my name?")
    await model.complete(ask(UserMessage("How are you?"), options={"max_tokens": 5}))
    assert await converse(model, "What is my name?") == first
    assert first[0] == ["name"]
    assert "Elias" in first[1]


async def test_a_failed_tool_is_reported_and_no_result_made_up(model: LocalModel) -> None:
    """When its tool failed the model says so."""
    question = UserMessage("What is the user's birthday?")
    call = (await model.complete(ask(question, tools=[PROPERTY]))).message
    failed = ToolMessage(call.tool_calls[0].id, "Error: no route to host", "get_user_property")
    answer = (await model.complete(ask(question, call, failed, tools=[PROPERTY]))).message.content
    assert "failed" in str(answer)
    assert "no route to host" in str(answer)


async def test_an_answer_with_a_schema_fits_it(model: LocalModel) -> None:
    """A response schema holds the model to its shape."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 30}, "large": {"type": "boolean"}},
        "required": ["city", "large"],
        "additionalProperties": False,
    }
    request = ask(UserMessage("Name the capital of France."), response_schema=ResponseSchema("city", schema))
    answer = json.loads(str((await model.complete(request)).message.content))
    assert answer.keys() == {"city", "large"}
    assert isinstance(answer["large"], bool)


async def test_tool_choice_none_is_an_answer(model: LocalModel) -> None:
    """Tools that may not be used are not used."""
    request = ask(UserMessage("What is the user's birthday?"), tools=[PROPERTY], tool_choice="none")
    message = (await model.complete(request)).message
    assert not message.tool_calls
    assert message.content


async def test_tool_choice_required_is_a_call_even_after_a_result(model: LocalModel) -> None:
    """Whoever insists on a call gets one, with arguments that fit."""
    question = UserMessage("What is the user's birthday?")
    call = (await model.complete(ask(question, tools=[PROPERTY], tool_choice="get_user_property"))).message
    result = ToolMessage(call.tool_calls[0].id, "January 1st")
    again = (await model.complete(ask(question, call, result, tools=[PROPERTY], tool_choice="required"))).message
    assert json.loads(again.tool_calls[0].arguments)["asked_property"] in RESULTS


async def test_a_tool_choice_that_is_no_tool_is_refused(model: LocalModel) -> None:
    """The name of no tool is a mistake of the caller, named with the tools there are."""
    with pytest.raises(ConfigurationError, match=r"'get_user_property'.*not 'get_weather'"):
        await model.complete(ask(UserMessage("Hello!"), tools=[PROPERTY], tool_choice="get_weather"))


async def test_a_tool_call_that_is_cut_short_never_runs(model: LocalModel) -> None:
    """Too few tokens for the arguments are an error that says what to raise."""
    request = ask(UserMessage("What is the user's birthday?"), tools=[PROPERTY], options={"max_tokens": 15})
    with pytest.raises(StreamInterrupted, match="raise max_tokens") as caught:
        await model.complete(request)
    assert not caught.value.retryable


async def test_a_picture_is_refused(model: LocalModel) -> None:
    """What the model cannot see is not left out silently."""
    picture = UserMessage([ImagePart({"url": "data:image/png;base64,AAAA"})])
    with pytest.raises(RequestRejected, match="ImagePart"):
        await model.complete(ask(picture))


@pytest.mark.parametrize("options", [{"max_tokens": 2}, {"max_completion_tokens": 2}])
async def test_options_of_a_request_win(model: LocalModel, options: dict[str, int]) -> None:
    """An option reaches llama.cpp, under either of the names that OpenAI has for it."""
    completion = await model.complete(ask(UserMessage("Count to a hundred."), options=options))
    assert completion.usage is not None
    assert completion.usage.completion_tokens == 2
    assert completion.finish_reason == "length"


async def test_a_model_that_repeats_a_call_is_made_to_answer() -> None:
    """A call whose result the model has is not passed on; an answer takes its place."""
    model = LocalModel(tool_rounds=3)
    await model.open()
    try:
        question = UserMessage("What is the user's birthday?")
        call = (await model.complete(ask(question, tools=[PROPERTY]))).message
        result = ToolMessage(call.tool_calls[0].id, "January 1st")
        events, completion = await events_of(model, ask(question, call, result, tools=[PROPERTY]))
        assert not any(isinstance(event, ToolCallDelta) for event in events)
        assert "January 1st" in str(completion.message.content)
    finally:
        await model.aclose()


async def test_an_old_turn_does_not_stand_in_for_a_new_one(model: LocalModel) -> None:
    """Results of an earlier question neither forbid a call for a new one nor count as its results."""
    messages: list[Message] = [SYSTEM]
    for name in ("birthday", "name"):
        messages.append(UserMessage(f"What is the user's {name}?"))
        call = (await model.complete(ChatRequest(messages=messages, tools=[PROPERTY]))).message
        assert json.loads(call.tool_calls[0].arguments) == {"asked_property": name}
        messages += [call, ToolMessage(call.tool_calls[0].id, RESULTS[name])]
        answer = (await model.complete(ChatRequest(messages=messages, tools=[PROPERTY]))).message
        assert RESULTS[name] in str(answer.content)
        messages.append(answer)
