"""Reaching a run while it goes on: cancel, finish, inject, approve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors import ActorSystem, Agent, BufferMemory, tool
from tinyllm_actors.agent import (
    ApprovalRequested,
    ApprovalResolved,
    MessageInjected,
    RunFinished,
    TextDelta,
    ToolFinished,
    ToolStarted,
)
from tinyllm_actors.conversation import INTERRUPTED
from tinyllm_actors.errors import ActorStopped, UnknownApproval
from tinyllm_actors.llm import ToolMessage, UserMessage
from tinyllm_actors.testing import ScriptedModel, hang, text, tool_call, tool_calls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tinyllm_actors.agent import AgentRef

pytestmark = pytest.mark.anyio


def answer_of(result: Any) -> str:
    """Return the text of a success."""
    assert result["status"] == "success", result
    return result["output"]["response"]["choices"][0]["message"]["content"]


async def follow(agent: AgentRef, react: Callable[[Any], Awaitable[None]], **arguments: Any) -> Any:
    """Run, let `react` see each event, and return the dictionary at the end."""
    async with agent.stream(**arguments) as events:
        async for event in events:
            if isinstance(event, RunFinished):
                return event.result
            await react(event)


def results_in(model: ScriptedModel) -> list[str]:
    """Return the tool results that the model saw last."""
    return [message.content for message in model.requests[-1].messages if isinstance(message, ToolMessage)]


@tool
async def wait() -> str:
    """Wait for ever."""
    await anyio.sleep_forever()
    return ""


@tool
async def quick(key: str = "x") -> str:
    """Answer at once."""
    return f"value of {key}"


class Gate:
    """A tool that ends when the test says so."""

    def __init__(self) -> None:
        self.open = anyio.Event()

    @tool
    async def slow(self) -> str:
        """Take a while."""
        await self.open.wait()
        return "done"


@tool(requires_approval=True)
async def pay(amount: int) -> str:
    """Pay."""
    return f"paid {amount}"


async def test_a_cancelled_run_says_so_and_keeps_what_was_completed() -> None:
    """The caller gets the reason as a typed error; finished calls are kept, others closed; the next message works."""
    model = ScriptedModel([tool_calls(("quick", {}), ("wait", {})), text("Fine.")])
    async with ActorSystem("test") as system:
        agent: AgentRef = await system.spawn(Agent.spec(model=model, tools=[quick, wait]))

        async def react(event: Any) -> None:
            if isinstance(event, ToolFinished):
                assert await agent.cancel("enough")

        result = await follow(agent, react, content="Go")
        assert (result["error"]["type"], result["message"]) == ("RunCancelled", "enough")
        assert answer_of(await agent(content="Well?")) == "Fine."
    assert results_in(model) == ["value of x", INTERRUPTED]


async def test_a_cancelled_model_call_ends_at_once() -> None:
    """A run that waits for its model is cancelled too, plainly called."""
    model = ScriptedModel([hang(), text("Here.")])
    async with ActorSystem("test") as system:
        agent: AgentRef = await system.spawn(Agent.spec(model=model))
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(await agent(content="Hello?"))

        async with anyio.create_task_group() as group:
            group.start_soon(ask)
            await anyio.wait_all_tasks_blocked()
            assert await agent.cancel()
        assert answers[0]["error"]["type"] == "RunCancelled"
        assert answer_of(await agent(content="Hello?")) == "Here."


async def test_cancel_after_the_step_lets_it_end() -> None:
    """The calls in progress get their results; the model is not asked again."""
    gate = Gate()
    model = ScriptedModel([tool_call("slow"), text("Yes.")])
    async with ActorSystem("test") as system:
        agent: AgentRef = await system.spawn(Agent.spec(model=model, tools=[gate.slow]))

        async def react(event: Any) -> None:
            if isinstance(event, ToolStarted):
                assert await agent.cancel(after_step=True)
                gate.open.set()

        result = await follow(agent, react, content="Go")
        assert result["error"]["type"] == "RunCancelled"
        assert len(model.requests) == 1
        assert answer_of(await agent(content="Done?")) == "Yes."
    assert results_in(model) == ["done"]


async def test_without_a_run_there_is_nothing_to_cancel() -> None:
    """Wishes for a run that is not there are answered with False; a stopped agent is named."""
    async with ActorSystem("test") as system:
        agent: AgentRef = await system.spawn(Agent.spec(model=ScriptedModel([])), name="idle")
        assert not await agent.cancel()
        assert not await agent.finish()
        assert await agent.pending_approvals() == []
        with pytest.raises(UnknownApproval, match="'nope'"):
            await agent.approve("nope")
        await agent.stop()
        with pytest.raises(ActorStopped, match="idle"):
            await agent.cancel()


async def test_finish_takes_the_tools_away() -> None:
    """A run that shall finish gets an answer from the model without tools."""
    gate = Gate()
    model = ScriptedModel([tool_call("slow"), text("As far as I know: x.")])
    async with ActorSystem("test") as system:
        agent: AgentRef = await system.spawn(Agent.spec(model=model, tools=[gate.slow]))

        async def react(event: Any) -> None:
            if isinstance(event, ToolStarted):
                assert await agent.finish()
                gate.open.set()

        result = await follow(agent, react, content="Go")
        assert answer_of(result) == "As far as I know: x."
    assert [len(request.tools) for request in model.requests] == [1, 0]


async def test_an_injected_message_is_heard_before_the_next_model_call() -> None:
    """The model sees it behind the results; the reader is told."""
    gate = Gate()
    model = ScriptedModel([tool_call("slow"), text("For y, too.")])
    async with ActorSystem("test") as system:
        agent: AgentRef = await system.spawn(Agent.spec(model=model, tools=[gate.slow]))
        heard: list[Any] = []

        async def react(event: Any) -> None:
            if isinstance(event, ToolStarted):
                assert await agent.inject("And y?")
                gate.open.set()
            elif isinstance(event, MessageInjected):
                heard.append(event.content)

        result = await follow(agent, react, content="x?")
        assert answer_of(result) == "For y, too."
    assert heard == ["And y?"]
    assert model.requests[-1].messages[-1] == UserMessage("And y?")


async def test_an_answer_that_overlooks_a_message_is_not_the_end() -> None:
    """What is injected while the model answers is answered in the same run, and all of it is remembered."""
    model = ScriptedModel([text("It is x."), text("And y.")], chunk=4)
    async with ActorSystem("test") as system:
        memory = await system.spawn(BufferMemory)
        agent: AgentRef = await system.spawn(Agent.spec(model=model, memory=memory))
        said = False

        async def react(event: Any) -> None:
            nonlocal said
            if isinstance(event, TextDelta) and not said:
                said = await agent.inject("y?")

        result = await follow(agent, react, content="x?", buffer=1)
        assert answer_of(result) == "And y."
        held = (await memory())["output"]["memories"]
    assert [message.content for message in held] == ["x?", "It is x.", "y?", "And y."]


async def test_a_message_for_an_idle_agent_is_a_question() -> None:
    """Injected when nothing runs, or for when it is idle, it is a run of its own."""
    model = ScriptedModel([text("One."), text("Two."), text("Three.")])
    async with ActorSystem("test") as system:
        agent: AgentRef = await system.spawn(Agent.spec(model=model))
        assert not await agent.inject("1?")
        assert not await agent.inject("2?", when="when_idle")
        assert answer_of(await agent(content="3?")) == "Three."


async def test_a_person_approves_a_call() -> None:
    """It runs after the approval and not before; the reader sees the question and the decision."""
    model = ScriptedModel([tool_calls(("pay", {"amount": 5}), ("quick", {})), text("Paid.")])
    async with ActorSystem("test") as system:
        agent: AgentRef = await system.spawn(Agent.spec(model=model, tools=[pay, quick]))
        order: list[str] = []

        async def react(event: Any) -> None:
            order.append(type(event).__name__)
            if isinstance(event, ApprovalRequested):
                assert event.request.arguments == '{"amount":5}'
                assert await agent.pending_approvals() == [event.request]
            elif isinstance(event, ToolFinished) and event.outcome.name == "quick":
                await agent.approve("call_1_0")
            elif isinstance(event, ApprovalResolved):
                assert event.decision.verdict == "approve"

        result = await follow(agent, react, content="Pay")
        assert answer_of(result) == "Paid."
        assert order.index("ApprovalRequested") < order.index("ToolStarted") < order.index("ApprovalResolved")
    assert results_in(model) == ["paid 5", "value of x"]


async def test_a_person_edits_or_denies_a_call() -> None:
    """Edited arguments take the place of the model's; of a denial the model is told, with the reason."""
    model = ScriptedModel([tool_calls(("pay", {"amount": 5}), ("pay", {"amount": 7})), text("Half.")])
    async with ActorSystem("test") as system:
        agent: AgentRef = await system.spawn(Agent.spec(model=model, tools=[pay]))

        async def react(event: Any) -> None:
            if isinstance(event, ApprovalRequested):
                if event.request.call_id == "call_1_0":
                    await agent.approve("call_1_0", arguments='{"amount": 4}')
                    with pytest.raises(UnknownApproval):
                        await agent.approve("call_1_0")
                else:
                    await agent.deny("call_1_1", "too much")

        result = await follow(agent, react, content="Pay")
        assert answer_of(result) == "Half."
    paid, denied = results_in(model)
    assert paid == "paid 4"
    assert "too much" in denied


@pytest.mark.parametrize("after_step", [False, True])
async def test_a_run_that_waits_for_a_person_can_be_cancelled(after_step: bool) -> None:
    """Waiting is no step: both ways of cancelling end it, and the call is closed."""
    model = ScriptedModel([tool_call("pay", amount=5), text("Fine.")])
    async with ActorSystem("test") as system:
        agent: AgentRef = await system.spawn(Agent.spec(model=model, tools=[pay]))

        async def react(event: Any) -> None:
            if isinstance(event, ApprovalRequested):
                await agent.cancel(after_step=after_step)

        result = await follow(agent, react, content="Pay")
        assert result["error"]["type"] == "RunCancelled"
        assert answer_of(await agent(content="Well?")) == "Fine."
    (closed,) = results_in(model)
    assert "was stopped" in closed if after_step else closed == INTERRUPTED
