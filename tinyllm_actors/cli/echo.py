"""A model without a model: it makes conversations and demonstrations possible where no model is."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio
import msgspec

from tinyllm_actors.llm import (
    AssistantMessage,
    ChatModel,
    Completed,
    Completion,
    FunctionCall,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    ToolMessage,
    Usage,
    UserMessage,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from tinyllm_actors.llm import ChatRequest, StreamEvent

__all__ = ["EchoModel"]

TOOL: Final = "get_user_property"
PROPERTY: Final = re.compile(r"\b(birthday|name)\b", re.IGNORECASE)


class EchoModel(ChatModel):
    """Asks for the tool `get_user_property` where the user's words name a property, and else says them again.

    To show that it was told the whole conversation, it adds what the user said before.

    Args:
        pace: seconds between two words of a streamed answer.
    """

    name = "scripted"

    def __init__(self, *, pace: float = 0.02) -> None:
        self._pace = pace
        self._calls = 0

    async def complete(self, request: ChatRequest) -> Completion:
        """Answer at once."""
        return self._completion(request)

    @asynccontextmanager
    async def stream(self, request: ChatRequest) -> AsyncGenerator[AsyncIterator[StreamEvent]]:
        """Answer word by word."""
        events = self._events(request)
        try:
            yield events
        finally:
            await events.aclose()

    async def _events(self, request: ChatRequest) -> AsyncGenerator[StreamEvent, None]:
        completion = self._completion(request)
        for word in re.findall(r"\S+\s*|\s+", completion.message.content or ""):
            await anyio.sleep(self._pace)
            yield TextDelta(word)
        for index, call in enumerate(completion.message.tool_calls):
            yield ToolCallDelta(index, call.id, call.name, call.arguments)
        yield Completed(completion)

    def _completion(self, request: ChatRequest) -> Completion:
        self._calls += 1
        message = self._answer(request)
        return Completion(
            message=message,
            finish_reason="tool_calls" if message.tool_calls else "stop",
            model=self.name,
            id=f"scripted-{self._calls}",
            usage=Usage(),
        )

    def _answer(self, request: ChatRequest) -> AssistantMessage:
        last = request.messages[-1]
        said = [str(message.content) for message in request.messages if isinstance(message, UserMessage)]
        words = said[-1]
        asked = PROPERTY.search(words)
        if isinstance(last, ToolMessage):
            return AssistantMessage(
                content=f"The user's {asked[1].lower() if asked else 'property'} is {last.content}."
            )
        if asked and any(tool.name == TOOL for tool in request.tools):
            arguments = msgspec.json.encode({"asked_property": asked[1].lower()}).decode()
            return AssistantMessage(tool_calls=[ToolCall(f"call_{self._calls}", FunctionCall(TOOL, arguments))])
        before = f"\nBefore that: {said[-2][:60]}" if len(said) > 1 else ""
        return AssistantMessage(content=f"You said: {words}{before}")
