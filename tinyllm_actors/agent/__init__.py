"""Agents: a model with memory and tools, as supervised actors that answer a user.

# Semantics

1. A run answers one question; an agent does one run at a time, in the order of the questions.
2. What comes next is a pure function of what was said (`decision.decide`): think, act, listen, hand over, answer, or
   give up.
3. The tool calls of one model message run concurrently under a cap. Each gets exactly one result, in the order of the
   calls: what the tool gave, or why not (unknown, bad arguments, denied, too late, crashed, cancelled, over a limit).
4. Each end is stated: an answer; an error whose `type` says which limit, who cancelled, or what failed. What was
   completed until then is in the history, which is valid for every model: open calls are closed as interrupted.
5. A run inside of a run (an agent as a tool, a hand-off) counts on every run around it: steps, tool calls, tokens,
   dollars, depth. Deadlines are inherited.
6. While a run goes on, its desk takes decisions on calls that wait for a person, more words of the user, and the wish
   that it end (`AgentRef`). A call that nobody decides on within `approval_timeout` is denied.
"""

from typing import TYPE_CHECKING, Any

from tinyllm_actors.agent.agent import Agent
from tinyllm_actors.agent.delegate import as_tool
from tinyllm_actors.agent.events import (
    AgentEvent,
    ApprovalRequested,
    ApprovalResolved,
    HandedOff,
    MessageCompleted,
    MessageInjected,
    PartialOutput,
    ReasoningDelta,
    RunFinished,
    RunStarted,
    TextDelta,
    ToolCallDelta,
    ToolFinished,
    ToolProgress,
    ToolStarted,
    UsageUpdated,
)
from tinyllm_actors.agent.handoff import Handoff, handoff
from tinyllm_actors.agent.picture_describer import PictureDescriber
from tinyllm_actors.agent.query_rewriter import query_rewriter
from tinyllm_actors.agent.rag_events import AnswerRejected, SourcesFound
from tinyllm_actors.agent.ref import AgentRef
from tinyllm_actors.agent.run import run
from tinyllm_actors.agent.states import AGENT, AgentStates, AgentStep
from tinyllm_actors.agent.tiny_function import TinyFunction, tiny_function

if TYPE_CHECKING:
    from tinyllm_actors.agent.rag import Rag

__all__ = [
    "AGENT",
    "Agent",
    "AgentEvent",
    "AgentRef",
    "AgentStates",
    "AgentStep",
    "AnswerRejected",
    "ApprovalRequested",
    "ApprovalResolved",
    "HandedOff",
    "Handoff",
    "MessageCompleted",
    "MessageInjected",
    "PartialOutput",
    "PictureDescriber",
    "Rag",
    "ReasoningDelta",
    "RunFinished",
    "RunStarted",
    "SourcesFound",
    "TextDelta",
    "TinyFunction",
    "ToolCallDelta",
    "ToolFinished",
    "ToolProgress",
    "ToolStarted",
    "UsageUpdated",
    "as_tool",
    "handoff",
    "query_rewriter",
    "run",
    "tiny_function",
]


def __getattr__(name: str) -> Any:
    # Agents without sources need not know of them: a third of the time of this package's import.
    if name == "Rag":
        from tinyllm_actors.agent.rag import Rag

        return Rag
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
