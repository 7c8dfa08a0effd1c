"""Functions, agents and tools of an actor system as tools for MCP clients."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, cast

from tinyllm_actors.agent import Agent, as_tool
from tinyllm_actors.agent.member import open_member
from tinyllm_actors.errors import ConfigurationError, ToolError
from tinyllm_actors.function import Function, FunctionRef, FunctionStream, Result
from tinyllm_actors.function.wrap import CallableFunction, GeneratorFunction
from tinyllm_actors.integrations.mcp.tools import tool_name
from tinyllm_actors.kernel import ActorRef, ChildSpec
from tinyllm_actors.tool import Tool, ToolContext

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Unpack

    from tinyllm_actors.tool import ToolOptions

__all__ = ["expose"]


def expose(
    target: Tool[..., Any] | type[Function] | ChildSpec | ActorRef | Callable[..., Any],
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    **options: Unpack[ToolOptions],
) -> Tool[..., Any]:
    """Return a Function, an agent or a function as a tool.

    Of a class or a spec a new actor is made for each call: calls run side by side, and nothing is remembered from one
    to the next. A reference leads to the one that it is of, which answers one call after another.

    ```python
    >>> from pydantic import BaseModel
    >>> from tinyllm_actors import Function
    >>> from tinyllm_actors.integrations.mcp import expose
    >>> class Number(BaseModel):
    ...     n: int
    >>> class Double(Function):
    ...     '''Double a number.'''
    ...     input_validator = Number
    ...     async def run(self, n: int) -> int:
    ...         return 2 * n
    >>> tool = expose(Double)
    >>> tool.name, tool.description, tool.parameters["required"]
    ('Double', 'Double a number.', ['n'])

    ```

    Args:
        target: what to expose.
        name: left out, the target's own.
        description: left out, what its docstring says.
        parameters: a JSON schema of its arguments; left out, that of its input validator, if that is a pydantic
            model, or else of the signature of its `run`.
        **options: of tools. A Function has 30 s unless you give it more; an agent is bounded by its own limits.

    Raises:
        ConfigurationError: its arguments cannot be described, and no `parameters` say what they are.
    """
    if isinstance(target, type) and issubclass(target, Function):
        target = target.spec()
    if not isinstance(target, ChildSpec | ActorRef):
        tool = Tool.of(cast("Tool[..., Any]", target))
        return tool.with_options(name=name, description=description, **options)
    spec = target if isinstance(target, ChildSpec) else target.cell.spec
    factory: Any = spec.factory
    if not (isinstance(factory, type) and issubclass(factory, Function)):
        raise ConfigurationError(f"{target!r} makes no Function; only those, agents and tools can be exposed")
    label = tool_name(name or spec.name or spec.kwargs.get("name") or factory.__name__)
    if issubclass(factory, Agent):
        return as_tool(target, name=label, description=description or f"Ask {label}.", **options)
    if description is None:
        source = spec.args[0] if issubclass(factory, CallableFunction | GeneratorFunction) else factory
        description = (inspect.getdoc(source) or "").partition("\n\n")[0]
    schema = _parameters_of(spec, factory) if parameters is None else parameters
    call = _call_of(target, label, streams=issubclass(factory, FunctionStream))
    return Tool.from_function(call, name=label, description=description, parameters=schema, **options)


def _parameters_of(spec: ChildSpec, factory: type[Function]) -> Mapping[str, Any]:
    validator = spec.kwargs.get("input_validator") or factory.input_validator
    schema_of = getattr(validator, "model_json_schema", None)
    if schema_of is not None:
        return schema_of()
    function = spec.args[0] if issubclass(factory, CallableFunction | GeneratorFunction) else factory.run
    return Tool.from_function(function, name="described").parameters


def _call_of(target: ChildSpec | ActorRef, name: str, *, streams: bool) -> Callable[..., Any]:
    # The name of the context's parameter is one that no function uses for an argument.
    async def call(tinyllm_tool_context: ToolContext, **arguments: Any) -> Any:
        report = tinyllm_tool_context.report if tinyllm_tool_context.heard else None
        async with open_member(target) as ref:
            bound = ref.within(None)  # by the tool's time-out
            result = await (
                _collect(bound, arguments, report) if streams and report is not None else bound(**arguments)
            )
        if result["status"] == "error":
            raise ToolError(name, result["message"])
        return result["output"]

    return call


async def _collect(ref: FunctionRef, arguments: dict[str, Any], report: Callable[[object], None]) -> Result:
    """Return the whole answer of a stream, telling each item."""
    items: list[Any] = []
    last: Result | None = None
    async with ref.stream(**arguments) as results:
        async for result in results:
            last = result
            if result["status"] == "success":
                items.append(result["output"])
                report(result["output"])
    if last is not None and last["status"] == "error":
        return last
    return {"status": "success", "output": items}
