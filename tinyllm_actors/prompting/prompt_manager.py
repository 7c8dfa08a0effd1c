"""Puts together what a model is shown."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.function.language.answer_size import answer_tokens
from tinyllm_actors.function.language.groups import groups
from tinyllm_actors.function.language.said import Said
from tinyllm_actors.function.language.size import estimate_messages
from tinyllm_actors.prompting.example import as_examples, example_messages
from tinyllm_actors.prompting.fitting import ContextSizes, leave_out, prompt_limit
from tinyllm_actors.prompting.prompt import Prompt, PromptPart

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinyllm_actors.prompting.example import Example, ExampleLike, ExampleManager

__all__ = ["PromptManager"]

DEFAULT_SYSTEM_ROLE: Final = "You are a helpful assistant."
RULES: Final = ("max", "expected_ratio")


def utc_now() -> datetime:
    """Return the time of day."""
    return datetime.now(UTC)


class PromptManager:
    """Puts together what a model is shown: a pure function of what it is given.

    The order is: the system's text, constant examples, selected examples, the initial message, memories, and what is
    being said. In the system's text stand the role, then the format of the answer, then the time, which changes the
    most: what is the same from call to call comes first, and providers charge less for it.

    Where the size of the context is known, what does not fit is left out: first selected examples, the least alike
    first, then memories, the oldest first in whole groups; never what is being said. With a `fallback_model` nothing is
    left out that its context has room for.

    ```python
    >>> from datetime import UTC, datetime
    >>> from tinyllm_actors import ExampleManager, PromptManager
    >>> manager = PromptManager(
    ...     system_role="You are a translator.",
    ...     answer_format="One word, in French.",
    ...     example_manager=ExampleManager([("cold", "Froid.")]),
    ...     time_aware=True,
    ...     clock=lambda: datetime(2026, 5, 4, 12, 30, tzinfo=UTC),
    ...     context_window=8_192,
    ...     max_tokens="max",
    ... )
    >>> print(manager.preview("hot").render())
    == system (48 tokens)
    system: You are a translator.
    <BLANKLINE>
    Answer in this format:
    One word, in French.
    <BLANKLINE>
    The time is Monday, 2026-05-04 12:30 UTC.
    == constant examples (24 tokens)
    user: cold
    assistant: Froid.
    == conversation (11 tokens)
    user: hot
    == 83 tokens, at most 8109 for the answer

    ```

    Args:
        system_role: standing instructions; empty for none.
        example_manager: examples.
        initial_user_message_text: what a user says before everything else.
        answer_format: how to answer.
        time_aware: tell the time, to the minute.
        clock: the time, with its zone; left out, that of this machine in UTC.
        max_tokens: how long answers may be: a number of tokens, `"max"` for what the context leaves, or
            `"expected_ratio"` for a ratio of the prompt's length (`MaxTokensStrategy`); None leaves it to the model.
        expected_io_ratio: tokens of answer for each token of prompt.
        context_window: tokens of prompt and answer together; an agent knows it of many models by their names.
        max_output: tokens that one answer may have; likewise.
        fallback_model: the name of a model with a larger context, for prompts that are too long.
        fallback_context_window: its context; likewise.
        count: the tokens of some messages; left out, they are estimated, 30 % too many for English. An exact one is
            `lambda messages: count_tokens(messages, "openai/gpt-4o-mini").count`.

    Raises:
        ConfigurationError: an argument has no meaning; the message names it.
    """

    def __init__(
        self,
        *,
        system_role: str = DEFAULT_SYSTEM_ROLE,
        example_manager: ExampleManager | None = None,
        initial_user_message_text: str | None = None,
        answer_format: str | None = None,
        time_aware: bool = False,
        clock: Callable[[], datetime] = utc_now,
        max_tokens: int | str | None = None,
        expected_io_ratio: float = 1.0,
        context_window: int | None = None,
        max_output: int | None = None,
        fallback_model: str | None = None,
        fallback_context_window: int | None = None,
        count: Callable[[Sequence[Any]], int] = estimate_messages,
    ) -> None:
        sizes = {
            "context_window": context_window,
            "max_output": max_output,
            "fallback_context_window": fallback_context_window,
            "max_tokens": None if isinstance(max_tokens, str) else max_tokens,
        }
        for name, size in sizes.items():
            if size is not None and size < 1:
                raise ConfigurationError(f"{name} is 1 token or more, got {size!r}")
        if isinstance(max_tokens, str) and max_tokens not in RULES:
            raise ConfigurationError(f"max_tokens is a number, 'max' or 'expected_ratio', got {max_tokens!r}")
        if not 0 < expected_io_ratio < math.inf:
            raise ConfigurationError(f"need expected_io_ratio > 0, got {expected_io_ratio!r}")
        self.system_role = system_role
        self.example_manager = example_manager
        self.initial_user_message_text = initial_user_message_text
        self.answer_format = answer_format
        self.time_aware = time_aware
        self.clock = clock
        self.max_tokens = max_tokens
        self.expected_io_ratio = expected_io_ratio
        self.context_window = context_window
        self.max_output = max_output
        self.fallback_model = fallback_model
        self.fallback_context_window = fallback_context_window
        self.count = count

    def update_system_content(self, content: str) -> None:
        """Change the standing instructions, from the next prompt on."""
        self.system_role = content

    def system_content(self, now: datetime | None = None) -> str:
        """Return the system's text; empty if there is nothing to say.

        Args:
            now: the time; left out, the clock's.
        """
        pieces = [self.system_role.strip()]
        if self.answer_format:
            pieces.append(f"Answer in this format:\n{self.answer_format.strip()}")
        if self.time_aware:
            moment = now or self.clock()
            pieces.append(f"The time is {moment:%A, %Y-%m-%d %H:%M %Z}".rstrip() + ".")
        return "\n\n".join(piece for piece in pieces if piece)

    def prompt(
        self,
        said: Sequence[Any],
        *,
        memories: Sequence[Any] = (),
        examples: Sequence[Example] = (),
        now: datetime | None = None,
        reserved: int = 0,
        sizes: ContextSizes | None = None,
    ) -> Prompt:
        """Return what the model is shown.

        Args:
            said: what is being said: the question, and what followed.
            memories: what was said before.
            examples: that are like the question, the most alike first.
            now: the time, for one that is aware of it; left out, the clock's.
            reserved: tokens of the request that are not in its messages, such as those of tools.
            sizes: what is known of the models, where the manager was not told.
        """
        prompt = self._whole(said, memories, examples, now)
        known = ContextSizes(
            self.context_window or (sizes and sizes.context_window),
            self.max_output or (sizes and sizes.max_output),
            self.fallback_context_window or (sizes and sizes.fallback_context_window),
        )
        if known.context_window is None:
            return prompt
        return self._fitting(_counted(prompt, self.count), examples, memories, reserved, known)

    def preview(
        self,
        content: Any,
        *,
        memories: Sequence[Any] = (),
        examples: Sequence[ExampleLike] = (),
        now: datetime | None = None,
    ) -> Prompt:
        """Return what the model would be shown if a user said `content`, with the tokens of each part.

        Args:
            content: a text, or messages.
            memories: what was said before.
            examples: that are like the question, the most alike first.
            now: the time; left out, the clock's.
        """
        said = [Said("user", content)] if isinstance(content, str) else list(content)
        return _counted(self.prompt(said, memories=memories, examples=as_examples(examples), now=now), self.count)

    def _whole(
        self, said: Sequence[Any], memories: Sequence[Any], examples: Sequence[Example], now: datetime | None
    ) -> Prompt:
        system = self.system_content(now)
        manager = self.example_manager
        initial = self.initial_user_message_text
        parts = (
            PromptPart("system", [Said("system", system)] if system else []),
            PromptPart("constant examples", [] if manager is None else example_messages(manager.constant_examples)),
            PromptPart("selected examples", example_messages(examples)),
            PromptPart("initial message", [Said("user", initial)] if initial else []),
            PromptPart("memories", list(memories)),
            PromptPart("conversation", list(said)),
        )
        return Prompt(tuple(part for part in parts if part.messages))

    def _fitting(
        self,
        prompt: Prompt,
        examples: Sequence[Example],
        memories: Sequence[Any],
        reserved: int,
        sizes: ContextSizes,
    ) -> Prompt:
        """Return a prompt that is no longer than it may be, if anything can be left out."""
        assert sizes.context_window is not None
        size = (prompt.tokens or 0) + reserved
        window: int | None = sizes.context_window
        model: str | None = None
        if size > self._limit(window, sizes) and self.fallback_model is not None:
            window, model = sizes.fallback_context_window, self.fallback_model
        if window is None:
            return replace(prompt, model=model)
        limit = self._limit(window, sizes)
        old = groups(memories)
        pairs = [example_messages([example]) for example in examples]
        kept_examples, first = len(pairs), 0
        while size > limit:  # more than once where messages have fewer tokens together than one by one
            fewer, older = leave_out(size - limit, pairs[:kept_examples], old[first:], self.count)
            if not fewer and not older:
                break
            kept_examples -= fewer
            first += older
            kept = {
                "selected examples": [*chain.from_iterable(pairs[:kept_examples])],
                "memories": [*chain.from_iterable(old[first:])],
            }
            parts = [replace(part, messages=kept.get(part.name, part.messages)) for part in prompt.parts]
            prompt = _counted(Prompt(tuple(part for part in parts if part.messages)), self.count)
            size = (prompt.tokens or 0) + reserved
        answer = self.max_tokens
        if isinstance(answer, str):
            answer = answer_tokens(
                answer,
                min(size, window - 1),
                context_window=window,
                max_output=sizes.max_output,
                expected_io_ratio=self.expected_io_ratio,
            )
        return Prompt(
            prompt.parts, answer, model, size <= limit, len(pairs) - kept_examples, sum(map(len, old[:first]))
        )

    def _limit(self, window: int, sizes: ContextSizes) -> int:
        return prompt_limit(
            self.max_tokens,
            context_window=window,
            max_output=sizes.max_output,
            expected_io_ratio=self.expected_io_ratio,
        )


def _counted(prompt: Prompt, count: Callable[[Sequence[Any]], int]) -> Prompt:
    return replace(prompt, parts=tuple(replace(part, tokens=count(part.messages)) for part in prompt.parts))
