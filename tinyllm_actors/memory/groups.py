"""Messages in the units that must stay together: a tool call with its results.

A model refuses a history in which a call has no result, or a result no call. Whoever cuts a history cuts between
groups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["groups", "newest_groups"]


def groups(messages: Sequence[Any]) -> list[list[Any]]:
    """Return the messages cut into groups: a message with tool calls and the results after it, or one other message.

    Results whose call is not there are left out: they cannot be shown to a model.
    """
    found: list[list[Any]] = []
    open_ids: set[str] = set()
    for message in messages:
        call_id = getattr(message, "tool_call_id", None)
        if call_id is not None:
            if found and call_id in open_ids:
                found[-1].append(message)
            continue
        open_ids = {call.id for call in getattr(message, "tool_calls", None) or ()}
        found.append([message])
    return found


def newest_groups(messages: Sequence[Any], max_messages: int) -> list[Any]:
    """Return the newest messages, at most `max_messages`, in whole groups.

    The newest group is kept even if it alone is larger: without it there would be nothing to answer.
    """
    kept: list[list[Any]] = []
    count = 0
    for group in reversed(groups(messages)):
        if kept and count + len(group) > max_messages:
            break
        kept.append(group)
        count += len(group)
    return [message for group in reversed(kept) for message in group]
