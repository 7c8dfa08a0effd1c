"""Claims and releases of many conversations in few transactions, as `Journal` does it for appends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import anyio

from tinyllm_actors.errors import StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from tinyllm_actors.conversation.records import Grant, Taken
    from tinyllm_actors.conversation.store import ConversationStore

__all__ = ["Claims"]

_K = TypeVar("_K")

MAX_AT_ONCE: Final = 64


class Claims:
    """Claims and releases for one owner.

    Args:
        store: open.
        owner: who claims.
    """

    def __init__(self, store: ConversationStore, owner: str) -> None:
        self._store = store
        self._owner = owner
        self._takes: dict[str, _Waiting] = {}
        self._releases: dict[Grant, _Waiting] = {}
        self._wake = anyio.Event()
        self._closed = False

    async def take(self, key: str) -> Taken:
        """Claim a conversation, whoever had it, and return what a thaw needs.

        Raises:
            StoreError: the store failed.
        """
        taken = await self._wait(self._takes.setdefault(key, _Waiting()))
        assert taken is not None
        return taken

    async def release(self, grant: Grant) -> None:
        """Give a right back.

        Raises:
            StoreError: the store failed; the right is still held.
        """
        await self._wait(self._releases.setdefault(grant, _Waiting()))

    async def _wait(self, waiting: _Waiting) -> Taken | None:
        if self._closed:
            raise StoreUnavailable(f"the claims of {self._store.name!r} are closed", retryable=False)
        self._wake.set()
        await waiting.ended.wait()
        if waiting.error is not None:
            raise waiting.error
        return waiting.taken

    async def run(self) -> None:
        """Serve, until this is cancelled; then what waits fails."""
        try:
            while True:
                await self._wake.wait()
                self._wake = anyio.Event()
                while self._takes or self._releases:
                    await self._serve(self._takes, self._take)
                    await self._serve(self._releases, self._release)
        finally:
            self._closed = True
            stopped = StoreUnavailable(f"the claims of {self._store.name!r} were stopped", retryable=False)
            _fail([*self._takes.values(), *self._releases.values()], stopped)

    async def _take(self, some: dict[str, _Waiting]) -> None:
        for taken in await self._store.take(list(some), self._owner):
            some[taken.grant.key].end(taken)

    async def _release(self, some: dict[Grant, _Waiting]) -> None:
        await self._store.release(list(some))
        for waiting in some.values():
            waiting.end(None)

    @staticmethod
    async def _serve(queue: dict[_K, _Waiting], work: Callable[[dict[_K, _Waiting]], Awaitable[None]]) -> None:
        some = {name: queue.pop(name) for name in list(queue)[:MAX_AT_ONCE]}
        if not some:
            return
        try:
            await work(some)
        except StoreError as error:
            _fail(some.values(), error)
        except BaseException:  # also a cancellation: nobody else would tell those who wait
            _fail(some.values(), StoreUnavailable("the store broke off", retryable=True))
            raise


class _Waiting:
    """A claim or a release that has not ended; several may wait for it."""

    __slots__ = ("ended", "error", "taken")

    def __init__(self) -> None:
        self.ended = anyio.Event()
        self.error: StoreError | None = None
        self.taken: Taken | None = None

    def end(self, taken: Taken | None) -> None:
        self.taken = taken
        self.ended.set()


def _fail(some: Iterable[_Waiting], error: StoreError) -> None:
    for waiting in some:
        waiting.error = error
        waiting.ended.set()
