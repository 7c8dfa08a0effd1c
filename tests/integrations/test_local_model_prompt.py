"""What the model is told of tools and of their results, and which replies it is left. No server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tinyllm_actors.errors import ConfigurationError, RequestRejected
from tinyllm_actors.integrations.local_model.choice import (
    MAX_ITEMS,
    MAX_STRING,
    choice_schema,
    instruction,
    offered,
)
from tinyllm_actors.integrations.local_model.conversation import DEFAULT_SYSTEM, canonical_call, read_conversation
from tinyllm_actors.integrations.local_model.examples import examples
from tinyllm_actors.llm.messages import (
    AssistantMessage,
    FilePart,
    FunctionCall,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from tinyllm_actors.llm.model import ResponseSchema, ToolSchema


def tool(name: str = "look", **parameters: Any) -> ToolSchema:
    """Return a tool with these properties."""
    return ToolSchema(name, f"Do {name}.", {"type": "object", "properties": parameters})


def called(call_id: str, name: str, **arguments: Any) -> ToolCall:
    """Return a call of a tool."""
    return ToolCall(call_id, FunctionCall(name, json.dumps(arguments)))


def test_results_go_below_the_question_that_led_to_them() -> None:
    """Calls are left out, results are lines of the user's message, and the roles alternate."""
    conversation = read_conversation(
        [
            SystemMessage("Be brief."),
            UserMessage("Where and when?"),
            AssistantMessage(None, [called("1", "place"), called("2", "time", zone="UTC", exact=True)]),
            ToolMessage("1", "Rome"),
            ToolMessage("2", "14:35"),
            AssistantMessage("In Rome at 14:35."),
            UserMessage("Thanks."),
            UserMessage("And who?"),
        ],
        "local/x",
    )
    assert conversation.system == "Be brief."
    assert conversation.turns == [
        UserMessage(
            "Where and when?\n\nResult of place() = Rome\n\nResult of time(zone: UTC, exact: true) = 14:35",
        ),
        AssistantMessage("In Rome at 14:35."),
        UserMessage("Thanks.\n\nAnd who?"),
    ]
    assert (conversation.rounds, conversation.results, conversation.calls) == (0, 0, set())


def test_the_last_turn_tells_what_was_asked_and_what_failed() -> None:
    """Rounds, results and failures are counted from the user's last message on."""
    conversation = read_conversation(
        [
            UserMessage("Where?"),
            AssistantMessage("Let me look.", [called("1", "place", of="it")]),
            ToolMessage("1", "Error: not found"),
            AssistantMessage(None, [called("2", "place", of="that")]),
            ToolMessage("2", "Rome"),
        ],
        "local/x",
    )
    assert (conversation.rounds, conversation.results, conversation.failures) == (2, 2, 1)
    assert conversation.calls == {("place", '{"of": "it"}'), ("place", '{"of": "that"}')}
    assert [type(turn) for turn in conversation.turns] == [UserMessage, AssistantMessage, UserMessage]


def test_a_history_without_instructions_gets_some() -> None:
    """Without a system message the model's template would put in one of its own."""
    conversation = read_conversation([UserMessage("Hello!")], "local/x")
    assert conversation.messages("!") == [SystemMessage(DEFAULT_SYSTEM + "!"), UserMessage("Hello!")]


def test_several_instructions_become_one() -> None:
    """Templates take one system message, at the beginning."""
    messages = [SystemMessage("One."), UserMessage("Hello!"), SystemMessage("Two.")]
    assert read_conversation(messages, "local/x").messages()[0] == SystemMessage("One.\n\nTwo.")


def test_a_result_whose_call_is_lost_is_told_all_the_same() -> None:
    """A history that was cut, or arguments that are no JSON, lose no result."""
    broken = ToolCall("2", FunctionCall("look", "{broken"))
    conversation = read_conversation(
        [
            ToolMessage("1", "Rome", "place"),
            ToolMessage("9", "x"),
            AssistantMessage(None, [broken]),
            ToolMessage("2", "y"),
        ],
        "local/x",
    )
    (turn,) = conversation.turns
    assert turn.content == (
        "Result of place() = Rome\n\nResult of a tool() = x\n\nResult of look(arguments: {broken) = y"
    )


def test_text_in_parts_is_joined_and_files_are_refused() -> None:
    """The model reads text; what it cannot read is named."""
    parts = UserMessage([TextPart("one"), TextPart("two")])
    assert read_conversation([parts], "local/x").turns == [UserMessage("one\ntwo")]
    with pytest.raises(RequestRejected, match="FilePart"):
        read_conversation([UserMessage([FilePart({"file_id": "1"})])], "local/x")


def test_calls_are_compared_by_what_they_mean() -> None:
    """Spaces and the order of arguments do not make another call; values do."""
    assert canonical_call("a", '{"x": 1, "y": [2]}') == canonical_call("a", '{"y":[2],"x":1}')
    assert canonical_call("a", "") == canonical_call("a", "{}")
    assert canonical_call("a", '{"x": 1}') != canonical_call("a", '{"x": 2}')


def test_examples_alternate_and_show_the_form_that_is_used() -> None:
    """Each example is a question with a result in the form of `conversation`, and an answer that holds it."""
    for failed in (False, True):
        messages = examples(failed=failed)
        assert [type(message) for message in messages] == [UserMessage, AssistantMessage] * (len(messages) // 2)
        for question in messages[::2]:
            assert "\n\nResult of " in str(question.content)
    assert all("that failed: " in str(message.content) for message in examples(failed=True)[1::2])


@pytest.mark.parametrize(
    ("choice", "names", "may_answer"),
    [
        (None, ["a", "b"], True),
        ("auto", ["a", "b"], True),
        ("required", ["a", "b"], False),
        ("b", ["b"], False),
        ("none", [], True),
    ],
)
def test_tool_choice_decides_what_is_offered(choice: str | None, names: list[str], may_answer: bool) -> None:
    """The choices of OpenAI's API mean the same here."""
    tools, answering = offered([tool("a"), tool("b")], choice)
    assert ([one.name for one in tools], answering) == (names, may_answer)


def test_a_choice_that_is_no_tool_is_named() -> None:
    """The error tells the value and the tools there are."""
    with pytest.raises(ConfigurationError, match=r"'a'.*not 'c'"):
        offered([tool("a")], "c")


def test_the_instruction_tells_tools_and_the_ways_to_reply() -> None:
    """The model is told each tool, and of an answer only where it may give one."""
    text = instruction([tool("look", at={"type": "string"})], None, may_answer=True)
    assert '"name": "look"' in text
    assert '{"answer": "..."}' in text
    assert "answer" not in instruction([tool("look")], None, may_answer=False)
    shaped = instruction([tool()], ResponseSchema("x", {"type": "object", "title": "Shape"}), may_answer=True)
    assert '"title": "Shape"' in shaped


def test_a_reply_is_a_call_of_one_tool_or_an_answer() -> None:
    """Each tool is one alternative with its own arguments; the answer is the last."""
    schema = choice_schema([tool("a", x={"type": "integer"}), tool("b")], None, may_answer=True).schema
    first, second, answer = schema["anyOf"]
    assert first["properties"]["name"] == {"const": "a"}
    assert first["properties"]["arguments"]["properties"] == {"x": {"type": "integer"}}
    assert second["properties"]["name"] == {"const": "b"}
    assert answer["properties"] == {"answer": {"type": "string"}}
    assert len(choice_schema([tool()], None, may_answer=False).schema["anyOf"]) == 1


def test_definitions_are_moved_to_where_references_look_for_them() -> None:
    """Two tools may define the same name differently; each keeps its own."""
    one = ToolSchema(
        "a", "", {"type": "object", "properties": {"x": {"$ref": "#/$defs/T"}}, "$defs": {"T": {"enum": [1]}}}
    )
    two = ToolSchema("b", "", {"properties": {"x": {"$ref": "#/definitions/T"}}, "definitions": {"T": {"enum": [2]}}})
    schema = choice_schema([one, two], None, may_answer=False).schema
    assert schema["$defs"] == {"a.T": {"enum": [1]}, "b.T": {"enum": [2]}}
    arguments = [variant["properties"]["arguments"] for variant in schema["anyOf"]]
    assert [schema["properties"]["x"]["$ref"] for schema in arguments] == ["#/$defs/a.T", "#/$defs/b.T"]
    assert not any("$defs" in schema or "definitions" in schema for schema in arguments)
    assert "$defs" in one.parameters


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"type": "string"}, {"type": "string", "maxLength": MAX_STRING}),
        ({"type": "string", "maxLength": 9}, {"type": "string", "maxLength": 9}),
        ({"type": "string", "minLength": 900}, {"type": "string", "minLength": 900, "maxLength": 900}),
        ({"type": "string", "enum": ["a"]}, {"type": "string", "enum": ["a"]}),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        ({"type": "string", "pattern": "^a$"}, {"type": "string", "pattern": "^a$"}),
        ({"type": "string", "pattern": "a"}, {"type": "string", "maxLength": MAX_STRING}),
        (
            {"type": "array", "items": {"type": "string"}},
            {"type": "array", "items": {"type": "string", "maxLength": MAX_STRING}, "maxItems": MAX_ITEMS},
        ),
        (
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
            {"anyOf": [{"type": "string", "maxLength": MAX_STRING}, {"type": "null"}]},
        ),
        (
            {"type": "object", "additionalProperties": {"type": "string"}},
            {"type": "object", "additionalProperties": {"type": "string", "maxLength": MAX_STRING}},
        ),
    ],
)
def test_what_could_go_on_for_ever_is_bounded(given: dict[str, Any], expected: dict[str, Any]) -> None:
    """Strings and arrays get a bound unless they have one; patterns that llama.cpp refuses are left out."""
    schema = choice_schema([tool(x=given)], None, may_answer=False).schema
    assert schema["anyOf"][0]["properties"]["arguments"]["properties"]["x"] == expected
