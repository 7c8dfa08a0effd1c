"""Ask an agent with a tool for the user's birthday, and watch each part go through its states.

python examples/01_birthday.py [--model local|scripted|openai/gpt-4o-mini|…] [--backend asyncio|uvloop|trio] [--stream]
"""

import argparse
import sys
from typing import Any, Literal

import anyio

from tinyllm_actors import ActorSystem, Agent, BufferMemory, Evaluator, tool
from tinyllm_actors.agent import RunFinished, TextDelta
from tinyllm_actors.integrations.local_model import LocalModel
from tinyllm_actors.kernel import configure_console_log
from tinyllm_actors.llm import ChatModel
from tinyllm_actors.testing import ScriptedModel, text, tool_call

QUESTION = "What is the user's birthday?"


@tool
def get_user_property(asked_property: Literal["name", "birthday"]) -> str:
    """Look up a property of the current user."""
    return {"name": "Elias", "birthday": "January 1st"}[asked_property]


class AnswerCorrectnessEvaluator(Evaluator):
    async def run(self, input: Any, output: Any, error: Any) -> dict[str, Any]:
        answer = "" if error else output["response"]["choices"][0]["message"]["content"]
        return {"evals": {"answer_correctness": float("January 1st" in answer)}}


def choose_model(name: str) -> str | ChatModel:
    if name == "local" and (reason := LocalModel.available()):
        print(f"{reason}; a scripted model answers instead", file=sys.stderr)
        name = "scripted"
    if name == "scripted":
        call = tool_call("get_user_property", asked_property="birthday")
        return ScriptedModel([call, text("The user's birthday is January 1st.")])
    return name


async def main(model: str, stream: bool) -> None:
    log = configure_console_log()
    spec = Agent.spec(
        model=choose_model(model),
        tools=[get_user_property],
        memory=BufferMemory.spec(buffer_size=10),
        run_evaluators=[AnswerCorrectnessEvaluator.spec()],
    )
    async with ActorSystem("birthday") as system:
        agent = await system.spawn(spec, name="Agent")
        if not stream:
            print(await agent(content=QUESTION))
            return
        async with agent.stream(content=QUESTION) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    log.write(event.text)
                elif isinstance(event, RunFinished):
                    log.end()
                    print(event.result)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="local", help="local, scripted, or a name such as openai/gpt-4o-mini")
    parser.add_argument("--backend", default="asyncio", choices=["asyncio", "uvloop", "trio"])
    parser.add_argument("--stream", action="store_true", help="print the answer as it comes")
    given = parser.parse_args()
    loop: dict[str, Any] = {"backend": given.backend}
    if given.backend == "uvloop":
        loop = {"backend": "asyncio", "backend_options": {"use_uvloop": True}}
    anyio.run(main, given.model, given.stream, **loop)
