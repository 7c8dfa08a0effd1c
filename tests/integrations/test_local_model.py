"""The embedded model as its callers use it: real weights, a real llama.cpp server, shared by a backend's tests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ContextWindowExceeded
from tinyllm_actors.integrations.local_model import LocalModel
from tinyllm_actors.llm.messages import Message, SystemMessage, ToolMessage, UserMessage
from tinyllm_actors.llm.model import (
    ChatRequest,
    Completed,
    Completion,
    StreamEvent,
    TextDelta,
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
LONG = ChatRequest(
    messages=[SYSTEM, UserMessage("Tell a very long story about the sea.")], options={"max_tokens": 3000}
)


@pytest.fixture(scope="module", params=["asyncio", "uvloop", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """One loop for all tests of a kind, so that one model serves them all."""
    pytest.importorskip(request.param)
    return ("asyncio", {"use_uvloop": True}) if request.param == "uvloop" else (request.param, {})


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


async def test_answers_with_its_usage_and_no_cost(model: LocalModel) -> None:
    """A plain question gets an answer, with the tokens it took, which cost nothing."""
    completion = await model.complete(ask(UserMessage("What is the capital of France?")))
    assert "Paris" in str(completion.message.content)
    assert completion.finish_reason == "stop"
    assert completion.usage is not None
    assert completion.usage.cost == 0.0
    assert completion.usage.completion_tokens > 0


async def test_streams_a_call_and_then_the_answer(model: LocalModel) -> None:
    """The main job: a call in pieces that name it from the first on, then the result in an answer that grows."""
    question = UserMessage("What is the user's birthday?")
    events, completion = await events_of(model, ask(question, tools=[PROPERTY]))
    (call,) = completion.message.tool_calls
    pieces = [event for event in events if isinstance(event, ToolCallDelta)]
    assert pieces == events
    assert len(pieces) > 1
    assert {(piece.index, piece.id, piece.name) for piece in pieces} == {(0, call.id, "get_user_property")}
    assert "".join(piece.arguments for piece in pieces) == call.arguments
    assert json.loads(call.arguments) == {"asked_property": "birthday"}
    assert completion.finish_reason == "tool_calls"

    result = ToolMessage(call.id, "January 1st", call.name)
    events, completion = await events_of(model, ask(question, completion.message, result, tools=[PROPERTY]))
    texts = [event.text for event in events if isinstance(event, TextDelta)]
    assert len(texts) > 3
    assert "".join(texts) == completion.message.content
    assert "January 1st" in str(completion.message.content)


async def test_a_cancelled_stream_frees_its_slot(model: LocalModel) -> None:
    """After a stream was left in the middle, the only slot serves the next call at once."""
    async with model.stream(LONG) as events:
        await anext(events)
    with anyio.fail_after(10):  # the long answer alone takes some 30 seconds
        await model.complete(ask(UserMessage("Hello!"), options={"max_tokens": 3}))


async def test_a_cancelled_call_frees_its_slot(model: LocalModel) -> None:
    """A call that its caller gave up is not worked on any more."""
    with anyio.move_on_after(0.5) as scope:
        await model.complete(LONG)
    assert scope.cancelled_caught
    with anyio.fail_after(10):
        await model.complete(ask(UserMessage("Hello!"), options={"max_tokens": 3}))


async def test_calls_beyond_the_slots_wait_for_their_turn(model: LocalModel) -> None:
    """Three calls at once on one slot are all answered."""
    answers: list[Completion] = []

    async def call() -> None:
        answers.append(await model.complete(ask(UserMessage("Hello!"), options={"max_tokens": 3})))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(call)
    assert len(answers) == 3


async def test_a_history_beyond_the_context_is_refused(model: LocalModel) -> None:
    """What does not fit into the slot is `ContextWindowExceeded`, not a shortened history."""
    with pytest.raises(ContextWindowExceeded):
        await model.complete(ask(UserMessage("sea " * 5000)))
