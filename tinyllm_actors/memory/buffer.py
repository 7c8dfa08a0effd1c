"""The memory of the newest messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.memory.groups import newest_groups
from tinyllm_actors.memory.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BufferMemory"]


class BufferMemory(Memory):
    """Keeps the newest `buffer_size` messages, in whole tool-call groups.

    Args:
        buffer_size: messages to keep. The newest group stays even if it is larger by itself.
        **options: of `Function`.

    Raises:
        ConfigurationError: `buffer_size` is below 1.
    """

    def __init__(self, buffer_size: int = 100, **options: Any) -> None:
        super().__init__(**options)
        if buffer_size < 1:
            raise ConfigurationError(f"buffer_size must be at least 1 message, got {buffer_size!r}")
        self.buffer_size = buffer_size

    def remember(self, messages: Sequence[Any]) -> None:
        """Take in new messages and let go of the oldest groups."""
        self.messages.extend(messages)
        if len(self.messages) > self.buffer_size:
            self.messages = newest_groups(self.messages, self.buffer_size)
