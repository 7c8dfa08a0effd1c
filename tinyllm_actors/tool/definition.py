"""`Tool`: a function that an agent may call, and what the model is told of it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, TypeVar, cast, overload

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.tool.context import NO_CONTEXT, ToolContext
from tinyllm_actors.tool.docstring import parse_docstring
from tinyllm_actors.tool.execution import run_tool
from tinyllm_actors.tool.explicit import ExplicitArguments, Validator
from tinyllm_actors.tool.isolation.reference import check_reference
from tinyllm_actors.tool.limits import Origin
from tinyllm_actors.tool.model import ModelArguments
from tinyllm_actors.tool.options import DEFAULT_MAX_RESULT_CHARS, DEFAULT_TIMEOUT, ToolOptions, check_options
from tinyllm_actors.tool.result import cut_result, render_result
from tinyllm_actors.tool.schema import SignatureArguments
from tinyllm_actors.tool.signature import CallSignature, inspect_function

if TYPE_CHECKING:
    from typing import Unpack

    from anyio import CapacityLimiter
    from pydantic import BaseModel

    from tinyllm_actors.kernel import ChildSpec
    from tinyllm_actors.tool.arguments import Arguments
    from tinyllm_actors.tool.compact import Schema
    from tinyllm_actors.tool.isolation.limits import ProcessLimits
    from tinyllm_actors.tool.isolation.pool import Processes

__all__ = ["Tool", "caller_locals"]

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
P2 = ParamSpec("P2")
R2 = TypeVar("R2")

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What every provider takes as the name of a tool."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Tool(Generic[P, R_co]):
    """Something that a model can ask for: a function, and what the model is told of it.

    Made by `@tool`, `Tool.from_function` or `Tool.from_pydantic_model`. It is still callable as the function it
    wraps. Decorated methods become tools of their instance: `search = Api().search`.

    Attributes:
        function: what is called.
        name: what the model calls it: 1 to 64 letters, digits, `_` and `-`.
        description: when and how to use it, for the model to read.
        arguments: what it takes.
        signature: how `function` is called.
        origin: the same for all tools that were made from one another; what shares `rate_limit` and `concurrency`.

    The other attributes are `ToolOptions`, explained there.

    Raises:
        ConfigurationError: the name or an option has no meaning.
    """

    function: Callable[P, R_co]
    name: str
    description: str
    arguments: Arguments
    signature: CallSignature
    timeout: float | None = DEFAULT_TIMEOUT
    retries: int = 0
    idempotent: bool = False
    sequential: bool = False
    requires_approval: bool | Callable[[dict[str, Any]], bool] = False
    rate_limit: tuple[int, float] | None = None
    concurrency: int | None = None
    isolate: Literal["process"] | ProcessLimits | None = None
    max_result_chars: int = DEFAULT_MAX_RESULT_CHARS
    strict: bool = False
    threaded: bool = True
    origin: Origin = field(default_factory=Origin)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError(
                f"{self.name!r} cannot be the name of a tool; give name= with 1 to 64 letters (a-z), digits, _ and -"
            )
        check_options(self.name, {option: getattr(self, option) for option in ToolOptions.__annotations__})
        if self.isolate is not None:
            check_reference(self.name, self.function)
        # For inspect, help() and type checkers at run time the tool looks like its function.
        for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
            if (value := getattr(self.function, attribute, None)) is not None:
                object.__setattr__(self, attribute, value)
        object.__setattr__(self, "__wrapped__", self.function)

    @classmethod
    def from_function(
        cls,
        function: Callable[P2, R2],
        *,
        name: str | None = None,
        description: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        validator: Validator | None = None,
        local_names: Mapping[str, object] | None = None,
        **options: Unpack[ToolOptions],
    ) -> Tool[P2, R2]:
        """Return a tool that calls `function`: plain, async, a generator, a method, a partial or a callable object.

        Args:
            function: what to call. Unless `parameters` is given, each parameter has an annotation.
            name: what the model calls it; the function's name by default.
            description: for the model to read; what the docstring says before its first section by default.
            parameters: a JSON schema of type `object` to show to the model instead of one made from the signature.
                Calls are not held against it, beyond the names that the function takes.
            validator: checks the arguments of a tool with `parameters`, or replaces them; raises `ValueError` with
                a message for the model.
            local_names: names that postponed annotations use beside those of the module; the caller's variables by
                default.
            options: see `ToolOptions`.

        Raises:
            ConfigurationError: the function or an option does not fit; the message says what to do.
        """
        if isinstance(function, Tool):
            raise ConfigurationError(f"{function!r} is a tool already; with_options(…) gives it others")
        if validator is not None and parameters is None:
            raise ConfigurationError("validator= goes with parameters=; without, the annotations validate")
        if isinstance(function, staticmethod):
            function = cast("Callable[P2, R2]", function.__func__)
        signature = inspect_function(function)
        text = parse_docstring(signature.docstring)
        arguments: Arguments
        if parameters is not None:
            arguments = ExplicitArguments(parameters, signature=signature, validator=validator)
        else:
            arguments = SignatureArguments(signature, descriptions=text.parameters)
            arguments.build(caller_locals() if local_names is None else local_names)
        return Tool(
            function=function,
            name=name or signature.name,
            description=text.description if description is None else description,
            arguments=arguments,
            signature=signature,
            **options,
        )

    @classmethod
    def from_pydantic_model(
        cls,
        model: type[BaseModel],
        function: Callable[P2, R2],
        *,
        name: str | None = None,
        description: str | None = None,
        **options: Unpack[ToolOptions],
    ) -> Tool[P2, R2]:
        """Return a tool whose arguments are the fields of `model`; `function` takes the validated model.

        Args:
            model: what the model fills.
            function: takes one `model`, and a `ToolContext` if it has a parameter for it.
            name: what the model calls it; the function's name by default.
            description: by default what the function's docstring says, or else the model's.
            options: see `ToolOptions`.

        Raises:
            ConfigurationError: the model cannot be described in JSON, or the function does not take just it.
        """
        signature = inspect_function(function)
        local_names = caller_locals()
        injected = tuple(it.name for it in signature.parameters if signature.takes_context(it, local_names))
        taking = [it.name for it in signature.parameters if it.name not in injected]
        why = signature.mismatch([*taking[:1], *injected]) if taking else "it has no parameter for it"
        if why is not None:
            raise ConfigurationError(f"{signature.label} must take one {model.__name__} and nothing else: {why}")
        if description is None:
            description = parse_docstring(signature.docstring).description or parse_docstring(model.__doc__).description
        return Tool(
            function=function,
            name=name or signature.name,
            description=description,
            arguments=ModelArguments(model, taking[0], injected=injected),
            signature=signature,
            **options,
        )

    @classmethod
    def of(cls, value: Tool[..., object] | Callable[..., object]) -> Tool[..., object]:
        """Return `value` if it is a tool, or else a tool that calls it with all options at their defaults.

        Raises:
            ConfigurationError: it is neither a tool nor a function that can be one.
        """
        function: object = getattr(value, "__func__", None)
        if inspect.ismethod(value) and isinstance(function, Tool):
            # `@classmethod` over `@tool`, since Python 3.13.
            return cast("Tool[..., object]", function).__get__(value.__self__)
        if isinstance(value, Tool):
            return cast("Tool[..., object]", value)
        return Tool.from_function(value, local_names=caller_locals())

    @property
    def parameters(self) -> Schema:
        """The JSON schema of the arguments, of type `object`; not to be changed.

        Raises:
            ConfigurationError: an annotation uses a name that is still not defined.
        """
        return self.arguments.parameters

    def spec(self) -> ChildSpec:
        """Return how to make the actor that runs this tool by itself; an agent's toolkit does that for you."""
        from tinyllm_actors.tool.actor import ToolFunction  # the definition of a tool needs no actors

        return ToolFunction.spec(self).named(self.name)

    def with_options(
        self, *, name: str | None = None, description: str | None = None, **options: Unpack[ToolOptions]
    ) -> Tool[P, R_co]:
        """Return the same tool under another name, description or options."""
        changed = {"name": name, "description": description}
        return replace(self, **{key: value for key, value in changed.items() if value is not None}, **options)

    def validate(self, arguments_json: str) -> dict[str, Any]:
        """Return the arguments in the model's JSON text, by the parameter's name in Python, converted to its types.

        Empty text stands for no arguments.

        Raises:
            InvalidArguments: the text does not fit; the message is for the model, so that it can correct itself.
        """
        return self.arguments.validate(self.name, arguments_json, strict=self.strict)

    async def call(
        self,
        arguments: Mapping[str, object],
        context: ToolContext | None = None,
        *,
        limiter: CapacityLimiter | None = None,
        processes: Processes | None = None,
    ) -> object:
        """Run the function once and return its result.

        First it waits until `concurrency` and `rate_limit` let it. It is cancelled after `timeout` seconds, this
        waiting included, or at the context's deadline if that comes first. A plain function runs in a worker thread;
        when it is cancelled or late, the thread is left behind and its result dropped.
        What a generator yields is reported; its result is what it returns, or else its last item.

        Args:
            arguments: as `validate` returns them.
            context: what the function may know of the call; its deadline is shortened to this run's.
            limiter: bounds the worker threads; by default all tools of one event loop share 40.
            processes: where a tool with `isolate` finds a process that is warm; by default it starts one for this run.

        Raises:
            ToolTimeout: the run took too long.
            ToolRateLimited: its turn comes too late.
            ToolCrashed: the process of a tool with `isolate` died.
            ToolError: the function tried to end the process.
            TypeError: the tool is a method, and not that of an instance.
            Exception: whatever the function raised.
        """
        return await run_tool(self, arguments, context or NO_CONTEXT, limiter, processes)

    def render(self, value: object) -> str:
        """Return a result as the model will see it: text, cut to `max_result_chars`; never raises."""
        return cut_result(render_result(value), self.max_result_chars)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function itself: nothing is validated, injected or bounded."""
        return self.function(*args, **kwargs)

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Tool[P, R_co]: ...
    @overload
    def __get__(self: Tool[Concatenate[Any, P2], R2], instance: object, owner: type | None = None) -> Tool[P2, R2]: ...
    @overload  # a static method without parameters
    def __get__(self, instance: object, owner: type | None = None) -> Tool[P, R_co]: ...
    def __get__(self, instance: object, owner: type | None = None) -> Tool[..., Any]:
        if instance is None or not self.signature.unbound:
            return self
        bound = cast("Any", self.function).__get__(instance, owner)
        return replace(cast("Tool[..., Any]", self), function=bound, signature=replace(self.signature, unbound=False))

    def __repr__(self) -> str:
        return f"Tool(name={self.name!r})"


def caller_locals() -> Mapping[str, object]:
    """Return the names in the scope that called the function which called this one."""
    frame = inspect.currentframe()
    for _ in range(2):
        frame = None if frame is None else frame.f_back
    return {} if frame is None else frame.f_locals
