"""Observations of user code: a block, or a function each time that it is called."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tinyllm_actors.function.tracing.observation import CURRENT_OBSERVATION
from tinyllm_actors.kernel.envelope import CURRENT
from tinyllm_actors.kernel.stream import CLEANUP_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextvars import Token
    from types import TracebackType

    from tinyllm_actors.function.tracing.hub import Tracing
    from tinyllm_actors.function.tracing.observation import Kind, Observation

__all__ = ["observation", "observe"]

F = TypeVar("F", bound="Callable[..., Any]")


class observe:
    """Observe a block: `with observe("parse", kind="chain") as observation: …`.

    It is inside of the observation that the code runs in, and those that begin in the block are inside of it. An
    exception is noted and goes on. Where nothing is traced, the block gets None, and costs next to nothing.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem, Function
    >>> from tinyllm_actors.function.tracing import observe, start_tracing
    >>> from tinyllm_actors.testing import TraceRecorder
    >>> class Reader(Function):
    ...     async def run(self, text: str) -> int:
    ...         with observe("count", input=text) as observation:
    ...             words = len(text.split())
    ...             if observation is not None:
    ...                 observation.output = words
    ...         return words
    >>> async def main() -> None:
    ...     recorder = TraceRecorder()
    ...     async with ActorSystem("service") as system:
    ...         await start_tracing(system, recorder)
    ...         await (await system.spawn(Reader))(text="to be or not")
    ...     print(recorder.render())
    >>> anyio.run(main)
    Reader  span
    └── count  span

    ```

    Args:
        name: what it is called.
        kind: what it is.
        input: what it works on.
        user_id: on whose behalf, for it and all inside of it; left out, that of what is around.
        session_id: likewise as part of what.
        tags: for it and all inside of it, beside those of what is around.
    """

    __slots__ = ("_found", "_input", "_kind", "_name", "_session_id", "_tags", "_token", "_user_id")

    def __init__(
        self,
        name: str,
        *,
        kind: Kind = "span",
        input: Any = None,
        user_id: str | None = None,
        session_id: str | None = None,
        tags: tuple[str, ...] = (),
    ) -> None:
        self._name = name
        self._kind: Kind = kind
        self._input = input
        self._user_id = user_id
        self._session_id = session_id
        self._tags = tags
        self._found: Observation | None = None
        self._token: Token[Observation | None] | None = None

    def __enter__(self) -> Observation | None:
        hub = _hub()
        if hub is None:
            return None
        self._found = found = hub.start(self._name, self._kind, self._input, CURRENT_OBSERVATION.get())
        self._token = CURRENT_OBSERVATION.set(found)
        found.user_id = self._user_id or found.user_id
        found.session_id = self._session_id or found.session_id
        found.tags += tuple(tag for tag in self._tags if tag not in found.tags)
        hub.announce(found)
        return found

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        found, token = self._found, self._token
        if found is None or token is None:
            return
        CURRENT_OBSERVATION.reset(token)
        if error is None:
            found.hub.end(found, found.output)
        else:
            found.hub.break_off(found, error)


def observation(name: str | None = None, *, kind: Kind = "span", capture: bool = True) -> Callable[[F], F]:
    """Observe a function each time that it is called: `@observation(kind="retriever")`.

    For functions, coroutine functions and async generator functions. What a generator yields is its output.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem, Function
    >>> from tinyllm_actors.function.tracing import observation, start_tracing
    >>> from tinyllm_actors.testing import TraceRecorder
    >>> @observation(kind="retriever")
    ... async def look_up(word: str) -> str:
    ...     return word.upper()
    >>> class Dictionary(Function):
    ...     async def run(self, word: str) -> str:
    ...         return await look_up(word)
    >>> async def main() -> None:
    ...     recorder = TraceRecorder()
    ...     async with ActorSystem("service") as system:
    ...         await start_tracing(system, recorder)
    ...         await (await system.spawn(Dictionary))(word="actor")
    ...     inner = recorder.find("look_up")
    ...     print(inner.kind, inner.input, inner.output)
    >>> anyio.run(main)
    retriever {'word': 'actor'} ACTOR

    ```

    Args:
        name: what it is called; left out, the function's name.
        kind: what it is.
        capture: keep the arguments and what is returned.
    """

    def decorate(function: F) -> F:
        label = name or function.__name__
        signature = inspect.signature(function)

        def given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if not capture or _hub() is None:
                return None
            try:
                found = dict(signature.bind(*args, **kwargs).arguments)
            except TypeError:  # the call itself says so better
                return None
            found.pop("self", None)
            return found

        @functools.wraps(function)
        async def later(*args: Any, **kwargs: Any) -> Any:
            with observe(label, kind=kind, input=given(args, kwargs)) as found:
                answer = await function(*args, **kwargs)
                if found is not None and capture:
                    found.output = answer
                return answer

        @functools.wraps(function)
        def now(*args: Any, **kwargs: Any) -> Any:
            with observe(label, kind=kind, input=given(args, kwargs)) as found:
                answer = function(*args, **kwargs)
                if found is not None and capture:
                    found.output = answer
                return answer

        @functools.wraps(function)
        def stream(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
            return _observed_stream(
                function(*args, **kwargs), observe(label, kind=kind, input=given(args, kwargs)), capture
            )

        if inspect.isasyncgenfunction(function):
            return cast("F", stream)
        return cast("F", later if inspect.iscoroutinefunction(function) else now)

    return decorate


async def _observed_stream(
    items: AsyncGenerator[Any, None], block: observe, capture: bool
) -> AsyncGenerator[Any, None]:
    """Yield what `items` does; only while it works is its observation the current one, not while the reader does."""
    import anyio

    around = CURRENT_OBSERVATION.get()
    found = block.__enter__()
    CURRENT_OBSERVATION.set(around)
    kept: list[Any] = []
    error: BaseException | None = None
    try:
        while True:
            token = CURRENT_OBSERVATION.set(found)
            try:
                item = await anext(items)
            except StopAsyncIteration:
                break
            finally:
                CURRENT_OBSERVATION.reset(token)
            if found is not None:
                found.first_output()
                if capture:
                    kept.append(item)
            yield item
    except BaseException as failure:
        error = failure
        raise
    finally:
        with anyio.CancelScope(shield=True, deadline=anyio.current_time() + CLEANUP_SECONDS):
            await items.aclose()
        if found is not None:
            found.output = kept if capture else None
            if error is None:
                found.hub.end(found, found.output)
            else:
                found.hub.break_off(found, error)


def _hub() -> Tracing | None:
    """Return what the running code is traced by; None if nobody wants to know."""
    around = CURRENT_OBSERVATION.get()
    if around is not None:
        return around.hub
    envelope = CURRENT.get()
    return None if envelope is None else envelope.receiver.system.tracing
