"""The first half of an ingest: find files, read those that changed, and cut them into chunks."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio.to_thread

from tinyllm_actors.errors import ActorError, LoadError
from tinyllm_actors.function.pulling import PullingIterator
from tinyllm_actors.retrieval.loading import LoadProgress, find_files
from tinyllm_actors.retrieval.loading.beneath import fingerprint_file

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    from tinyllm_actors.function import FunctionRef
    from tinyllm_actors.retrieval.chunking import Chunk, Chunker
    from tinyllm_actors.retrieval.document import AnyDocument
    from tinyllm_actors.retrieval.ingest.ledger import IngestLedger
    from tinyllm_actors.retrieval.ingest.settings import IngestSettings

__all__ = ["Ended", "Failed", "Found", "Piece", "Skipped", "Unchanged", "Work", "find", "read"]

_LONG: Final = 20_000
"""Characters of a document that is cut in a thread, so that the event loop goes on."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some chunks of a source."""

    chunks: list[Chunk]


@dataclass(frozen=True, slots=True)
class Ended:
    """All chunks of a source have been handed over."""

    source: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Unchanged:
    """A source is indexed as it is."""

    source: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A source cannot be read."""

    source: str
    message: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A source is not read."""

    source: str
    message: str


@dataclass(frozen=True, slots=True)
class Found:
    """All files were found."""

    total: int


Work = Piece | Ended | Unchanged | Failed | Skipped | Found


async def find(
    path: str, settings: IngestSettings, paths: MemoryObjectSendStream[str], work: MemoryObjectSendStream[Work]
) -> None:
    """Send the paths of the files to read, and then how many files there are.

    Raises:
        LoadError: the path cannot be used, or has too many files.
        OSError: it cannot be read.
    """
    total = 0
    look = partial(
        find_files,
        settings.root,
        path,
        suffixes=settings.suffixes,
        max_files=settings.max_files,
        max_depth=settings.max_depth,
    )
    async with paths, work, aclosing(PullingIterator(look)) as batches:
        async for batch in batches:
            total += len(batch)
            for file in batch:
                if file.skipped is None:
                    await paths.send(file.path)
                else:
                    await work.send(Skipped(file.path, file.skipped))
        await work.send(Found(total))


async def read(
    loader: FunctionRef,
    settings: IngestSettings,
    ledger: IngestLedger,
    paths: MemoryObjectReceiveStream[str],
    work: MemoryObjectSendStream[Work],
) -> None:
    """Read one file after the other, and send what is in those that changed; a file that cannot be read stops nothing.

    Args:
        loader: reads them.
        settings: of the ingest.
        ledger: knows which ones changed.
        paths: of the files, shared with others who read.
        work: what comes of it.
    """
    async with paths, work:
        async for path in paths:
            try:
                await _read_one(loader, settings, ledger, path, work)
            except (LoadError, OSError) as error:
                await work.send(Failed(path, str(error)))
            except ActorError as error:
                # The loader itself broke; its supervisor has another one ready for the next file.
                await work.send(Failed(path, f"{path!r} cannot be read: {error}"))


async def _read_one(
    loader: FunctionRef, settings: IngestSettings, ledger: IngestLedger, path: str, work: MemoryObjectSendStream[Work]
) -> None:
    chunker = settings.chunker_of(path)
    content = await anyio.to_thread.run_sync(fingerprint_file, settings.root, path, settings.limits.max_bytes)
    fingerprint = f"{content}/{chunker.fingerprint}"
    if await ledger.fingerprint(path) == fingerprint:
        await work.send(Unchanged(path))
        return
    held: list[Chunk] = []
    last: Any = None
    async with loader.stream(path=path, buffer=2) as items:
        item: Any
        async for item in items:
            last = item
            if not isinstance(item, dict | LoadProgress):
                held += await _cut(chunker, path, item)
                while len(held) >= settings.batch:
                    await work.send(Piece(held[: settings.batch]))
                    del held[: settings.batch]
    if last["status"] == "error":
        await work.send(Failed(path, last["message"]))
        return
    if held:
        await work.send(Piece(held))
    await work.send(Ended(path, fingerprint))


async def _cut(chunker: Chunker, path: str, document: AnyDocument) -> list[Chunk]:
    def cut() -> list[Chunk]:
        return list(chunker.chunks(path, [document]))

    if len(document.to_text()) < _LONG:
        return cut()
    return await anyio.to_thread.run_sync(cut, abandon_on_cancel=True)
