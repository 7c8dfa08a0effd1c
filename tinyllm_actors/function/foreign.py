"""Runnables, chat engines and query engines of other libraries, as Functions.

They are recognised by their methods, so no such library is imported here: `ainvoke` and `astream` (LangChain), and
`achat` or `aquery` (LlamaIndex). These libraries need asyncio. On trio their plain methods (`invoke`, `chat` …) run
in a worker thread instead, where a cancelled call is left behind and finishes by itself.
"""

from __future__ import annotations

import functools
import inspect
import sys
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import anyio.to_thread

from tinyllm_actors.function.function import Function
from tinyllm_actors.function.pulling import PullingIterator
from tinyllm_actors.function.ref import Call
from tinyllm_actors.function.result import success

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

__all__ = ["ForeignFunction", "is_foreign"]

Emit: TypeAlias = "Callable[[Any], Awaitable[None]]"

_ANSWERS: Final = (("ainvoke", "invoke"), ("achat", "chat"), ("aquery", "query"))
"""The methods that answer: the asynchronous one and its plain twin, in order of preference."""
_STREAMS: Final = {"ainvoke": ("astream", "stream"), "achat": ("astream_chat", "stream_chat"), "aquery": ("", "")}


def is_foreign(thing: Any) -> bool:
    """Whether `thing` is an object, or a class of objects, with the methods of a foreign runnable."""
    return any(callable(getattr(thing, name, None)) for name, _ in _ANSWERS)


class ForeignFunction(Function):
    """Calls a runnable, chat engine or query engine of another library.

    A call with the argument `input` alone, or with one argument to a chat or query engine, hands that value over; any
    other hands the arguments over as a dictionary. The output is what the object answers. A stream delivers its
    pieces as success dictionaries, and at the end the whole: the pieces added up where they can be.

    Args:
        runnable: the object, or a class of which each incarnation makes one.
        **options: of `Function`.
    """

    def __init__(self, runnable: Any, **options: Any) -> None:
        super().__init__(**options)
        self._runnable = runnable() if isinstance(runnable, type) else runnable
        self._method, self._plain = next(pair for pair in _ANSWERS if callable(getattr(runnable, pair[0], None)))

    async def run(self, **arguments: Any) -> Any:
        """Call it."""
        value = self._value(arguments)
        if _on_asyncio():
            return await getattr(self._runnable, self._method)(value)
        plain = functools.partial(self._twin(self._plain), value)
        return await anyio.to_thread.run_sync(plain, abandon_on_cancel=True)

    async def produce(self, message: Any, emit: Emit) -> None:
        """Stream the pieces of its answer, and then the whole."""
        if type(message) is not Call:
            raise TypeError(f"{self.name} takes calls only; use `ref.stream(argument=value)`")

        async def run(**arguments: Any) -> Any:
            pieces: list[Any] = []
            async with aclosing(self._pieces(self._value(arguments))) as found:
                async for piece in found:
                    pieces.append(piece)
                    await emit(success(piece))
            return _added_up(pieces)

        asynchronous, _ = _STREAMS[self._method]
        streams = bool(asynchronous) and callable(getattr(self._runnable, asynchronous, None))
        await emit(await self._call(message.arguments, run if streams else None))

    async def _pieces(self, value: Any) -> AsyncGenerator[Any, None]:
        asynchronous, plain = _STREAMS[self._method]
        if not _on_asyncio():
            async with aclosing(PullingIterator(lambda: _iterator(self._twin(plain)(value)))) as found:
                async for piece in found:
                    yield piece
            return
        answer = getattr(self._runnable, asynchronous)(value)
        if inspect.isawaitable(answer):
            answer = await answer
        if not hasattr(answer, "__aiter__"):
            answer = answer.async_response_gen()  # a streaming chat response
        try:
            async for piece in answer:
                yield piece
        finally:
            close = getattr(answer, "aclose", None)
            if close is not None:
                await close()

    def _value(self, arguments: dict[str, Any]) -> Any:
        if set(arguments) == {"input"} or (self._method != "ainvoke" and len(arguments) == 1):
            return next(iter(arguments.values()))
        return arguments

    def _twin(self, plain: str) -> Callable[[Any], Any]:
        method = getattr(self._runnable, plain, None)
        if not callable(method):
            raise TypeError(
                f"{type(self._runnable).__name__} has no {plain}(), which is needed on trio; run the system on asyncio"
            )
        return method


def _on_asyncio() -> bool:
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _iterator(answer: Any) -> Any:
    return answer if hasattr(answer, "__iter__") else answer.response_gen


def _added_up(pieces: list[Any]) -> Any:
    """Return the pieces as one: joined text, or the sum of chunks that can be added; else their list."""
    if not pieces:
        return None
    try:
        whole = pieces[0]
        for piece in pieces[1:]:
            whole = whole + piece
    except TypeError:
        return pieces
    return whole
