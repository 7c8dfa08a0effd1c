"""An LLM that is asked with a text, and messages of other kinds than its own."""

from __future__ import annotations

import msgspec
import pytest

from tinyllm_actors import ActorSystem
from tinyllm_actors.function.language import Said
from tinyllm_actors.llm import LLM, AssistantMessage, ChatRequest, SystemMessage, TextPart, UserMessage, as_messages
from tinyllm_actors.testing import ScriptedModel, text


@pytest.mark.anyio
async def test_a_text_is_one_message_of_a_user() -> None:
    """`content=` does for a request; both, or none, is an error that says so."""
    model = ScriptedModel([text("a"), text("b"), text("c")])
    async with ActorSystem("test") as system:
        llm = await system.spawn(LLM.spec(model))
        assert (await llm(content="Hi"))["output"]["completion"].message.content == "a"
        assert (await llm(content=[TextPart("Hi")]))["status"] == "success"
        async with llm.stream(content="Hi") as events:
            last = [event async for event in events][-1]
        assert last["output"]["completion"].message.content == "c"
        for wrong in ({}, {"content": "Hi", "request": ChatRequest(messages=[UserMessage("Hi")])}):
            assert "either request=" in (await llm(**wrong))["message"]
    assert [list(request.messages) for request in model.requests] == [
        [UserMessage("Hi")],
        [UserMessage([TextPart("Hi")])],
        [UserMessage("Hi")],
    ]


def test_messages_of_other_kinds_become_a_models() -> None:
    """What a memory says, and the wire form; nonsense is refused."""
    given = [Said("system", "a"), Said("user", "b"), Said("assistant", "c"), {"role": "user", "content": "d"}]
    messages = [SystemMessage("a"), UserMessage("b"), AssistantMessage("c"), UserMessage("d")]
    assert as_messages(given) == messages
    assert as_messages(messages) == messages
    with pytest.raises(msgspec.ValidationError):
        as_messages([{"role": "nobody"}])
