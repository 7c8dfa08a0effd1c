"""Memory: an actor that holds what was said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinyllm_actors.function import Function

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Memory"]


class Memory(Function):
    """Holds messages in order and gives back those that an agent shall see.

    Called with `messages=[…]` it takes them in; called with nothing, it only answers. Either way its output is
    `{"memories": [message, …]}`, oldest first, in whole tool-call groups. Several agents may share one memory.

    Override `remember` and `recall` for another policy.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.messages: list[Any] = []

    async def run(self, messages: Sequence[Any] = (), clear: bool = False) -> dict[str, list[Any]]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take in new messages, if any, and return what to show.

        Args:
            messages: what was said, oldest first.
            clear: forget everything before taking them in.
        """
        if clear:
            self.messages.clear()
        if messages:
            self.remember(messages)
        return {"memories": self.recall()}

    def remember(self, messages: Sequence[Any]) -> None:
        """Take in new messages."""
        self.messages.extend(messages)

    def recall(self) -> list[Any]:
        """Return what an agent shall see, oldest first."""
        return list(self.messages)
