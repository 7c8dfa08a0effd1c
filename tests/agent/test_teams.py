"""Agents with agents: as tools, by hand-off, inside of each other's limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors import ActorSystem, Agent, BufferMemory, tool
from tinyllm_actors.agent import HandedOff, RunFinished, RunStarted, TextDelta, ToolProgress, as_tool, handoff
from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.llm import AssistantMessage, SystemMessage, ToolMessage, UserMessage
from tinyllm_actors.testing import ScriptedModel, hang, text, tool_call, tool_calls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.llm import Message

pytestmark = pytest.mark.anyio


def answer_of(result: Any) -> str:
    """Return the text of a success."""
    assert result["status"] == "success", result
    return result["output"]["response"]["choices"][0]["message"]["content"]


def first_only(messages: Sequence[Message]) -> Sequence[Message]:
    """Be a policy."""
    return messages[:1]


@tool
async def look(n: int = 0) -> str:
    """Look."""
    return f"saw {n}"


async def test_an_agent_is_a_tool_of_another() -> None:
    """It gets the content of the call and nothing else; its answer is the result; it is gone afterwards."""
    inner, outer = (
        ScriptedModel([text("42.")]),
        ScriptedModel([tool_call("ask_expert", content="What?"), text("It is.")]),
    )
    expert = Agent.spec(model=inner, system_role="").named("expert")
    async with ActorSystem("test") as system:
        boss = await system.spawn(Agent.spec(model=outer, tools=[as_tool(expert, description="Ask.")]))
        assert answer_of(await boss(content="Go")) == "It is."
        assert "expert" not in system.inspect().render().replace("ask_expert", "")
    assert list(inner.requests[0].messages) == [UserMessage("What?")]
    assert outer.requests[-1].messages[-1] == ToolMessage("call_1_0", "42.", "ask_expert")


async def test_delegation_runs_side_by_side() -> None:
    """Calls of an agent made from a spec do not wait for each other."""
    together = anyio.Event()
    there: list[str] = []

    @tool
    async def meet() -> str:
        """Wait for the other."""
        there.append("one")
        if len(there) == 2:
            together.set()
        await together.wait()
        return "met"

    inner = ScriptedModel([tool_call("meet"), tool_call("meet"), text("a"), text("a")])
    outer = ScriptedModel(
        [tool_calls(("ask_worker", {"content": "1"}), ("ask_worker", {"content": "2"})), text("Done.")]
    )
    worker = Agent.spec(model=inner, tools=[meet]).named("worker")
    async with ActorSystem("test") as system:
        boss = await system.spawn(Agent.spec(model=outer, tools=[as_tool(worker, description="Work.")]))
        assert answer_of(await boss(content="Go")) == "Done."


async def test_an_agent_that_is_there_remembers() -> None:
    """A reference leads to the same agent each time."""
    inner = ScriptedModel([text("one"), text("two")])
    outer = ScriptedModel([tool_call("ask_it", content="1"), tool_call("ask_it", content="2"), text("Done.")])
    async with ActorSystem("test") as system:
        member = await system.spawn(Agent.spec(model=inner), name="it")
        boss = await system.spawn(Agent.spec(model=outer, tools=[as_tool(member, description="Ask.")]))
        assert answer_of(await boss(content="Go")) == "Done."
    assert [m.content for m in inner.requests[1].messages if isinstance(m, UserMessage)] == ["1", "2"]


async def test_a_failure_inside_is_a_failed_call() -> None:
    """The model of the outer agent is told what the inner one's error says."""
    outer = ScriptedModel([tool_call("ask_bad", content="?"), text("Sorry.")])
    bad = Agent.spec(model=ScriptedModel([tool_call("look"), tool_call("look")]), tools=[look], max_steps=2).named(
        "bad"
    )
    async with ActorSystem("test") as system:
        boss = await system.spawn(Agent.spec(model=outer, tools=[as_tool(bad, description="Ask.")]))
        assert answer_of(await boss(content="Go")) == "Sorry."
    assert "limit of 2 model calls" in str(outer.requests[-1].messages[-1].content)


async def test_steps_inside_count_outside() -> None:
    """The outer agent's limit of steps ends the inner run."""
    inner = ScriptedModel([tool_call("look", n=n) for n in range(3)])
    outer = ScriptedModel([tool_call("ask_deep", content="?")])
    deep = Agent.spec(model=inner, tools=[look]).named("deep")
    async with ActorSystem("test") as system:
        boss = await system.spawn(Agent.spec(model=outer, tools=[as_tool(deep, description="Ask.")], max_steps=4))
        result = await boss(content="Go")
    assert result["error"]["type"] == "StepLimitExceeded"


async def test_depth_is_bounded() -> None:
    """An agent that allows nobody inside of it has the call fail, not itself."""
    outer = ScriptedModel([tool_call("ask_deep", content="?"), text("Alone then.")])
    deep = Agent.spec(model=ScriptedModel([])).named("deep")
    async with ActorSystem("test") as system:
        boss = await system.spawn(Agent.spec(model=outer, tools=[as_tool(deep, description="Ask.")], max_depth=1))
        assert answer_of(await boss(content="Go")) == "Alone then."
    assert "raise max_depth" in str(outer.requests[-1].messages[-1].content)


async def test_a_circle_of_agents_is_found() -> None:
    """Two agents that ask each other get an error instead of waiting for ever."""
    a_model = ScriptedModel([tool_call("ask_b", content="?"), text("B is busy.")])
    b_model = ScriptedModel([tool_call("ask_a", content="?"), text("A is busy.")])
    async with ActorSystem("test") as system:

        async def ask_a(content: str) -> str:
            """Ask a."""
            return str(await system["a"](content=content))

        b = await system.spawn(Agent.spec(model=b_model, tools=[ask_a]), name="b")
        a = await system.spawn(Agent.spec(model=a_model, tools=[as_tool(b, description="Ask.")]), name="a")
        assert answer_of(await a(content="Go")) == "B is busy."
    assert "AskDeadlock" in str(b_model.requests[-1].messages[-1].content)


async def test_what_happens_inside_is_progress() -> None:
    """A streamed run shows the events of the inner one under its call."""
    inner, outer = ScriptedModel([text("42.")]), ScriptedModel([tool_call("ask_expert", content="?"), text("It is.")])
    expert = Agent.spec(model=inner).named("expert")
    async with ActorSystem("test") as system:
        boss = await system.spawn(Agent.spec(model=outer, tools=[as_tool(expert, description="Ask.")]))
        async with boss.stream(content="Go") as events:
            inside = [event.progress async for event in events if isinstance(event, ToolProgress)]
    assert isinstance(inside[0], RunStarted)
    assert "".join(event.text for event in inside if isinstance(event, TextDelta)) == "42."


async def test_leaving_ends_the_runs_inside() -> None:
    """Cancelling the outer run cancels the inner one, whose agent is gone then."""
    inner, outer = ScriptedModel([hang()]), ScriptedModel([tool_call("ask_expert", content="?")])
    expert = Agent.spec(model=inner).named("expert")
    async with ActorSystem("test") as system:
        boss = await system.spawn(Agent.spec(model=outer, tools=[as_tool(expert, description="Ask.")]))
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: boss(content="Go"))
            while not inner.requests:
                await anyio.lowlevel.checkpoint()
            group.cancel_scope.cancel()
        await anyio.wait_all_tasks_blocked()
        assert "expert~" not in system.inspect().render()


async def test_a_hand_off_lets_another_agent_answer() -> None:
    """The user gets its answer; it was shown the talk without the tool calls; the first one remembers the answer."""
    front_model = ScriptedModel(
        [text("Hello."), tool_calls(("look", {}), ("transfer_to_billing", {"message": "Be kind."})), text("Yes.")]
    )
    back_model = ScriptedModel([text("You owe nothing.")])
    billing = Agent.spec(model=back_model, system_role="Billing.").named("billing")
    async with ActorSystem("test") as system:
        spec = Agent.spec(model=front_model, tools=[look, handoff(billing, description="Money.")])
        front = await system.spawn(spec, name="front")
        await front(content="Hi")
        result = await front(content="What do I owe?")
        assert answer_of(result) == "You owe nothing."
        assert result["output"]["agent"].startswith("front/billing")
        assert answer_of(await front(content="Sure?")) == "Yes."
    assert list(back_model.requests[0].messages) == [
        SystemMessage("Billing."),
        UserMessage("Hi"),
        AssistantMessage("Hello."),
        UserMessage("What do I owe?\n\nBe kind."),
    ]
    assert front_model.requests[-1].messages[-2] == AssistantMessage("You owe nothing.")
    assert [schema.name for schema in front_model.requests[0].tools] == ["look", "transfer_to_billing"]


@pytest.mark.parametrize(
    ("policy", "shown"),
    [("all", ["Hi", "Hello.", "Q"]), ("run", ["Q"]), ("none", ["Q"]), (first_only, ["Hi", "Q"])],
)
async def test_a_hand_off_shows_what_its_policy_says(policy: Any, shown: list[str]) -> None:
    """Everything, this run, nothing, or what a function makes of it; and always the question."""
    front_model = ScriptedModel([text("Hello."), tool_call("go")])
    back_model = ScriptedModel([text("A")])
    back = Agent.spec(model=back_model, system_role="").named("back")
    async with ActorSystem("test") as system:
        spec = Agent.spec(model=front_model, tools=[handoff(back, description="Go.", name="go", history=policy)])
        front = await system.spawn(spec)
        await front(content="Hi")
        assert answer_of(await front(content="Q")) == "A"
    assert [message.content for message in back_model.requests[0].messages] == shown


async def test_a_streamed_hand_off_goes_on_in_the_same_stream() -> None:
    """The reader is told who goes on, sees its events, and gets one end."""
    front_model, back_model = ScriptedModel([tool_call("transfer_to_back")]), ScriptedModel([text("Here.")])
    async with ActorSystem("test") as system:
        back = await system.spawn(Agent.spec(model=back_model), name="back")
        front = await system.spawn(Agent.spec(model=front_model, tools=[handoff(back, description="Go.")]))
        async with front.stream(content="Hi") as events:
            seen = [event async for event in events]
    assert [event.agent for event in seen if isinstance(event, HandedOff)] == ["back"]
    assert "".join(event.text for event in seen if isinstance(event, TextDelta)) == "Here."
    assert sum(isinstance(event, RunFinished) for event in seen) == 1
    assert answer_of(seen[-1].result) == "Here."


async def test_only_one_agent_goes_on() -> None:
    """Of two hand-offs in one message the first is made; a failure of it is the run's."""
    front_model = ScriptedModel([tool_calls(("to_a", {}), ("to_b", {}))])
    a_model, b_model = ScriptedModel([text("A.")]), ScriptedModel([])
    async with ActorSystem("test") as system:
        memory = await system.spawn(BufferMemory)
        tools = [
            handoff(Agent.spec(model=model).named(name), description="Go.", name=f"to_{name}")
            for name, model in (("a", a_model), ("b", b_model))
        ]
        front = await system.spawn(Agent.spec(model=front_model, tools=tools, memory=memory))
        assert answer_of(await front(content="Hi")) == "A."
        held = (await memory())["output"]["memories"]
    assert [m.content for m in held if isinstance(m, ToolMessage)] == [
        "Another agent goes on from here.",
        "Error: only one agent can go on",
    ]


def test_an_agents_own_name_is_a_name() -> None:
    """`Agent.spec(name=…)` is enough to be handed over to, and to be asked; one in the tree goes first."""
    billing = Agent.spec(name="Billing desk", model=ScriptedModel([]))
    assert handoff(billing, description="?").name == "transfer_to_Billing_desk"
    assert as_tool(billing, description="?").name == "ask_Billing_desk"
    assert as_tool(billing.named("billing"), description="?").name == "ask_billing"


def test_names_are_needed_and_unique() -> None:
    """A member without a name, and two things that the model would call the same, are refused."""
    nameless = Agent.spec(model=ScriptedModel([]))
    with pytest.raises(ConfigurationError, match="needs a name: give"):
        as_tool(nameless, description="?")
    with pytest.raises(ConfigurationError, match="needs a name: give"):
        handoff(nameless, description="?")
    go = handoff(nameless, description="?", name="look")
    with pytest.raises(ConfigurationError, match="'look'"):
        Agent.spec(model=ScriptedModel([]), tools=[look, go]).make()
    with pytest.raises(ConfigurationError, match="two hand-offs"):
        Agent.spec(model=ScriptedModel([]), tools=[go, handoff(nameless, description="?", name="look")]).make()
