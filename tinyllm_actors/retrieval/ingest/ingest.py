"""`Ingest`: the actor that keeps an index in step with a folder."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import anyio
import anyio.to_thread

from tinyllm_actors.function import Call, Function
from tinyllm_actors.kernel import Backoff, Supervisor
from tinyllm_actors.retrieval.chunking import Chunker
from tinyllm_actors.retrieval.ingest.index import chunk_metadata
from tinyllm_actors.retrieval.ingest.ledger import IngestLedger
from tinyllm_actors.retrieval.ingest.progress import IngestProgress, Tally
from tinyllm_actors.retrieval.ingest.reading import Ended, Failed, Found, Piece, Skipped, Unchanged, Work, find, read
from tinyllm_actors.retrieval.ingest.settings import IngestSettings
from tinyllm_actors.retrieval.loading import FORMATS, Loader, LoadLimits
from tinyllm_actors.retrieval.loading.beneath import parts_beneath

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream

    from tinyllm_actors.function import FunctionRef
    from tinyllm_actors.kernel import ExitReason
    from tinyllm_actors.retrieval.chunking import Chunk
    from tinyllm_actors.retrieval.ingest.index import ChunkIndex

__all__ = ["Ingest"]

Tell = Callable[[IngestProgress], Awaitable[None]]


class Ingest(Function):
    """Reads the files of a folder, cuts them into chunks, and brings an index up to date with them.

    `ingest(path=…)` answers how many sources were indexed, unchanged, failed, skipped and removed, how many chunks
    were added and removed, and the first failures. `ingest.stream(path=…)` delivers an `IngestProgress` for each
    source, and that dictionary at the end. A file that cannot be read is one failure and keeps what was indexed of it;
    an index that fails ends the call.

    1. Only what changed is read: a source with the content and the chunker of the last time is left alone. Of one
       that changed, only chunks that are new are embedded. What is gone is removed, after all files were found.
    2. What is indexed is noted in the ledger at once. After a crash the same call goes on where it was: at most the
       batch under way is indexed a second time.
    3. The same text is indexed once, whatever many sources have it, and forgotten with the last of them.
    4. Files are found, read (by as many loaders as `concurrency` says, supervised, each with a process of its own) and
       indexed (in one place, one batch after the other) at the same time. Whoever is faster waits: with
       `concurrency=2, batch=128` at most some 800 chunks are in memory, however many files there are.

    One ingest does one call at a time, and no two may share a ledger and an index. A call may take long:
    `ingest.within(None)(path=".")` has no deadline, and a stream has none unless told.

    ```python
    >>> import anyio, tempfile
    >>> from tinyllm_actors import ActorSystem
    >>> from tinyllm_actors.llm import Embedder
    >>> from tinyllm_actors.retrieval import Ingest, Retriever, VectorIndex, vector_store_from_url
    >>> from tinyllm_actors.testing import HashEmbeddings
    >>> async def main(folder: str) -> None:
    ...     await anyio.Path(folder, "shop.md").write_text("The shop opens at ten.")
    ...     async with ActorSystem("library") as system, vector_store_from_url(f"sqlite:///{folder}/v.db") as store:
    ...         embedder = await system.spawn(Embedder, HashEmbeddings())  # or "local", "openai/text-embedding-3-small"
    ...         spec = Ingest.spec(VectorIndex(store, embedder), folder, ledger=f"{folder}/ledger.db", suffixes=[".md"])
    ...         ingest = await system.spawn(spec)
    ...         for _ in range(2):
    ...             counts = (await ingest.within(None)(path="."))["output"]
    ...             print(counts["indexed"], counts["unchanged"], counts["chunks_added"])
    ...         retriever = await system.spawn(Retriever, store, embedder)  # for `Rag`, or `make_retrieve` as a tool
    ...         print((await retriever(query="When does it open?"))["output"]["hits"][0].metadata["source"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     anyio.run(main, folder)
    1 0 1
    0 1 0
    shop.md

    ```

    Args:
        index: where chunks go, such as a `VectorIndex`.
        root: the folder beneath which everything is; sources are paths from there.
        ledger: what is indexed, or the path of its file; left out, it is forgotten with the actor.
        chunker: how to cut.
        chunkers: how to cut files of some suffixes, such as `{".py": Chunker(by="code")}`.
        suffixes: of the names of files to read, of those in `FORMATS`.
        limits: of one document.
        vision: a Function that says what pictures show; see `Loader`.
        concurrency: files that are read at once, each in a process.
        batch: chunks that are embedded and written at once.
        max_files: files in a folder before it is an error.
        max_depth: folders inside of one another that are looked into.
        **options: of `Function`.

    Raises:
        ConfigurationError: a number is out of range, or nothing reads files of a suffix.
    """

    supervision: ClassVar[Supervisor | None] = Supervisor(max_restarts=100, period=60.0, backoff=Backoff(0.05, 5.0))

    def __init__(
        self,
        index: ChunkIndex,
        root: str | os.PathLike[str],
        *,
        ledger: IngestLedger | str | os.PathLike[str] = ":memory:",
        chunker: Chunker | None = None,
        chunkers: Mapping[str, Chunker] | None = None,
        suffixes: Collection[str] = frozenset(FORMATS),
        limits: LoadLimits | None = None,
        vision: FunctionRef | None = None,
        concurrency: int = 2,
        batch: int = 128,
        max_files: int = 1_000_000,
        max_depth: int = 32,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._index = index
        self._owned = None if isinstance(ledger, IngestLedger) else IngestLedger(ledger)
        self._ledger = ledger if isinstance(ledger, IngestLedger) else self._owned or IngestLedger()
        self._vision = vision
        self._settings = IngestSettings(
            root=os.fspath(root),
            chunker=chunker or Chunker(),
            chunkers=dict(chunkers or {}),
            suffixes=frozenset(suffixes),
            limits=limits or LoadLimits(),
            concurrency=concurrency,
            batch=batch,
            max_files=max_files,
            max_depth=max_depth,
        )
        self._loaders: list[FunctionRef] = []

    async def started(self) -> None:
        """Open the ledger, and start the loaders."""
        if self._owned is not None:
            await self._owned.open()
        spec = Loader.spec(self._settings.root, limits=self._settings.limits, vision=self._vision)
        self._loaders = [
            await self.context.spawn(spec, name=f"loader-{number}") for number in range(self._settings.concurrency)
        ]
        await super().started()

    async def stopped(self, reason: ExitReason) -> None:
        """Close the ledger, unless it was given."""
        if self._owned is not None:
            await self._owned.aclose()

    async def run(self, path: str = ".") -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Bring the index up to date with a folder, or with one file.

        Args:
            path: from the root; what is beyond it is neither read nor removed.
        """

        async def ignore(progress: IngestProgress) -> None:
            pass

        return await self._ingest(path, ignore)

    async def produce(self, message: Any, emit: Callable[[Any], Awaitable[None]]) -> None:
        """Stream progress, and then the dictionary of the call."""
        if type(message) is not Call:
            raise TypeError(f"{self.name} takes calls only; use `ref.stream(path=…)`")

        async def run(path: str = ".") -> dict[str, Any]:
            return await self._ingest(path, emit)

        await emit(await self._call(message.arguments, run))

    async def _ingest(self, path: str, tell: Tell) -> dict[str, Any]:
        settings = self._settings
        path = "/".join(await anyio.to_thread.run_sync(parts_beneath, settings.root, path)) or "."
        number = await self._ledger.begin()
        tally = Tally()
        failures: list[Exception] = []
        path_sender, paths = anyio.create_memory_object_stream[str](64)
        sender, work = anyio.create_memory_object_stream[Work](settings.concurrency)

        async def attempt(part: Callable[..., Awaitable[None]], *arguments: Any) -> None:
            try:
                await part(*arguments)
            except Exception as error:
                failures.append(error)
                tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(attempt, find, path, settings, path_sender, sender.clone())
            for loader in self._loaders:
                tasks.start_soon(attempt, read, loader, settings, self._ledger, paths.clone(), sender.clone())
            paths.close()
            sender.close()
            await attempt(self._write, number, work, tally, tell)
        if failures:
            raise failures[0]
        await self._remove(number, path, tally, tell)
        return tally.report()

    async def _write(self, number: int, work: MemoryObjectReceiveStream[Work], tally: Tally, tell: Tell) -> None:
        """Index what comes, in batches of whatever waits; the only place where anything is written."""
        added: dict[str, int] = {}
        async with work:
            async for first in work:
                batch = [first]
                size = _size(first)
                while size < self._settings.batch:
                    try:
                        batch.append(work.receive_nowait())
                    except (anyio.WouldBlock, anyio.EndOfStream):
                        break
                    size += _size(batch[-1])
                await self._write_batch(number, batch, tally, added, tell)

    async def _write_batch(
        self, number: int, batch: list[Work], tally: Tally, added: dict[str, int], tell: Tell
    ) -> None:
        chunks = [chunk for item in batch if isinstance(item, Piece) for chunk in item.chunks]
        if chunks:
            await self._add(number, chunks, tally, added)
        ended = [item for item in batch if isinstance(item, Ended)]
        removed = 0
        if ended:
            removed = await self._forget(number, [item.source for item in ended])
            await self._ledger.finish(number, [(item.source, item.fingerprint) for item in ended])
            tally.removed += removed
        kept = [item.source for item in batch if isinstance(item, Unchanged | Failed)]
        if kept:
            await self._ledger.touch(number, kept)
        for item in batch:
            match item:
                case Piece():
                    pass
                case Found(total):
                    tally.total = total
                case Ended(source):
                    last = item is ended[-1]
                    new = added.pop(source, 0)
                    await tell(tally.count(source, "indexed", added=new, removed=removed if last else 0))
                case Unchanged(source):
                    await tell(tally.count(source, "unchanged"))
                case Failed(source, message):
                    added.pop(source, None)
                    await tell(tally.count(source, "failed", message=message))
                case Skipped(source, message):
                    await tell(tally.count(source, "skipped", message=message))

    async def _add(self, number: int, chunks: list[Chunk], tally: Tally, added: dict[str, int]) -> None:
        unique = {chunk.id: chunk for chunk in reversed(chunks)}
        known = await self._ledger.known(list(unique))
        new = [chunk for chunk in reversed(unique.values()) if chunk.id not in known]
        if new:
            await self._index.upsert(new)
        await self._ledger.add(number, chunks, [chunk_metadata(chunk) for chunk in chunks])
        tally.added += len(new)
        for chunk in new:
            added[chunk.source] = added.get(chunk.source, 0) + 1

    async def _forget(self, number: int, sources: list[str]) -> int:
        """Take out of the index what sources do not have any more, and return how much that was."""
        stale = await self._ledger.stale(number, sources)
        if stale.moved:
            await self._index.relabel(stale.moved)
        if stale.orphans:
            await self._index.delete(stale.orphans)
        return len(stale.orphans)

    async def _remove(self, number: int, path: str, tally: Tally, tell: Tell) -> None:
        while gone := await self._ledger.untouched(number, path):
            removed = await self._forget(number, gone)
            await self._ledger.finish(number, [], gone)
            tally.removed += removed
            for source in gone:
                last = source is gone[-1]
                await tell(tally.count(source, "removed", removed=removed if last else 0))


def _size(item: Work) -> int:
    # What takes no time to index still takes some memory, and is told of.
    return len(item.chunks) if isinstance(item, Piece) else 1
