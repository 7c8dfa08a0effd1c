"""What a streamed run tells while it goes on. The last event carries the same dictionary as a plain call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from tinyllm_actors.llm import ReasoningDelta, TextDelta, ToolCallDelta
from tinyllm_actors.tool import ToolFinished, ToolProgress, ToolStarted

if TYPE_CHECKING:
    from tinyllm_actors.function import Result
    from tinyllm_actors.llm import AssistantMessage, Usage

__all__ = [
    "AgentEvent",
    "MessageCompleted",
    "ReasoningDelta",
    "RunFinished",
    "RunStarted",
    "TextDelta",
    "ToolCallDelta",
    "ToolFinished",
    "ToolProgress",
    "ToolStarted",
]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The agent took the question up.

    Attributes:
        run_id: the number of the run's message, unique in the system.
        agent: the agent's path.
        starts_output: whether it is output already, so that no other agent can take over.
    """

    starts_output: ClassVar[bool] = False

    run_id: int
    agent: str


@dataclass(frozen=True, slots=True)
class MessageCompleted:
    """The model finished a message: text, tool calls, or both.

    Attributes:
        message: the whole message.
        usage: tokens and cost of this model call, if the provider said.
    """

    message: AssistantMessage
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class RunFinished:
    """The run ended.

    Attributes:
        result: what a plain call would have answered.
    """

    result: Result


AgentEvent: TypeAlias = (
    RunStarted
    | TextDelta
    | ReasoningDelta
    | ToolCallDelta
    | MessageCompleted
    | ToolStarted
    | ToolProgress
    | ToolFinished
    | RunFinished
)
