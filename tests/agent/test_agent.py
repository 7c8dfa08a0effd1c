"""The agent with a scripted model: runs that succeed, fail, stop and are cancelled."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tinyllm_actors import ActorSystem, Agent, Backoff, BufferMemory, tool
from tinyllm_actors.agent import (
    MessageCompleted,
    RunFinished,
    RunStarted,
    TextDelta,
    ToolFinished,
    ToolStarted,
    UsageUpdated,
)
from tinyllm_actors.conversation import INTERRUPTED
from tinyllm_actors.errors import AuthenticationFailed, Overloaded, StartFailed, StreamInterrupted, UnknownModel
from tinyllm_actors.llm import AssistantMessage, SystemMessage, ToolMessage, UserMessage
from tinyllm_actors.testing import ScriptedModel, ScriptError, fail, hang, text, tool_call, tool_calls

pytestmark = pytest.mark.anyio


@tool
async def lookup(key: str) -> str:
    """Look something up."""
    return f"value of {key}"


def answer_of(result: Any) -> str:
    """Return the text of a success."""
    assert result["status"] == "success", result
    return result["output"]["response"]["choices"][0]["message"]["content"]


async def collect(agent: Any, content: str) -> list[Any]:
    """Return the events of a streamed run."""
    async with agent.stream(content=content) as events:
        return [event async for event in events]


async def test_the_history_grows_from_question_to_question() -> None:
    """The model sees the system role, then everything that was said, calls with their results."""
    model = ScriptedModel([tool_call("lookup", key="x"), text("It is x."), text("Yes.")])
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model, system_role="Be brief.", tools=[lookup]))
        assert answer_of(await agent(content="What is it?")) == "It is x."
        assert answer_of(await agent(content="Sure?")) == "Yes."
    kinds = [type(message) for message in model.requests[-1].messages]
    assert kinds == [
        SystemMessage,
        UserMessage,
        AssistantMessage,
        ToolMessage,
        AssistantMessage,
        UserMessage,
    ]
    assert model.requests[-1].messages[3] == ToolMessage("call_1_0", "value of x", "lookup")


async def test_a_streamed_run_tells_everything_and_ends_with_the_result() -> None:
    """Events come in order, the deltas make up the text, and the last one is what a plain call answers."""
    model = ScriptedModel([tool_call("lookup", key="x"), text("It is x, I think.")])
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model, tools=[lookup]), name="Agent")
        events = await collect(agent, "What is it?")
    assert isinstance(events[0], RunStarted)
    assert events[0].agent == "Agent"
    kinds: list[Any] = [type(event) for event in events if not isinstance(event, TextDelta)]
    assert kinds[2:] == [
        MessageCompleted,
        UsageUpdated,
        ToolStarted,
        ToolFinished,
        MessageCompleted,
        UsageUpdated,
        RunFinished,
    ]
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "It is x, I think."
    assert answer_of(events[-1].result) == "It is x, I think."


async def test_a_crashing_tool_fails_its_call_and_not_the_conversation() -> None:
    """The model is told, and answers all the same."""

    def crash() -> None:
        """Crash."""
        raise RuntimeError("disk on fire")

    model = ScriptedModel([tool_calls(("crash", {}), ("lookup", {"key": "x"}), ("nope", {})), text("Sorry.")])
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model, tools=[crash, lookup]))
        assert answer_of(await agent(content="Go")) == "Sorry."
    results = [message for message in model.requests[-1].messages if isinstance(message, ToolMessage)]
    assert [result.tool_call_id for result in results] == ["call_1_0", "call_1_1", "call_1_2"]
    assert "disk on fire" in results[0].content
    assert results[1].content == "value of x"
    assert "no tool 'nope'" in results[2].content


async def test_a_failed_model_call_leaves_a_valid_history() -> None:
    """The error names the cause; the question stays, and the next one is answered."""
    model = ScriptedModel([fail(AuthenticationFailed("the key was refused")), text("Back.")])
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model))
        result = await agent(content="Hello?")
        assert (result["message"], result["error"]["type"]) == ("the key was refused", "AuthenticationFailed")
        assert answer_of(await agent(content="Again?")) == "Back."
    assert [message.content for message in model.requests[-1].messages[1:]] == ["Hello?", "Again?"]


async def test_the_part_of_an_answer_is_kept() -> None:
    """What had arrived when a stream broke off is in the dictionary and in the history."""
    broken = StreamInterrupted("the connection was lost", output_started=True, partial="It is ")
    model = ScriptedModel([fail(broken, after="It is "), text("x.")])
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model))
        *_, last = await collect(agent, "What?")
        assert last.result["error"]["type"] == "StreamInterrupted"
        assert last.result["error"]["partial"] == "It is "
        assert answer_of(await agent(content="Go on")) == "x."
    assert model.requests[-1].messages[2] == AssistantMessage(content="It is ")


async def test_failures_that_pass_are_tried_again() -> None:
    """A model that is overloaded twice is asked three times, and no more often than allowed."""
    busy = Overloaded("try later", retry_after=0.0)
    model = ScriptedModel([fail(busy), fail(busy), text("There.")])
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model, backoff=Backoff(0.0, 0.0)))
        assert answer_of(await agent(content="Hello?")) == "There."
    model = ScriptedModel([fail(busy)])
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model, max_retries=0))
        assert (await agent(content="Hello?"))["error"]["type"] == "Overloaded"


@pytest.mark.virtual_time
async def test_a_silent_model_is_given_up() -> None:
    """The idle time-out is an error that says so, plainly and streamed."""
    model = ScriptedModel([hang(), hang(), text("Here.")])
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model, idle_timeout=0.01, max_retries=0))
        assert (await agent(content="Hello?"))["error"]["type"] == "ModelTimeout"
        *_, last = await collect(agent, "Hello?")
        assert last.result["error"]["type"] == "ModelTimeout"
        assert answer_of(await agent(content="Hello?")) == "Here."


@pytest.mark.virtual_time
@pytest.mark.parametrize("streamed", [False, True])
async def test_a_silent_model_is_given_up_before_the_deadline(streamed: bool) -> None:
    """The caller hears of the model's silence a moment before it would hear of its own time-out only."""
    model = ScriptedModel([hang(), text("Here.")])
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model, idle_timeout=1000.0, max_retries=0))
        began = anyio.current_time()
        patient = agent.within(20.0)
        result = (await collect(patient, "Hello?"))[-1].result if streamed else await patient(content="Hello?")
        assert result["error"]["type"] == "ModelTimeout"
        assert 18.0 < anyio.current_time() - began < 20.0
        assert answer_of(await agent(content="Hello?")) == "Here."


async def test_a_run_has_a_limit_of_steps() -> None:
    """A model that never answers is stopped at the limit; the completed results are kept."""
    model = ScriptedModel([tool_call("lookup", key=str(n)) for n in range(3)])
    async with ActorSystem("test") as system:
        memory = await system.spawn(BufferMemory)
        agent = await system.spawn(Agent.spec(model=model, tools=[lookup], memory=memory, max_steps=3))
        result = await agent(content="Go")
        assert result["error"]["type"] == "StepLimitExceeded"
        held = (await memory())["output"]["memories"]
        assert [message.content for message in held if isinstance(message, ToolMessage)] == [
            f"value of {n}" for n in range(3)
        ]


async def test_a_model_in_a_loop_has_its_tools_withheld() -> None:
    """After three equal rounds it is asked without tools."""
    model = ScriptedModel([*[tool_call("lookup", key="x")] * 3, text("It is x.")])
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model, tools=[lookup], tool_retries=3))
        assert answer_of(await agent(content="Go")) == "It is x."
    assert [len(request.tools) for request in model.requests] == [1, 1, 1, 0]


async def test_cancelling_keeps_what_was_completed() -> None:
    """After a cancel in the middle of two calls the finished result is kept, the other closed as interrupted."""
    finished, waiting = anyio.Event(), anyio.Event()

    async def quick() -> str:
        """End at once."""
        finished.set()
        return "quick result"

    async def slow() -> str:
        """Wait for ever."""
        await finished.wait()
        waiting.set()
        await anyio.sleep_forever()
        return ""

    model = ScriptedModel([tool_calls(("quick", {}), ("slow", {})), text("Fine.")])
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model, tools=[quick, slow]))
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: agent(content="Go"))
            await waiting.wait()
            await anyio.wait_all_tasks_blocked()
            group.cancel_scope.cancel()
        assert answer_of(await agent(content="Well?")) == "Fine."
    results = [message for message in model.requests[-1].messages if isinstance(message, ToolMessage)]
    assert [result.content for result in results] == ["quick result", INTERRUPTED]


async def test_leaving_a_stream_keeps_the_text_that_came() -> None:
    """Leaving a streamed run stops the model; its partial answer is part of the history."""
    model = ScriptedModel([text("one two three four five six"), text("Fine.")], chunk=4)
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model))
        async with agent.stream(content="Count", buffer=1) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    break
        assert answer_of(await agent(content="Well?")) == "Fine."
    kept = model.requests[-1].messages[2]
    assert isinstance(kept, AssistantMessage)
    assert kept.content
    assert "one two three four five six".startswith(kept.content)


async def test_a_shared_memory_joins_two_agents() -> None:
    """What one agent heard the other knows."""
    model = ScriptedModel([text("Noted."), text("42.")])
    async with ActorSystem("test") as system:
        memory = await system.spawn(BufferMemory)
        first = await system.spawn(Agent.spec(model=model, memory=memory))
        second = await system.spawn(Agent.spec(model=model, memory=memory))
        await first(content="It is 42.")
        await second(content="What is it?")
    assert [message.content for message in model.requests[-1].messages[1:]] == ["It is 42.", "Noted.", "What is it?"]


async def test_the_script_is_binding() -> None:
    """A call beyond the script is an error, and so is a step that was not used: the block raises it."""
    with pytest.raises(ScriptError, match="called 2 times"):
        async with ActorSystem("test") as system:
            agent = await system.spawn(Agent.spec(model=ScriptedModel([text("one")])))
            await agent(content="a")
            assert (await agent(content="b"))["status"] == "error"
    with pytest.raises(ScriptError, match="1 of 1 steps left"):
        async with ActorSystem("test") as system:
            await system.spawn(Agent.spec(model=ScriptedModel([text("one")])))


@pytest.mark.parametrize("name", ["gpt-4o", "opnai/gpt-4o", "", "local/"])
async def test_an_unknown_model_is_named_when_the_agent_starts(name: str) -> None:
    """The error of the spawn says which model, and what to write instead."""
    async with ActorSystem("test") as system:
        with pytest.raises(StartFailed) as caught:
            await system.spawn(Agent.spec(model=name))
        assert repr(name) in str(caught.value)
        assert isinstance(caught.value.cause, UnknownModel)


async def test_call_ids_that_come_again_are_made_new() -> None:
    """A model that counts its calls from the same number each time gets a history in which no id comes twice."""

    def same_id(request: Any) -> Any:
        return tool_call("lookup", key="x")

    class Counting(ScriptedModel):
        def _with_fresh_ids(self, step: Any) -> Any:
            return step

    model = Counting([same_id, same_id, text("Done.")])
    async with ActorSystem("test") as system:
        agent = await system.spawn(Agent.spec(model=model, tools=[lookup]))
        assert answer_of(await agent(content="Go")) == "Done."
    ids = [message.tool_call_id for message in model.requests[-1].messages if isinstance(message, ToolMessage)]
    assert ids == ["call_0", "call_0-2"]
