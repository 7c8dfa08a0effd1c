"""`tinyllm-actors demo`: one question, one tool, and every step of the answer."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal

from tinyllm_actors.agent import Agent
from tinyllm_actors.cli.models import find_model
from tinyllm_actors.cli.plain import one_line
from tinyllm_actors.cli.progress import progress
from tinyllm_actors.cli.turn import show_turn
from tinyllm_actors.evals import Evaluator
from tinyllm_actors.kernel import ActorSystem, configure_console_log
from tinyllm_actors.memory import BufferMemory
from tinyllm_actors.tool import tool

if TYPE_CHECKING:
    from tinyllm_actors.cli.program import Interrupts, Main
    from tinyllm_actors.function import FunctionRef

__all__ = ["AnswerCorrectnessEvaluator", "demo", "get_user_property"]

QUESTION = "What is the user's birthday?"
BIRTHDAY = "January 1st"


@tool
def get_user_property(asked_property: Literal["name", "birthday"]) -> str:
    """Look up a property of the current user."""
    return {"name": "Elias", "birthday": BIRTHDAY}[asked_property]


class AnswerCorrectnessEvaluator(Evaluator):
    """Scores 1.0 if the answer names the birthday, else 0.0."""

    async def run(self, input: Any, output: Any, error: Any) -> dict[str, Any]:
        """Look for the birthday in the answer."""
        answer = "" if output is None else output["response"]["choices"][0]["message"]["content"] or ""
        return {"evals": {"answer_correctness": float(BIRTHDAY in answer)}}


def demo(model_name: str, *, streamed: bool, debug: bool) -> Main:
    """Return the program: it prints the transitions, then the dictionary of the answer.

    Args:
        model_name: as `find_model` takes it.
        streamed: print the answer as it comes, too.
        debug: log the lifecycles of the actors, too.
    """

    async def main(interrupts: Interrupts) -> int:
        log = configure_console_log(level="debug" if debug else "info")
        async with ActorSystem("demo") as system:
            async with progress(f"loading the model {model_name!r}", log=log):
                agent: FunctionRef = await system.spawn(
                    Agent.spec(
                        model=await find_model(model_name),
                        tools=[get_user_property],
                        memory=BufferMemory.spec(buffer_size=10),
                        run_evaluators=[AnswerCorrectnessEvaluator.spec()],
                    ),
                    name="Agent",
                )
            result = await (show_turn(agent, QUESTION, log) if streamed else agent(content=QUESTION))
        print(result)
        if result["status"] == "error":
            print(f"tinyllm-actors: {one_line(result['message'], 1000)}", file=sys.stderr)
            return 1
        return 0

    return main
