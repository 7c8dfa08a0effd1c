"""A tool is its function, with what the model is told of it."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
from typing import Any, assert_type

import pytest

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.tool import Tool, ToolContext, ToolOptions, tool
from tinyllm_actors.tool.options import DEFAULT_MAX_RESULT_CHARS

pytestmark = pytest.mark.anyio


@tool
def add(a: int, b: int = 1) -> int:
    """Add two numbers.

    Args:
        a: the first.
        b: the second.
    """
    return a + b


@tool(name="sum_up", description="Add.", timeout=5.0, idempotent=True)
async def add_later(a: int, b: int = 1) -> int:
    """Add two numbers, in time."""
    return a + b


async def test_tool_is_called_like_its_function() -> None:
    """A tool takes the function's arguments and gives its result, and type checkers know both."""
    assert assert_type(add(1, b=2), int) == 3
    assert assert_type(await add_later(1), int) == 2


def test_tool_looks_like_its_function() -> None:
    """Introspection sees the name, the docstring, the module and the signature of the function."""
    assert (getattr(add, "__name__", None), add.__module__) == ("add", __name__)
    assert inspect.getdoc(add) == inspect.getdoc(add.function)
    assert inspect.signature(add) == inspect.signature(add.function)
    assert repr(add) == "Tool(name='add')"


def test_defaults_are_safe() -> None:
    """Without options a tool has a deadline and a limit, runs once, and claims nothing that it may not be."""
    assert (add.name, add.description) == ("add", "Add two numbers.")
    assert {option: getattr(add, option) for option in ToolOptions.__annotations__} == {
        "timeout": 30.0,
        "retries": 0,
        "idempotent": False,
        "sequential": False,
        "requires_approval": False,
        "rate_limit": None,
        "concurrency": None,
        "isolate": None,
        "max_result_chars": DEFAULT_MAX_RESULT_CHARS,
        "strict": False,
        "threaded": True,
    }


def test_options_are_taken() -> None:
    """Each option given to the decorator is the tool's."""
    given: ToolOptions = {
        "timeout": 1.5,
        "retries": 2,
        "idempotent": True,
        "sequential": True,
        "requires_approval": True,
        "max_result_chars": 10,
        "strict": True,
        "threaded": False,
    }
    made = tool(name="other", description="What.", **given)(add.function)
    assert (made.name, made.description) == ("other", "What.")
    assert {option: getattr(made, option) for option in given} == given
    assert (add_later.name, add_later.description, add_later.timeout) == ("sum_up", "Add.", 5.0)


def test_tool_is_frozen() -> None:
    """A definition is shared by many agents, so it cannot be changed; `with_options` gives another one."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        add.name = "other"  # pyright: ignore[reportAttributeAccessIssue]
    other = add.with_options(name="plus", timeout=1.0)
    assert (other.name, other.timeout, other.description) == ("plus", 1.0, add.description)
    assert (add.name, add.timeout) == ("add", 30.0)
    assert other.parameters is add.parameters
    assert other(1) == 2


BAD_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"timeout": 0}, "timeout=0 of tool 'f' must be a number of seconds above 0, or None"),
    ({"timeout": -1.0}, "timeout=-1.0 of tool"),
    ({"timeout": float("inf")}, "timeout=inf of tool"),
    ({"timeout": float("nan")}, "timeout=nan of tool"),
    ({"timeout": "5"}, "timeout='5' of tool"),
    ({"timeout": True}, "timeout=True of tool"),
    ({"retries": -1}, "retries=-1 of tool 'f' must be a whole number, 0 or more"),
    ({"retries": 1.5}, "retries=1.5 of tool"),
    ({"retries": True}, "retries=True of tool"),
    ({"max_result_chars": 0}, "max_result_chars=0 of tool 'f' must be a whole number, 1 or more"),
    ({"max_result_chars": None}, "max_result_chars=None of tool"),
    ({"idempotent": "yes"}, "idempotent='yes' of tool 'f' must be True or False"),
    ({"requires_approval": 1}, "requires_approval=1 of tool"),
    ({"name": "größe"}, "'größe' cannot be the name of a tool; give name= with 1 to 64 letters"),
    ({"name": "x" * 65}, "cannot be the name of a tool"),
    ({"name": "a b"}, "'a b' cannot be the name of a tool"),
]


@pytest.mark.parametrize(("options", "sentence"), BAD_OPTIONS, ids=range(len(BAD_OPTIONS)))
def test_option_without_meaning_is_refused(options: dict[str, Any], sentence: str) -> None:
    """One sentence names the option, its value, the tool, and what it may be."""

    def f() -> None: ...

    with pytest.raises(ConfigurationError) as caught:
        Tool.from_function(f, **options)
    assert sentence in str(caught.value)
    with pytest.raises(ConfigurationError):
        add.with_options(**options)


def test_unknown_option_is_refused() -> None:
    """A misspelt option is no silent default."""
    with pytest.raises(TypeError, match="timeot"):
        tool(timeot=1.0)(add.function)  # pyright: ignore[reportCallIssue]


def test_lambda_needs_a_name() -> None:
    """What has no name of its own is given one."""
    with pytest.raises(ConfigurationError, match="'<lambda>' cannot be the name of a tool; give name="):
        Tool.from_function(lambda: 1)
    assert Tool.from_function(lambda: 1, name="one").name == "one"


@pytest.mark.parametrize("thing", ["name", 3, None, dict])
def test_what_is_no_function_is_refused(thing: Any) -> None:
    """The error shows what was given."""
    with pytest.raises(ConfigurationError, match="cannot be a tool; give a function"):
        Tool.of(thing)


def test_tool_of_a_tool_is_refused() -> None:
    """Options for a tool that there is are given by `with_options`."""
    with pytest.raises(ConfigurationError, match=r"Tool\(name='add'\) is a tool already; with_options"):
        tool(add)


def test_of_takes_tools_and_functions() -> None:
    """Where an agent takes tools, a plain function is one with all defaults."""

    def double(x: int) -> int:
        return 2 * x

    assert Tool.of(add) is add
    made = Tool.of(double)
    assert (made.name, made.timeout, made(2)) == ("double", 30.0, 4)
    assert Tool.of(functools.partial(double, x=3)).parameters["properties"] == {}


class Account:
    """Methods of many kinds, as tools."""

    def __init__(self, owner: str) -> None:
        self.owner = owner

    @tool
    def greet(self, greeting: str) -> str:
        """Greet the owner."""
        return f"{greeting}, {self.owner}"

    @tool(timeout=2.0)
    async def greet_later(self, greeting: str, context: ToolContext | None = None) -> str:
        assert context is not None
        return f"{greeting}, {self.owner}"

    @tool
    @staticmethod
    def version() -> str:
        return "1"

    @staticmethod
    @tool
    def release() -> str:
        return "2"

    @classmethod
    def kind(cls, suffix: str) -> str:
        return cls.__name__ + suffix

    def plain(self, greeting: str) -> str:
        return f"{greeting}, {self.owner}"


async def test_method_is_a_tool_of_its_instance() -> None:
    """Taken from an instance, a decorated method has its options and the instance, and the model sees no `self`."""
    ann, bob = Account("Ann"), Account("Bob")
    assert assert_type(ann.greet("Hi"), str) == "Hi, Ann"
    assert await bob.greet.call(bob.greet.validate('{"greeting": "Hi"}')) == "Hi, Bob"
    assert await bob.greet_later.call({"greeting": "Hello"}) == "Hello, Bob"
    assert list(bob.greet.parameters["properties"]) == ["greeting"]
    assert (bob.greet.name, bob.greet.description, bob.greet_later.timeout) == ("greet", "Greet the owner.", 2.0)
    assert bob.greet.parameters is ann.greet.parameters


async def test_method_without_an_instance_does_not_run() -> None:
    """The error says where to take it from."""
    with pytest.raises(TypeError, match=r"tool 'greet' is the method .*Account.greet; take it from an instance"):
        await Account.greet.call({"greeting": "Hi"})


async def test_other_methods_are_tools_too() -> None:
    """Static methods in either order, class methods and bound methods need nothing special."""
    ann = Account("Ann")
    assert await ann.version.call({}) == "1"
    assert await Account.version.call({}) == "1"
    assert await Tool.of(ann.release).call({}) == "2"
    assert await Tool.of(Account.kind).call({"suffix": "!"}) == "Account!"
    assert await Tool.of(ann.plain).call({"greeting": "Hi"}) == "Hi, Ann"
    with pytest.raises(ConfigurationError, match="cannot be a tool"):
        tool(vars(Account)["kind"])


async def test_class_method_over_a_tool_is_one() -> None:
    """`@classmethod` over `@tool` gives a method around a tool on some versions of Python."""

    class Service:
        @tool
        def kind(cls, suffix: str) -> str:
            return f"{cls!r}{suffix}"

    made = Tool.of(types.MethodType(Service.kind, Service))
    assert await made.call({"suffix": "!"}) == f"{Service!r}!"


async def test_each_use_of_a_tool_is_independent() -> None:
    """One definition serves many calls at once, and keeps nothing of them."""
    assert [await add.call({"a": n}) for n in range(3)] == [1, 2, 3]
