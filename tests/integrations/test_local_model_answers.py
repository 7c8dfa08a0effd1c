"""What the embedded model says, which does not depend on the event loop: one is enough."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from tinyllm_actors.errors import ConfigurationError, RequestRejected, StreamInterrupted
from tinyllm_actors.integrations.local_model import LocalModel
from tinyllm_actors.llm import MaxTokensStrategy, ModelChoice
from tinyllm_actors.llm.max_tokens import Sizing
from tinyllm_actors.llm.messages import (
    AssistantMessage,
    FunctionCall,
    ImagePart,
    Message,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from tinyllm_actors.llm.model import (
    ChatRequest,
    Completed,
    ResponseSchema,
    TextDelta,
    ToolSchema,
)
from tinyllm_actors.llm.route import Route

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
BIRTHDAY = UserMessage("What is the user's birthday?")
NAME = UserMessage("What is my name?")


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


def called(asked: str) -> AssistantMessage:
    """Return a call of the tool, as the model makes it."""
    return AssistantMessage(
        None, [ToolCall("1", FunctionCall("get_user_property", f'{{"asked_property": "{asked}"}}'))]
    )


def result(content: str) -> ToolMessage:
    """Return what came of that call."""
    return ToolMessage("1", content, "get_user_property")


@pytest.mark.parametrize("tools", [[], [PROPERTY]])
async def test_tokens_are_counted_as_they_are_charged(model: LocalModel, tools: list[ToolSchema]) -> None:
    """The count of a prompt, with what the shim for tools adds to it, is what llama.cpp says that it read."""
    request = ask(BIRTHDAY, tools=tools, options={"max_tokens": 200})
    counted = await model.count_tokens(request)
    usage = (await model.complete(request)).usage
    assert usage is not None
    assert (counted.count, counted.exact) == (usage.prompt_tokens, True)
    assert model.context_window == 4096


async def test_sizes_and_counts_of_the_model_itself_are_used(model: LocalModel) -> None:
    """`MaxTokensStrategy.MAX` leaves an answer exactly what the context of this model leaves."""
    request = ask(NAME)
    route = Route(cast("Any", None), ModelChoice(model), None)
    sized = await route.sized(request, Sizing(MaxTokensStrategy.MAX), model)
    assert sized.options == {"max_tokens": 4096 - (await model.count_tokens(request)).count}


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


@pytest.mark.parametrize("question", ["I forgot my birthday, can you tell me?", "When is the birthday of Elias?"])
async def test_looks_up_the_birthday_and_tells_it(model: LocalModel, question: str) -> None:
    """The main job: one call of the tool with the right argument, then an answer that holds the result."""
    asked, answer = await converse(model, question)
    assert asked == ["birthday"]
    assert "January 1st" in answer


async def test_the_same_question_gets_the_same_answer(model: LocalModel) -> None:
    """At temperature 0 a call can be repeated, whatever the server did in between."""
    request = ask(NAME, called("name"), result("Elias"), tools=[PROPERTY])
    first = (await model.complete(request)).message
    assert "Elias" in str(first.content)
    await model.complete(ask(UserMessage("How are you?"), options={"max_tokens": 5}))
    assert (await model.complete(request)).message == first


async def test_a_failed_tool_is_reported_and_no_result_made_up(model: LocalModel) -> None:
    """When its tool failed the model says so."""
    failed = result("Error: no route to host")
    answer = (await model.complete(ask(BIRTHDAY, called("birthday"), failed, tools=[PROPERTY]))).message.content
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
    request = ask(BIRTHDAY, tools=[PROPERTY], tool_choice="none")
    message = (await model.complete(request)).message
    assert not message.tool_calls
    assert message.content


async def test_tool_choice_required_is_a_call_even_after_a_result(model: LocalModel) -> None:
    """Whoever insists on a call gets one, with arguments that fit."""
    request = ask(BIRTHDAY, called("birthday"), result("January 1st"), tools=[PROPERTY], tool_choice="required")
    (call,) = (await model.complete(request)).message.tool_calls
    assert json.loads(call.arguments)["asked_property"] in RESULTS


async def test_a_tool_choice_that_is_no_tool_is_refused(model: LocalModel) -> None:
    """The name of no tool is a mistake of the caller, named with the tools there are."""
    with pytest.raises(ConfigurationError, match=r"'get_user_property'.*not 'get_weather'"):
        await model.complete(ask(UserMessage("Hello!"), tools=[PROPERTY], tool_choice="get_weather"))


async def test_a_tool_call_that_is_cut_short_never_runs(model: LocalModel) -> None:
    """Too few tokens for the arguments are an error that says what to raise."""
    request = ask(BIRTHDAY, tools=[PROPERTY], options={"max_tokens": 15})
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
        request = ask(BIRTHDAY, called("birthday"), result("January 1st"), tools=[PROPERTY])
        async with model.stream(request) as stream:
            events = [event async for event in stream]
    finally:
        await model.aclose()
    text, last = events
    assert isinstance(text, TextDelta)
    assert isinstance(last, Completed)
    assert "January 1st" in text.text
    assert last.completion.message.content == text.text


async def test_an_old_turn_does_not_stand_in_for_a_new_one(model: LocalModel) -> None:
    """Results of an earlier question neither forbid a call for a new one nor count as its results."""
    turn = (BIRTHDAY, called("birthday"), result("January 1st"), AssistantMessage("Your birthday is January 1st."))
    call = (await model.complete(ask(*turn, NAME, tools=[PROPERTY]))).message
    assert json.loads(call.tool_calls[0].arguments) == {"asked_property": "name"}
    found = ToolMessage(call.tool_calls[0].id, "Elias")
    answer = (await model.complete(ask(*turn, NAME, call, found, tools=[PROPERTY]))).message
    assert "Elias" in str(answer.content)
