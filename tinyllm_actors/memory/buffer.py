"""The memories of the newest messages, by their number, their characters or their tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.function.language.said import characters_of
from tinyllm_actors.function.language.size import estimate_messages
from tinyllm_actors.memory.memory import Memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["BufferMemory", "CharacterBufferMemory", "TokenBufferMemory", "at_least"]


def at_least(least: int, **values: int) -> None:
    """Check options.

    Raises:
        ConfigurationError: a value is below `least`, or no whole number.
    """
    for name, value in values.items():
        if type(value) is not int or value < least:
            raise ConfigurationError(f"{name} must be a whole number of at least {least}, got {value!r}")


class BufferMemory(Memory):
    """Keeps the newest `buffer_size` messages, in whole tool-call groups.

    ```python
    >>> from tinyllm_actors import BufferMemory, run
    >>> from tinyllm_actors.llm import UserMessage
    >>> said = [UserMessage("one"), UserMessage("two"), UserMessage("three")]
    >>> [message.content for message in run(BufferMemory.spec(buffer_size=2), messages=said)["output"]["memories"]]
    ['two', 'three']

    ```

    Args:
        buffer_size: messages to keep. The newest group stays even if it is larger by itself.
        **options: of `Function`.

    Raises:
        ConfigurationError: `buffer_size` is below 1.
    """

    def __init__(self, buffer_size: int = 100, **options: Any) -> None:
        super().__init__(**options)
        at_least(1, buffer_size=buffer_size)
        self.buffer_size = buffer_size

    def remember(self, messages: Sequence[Any]) -> None:
        """Take in new messages and let go of the oldest groups."""
        self.groups.extend(messages)
        self.groups.trim(self.buffer_size)


class CharacterBufferMemory(BufferMemory):
    """Keeps the newest messages that have no more than `buffer_size` characters together, in whole tool-call groups.

    The names and arguments of calls count, and 4,500 for a picture or a file.

    ```python
    >>> from tinyllm_actors import CharacterBufferMemory, run
    >>> from tinyllm_actors.llm import UserMessage
    >>> said = [UserMessage("one"), UserMessage("two"), UserMessage("three")]
    >>> memory = CharacterBufferMemory.spec(buffer_size=8)
    >>> [message.content for message in run(memory, messages=said)["output"]["memories"]]
    ['two', 'three']

    ```

    Args:
        buffer_size: characters to keep. The newest group stays even if it is larger by itself.
        **options: of `Function`.

    Raises:
        ConfigurationError: `buffer_size` is below 1.
    """

    def __init__(self, buffer_size: int = 100_000, **options: Any) -> None:
        super().__init__(buffer_size, **options)

    def size_of(self, message: Any) -> int:
        """Return how many characters a model reads in the message."""
        return characters_of(message)


class TokenBufferMemory(BufferMemory):
    """Keeps the newest messages that have no more than `buffer_size` tokens together, in whole tool-call groups.

    ```python
    >>> from tinyllm_actors import TokenBufferMemory, run
    >>> from tinyllm_actors.llm import UserMessage, count_tokens
    >>> said = [UserMessage("one"), UserMessage("two"), UserMessage("three")]
    >>> def count(message: UserMessage) -> int:
    ...     return count_tokens([message], "openai/gpt-4o-mini").count
    >>> memory = TokenBufferMemory.spec(buffer_size=30, count=count)
    >>> len(run(memory, messages=said)["output"]["memories"]) in (2, 3)
    True

    ```

    Args:
        buffer_size: tokens to keep. The newest group stays even if it is larger by itself.
        count: the tokens of one message. Left out, they are estimated at a third of the bytes that go to the model,
            and 1,500 for a picture or a file: 30 % too many for English, rarely too few.
        **options: of `Function`.

    Raises:
        ConfigurationError: `buffer_size` is below 1.
    """

    def __init__(self, buffer_size: int = 16_000, count: Callable[[Any], int] | None = None, **options: Any) -> None:
        super().__init__(buffer_size, **options)
        self._count = count

    def size_of(self, message: Any) -> int:
        """Return how many tokens the message has."""
        return estimate_messages([message]) if self._count is None else self._count(message)
