"""Ways to hold a conversation with one tool: by hand, with an agent of ours, and the two model calls alone."""

from __future__ import annotations

from contextlib import asynccontextmanager, nullcontext
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

__all__ = ["CHARACTER", "Conversation", "Subject", "aiohttp_by_hand", "get_user_property", "our_adapter", "our_agent"]

CHARACTER = "You are a helpful assistant."


async def get_user_property(asked_property: Literal["name", "birthday"]) -> str:
    """Look up a property of the current user."""
    return {"name": "Elias", "birthday": "January 1st"}[asked_property]


class Conversation(Protocol):
    """One user's conversation; it remembers what was said."""

    async def turn(self, content: str) -> None:
        """Say something; the model calls the tool once, and answers."""
        ...

    async def stream(self, content: str) -> int:
        """Say something and read the answer as it comes; returns how many pieces came."""
        ...


class Subject(Protocol):
    """One way to hold conversations."""

    async def conversation(self, base: str, *, forgetful: bool = False) -> Conversation:
        """Begin one.

        Args:
            base: address of the model.
            forgetful: it remembers the last turn at most, so that a turn costs the same however many came before.
        """
        ...


# --- by hand --------------------------------------------------------------------------------------


@asynccontextmanager
async def aiohttp_by_hand() -> AsyncGenerator[Subject]:
    """Open an aiohttp session: dictionaries, msgspec for JSON, nothing checked."""
    import aiohttp
    import msgspec

    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    parameters = {
        "type": "object",
        "properties": {"asked_property": {"enum": ["name", "birthday"], "type": "string"}},
        "required": ["asked_property"],
    }
    function = {"name": "get_user_property", "description": get_user_property.__doc__, "parameters": parameters}
    tools = [{"type": "function", "function": function}]

    class ByHand:
        def __init__(self, base: str, forgetful: bool) -> None:
            self.url = f"{base}/chat/completions"
            self.messages: list[dict[str, Any]] = [{"role": "system", "content": CHARACTER}]
            self.forgetful = forgetful

        async def turn(self, content: str) -> None:
            if self.forgetful:
                del self.messages[1:-4]
            self.messages.append({"role": "user", "content": content})
            while True:
                body = msgspec.json.encode({"model": "bench", "messages": self.messages, "tools": tools})
                async with session.post(self.url, data=body) as response:
                    message = msgspec.json.decode(await response.read())["choices"][0]["message"]
                self.messages.append(message)
                if not message.get("tool_calls"):
                    return
                for call in message["tool_calls"]:
                    arguments = msgspec.json.decode(call["function"]["arguments"])
                    result = await get_user_property(**arguments)
                    self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})

        async def stream(self, content: str) -> int:
            self.messages.append({"role": "user", "content": content})
            body = msgspec.json.encode({"model": "bench", "messages": self.messages, "tools": tools, "stream": True})
            rest, seen, text = b"", 0, ""
            async with session.post(self.url, data=body) as response:
                async for piece in response.content.iter_any():
                    *events, rest = (rest + piece).split(b"\n\n")
                    for event in events:
                        if event != b"data: [DONE]":
                            seen += 1
                            text += msgspec.json.decode(event[6:])["choices"][0]["delta"].get("content", "")
            self.messages.append({"role": "assistant", "content": text})
            return seen

    class Hands:
        async def conversation(self, base: str, *, forgetful: bool = False) -> Conversation:
            return ByHand(base, forgetful)

    async with session:
        yield Hands()


# --- ours -----------------------------------------------------------------------------------------


def _model(base: str, litellm: bool) -> Any:
    if litellm:
        from tinyllm_actors.integrations.litellm import LiteLLMModel

        return LiteLLMModel("openai/bench", api_base=base, api_key="x")
    from tinyllm_actors.integrations.openai_compatible import OpenAICompatibleModel

    return OpenAICompatibleModel("bench", api_base=base, api_key="x")


def _instant() -> Any:
    """Return a model that asks for the tool and answers without any network, at once."""
    from tinyllm_actors.llm import AssistantMessage, ChatModel, Completion, FunctionCall, ToolCall, Usage, UserMessage

    function = FunctionCall("get_user_property", '{"asked_property": "birthday"}')
    answer = Completion(AssistantMessage("January 1st is the birthday of the user."), usage=Usage(12, 9, 21))
    numbers = count()

    class Instant(ChatModel):
        name = "instant"

        async def complete(self, request: Any) -> Completion:
            if not isinstance(request.messages[-1], UserMessage):
                return answer
            call = ToolCall(f"call_{next(numbers)}", function)
            return Completion(AssistantMessage(tool_calls=[call]), usage=answer.usage)

        def stream(self, request: Any) -> Any:
            raise NotImplementedError

    return Instant()


@asynccontextmanager
async def our_agent(*, litellm: bool = False, instant: bool = False, short: bool = False) -> AsyncGenerator[Subject]:
    """Start a system: an agent for each conversation, its model, memory, toolkit and tool as actors of their own.

    Args:
        litellm: its model is litellm's.
        instant: its model answers at once, without a network.
        short: with `short_pauses()`.
    """
    from pydantic import BaseModel

    from tinyllm_actors import ActorSystem, Agent, BufferMemory
    from tinyllm_actors.agent import RunFinished, TextDelta
    from tinyllm_actors.kernel import short_pauses

    class Output(BaseModel):
        response: dict[str, Any]

    models: dict[str, Any] = {}
    specs: dict[tuple[str, bool], Any] = {}

    class OurAgent:
        def __init__(self, agent: Any) -> None:
            self.agent = agent

        async def turn(self, content: str) -> None:
            result = await self.agent(content=content)
            assert result["status"] == "success", result

        async def stream(self, content: str) -> int:
            seen = 0
            last: Any = None
            async with self.agent.stream(content=content) as events:
                async for event in events:
                    seen += type(event) is TextDelta
                    last = event
            assert isinstance(last, RunFinished)
            assert last.result["status"] == "success", last.result
            return seen

    class Agents:
        async def conversation(self, base: str, *, forgetful: bool = False) -> Conversation:
            if base not in models:
                models[base] = _instant() if instant else _model(base, litellm)
            if (base, forgetful) not in specs:
                specs[base, forgetful] = Agent.spec(
                    model=models[base],
                    system_role=CHARACTER,
                    tools=[get_user_property],
                    memory=BufferMemory.spec(buffer_size=4 if forgetful else 100),
                    output_validator=Output,
                )
            return OurAgent(await system.spawn(specs[base, forgetful]))

    with short_pauses() if short else nullcontext():
        async with ActorSystem("bench") as system:
            yield Agents()


@asynccontextmanager
async def our_adapter(*, litellm: bool = False) -> AsyncGenerator[Subject]:
    """Open a model, and make the calls of a turn with it and nothing else: the cost below an agent."""
    from tinyllm_actors import Tool
    from tinyllm_actors.llm import (
        AssistantMessage,
        ChatRequest,
        SystemMessage,
        TextDelta,
        ToolMessage,
        ToolSchema,
        UserMessage,
    )

    models: dict[str, Any] = {}
    tool = Tool.of(get_user_property)
    tools = [ToolSchema(tool.name, tool.description, tool.parameters, tool.strict)]

    class Calls:
        def __init__(self, model: Any) -> None:
            self.model = model
            answer = AssistantMessage("January 1st is the birthday of the user.")
            self.history: list[Any] = [SystemMessage(CHARACTER), UserMessage("When?"), answer]

        async def turn(self, content: str) -> None:
            messages = [*self.history, UserMessage(content)]
            first = await self.model.complete(ChatRequest(messages=messages, tools=tools))
            (call,) = first.message.tool_calls
            messages += [first.message, ToolMessage(call.id, "January 1st", call.name)]
            assert (await self.model.complete(ChatRequest(messages=messages, tools=tools))).message.content

        async def stream(self, content: str) -> int:
            seen = 0
            request = ChatRequest(messages=[*self.history, UserMessage(content)], tools=tools)
            async with self.model.stream(request) as events:
                async for event in events:
                    seen += type(event) is TextDelta
            return seen

    class Adapters:
        async def conversation(self, base: str, *, forgetful: bool = False) -> Conversation:
            if base not in models:
                models[base] = _model(base, litellm)
                await models[base].open()
            return Calls(models[base])

    try:
        yield Adapters()
    finally:
        for model in models.values():
            await model.aclose()
