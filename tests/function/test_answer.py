"""The short way to what was said."""

from __future__ import annotations

from typing import Any

import pytest

from tinyllm_actors import ActorSystem, Agent, answer_text
from tinyllm_actors.errors import FunctionFailed
from tinyllm_actors.function import failure, success
from tinyllm_actors.llm import LLM, AssistantMessage, ChatRequest, Completion, TextPart, UserMessage
from tinyllm_actors.testing import ScriptedModel, text


def wire(content: Any) -> dict[str, Any]:
    """Return a response of OpenAI's form."""
    return {"choices": [{"message": {"role": "assistant", "content": content}}]}


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("yes", "yes"),
        ({"response": wire("yes"), "value": 1}, "yes"),
        ({"response": wire(None)}, ""),
        ({"response": "yes"}, "yes"),
        ({"answer": "yes [1]", "sources": []}, "yes [1]"),
        ({"completion": Completion(AssistantMessage("yes"))}, "yes"),
        ({"completion": Completion(AssistantMessage())}, ""),
    ],
)
def test_text_is_found_in_each_form(output: Any, said: str) -> None:
    """Agents, conversations, `Rag`, models and plain functions answer in different dictionaries."""
    assert answer_text(success(output)) == said


def test_a_failure_is_raised() -> None:
    """Its message says what went wrong."""
    with pytest.raises(FunctionFailed, match="no such user"):
        answer_text(failure(ValueError("no such user"), state="RUNNING"))


@pytest.mark.parametrize(
    ("output", "kind"),
    [({"hits": [], "k": 1}, "a dictionary of 'hits', 'k'"), ({}, "of nothing"), (7, "type int"), (None, "NoneType")],
)
def test_other_outputs_are_named(output: Any, kind: str) -> None:
    """What says nothing is not taken for an empty answer."""
    with pytest.raises(TypeError, match=kind):
        answer_text(success(output))


@pytest.mark.anyio
async def test_what_is_called_answers_so() -> None:
    """An agent, its stream, a conversation and a model."""
    async with ActorSystem("a") as system:
        model = ScriptedModel([text(word) for word in ("one", "two", "three", "four")])
        agent = await system.spawn(Agent.spec(model=model))
        said = [answer_text(await agent(content="?"))]
        async with agent.stream(content="?") as events:
            *_, last = [event async for event in events]
        said.append(answer_text(last.result))
        chats = await system.conversations(Agent.spec(model=model), store="memory:")
        said.append(answer_text(await chats["k"](content="?")))
        llm: Any = await system.spawn(LLM.spec(model))
        request = ChatRequest(messages=[UserMessage([TextPart("?")])])
        said.append(answer_text(await llm(request=request)))
    assert said == ["one", "two", "three", "four"]
