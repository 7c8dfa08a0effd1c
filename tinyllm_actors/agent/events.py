"""What a streamed run tells while it goes on. The last event carries the same dictionary as a plain call.

Each event names its run and, where there is one, the step (the model call) that it belongs to, so that a page can
put it where it belongs; `msgspec` encodes all of them.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeAlias

import msgspec

from tinyllm_actors.conversation.run_events import RunFinished
from tinyllm_actors.llm import AssistantMessage, Usage
from tinyllm_actors.tool import ApprovalRequest, Decision, ToolOutcome

__all__ = [
    "AgentEvent",
    "ApprovalRequested",
    "ApprovalResolved",
    "HandedOff",
    "MessageCompleted",
    "MessageInjected",
    "PartialOutput",
    "ReasoningDelta",
    "RunFinished",
    "RunStarted",
    "TextDelta",
    "ToolCallDelta",
    "ToolFinished",
    "ToolProgress",
    "ToolStarted",
    "UsageUpdated",
]


class RunStarted(msgspec.Struct, frozen=True, tag="run_started"):
    """The agent took the question up.

    Attributes:
        run_id: the number of the run's message, unique in the system.
        agent: the agent's path.
    """

    # Before there is output, another agent can take over.
    starts_output: ClassVar[bool] = False

    run_id: int
    agent: str


class TextDelta(msgspec.Struct, frozen=True, tag="text_delta"):
    """More text of the answer."""

    text: str
    run_id: int = 0
    step: int = 0


class ReasoningDelta(msgspec.Struct, frozen=True, tag="reasoning_delta"):
    """More of the model's thinking."""

    text: str
    run_id: int = 0
    step: int = 0


class ToolCallDelta(msgspec.Struct, frozen=True, tag="tool_call_delta"):
    """More of one tool call that the model is writing; `arguments` is a piece of JSON text."""

    index: int
    call_id: str
    name: str
    arguments: str
    run_id: int = 0
    step: int = 0


class PartialOutput(msgspec.Struct, frozen=True, tag="partial_output"):
    """The structured answer as far as it has come: a value that fits the type as far as that can be said."""

    value: Any
    run_id: int = 0
    step: int = 0


class MessageCompleted(msgspec.Struct, frozen=True, tag="message_completed"):
    """The model finished a message: text, tool calls, or both.

    Attributes:
        message: the whole message.
        usage: tokens and cost of this model call, if the provider said.
    """

    message: AssistantMessage
    usage: Usage | None
    run_id: int = 0
    step: int = 0


class UsageUpdated(msgspec.Struct, frozen=True, tag="usage_updated"):
    """What the run has used so far, agents inside of it included.

    Attributes:
        steps: model calls.
        tool_calls: tool calls.
        tokens: of all model calls, as far as providers said.
        cost: US dollars; None while a price is unknown.
    """

    steps: int
    tool_calls: int
    tokens: int
    cost: float | None
    run_id: int = 0


class ApprovalRequested(msgspec.Struct, frozen=True, tag="approval_requested"):
    """A call waits for a person: answer with `agent.approve(call_id)` or `agent.deny(call_id, reason)`."""

    request: ApprovalRequest
    run_id: int = 0
    step: int = 0


class ApprovalResolved(msgspec.Struct, frozen=True, tag="approval_resolved"):
    """Somebody decided on a call, or its time was up."""

    call_id: str
    decision: Decision
    run_id: int = 0
    step: int = 0


class ToolStarted(msgspec.Struct, frozen=True, tag="tool_started"):
    """A tool call began."""

    call_id: str
    name: str
    arguments: str
    run_id: int = 0
    step: int = 0


class ToolProgress(msgspec.Struct, frozen=True, tag="tool_progress"):
    """A tool says how far it is; an agent that is used as a tool says its own events here."""

    call_id: str
    name: str
    progress: Any
    run_id: int = 0
    step: int = 0


class ToolFinished(msgspec.Struct, frozen=True, tag="tool_finished"):
    """A tool call ended."""

    outcome: ToolOutcome
    run_id: int = 0
    step: int = 0


class MessageInjected(msgspec.Struct, frozen=True, tag="message_injected"):
    """What the user said while the run was going on has reached it."""

    content: Any
    run_id: int = 0
    step: int = 0


class HandedOff(msgspec.Struct, frozen=True, tag="handed_off"):
    """Another agent goes on; its events follow, with its own run's number."""

    agent: str
    run_id: int = 0
    step: int = 0


AgentEvent: TypeAlias = (
    RunStarted
    | TextDelta
    | ReasoningDelta
    | ToolCallDelta
    | PartialOutput
    | MessageCompleted
    | UsageUpdated
    | ApprovalRequested
    | ApprovalResolved
    | ToolStarted
    | ToolProgress
    | ToolFinished
    | MessageInjected
    | HandedOff
    | RunFinished
)
