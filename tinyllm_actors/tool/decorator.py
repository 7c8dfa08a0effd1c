"""`@tool`: make a tool of a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from tinyllm_actors.tool.definition import Tool, caller_locals

if TYPE_CHECKING:
    from typing import Unpack

    from tinyllm_actors.tool.explicit import Validator
    from tinyllm_actors.tool.options import ToolOptions

__all__ = ["tool"]

P = ParamSpec("P")
R = TypeVar("R")


@overload
def tool(function: Callable[P, R], /) -> Tool[P, R]: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    validator: Validator | None = None,
    **options: Unpack[ToolOptions],
) -> Callable[[Callable[P, R]], Tool[P, R]]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Mapping[str, Any] | None = None,
    validator: Validator | None = None,
    **options: Unpack[ToolOptions],
) -> Any:
    """Make a tool of a function, with or without options.

    What the model is told comes from the signature, the annotations and the docstring; `Tool.from_function` explains
    the arguments, and `ToolOptions` the options.

    ```python
    >>> from typing import Annotated, Literal
    >>> @tool(timeout=5.0)
    ... def forecast(city: str, days: Annotated[int, "1 to 7"] = 1, unit: Literal["C", "F"] = "C") -> str:
    ...     '''Look up the weather.
    ...
    ...     Args:
    ...         city: in English.
    ...     '''
    ...     return f"{city}: sunny"
    >>> forecast.description
    'Look up the weather.'
    >>> forecast.parameters["properties"]["days"]
    {'default': 1, 'description': '1 to 7', 'type': 'integer'}
    >>> forecast.validate('{"city": "Paris", "days": "3"}')
    {'city': 'Paris', 'days': 3}
    >>> forecast("Paris")
    'Paris: sunny'

    ```

    Raises:
        ConfigurationError: the function or an option does not fit; the message says what to do.
    """

    def decorate(function: Callable[..., Any], local_names: Mapping[str, object] | None = None) -> Tool[..., Any]:
        return Tool.from_function(
            function,
            name=name,
            description=description,
            parameters=parameters,
            validator=validator,
            local_names=caller_locals() if local_names is None else local_names,
            **options,
        )

    return decorate if function is None else decorate(function, caller_locals())
