"""What is observed of agents and models, and that conversations do not mix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors import ActorSystem, Agent, Evaluator, tool
from tinyllm_actors.errors import Overloaded, RequestRejected
from tinyllm_actors.function.tracing import current_observation, observe, start_tracing
from tinyllm_actors.kernel import Backoff
from tinyllm_actors.llm import LLM, ChatRequest, Embedder, ModelInfo, Price, Usage, UserMessage
from tinyllm_actors.testing import (
    HashEmbeddings,
    ScriptedModel,
    TraceRecorder,
    fail,
    text,
    tool_call,
    tool_calls,
)

if TYPE_CHECKING:
    from tinyllm_actors.function.tracing import Observation


pytestmark = pytest.mark.anyio


@pytest.fixture
def recorder() -> TraceRecorder:
    """Return a tracer that keeps what it is told."""
    return TraceRecorder()


async def test_an_agents_turn_is_one_tree(recorder: TraceRecorder) -> None:
    """Model, tools that run side by side, memory and evaluators are inside of the agent's call, each once."""

    @tool
    async def look_up(word: str) -> str:
        """Look a word up."""
        with observe("shelf", kind="retriever"):
            return word.upper()

    async def judge(input: Any, output: Any, error: Any) -> float:
        return 0.5

    class Polite(Evaluator):
        async def run(self, input: Any, output: Any, error: Any) -> Any:
            return {"evals": {"polite": 1}}

    model = ScriptedModel([tool_calls(("look_up", {"word": "a"}), ("look_up", {"word": "b"})), text("A and B")])
    async with ActorSystem("service") as system:
        await start_tracing(system, recorder)
        agent = await system.spawn(
            Agent.spec(
                name="Agent",
                model=model,
                tools=[look_up],
                run_evaluators=[judge],
                processed_output_evaluators=[Polite.spec()],
                user_id="ann",
            )
        )
        async with agent.stream(content="a and b?") as events:
            async for _ in events:
                pass
    assert recorder.render().splitlines() == [
        "Agent  agent",
        "├── BufferMemory  retriever",
        "├── Scripted  generation",
        "├── Toolkit  chain",
        "│   ├── look_up  tool",
        "│   │   └── shelf  retriever",
        "│   └── look_up  tool",
        "│       └── shelf  retriever",
        "├── BufferMemory  retriever",
        "├── Scripted  generation",
        "├── BufferMemory  retriever",
        "├── judge  evaluator",
        "└── Polite  evaluator",
    ]
    agent_call = recorder.find("Agent")
    assert [list(entry["evals"]) for entry in agent_call.evaluations] == [["judge"], ["proc:polite"]]
    assert {seen.user_id for seen in recorder.observations} == {"ann"}
    first = recorder.find("Scripted")
    assert first.input[-1] == UserMessage("a and b?")
    assert first.output.tool_calls[0].name == "look_up"
    assert first.metadata["tools"] == ["look_up"]
    assert 0 < first.started_at <= first.first_output_at <= first.ended_at


async def test_a_model_call_tells_what_it_took(recorder: TraceRecorder) -> None:
    """Model, parameters, tokens, cost and failed attempts are those of the answer; keys are not among them."""
    model = ScriptedModel(
        [fail(Overloaded("busy")), text("Hi", usage=Usage(1_000, 100, 1_100, cached_tokens=10, reasoning_tokens=5))],
        name="openai/gpt-4o-mini",
    )
    async with ActorSystem("service") as system:
        await start_tracing(system, recorder)
        prices = {"openai/gpt-4o-mini": ModelInfo(price=Price(0.15, 0.6))}
        llm = await system.spawn(LLM.spec(model, name="llm", backoff=Backoff(0.0, 0.0), known_models=prices))
        request = ChatRequest(messages=[UserMessage("Hello")], options={"temperature": 0.5, "api_key": "abcdefgh"})
        await llm(request=request)
    [seen] = recorder.observations
    assert seen.model_parameters == {"temperature": 0.5}
    assert seen.usage == {"input": 1_000, "output": 100, "total": 1_100, "input_cached": 10, "output_reasoning": 5}
    assert seen.cost == pytest.approx(0.00015 + 0.00006, rel=0.05)
    assert seen.metadata["failed_attempts"] == [
        {"model": "openai/gpt-4o-mini", "error": "Overloaded", "message": "busy"}
    ]
    assert seen.metadata["finish_reason"] == "stop"


async def test_embeddings_are_counted_not_shown(recorder: TraceRecorder) -> None:
    """Of vectors, a trace has the number and the size."""
    async with ActorSystem("service") as system:
        await start_tracing(system, recorder)
        embedder = await system.spawn(Embedder.spec(HashEmbeddings()))
        await embedder(texts=["a", "b"])
    [seen] = recorder.observations
    assert seen.kind == "embedding"
    assert seen.output["vectors"] == 2


async def test_partial_output_of_a_cancelled_model_call_is_kept(recorder: TraceRecorder) -> None:
    """What a model had said when its reader left is the output."""
    async with ActorSystem("service") as system:
        await start_tracing(system, recorder)
        llm = await system.spawn(LLM.spec(ScriptedModel([text("one two three")], chunk=4), name="llm"))
        async with llm.stream(request=ChatRequest(messages=[UserMessage("Hi")]), buffer=1) as events:
            await anext(aiter(events))
    assert recorder.find("llm").status == "cancelled"
    assert recorder.find("llm").output in {"one ", "one two "}


async def test_two_hundred_conversations_do_not_mix(recorder: TraceRecorder) -> None:
    """At 200 turns side by side, every observation is in the trace of its own turn, once."""

    @tool
    async def shout(word: str) -> str:
        """Shout."""
        seen = current_observation()
        assert seen is not None
        await anyio.lowlevel.checkpoint()
        return word.upper()

    async def turn(agent: Any, number: int) -> None:
        await agent(content=f"turn {number}")

    async with ActorSystem("service") as system:
        await start_tracing(system, recorder)
        agents = [
            await system.spawn(
                Agent.spec(
                    name="Agent",
                    model=ScriptedModel([tool_call("shout", word=f"w{number}"), text("done")]),
                    tools=[shout],
                    session_id=f"s{number}",
                )
            )
            for number in range(200)
        ]
        async with anyio.create_task_group() as group:
            for number, agent in enumerate(agents):
                group.start_soon(turn, agent, number)
    traces: dict[str, list[Observation]] = {}
    for seen in recorder.observations:
        traces.setdefault(seen.trace_id, []).append(seen)
    assert len(traces) == 200
    assert len({seen.id for seen in recorder.observations}) == len(recorder.observations)
    for found in traces.values():
        names = sorted(seen.name for seen in found)
        assert names == sorted(["Agent", *["BufferMemory"] * 3, *["Scripted"] * 2, "Toolkit", "shout"])
        assert len({seen.session_id for seen in found}) == 1
        ids = {seen.id for seen in found}
        assert all(seen.parent_id in ids for seen in found if not seen.is_root)
        assert sum(seen.is_root for seen in found) == 1
    assert not recorder.running


async def test_a_refused_request_names_its_model(recorder: TraceRecorder) -> None:
    """A model call that fails for good still says which model refused."""
    async with ActorSystem("service") as system:
        await start_tracing(system, recorder)
        llm = await system.spawn(LLM.spec(ScriptedModel([fail(RequestRejected("no"))], name="m"), name="llm"))
        await llm(request=ChatRequest(messages=[UserMessage("x")]))
    [seen] = recorder.observations
    assert (seen.status, seen.model) == ("error", "m")
