"""A model that says what a test tells it to, and complains when it is not asked as the test expects."""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
import anyio.lowlevel
import msgspec

from tinyllm_actors.errors import ModelError
from tinyllm_actors.llm import (
    AssistantMessage,
    ChatModel,
    ChatRequest,
    Completed,
    Completion,
    FunctionCall,
    StreamEvent,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable

__all__ = ["ScriptError", "ScriptedModel", "Step", "fail", "hang", "text", "tool_call", "tool_calls"]


class ScriptError(AssertionError):
    """A scripted model was not used as its script says."""


@dataclass(frozen=True, slots=True)
class _Say:
    message: AssistantMessage
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class _Fail:
    error: BaseException
    after: str = ""


@dataclass(frozen=True, slots=True)
class _Hang:
    pass


Step: TypeAlias = "_Say | _Fail | _Hang | Callable[[ChatRequest], Step]"


def text(content: str, *, usage: Usage | None = None) -> Step:
    """Answer with this text, and say that it took so many tokens; left out, the model says nothing of tokens."""
    return _Say(AssistantMessage(content=content), usage)


def tool_call(name: str, /, **arguments: Any) -> Step:
    """Ask for one tool call."""
    return tool_calls((name, arguments))


def tool_calls(*calls: tuple[str, dict[str, Any] | str]) -> Step:
    """Ask for several tool calls at once: pairs of a name and its arguments (or their JSON text, to be wrong)."""
    return _Say(
        AssistantMessage(
            tool_calls=[
                ToolCall(
                    f"call_{index}",
                    FunctionCall(
                        name, arguments if isinstance(arguments, str) else msgspec.json.encode(arguments).decode()
                    ),
                )
                for index, (name, arguments) in enumerate(calls)
            ]
        )
    )


def fail(error: BaseException, *, after: str = "") -> Step:
    """Raise `error`; in a stream, after this text."""
    return _Fail(error, after)


def hang() -> Step:
    """Never answer."""
    return _Hang()


class ScriptedModel(ChatModel):
    """Answers call after call from a script, without any network.

    A call beyond the script fails, and so does closing the model (when its system ends) while steps are left. What
    it was asked is in `requests`.

    ```python
    >>> from tinyllm_actors import Agent, answer_text, run
    >>> from tinyllm_actors.testing import ScriptedModel, text, tool_call
    >>> def add(a: int, b: int) -> int:
    ...     '''Add two numbers.'''
    ...     return a + b
    >>> model = ScriptedModel([tool_call("add", a=1, b=2), text("It is 3.")])
    >>> result = run(Agent.spec(model=model, tools=[add]), content="What is 1 + 2?")
    >>> answer_text(result)
    'It is 3.'
    >>> model.requests[1].messages[-1].content
    '3'

    ```

    Args:
        steps: what to do at each call: `text`, `tool_call`, `tool_calls`, `fail`, `hang`, or a function from the
            request to one of these.
        name: of the model.
        chunk: characters in each piece of a streamed text.

    Raises:
        ScriptError: the model was called more or less often than the script says.
    """

    def __init__(self, steps: Iterable[Step], *, name: str = "scripted", chunk: int = 8) -> None:
        self.name = name
        self.requests: list[ChatRequest] = []
        self._steps = deque(steps)
        self._total = len(self._steps)
        self._chunk = max(1, chunk)
        self._unexpected = 0

    async def aclose(self) -> None:
        """Check that the script was played to its end."""
        self.verify()

    def verify(self) -> None:
        """Check that every step was used and no call came that has no step.

        Raises:
            ScriptError: that is not so.
        """
        if self._unexpected:
            raise ScriptError(
                f"{self.name!r} was called {self._total + self._unexpected} times; its script has {self._total} steps"
            )
        if self._steps:
            raise ScriptError(f"{self.name!r} has {len(self._steps)} of {self._total} steps left: {self._steps[0]!r} …")

    async def complete(self, request: ChatRequest) -> Completion:
        """Play the next step."""
        await anyio.lowlevel.checkpoint()
        return self._completion(await self._next(request))

    @asynccontextmanager
    async def stream(self, request: ChatRequest) -> AsyncGenerator[AsyncIterator[StreamEvent]]:
        """Play the next step in pieces."""
        events = self._events(request)
        try:
            yield events
        finally:
            await events.aclose()

    async def _events(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        await anyio.lowlevel.checkpoint()
        step = self._take(request)
        if isinstance(step, _Fail):
            for piece in self._pieces(step.after):
                yield TextDelta(piece)
            raise step.error
        if isinstance(step, _Hang):
            await anyio.sleep_forever()
        assert isinstance(step, _Say)
        for piece in self._pieces(step.message.content or ""):
            yield TextDelta(piece)
            await anyio.lowlevel.checkpoint()
        for index, call in enumerate(step.message.tool_calls):
            yield ToolCallDelta(index, call.id, call.name, call.arguments)
        yield Completed(self._completion(step))

    async def _next(self, request: ChatRequest) -> _Say:
        step = self._take(request)
        if isinstance(step, _Fail):
            raise step.error
        if isinstance(step, _Hang):
            await anyio.sleep_forever()
        assert isinstance(step, _Say)
        return step

    def _take(self, request: ChatRequest) -> _Say | _Fail | _Hang:
        self.requests.append(request)
        if not self._steps:
            self._unexpected += 1
            raise ModelError(
                f"call {self._total + self._unexpected} of {self.name!r} has no step in its script of {self._total}"
            )
        step = self._steps.popleft()
        while not isinstance(step, _Say | _Fail | _Hang):
            step = step(request)
        return self._with_fresh_ids(step) if isinstance(step, _Say) else step

    def _with_fresh_ids(self, step: _Say) -> _Say:
        """Give the tool calls ids that no other step's have."""
        message = step.message
        if not message.tool_calls:
            return step
        calls = [
            ToolCall(f"call_{len(self.requests)}_{index}", call.function)
            for index, call in enumerate(message.tool_calls)
        ]
        return _Say(msgspec.structs.replace(message, tool_calls=calls), step.usage)

    def _pieces(self, content: str) -> list[str]:
        return [content[start : start + self._chunk] for start in range(0, len(content), self._chunk)]

    def _completion(self, step: _Say) -> Completion:
        return Completion(
            message=step.message,
            finish_reason="tool_calls" if step.message.tool_calls else "stop",
            model=self.name,
            id=f"scripted-{len(self.requests)}",
            usage=step.usage or Usage(),
        )
