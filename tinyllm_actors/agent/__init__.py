"""Agents: a model with memory and tools, as supervised actors that answer a user."""

from tinyllm_actors.agent.agent import Agent
from tinyllm_actors.agent.events import (
    AgentEvent,
    MessageCompleted,
    ReasoningDelta,
    RunFinished,
    RunStarted,
    TextDelta,
    ToolCallDelta,
    ToolFinished,
    ToolProgress,
    ToolStarted,
)
from tinyllm_actors.agent.run import run
from tinyllm_actors.agent.tiny_function import TinyFunction, tiny_function

__all__ = [
    "Agent",
    "AgentEvent",
    "MessageCompleted",
    "ReasoningDelta",
    "RunFinished",
    "RunStarted",
    "TextDelta",
    "TinyFunction",
    "ToolCallDelta",
    "ToolFinished",
    "ToolProgress",
    "ToolStarted",
    "run",
    "tiny_function",
]
