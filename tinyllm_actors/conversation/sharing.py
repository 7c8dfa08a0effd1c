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
    TreeEntry,
    TurnEnded,
    TurnStarted,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["share_texts"]

_NAMES: Final[dict[type, tuple[str, ...]]] = {
    TurnStarted: ("parent", "turn_id", "name"),
    CallIntent: ("parent", "call_id", "name"),
    CallResult: ("parent", "call_id", "name"),
    TurnEnded: ("parent", "turn_id"),
}
_PARENT: Final = ("parent",)


def share_texts(entries: Iterable[Entry]) -> None:
    """Let ids and names that come again be the same object: a seventh of what a conversation takes.

    Nobody may have seen the entries yet: they are changed, though into what is equal.

    Args:
        entries: as they were decoded.
    """
    texts: dict[str, str] = {}
    for entry in entries:
        if type(entry) is Snapshot:
            for node in entry.state.nodes:
                _share(node, texts)
        else:
            _share(entry, texts)


def _share(entry: TreeEntry | Entry, texts: dict[str, str]) -> None:
    texts[entry.id] = entry.id
    if type(entry) is ModelAnswered:
        completion = entry.completion
        _unify(entry, _PARENT, texts)
        _unify(completion, ("model", "finish_reason"), texts)
        for call in completion.message.tool_calls:
            texts[call.id] = call.id
            _unify(call.function, ("name",), texts)
    else:
        _unify(entry, _NAMES.get(type(entry), _PARENT), texts)


def _unify(struct: Any, fields: tuple[str, ...], texts: dict[str, str]) -> None:
    for field in fields:
        text = getattr(struct, field)
        if text is not None:
            known = texts.setdefault(text, text)
            if known is not text:
                force_setattr(struct, field, known)
