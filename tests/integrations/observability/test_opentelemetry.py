"""What a collector is told, in the words of the GenAI conventions."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import anyio
import pytest

from tinyllm_actors import Actor, ActorSystem, Agent, Evaluator, Function, Supervisor, tool
from tinyllm_actors.errors import ActorFailed, MissingDependency
from tinyllm_actors.function.tracing import start_tracing
from tinyllm_actors.llm import LLM, ChatRequest, ModelInfo, Price, Usage, UserMessage
from tinyllm_actors.testing import ScriptedModel, text, tool_call

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from trace_receiver import receiving

from tinyllm_actors.integrations.opentelemetry import OpenTelemetryTracer

pytestmark = pytest.mark.anyio

CLIENT, INTERNAL, ERROR = 3, 1, 2


# The first import of an SDK may take seconds on a busy machine, and the end of a system waits for it.
start = partial(start_tracing, close_timeout=20.0)


class Echo(Function):
    async def run(self, said: str) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return said


async def test_a_model_call_in_the_words_of_the_conventions() -> None:
    """Name, kind, model, parameters, tokens, answer and conversation are where the conventions say."""
    model = ScriptedModel([text("Hi", usage=Usage(1_000, 100, 1_100, cached_tokens=10))], name="openai/gpt-x")
    with receiving() as receiver:
        async with ActorSystem("service", log_transitions=False) as system:
            await start(system, OpenTelemetryTracer(endpoint=receiver.url, service_name="s"), tags=["beta"])
            prices = {"openai/gpt-x": ModelInfo(price=Price(1.0, 2.0))}
            llm = await system.spawn(LLM.spec(model, name="llm", user_id="ann", session_id="s1", known_models=prices))
            request = ChatRequest(messages=[UserMessage("private")], options={"temperature": 0.5, "stop": ["x"]})
            async with llm.stream(request=request) as events:
                async for _ in events:
                    pass
        [span] = receiver.spans
        assert "private" not in receiver.everything()
        metrics = receiver.metrics
    found = span.attributes
    assert (span.name, span.kind) == ("chat openai/gpt-x", CLIENT)
    assert found["gen_ai.operation.name"] == "chat"
    assert (found["gen_ai.provider.name"], found["gen_ai.request.model"]) == ("openai", "openai/gpt-x")
    assert found["gen_ai.request.temperature"] == 0.5
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (1_000, 100)
    assert found["gen_ai.usage.cache_read.input_tokens"] == 10
    assert found["gen_ai.response.finish_reasons"] == ["stop"]
    assert found["gen_ai.response.time_to_first_chunk"] > 0
    assert (found["gen_ai.conversation.id"], found["user.id"]) == ("s1", "ann")
    assert found["tinyllm_actors.cost_usd"] == pytest.approx(0.0012)
    assert found["tinyllm_actors.tags"] == ["beta"]
    points = metrics["gen_ai.client.token.usage"][-1].histogram.data_points
    tokens = {point.attributes[-1].value.string_value: point.sum for point in points}
    assert tokens == {"input": 1_000, "output": 100}
    assert metrics["gen_ai.server.time_to_first_token"][-1].histogram.data_points[0].count == 1
    assert metrics["tinyllm_actors.cost"][-1].sum.data_points[0].as_double == pytest.approx(0.0012)


async def test_agents_tools_and_evaluations() -> None:
    """Agents and tools are named operations; content is there if it was asked for; scores are events of the span."""

    @tool
    async def shout(word: str) -> str:
        """Shout."""
        return word.upper()

    class Judge(Evaluator):
        async def run(self, input: Any, output: Any, error: Any) -> Any:
            return {"evals": {"length": 5}}

    async def tone(input: Any, output: Any, error: Any) -> dict[str, Any]:
        return {"evals": {"tone": "warm"}}

    with receiving() as receiver:
        async with ActorSystem("service", log_transitions=False) as system:
            await start(system, OpenTelemetryTracer(endpoint=receiver.url, capture_content=True))
            model = ScriptedModel([tool_call("shout", word="a"), text("A")])
            spec = Agent.spec(name="Helper", model=model, tools=[shout], run_evaluators=[Judge.spec(), tone])
            await (await system.spawn(spec))(content="my password=hunter22")
        assert "hunter22" not in receiver.everything()
        found = {span.name: span for span in receiver.spans}
    helper, shouted = found["invoke_agent Helper"].attributes, found["execute_tool shout"].attributes
    assert (helper["gen_ai.agent.name"], shouted["gen_ai.tool.name"]) == ("Helper", "shout")
    assert shouted["gen_ai.tool.call.id"]
    assert json.loads(shouted["gen_ai.tool.call.result"]) == {"content": "A"}
    assert json.loads(found["chat scripted"].attributes["gen_ai.input.messages"])[-1]["role"] in {"user", "tool"}
    assert found["invoke_agent Helper"].events == [
        ("gen_ai.evaluation.result", {"gen_ai.evaluation.name": "length", "gen_ai.evaluation.score.value": 5.0}),
        ("gen_ai.evaluation.result", {"gen_ai.evaluation.name": "tone", "gen_ai.evaluation.score.label": "warm"}),
    ]


async def test_failures_are_errors_and_are_counted() -> None:
    """A failed span has its status and type; restarts, failures, dead letters and queues are metrics."""

    class Broken(Function):
        async def run(self) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            raise OSError("disk full")

    class Fragile(Actor):
        async def receive(self, message: object) -> None:
            raise ValueError("no")

    with receiving() as receiver:
        async with ActorSystem("service", supervisor=Supervisor(backoff=None), log_transitions=False) as system:
            await start(system, OpenTelemetryTracer(endpoint=receiver.url))
            await (await system.spawn(Broken))()
            fragile = await system.spawn(Fragile, name="fragile")
            with pytest.raises(ActorFailed):
                await fragile.ask("go")
            gone = await system.spawn(Actor, name="gone")
            await gone.stop()
            await gone.tell("too late")
        [span] = receiver.spans
        metrics = receiver.metrics
    assert (span.status, span.attributes["error.type"], span.kind) == (ERROR, "OSError", INTERNAL)

    def values(name: str) -> dict[str, int]:
        metric = metrics[name][-1]
        points = metric.sum.data_points or metric.gauge.data_points
        return {point.attributes[0].value.string_value: point.as_int for point in points}

    assert values("tinyllm_actors.failures") == {"ValueError": 1}
    assert values("tinyllm_actors.dead_letters") == {"stopped": 1}
    assert values("tinyllm_actors.actors")["TracingService"] == 1
    assert metrics["tinyllm_actors.restarts"][-1].sum.data_points[0].as_int == 1
    assert "tinyllm_actors.mailbox.depth" in metrics


async def test_metrics_count_what_is_not_sampled() -> None:
    """With no trace sampled there are no spans, and every call is counted all the same."""
    with receiving() as receiver:
        async with ActorSystem("service", log_transitions=False) as system:
            await start(system, OpenTelemetryTracer(endpoint=receiver.url), sample_rate=0.0)
            echo = await system.spawn(Echo)
            for _ in range(20):
                await echo(said="x")
        assert not receiver.spans
        [point] = receiver.metrics["tinyllm_actors.call.duration"][-1].histogram.data_points
    assert point.count == 20


async def test_many_spans_are_sent_before_the_end() -> None:
    """What comes together is sent in batches while the system runs."""
    with receiving() as receiver:
        async with ActorSystem("service", log_transitions=False) as system:
            await start(system, OpenTelemetryTracer(endpoint=receiver.url))
            echo = await system.spawn(Echo)
            for _ in range(600):
                await echo(said="x")
            with anyio.fail_after(30):
                await anyio.to_thread.run_sync(receiver.wait_for_spans, 256, abandon_on_cancel=True)
        assert len(receiver.spans) == 600


def _nothing_installed(name: str) -> None:
    """Find no package."""


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the SDK, the error says what to install; a tracer that was never opened has nothing to close."""
    OpenTelemetryTracer().close(1.0)
    monkeypatch.setattr("importlib.util.find_spec", _nothing_installed)
    with pytest.raises(MissingDependency, match="otel"):
        OpenTelemetryTracer()
