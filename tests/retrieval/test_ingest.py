"""How an index is kept in step with a folder: what changed, what crashed, what is gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from tinyllm_actors import ActorSystem
from tinyllm_actors.errors import ConfigurationError, StoreUnavailable
from tinyllm_actors.llm import Embedder
from tinyllm_actors.retrieval import (
    Chunk,
    Chunker,
    ChunkIndex,
    Ingest,
    IngestLedger,
    IngestProgress,
    LoadLimits,
    MemoryVectorStore,
    VectorIndex,
    chunk_id,
    chunk_metadata,
)
from tinyllm_actors.testing import HashEmbeddings

pytestmark = pytest.mark.anyio


class Shelf(ChunkIndex):
    """An index that remembers what it was told; it fails at the batch that it is told to fail at."""

    def __init__(self) -> None:
        self.chunks: dict[str, tuple[str, str]] = {}
        self.written: list[str] = []
        self.batches: list[int] = []
        self.fail_at = -1

    async def upsert(self, chunks: Sequence[Chunk]) -> None:
        if len(self.batches) == self.fail_at:
            raise StoreUnavailable("the shelf fell", retryable=True)
        self.batches.append(len(chunks))
        self.written += [chunk.text for chunk in chunks]
        self.chunks.update({chunk.id: (chunk.text, chunk.source) for chunk in chunks})

    async def relabel(self, metadata: Mapping[str, dict[str, Any]]) -> None:
        for name, place in metadata.items():
            self.chunks[name] = (self.chunks[name][0], place["source"])

    async def delete(self, ids: Sequence[str]) -> None:
        for name in ids:
            del self.chunks[name]

    def texts(self) -> dict[str, str]:
        return dict(self.chunks.values())


def _write(root: Path, **files: str | None) -> None:
    for name, text in files.items():
        path = root / f"{name.replace('__', '/')}.md"
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)


def _counts(result: Any) -> dict[str, int]:
    assert result["status"] == "success", result
    return {name: count for name, count in result["output"].items() if count and name != "failures"}


async def test_only_what_changed_is_indexed(tmp_path: Path) -> None:
    """A second call writes nothing; a changed section is one chunk more and one less; what is gone is forgotten."""
    _write(tmp_path, a="# A\none\n# B\ntwo", b="# C\nthree", sub__c="# D\nfour", sub__d="# E\nfive")
    shelf = Shelf()
    async with ActorSystem("test") as system, IngestLedger() as ledger:
        ingest = await system.spawn(Ingest.spec(shelf, tmp_path, ledger=ledger, concurrency=2))
        assert _counts(await ingest()) == {"indexed": 4, "chunks_added": 5}
        assert _counts(await ingest()) == {"unchanged": 4}
        _write(tmp_path, a="# A\none\n# B\nother", b=None, sub__d=None)
        assert _counts(await ingest(path="sub")) == {"unchanged": 1, "removed": 1, "chunks_removed": 1}
        assert "# C\nthree" in shelf.texts()  # beyond the folder
        for same in ("./sub//c.md", str(tmp_path / "sub/c.md"), f"{tmp_path}/sub/"):
            assert _counts(await ingest(path=same)) == {"unchanged": 1}
        found = _counts(await ingest())
        assert found == {"indexed": 1, "unchanged": 1, "removed": 1, "chunks_added": 1, "chunks_removed": 2}
        assert shelf.texts() == {"# A\none": "a.md", "# B\nother": "a.md", "# D\nfour": "sub/c.md"}
        assert sorted(shelf.written) == sorted({*shelf.written})
        assert await ledger.count() == (2, 3)
        # With another chunker all is read again, and what is cut as before is not written again.
        other = await system.spawn(
            Ingest.spec(shelf, tmp_path, ledger=ledger, chunkers={".md": Chunker(max_tokens=100)})
        )
        assert _counts(await other()) == {"indexed": 2}


async def test_the_same_text_is_indexed_once_and_goes_with_its_last_source(tmp_path: Path) -> None:
    """Two sources share a chunk; when one loses it, it is the other's, and when both have, it is gone."""
    _write(tmp_path, a="same", b="same", c="# X\nsame\n# X\nsame")
    shelf = Shelf()
    async with ActorSystem("test") as system:
        ingest = await system.spawn(Ingest.spec(shelf, tmp_path, concurrency=1))
        assert _counts(await ingest()) == {"indexed": 3, "chunks_added": 2}
        assert shelf.texts() == {"same": "a.md", "# X\nsame": "c.md"}
        _write(tmp_path, a="new", c=None)
        assert _counts(await ingest())["chunks_removed"] == 1
        assert shelf.texts() == {"same": "b.md", "new": "a.md"}
        _write(tmp_path, b=None)
        assert _counts(await ingest()) == {"unchanged": 1, "removed": 1, "chunks_removed": 1}
        assert shelf.texts() == {"new": "a.md"}


async def test_a_crash_loses_nothing_and_repeats_nothing(tmp_path: Path) -> None:
    """When the index fails in the middle, the call fails; the next one, of a new actor, goes on where that was."""
    ledger, shelf = tmp_path / "ledger.db", Shelf()
    folder = tmp_path / "docs"
    folder.mkdir()
    _write(folder, **{f"n{n}": "\n".join(f"# {n} {m}\ntext" for m in range(10)) for n in range(6)})
    shelf.fail_at = 4
    async with ActorSystem("test") as system:
        ingest = await system.spawn(Ingest.spec(shelf, folder, ledger=ledger, batch=7, concurrency=1))
        result = await ingest()
        assert (result["status"], result["error"]["type"]) == ("error", "StoreUnavailable")
    assert 0 < len(shelf.written) < 60
    async with ActorSystem("test") as system:
        ingest = await system.spawn(Ingest.spec(shelf, folder, ledger=ledger, batch=7, concurrency=1))
        shelf.fail_at = -1
        assert (await ingest())["output"]["indexed"] > 0
    assert len(shelf.written) == len(set(shelf.written)) == 60


async def test_progress_and_failures(tmp_path: Path) -> None:
    """A file that cannot be read, and one that is not, are told of, and stop nothing; the old chunks of it stay."""
    _write(tmp_path, a="fine", b="good")
    (tmp_path / "x.exe").write_text("no")
    (tmp_path / "link.md").symlink_to(tmp_path / "a.md")
    shelf = Shelf()
    async with ActorSystem("test") as system:
        limits = LoadLimits(max_bytes=10)
        ingest = await system.spawn(Ingest.spec(shelf, tmp_path, limits=limits, concurrency=1))
        await ingest()
        (tmp_path / "b.md").write_bytes(b"bad\0")
        (tmp_path / "c.md").write_text("too long, this")
        async with ingest.stream() as stream:
            *items, last = [item async for item in stream]
        assert _counts(last) == {"unchanged": 1, "failed": 2, "skipped": 2}
        assert [failure["source"] for failure in last["output"]["failures"]] == ["b.md", "c.md"]
        assert all(isinstance(item, IngestProgress) for item in items)
        assert sorted((item.source, item.status, item.message) for item in items) == [
            ("a.md", "unchanged", ""),
            ("b.md", "failed", "'b.md' is no text: it has a zero byte at 3"),
            ("c.md", "failed", "'c.md' has more than max_bytes=10; raise it in LoadLimits, or split it"),
            ("link.md", "skipped", "is a symbolic link"),
            ("x.exe", "skipped", "is of a kind that nothing here reads"),
        ]
        assert [item.done for item in items] == [1, 2, 3, 4, 5]
        assert items[-1].total in (5, None)
        assert shelf.texts() == {"fine": "a.md", "good": "b.md"}
        with pytest.raises(Exception, match="takes calls only"):
            async with ingest.stream("what") as stream:
                await stream.receive()
        assert (await ingest(path="../out"))["error"]["type"] == "DocumentRefused"
        assert (await ingest(path="gone"))["error"]["type"] == "FileNotFoundError"


async def test_a_slow_index_holds_up_the_reading(tmp_path: Path) -> None:
    """However many sources there are, those that are cut and not yet indexed are a batch and a few more."""
    _write(tmp_path, **{f"n{n:03}": f"text {n}" for n in range(100)})
    ahead: list[int] = []
    waits, cut = anyio.Event(), set[str]()

    def count(text: str) -> int:
        cut.add(text)
        ahead.append(len(cut) - sum(shelf.batches))
        if ahead[-1] >= 2:
            waits.set()
        return 1

    class Slow(Shelf):
        async def upsert(self, chunks: Sequence[Chunk]) -> None:
            await waits.wait()
            for _ in range(0 if self.batches else 60):  # the reading could go on meanwhile
                await anyio.to_thread.run_sync(sha256, bytes(4_000_000))
            await super().upsert(chunks)

    shelf = Slow()
    chunker = Chunker(count=count, overlap=0)
    async with ActorSystem("test") as system:
        ingest = await system.spawn(Ingest.spec(shelf, tmp_path, concurrency=1, batch=8, chunker=chunker))
        assert _counts(await ingest()) == {"indexed": 100, "chunks_added": 100}
    assert max(shelf.batches) <= 8
    assert max(ahead) <= 8 + 3


async def test_a_loader_that_breaks_is_another_one_for_the_next_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug in a loader fails its file; its supervisor starts it again."""
    from tinyllm_actors.retrieval import Loader

    _write(tmp_path, a="fine", b="breaks", c="fine too")
    produce = Loader.produce

    async def broken(self: Loader, message: Any, emit: Any) -> None:
        if message.arguments["path"] == "b.md":
            raise RuntimeError("a bug")
        await produce(self, message, emit)

    monkeypatch.setattr(Loader, "produce", broken)
    shelf = Shelf()
    async with ActorSystem("test") as system:
        ingest = await system.spawn(Ingest.spec(shelf, tmp_path, concurrency=1))
        result = await ingest()
    assert _counts(result) == {"indexed": 2, "failed": 1, "chunks_added": 2}
    assert "a bug" in result["output"]["failures"][0]["message"]


async def test_chunks_in_a_vector_store_are_found(tmp_path: Path) -> None:
    """Chunks are embedded under their headings, have flat metadata, and follow what changes."""
    _write(tmp_path, tea="# Tea\n## Green\n" + "water " * 60 + "\nthree minutes", copy="# Tea\nsame\n")
    _write(tmp_path, copy2="# Tea\nsame\n")
    model = HashEmbeddings(dimensions=64)
    async with ActorSystem("test") as system, MemoryVectorStore() as store:
        embedder = await system.spawn(Embedder, model)
        index = VectorIndex(store, embedder, "docs")
        chunker = Chunker(max_tokens=40, overlap=0)
        ingest = await system.spawn(Ingest.spec(index, tmp_path, chunker=chunker, concurrency=1))
        assert (await ingest())["status"] == "success"
        texts = [text for call in model.calls for text in call]
        assert any(text.startswith("Tea\nGreen\nwater") for text in texts)
        (hit, *_) = await store.search_text("docs", "minutes")
        assert hit.metadata["source"] == "tea.md"
        assert hit.metadata["headings"] == ["Tea", "Green"]
        (shared,) = await store.get("docs", [chunk_id("# Tea\nsame")])
        assert shared.metadata["source"] == "copy.md"
        _write(tmp_path, copy=None, tea=None)
        assert (await ingest())["output"]["removed"] == 2
        (shared,) = await store.get("docs", [chunk_id("# Tea\nsame")])
        assert shared.metadata["source"] == "copy2.md"
        assert await store.count("docs") == 1
        calls = len(model.calls)
        await index.upsert([])
        await index.relabel({})
        await index.delete([])
        assert len(model.calls) == calls


async def test_a_closed_ledger_says_so(tmp_path: Path) -> None:
    """A ledger that is not open is an error; a file that is none does not open; closing twice does no harm."""
    ledger = IngestLedger()
    with pytest.raises(RuntimeError, match="not open"):
        await ledger.begin()
    await ledger.aclose()
    path = tmp_path / "x.db"
    await anyio.Path(path).write_bytes(b"no database" * 100)
    with pytest.raises(Exception, match="not a database"):
        await IngestLedger(path).open()


async def test_many_chunks_of_a_source(tmp_path: Path) -> None:
    """More chunks than one statement can ask about are all known."""
    async with IngestLedger(tmp_path / "ledger.db") as ledger:
        chunks = [Chunk(id=str(n), text=str(n), source="s") for n in range(1_234)]
        run = await ledger.begin()
        await ledger.add(run, chunks, [chunk_metadata(chunk) for chunk in chunks])
        assert await ledger.known([*(chunk.id for chunk in chunks), "other"]) == {chunk.id for chunk in chunks}
        with pytest.raises(Exception, match=r"bind|parameter|supported"):
            await ledger.add(run, [Chunk(id=[], text="", source="x")], [{}])  # type: ignore[arg-type]
        assert await ledger.count() == (0, 1_234)


def test_metadata_is_flat() -> None:
    """What stores cannot keep as it is becomes text, and nothing is longer than it may be."""
    chunk = Chunk(
        id="1", text="x", source="s", headings=("a\0",), metadata={"l": [1], "t": "y" * 5000, "": 1, "n": None}
    )
    found = chunk_metadata(chunk)
    assert (found["l"], len(found["t"]), found["headings"], found["n"]) == ("[1]", 1000, ["a"], None)
    assert "" not in found


@pytest.mark.parametrize(
    "options", [{"concurrency": 0}, {"batch": 0}, {"suffixes": [".exe"]}, {"chunkers": {".exe": Chunker()}}]
)
def test_senseless_settings_are_refused(options: dict[str, Any]) -> None:
    """A number without a meaning, and a kind of file that nothing reads, are errors that name the value."""
    with pytest.raises(ConfigurationError, match=r"=0|\.exe"):
        Ingest(Shelf(), ".", **options)
