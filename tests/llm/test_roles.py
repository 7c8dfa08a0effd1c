"""Roles follow one another as a model demands."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm_actors import ActorSystem
from tinyllm_actors.llm import (
    LENIENT,
    LLM,
    STRICT,
    AssistantMessage,
    Capabilities,
    ChatRequest,
    FunctionCall,
    ImagePart,
    Message,
    RoleRules,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
    fit_roles,
)
from tinyllm_actors.testing import ScriptedModel, text

GROUP: list[Message] = [AssistantMessage(tool_calls=[ToolCall("a", FunctionCall("look"))]), ToolMessage("a", "seen")]


def group(kind: str) -> list[Message]:
    """Return a message of a kind, or a call with its result."""
    if kind in "uvw":
        return [UserMessage(kind)]
    if kind in "st":
        return [SystemMessage(kind)]
    return GROUP if kind == "g" else [AssistantMessage(kind)]


HISTORIES = st.text("uvwstabg", max_size=8).map(lambda kinds: [message for kind in kinds for message in group(kind)])


def said(messages: list[Message]) -> str:
    """Return all words, in order of who said them."""
    kinds = (SystemMessage, UserMessage, AssistantMessage, ToolMessage)
    return "|".join("".join(str(m.content) for m in messages if type(m) is kind) for kind in kinds)


@given(HISTORIES)
def test_strict_roles_alternate(history: list[Message]) -> None:
    """One system message, then the user, then in turns; fitting again changes nothing, and no word is lost."""
    fitted = fit_roles(history, STRICT)
    rest = [message for message in fitted if not isinstance(message, SystemMessage)]
    assert len(fitted) - len(rest) <= 1
    assert all(not isinstance(message, SystemMessage) for message in fitted[1:])
    assert not rest or isinstance(rest[0], UserMessage)
    for before, after in pairwise(rest):
        if isinstance(before, UserMessage):
            assert isinstance(after, AssistantMessage)
        elif isinstance(before, ToolMessage):
            assert not isinstance(after, UserMessage)
        else:
            assert not isinstance(after, AssistantMessage) or before.tool_calls
    assert fit_roles(fitted, STRICT) == fitted
    for kind, words in zip("sua", said(history).split("|"), strict=False):
        assert [c for c in said(fitted) if c in words] or not words, kind


@given(HISTORIES)
def test_lenient_models_get_it_as_it_is(history: list[Message]) -> None:
    """Nothing is changed where nothing is demanded."""
    assert fit_roles(history, LENIENT) == history


def test_parts_are_joined_as_parts() -> None:
    """A picture and a text in a row are one message with both."""
    picture = ImagePart({"url": "data:image/png;base64,AA=="})
    joined = fit_roles([UserMessage([picture]), UserMessage("what is it?")], RoleRules(alternate=True))
    assert joined == [UserMessage([picture, TextPart("what is it?")])]


@pytest.mark.anyio
async def test_a_model_gets_what_it_demands() -> None:
    """The capabilities of a model say so, and its Function sees to it."""

    class Picky(ScriptedModel):
        capabilities = Capabilities(roles=STRICT)

    model = Picky([text("Yes.")])
    async with ActorSystem("test") as system:
        llm = await system.spawn(LLM.spec(model))
        result = await llm(request=ChatRequest(messages=[UserMessage("a"), UserMessage("b")]))
        assert result["status"] == "success"
    assert model.requests[0].messages == [UserMessage("a\n\nb")]
