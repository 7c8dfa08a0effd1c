"""Make a Function of a plain function."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, cast

import anyio.to_thread

from tinyllm_actors.function.function import Function
from tinyllm_actors.kernel import ChildSpec

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CallableFunction", "as_function", "to_function_spec"]


class CallableFunction(Function):
    """Runs a callable: a coroutine function as it is, a plain function in a worker thread."""

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        super().__init__(**options)
        self._function = function
        self._is_async = inspect.iscoroutinefunction(inspect.unwrap(function)) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - a callable object with an async __call__
        )

    async def run(self, **arguments: Any) -> Any:
        """Call it."""
        if self._is_async:
            return await self._function(**arguments)
        return await anyio.to_thread.run_sync(functools.partial(self._function, **arguments), abandon_on_cancel=True)


def as_function(function: Callable[..., Any], *, name: str | None = None, **options: Any) -> ChildSpec:
    """Return the spec of a Function that runs `function`.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem
    >>> from tinyllm_actors.function import as_function
    >>> async def shout(text: str) -> str:
    ...     return text.upper()
    >>> async def main() -> object:
    ...     async with ActorSystem("service") as system:
    ...         ref = await system.spawn(as_function(shout))
    ...         return await ref(text="hello")
    >>> anyio.run(main)
    {'status': 'success', 'output': 'HELLO'}

    ```

    Args:
        function: called with the call's arguments by name; a plain `def` runs in a worker thread.
        name: what the Function is called; left out, the name of `function`.
        **options: of `Function`.
    """
    label = name or getattr(function, "__name__", type(function).__name__)
    return ChildSpec(CallableFunction, function, name=label, **options).named(label)


def to_function_spec(what: Any) -> ChildSpec:
    """Return the spec of a Function for a spec, a Function class, a thing with `spec()`, or a callable.

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(what, ChildSpec):
        return what
    if hasattr(what, "spec"):
        return cast("ChildSpec", what.spec())
    if callable(what):
        return as_function(what)
    raise TypeError(f"cannot make a Function of {what!r}: give a Function spec, or a callable")
