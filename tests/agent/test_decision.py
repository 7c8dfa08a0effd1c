"""The agent's next step, as a function of what was said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tinyllm_actors.agent.decision import (
    HANDED_OVER,
    Act,
    Answer,
    GiveUp,
    HandOff,
    Listen,
    Think,
    Winding,
    decide,
    is_stuck,
    open_calls,
)
from tinyllm_actors.errors import StepLimitExceeded
from tinyllm_actors.llm import AssistantMessage, FunctionCall, Message, ToolCall, ToolMessage, UserMessage


def calling(*ids: str, arguments: str = "{}") -> AssistantMessage:
    """Return a message that asks for calls."""
    return AssistantMessage(tool_calls=[ToolCall(call_id, FunctionCall("look", arguments)) for call_id in ids])


def round_of(call_id: str, result: str = "same", arguments: str = "{}") -> list[Message]:
    """Return one call and its result."""
    return [calling(call_id, arguments=arguments), ToolMessage(call_id, result, "look")]


def step(run: list[Message], *, steps: int = 1, max_steps: int = 5) -> object:
    """Decide with three tool retries."""
    return decide(run, steps=steps, max_steps=max_steps, tool_retries=3)


def test_the_loop() -> None:
    """A question is thought about, calls are made, results thought about, an answer is the end."""
    question: list[Message] = [UserMessage("?")]
    assert step(question) == Think()
    assert step([*question, calling("a", "b")]) == Act(tuple(calling("a", "b").tool_calls))
    assert step([*question, *round_of("a")]) == Think()
    assert step([*question, AssistantMessage("!")]) == Answer(AssistantMessage("!"))


def test_the_limit_of_steps_ends_the_run() -> None:
    """At the limit no further model call is made, but an answer that is there counts."""
    gave_up = step([UserMessage("?"), *round_of("a")], steps=5)
    assert isinstance(gave_up, GiveUp)
    assert isinstance(gave_up.error, StepLimitExceeded)
    assert gave_up.error.max_steps == 5
    assert isinstance(step([UserMessage("?"), AssistantMessage("!")], steps=5), Answer)


def test_the_same_results_again_and_again_withhold_the_tools() -> None:
    """Three equal rounds are a loop; two, or three of which one differs, are not."""
    question: list[Message] = [UserMessage("?")]
    loop = [*question, *round_of("a"), *round_of("b"), *round_of("c")]
    assert step(loop) == Think(with_tools=False)
    assert step(loop[:-2]) == Think()
    assert step([*question, *round_of("a"), *round_of("b", "other"), *round_of("c")]) == Think()
    assert step([*question, *round_of("a"), *round_of("b", arguments='{"x":1}'), *round_of("c")]) == Think()


@given(st.lists(st.tuples(st.sampled_from("xy"), st.sampled_from("xy")), max_size=8), st.integers(1, 4))
def test_stuck_is_what_it_says(rounds: list[tuple[str, str]], repeats: int) -> None:
    """The loop is found exactly when the last rounds are all equal, whatever the ids."""
    run: list[Message] = [UserMessage("?")]
    for index, (arguments, result) in enumerate(rounds):
        run += round_of(str(index), result, f'{{"a":"{arguments}"}}')
    last = rounds[-repeats:]
    assert is_stuck(run, repeats) == (len(last) == repeats and len(set(last)) == 1)


def test_a_wish_to_end_is_heeded() -> None:
    """Stopping closes open calls and asks no more, but an answer counts; winding down withholds the tools."""
    question: list[Message] = [UserMessage("?")]

    def wound(run: list[Message], winding: Winding) -> object:
        return decide(run, steps=1, max_steps=9, tool_retries=3, winding=winding)

    assert isinstance(wound([*question, calling("a")], "stop"), GiveUp)
    assert isinstance(wound([*question, *round_of("a")], "stop"), GiveUp)
    assert isinstance(wound([*question, AssistantMessage("!")], "stop"), Answer)
    assert wound([*question, *round_of("a")], "answer") == Think(with_tools=False)
    assert wound([*question, calling("a")], "answer") == Act(tuple(calling("a").tool_calls))


def test_what_was_heard_comes_before_the_answer() -> None:
    """An answer that overlooks a message does not end the run; open calls are made first."""
    run: list[Message] = [UserMessage("?"), AssistantMessage("!")]
    assert decide(run, steps=1, max_steps=9, tool_retries=3, heard=True) == Listen()
    assert isinstance(decide([*run[:1], calling("a")], steps=1, max_steps=9, tool_retries=3, heard=True), Act)


def test_a_hand_off_is_made_once_its_call_is_closed() -> None:
    """A call of that name with the result that says so; not one that was interrupted or refused."""
    run: list[Message] = [UserMessage("?"), calling("a", "b"), ToolMessage("a", "x"), ToolMessage("b", HANDED_OVER)]
    made = decide(run, steps=1, max_steps=9, tool_retries=3, handoffs={"look"})
    assert isinstance(made, HandOff)
    assert made.call.id == "b"
    assert decide(run, steps=1, max_steps=9, tool_retries=3) == Think()
    run[-2:] = [ToolMessage("a", HANDED_OVER), ToolMessage("b", HANDED_OVER)]  # a tool that says the same
    assert isinstance(decide(run, steps=1, max_steps=9, tool_retries=3, handoffs={"look"}), HandOff)
    run[-1] = ToolMessage("b", "Error: interrupted")
    run[-2] = ToolMessage("a", "x")
    assert decide(run, steps=1, max_steps=9, tool_retries=3, handoffs={"look"}) == Think()


@given(st.lists(st.sampled_from("abcd"), max_size=4, unique=True), st.integers(0, 4))
def test_open_calls_are_those_without_a_result(ids: list[str], answered: int) -> None:
    """In their order, whichever were answered; none without calls."""
    results = [ToolMessage(call_id, "r") for call_id in reversed(ids[:answered])]
    run: list[Message] = [UserMessage("?"), calling(*ids), *results]
    assert [call.id for call in open_calls(run)] == ids[answered:]
