"""An actor-model runtime for LLM applications: every Function, Tool, Memory and Agent is a supervised actor.

The names below are imported when they are first used, so `import tinyllm_actors` costs next to nothing.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinyllm_actors.agent import Agent, run, tiny_function
    from tinyllm_actors.evals import Evaluator
    from tinyllm_actors.function import Function, FunctionStream, answer_text
    from tinyllm_actors.function.compose import chain, concurrent
    from tinyllm_actors.kernel import (
        Actor,
        ActorRef,
        ActorSystem,
        Backoff,
        ChildSpec,
        DynamicSupervisor,
        Mailbox,
        Overflow,
        Restart,
        Strategy,
        Supervisor,
    )
    from tinyllm_actors.memory import BufferMemory, CharacterBufferMemory, Memory, TokenBufferMemory
    from tinyllm_actors.prompting import ExampleManager, ExampleSelector, PromptManager
    from tinyllm_actors.tool import Tool, Toolkit, tool

__all__ = [
    "Actor",
    "ActorRef",
    "ActorSystem",
    "Agent",
    "Backoff",
    "BufferMemory",
    "CharacterBufferMemory",
    "ChildSpec",
    "DynamicSupervisor",
    "Evaluator",
    "ExampleManager",
    "ExampleSelector",
    "Function",
    "FunctionStream",
    "Mailbox",
    "Memory",
    "Overflow",
    "PromptManager",
    "Restart",
    "Strategy",
    "Supervisor",
    "TokenBufferMemory",
    "Tool",
    "Toolkit",
    "answer_text",
    "chain",
    "concurrent",
    "run",
    "tiny_function",
    "tool",
]

_HOMES = {
    "tinyllm_actors.agent": ("Agent", "run", "tiny_function"),
    "tinyllm_actors.evals": ("Evaluator",),
    "tinyllm_actors.function": ("Function", "FunctionStream", "answer_text"),
    "tinyllm_actors.function.compose": ("chain", "concurrent"),
    "tinyllm_actors.kernel": (
        "Actor",
        "ActorRef",
        "ActorSystem",
        "Backoff",
        "ChildSpec",
        "DynamicSupervisor",
        "Mailbox",
        "Overflow",
        "Restart",
        "Strategy",
        "Supervisor",
    ),
    "tinyllm_actors.memory": ("BufferMemory", "CharacterBufferMemory", "Memory", "TokenBufferMemory"),
    "tinyllm_actors.prompting": ("ExampleManager", "ExampleSelector", "PromptManager"),
    "tinyllm_actors.tool": ("Tool", "Toolkit", "tool"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


class _Package(ModuleType):
    """This package, which imports its public names when they are first used.

    A class and not a `__getattr__` of the module, for two reasons: type checkers still find misspelt names, and
    `tool` is a public name as well as a sub-package. Python binds a sub-package in its parent when it is imported,
    which would hide the decorator.
    """

    def __getattr__(self, name: str) -> object:
        home = _HOME.get(name)
        if home is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value: object = getattr(importlib.import_module(home), name)
        globals()[name] = value
        return value

    def __setattr__(self, name: str, value: object) -> None:
        if name in _HOME and isinstance(value, ModuleType):
            return
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*globals(), *__all__})


sys.modules[__name__].__class__ = _Package
