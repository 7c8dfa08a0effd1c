"""One run of an agent: does what `decide` says, tells what happens, and leaves a valid history however it ends."""

from __future__ import annotations

import inspect
import time
from contextlib import nullcontext
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from tinyllm_actors.agent import events
from tinyllm_actors.agent.acting import run_calls
from tinyllm_actors.agent.decision import HANDED_OVER, Act, Answer, GiveUp, HandOff, Listen, Think, decide
from tinyllm_actors.agent.member import ask_member, open_member
from tinyllm_actors.agent.plan import CallPlan, plan_calls
from tinyllm_actors.agent.states import AgentStep
from tinyllm_actors.agent.thinking import Tally, ask_model
from tinyllm_actors.agent.turn import Turn, with_fresh_ids
from tinyllm_actors.conversation.history_repair import repair
from tinyllm_actors.errors import OutputInvalid, TimeLimitExceeded
from tinyllm_actors.function import Call, unwrap
from tinyllm_actors.function.answer import text_of_output
from tinyllm_actors.function.language.said import Said
from tinyllm_actors.llm import (
    AssistantMessage,
    Budget,
    ChatRequest,
    UserMessage,
    as_messages,
)
from tinyllm_actors.tool import ToolOutcome

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractContextManager

    from tinyllm_actors.agent.parts import Parts
    from tinyllm_actors.agent.prompting import RunPrompt
    from tinyllm_actors.agent.scope import RunScope
    from tinyllm_actors.conversation import Resumption
    from tinyllm_actors.llm import Message
    from tinyllm_actors.llm.messages import ContentPart
    from tinyllm_actors.tool import ApprovalRequest, Decision, ToolRequest

__all__ = ["Loop"]


class Loop:
    """A run in progress.

    Args:
        parts: the agent's.
        scope: what the run may use.
        run_id: its number.
        emit: takes its events; None if nobody reads them.
    """

    def __init__(
        self, parts: Parts, scope: RunScope, run_id: int, emit: Callable[[Any], Awaitable[None]] | None
    ) -> None:
        self._parts = parts
        self._settings = parts.settings
        self._scope = scope
        self._run_id = run_id
        self._emit = emit
        self._told = emit is not None or parts.settings.on_event is not None
        self._tally = Tally()
        self._plan: CallPlan | None = None
        self._prompt: RunPrompt | None = None

    async def run(
        self,
        content: str | list[ContentPart],
        history: Sequence[Message],
        resumption: Resumption | None,
    ) -> dict[str, Any]:
        """Answer `content`.

        Raises:
            RunStopped: a limit was reached, or somebody stopped the run.
            FunctionFailed: a part failed.
        """
        control = self._parts.control
        limit = self._settings.max_seconds
        deadline = float("inf") if limit is None else anyio.current_time() + limit
        try:
            with anyio.CancelScope(deadline=deadline) as scope, self._budget():
                control.begin(scope)
                turn = await self._begin(UserMessage(content), history, resumption)
                try:
                    return await self._steps(turn)
                except BaseException as error:
                    self._keep(turn, error)
                    raise
            if control.reason is not None:
                raise control.reason
            assert limit is not None
            raise TimeLimitExceeded(limit)
        finally:
            for message in control.end():  # it came too late for this run: a question of its own
                if self._parts.journal is None:
                    self._parts.context.ref.tell_nowait(Call({"content": message.content}))
                else:
                    self._parts.journal.unheard(message)
            self._parts.move(AgentStep.END)

    def _budget(self) -> AbstractContextManager[object]:
        settings = self._settings
        if settings.max_tokens is None and settings.max_usd is None:
            return nullcontext()
        budget = Budget(max_tokens=settings.max_tokens, max_usd=settings.max_usd, name=f"a run of {self._scope.agent}")
        return budget.active()

    async def _begin(self, question: UserMessage, history: Sequence[Message], resumption: Resumption | None) -> Turn:
        if self._parts.prompting is not None:
            self._prompt = await self._parts.prompting.begin(question)
        if resumption is None:
            shown = await self._recall([question])
            if shown and shown[-1] == question:
                del shown[-1]
            return Turn(repair([*history, *shown]), question)
        turn = Turn(repair([*history, *await self._recall([])]), question, resumption)
        for _ in range(turn.steps):
            self._scope.take_step()
        self._scope.take_tool_calls(resumption.tool_calls)
        turn.saved = 0
        closed = len(turn.said)
        while closed and not isinstance(turn.said[closed - 1], UserMessage):
            closed -= 1  # an open group stays together, and is remembered when it is whole
        await self._parts.remember(turn.said[:closed])
        turn.saved = closed
        return turn

    async def _recall(self, said: list[Message]) -> list[Message]:
        """Tell the memory what was said, and return what it shows, as messages of a model."""
        shown = await self._parts.remember(said)
        return as_messages(shown) if any(type(message) is Said for message in shown) else shown

    async def _steps(self, turn: Turn) -> dict[str, Any]:
        settings, control, scope = self._settings, self._parts.control, self._scope
        while True:
            step = decide(
                turn.said,
                steps=scope.steps,
                max_steps=scope.steps + scope.steps_left(),
                tool_retries=settings.tool_retries,
                tools_left=scope.tool_calls_left() != 0,
                winding=control.winding,
                heard=bool(control.heard),
                handoffs=self._parts.handoffs,
                stopped=control.reason,
            )
            if isinstance(step, Think):
                await self._think(turn, step)
            elif isinstance(step, Act):
                await self._act(turn, step)
            elif isinstance(step, Listen):
                await self._listen(turn)
            elif isinstance(step, Answer):
                output = await self._answer(turn, step)
                if output is not None:
                    return output
            elif isinstance(step, HandOff):
                return await self._hand_off(turn, step)
            else:
                assert isinstance(step, GiveUp)
                raise step.error

    # --- the steps ---------------------------------------------------------------------------------

    async def _think(self, turn: Turn, step: Think) -> None:
        """Call the model once."""
        parts = self._parts
        parts.move(AgentStep.THINK)
        self._scope.take_step()
        turn.steps += 1
        turn.partial.clear()
        tools = await parts.schemas() if step.with_tools else ()
        if self._prompt is None:
            messages = [*parts.head, *turn.history, *turn.said]
        else:
            messages = self._prompt.messages(turn.history, turn.said, tools)
        request = ChatRequest(messages=messages, tools=tools)
        turn.completion = completion = await ask_model(
            parts, request, turn.partial, self._tell if self._told else None, self._run_id, turn.steps
        )
        turn.partial.clear()
        message = completion.message
        if message.tool_calls:
            message = with_fresh_ids(message, chain(turn.history, turn.said))
            if message is not completion.message:
                turn.completion = completion = msgspec.structs.replace(completion, message=message)
        turn.said.append(message)
        self._tally.count(completion)
        if message.tool_calls:
            self._plan = plan = self._plan_calls(turn, message.tool_calls)
            if parts.journal is not None:
                await parts.journal.thought(completion, plan.intents, [question for _, question in plan.asked])
        elif parts.journal is not None:
            await parts.journal.thought(completion, (), ())
        if self._told:
            await self._tell(events.MessageCompleted(message, completion.usage, self._run_id, turn.steps))
            await self._tell(
                events.UsageUpdated(
                    self._scope.steps, self._scope.tool_calls, self._tally.tokens, self._tally.cost, self._run_id
                )
            )

    def _plan_calls(self, turn: Turn, calls: Sequence[Any]) -> CallPlan:
        """Decide what happens to the calls of a message, and count those that run."""
        parts, journal = self._parts, self._parts.journal
        early = None if parts.output is None else next((c for c in calls if c.name == parts.output.tool_name), None)
        if early is not None:
            calls = [call for call in calls if call is not early]
        expires_at = None
        if self._settings.approval_timeout is not None:
            expires_at = time.time() + self._settings.approval_timeout
        plan = plan_calls(
            calls,
            parts.toolkit,
            granted=self._scope.take_tool_calls(min(len(calls), self._settings.max_tool_calls_per_turn)),
            handoffs=parts.handoffs,
            resumption=turn.resumption,
            key=None if journal is None else lambda call_id: journal.idempotency_key(turn.steps, call_id),
            expires_at=expires_at,
        )
        if early is not None and parts.output is not None:
            plan.settled.append(ToolOutcome(early.id, early.name, parts.output.postponed(early).content))
        return plan

    async def _act(self, turn: Turn, step: Act) -> None:
        """Run the tool calls of the last message; each gets exactly one result, in the order of the calls."""
        parts = self._parts
        parts.move(AgentStep.CALL_TOOLS)
        plan, self._plan = self._plan, None
        if plan is None:  # the run goes on after a crash
            await parts.refresh()
            plan = self._plan_calls(turn, step.calls)
            if parts.journal is not None:
                await parts.journal.intended(plan.intents)
        for outcome in plan.settled:
            turn.outcomes[outcome.call_id] = outcome
        if plan.settled and parts.journal is not None:
            await parts.journal.happened(plan.settled)
        parts.control.ask([question for _, question in plan.asked])
        for _, question in plan.asked:
            await self._tell(events.ApprovalRequested(question, self._run_id, turn.steps))
        if plan.free:
            await self._run_calls(turn, plan.free)
        if plan.asked:
            await self._ask_people(turn, plan.asked)
        if plan.handed_off is not None:
            call = plan.handed_off
            turn.outcomes[call.call_id] = ToolOutcome(call.call_id, call.name, HANDED_OVER)
        turn.close_calls()
        await parts.remember(turn.said[turn.saved :])
        turn.saved = len(turn.said)

    async def _ask_people(self, turn: Turn, asked: Sequence[tuple[ToolRequest, ApprovalRequest]]) -> None:
        """Wait for the decisions, in the order of the calls, and run what was approved."""
        parts = self._parts
        parts.move(AgentStep.WAIT)
        decided: list[ToolRequest] = []
        approved: list[ToolRequest] = []
        for request, question in asked:
            left = None if question.expires_at is None else max(0.0, question.expires_at - time.time())
            # It may have been made before the question was asked again.
            known = None if parts.journal is None else parts.journal.decision(request.call_id)
            with parts.context.interruptible():  # a shutdown need not wait; whoever resumes the run asks again
                decision: Decision = await parts.control.decision(question, left, known)
            if parts.journal is not None:
                decision = await parts.journal.decided(request.call_id, decision)
            await self._tell(events.ApprovalResolved(request.call_id, decision, self._run_id, turn.steps))
            decided.append(replace(request, decision=decision))
            if decision.verdict != "deny":
                approved.append(decided[-1])
        parts.move(AgentStep.CALL_TOOLS)
        if parts.journal is not None:
            await parts.journal.intended(approved)
        await self._run_calls(turn, decided)

    async def _run_calls(self, turn: Turn, requests: Sequence[ToolRequest]) -> None:
        ended = await run_calls(self._parts, turn, requests, self._tell if self._told else None, self._run_id)
        if self._settings.on_tools is not None and ended:
            await _call_back(self._settings.on_tools, ended)

    async def _listen(self, turn: Turn) -> None:
        """Take in what the user said meanwhile."""
        parts = self._parts
        heard = parts.control.heard
        while heard:
            message = heard[0]
            if parts.journal is not None:
                await parts.journal.heard(message)
            del heard[0]
            turn.said.append(message)
            await self._tell(events.MessageInjected(message.content, self._run_id, turn.steps))
        await parts.remember(turn.said[turn.saved :])
        turn.saved = len(turn.said)

    async def _answer(self, turn: Turn, step: Answer) -> dict[str, Any] | None:
        """Return the answer; None if the model is to correct it."""
        parts = self._parts
        completion = turn.completion or parts.completion_of(step.message)  # it may have been there before a crash
        answer: dict[str, Any] = {"response": completion.to_wire()}
        if parts.output is not None:
            try:
                answer["value"] = parts.output.parse(completion)
            except OutputInvalid as error:
                if error.refused or turn.reasks >= parts.output.max_reasks:
                    raise
                turn.reasks += 1
                correction = UserMessage(error.correction)
                if parts.journal is not None:
                    await parts.journal.heard(correction)
                turn.said.append(correction)
                return None
        parts.move(AgentStep.ANSWER)
        await parts.remember(turn.said[turn.saved :])
        turn.saved = len(turn.said)
        return answer

    async def _hand_off(self, turn: Turn, step: HandOff) -> dict[str, Any]:
        """Let another agent answer; what it says is what this one answers, and remembers."""
        parts = self._parts
        parts.move(AgentStep.HAND_OFF)
        handoff = parts.handoffs[step.call.name]
        arguments = handoff.arguments(step.call.arguments, turn.history, turn.said)
        async with open_member(handoff.target) as target:
            await self._tell(events.HandedOff(target.path, self._run_id, turn.steps))
            output = unwrap(await ask_member(target, arguments, self._tell if self._told else None))
        message = AssistantMessage(text_of_output(output))
        turn.said.append(message)
        if parts.journal is not None:
            await parts.journal.happened([ToolOutcome(step.call.id, step.call.name, HANDED_OVER)])
            await parts.journal.thought(parts.completion_of(message), (), ())
        await parts.remember([message])
        turn.saved = len(turn.said)
        return {"agent": target.path, **output}  # the last of several that handed over

    # --- endings -----------------------------------------------------------------------------------

    def _keep(self, turn: Turn, error: BaseException) -> None:
        """Have the memory keep what was completed. Without waiting, as this may be a cancellation."""
        unsaved = turn.unsaved(error)
        if unsaved:
            self._parts.memory.tell_nowait(Call({"messages": unsaved}))

    async def _tell(self, event: events.AgentEvent) -> None:
        if self._emit is not None:
            await self._emit(event)
        if self._settings.on_event is not None:
            await _call_back(self._settings.on_event, event)


async def _call_back(function: Callable[[Any], Any], argument: object) -> None:
    answer = function(argument)
    if inspect.isawaitable(answer):
        await answer
