"""Messages in the units that must stay together: a tool call with its results.

A model refuses a history in which a call has no result, or a result no call. Whoever cuts a history cuts between
groups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = ["Groups", "groups", "newest_groups"]


def one(_: Any) -> int:
    """Count messages."""
    return 1


class Groups:
    """A history in whole groups, oldest first, and how large it is.

    A group is a message with tool calls and the results after it, or one other message. A result whose call is not
    there, or has its result already, is left out: it cannot be shown to a model.

    A group of one message is held as the message itself: a service holds millions of them.

    Args:
        measure: the size of a message; left out, each counts as 1.

    Attributes:
        size: of all messages together.
    """

    __slots__ = ("_groups", "_measure", "_open", "_sizes", "size")

    def __init__(self, measure: Callable[[Any], int] = one) -> None:
        self.size = 0
        self._measure = measure
        self._groups: list[Any] = []
        self._sizes: list[int] = []
        self._open: list[str] | None = None  # of calls without a result, in the newest group

    def add(self, message: Any) -> bool:
        """Take in a message; False if it is a result that has no place here."""
        size = self._measure(message)  # first, as it may raise
        call_id = getattr(message, "tool_call_id", None)
        if call_id is None:
            calls = getattr(message, "tool_calls", None)
            self._open = [call.id for call in calls] if calls else None
            self._groups.append([message] if calls else message)
            self._sizes.append(size)
        elif self._open and call_id in self._open:
            self._open.remove(call_id)
            self._groups[-1].append(message)
            self._sizes[-1] += size
        else:
            return False
        self.size += size
        return True

    def extend(self, messages: Iterable[Any]) -> None:
        """Take in messages, oldest first."""
        for message in messages:
            self.add(message)

    def drop(self, count: int) -> None:
        """Let go of the oldest groups."""
        self.size -= sum(self._sizes[:count])
        del self._groups[:count], self._sizes[:count]
        if not self._groups:
            self._open = None

    def oldest(self, keep: int) -> list[list[Any]]:
        """Return the groups that `trim(keep)` would let go of."""
        left, count = self.size, 0
        while left > keep and count < len(self._groups) - 1:
            left -= self._sizes[count]
            count += 1
        return [_listed(group) for group in self._groups[:count]]

    def trim(self, max_size: int) -> list[list[Any]]:
        """Let go of the oldest groups until the rest is no larger than `max_size`, and return them.

        The newest group stays even if it alone is larger: without it there would be nothing to answer.
        """
        if self.size <= max_size:
            return []
        gone = self.oldest(max_size)
        self.drop(len(gone))
        return gone

    def clear(self) -> None:
        """Let go of everything."""
        self._groups.clear()
        self._sizes.clear()
        self._open = None
        self.size = 0

    def messages(self) -> list[Any]:
        """Return all messages, oldest first, in a list of the caller's own."""
        found: list[Any] = []
        for group in self._groups:
            if type(group) is list:
                found += group
            else:
                found.append(group)
        return found

    def lists(self) -> list[list[Any]]:
        """Return the groups, likewise."""
        return [_listed(group) for group in self._groups]


def _listed(group: Any) -> list[Any]:
    return list(cast("list[Any]", group)) if type(group) is list else [group]


def groups(messages: Sequence[Any]) -> list[list[Any]]:
    """Return the messages cut into groups; results that have no place are left out."""
    found = Groups()
    found.extend(messages)
    return found.lists()


def newest_groups(messages: Sequence[Any], max_size: int, measure: Callable[[Any], int] = one) -> list[Any]:
    """Return the newest messages, no larger than `max_size` together, in whole groups.

    The newest group is kept even if it alone is larger.
    """
    found = Groups(measure)
    found.extend(messages)
    found.trim(max_size)
    return found.messages()
