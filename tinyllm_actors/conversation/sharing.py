"""Equal texts of one conversation as one object: entries that were read have each a copy of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import force_setattr

from tinyllm_actors.conversation.entries import (
    CallIntent,
    CallResult,
    Entry,
    ModelAnswered,
    Snapshot,
    TurnEnded,
    TurnStarted,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["share_texts"]

_NAMES: Final[dict[type, tuple[str, ...]]] = {
    TurnStarted: ("turn_id", "name"),
    CallIntent: ("call_id", "name"),
    CallResult: ("call_id", "name"),
    TurnEnded: ("turn_id",),
}


def share_texts(entries: Iterable[Entry]) -> None:
    """Let ids and names that come again be the same object: a seventh of what a conversation takes.

    Nobody may have seen the entries yet: they are changed, though into what is equal.

    Args:
        entries: as they were decoded.
    """
    texts: dict[str, str] = {}
    previous = ""
    for entry in entries:
        some = entry.state.nodes if type(entry) is Snapshot else (entry,)
        for node in some:
            if node.parent == previous:  # as almost always
                force_setattr(node, "parent", previous)
            previous = node.id
            kind = type(node)
            if kind is ModelAnswered:
                _share_answer(node, texts)
            elif kind in _NAMES:
                _unify(node, _NAMES[kind], texts)


def _share_answer(answered: Any, texts: dict[str, str]) -> None:
    completion = answered.completion
    _unify(completion, ("model", "finish_reason"), texts)
    for call in completion.message.tool_calls:
        texts[call.id] = call.id
        _unify(call.function, ("name",), texts)


def _unify(struct: Any, fields: tuple[str, ...], texts: dict[str, str]) -> None:
    for field in fields:
        text = getattr(struct, field)
        if text is not None:
            known = texts.setdefault(text, text)
            if known is not text:
                force_setattr(struct, field, known)
