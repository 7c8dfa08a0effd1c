"""Keeping histories short: what to replace by what, as pure functions.

A history is cut into exchanges, each of which begins with what a user said, so a call and its results are never parted.
Tiers, each tried only if the one before was not enough:

1. results of tools in all but the newest exchanges are cleared;
2. the oldest exchanges are summarised by a model, if one was given;
3. the oldest exchanges are left out.

The newest `keep` exchanges are never touched. What is replaced stays in the journal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from tinyllm_actors.conversation.entries import TurnStarted
from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.llm.messages import SystemMessage, ToolMessage, UserMessage
from tinyllm_actors.llm.tokens import estimate_messages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.conversation.state import ConversationState
    from tinyllm_actors.kernel import ChildSpec
    from tinyllm_actors.llm.messages import Message

__all__ = ["CLEARED", "Compaction", "CompactionPlan", "plan_compaction", "summary_message", "summary_request"]

CLEARED: Final = "[the result was cleared to save room; call the tool again if you need it]"

MIN_CLEARED_CHARS: Final = 200
"""Shorter results stay: clearing them would save nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compaction:
    """When and how a history is made shorter.

    Args:
        max_tokens: estimated tokens of a history from which on it is compacted, after the turn.
        target_tokens: what it is brought down to; left out, half of `max_tokens`.
        keep: exchanges at the end that are never touched; at least 1.
        summariser: the spec of an `LLM` that summarises; None to leave the oldest out instead.

    Raises:
        ConfigurationError: a number has no meaning.
    """

    max_tokens: int
    target_tokens: int | None = None
    keep: int = 1
    summariser: ChildSpec | None = None

    def __post_init__(self) -> None:
        if self.max_tokens < 1 or self.keep < 1:
            raise ConfigurationError(f"need max_tokens >= 1 and keep >= 1, got {self.max_tokens!r} and {self.keep!r}")
        if not 0 < self.target <= self.max_tokens:
            raise ConfigurationError(f"need 0 < target_tokens <= max_tokens, got {self.target_tokens!r}")

    @property
    def target(self) -> int:
        """What a history is brought down to, in tokens."""
        return max(1, self.max_tokens // 2) if self.target_tokens is None else self.target_tokens


@dataclass(frozen=True, slots=True)
class CompactionPlan:
    """What to do.

    Attributes:
        until: the last entry that is replaced.
        summarise: messages to be summarised; empty if there is nothing to ask a model.
        messages: what stands for the entries, behind the summary if there is one.
    """

    until: str
    summarise: tuple[Message, ...]
    messages: tuple[Message, ...]


def plan_compaction(state: ConversationState, compaction: Compaction, *, force: bool = False) -> CompactionPlan | None:
    """Return how to compact the history at the head; None if it need not, or cannot, be made shorter.

    Args:
        state: of the conversation, between two turns.
        compaction: the limits.
        force: compact though the limit is not reached.
    """
    history = state.history()
    if not force and estimate_messages(history) < compaction.max_tokens:
        return None
    branch = state.branch()
    starts = [index for index, entry in enumerate(branch) if isinstance(entry, TurnStarted)]
    if len(starts) <= compaction.keep:
        return None
    until = branch[starts[-compaction.keep] - 1].id
    older = state.history_at(until)
    room = compaction.target - estimate_messages(history[len(older) :])
    cleared = [_cleared(message) for message in older]
    if estimate_messages(cleared) <= room:
        return None if cleared == older else CompactionPlan(until, (), tuple(cleared))
    if compaction.summariser is not None:
        # The newest of the older exchanges stay as they are, as far as half of the room goes; the rest is summarised.
        kept = _newest(cleared, room // 2)
        return CompactionPlan(until, tuple(cleared[: len(cleared) - len(kept)]), tuple(kept))
    kept = _newest(cleared, room)
    return None if list(kept) == older else CompactionPlan(until, (), tuple(kept))


def _cleared(message: Message) -> Message:
    if isinstance(message, ToolMessage) and len(message.content) >= MIN_CLEARED_CHARS:
        return msgspec.structs.replace(message, content=CLEARED)
    return message


def _newest(messages: Sequence[Message], room: int) -> Sequence[Message]:
    """Return the newest whole exchanges that fit."""
    starts = [index for index, message in enumerate(messages) if isinstance(message, UserMessage | SystemMessage)]
    fitting = (start for start in starts if estimate_messages(messages[start:]) <= room)
    return messages[next(fitting, len(messages)) :]


def summary_request(messages: Sequence[Message]) -> list[Message]:
    """Return what a model is asked, to summarise messages."""
    lines: list[str] = []
    for message in messages:
        role = type(message).__name__.removesuffix("Message").lower()
        content = message.content if isinstance(message.content, str) else "(parts)"
        calls = [f"{call.name}({call.arguments})" for call in getattr(message, "tool_calls", ())]
        lines.append(f"{role}: {' '.join([content or '', *calls]).strip()}")
    return [
        SystemMessage(
            "Summarise the conversation for whoever goes on with it. Keep names, numbers, decisions, open questions "
            "and what the user wants; leave out small talk. Say nothing else."
        ),
        UserMessage("\n".join(lines)),
    ]


def summary_message(summary: str) -> UserMessage:
    """Return the message that stands for what was summarised."""
    return UserMessage(f"[Summary of the conversation so far]\n{summary.strip()}")
