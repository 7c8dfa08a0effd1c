"""`tinyllm_toolkit`: the tools that come with the library, as one toolkit."""

from __future__ import annotations

from tinyllm_actors.tool.builtin.code_interpreter import code_interpreter
from tinyllm_actors.tool.builtin.think_and_plan import think_and_plan
from tinyllm_actors.tool.builtin.wikipedia_summary import wikipedia_summary
from tinyllm_actors.tool.toolkit import Toolkit

__all__ = ["tinyllm_toolkit"]


def tinyllm_toolkit() -> Toolkit:
    """Return a toolkit of `think_and_plan`, `code_interpreter` and `wikipedia_summary`, with their defaults.

    For other limits make the tools yourself: `Toolkit([think_and_plan, make_code_interpreter(sandbox="required")])`.
    """
    return Toolkit([think_and_plan, code_interpreter, wikipedia_summary])
