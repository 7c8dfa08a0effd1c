"""A pydantic model can be all that a tool takes."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, Field, RootModel

from tinyllm_actors.errors import ConfigurationError, InvalidArguments
from tinyllm_actors.tool import Tool, ToolContext

pytestmark = pytest.mark.anyio


class Order(BaseModel):
    """Place an order."""

    item: str = Field(description="what to order")
    count: int = 1


class Tree(BaseModel):
    children: list[Tree] = []


async def order(order: Order, context: ToolContext) -> str:
    """Order it.

    Args:
        order: the order.
        context: the call.
    """
    return f"{context.call_id}: {order.count} × {order.item}"


async def test_function_takes_the_validated_model() -> None:
    """The fields are the arguments, and the function gets the model with the context beside it."""
    made = Tool.from_pydantic_model(Order, order, timeout=5.0)
    assert (made.name, made.description, made.timeout) == ("order", "Order it.", 5.0)
    assert made.parameters == {
        "type": "object",
        "properties": {
            "item": {"type": "string", "description": "what to order"},
            "count": {"type": "integer", "default": 1},
        },
        "required": ["item"],
        "additionalProperties": False,
    }
    arguments = made.validate('{"item": "tea", "count": "2"}')
    assert arguments == {"order": Order(item="tea", count=2)}
    assert await made.call(arguments, ToolContext(call_id="c1")) == "c1: 2 × tea"


def test_description_may_be_the_models() -> None:
    """A function without a docstring is described by the model's."""
    made = Tool.from_pydantic_model(Order, _one, name="place")
    assert made.description == "Place an order."
    assert "description" not in made.parameters
    assert Tool.from_pydantic_model(Order, order, name="n", description="d").description == "d"


def test_fields_that_do_not_fit_are_named() -> None:
    """The message is that of any tool; a strict one converts nothing."""
    made = Tool.from_pydantic_model(Order, order)
    with pytest.raises(InvalidArguments, match="'item': missing, but required"):
        made.validate("")
    with pytest.raises(InvalidArguments, match="'count': Input should be a valid integer; got '2'"):
        made.with_options(strict=True).validate('{"item": "tea", "count": "2"}')


def test_recursive_model_is_an_object_at_the_top() -> None:
    """Providers want to see an object, also where the model contains itself."""
    made = Tool.from_pydantic_model(Tree, _one)
    assert made.parameters["type"] == "object"
    assert made.validate('{"children": [{}]}') == {"it": Tree(children=[Tree()])}


class Numbers(RootModel[list[int]]):
    pass


class Opaque(BaseModel, arbitrary_types_allowed=True):
    handle: pytest.Session


def _no_parameter() -> None: ...


def _two(a: Order, b: int) -> None: ...


def _one(it: object) -> None: ...


@pytest.mark.parametrize(
    ("model", "function", "sentence"),
    [
        (Order, _no_parameter, r"_no_parameter must take one Order and nothing else: it has no parameter for it"),
        (Order, _two, r"_two must take one Order and nothing else: 'b' is missing"),
        (Numbers, _one, r"model Numbers is no JSON object"),
        (Opaque, _one, r"model Opaque cannot be described in JSON: "),
    ],
    ids=range(4),
)
def test_model_or_function_that_does_not_fit_is_refused(model: Any, function: Any, sentence: str) -> None:
    """The error names the model or the function, and what is wrong with it."""
    with pytest.raises(ConfigurationError, match=sentence):
        Tool.from_pydantic_model(model, function)
