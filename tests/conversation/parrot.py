"""A model that decides by what was said, so that it says the same whenever, and however often, it is asked."""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel

from tinyllm_actors.llm import (
    AssistantMessage,
    ChatModel,
    Completed,
    Completion,
    FunctionCall,
    ToolCall,
    ToolMessage,
    Usage,
    UserMessage,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from tinyllm_actors.llm import ChatRequest


class Parrot(ChatModel):
    """Answers `re: …`; `call NAME` calls a tool first, `hang` is never answered.

    Attributes:
        asked: what was said last, of each request.
    """

    name = "parrot"

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def complete(self, request: ChatRequest) -> Completion:
        """Answer after a step of the loop."""
        await anyio.lowlevel.checkpoint()
        last = request.messages[-1]
        said = next(str(m.content) for m in reversed(request.messages) if isinstance(m, UserMessage))
        self.asked.append(str(last.content))
        if said == "hang":
            await anyio.sleep_forever()
        if said.startswith("call ") and not isinstance(last, ToolMessage):
            call = ToolCall(f"c{len(request.messages)}", FunctionCall(said.split()[1], "{}"))
            message = AssistantMessage(tool_calls=[call])
        else:
            message = AssistantMessage(f"re: {said}")
        return Completion(message, model=self.name, usage=Usage(1, 1, 2))

    @asynccontextmanager
    async def stream(self, request: ChatRequest) -> AsyncGenerator[AsyncIterator[Any]]:
        """Answer in one piece."""

        async def events() -> AsyncGenerator[Any]:
            yield Completed(await self.complete(request))

        async with aclosing(events()) as made:
            yield made
