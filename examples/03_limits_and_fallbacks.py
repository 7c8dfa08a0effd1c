"""Ask a model that is limited, stumbles and fails: callers share its limits, another model steps in, a budget ends it.

python examples/03_limits_and_fallbacks.py [--model scripted|local|openai/gpt-4o-mini|…] [--backend asyncio|uvloop|trio]
"""

import argparse
from typing import Any

import anyio

from tinyllm_actors import ActorSystem, Agent, answer_text
from tinyllm_actors.errors import Overloaded, RateLimited
from tinyllm_actors.kernel import Transition
from tinyllm_actors.llm import LLM, Breaker, Budget, ChatModel, Limits, ModelInfo, ModelSwitched, Price, Usage
from tinyllm_actors.testing import ScriptedModel, fail, text

USED = Usage(prompt_tokens=400, completion_tokens=100, total_tokens=500)
KNOWN = {
    "large": ModelInfo(context_window=128_000, price=Price(input=2.5, output=10.0)),
    "small": ModelInfo(context_window=128_000, price=Price(input=0.15, output=0.6)),
}


def choose_models(name: str) -> tuple[str | ChatModel, str | ChatModel]:
    if name != "scripted":
        return name, name
    large = ScriptedModel(
        [
            fail(RateLimited("slow down", retry_after=0.2)),  # everybody waits for it, once
            *[text("Paris.", usage=USED)] * 2,
            *[fail(Overloaded("out of order", status=500))] * 2,  # twice in a row opens the circuit
        ],
        name="large",
    )
    return large, ScriptedModel([text("Paris, I think.", usage=USED)] * 3, name="small")


async def main(model: str) -> None:
    large, small = choose_models(model)
    spec = LLM.spec(
        large,
        limits=Limits(requests_per_minute=500, max_concurrency=2, breaker=Breaker(max_failures=2, cooldown=60.0)),
        fallbacks=[] if large == small else [small],
        max_retries=1,
        known_models=KNOWN,
    )
    day = Budget(name="day", max_usd=1.0, assumed_price=Price(input=10.0, output=30.0), period=86_400)
    async with ActorSystem("limits") as system:

        def tell(event: Any) -> None:
            if isinstance(event, ModelSwitched):
                print(f"  {event.source} → {event.target}: {event.cause}")
            elif event.machine == "breaker":
                print(f"  the circuit of {event.name.partition('-')[0]} is {event.target}")

        system.events_stream.subscribe(tell, ModelSwitched, Transition)
        agents = [await system.spawn(Agent.spec(name=f"Agent{number}", model=spec)) for number in range(2)]

        async def ask(agent: Any) -> None:
            result = await agent(content="What is the capital of France?")
            if result["status"] == "error":
                print("  stopped:", result["error"]["type"])
            else:
                print("  answer:", answer_text(result))

        with day.child(name="conversation", max_calls=8).active() as conversation:
            print("two agents at once:")
            async with anyio.create_task_group() as tasks:
                for agent in agents:
                    tasks.start_soon(ask, agent)
            for number in range(1, 5):
                print(f"question {number}:")
                await ask(agents[0])
        print(f"used: {conversation.used.calls} calls, {conversation.used.tokens} tokens, ${day.used.usd:.5f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="scripted", help="scripted, local, or a name such as openai/gpt-4o-mini")
    parser.add_argument("--backend", default="asyncio", choices=["asyncio", "uvloop", "trio"])
    given = parser.parse_args()
    loop: dict[str, Any] = {"backend": given.backend}
    if given.backend == "uvloop":
        loop = {"backend": "asyncio", "backend_options": {"use_uvloop": True}}
    anyio.run(main, given.model, **loop)
