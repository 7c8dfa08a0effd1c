"""What is to be done about the tool calls of one model message: a pure function."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import msgspec

from tinyllm_actors.conversation.history_repair import INTERRUPTED
from tinyllm_actors.tool import ToolOutcome, ToolRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from tinyllm_actors.conversation import Resumption
    from tinyllm_actors.llm import ToolCall
    from tinyllm_actors.tool import ApprovalRequest, Toolkit

__all__ = ["CallPlan", "plan_calls"]


@dataclass(slots=True)
class CallPlan:
    """The calls of one message, sorted by what happens to them.

    Attributes:
        settled: those that are not run, with what the model is told instead.
        free: those that run now.
        handed_off: the one that has another agent go on, after the others.
        asked: those that wait for a person.
    """

    settled: list[ToolOutcome] = field(default_factory=list[ToolOutcome])
    free: list[ToolRequest] = field(default_factory=list[ToolRequest])
    handed_off: ToolRequest | None = None
    asked: list[tuple[ToolRequest, ApprovalRequest]] = field(
        default_factory=list["tuple[ToolRequest, ApprovalRequest]"]
    )

    @property
    def intents(self) -> list[ToolRequest]:
        """What is about to be done now, as the journal has to know."""
        return self.free if self.handed_off is None else [*self.free, self.handed_off]


def plan_calls(
    calls: Sequence[ToolCall],
    toolkit: Toolkit,
    *,
    granted: int,
    handoffs: Collection[str] = (),
    resumption: Resumption | None = None,
    key: Callable[[str], str] | None = None,
    expires_at: float | None = None,
) -> CallPlan:
    """Sort the calls of a message.

    Args:
        calls: those without a result.
        toolkit: the tools.
        granted: how many may run; of the others the model is told that there is no more.
        handoffs: names of calls that stand for another agent: there is one at most, and nothing to run.
        resumption: what is known of these calls from before a crash. One that was about to run then runs again only
            if its tool is idempotent, with the same key; else nobody knows whether it took effect, and the model is
            told so.
        key: makes the idempotency key of a call from its id.
        expires_at: when questions to people are no longer open, in seconds of Unix time.
    """
    plan = CallPlan()
    handed_off = False
    requests: list[ToolRequest] = []
    for call in calls:
        if call.name in handoffs:
            if handed_off or (resumption is not None and call.id in resumption.intents):
                text = INTERRUPTED if not handed_off else "Error: only one agent can go on"
                plan.settled.append(ToolOutcome(call.id, call.name, text, "error", "Interrupted"))
            else:
                plan.handed_off = ToolRequest(call.id, call.name, call.arguments)
            handed_off = True
            continue
        if resumption is not None and call.id in resumption.intents:
            tool = toolkit.tools.get(call.name)
            if tool is None or not tool.idempotent:
                plan.settled.append(ToolOutcome(call.id, call.name, INTERRUPTED, "error", "Interrupted"))
                continue
        if not toolkit:  # it has no tools, or none any more since the call was asked for
            text = f"Error: there is no tool {call.name!r}; answer with what you know"
            plan.settled.append(ToolOutcome(call.id, call.name, text, "error", "UnknownTool"))
            continue
        if granted <= 0:
            text = "Error: no more tool calls are allowed; answer with what you know"
            plan.settled.append(ToolOutcome(call.id, call.name, text, "error", "ToolCallLimitExceeded"))
            continue
        granted -= 1
        requests.append(_request(call, resumption, key))
    questions = {question.call_id: question for question in toolkit.approvals(requests, expires_at=expires_at)}
    for request in requests:
        question = questions.get(request.call_id)
        if question is None or request.decision is not None:
            plan.free.append(request)
        else:
            if resumption is not None and request.call_id in resumption.expires:  # the time goes on, asleep or not
                question = msgspec.structs.replace(question, expires_at=resumption.expires[request.call_id])
            plan.asked.append((request, question))
    return plan


def _request(call: ToolCall, resumption: Resumption | None, key: Callable[[str], str] | None) -> ToolRequest:
    request = ToolRequest(call.id, call.name, call.arguments)
    if key is None:
        return request
    if resumption is None:
        return replace(request, idempotency_key=key(call.id))
    return replace(
        request,
        idempotency_key=resumption.intents.get(call.id) or key(call.id),
        decision=resumption.decisions.get(call.id),
    )
