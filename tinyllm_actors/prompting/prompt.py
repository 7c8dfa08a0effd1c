"""What a model is shown, part by part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinyllm_actors.function.language.said import role_of, text_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Prompt", "PromptPart"]

SHOWN_CHARACTERS = 400


@dataclass(frozen=True, slots=True)
class PromptPart:
    """A part of a prompt.

    Attributes:
        name: `system`, `constant examples`, `selected examples`, `initial message`, `memories` or `conversation`.
        messages: of it, oldest first.
        tokens: how many they have; None if nobody had to know.
    """

    name: str
    messages: Sequence[Any]
    tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt.

    Attributes:
        parts: in the order in which the model reads them; those with nothing in them are not there.
        max_tokens: tokens that the answer may have; None if that is left to the model.
        model: the larger model that the prompt needs; None for the one that is asked anyway.
        fits: it fits into the context, as far as that is known.
        examples_left_out: how many selected examples had no room.
        memories_left_out: how many messages of the memory had none.
    """

    parts: tuple[PromptPart, ...]
    max_tokens: int | None = None
    model: str | None = None
    fits: bool = True
    examples_left_out: int = 0
    memories_left_out: int = 0

    @property
    def messages(self) -> list[Any]:
        """All messages, as the model reads them."""
        return [message for part in self.parts for message in part.messages]

    @property
    def tokens(self) -> int | None:
        """How many tokens all parts have; None if nobody had to know."""
        counts = [part.tokens for part in self.parts]
        return None if None in counts else sum(count for count in counts if count is not None)

    def render(self) -> str:
        """Return the prompt as text for a person, each part with its tokens, long messages shortened."""
        lines: list[str] = []
        for part in self.parts:
            lines.append(f"== {part.name}" + ("" if part.tokens is None else f" ({part.tokens} tokens)"))
            for message in part.messages:
                text = text_of(message) or ", ".join(
                    f"{call.name}({call.arguments})" for call in getattr(message, "tool_calls", None) or ()
                )
                if len(text) > SHOWN_CHARACTERS:
                    text = f"{text[:SHOWN_CHARACTERS]}… ({len(text)} characters)"
                lines.append(f"{role_of(message)}: {text}")
        ends = [
            "" if self.tokens is None else f"{self.tokens} tokens",
            "" if self.max_tokens is None else f"at most {self.max_tokens} for the answer",
            "" if self.model is None else f"for {self.model}",
            "" if self.fits else "too long for the context",
            f"{self.examples_left_out} examples left out" if self.examples_left_out else "",
            f"{self.memories_left_out} memories left out" if self.memories_left_out else "",
        ]
        return "\n".join([*lines, f"== {', '.join(end for end in ends if end)}"])
