"""The port to a store of conversations.

A store keeps one row for each conversation (who owns it, since which claim, how long it is) and one for each entry.
What holds for every store:

1. **Durable.** When `append` returns, its entries survive what the store says it survives (see each store).
2. **All or nothing.** A batch is stored as a whole or not at all, over all its conversations.
3. **Fenced.** `claim` raises the epoch of a conversation; `append` and `cut` under an older epoch fail with `Fenced`
   and change nothing, in whichever process they run. Epochs of a key only grow, even over `delete`.
4. **Idempotent.** An entry whose id is in the conversation already is not stored again. So whoever does not know what
   became of an `append` (`OutcomeUnknown`, a cancellation, a crash) sends the same entries again, under the old grant
   or a new one, and none is lost or doubled. The same id with other content is `EntryRejected`.
5. **Whole.** What is read was checked against its checksum. A damaged end is left out and counted, damage before it is
   `CorruptJournal`; nothing is skipped.
6. **Typed.** What goes wrong is a `StoreError`; where it is `retryable`, the same store object works again once the
   cause is gone. Except for `OutcomeUnknown`, nothing was changed.
7. Nothing blocks the event loop, and nothing waits for ever: see the time-outs of each store.

One store serves any number of tasks at once, all in the event loop in which it was opened.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

from tinyllm_actors.conversation.records import Taken
from tinyllm_actors.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from tinyllm_actors.conversation.records import (
        Append,
        DueTimer,
        Grant,
        Loaded,
        Record,
        StoreStats,
        Summary,
    )

__all__ = ["ConversationStore"]


class ConversationStore(abc.ABC):
    """Keeps journals by key; see the module for what it promises.

    Whoever uses a store opens it before the first call and closes it after the last; `async with store:` does both.

    ```python
    >>> import anyio
    >>> from tinyllm_actors.conversation import Append, MemoryStore, TurnStarted
    >>> async def main() -> None:
    ...     async with MemoryStore() as store:
    ...         [grant] = await store.claim(["chat/ada"], owner="node-1")
    ...         await store.append([Append.of(grant, [TurnStarted(turn_id="t1", content="Hello?")])])
    ...         loaded = await store.load("chat/ada")
    ...         print(loaded.last, loaded.entries()[0].content)
    >>> anyio.run(main)
    1 Hello?

    ```

    Attributes:
        name: what is logged and written into errors, such as `"sqlite:///chats.db"`; it holds no password.
    """

    name: str

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @abc.abstractmethod
    async def open(self) -> None:
        """Get ready: connect, make or migrate the tables. Idempotent; a closed store can be opened again.

        Raises:
            ConfigurationError: a package is missing, or the tables were made by a newer version of the library.
            StoreError: the store cannot be reached or used.
        """

    @abc.abstractmethod
    async def aclose(self) -> None:
        """Release what `open()` holds. Idempotent. Calls that are under way are finished or fail."""

    @abc.abstractmethod
    async def claim(self, keys: Sequence[str], owner: str, *, take_over: bool = True) -> list[Grant]:
        """Return the right to append to conversations, and take it from whoever had it. New keys are made.

        Args:
            keys: which; in one transaction.
            owner: who claims: unique for each process and start, such as host, process id and a random part.
            take_over: also take what another owner holds; else such keys are absent from the result. An owner's own
                claims are always renewed.

        Raises:
            StoreError: as the module says.
            ValueError: a key or the owner is not one that every store can hold.
        """

    @abc.abstractmethod
    async def release(self, grants: Sequence[Grant]) -> None:
        """Give rights back, so that a claim without `take_over` gets them; those that are lost are left alone."""

    @abc.abstractmethod
    async def append(self, batch: Sequence[Append]) -> None:
        """Store entries; when this returns, they are durable.

        Args:
            batch: in order; several items may be of one conversation, under one grant.

        Raises:
            Fenced: one of the grants is lost; `.keys` names all of those.
            EntryRejected: an id is there with other content; `.keys` names the conversations.
            OutcomeUnknown: the store broke off while it committed; send the same batch again.
            StoreError: as the module says.
        """

    @abc.abstractmethod
    async def load(self, key: str, *, after: int = 0) -> Loaded:
        """Return what a thaw needs: the newest snapshot, if there is one, and the entries behind it.

        Args:
            key: which; of one that is not there, there are no entries.
            after: the sequence that the reader has already.

        Raises:
            CorruptJournal: an entry that is not the newest is damaged or missing.
        """

    async def take(self, keys: Sequence[str], owner: str) -> list[Taken]:
        """Claim conversations, whoever had them, and return what a thaw of each needs.

        It says what `claim` and then a `load` of each key say; a store that can do so in fewer steps should.

        Args:
            keys: which; those that are named twice come once.
            owner: who claims.

        Raises:
            StoreError: as the module says; conversations may be claimed by then. One that cannot be read fails
                alone: see `Taken`.
            ValueError: a key or the owner is not one that every store can hold.
        """
        found: list[Taken] = []
        for grant in await self.claim(keys, owner):
            try:
                found.append(Taken(grant, await self.load(grant.key)))
            except StoreError as error:
                found.append(Taken(grant, error))
        return found

    @abc.abstractmethod
    async def cut(self, grant: Grant, after: int) -> int:
        """Remove the entries behind sequence `after` for good, because they are damaged. Returns how many.

        Raises:
            Fenced: the grant is lost.
        """

    @abc.abstractmethod
    async def page(
        self, key: str, *, after: int | None = None, before: int | None = None, limit: int = 100
    ) -> list[Record]:
        """Return up to `limit` entries in order of sequence, of those that were not pruned.

        Args:
            key: which conversation.
            after: those with a larger sequence, oldest first in line.
            before: those with a smaller sequence, newest first in line. With neither, the newest.
            limit: how many.

        Raises:
            CorruptJournal: one of them is damaged.
            ValueError: both `after` and `before`, or a `limit` below 1.
        """

    @abc.abstractmethod
    async def list(self, prefix: str = "", *, after: str = "", limit: int = 100, held: bool = False) -> list[Summary]:
        """Return up to `limit` conversations whose keys begin with `prefix` and are greater than `after`, by key.

        Args:
            prefix: with what keys begin.
            after: the last key of the page before.
            limit: how many.
            held: only those that somebody holds; it costs as much as there are of those, however many others there are.
        """

    @abc.abstractmethod
    async def due_timers(self, before: float, *, limit: int = 1000) -> list[DueTimer]:
        """Return the timers that are due at `before` (seconds since the epoch) or earlier, those due first in front.

        They stay due until a `TimerFired` is appended, so that a crash in between loses none.
        """

    @abc.abstractmethod
    async def delete(self, key: str) -> bool:
        """Remove a conversation for good, with all its entries and timers; every grant of it is lost.

        Returns:
            whether it was there.
        """

    @abc.abstractmethod
    async def prune(self, *, older_than: float, limit: int = 10_000) -> int:
        """Remove entries that stand before the newest snapshot of their conversation and happened before `older_than`.

        Args:
            older_than: seconds since the epoch.
            limit: conversations that one call looks at, in one transaction.

        Returns:
            how many entries; 0 where there is nothing left to prune, so call it until then.
        """

    @abc.abstractmethod
    async def stats(self) -> StoreStats:
        """Return how much there is; it counts, so it may take seconds on a large store."""
