"""The port to vectors that outlive the process, and who of several callers asks the model for one."""

from __future__ import annotations

import abc
from hashlib import blake2b
from typing import TYPE_CHECKING

import anyio
import structlog

from tinyllm_actors.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from tinyllm_actors.llm.embedding import Vector

__all__ = ["EmbeddingCache", "text_key"]


def text_key(text: str) -> bytes:
    """Return the 16 bytes by which a text is known."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


class EmbeddingCache(abc.ABC):
    """Vectors by the model and the text that they are of; one object serves any number of embedders of an event loop.

    An adapter defines `load` and `save`; `SQLiteEmbeddingCache` is one. What they raise as a `StoreError` is logged and
    costs a request, never the answer.

    ```python
    >>> import anyio
    >>> from array import array
    >>> class InMemory(EmbeddingCache):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.kept = {}
    ...     async def load(self, space, keys):
    ...         return {key: self.kept[space, key] for key in keys if (space, key) in self.kept}
    ...     async def save(self, space, vectors):
    ...         self.kept |= {(space, key): vector for key, vector in vectors.items()}
    >>> async def main() -> None:
    ...     cache = InMemory()
    ...     async def fetch(texts):
    ...         print("asked for", texts)
    ...         await cache.put("lengths", {text: array("f", [len(text)]) for text in texts})
    ...     await cache.fill("lengths", ["one", "two"], fetch)
    ...     print(await cache.fill("lengths", ["two"], fetch))
    >>> anyio.run(main)
    asked for ['one', 'two']
    {'two': array('f', [3.0])}

    ```
    """

    def __init__(self) -> None:
        self._flights: dict[tuple[str, bytes], anyio.Event] = {}

    @abc.abstractmethod
    async def load(self, space: str, keys: Sequence[bytes]) -> Mapping[bytes, Vector]:
        """Return the vectors that are known, each the caller's own.

        Args:
            space: a model, and what else its vectors depend on.
            keys: of texts.

        Raises:
            StoreError: they cannot be read.
        """

    @abc.abstractmethod
    async def save(self, space: str, vectors: Mapping[bytes, Vector]) -> None:
        """Keep vectors.

        Raises:
            StoreError: they cannot be written.
        """

    async def put(self, space: str, vectors: Mapping[str, Vector]) -> None:
        """Keep vectors, by text, if that is possible."""
        try:
            await self.save(space, {text_key(text): vector for text, vector in vectors.items()})
        except StoreError as error:
            _warn("vectors could not be kept", space, error)

    async def fill(
        self, space: str, texts: Sequence[str], fetch: Callable[[list[str]], Awaitable[None]]
    ) -> dict[str, Vector]:
        """Return the vectors that are known after `fetch` was called for those that were not.

        A text that somebody else is fetching is waited for, and fetched here only if that failed.

        Args:
            space: a model, and what else its vectors depend on.
            texts: each once.
            fetch: asks the model, and calls `put` with what it brings.
        """
        found: dict[str, Vector] = {}
        missing = list(texts)
        while missing:
            known = await self._known(space, missing)
            found |= known
            missing = [text for text in missing if text not in known]
            keys = {text: (space, text_key(text)) for text in missing}
            others = [flight for text in missing if (flight := self._flights.get(keys[text])) is not None]
            mine = [text for text in missing if keys[text] not in self._flights]
            if mine:
                landed = anyio.Event()
                self._flights |= {keys[text]: landed for text in mine}
                try:
                    await fetch(mine)
                finally:
                    for text in mine:
                        del self._flights[keys[text]]
                    landed.set()
            for flight in others:
                await flight.wait()
            missing = [text for text in missing if text not in mine]
        return found

    async def _known(self, space: str, texts: Sequence[str]) -> dict[str, Vector]:
        keys = {text_key(text): text for text in texts}
        try:
            return {keys[key]: vector for key, vector in (await self.load(space, list(keys))).items()}
        except StoreError as error:
            _warn("known vectors could not be read", space, error)
            return {}


def _warn(event: str, space: str, error: StoreError) -> None:
    structlog.get_logger("tinyllm_actors.embeddings").warning(event, space=space, error=str(error))
