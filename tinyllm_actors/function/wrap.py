"""Make a Function of a callable, a generator, or an object of another library."""

from __future__ import annotations

import functools
import inspect
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

import anyio.to_thread

from tinyllm_actors.function.foreign import ForeignFunction, is_foreign
from tinyllm_actors.function.function import Function
from tinyllm_actors.function.pulling import PullingIterator
from tinyllm_actors.function.stream import FunctionStream
from tinyllm_actors.kernel import ChildSpec

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

__all__ = ["CallableFunction", "GeneratorFunction", "as_function", "to_function_spec"]


class CallableFunction(Function):
    """Runs a callable: a coroutine function as it is, a plain function in a worker thread."""

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        super().__init__(**options)
        self._function = function
        self._is_async = _kind(function, inspect.iscoroutinefunction)

    async def run(self, **arguments: Any) -> Any:
        """Call it."""
        if self._is_async:
            return await self._function(**arguments)
        return await anyio.to_thread.run_sync(functools.partial(self._function, **arguments), abandon_on_cancel=True)


class GeneratorFunction(FunctionStream):
    """Streams what a generator yields: an async generator as it is, a plain one step by step in worker threads."""

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        super().__init__(**options)
        self._function = function

    async def run(self, **arguments: Any) -> AsyncGenerator[Any, None]:
        """Run it."""
        if _kind(self._function, inspect.isasyncgenfunction):
            items: Any = self._function(**arguments)
        else:
            items = PullingIterator(functools.partial(self._function, **arguments))
        async with aclosing(items):
            async for item in items:
                yield item


def as_function(function: Any, *, name: str | None = None, **options: Any) -> ChildSpec:
    """Return the spec of a Function that runs `function`.

    | what is given | what becomes of it |
    |---|---|
    | a coroutine function | is awaited |
    | a plain function | runs in a worker thread |
    | an async generator function | a `FunctionStream` |
    | a generator function | a `FunctionStream`, each step in a worker thread |
    | an object or class with `ainvoke` (LangChain), `achat` or `aquery` (LlamaIndex) | a `ForeignFunction` |

    Arguments are not checked against the annotations: pass `input_validator` where they come from outside.

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
        function: called with the call's arguments by name.
        name: what the Function is called; left out, the name of `function`, or of its class.
        **options: of `Function`.

    Raises:
        TypeError: `function` cannot be called.
    """
    label = name or getattr(function, "__name__", type(function).__name__)
    if is_foreign(function):
        kind: type[Function] = ForeignFunction
    elif not callable(function):
        raise TypeError(f"cannot make a Function of {function!r}: it is neither callable nor a known runnable")
    elif _kind(function, inspect.isasyncgenfunction) or _kind(function, inspect.isgeneratorfunction):
        kind = GeneratorFunction
    else:
        kind = CallableFunction
    return ChildSpec(kind, function, name=label, **options).named(label)


def _kind(function: Any, test: Callable[[Any], bool]) -> bool:
    """Whether a function, what it wraps, or the `__call__` of an object passes a test of `inspect`."""
    if isinstance(function, functools.partial):
        return _kind(cast("functools.partial[Any]", function).func, test)
    # The second look is for callable objects; the first sees through decorators.
    return test(inspect.unwrap(function)) or test(getattr(function, "__call__", None))  # noqa: B004


def to_function_spec(what: Any, **options: Any) -> ChildSpec:
    """Return the spec of a Function for a spec, a Function class, a thing with `spec()`, or what `as_function` takes.

    Args:
        what: one of these.
        **options: of `Function`, for what has none of its own: callables and foreign objects.

    Raises:
        TypeError: it is none of these.
    """
    if isinstance(what, ChildSpec):
        return what
    if not is_foreign(what) and callable(getattr(what, "spec", None)):
        return cast("ChildSpec", what.spec())
    if callable(what) or is_foreign(what):
        return as_function(what, **options)
    raise TypeError(f"cannot make a Function of {what!r}: give a Function spec, or a callable")
