"""The memory that keeps a summary of what is long ago."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.function.language.said import Said
from tinyllm_actors.kernel import ChildSpec
from tinyllm_actors.memory.buffer import at_least
from tinyllm_actors.memory.memory import Memory
from tinyllm_actors.memory.transcript import answer_text, shortened, summary_prompt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinyllm_actors.function import FunctionRef
    from tinyllm_actors.kernel import PoolRef

__all__ = ["SUMMARY_HEAD", "SummaryMemory"]

SUMMARY_HEAD: Final = "A summary of the conversation before the messages that follow:"

HARD_LIMIT: Final = 4
"""How many times `buffer_size` it holds while no summary can be had."""


class SummaryMemory(Memory):
    """Keeps the newest messages as they are, and a summary of all that came before.

    When there are more than `buffer_size`, the oldest groups, down to `keep`, and the summary so far become a new
    summary. With `buffer_size=40, keep=20`, the 41st message has 21 summarised, the 61st the next 21, and so on: one
    call of the summariser for every 21 messages, on which the call that brought the last of them waits.

    The summary is shown first, as a message of the user: what people and tools said must not become instructions.

    A summariser that fails loses nothing: the messages stay, and it is asked again when a quarter of `buffer_size` has
    come on top. Only beyond four times `buffer_size` is the oldest forgotten.

    What it holds depends on what was said and not on how it came, so that a conversation that wakes up, and has its
    messages remembered at once, asks for the same summaries as before. Wrap the summariser in `cache(…)` with a store,
    and they cost nothing.

    ```python
    >>> from tinyllm_actors import run
    >>> from tinyllm_actors.llm import UserMessage
    >>> from tinyllm_actors.memory import SummaryMemory
    >>> async def summarise(content: str) -> str:
    ...     return "They counted."
    >>> memory = SummaryMemory.spec(summarise, buffer_size=3, keep=1)
    >>> said = [UserMessage(word) for word in ("one", "two", "three", "four")]
    >>> for message in run(memory, messages=said)["output"]["memories"]:
    ...     print(message.content)
    A summary of the conversation before the messages that follow:
    They counted.
    four

    ```

    Args:
        summariser: called with `content="…"`, what it shall do and what was said, and answers with a text: the spec of
            an `LLM` (`LLM.spec("openai/gpt-4o-mini")`) or of another Function, a reference, or a function. Not an
            agent, which would remember each summary that it was asked for.
        buffer_size: how much to hold before it is summarised, in messages or what `measure` counts.
        keep: how much of it stays as it is; left out, half.
        measure: the size of a message; left out, each counts as 1.
        max_summary_characters: of the summary.
        max_message_characters: of a message that is shown to the summariser.
        timeout: seconds that one summary may take.
        **options: of `Function`.

    Attributes:
        summary: of what is not held any more; empty while everything is.
        forgotten: how many messages are in no summary, as none could be had.

    Raises:
        ConfigurationError: a number has no meaning, or the summariser is no Function.
    """

    def __init__(
        self,
        summariser: ChildSpec | FunctionRef | PoolRef | Callable[..., Any],
        *,
        buffer_size: int = 40,
        keep: int | None = None,
        measure: Callable[[Any], int] | None = None,
        max_summary_characters: int = 4_000,
        max_message_characters: int = 2_000,
        timeout: float = 60.0,
        **options: Any,
    ) -> None:
        from tinyllm_actors.function.compose.part import check_source  # every agent imports this module

        self._measure = measure
        super().__init__(**options)
        at_least(
            1,
            buffer_size=buffer_size,
            max_summary_characters=max_summary_characters,
            max_message_characters=max_message_characters,
        )
        self.buffer_size = buffer_size
        self.keep = buffer_size // 2 if keep is None else keep
        if not 0 <= self.keep <= buffer_size or not timeout > 0:
            raise ConfigurationError(
                f"need 0 <= keep <= buffer_size and timeout > 0, got {keep!r}, {buffer_size!r} and {timeout!r}"
            )
        try:
            self._source = check_source(summariser)
        except TypeError as error:
            raise ConfigurationError(f"summariser={summariser!r} is no Function: {error}") from error
        self._max_summary = max_summary_characters
        self._max_message = max_message_characters
        self._timeout = timeout
        self._due = buffer_size
        self._summariser: FunctionRef | None = None
        self.summary = ""
        self.forgotten = 0

    async def started(self) -> None:
        """Start the summariser."""
        source = self._source
        if isinstance(source, ChildSpec):
            self._summariser = cast("FunctionRef", await self.context.spawn(source, name="summariser"))
        else:
            self._summariser = cast("FunctionRef", source)
        await super().started()

    async def run(self, messages: Sequence[Any] = (), clear: bool = False) -> dict[str, list[Any]]:
        """Take in new messages, summarise what is too much, and return what to show."""
        if clear:
            self.forget()
        for message in messages:  # one by one, so that it does not matter how many come at once
            self.groups.add(message)
            if self.groups.size > self._due:
                await self._shorten()
        return {"memories": self.recall()}

    def recall(self) -> list[Any]:
        """Return the summary and the newest messages."""
        held = self.groups.messages()
        return [Said("user", f"{SUMMARY_HEAD}\n{self.summary}"), *held] if self.summary else held

    def forget(self) -> None:
        """Let go of everything, the summary too."""
        super().forget()
        self.summary = ""
        self.forgotten = 0
        self._due = self.buffer_size

    def size_of(self, message: Any) -> int:
        """Return the size of a message."""
        return 1 if self._measure is None else self._measure(message)

    async def _shorten(self) -> None:
        """Make a summary of the oldest groups; without one, keep them for now."""
        old = self.groups.oldest(self.keep)
        if not old:
            return  # one group alone is larger
        prompt = summary_prompt(
            self.summary, old, max_message_characters=self._max_message, max_summary_characters=self._max_summary
        )
        assert self._summariser is not None
        result = await self._summariser.within(self._timeout)(content=prompt)
        text = answer_text(result["output"]) if result["status"] == "success" else ""
        if text:
            self.groups.drop(len(old))
            self.summary = shortened(text, self._max_summary)
            self._due = self.buffer_size
            return
        self.forgotten += sum(map(len, self.groups.trim(HARD_LIMIT * self.buffer_size)))
        self._due = self.groups.size + max(1, self.buffer_size // 4)
