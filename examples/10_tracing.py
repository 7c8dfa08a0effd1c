"""Traces: every step of two users' questions as a tree, with tokens, dollars, scores, and no secret.

python examples/10_tracing.py [--backend asyncio|uvloop|trio] [--model scripted]

Where LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY are set, the traces go there too; where OTEL_EXPORTER_OTLP_ENDPOINT
is set, to that collector as well.
"""

import argparse
import os
from typing import Any

import anyio

from tinyllm_actors import ActorSystem, Agent, Evaluator, tool
from tinyllm_actors.function.tracing import Tracer, continue_trace, observation, observe, start_tracing
from tinyllm_actors.kernel import to_plain
from tinyllm_actors.llm import LLM, ModelInfo, Price, Usage
from tinyllm_actors.testing import ScriptedModel, TraceRecorder, text, tool_calls

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"  # what Ann's request says of the trace it is part of


@observation(kind="retriever")  # code of your own shows up where it is called
async def look_up(city: str) -> dict[str, Any]:
    await anyio.lowlevel.checkpoint()
    return {"city": city, "degrees": 21, "api_key": "never-to-be-seen"}


@tool
async def weather(city: str) -> str:
    """Look up the weather.

    Args:
        city: its English name.
    """
    with observe("parse", input=city) as parsed:
        name = city.strip().title()
        if parsed is not None:
            parsed.output = name
    return f"{(await look_up(name))['degrees']} degrees"


class Politeness(Evaluator):
    async def run(self, input: Any, output: Any, error: Any) -> Any:
        return {"evals": {"polite": True}, "comment": "it said please"}


def agent(user: str, cities: list[str], model: str) -> Any:
    calls = tool_calls(*(("weather", {"city": city}) for city in cities))
    answer = text(f"Please enjoy the sun, {user}!", usage=Usage(120, 8, 128))
    llm = LLM.spec(
        ScriptedModel([calls, answer], name="demo/small") if model == "scripted" else model,
        known_models={"demo/small": ModelInfo(price=Price(0.15, 0.6))},  # dollars for a million tokens
    )
    return Agent.spec(name="Agent", model=llm, tools=[weather], run_evaluators=[Politeness.spec()], user_id=user)


async def handle(who: Any, headers: dict[str, str]) -> Any:
    with continue_trace(headers.get("traceparent")):  # as a handler of HTTP requests does
        return await who(content="How is the weather? My password=hunter22.")


async def main(model: str) -> None:
    recorder = TraceRecorder()
    tracers: list[Tracer] = [recorder]
    if os.environ.get("LANGFUSE_PUBLIC_KEY") and os.environ.get("LANGFUSE_SECRET_KEY"):
        from tinyllm_actors.integrations.langfuse import LangfuseTracer

        tracers.append(LangfuseTracer())
    if os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        from tinyllm_actors.integrations.opentelemetry import OpenTelemetryTracer

        tracers.append(OpenTelemetryTracer(service_name="example"))

    async with ActorSystem("service", log_transitions=False) as system:
        await start_tracing(system, *tracers, sample_rate=1.0, tags=["example"])
        ann = await system.spawn(agent("Ann", ["oslo", "rome"], model), name="ann")
        ben = await system.spawn(agent("Ben", ["lima"], model), name="ben")
        async with anyio.create_task_group() as group:  # side by side, and no branch in the wrong tree
            group.start_soon(handle, ann, {"traceparent": CALLER})
            group.start_soon(handle, ben, dict[str, str]())

    print(recorder.render(details=True))
    call = next(seen for seen in recorder.observations if seen.kind == "agent" and seen.user_id == "Ann")
    print(f"\n{call.user_id} asked: {to_plain(call.input)['content']}")
    print(f"in the trace {call.trace_id} of the caller, inside of {call.parent_id}")
    print("scores:", call.evaluations)
    print("retrieved:", to_plain(recorder.find("look_up").output))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="asyncio", choices=["asyncio", "uvloop", "trio"])
    parser.add_argument("--model", default="scripted", help='or a name such as "openai/gpt-4o-mini"')
    given = parser.parse_args()
    loop: dict[str, Any] = {"backend": given.backend}
    if given.backend == "uvloop":
        loop = {"backend": "asyncio", "backend_options": {"use_uvloop": True}}
    anyio.run(main, given.model, **loop)
