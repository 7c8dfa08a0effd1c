"""The memory that finds what was said long ago, and facts, by what they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import structlog

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.function.language.embedding import Embedding
from tinyllm_actors.function.language.said import Said, question_of, role_of
from tinyllm_actors.function.language.similarity import most_similar
from tinyllm_actors.memory.buffer import at_least
from tinyllm_actors.memory.memory import Memory
from tinyllm_actors.memory.transcript import shortened, transcript

if TYPE_CHECKING:
    from array import array
    from collections.abc import Sequence

    from tinyllm_actors.function.language.embedding import EmbedderSource

__all__ = ["RECALLED_HEAD", "SemanticMemory"]

RECALLED_HEAD: Final = "What may be of use, from facts and from earlier in this conversation:"


class SemanticMemory(Memory):
    """Keeps the newest messages as they are, and shows of all facts and past turns those that the question is like.

    A turn is what a user said and what was answered, without calls and results of tools; it can be found as soon as
    all of it has left the newest `buffer_size` messages. What is found is shown first, in the order in which it was
    said, as a message of the user: what people said must not become instructions. The question is the newest message of
    a user, unless `query=` says otherwise; `facts=[…]` adds facts.

    Without vectors, as the embedder fails, it shows the newest messages alone, and embeds what is due at the next call.

    Each search compares the question with all entries, in the event loop: 1,000 of 256 dimensions take 13 ms of CPU, of
    1,536 dimensions 75 ms (measured; two shared cores). Beyond a thousand, use a vector store.

    ```python
    >>> from tinyllm_actors import run
    >>> from tinyllm_actors.llm import UserMessage
    >>> from tinyllm_actors.memory import SemanticMemory
    >>> from tinyllm_actors.testing import HashEmbeddings
    >>> facts = ["The office closes at six.", "Ada likes green tea."]
    >>> memory = SemanticMemory.spec(HashEmbeddings(), facts=facts, k=1)
    >>> question = UserMessage("Which tea does Ada like?")
    >>> for message in run(memory, messages=[question])["output"]["memories"]:
    ...     print(message.content)
    What may be of use, from facts and from earlier in this conversation:
    - Ada likes green tea.
    Which tea does Ada like?

    ```

    Args:
        embedder: the spec of an `Embedder` (`Embedder.spec("local")`) or of another Function that takes `texts=[…]`, a
            reference to one, or an object with `embed(texts)`, such as an `EmbeddingModel`.
        facts: what it knows from the beginning, and keeps when it is cleared.
        buffer_size: messages to show as they are.
        k: how many facts and turns to show at most.
        threshold: the cosine below which nothing is shown. It depends on the model: try it.
        max_entries: facts and turns to hold; beyond, the oldest goes.
        max_entry_characters: of a fact or turn.
        **options: of `Function`.

    Raises:
        ConfigurationError: a number has no meaning, or the embedder makes no vectors.
    """

    def __init__(
        self,
        embedder: EmbedderSource,
        *,
        facts: Sequence[str] = (),
        buffer_size: int = 20,
        k: int = 3,
        threshold: float = 0.2,
        max_entries: int = 1_000,
        max_entry_characters: int = 2_000,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        at_least(1, buffer_size=buffer_size, k=k, max_entries=max_entries, max_entry_characters=max_entry_characters)
        if isinstance(facts, str) or len(facts) >= max_entries:
            raise ConfigurationError(
                f"facts is a list of less than max_entries={max_entries} texts, got {facts!r:.200}"
            )
        self.buffer_size = buffer_size
        self._embedding = Embedding(embedder)
        self._k = k
        self._threshold = threshold
        self._max_entries = max_entries
        self._max_characters = max_entry_characters
        self._given = dict.fromkeys(shortened(fact.strip(), max_entry_characters) for fact in facts if fact.strip())
        self._vectors: dict[str, array[float]] = {}
        self._due: dict[str, None] = {}
        self._turn: list[list[Any]] = []
        self._asked: tuple[str, array[float]] | None = None
        self.forget()

    async def started(self) -> None:
        """Start the embedder."""
        await self._embedding.start(self.context)
        await super().started()

    async def run(
        self, messages: Sequence[Any] = (), clear: bool = False, facts: Sequence[str] = (), query: str | None = None
    ) -> dict[str, list[Any]]:
        """Take in new messages and facts, and return what to show.

        Args:
            messages: what was said, oldest first.
            clear: forget everything but the facts that it was made with, before taking them in.
            facts: what to know, besides what was said.
            query: what to look for; left out, what the user said last.
        """
        if clear:
            self.forget()
        for fact in facts:
            self._add(fact)
        self.remember(messages)
        held = self.groups.messages()
        found = await self._find(question_of(held) if query is None else query.strip())
        if not found:
            return {"memories": held}
        listed = "\n".join(f"- {entry}" for entry in found)
        return {"memories": [Said("user", f"{RECALLED_HEAD}\n{listed}"), *held]}

    def remember(self, messages: Sequence[Any]) -> None:
        """Take in new messages; turns that are too long ago become entries."""
        for message in messages:  # one by one, so that it does not matter how many come at once
            self.groups.add(message)
            for group in self.groups.trim(self.buffer_size):
                if role_of(group[0]) == "user":
                    self._end_turn()
                self._turn.append(group)

    def forget(self) -> None:
        """Let go of everything but the facts that it was made with."""
        super().forget()
        kept = {text: vector for text in self._given if (vector := self._vectors.get(text)) is not None}
        self._vectors = kept
        self._due = dict.fromkeys(fact for fact in self._given if fact not in kept)
        self._turn = []
        self._asked = None

    def _end_turn(self) -> None:
        turn, self._turn = self._turn, []
        self._add(transcript(turn, self._max_characters, with_tools=False))

    def _add(self, text: str) -> None:
        """Take in an entry; of too many the oldest goes."""
        text = shortened(text.strip(), self._max_characters)
        if not text or text in self._vectors:
            return
        self._due[text] = None
        while len(self._vectors) + len(self._due) > self._max_entries:
            entries: dict[str, Any] = self._vectors if self._vectors.keys() - self._given.keys() else self._due
            del entries[next(entry for entry in entries if entry not in self._given)]

    async def _find(self, query: str) -> list[str]:
        """Return the entries that are like the query, in the order in which they came."""
        due = list(self._due)
        if not query or not (due or self._vectors):
            return []
        query = shortened(query, self._max_characters)
        known = self._asked is not None and self._asked[0] == query
        try:
            rows = await self._embedding.vectors([*due, *([] if known else [query])])
        except Exception as error:  # of any embedder: what is to be answered can be answered without
            structlog.get_logger("tinyllm_actors.memory").warning(
                "nothing can be looked up, as there are no vectors",
                memory=self.context.path,
                error=type(error).__name__,
            )
            return []
        if not known:
            self._asked = (query, rows.pop())
        assert self._asked is not None
        if any(len(row) != len(self._asked[1]) for row in (*rows, *self._vectors.values())):
            self._start_over(due)  # another model answered
            return []
        self._vectors.update(zip(due, rows, strict=True))
        self._due.clear()
        entries = list(self._vectors)
        found = most_similar(self._asked[1], list(self._vectors.values()), self._k, threshold=self._threshold)
        return [entries[index] for index in sorted(index for index, _ in found)]

    def _start_over(self, due: Sequence[str]) -> None:
        self._due = dict.fromkeys([*self._vectors, *due])
        self._vectors = {}
        self._asked = None
