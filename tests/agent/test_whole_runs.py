"""Whole runs, thousands of them, driven without any I/O: whatever the model says and whoever interferes, they end well.

Each run is made from a number, which the failure names.
"""

from __future__ import annotations

import os
from random import Random
from typing import TYPE_CHECKING

from tinyllm_actors.agent.decision import HANDED_OVER, Act, Answer, Decision, GiveUp, HandOff, Listen, Think, decide
from tinyllm_actors.agent.turn import Turn, with_fresh_ids
from tinyllm_actors.conversation.history_repair import repair
from tinyllm_actors.errors import FunctionFailed, RunCancelled
from tinyllm_actors.llm import AssistantMessage, FunctionCall, Message, ToolCall, ToolMessage, UserMessage
from tinyllm_actors.tool import ToolOutcome

if TYPE_CHECKING:
    from tinyllm_actors.agent.decision import Winding
    from tinyllm_actors.function.result import Failure

RUNS = {"quick": 2_000, "thorough": 200_000}.get(os.environ.get("HYPOTHESIS_PROFILE", "ci"), 10_000)
HANDOFFS = {"transfer"}
FAILURE: Failure = {
    "status": "error",
    "message": "no",
    "error": {"type": "ModelError", "state": "RUNNING", "retryable": False, "retry_after": None},
}


def random_message(random: Random) -> AssistantMessage:
    """Return what a model may say: text, nothing, or calls, some of which share an identifier."""
    if random.random() < 0.4:
        return AssistantMessage(random.choice(["Hello.", "", "Hello."]))
    calls = [
        ToolCall(
            random.choice("abcdefgh"),
            FunctionCall(random.choice(["look", "look", "pay", "transfer"]), random.choice(["{}", '{"x": 1}', "{"])),
        )
        for _ in range(random.randint(1, 4))
    ]
    return AssistantMessage(random.choice([None, "Let me see."]), calls)


def random_history(random: Random) -> list[Message]:
    """Return a run so far, valid or not: results may be missing, foreign, or double."""
    run: list[Message] = [UserMessage("?")]
    for _ in range(random.randint(0, 5)):
        message = random_message(random)
        run.append(message)
        run += [
            ToolMessage(call.id, random.choice(["seen", HANDED_OVER]), call.name)
            for call in message.tool_calls
            if random.random() < 0.8
        ]
        if random.random() < 0.1:
            run.append(ToolMessage("z", "of no call"))
        if random.random() < 0.2:
            run.append(UserMessage("And?"))
    return run


def check(
    step: Decision, run: list[Message], *, steps: int, max_steps: int, winding: Winding, heard: bool, tools_left: bool
) -> None:
    """Hold a decision against what the semantics say, put the other way round."""
    index = max((n for n, m in enumerate(run) if isinstance(m, AssistantMessage)), default=-1)
    asked = run[index] if index >= 0 else None
    tail = run[index + 1 :]
    results = {message.tool_call_id for message in tail if isinstance(message, ToolMessage)}
    is_open = [
        call
        for call in (asked.tool_calls if isinstance(asked, AssistantMessage) else ())
        if call.id not in results and all(isinstance(message, ToolMessage) for message in tail)
    ]
    if isinstance(step, Act):
        assert list(step.calls) == is_open
        assert is_open
        assert winding != "stop"
        return
    assert not is_open or winding == "stop"
    if isinstance(step, Think):
        assert steps < max_steps
        assert winding != "stop"
        assert not heard
        assert not isinstance(run[-1], AssistantMessage)
        if step.with_tools:
            assert tools_left
            assert winding == "on"
    elif isinstance(step, Answer):
        assert step.message is run[-1]
        assert not heard
        assert not step.message.tool_calls
    elif isinstance(step, Listen):
        assert heard
    elif isinstance(step, HandOff):
        assert (step.call.id, HANDED_OVER) in {(m.tool_call_id, m.content) for m in tail if isinstance(m, ToolMessage)}
        assert step.call.name in HANDOFFS
    else:
        assert winding == "stop" or steps >= max_steps


def test_no_history_leads_to_an_invalid_step() -> None:
    """Of any history, valid or not, and any state of the run, the next step is one that its semantics allow."""
    seen: set[type] = set()
    for seed in range(RUNS):
        random = Random(seed)
        run = random_history(random)
        steps, max_steps = random.randint(0, 5), random.randint(1, 5)
        winding: Winding = random.choice(["on", "on", "answer", "stop"])
        heard, tools_left = random.random() < 0.2, random.random() < 0.8
        step = decide(
            run,
            steps=steps,
            max_steps=max_steps,
            tool_retries=random.randint(1, 3),
            tools_left=tools_left,
            winding=winding,
            heard=heard,
            handoffs=HANDOFFS,
        )
        try:
            check(step, run, steps=steps, max_steps=max_steps, winding=winding, heard=heard, tools_left=tools_left)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {step} of {run}") from error
        seen.add(type(step))
    assert seen == {Think, Act, Listen, HandOff, Answer, GiveUp}


class Driven:
    """A run whose model, tools and people are random, and which waits for nothing."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.turn = Turn([], UserMessage("?"))
        self.max_steps = random.randint(1, 8)
        self.winding: Winding = "on"
        self.heard = 0
        self.calls: list[str] = []
        self.completed: dict[str, str] = {}

    def interfere(self) -> None:
        """Let somebody say something, or want the run to end."""
        chance = self.random.random()
        if chance < 0.05:
            self.heard = min(3, self.heard + 1)
        elif chance < 0.08 and self.winding == "on":
            self.winding = "answer"
        elif chance < 0.1:
            self.winding = "stop"

    def go(self) -> list[Message]:
        """Take steps until the run ends, in whatever way, and return what is remembered."""
        turn, random = self.turn, self.random
        for _ in range(10 * self.max_steps + 20):
            self.interfere()
            step = decide(
                turn.said,
                steps=turn.steps,
                max_steps=self.max_steps,
                tool_retries=3,
                winding=self.winding,
                heard=bool(self.heard),
                handoffs=HANDOFFS,
            )
            if random.random() < 0.03:  # it is cancelled before it does so, or a part fails
                return self.broken_off()
            if isinstance(step, Think):
                turn.steps += 1
                message = with_fresh_ids(random_message(random), [*turn.history, *turn.said])
                turn.said.append(message)
                self.calls += [call.id for call in message.tool_calls]
            elif isinstance(step, Act):
                for call in random.sample(step.calls, len(step.calls)):  # they end in any order
                    if random.random() < 0.03:
                        return self.broken_off()
                    over = call.name in HANDOFFS
                    text = HANDED_OVER if over else f"result {len(self.completed)}"
                    turn.outcomes[call.id] = ToolOutcome(call.id, call.name, text)
                    self.completed[call.id] = text
                turn.close_calls()
                turn.saved = len(turn.said)
            elif isinstance(step, Listen):
                turn.said += [UserMessage("And?")] * self.heard
                self.heard = 0
                turn.saved = len(turn.said)
            elif isinstance(step, GiveUp):
                return self.broken_off()
            else:
                return turn.said
        raise AssertionError("it does not end")

    def broken_off(self) -> list[Message]:
        """End the run as `Loop` does, when it is cancelled or has failed."""
        error = RunCancelled("enough") if self.random.random() < 0.5 else FunctionFailed(FAILURE)
        return [*self.turn.said[: self.turn.saved], *self.turn.unsaved(error)]


def test_every_run_ends_with_one_result_for_each_call() -> None:
    """Within its steps, in a history that needs no repair, in which no completed result is missing or out of order."""
    for seed in range(RUNS):
        run = Driven(Random(seed))
        try:
            left = run.go()
            results = [message for message in left if isinstance(message, ToolMessage)]
            assert [result.tool_call_id for result in results] == run.calls, "one result for each call, in their order"
            found = {result.tool_call_id: result.content for result in results}
            assert run.completed.items() <= found.items(), "no completed result is lost"
            # What says nothing, and arguments that are no JSON, are repaired when they are shown, not when kept.
            kept = [message for message in repair(left) if isinstance(message, ToolMessage)]
            assert kept == results, "the history is valid"
            assert run.turn.steps <= run.max_steps
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
