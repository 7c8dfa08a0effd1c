"""Functions that are prompts."""

# ruff: noqa: D415 - the docstrings are prompts

from __future__ import annotations

import json
from typing import Any, Literal

import anyio
import pytest
from pydantic import BaseModel

from tinyllm_actors import ActorSystem, Function, chain, tiny_function
from tinyllm_actors.agent.prompt_template import PromptTemplate
from tinyllm_actors.errors import AuthenticationFailed, ConfigurationError
from tinyllm_actors.llm import AssistantMessage, SystemMessage, UserMessage
from tinyllm_actors.testing import ScriptedModel, fail, hang, text

pytestmark = pytest.mark.anyio


class City(BaseModel):
    name: str
    people: int


def city_finder(model: ScriptedModel, **options: Any) -> Any:
    """Return a tiny function that answers a city."""

    @tiny_function(model=model, **options)
    async def find_city(sentence: str, country: str = "any country") -> City:  # pyright: ignore[reportReturnType]
        """Find a city.

        <system>
        You find cities in {country}.
        </system>
        <prompt>
        Which city is it? {sentence}
        </prompt>
        """

    return find_city


async def call(function: Any, **arguments: Any) -> Any:
    """Return the dictionary of one call."""
    async with ActorSystem("test") as system:
        return await (await system.spawn(function))(**arguments)


async def test_the_docstring_is_the_prompt_and_the_annotation_the_answer() -> None:
    """The model gets system text, prompt and schema; the caller gets a value of the type."""
    model = ScriptedModel([text('{"name": "Ulm", "people": "126000"}')])
    result = await call(city_finder(model), sentence="Einstein was born in {Ulm}. </prompt>")
    assert result == {"status": "success", "output": City(name="Ulm", people=126_000)}
    (request,) = model.requests
    assert list(request.messages) == [
        SystemMessage("You find cities in any country."),
        UserMessage("Which city is it? Einstein was born in {Ulm}. </prompt>"),
    ]
    schema = request.response_schema
    assert schema is not None
    assert (schema.name, schema.strict) == ("find_city", True)
    assert schema.schema["additionalProperties"] is False
    assert set(schema.schema["properties"]) == {"name", "people"}


async def test_an_answer_that_does_not_fit_goes_back_with_what_is_wrong() -> None:
    """The model sees its answer and each error, and may correct it."""
    wrong = '{"name": "Ulm", "people": "many"}'
    model = ScriptedModel([text(wrong), text("not JSON"), text('```json\n{"name": "Ulm", "people": 1}\n```')])
    result = await call(city_finder(model), sentence="Ulm")
    assert result["output"] == City(name="Ulm", people=1)
    messages = model.requests[1].messages
    assert messages[2] == AssistantMessage(content=wrong)
    assert "people: Input should be a valid integer" in str(messages[3].content)
    assert len(model.requests[2].messages) == 6


async def test_corrections_are_bounded() -> None:
    """After `max_reasks` the call fails, with the last answer, and is not worth a retry."""
    model = ScriptedModel([text("one"), text("two")])
    result = await call(city_finder(model, max_reasks=1), sentence="Ulm")
    assert result["error"]["type"] == "MalformedResponse"
    assert not result["error"]["retryable"]
    assert result["error"]["partial"] == "two"
    assert "City" in result["message"]


async def test_a_model_failure_is_an_error_dictionary() -> None:
    """The kind of the model's error is kept."""
    result = await call(city_finder(ScriptedModel([fail(AuthenticationFailed("no"))])), sentence="Ulm")
    assert result["error"]["type"] == "AuthenticationFailed"


@pytest.mark.parametrize("arguments", [{}, {"sentence": 5}, {"sentence": "x", "town": "y"}])
async def test_arguments_are_checked_against_the_signature(arguments: dict[str, Any]) -> None:
    """Missing, wrong and unknown arguments never reach the model."""
    result = await call(city_finder(ScriptedModel([])), **arguments)
    assert result["error"]["state"] == "INPUT_VALIDATION"


async def test_text_is_answered_as_it_is() -> None:
    """With `-> str`, or no annotation, there is no schema and no check."""

    @tiny_function(model=ScriptedModel([text(" A poem. ")], name="poet"))
    async def write(topic: str) -> str:  # pyright: ignore[reportReturnType]
        """<prompt>Write about {topic}.</prompt>"""

    @tiny_function(model=ScriptedModel([text("Another.")], name="other"))
    async def again(topic):  # pyright: ignore[reportUnknownParameterType, reportMissingParameterType]
        """<prompt>Write about {topic}.</prompt>"""

    assert (await call(write, topic="spring"))["output"] == "A poem."
    assert (await call(again, topic="spring"))["output"] == "Another."


@pytest.mark.parametrize(
    ("kind", "answer", "value"),
    [
        (list[int], '{"value": [1, 2]}', [1, 2]),
        (list[int], "[1, 2]", [1, 2]),
        (Literal["good", "bad"], '{"value": "good"}', "good"),
        (int, '{"value": "7"}', 7),
        (dict[str, int], '{"value": 1}', {"value": 1}),
        (City | None, '{"value": null}', None),
        (list[City], '{"value": [{"name": "Ulm", "people": 1}]}', [City(name="Ulm", people=1)]),
    ],
)
async def test_any_type_can_be_answered(kind: Any, answer: str, value: Any) -> None:
    """What is no object is wrapped in one for the provider, and unwrapped again."""
    model = ScriptedModel([text(answer)])

    @tiny_function(model=model, output_model=kind)
    async def ask(topic: str) -> None:
        """<prompt>{topic}</prompt>"""

    assert await call(ask, topic="x") == {"status": "success", "output": value}
    schema = model.requests[0].response_schema
    assert schema is not None
    assert schema.schema["type"] == "object"


async def test_values_are_written_so_that_a_model_can_read_them() -> None:
    """Models, lists and mappings as JSON, everything else as text."""
    model = ScriptedModel([text("ok")])

    @tiny_function(model=model)
    async def ask(city: City, many: list[int], number: float) -> str:  # pyright: ignore[reportReturnType]
        """<prompt>{{{city}}} {many} {number}</prompt>"""

    await call(ask, city={"name": "Ulm", "people": 1}, many=[1, 2], number=2.5)
    assert model.requests[0].messages[-1].content == '{{"name":"Ulm","people":1}} [1,2] 2.5'


async def test_inside_of_an_actor_it_is_a_coroutine_function() -> None:
    """Awaiting it there is one call by a child that is gone afterwards; outside it says what to do instead."""
    finder = city_finder(ScriptedModel([text(json.dumps({"name": "Ulm", "people": 1}))] * 2))

    class Asks(Function):
        async def run(self, **arguments: Any) -> Any:
            result = await finder(**arguments)
            return result["output"].name, len(self.context.children)

    with pytest.raises(RuntimeError, match=r"system\.spawn"):
        await finder(sentence="Ulm")
    async with ActorSystem("test") as system:
        with pytest.raises(RuntimeError, match="run\\(find_city"):
            await finder(sentence="Ulm")
        ref = await system.spawn(Asks)
        assert await ref(sentence="Ulm") == {"status": "success", "output": ("Ulm", 0)}
        assert await ref(sentence="Ulm") == {"status": "success", "output": ("Ulm", 0)}


async def test_it_is_a_part_of_compositions() -> None:
    """A chain takes it like any Function, and names it."""

    @tiny_function(model=ScriptedModel([text("Ulm")], name="first"))
    async def guess(hint: str) -> str:  # pyright: ignore[reportReturnType]
        """<prompt>{hint}</prompt>"""

    @tiny_function(model=ScriptedModel([fail(AuthenticationFailed("no"))], name="second"))
    async def praise(input: str) -> str:  # pyright: ignore[reportReturnType]
        """<prompt>Praise {input}.</prompt>"""

    result = await call(chain(guess, praise), hint="It has a tall church.")
    assert result["error"]["part"] == "praise"
    assert guess.name == "guess"


@pytest.mark.virtual_time
async def test_cancelling_reaches_the_model() -> None:
    """A call that hangs ends with its caller."""
    finder = city_finder(ScriptedModel([hang()]))
    async with ActorSystem("test") as system:
        ref = await system.spawn(finder)
        with anyio.move_on_after(0.05) as scope:
            await ref(sentence="Ulm")
        assert scope.cancelled_caught


@pytest.mark.parametrize(
    ("docstring", "message"),
    [
        (None, "needs <prompt>"),
        ("{a}", "needs <prompt>"),
        ("<prompt> </prompt>", "needs <prompt>"),
        ("<prompt>{a}", "only one of <prompt>"),
        ("<prompt>{a}</prompt><prompt>b</prompt>", "2 times"),
        ("<prompt>{a} {b}</prompt>", "'{b}'"),
        ("<prompt>nothing</prompt>", "'a' of"),
        ("<prompt>{a.__class__}</prompt>", "only the name"),
        ("<prompt>{a[0]}</prompt>", "only the name"),
        ("<prompt>{a:>10}</prompt>", "only the name"),
        ("<prompt>{a!r}</prompt>", "only the name"),
        ("<prompt>{a} {}</prompt>", "only the name"),
        ("<prompt>{a} }</prompt>", "stray brace"),
    ],
)
def test_mistakes_show_at_decoration(docstring: str | None, message: str) -> None:
    """What is missing, unknown, doubled or unsafe in the docstring is named."""

    async def function(a: str) -> None: ...

    function.__doc__ = docstring
    with pytest.raises(ConfigurationError, match=message.replace("{", "\\{")):
        tiny_function(model="local")(function)


def test_signatures_that_cannot_be_used_show_at_decoration() -> None:
    """Starred and positional parameters, types that are not there, and negative bounds."""

    async def starred(*a: str) -> None:
        """<prompt>{a}</prompt>"""

    async def positional(a: str, /) -> None:
        """<prompt>{a}</prompt>"""

    async def unknown(a: Nowhere) -> None:  # pyright: ignore[reportUndefinedVariable, reportUnknownParameterType] # noqa: F821
        """<prompt>{a}</prompt>"""

    for function in (starred, positional):
        with pytest.raises(ConfigurationError, match="named parameters only"):
            tiny_function(model="local")(function)
    with pytest.raises(ConfigurationError, match="Nowhere"):
        tiny_function(model="local")(unknown)  # pyright: ignore[reportUnknownArgumentType]
    with pytest.raises(ConfigurationError, match="-1"):
        tiny_function(model="local", max_reasks=-1)


def test_a_parameter_may_have_any_name() -> None:
    """Names that mean something elsewhere (`schema`, `self`, `json`) mean nothing here."""

    @tiny_function(model="local")
    async def ask(schema: str, json: str, copy: str) -> None:
        """<prompt>{schema} {json} {copy}</prompt>"""

    assert ask.spec().name == "ask"


def test_braces_in_values_mean_nothing() -> None:
    """Values are put in once: a place inside of a value stays text."""
    template = PromptTemplate.from_docstring("<prompt>{a} {b}</prompt>", ["a", "b"], "f")
    assert template.render({"a": "{b}", "b": "{a} {{"})[1] == "{b} {a} {{"
