"""`think_and_plan`: a place for a model to think before it acts."""

from __future__ import annotations

from typing import Annotated

from tinyllm_actors.tool.decorator import tool

__all__ = ["think_and_plan"]


@tool(threaded=False, idempotent=True)
def think_and_plan(
    thoughts: Annotated[str, "what you know, what is missing, and what could go wrong"],
    steps: Annotated[list[str], "what you will do, one step after the other, with the tools that you will use"],
) -> str:
    """Think about a task and plan it in steps before you begin, or again when something did not go as planned.

    Nothing happens but that the plan is kept in the conversation.
    """
    del thoughts  # they are in the call itself, which the model sees again
    if not steps:
        return "There is no plan yet: answer the user if nothing is left to do, or plan at least one step."
    lines = "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))
    return f"The plan:\n{lines}\nBegin with step 1. Plan again if a step does not go as expected."
