"""How a function is called: which arguments the model gives, which the runtime gives, and in which form.

Pure inspection; nothing here calls the function.
"""

from __future__ import annotations

import functools
import inspect
import re
import types
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.tool.context import ToolContext

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

__all__ = ["CallKind", "CallSignature", "Parameter", "inspect_function"]

CallKind: TypeAlias = Literal["sync", "async", "generator", "async_generator"]

_EMPTY = inspect.Parameter.empty
_TRANSPARENT = (typing.Annotated, typing.Union, types.UnionType)
_CONTEXT_BY_NAME = re.compile(r"(Optional\[)?(\w+\.)*ToolContext(\s*\|\s*None|\])?")


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a function.

    Attributes:
        name: its name in Python.
        annotation: what is written behind the colon; a string where annotations are postponed.
        default: its default, or `inspect.Parameter.empty`.
        positional_only: it cannot be given by name.
    """

    name: str
    annotation: object
    default: object
    positional_only: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CallSignature:
    """How one function is called.

    Attributes:
        name: the name that it has in Python; for an object that is callable, of its class.
        label: how errors name the function, such as `"weather.forecast"`.
        docstring: what is written in it, or None.
        kind: what calling it gives.
        parameters: all of them but `self` and what a partial has fixed, in order.
        unbound: it is a method, seen through its class; it needs an instance first.
        defined_by: the function whose module and closure hold the names that annotations use.
        variadic: `*args` and `**kwargs`, by their names and with their stars.
    """

    name: str
    label: str
    docstring: str | None
    kind: CallKind
    parameters: tuple[Parameter, ...]
    unbound: bool
    defined_by: Callable[..., object]
    variadic: tuple[str, ...]

    def resolve(self, parameter: Parameter, local_names: Mapping[str, object] | None = None) -> Any:
        """Return the type that an annotation means, with its `Annotated` metadata.

        Args:
            parameter: one of this signature's.
            local_names: names of the scope where the function was defined.

        Raises:
            NameError: the annotation uses a name that is not known (yet).
            ConfigurationError: it is no type.
        """
        holder: Any = types.SimpleNamespace(__annotations__={"it": parameter.annotation})
        module: dict[str, object] = getattr(self.defined_by, "__globals__", {})
        names = {**(local_names or {}), **_closure(self.defined_by)}
        try:
            return typing.get_type_hints(holder, globalns=module, localns=names, include_extras=True)["it"]
        except NameError:
            raise
        except Exception as error:
            raise ConfigurationError(
                f"the annotation {parameter.annotation!r} of parameter {parameter.name!r} of {self.label}"
                f" cannot be read: {error}"
            ) from error

    def takes_context(self, parameter: Parameter, local_names: Mapping[str, object] | None = None) -> bool:
        """Return whether a parameter is annotated with `ToolContext`, optional or not.

        The class may be imported under `TYPE_CHECKING` only; then its name decides.
        """
        if parameter.annotation is _EMPTY:
            return False
        try:
            return _is_context(self.resolve(parameter, local_names))
        except NameError:
            text = parameter.annotation
            return isinstance(text, str) and _CONTEXT_BY_NAME.fullmatch(text) is not None

    def mismatch(self, given: Collection[str]) -> str | None:
        """Return why the function cannot be called with just these parameters; None if it can."""
        names = [parameter.name for parameter in self.parameters]
        takes_any = any(name.startswith("**") for name in self.variadic)
        if not takes_any and (unknown := sorted(set(given).difference(names))):
            return f"there is no argument {unknown[0]!r}"
        for parameter in self.parameters:
            if parameter.default is _EMPTY and parameter.name not in given:
                return f"{parameter.name!r} is missing, but required"
        return None

    def arrange(self, values: Mapping[str, object]) -> tuple[list[object], dict[str, object]]:
        """Split values by parameter name into positional and keyword arguments; the defaults stay the function's."""
        positional: list[object] = []
        keywords = dict(values)
        pending: list[object] = []
        for parameter in self.parameters:
            if not parameter.positional_only:
                break
            if parameter.name in keywords:
                positional += [*pending, keywords.pop(parameter.name)]
                pending = []
            else:
                pending.append(parameter.default)
        return positional, keywords


def inspect_function(function: Callable[..., object]) -> CallSignature:
    """Return how `function` is called: a function, method, partial or callable object.

    Raises:
        ConfigurationError: it is not callable, is a class, or has no signature.
    """
    if not callable(function) or inspect.isclass(function):
        raise ConfigurationError(
            f"{function!r} cannot be a tool; give a function, or for a pydantic model Tool.from_pydantic_model(…)"
        )
    fixed, innermost = _peel_partials(function)
    target = _plain_function(innermost)
    label = _label(target)
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{label} has no signature ({error}); wrap it in a def with annotations") from None
    parameters: list[Parameter] = []
    variadic: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL or parameter.kind is parameter.VAR_KEYWORD:
            variadic.append(str(parameter).partition(":")[0])
        elif parameter.name not in fixed:
            # What a partial has fixed is not the model's to change, and may well be a secret.
            positional_only = parameter.kind is parameter.POSITIONAL_ONLY
            parameters.append(Parameter(parameter.name, parameter.annotation, parameter.default, positional_only))
    unbound = bool(parameters) and _is_unbound_method(innermost, parameters[0])
    return CallSignature(
        name=getattr(innermost, "__name__", type(innermost).__name__),
        label=label,
        docstring=inspect.getdoc(target) or (None if inspect.isroutine(innermost) else inspect.getdoc(type(innermost))),
        kind=_kind(target),
        parameters=tuple(parameters[1:] if unbound else parameters),
        unbound=unbound,
        defined_by=inspect.unwrap(target),
        variadic=tuple(variadic),
    )


def _is_context(hint: object) -> bool:
    if isinstance(hint, type):
        return issubclass(hint, ToolContext)
    return typing.get_origin(hint) in _TRANSPARENT and any(map(_is_context, typing.get_args(hint)))


def _peel_partials(function: Callable[..., object]) -> tuple[set[str], Callable[..., object]]:
    fixed: set[str] = set()
    while isinstance(function, functools.partial):
        partial = cast("functools.partial[object]", function)
        fixed.update(partial.keywords)
        function = partial.func
    return fixed, function


def _plain_function(function: Callable[..., object]) -> Callable[..., object]:
    """Return the function that runs in the end: of a method its function, of an object its `__call__`."""
    if inspect.ismethod(function):
        return function.__func__
    if inspect.isroutine(function):
        return function
    call = type(function).__call__
    return call if inspect.isfunction(call) else function


def _is_unbound_method(function: Callable[..., object], first: Parameter) -> bool:
    # `@tool` inside a class body sees a plain function; only its name tells that it will be a method.
    scope = getattr(function, "__qualname__", "").rpartition(".")[0]
    in_class = scope != "" and not scope.endswith("<locals>")
    named_so = first.name in {"self", "cls"} and first.annotation is _EMPTY
    return inspect.isfunction(function) and in_class and named_so


def _label(function: Callable[..., object]) -> str:
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{module}.{name}" if module else str(name)


def _kind(function: Callable[..., object]) -> CallKind:
    if inspect.iscoroutinefunction(function):
        return "async"
    if inspect.isasyncgenfunction(function):
        return "async_generator"
    return "generator" if inspect.isgeneratorfunction(function) else "sync"


def _closure(function: Callable[..., object]) -> dict[str, object]:
    """Return the names that the function sees beside those of its module."""
    names: dict[str, object] = {}
    code = getattr(function, "__code__", None)
    if isinstance(code, types.CodeType):
        for name, cell in zip(code.co_freevars, getattr(function, "__closure__", None) or (), strict=False):
            try:
                names[name] = cell.cell_contents
            except ValueError:  # not assigned yet
                continue
    for parameter in getattr(function, "__type_params__", ()):  # PEP 695
        names[parameter.__name__] = parameter
    return names
