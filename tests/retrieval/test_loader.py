"""The actor that reads documents: files and bytes, streams, and processes that die."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import anyio
import pytest

from tinyllm_actors import ActorSystem
from tinyllm_actors.function import as_function
from tinyllm_actors.retrieval import (
    Document,
    ImageDocument,
    Loader,
    LoadLimits,
    LoadProgress,
)

pytestmark = pytest.mark.anyio

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
ROWS = b"n\n" + b"1\n" * 100_000  # some hundred documents


async def test_text_in_usual_encodings() -> None:
    """UTF-8 with and without a mark, UTF-16 and Windows-1252 are read, and line ends are one sign."""
    async with ActorSystem("test") as system:
        loader = await system.spawn(Loader)
        for data in ("ä\r\nb".encode(), "ä\rb".encode("utf-8-sig"), "ä\nb".encode("utf-16"), "ä\nb".encode("cp1252")):
            result = await loader(data=data, name="notes.MD")
            assert result["output"]["documents"] == [Document("ä\nb", {"source": "notes.MD"})]
        assert (await loader(data=b"a\0b", name="x.txt"))["error"]["type"] == "DocumentMalformed"


async def test_a_stream_tells_how_far_it_is() -> None:
    """Documents and progress come in order, and at the end the dictionary, with how many documents there were."""
    async with ActorSystem("test") as system:
        loader = await system.spawn(Loader)
        async with loader.stream(data=b"n\n" + b"1\n" * 1200, name="a.csv") as stream:
            *items, last = [item async for item in stream]
    shown = [item.done if isinstance(item, LoadProgress) else len(item.rows) for item in items]
    assert shown == [500, 500, 500, 1000, 200]
    assert last == {"status": "success", "output": {"source": "a.csv", "documents": 3}}


async def test_pictures_are_described_by_a_function() -> None:
    """A vision Function gets the picture and gives its content; one that answers nonsense or fails is an error."""

    async def see(data: bytes, media_type: str, source: str) -> Any:
        if source == "odd.png":
            return {"content": 7}
        if source == "bad.png":
            raise ValueError("no eyes")
        return {"content": f"{media_type}, {len(data)} bytes"} if source == "a.png" else "a cat"

    async with ActorSystem("test") as system:
        vision = await system.spawn(as_function(see))
        loader = await system.spawn(Loader.spec(vision=vision))
        result = await loader(data=PNG, name="a.png")
        assert result["output"]["documents"] == [
            ImageDocument(PNG, "image/png", "image/png, 28 bytes", {"source": "a.png"})
        ]
        webp = await loader(data=b"RIFF....WEBPVP8 ", name="b.webp")
        assert webp["output"]["documents"][0].content == "a cat"
        assert (await loader(data=PNG, name="odd.png"))["error"]["type"] == "DocumentMalformed"
        assert (await loader(data=PNG, name="bad.png"))["message"] == "no eyes"
        assert (await loader(data=b"<svg/>", name="a.gif"))["error"]["type"] == "DocumentMalformed"


async def test_a_reading_that_takes_too_long_is_ended_and_the_next_one_works() -> None:
    """The process is killed at its time-out; the loader lives and reads the next document in a new one."""
    data = ROWS
    async with ActorSystem("test") as system:
        loader = await system.spawn(Loader.spec(limits=LoadLimits(timeout=0.001)))
        result = await loader(data=data, name="slow.csv")
        assert (result["status"], result["error"]["type"]) == ("error", "LoadTimeout")
        patient = await system.spawn(Loader)
        assert (await patient(data=b"x", name="a.txt"))["status"] == "success"
        assert (await loader(data=data, name="slow.csv"))["error"]["type"] == "LoadTimeout"


def test_memory_is_bounded() -> None:
    """A document that needs more memory than it may is an error, and the loader lives."""
    anyio.run(_read_too_much)


async def _read_too_much() -> None:
    csv = b"a" * 90_000_000
    limits = LoadLimits(memory=2**28, max_bytes=10**9, max_characters=10**9)
    async with ActorSystem("test") as system:
        loader = await system.spawn(Loader.spec(limits=limits))
        result = await loader(data=csv, name="a.csv")
        assert (result["status"], result["error"]["type"]) == ("error", "DocumentTooLarge")
        assert "memory=" in result["message"]
        assert (await loader(data=b"x", name="a.txt"))["status"] == "success"


async def test_a_process_that_dies_fails_its_document_only() -> None:
    """When the process is killed in the middle, the document is an error and the next one is read."""
    async with ActorSystem("test") as system:
        loader = await system.spawn(Loader)
        async with loader.stream(data=ROWS, name="a.csv", buffer=1) as stream:
            await stream.receive()
            children = await anyio.to_thread.run_sync(_children)
            for child in children:
                os.kill(child, 9)
            *_, last = [item async for item in stream]
        assert (last["status"], last["error"]["type"]) == ("error", "DocumentMalformed")
        assert "SIGKILL" in last["message"]
        assert (await loader(data=b"x", name="a.txt"))["status"] == "success"


def _children() -> list[int]:
    found = [pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()]
    return [int(pid) for pid in found if b"retrieval.loading" in Path(f"/proc/{pid}/cmdline").read_bytes()]


async def test_a_reader_that_leaves_ends_the_reading() -> None:
    """Leaving the stream kills the process at once, and the loader reads the next document."""
    async with ActorSystem("test") as system:
        loader = await system.spawn(Loader)
        async with loader.stream(data=ROWS, name="a.csv", buffer=1) as stream:
            await stream.receive()
        assert (await loader(data=b"x", name="a.txt"))["status"] == "success"
        assert len(await anyio.to_thread.run_sync(_children)) == 1


# --- files ----------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with files, and with ways out of it."""
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret")
    (root / "a.txt").write_text("inside")
    (root / "sub" / "b.txt").write_text("deeper")
    (root / "link.txt").symlink_to(tmp_path / "secret.txt")
    (root / "out").symlink_to(tmp_path)
    os.mkfifo(root / "pipe.txt")
    return root


async def test_files_beneath_the_root_are_read(folder: Path) -> None:
    """A path is from the root, or a whole one beneath it; the document's source is what was asked for."""
    async with ActorSystem("test") as system:
        loader = await system.spawn(Loader.spec(folder))
        for path, content in (("a.txt", "inside"), ("./sub//b.txt", "deeper"), (str(folder / "sub/b.txt"), "deeper")):
            result = await loader(path=path)
            assert result["output"]["documents"][0] == Document(content, {"source": path})


async def test_nothing_outside_of_the_root_is_read(folder: Path) -> None:
    """No `..`, link, other folder, pipe or folder is read, nor anything by a loader without a root."""
    async with ActorSystem("test") as system:
        loader = await system.spawn(Loader.spec(folder))
        for path in (
            "../secret.txt",
            "sub/../../secret.txt",
            str(folder.parent / "secret.txt"),
            f"{folder}-other/x.txt",
            "link.txt",
            "out/secret.txt",
            "pipe.txt",
            "a.txt/x.txt",
            "gone.txt",
            "a\0.txt",
            "a.exe",
            "none",
        ):
            result = await loader(path=path)
            assert (result["status"], result["error"]["type"]) == ("error", "DocumentRefused"), path
            assert "secret" not in str(result).replace("secret.txt", "")
        (folder / "sub.txt").mkdir()
        assert (await loader(path="sub.txt"))["error"]["type"] == "DocumentRefused"
        rootless = await system.spawn(Loader)
        assert (await rootless(path=str(folder / "a.txt")))["error"]["type"] == "DocumentRefused"


@pytest.mark.parametrize("arguments", [{}, {"path": "a", "data": b"x", "name": "b.txt"}, {"data": b"x"}])
async def test_a_call_names_one_source(arguments: dict[str, Any]) -> None:
    """Neither or both of a path and data, or data without a name, is an error that says what to give."""
    async with ActorSystem("test") as system:
        loader = await system.spawn(Loader)
        assert "path=" in (await loader(**arguments))["message"]
        with pytest.raises(Exception, match="takes calls only"):
            async with loader.stream("what") as stream:
                await stream.receive()


async def test_a_process_without_work_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loader that had nothing to do keeps no process; an old process is renewed."""
    from tinyllm_actors.retrieval.loading import loader as module

    async with ActorSystem("test") as system:
        loader = await system.spawn(Loader)
        monkeypatch.setattr(module, "_IDLE_SECONDS", 0.0)
        monkeypatch.setattr(module, "_MAX_DOCUMENTS", 1)
        assert (await loader(data=b"x", name="a.txt"))["status"] == "success"
        before = await anyio.to_thread.run_sync(_children)
        assert (await loader(data=b"x", name="a.txt"))["status"] == "success"
        after = await anyio.to_thread.run_sync(_children)
        assert (len(before), len(after)) == (1, 1)
        assert before != after
        await loader.ask(module._Sweep())  # pyright: ignore[reportPrivateUsage]
        assert await anyio.to_thread.run_sync(_children) == []
