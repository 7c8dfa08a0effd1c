"""Any callable can be looked at: what the model gives, what the runtime gives, and how it is called."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.tool import ToolContext
from tinyllm_actors.tool.signature import inspect_function


async def _asynchronous(x: int) -> int:
    return x


def _plain(x: int) -> int:
    return x


def _generator(x: int) -> Iterator[int]:
    yield x


async def _async_generator(x: int) -> AsyncIterator[int]:
    yield x


class Service:
    """A service."""

    async def method(self, x: int) -> int:
        return x

    @classmethod
    def of_class(cls, x: int) -> int:
        return x

    @staticmethod
    def static(x: int) -> int:
        return x

    async def __call__(self, x: int) -> int:
        """Answer."""
        return x


def _wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


@pytest.mark.parametrize(
    ("function", "kind", "name"),
    [
        (_asynchronous, "async", "_asynchronous"),
        (_plain, "sync", "_plain"),
        (_generator, "generator", "_generator"),
        (_async_generator, "async_generator", "_async_generator"),
        (Service().method, "async", "method"),
        (Service.of_class, "sync", "of_class"),
        (Service().static, "sync", "static"),
        (Service(), "async", "Service"),
        (functools.partial(_asynchronous), "async", "_asynchronous"),
        (functools.partial(Service().method), "async", "method"),
        (functools.partial(functools.partial(Service())), "async", "Service"),
        (_wrapped(_plain), "async", "_plain"),
    ],
)
def test_every_kind_of_callable_is_known(function: Callable[..., object], kind: str, name: str) -> None:
    """Functions, methods, partials, callable objects and decorated functions show the parameter that they take."""
    signature = inspect_function(function)
    assert (signature.kind, signature.name) == (kind, name)
    assert [(it.name, signature.resolve(it)) for it in signature.parameters] == [("x", int)]
    assert not signature.unbound
    assert not signature.variadic


def test_docstring_of_a_callable_object_is_that_of_its_call() -> None:
    """What an object does when it is called is written at `__call__`, and at the class only if it says nothing."""

    class Silent:
        """A silent service."""

        def __call__(self) -> None: ...

    assert inspect_function(Service()).docstring == "Answer."
    assert inspect_function(Silent()).docstring == "A silent service."
    assert inspect_function(functools.partial(_plain)).docstring is None


def test_what_a_partial_fixes_is_hidden() -> None:
    """The model sees neither arguments that a partial has bound, nor their values, which may be secret."""

    def fetch(host: str, path: str, *, key: str, retries: int = 3) -> None: ...

    signature = inspect_function(functools.partial(fetch, "localhost", key="hunter2"))
    assert [it.name for it in signature.parameters] == ["path", "retries"]


def test_method_in_a_class_body_lacks_its_instance() -> None:
    """A function whose first parameter is an unannotated `self`, in a class, is a method to be bound later."""
    signature = inspect_function(Service.method)
    assert signature.unbound
    assert [it.name for it in signature.parameters] == ["x"]

    def free(self, x: int) -> None:  # pyright: ignore[reportUnknownParameterType, reportMissingParameterType]
        """Not a method, only named as if it were."""

    assert not inspect_function(free).unbound  # pyright: ignore[reportUnknownArgumentType]


@pytest.mark.parametrize("thing", ["text", None, 7, Service, vars(Service)["of_class"]])
def test_what_is_no_function_is_refused(thing: Any) -> None:
    """The error shows what was given and says what to give instead."""
    with pytest.raises(ConfigurationError, match="cannot be a tool; give a function"):
        inspect_function(thing)


def test_function_without_a_signature_is_refused() -> None:
    """Some builtins have none; the error says what to do."""
    with pytest.raises(ConfigurationError, match=r"builtins\.dir has no signature .* wrap it in a def"):
        inspect_function(dir)


def test_context_is_recognised() -> None:
    """A parameter takes the context if its annotation is the class, a subclass, optional or annotated."""

    class Mine(ToolContext):
        """A subclass."""

    def function(
        a: ToolContext,
        b: ToolContext | None,
        c: Annotated[ToolContext, "the call"],
        d: Mine,
        e: list[ToolContext],
        f: int,
        g,  # pyright: ignore[reportUnknownParameterType, reportMissingParameterType]
    ) -> None: ...

    signature = inspect_function(function)  # pyright: ignore[reportUnknownArgumentType]
    local_names = {"Mine": Mine}
    assert [it.name for it in signature.parameters if signature.takes_context(it, local_names)] == list("abcd")


def test_context_that_only_type_checkers_import_is_recognised() -> None:
    """The class is known by its name where the linter moved its import under `TYPE_CHECKING`."""
    source = """
from __future__ import annotations
def function(a: ToolContext, b: tool.ToolContext, c: ToolContext | None, d: Optional[ToolContext], e: Other): ...
"""
    names: dict[str, Any] = {}
    exec(source, names)
    signature = inspect_function(names["function"])
    assert [it.name for it in signature.parameters if signature.takes_context(it)] == list("abcd")


def test_annotation_that_is_no_type_is_refused() -> None:
    """The error names the annotation, the parameter and the function."""
    names: dict[str, Any] = {}
    exec("def function(x: '1 +'): ...", names)
    signature = inspect_function(names["function"])
    with pytest.raises(
        ConfigurationError, match=r"'1 \+'\" of parameter 'x' of function cannot be read: .* expression"
    ):
        signature.resolve(signature.parameters[0])


def test_postponed_annotations_see_the_closure() -> None:
    """A type that the function itself uses is found without the scope around it."""

    class Local:
        """Known here only."""

    def function(x: Local) -> type:
        return Local

    signature = inspect_function(function)
    assert signature.resolve(signature.parameters[0]) is Local


def test_variable_of_the_closure_may_not_be_set_yet() -> None:
    """A function may use what is assigned after it; its annotations are read all the same."""

    def function(x: int) -> object:
        return later

    signature = inspect_function(function)
    assert signature.resolve(signature.parameters[0]) is int
    later = 1
    assert function(0) == later


@pytest.mark.skipif("sys.version_info < (3, 12)", reason="the syntax is new in Python 3.12")
def test_type_parameters_are_known() -> None:
    """Postponed annotations of a generic function may use its type parameters."""
    names: dict[str, Any] = {}
    exec("from __future__ import annotations\ndef function[T: int](x: list[T]) -> T: ...", names)
    signature = inspect_function(names["function"])
    assert str(signature.resolve(signature.parameters[0])) == "list[T]"


def test_mismatch_tells_why_a_call_cannot_be() -> None:
    """A missing parameter and one that there is not are found without calling."""

    def function(a: int, b: int = 1, **rest: int) -> None: ...

    assert inspect_function(_plain).mismatch(["x"]) is None
    assert inspect_function(_plain).mismatch([]) == "'x' is missing, but required"
    assert inspect_function(_plain).mismatch(["x", "z", "y"]) == "there is no argument 'y'"
    assert inspect_function(function).mismatch(["a", "anything"]) is None


@given(given=st.sets(st.sampled_from("bcde")))
def test_arranged_arguments_arrive(given: set[str]) -> None:
    """Whichever optional parameters are given, each value arrives at its parameter, by position or by name."""

    def function(a: str, b: str = "-", c: str = "-", /, d: str = "-", *, e: str = "-") -> str:
        return a + b + c + d + e

    values = {name: name for name in ["a", *sorted(given)]}
    positional, keywords = inspect_function(function).arrange(values)
    arrived: Callable[..., str] = function
    assert arrived(*positional, **keywords) == "".join(name if name in values else "-" for name in "abcde")
