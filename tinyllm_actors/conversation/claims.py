"""Claims and releases of many conversations in few transactions, as `Journal` does it for appends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import anyio

from tinyllm_actors.errors import StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from tinyllm_actors.conversation.records import Grant
    from tinyllm_actors.conversation.store import ConversationStore

__all__ = ["Claims"]

_K = TypeVar("_K")

MAX_AT_ONCE: Final = 256


class Claims:
    """Claims and releases for one owner.

    Args:
        store: open.
        owner: who claims.
    """

    def __init__(self, store: ConversationStore, owner: str) -> None:
        self._store = store
        self._owner = owner
        self._claims: dict[str, _Waiting] = {}
        self._releases: dict[Grant, _Waiting] = {}
        self._wake = anyio.Event()
        self._closed = False

    async def claim(self, key: str) -> Grant:
        """Return the right to append to a conversation, taken from whoever had it.

        Raises:
            StoreError: the store failed.
        """
        grant = await self._wait(self._claims.setdefault(key, _Waiting()))
        assert grant is not None
        return grant

    async def release(self, grant: Grant) -> None:
        """Give a right back.

        Raises:
            StoreError: the store failed; the right is still held.
        """
        await self._wait(self._releases.setdefault(grant, _Waiting()))

    async def _wait(self, waiting: _Waiting) -> Grant | None:
        if self._closed:
            raise StoreUnavailable(f"the claims of {self._store.name!r} are closed", retryable=False)
        self._wake.set()
        await waiting.ended.wait()
        if waiting.error is not None:
            raise waiting.error
        return waiting.grant

    async def run(self) -> None:
        """Serve, until this is cancelled; then what waits fails."""
        try:
            while True:
                await self._wake.wait()
                self._wake = anyio.Event()
                while self._claims or self._releases:
                    await self._serve(self._claims, self._claim)
                    await self._serve(self._releases, self._release)
        finally:
            self._closed = True
            stopped = StoreUnavailable(f"the claims of {self._store.name!r} were stopped", retryable=False)
            _fail([*self._claims.values(), *self._releases.values()], stopped)

    async def _claim(self, some: dict[str, _Waiting]) -> None:
        for grant in await self._store.claim(list(some), self._owner):
            some[grant.key].end(grant)

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
        except BaseException:
            _fail(some.values(), StoreUnavailable("the store broke off", retryable=True))
            raise


class _Waiting:
    """A claim or a release that has not ended; several may wait for it."""

    __slots__ = ("ended", "error", "grant")

    def __init__(self) -> None:
        self.ended = anyio.Event()
        self.error: StoreError | None = None
        self.grant: Grant | None = None

    def end(self, grant: Grant | None) -> None:
        self.grant = grant
        self.ended.set()


def _fail(some: Iterable[_Waiting], error: StoreError) -> None:
    for waiting in some:
        waiting.error = error
        waiting.ended.set()
