"""Runs that are cancelled at any moment, in any way: what had been completed is kept, once, and the next run works.

Each run is made from a number, which the failure names.
"""

from __future__ import annotations

import os
from contextlib import aclosing, asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import msgspec
import pytest

from tinyllm_actors import ActorSystem, Agent, BufferMemory
from tinyllm_actors.errors import Overloaded
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
    ToolMessage,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

pytestmark = pytest.mark.anyio

RUNS = {"quick": 30, "thorough": 2_000}.get(os.environ.get("HYPOTHESIS_PROFILE", "ci"), 120)


class RandomModel(ChatModel):
    """Asks for tools, answers, dawdles or fails, as chance has it; once it is `calm` it only answers."""

    name = "random"

    def __init__(self, random: Random) -> None:
        self.random = random
        self.calm = False
        self.requests: list[ChatRequest] = []
        self.tokens = 0

    async def complete(self, request: ChatRequest) -> Completion:
        self.requests.append(request)
        if self.calm:
            return Completion(AssistantMessage("ok"))
        for _ in range(self.random.randint(1, 4)):
            await anyio.lowlevel.checkpoint()
        chance = self.random.random()
        if chance < 0.05:
            raise Overloaded("not now")
        if chance < 0.2 or not request.tools:
            return Completion(AssistantMessage("Here you are."))
        return Completion(AssistantMessage(None, [self._call(n) for n in range(self.random.randint(1, 4))]))

    def _call(self, index: int) -> ToolCall:
        self.tokens += 1
        name = self.random.choice(["work", "work", "work", "crash", "hang", "nobody"])
        arguments = {"token": f"t{self.tokens}", "steps": self.random.randint(0, 6)}
        return ToolCall(f"call_{index}", FunctionCall(name, msgspec.json.encode(arguments).decode()))

    @asynccontextmanager
    async def stream(self, request: ChatRequest) -> AsyncGenerator[AsyncIterator[StreamEvent]]:
        async def events() -> AsyncGenerator[StreamEvent, None]:
            completion = await self.complete(request)
            for piece in (completion.message.content or "").split():
                yield TextDelta(piece)
                await anyio.lowlevel.checkpoint()
            yield Completed(completion)

        async with aclosing(events()) as pieces:
            yield pieces


class Tools:
    """Tools that note what they have done, and what of that before the run was told to end."""

    def __init__(self) -> None:
        self.told_to_end = False
        self.over = anyio.Event()
        self.finished: list[str] = []
        self.in_time: list[str] = []

    async def work(self, token: str, steps: int) -> str:
        """Work."""
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()
        self.finished.append(token)
        if not self.told_to_end:
            self.in_time.append(token)
        return token

    async def crash(self, token: str, steps: int) -> str:
        """Crash."""
        for _ in range(steps):
            await anyio.lowlevel.checkpoint()
        raise ValueError(token)

    async def hang(self, token: str, steps: int) -> str:
        """Hang until all is over: a message that its run did not hear may have begun another."""
        await self.over.wait()
        raise ValueError(token)


async def interfere(random: Random, agent: Any, tools: Tools, scope: anyio.CancelScope) -> None:
    """Disturb the run now and then, and end it for good in the end."""
    for _ in range(random.randint(0, 40)):
        await anyio.lowlevel.checkpoint()
    kind = random.choice(["after_step", "inject", "finish", "none"])
    if kind == "after_step":
        await agent.cancel(after_step=True)
    elif kind == "inject":
        await agent.interject("And?")
    elif kind == "finish":
        await agent.finish()
    for _ in range(random.randint(0, 40)):
        await anyio.lowlevel.checkpoint()
    if random.random() < 0.5:
        tools.told_to_end = True
        await agent.cancel()
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
    tools.told_to_end = True
    scope.cancel()


async def one_run(seed: int, system: ActorSystem) -> None:
    """Let a run begin, and end in some way; then ask the agent something."""
    random = Random(seed)
    model, tools = RandomModel(random), Tools()
    spec = Agent.spec(
        model=model,
        tools=[tools.work, tools.crash, tools.hang],
        memory=BufferMemory.spec(buffer_size=1000),
        max_steps=6,
        max_retries=0,
    )
    agent: Any = await system.spawn(spec)
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            tasks.start_soon(interfere, random, agent, tools, scope)
            if random.random() < 0.5:
                await agent.within(None)(content="Go.")
            else:
                async with agent.stream(content="Go.") as events:
                    async for _ in events:
                        if random.random() < 0.02:
                            tools.told_to_end = True
                            break
        tasks.cancel_scope.cancel()
    model.calm = True
    tools.over.set()
    result = await agent(content="What is the state of things?")
    assert result["status"] == "success", result
    messages = model.requests[-1].messages
    expected: list[str] = []
    tokens: dict[str, str] = {}
    found: dict[str, list[str]] = {}
    for message in messages:
        if isinstance(message, AssistantMessage):
            assert expected == []
            expected = [call.id for call in message.tool_calls]
            tokens = {call.id: msgspec.json.decode(call.arguments)["token"] for call in message.tool_calls}
        elif isinstance(message, ToolMessage):
            assert message.tool_call_id == expected.pop(0)
            found.setdefault(tokens[message.tool_call_id], []).append(message.content)
        else:
            assert expected == []
    assert all(len(contents) == 1 for contents in found.values())
    lost = [token for token in tools.in_time if found.get(token) != [token]]
    assert lost == [], {token: found.get(token) for token in lost}
    made_up = [token for token, (content,) in found.items() if content == token and token not in tools.finished]
    assert made_up == []
    await agent.stop()


async def test_nothing_completed_is_lost_whenever_and_however_a_run_is_cancelled() -> None:
    """Of each call there is one result, in order; that of a tool which had returned is what it returned."""
    async with ActorSystem("test") as system:
        for seed in range(RUNS):
            try:
                with anyio.fail_after(30):
                    await one_run(seed, system)
            except BaseException as error:
                error.add_note(f"seed {seed}")
                raise
