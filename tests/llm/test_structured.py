"""Structured output: the ladder, what is sent, what is read, and what the model is told."""

from __future__ import annotations

import contextlib
import datetime
import functools
import json
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, cast
from uuid import UUID

import json_repair
import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, model_validator

from tinyllm_actors import ActorSystem
from tinyllm_actors.errors import ConfigurationError, OutputInvalid, Overloaded, RequestRejected
from tinyllm_actors.llm import (
    LLM,
    AssistantMessage,
    Capabilities,
    ChatRequest,
    Completion,
    FunctionCall,
    OutputMode,
    StructuredOutput,
    SystemMessage,
    ToolCall,
    ToolMessage,
    ToolSchema,
    UserMessage,
)
from tinyllm_actors.llm.model import FinishReason
from tinyllm_actors.llm.output_schema import MAX_DEPTH, adapt_schema
from tinyllm_actors.testing import ScriptedModel, fail, text

ALL = Capabilities()
NO_SCHEMA = Capabilities(json_schema=False)
NOTHING = Capabilities(tools=False, json_schema=False)
LOOK_UP = ToolSchema("look_up", "Look something up.", {"type": "object", "properties": {}})
QUESTION = ChatRequest(messages=[UserMessage("Which city?")])


class City(BaseModel):
    name: str
    people: int


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Place(BaseModel):
    """A place."""

    city: City = Field(description="where it is")
    note: str | None = None
    tags: list[str] = Field(default_factory=list)
    colour: Colour = Colour.RED
    height: Annotated[float, Field(ge=0)] = 0.0
    code: Annotated[str, Field(min_length=2, max_length=4, pattern="^[A-Z]+$")] = "AB"
    when: datetime.date | None = None
    kind: Literal["town", "village"] = "town"


class Tree(BaseModel):
    label: str
    children: list[Tree] = Field(default_factory=list["Tree"])


def said(content: str, reason: FinishReason = "stop") -> Completion:
    """Return an answer of text."""
    return Completion(AssistantMessage(content), reason)


def called(*calls: tuple[str, str]) -> Completion:
    """Return an answer of calls: names and arguments."""
    return Completion(
        AssistantMessage(tool_calls=[ToolCall(f"c{i}", FunctionCall(*call)) for i, call in enumerate(calls)])
    )


# --- the ladder -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "capabilities", "rungs"),
    [
        ("auto", ALL, ("native", "tool", "prompt")),
        ("auto", NO_SCHEMA, ("tool", "prompt")),
        ("auto", Capabilities(tools=False), ("native", "prompt")),
        ("auto", NOTHING, ("prompt",)),
        ("native", NOTHING, ("native",)),
        ("tool", NOTHING, ("tool",)),
        ("prompt", ALL, ("prompt",)),
    ],
)
def test_the_rungs_are_those_that_the_model_has(mode: OutputMode, capabilities: Capabilities, rungs: Any) -> None:
    """Left to itself, the best first; a mode that is named is taken at its word."""
    assert StructuredOutput(City, mode=mode).rungs(capabilities) == rungs


def test_each_rung_asks_in_its_own_way() -> None:
    """A response schema, one more tool that has to be called, or words in the system message."""
    output = StructuredOutput(City)
    request = ChatRequest(messages=[SystemMessage("Be brief."), UserMessage("Which?")], options={"seed": 1})
    native, tool, prompt, beyond = (output.prepare(request, ALL, attempt) for attempt in range(4))
    assert native.response_schema == output.response_schema
    assert (native.messages, native.tools) == (request.messages, ())
    assert [t.name for t in tool.tools] == ["final_answer"]
    assert (tool.tool_choice, tool.response_schema) == ("final_answer", None)
    assert tool.tools[0].parameters == output.response_schema.schema
    assert (prompt.tools, prompt.response_schema) == ((), None)
    assert len(prompt.messages) == 2
    assert str(prompt.messages[0].content).startswith("Be brief.\n\n")
    assert '"people"' in str(prompt.messages[0].content)
    assert beyond == prompt
    assert {r.options["seed"] for r in (native, tool, prompt)} == {1}
    bare = output.prepare(QUESTION, NOTHING)
    assert isinstance(bare.messages[0], SystemMessage)
    assert len(bare.messages) == 2


@pytest.mark.parametrize(
    ("choice", "then"), [(None, "required"), ("auto", "required"), ("required", "required"), ("look_up", "look_up")]
)
def test_real_tools_may_be_called_first(choice: str | None, then: str) -> None:
    """Beside other tools the answer is one more, and the model has to call one of them."""
    request = ChatRequest(messages=[UserMessage("Which?")], tools=[LOOK_UP], tool_choice=choice)
    output = StructuredOutput(City)
    prepared = output.prepare(request, NO_SCHEMA)
    assert [tool.name for tool in prepared.tools] == ["look_up", "final_answer"]
    assert prepared.tool_choice == then
    native = output.prepare(request, ALL)
    assert (list(native.tools), native.tool_choice) == ([LOOK_UP], choice)
    assert list(output.prepare(request, NOTHING).tools) == [LOOK_UP]


def test_tools_that_are_withheld_leave_the_answer() -> None:
    """With `tool_choice="none"` the only call that can be made is the answer."""
    request = ChatRequest(messages=[UserMessage("Which?")], tools=[LOOK_UP], tool_choice="none")
    assert StructuredOutput(City).prepare(request, NO_SCHEMA).tool_choice == "final_answer"


def test_a_real_tool_may_not_have_the_answer_s_name() -> None:
    """The two could not be told apart."""
    request = ChatRequest(messages=[UserMessage("?")], tools=[ToolSchema("final_answer", "", {"type": "object"})])
    with pytest.raises(ConfigurationError, match="tool_name"):
        StructuredOutput(City).prepare(request, NO_SCHEMA)
    assert StructuredOutput(City, tool_name="reply").prepare(request, NO_SCHEMA).tools[-1].name == "reply"


@pytest.mark.parametrize(
    ("words", "native", "tool"),
    [
        ("Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model", True, True),
        ("Function calling with a response mime type: 'application/json' is unsupported", True, True),
        ("Invalid schema for response_format 'City'", True, True),
        ("tool_choice is not available", False, True),
        ("the image cannot be read", False, False),
        ("your request violates our usage policies", False, False),
    ],
)
def test_a_refusal_of_the_rung_steps_down_and_no_other(words: str, native: bool, tool: bool) -> None:
    """What the provider refuses for another reason it would refuse on each rung."""
    output = StructuredOutput(City)
    error = RequestRejected(words, status=400)
    assert output.steps_down(error, ALL, 0) is native
    assert output.steps_down(error, ALL, 1) is tool
    assert not output.steps_down(error, ALL, 2)
    assert not output.steps_down(Overloaded(words), ALL, 0)
    assert not output.steps_down(RequestRejected(words, output_started=True), ALL, 0)
    assert not StructuredOutput(City, mode="native").steps_down(error, ALL, 0)


@pytest.mark.anyio
async def test_the_model_s_function_climbs_down_and_remembers() -> None:
    """A provider that refuses schemas is asked with a tool at once, and the next time from the start."""
    answer = text('{"name": "Ulm", "people": 1}')
    model = ScriptedModel([fail(RequestRejected("response_format is not supported")), answer, answer])
    output = StructuredOutput(City)
    async with ActorSystem("test") as system:
        llm = await system.spawn(LLM.spec(model))
        for _ in range(2):
            result = await llm(request=QUESTION, output=output)
            assert output.parse(result["output"]["completion"]) == City(name="Ulm", people=1)
    assert [request.response_schema is not None for request in model.requests] == [True, False, False]
    assert [bool(request.tools) for request in model.requests] == [False, True, True]


@pytest.mark.anyio
async def test_a_stream_climbs_down_too() -> None:
    """The events are those of the rung that the provider takes."""
    model = ScriptedModel([fail(RequestRejected("no json_schema here")), text('{"name": "Ulm", "people": 1}')])
    output = StructuredOutput(City)
    async with ActorSystem("test") as system:
        llm = await system.spawn(LLM.spec(model))
        async with llm.stream(request=QUESTION, output=output) as events:
            *_, last = [event async for event in events]
    assert output.parse(last["output"]["completion"]).name == "Ulm"


# --- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        '{"name": "Ulm", "people": 1}',
        '```json\n{"name": "Ulm", "people": 1}\n```',
        '```\n{"name": "Ulm", "people": 1}```',
        'First {"name": 1}? No:\n```json\n{"name": "Ulm", "people": 1}\n```\nDone.',
        'Sure! {"name": "Ulm", "people": 1} I hope that helps.',
        '<think>{"name": "Bonn"}</think>{"name": "Ulm", "people": 1}',
        "{'name': 'Ulm', 'people': 1,}",
        '{name: "Ulm", people: 1 // few\n}',
        '{"name": "Ulm", "people": 1',
        '{"name": "Ulm", "people": "1"}',
        '```json\n{"name": "Ulm", "people": 1,}\n```',
        '[{"name": "Ulm", "people": 1}]',
    ],
)
def test_json_is_found_and_mended(answer: str) -> None:
    """Fences, prefaces, thoughts and near-JSON do not cost another call."""
    assert StructuredOutput(City).parse(said(answer)) == City(name="Ulm", people=1)


@pytest.mark.parametrize("reason", ["length", "content_filter"])
@pytest.mark.parametrize("answer", ['{"name": "Ulm", "people": 12', '{"name": "Ulm", "people": 12}'])
def test_an_answer_that_was_cut_short_is_never_taken(answer: str, reason: FinishReason) -> None:
    """Mended, its last number would be another one."""
    with pytest.raises(OutputInvalid, match="cut short") as caught:
        StructuredOutput(City).parse(said(answer, reason))
    assert "brief" in caught.value.correction
    with pytest.raises(OutputInvalid):
        StructuredOutput(City).parse(said('{"name": "Ulm", "people": 12', "unknown"))


@pytest.mark.parametrize(
    "answer", ["", "I do not know.", "null", "[]", "{}", "{" * 9999, "[" * 9999, '{"a":' * 999, "\ud800"]
)
def test_what_is_no_answer_is_told_with_what_is_wrong(answer: str) -> None:
    """The error has the text, the fields and the correction; nothing else is raised, however odd the text."""
    with pytest.raises(OutputInvalid) as caught:
        StructuredOutput(City).parse(said(answer))
    error = caught.value
    assert (error.text, error.partial, error.retryable) == (answer, answer, False)
    assert "does not fit" in error.correction


def test_fields_say_where() -> None:
    """Each error has its place and its words, for programs and for the model."""
    with pytest.raises(OutputInvalid) as caught:
        StructuredOutput(Place).parse(said('{"city": {"name": "Ulm"}, "height": -1}'))
    assert [field["loc"] for field in caught.value.fields] == ["city.people", "height"]
    assert "- city.people: Field required" in caught.value.correction


class Box(BaseModel):
    value: int


def test_an_object_may_have_the_key_that_wraps() -> None:
    """What the model forgot to wrap is read as it is where that fits."""
    for answer in ('{"value": {"value": 1}}', '{"value": 1}'):
        assert StructuredOutput(Box | None).parse(said(answer)) == Box(value=1)


def test_the_last_of_several_answers_counts() -> None:
    """A draft before it is thinking aloud."""
    draft, final = (f'```json\n{{"name": "Ulm", "people": {people}}}\n```' for people in (1, 2))
    assert StructuredOutput(City).parse(said(f"Perhaps {draft} or rather {final}")).people == 2


def test_json_is_not_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the whole text is JSON, what is wrong is its meaning."""
    mended: list[str] = []
    monkeypatch.setattr(json_repair, "loads", mended.append)
    with pytest.raises(OutputInvalid):
        StructuredOutput(City).parse(said('{"name": "Ulm"}'))
    assert mended == []


def test_a_reference_to_itself_ends() -> None:
    """No schema that a type makes for itself hangs the program."""
    schema, strict, _ = adapt_schema({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}})
    assert (schema["type"], strict) == ("object", True)


def test_what_follows_a_wrong_item_does_not_take_its_place() -> None:
    """A growing list ends before what does not fit."""
    assert StructuredOutput(list[int]).partial('{"value": [1, "x", 3, ') == [1]


def test_what_is_wrong_throughout_is_told_in_short() -> None:
    """A million errors are not listed, neither to the model nor to a program."""
    answer = json.dumps({"value": ["x"] * 20_000})
    with pytest.raises(OutputInvalid, match="20000 of its values") as caught:
        StructuredOutput(list[int]).parse(said(answer))
    assert caught.value.fields == ()
    assert len(caught.value.correction) < 200
    assert StructuredOutput(list[int]).partial(answer) is None


@pytest.mark.parametrize("answer", ['{"a": "' + "x" * 40_000, "{" * 30_000 + '"', '{"a":' * 5_000], ids=len)
def test_what_would_take_long_to_mend_is_not_mended(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that is too long or too deep costs another call, and not seconds of the event loop."""
    mended: list[str] = []
    monkeypatch.setattr(json_repair, "loads", mended.append)
    with pytest.raises(OutputInvalid):
        StructuredOutput(City).parse(said(answer))
    assert mended == []


def test_a_refusal_is_one() -> None:
    """It is not asked again by those who look."""
    completion = Completion(AssistantMessage(refusal="I cannot help with that."))
    with pytest.raises(OutputInvalid, match="I cannot help") as caught:
        StructuredOutput(City).parse(completion)
    assert caught.value.refused


@given(st.text() | st.text(alphabet='{}[]":,`\\ \n01ena'))
def test_no_text_breaks_the_reader(answer: str) -> None:
    """Whatever the model says is a value or `OutputInvalid`, whole or growing."""
    output = output_of(Place)
    output.partial(answer)
    with contextlib.suppress(OutputInvalid):
        output.parse(said(answer))


def test_strict_types_read_json() -> None:
    """A type that wants a date takes the text that JSON has for it, as pydantic does with JSON."""

    class Day(BaseModel):
        model_config = ConfigDict(strict=True)
        day: datetime.date
        parts: tuple[int, ...]

    assert StructuredOutput(Day).parse(said('{"day": "2024-02-29", "parts": [1]}')).day == datetime.date(2024, 2, 29)


# --- calls ----------------------------------------------------------------------------------------


def test_a_call_of_the_answer_is_the_answer() -> None:
    """On the rung `tool` the value is in the arguments, and the history keeps it as text."""
    output = StructuredOutput(City)
    completion = called(("final_answer", '{"name":"Ulm","people":1}'))
    assert output.parse(completion) == City(name="Ulm", people=1)
    assert output.settled(completion) == AssistantMessage('{"name":"Ulm","people":1}')
    plain = said("{}")
    assert output.settled(plain) is plain.message


def test_an_answer_beside_real_calls_is_told_apart() -> None:
    """It is too early: whoever runs the others gives it a result that says so."""
    output = StructuredOutput(City)
    message = called(("look_up", "{}"), ("final_answer", "{}")).message
    real, answer = output.split(message)
    assert [call.name for call in real] == ["look_up"]
    assert answer is not None
    result = output.postponed(answer)
    assert (result.tool_call_id, result.name) == (answer.id, "final_answer")


@pytest.mark.parametrize(
    ("completion", "roles"),
    [
        (said("nonsense"), ["assistant", "user"]),
        (said(""), ["assistant", "user"]),
        (Completion(AssistantMessage(refusal="no")), ["assistant", "user"]),
        (called(("final_answer", "{}")), ["assistant", "tool"]),
        (called(("final_answer", "{}"), ("final_answer", "{}")), ["assistant", "tool", "tool"]),
    ],
)
def test_a_correction_keeps_the_roles_in_order(completion: Completion, roles: list[str]) -> None:
    """Each call gets its result, each text a word of the user; no message is empty."""
    output = StructuredOutput(City)
    with pytest.raises(OutputInvalid) as caught:
        output.parse(completion)
    messages = output.reask(completion, caught.value)
    assert [message.__struct_config__.tag for message in messages] == roles
    assert [m.tool_call_id for m in messages if isinstance(m, ToolMessage)] == [
        c.id for c in completion.message.tool_calls
    ]
    assert all(message.content for message in messages[1:])
    assert messages[0].content or completion.message.tool_calls


def test_mistakes_are_told_at_once() -> None:
    """Modes, bounds, names and types that cannot be."""

    class NotKnown:
        pass

    mistakes: list[dict[str, Any]] = [{"mode": "best"}, {"max_reasks": -1}, {"tool_name": "final answer"}]
    for arguments in mistakes:
        with pytest.raises(ConfigurationError):
            StructuredOutput(City, **arguments)
    with pytest.raises(ConfigurationError, match="NotKnown"):
        StructuredOutput(NotKnown)


# --- schemas --------------------------------------------------------------------------------------

LEAVES = (str, int, float, bool, Colour, datetime.date, UUID, Literal["a", "b"], City, Place, Tree, Any, bytes)
BOUND = (Annotated[str, Field(min_length=1, max_length=3)], Annotated[int, Field(ge=1, lt=9)], Decimal)
leaves = st.sampled_from((*LEAVES, *BOUND))
types = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(lambda t: list[t]),
        inner.map(lambda t: t | None if t is not Any else t),
        inner.map(lambda t: dict[str, t]),
        inner.map(lambda t: set[str] if t is str else list[t]),
        st.tuples(inner, inner).map(lambda t: tuple[t[0], t[1]]),
        st.tuples(inner, inner).map(lambda t: t[0] | t[1] if Any not in t else Any),
    ),
    max_leaves=5,
)


def nodes(schema: Any) -> Any:
    """Yield each schema below a schema, itself included."""
    stack = [schema]
    while stack:
        node: Any = stack.pop()
        if type(node) is list:
            stack += cast("list[Any]", node)
        elif type(node) is dict:
            fields = cast("dict[str, Any]", node)
            yield fields
            for key in ("properties", "$defs"):
                stack += fields.get(key, {}).values()
            stack += [value for key, value in fields.items() if key in ("items", "anyOf", "additionalProperties")]


@given(types)
def test_every_type_has_a_schema_that_providers_take(kind: Any) -> None:
    """An object at the root, references that lead somewhere, and in strict mode nothing that it does not know."""
    original = TypeAdapter(kind).json_schema()
    before = json.dumps(original)
    schema, strict, wrapped = adapt_schema(original)
    assert json.dumps(original) == before
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["type"] == "object"
    assert wrapped == (set(schema.get("properties", ())) == {"value"})
    for node in nodes(schema):
        if "$ref" in node:
            assert node["$ref"].removeprefix("#/$defs/") in schema["$defs"]
        if strict:
            assert not node.keys() & {"oneOf", "allOf", "default", "minLength", "uniqueItems", "title", "prefixItems"}
            assert "$ref" not in node or len(node) == 1
            if node.get("type") == "object":
                assert node["additionalProperties"] is False
                assert node["required"] == list(node["properties"])


words = st.text(max_size=12)
cities = st.builds(City, name=words, people=st.integers(-(2**70), 2**70))
places = st.builds(
    Place,
    city=cities,
    note=st.none() | words,
    tags=st.lists(words, max_size=3),
    colour=st.sampled_from(Colour),
    height=st.floats(0, 1e300),
    code=st.sampled_from(["AB", "ABC", "WXYZ"]),
    when=st.none() | st.dates(),
    kind=st.sampled_from(["town", "village"]),
)
trees = st.recursive(
    st.builds(Tree, label=words), lambda below: st.builds(Tree, label=words, children=st.lists(below, max_size=3))
)
VALUES: dict[Any, st.SearchStrategy[Any]] = {
    City: cities,
    Place: places,
    Tree: trees,
    list[Place]: st.lists(places, max_size=2),
    dict[str, list[int]]: st.dictionaries(words, st.lists(st.integers())),
    City | None: st.none() | cities,
    int | None: st.none() | st.integers(),
    int | str: st.integers() | words,
    set[str]: st.sets(words, max_size=4),
    float: st.floats(allow_nan=False, allow_infinity=False),
    tuple[int, str]: st.tuples(st.integers(), words),
    datetime.datetime: st.datetimes(),
}


output_of: Any = functools.cache(StructuredOutput)


@pytest.mark.parametrize("kind", VALUES, ids=str)
@settings(max_examples=40)
@given(data=st.data())
def test_what_fits_the_type_fits_the_schema_and_comes_back(kind: Any, data: st.DataObject) -> None:
    """Whoever fills in all the fields has an answer that the schema takes and that is read as the same value."""
    output = output_of(kind)
    value = data.draw(VALUES[kind])
    dumped = TypeAdapter(kind).dump_python(value, mode="json")
    _, _, wrapped = adapt_schema(TypeAdapter(kind).json_schema())
    answer = {"value": dumped} if wrapped else dumped
    jsonschema.validate(answer, output.response_schema.schema)
    assert output.parse(said(json.dumps(answer))) == value
    assert output.parse(called(("final_answer", json.dumps(answer)))) == value
    assert output.parse(said(f"So:\n```json\n{json.dumps(answer)}\n```")) == value


def test_strict_mode_is_claimed_where_it_can_be() -> None:
    """Models, lists, options and recursion are strict; free keys, tuples and anything at all are not."""
    for kind in (City, Place, Tree, list[City], City | None, Colour, int | str, set[str]):
        assert StructuredOutput(kind).response_schema.strict, kind
    for kind in (dict[str, int], tuple[int, str], Any, list[Any], dict):
        assert not StructuredOutput(kind).response_schema.strict, kind


def test_what_strict_mode_does_not_know_is_said_in_words() -> None:
    """Lengths, patterns it has no engine for and defaults go into the description."""

    class Many(BaseModel):
        model_config = ConfigDict(regex_engine="python-re")
        code: Annotated[str, Field(min_length=2, pattern=r"^(?!x)")] = Field("ab", description="The code.")
        city: City = Field(description="where")

    schema = StructuredOutput(Many).response_schema.schema
    code = schema["properties"]["code"]
    assert set(code) == {"type", "description"}
    for words in ("The code.", "at least 2 characters", '"^(?!x)"', 'default: "ab"'):
        assert words in code["description"]
    assert schema["properties"]["city"] == {"anyOf": [{"$ref": "#/$defs/City"}], "description": "where"}


def test_schemas_that_are_too_deep_are_not_strict() -> None:
    """The provider would refuse them."""
    kind: Any = int
    for _ in range(MAX_DEPTH + 1):
        kind = list[kind]
    assert not StructuredOutput(kind).response_schema.strict


def test_a_recursive_root_is_an_object() -> None:
    """Its reference is followed, and its definition stays for those below."""
    schema = StructuredOutput(Tree).response_schema.schema
    assert schema["type"] == "object"
    assert schema["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}
    assert "Tree" in schema["$defs"]


def test_names_are_what_providers_allow() -> None:
    """Letters, digits and at most 64 of them, whatever the type is called."""
    assert StructuredOutput(list[City]).response_schema.name.replace("_", "").isalnum()
    assert len(StructuredOutput(City, name="x" * 99).response_schema.name) == 64
    assert StructuredOutput(City, name="??").response_schema.name == "answer"


# --- partial answers ------------------------------------------------------------------------------


def grows(old: Any, new: Any) -> bool:
    """Whether `new` holds all that `old` holds."""
    if type(old) is dict:
        fields = cast("dict[str, Any]", old)
        return type(new) is dict and all(key in new and grows(value, new[key]) for key, value in fields.items())
    if type(old) is list:
        items = cast("list[Any]", old)
        longer = cast("list[Any]", new) if type(new) is list else []
        return len(longer) >= len(items) and all(map(grows, items, longer))
    if isinstance(old, str):
        return isinstance(new, str) and new.startswith(old)
    return old is None or old == new


@pytest.mark.parametrize("kind", [kind for kind in VALUES if kind != set[str]], ids=str)  # sets have no order
@settings(max_examples=40)
@given(data=st.data())
def test_partial_answers_grow(kind: Any, data: st.DataObject) -> None:
    """Each longer text of a valid answer says all that the shorter one said, and the whole says the answer."""
    adapter = TypeAdapter(kind)
    output = output_of(kind)
    value = data.draw(VALUES[kind])
    _, _, wrapped = adapt_schema(adapter.json_schema())
    dumped = adapter.dump_python(value, mode="json")
    whole = json.dumps({"value": dumped} if wrapped else dumped, ensure_ascii=data.draw(st.booleans()))
    whole = f"```json\n{whole}\n```" if data.draw(st.booleans()) else whole
    old: Any = None
    for end in sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=60)) | {len(whole)}):
        partial = output.partial(whole[:end])
        new = None if partial is None else TypeAdapter(Any).dump_python(partial, mode="json")
        assert grows(old, new), (whole[:end], old, new)
        old = new
    read = output.partial(whole)
    assert type(read) is type(value) or isinstance(read, type(value))
    assert adapter.dump_python(read, mode="json") == dumped


def test_partial_models_are_instances_of_the_model() -> None:
    """Fields that have not come are None; what may still change is left out; validators across fields wait."""

    class Range(BaseModel):
        low: int
        high: int
        kind: Literal["open", "closed"] = "open"

        @model_validator(mode="after")
        def ordered(self) -> Range:
            assert self.low <= self.high
            return self

    output = StructuredOutput(Range)
    values = [output.partial(text) for text in ("", "{", '{"low": 1', '{"low": 12,', '{"low": 12, "kind": "clo')]
    assert [None if v is None else (v.low, v.high, v.kind) for v in values] == [
        None,
        (None, None, None),
        (None, None, None),
        (12, None, None),
        (12, None, None),
    ]
    assert isinstance(values[-1], Range)
    with pytest.raises(OutputInvalid):
        output.parse(said('{"low": 2, "high": 1}'))
