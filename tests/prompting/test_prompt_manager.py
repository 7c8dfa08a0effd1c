"""Putting together what a model is shown, and fitting it into a context."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm_actors import ExampleManager, PromptManager
from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.function.language import Said, estimate_messages
from tinyllm_actors.llm import (
    AssistantMessage,
    FunctionCall,
    ImagePart,
    MaxTokensStrategy,
    Message,
    ModelInfo,
    TextPart,
    TokenCount,
    ToolCall,
    ToolMessage,
    UserMessage,
    count_tokens,
    max_tokens_for,
)
from tinyllm_actors.memory import groups
from tinyllm_actors.prompting import Example, prompt_limit

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


def exchange(calls: int, index: int) -> list[Message]:
    """Return a question, or a message with so many calls and their results."""
    if calls == 0:
        return [UserMessage(f"question {index} " * (index + 1))]
    ids = [f"{index}-{n}" for n in range(calls)]
    return [
        AssistantMessage(tool_calls=[ToolCall(call_id, FunctionCall("look")) for call_id in ids]),
        *[ToolMessage(call_id, "result") for call_id in ids],
    ]


HISTORIES = st.lists(st.integers(0, 3), max_size=8).map(
    lambda sizes: [message for index, calls in enumerate(sizes) for message in exchange(calls, index)]
)
EXAMPLES = st.lists(st.builds(Example, st.text("ab", min_size=1), st.text("cd", min_size=1)), max_size=4)
RULES: st.SearchStrategy[Any] = st.one_of(st.none(), st.integers(1, 200), st.sampled_from(["max", "expected_ratio"]))


@given(
    HISTORIES, EXAMPLES, RULES, st.integers(100, 900), st.integers(0, 100), st.one_of(st.none(), st.integers(1, 500))
)
def test_a_prompt_is_within_its_context(
    memories: list[Message], examples: list[Example], rule: Any, window: int, reserved: int, max_output: int | None
) -> None:
    """It fits if anything can be left out; the newest memories and the most alike examples stay, in whole groups."""
    manager = PromptManager(system_role="s", context_window=window, max_output=max_output, max_tokens=rule)
    said = [UserMessage("now")]
    prompt = manager.prompt(said, memories=memories, examples=examples, reserved=reserved)
    parts = {part.name: list(part.messages) for part in prompt.parts}
    assert parts["conversation"] == said
    assert parts["system"] == [Said("system", "s")]
    kept = parts.get("memories", [])
    assert kept == memories[len(memories) - len(kept) :]
    assert groups(kept) == groups(memories)[len(groups(memories)) - len(groups(kept)) :]
    shown = parts.get("selected examples", [])
    assert [message.content for message in shown[::2]] == [e.user_message for e in examples][: len(shown) // 2]
    assert prompt.memories_left_out == len(memories) - len(kept)
    assert prompt.examples_left_out == len(examples) - len(shown) // 2
    limit = prompt_limit(rule, context_window=window, max_output=max_output, expected_io_ratio=1.0)
    size = sum(estimate_messages(part.messages) for part in prompt.parts) + reserved
    assert prompt.fits == (size <= limit)
    if not prompt.fits:  # there was nothing more to leave out
        assert not kept
        assert not shown
    elif prompt.max_tokens is not None:
        assert size + prompt.max_tokens <= window
        assert max_output is None or isinstance(rule, int) or prompt.max_tokens <= max_output
    whole = estimate_messages([Said("system", "s")]) + estimate_messages(said) + reserved
    if memories:
        whole += estimate_messages(memories)
    if examples:
        pairs = [Said("user", e.user_message) for e in examples] + [Said("user", e.assistant_message) for e in examples]
        whole += estimate_messages(pairs) + len(pairs) * 5
    if whole <= limit:
        assert not prompt.memories_left_out
        assert not prompt.examples_left_out


@given(st.integers(1, 100_000), st.floats(0.01, 20), st.one_of(st.none(), st.integers(1, 50_000)))
def test_the_limit_is_the_longest_prompt_whose_answer_fits(window: int, ratio: float, max_output: int | None) -> None:
    """A prompt of the limit's length and its answer fill the context, in which no longer one has room."""

    def total(prompt: int) -> int:
        wanted = -int(-prompt * ratio // 1)
        return prompt + (wanted if max_output is None else min(wanted, max_output))

    limit = prompt_limit("expected_ratio", context_window=window, max_output=max_output, expected_io_ratio=ratio)
    assert limit <= 0 or total(limit) <= window + 1
    assert total(limit + 1) >= window


def test_the_arithmetic_is_the_models() -> None:
    """What a preview says an answer may have is what an LLM asks for."""
    for rule in MaxTokensStrategy:
        manager = PromptManager(context_window=8_192, max_output=4_096, max_tokens=rule, expected_io_ratio=0.5)
        prompt = manager.preview("x" * 9_000)
        model = ModelInfo(context_window=8_192, max_output=4_096)
        counted = TokenCount(prompt.tokens or 0, exact=True)
        assert prompt.max_tokens == max_tokens_for(rule, counted, model, expected_io_ratio=0.5)


def test_a_larger_model_is_named_where_the_context_is_too_small() -> None:
    """It is the fallback's context that counts then; one that nobody knows has room for everything."""
    long = "x" * 3_000
    known = PromptManager(context_window=500, fallback_model="large", fallback_context_window=2_000, max_tokens=100)
    assert known.preview("short").model is None
    assert known.preview(long).model == "large"
    assert known.preview(long).fits
    assert not known.preview(long * 3).fits
    unknown = PromptManager(context_window=500, fallback_model="large")
    assert (unknown.preview(long * 3).model, unknown.preview(long * 3).fits) == ("large", True)


def test_a_preview_is_the_request_with_its_tokens() -> None:
    """Each part, what it costs, and what is not there."""
    manager = PromptManager(
        system_role="Translate.",
        example_manager=ExampleManager([("cold", "froid")]),
        initial_user_message_text="I am Ada.",
        time_aware=True,
        clock=lambda: NOON,
        context_window=200,
        max_tokens=40,
    )
    memories = [UserMessage("m" * 400), *exchange(1, 1), UserMessage([ImagePart({"url": "data:"}), TextPart("see")])]
    prompt = manager.preview("hot", memories=memories, examples=[("mild", "doux")])
    assert [part.name for part in prompt.parts] == ["system", "constant examples", "initial message", "conversation"]
    assert prompt.tokens == sum(part.tokens or 0 for part in prompt.parts)
    assert prompt.memories_left_out == len(memories)
    text = prompt.render()
    assert "system: Translate.\n\nThe time is Monday, 2026-05-04 12:00 UTC." in text
    assert "== initial message" in text
    assert text.endswith("1 examples left out, 4 memories left out")
    roomy = PromptManager(count=lambda messages: len(messages))
    rendered = roomy.preview([UserMessage("y" * 500)], memories=memories).render()
    assert "assistant: look({})" in rendered
    assert f"user: {'y' * 400}… (500 characters)" in rendered
    assert rendered.endswith("== 6 tokens")
    assert "too long for the context" in PromptManager(context_window=10).preview("hot").render()


def test_a_prompt_is_a_pure_function() -> None:
    """The same in, the same out; nothing is counted where no size is known."""
    counted: list[int] = []

    def count(messages: Any) -> int:
        counted.append(len(messages))
        return len(messages)

    manager = PromptManager(count=count, time_aware=True, clock=lambda: NOON)
    said, memories = [UserMessage("a")], [UserMessage("b")]
    assert manager.prompt(said, memories=memories) == manager.prompt(said, memories=memories)
    assert counted == []
    assert manager.prompt(said).tokens is None
    assert (said, memories) == ([UserMessage("a")], [UserMessage("b")])
    assert manager.prompt(said, now=NOON.replace(hour=3)) != manager.prompt(said)


def test_tokens_can_be_counted_exactly() -> None:
    """Any count of messages will do."""
    manager = PromptManager(system_role="", count=lambda messages: count_tokens(messages, "openai/gpt-4o-mini").count)
    assert manager.preview("The quick brown fox").tokens == manager.count([Said("user", "The quick brown fox")])


@pytest.mark.parametrize(
    "options",
    [
        {"context_window": 0},
        {"max_output": -1},
        {"max_tokens": 0},
        {"max_tokens": "most"},
        {"expected_io_ratio": 0},
        {"fallback_context_window": 0},
    ],
)
def test_what_has_no_meaning_is_refused(options: dict[str, Any]) -> None:
    """The message names the option and the value."""
    [(name, value)] = options.items()
    with pytest.raises(ConfigurationError, match=f"{name}.*{value!r}"):
        PromptManager(**options)
