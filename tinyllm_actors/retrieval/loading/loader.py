"""`Loader`: the actor that reads documents."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.to_thread
import msgspec

from tinyllm_actors.errors import DocumentMalformed, DocumentRefused
from tinyllm_actors.function import Call, Function, unwrap
from tinyllm_actors.retrieval.document import ImageDocument
from tinyllm_actors.retrieval.loading.beneath import open_beneath
from tinyllm_actors.retrieval.loading.formats import FORMATS
from tinyllm_actors.retrieval.loading.limits import LoadLimits
from tinyllm_actors.retrieval.loading.process import ReadingProcess
from tinyllm_actors.retrieval.loading.reading import LoadProgress
from tinyllm_actors.retrieval.loading.wire import Job

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tinyllm_actors.function import FunctionRef
    from tinyllm_actors.kernel import ExitReason
    from tinyllm_actors.retrieval.document import AnyDocument
    from tinyllm_actors.retrieval.loading.reading import Item

__all__ = ["Loader"]

_MAX_DOCUMENTS: Final = 500
"""Documents after which its process is renewed: libraries leak."""
_IDLE_SECONDS: Final = 60.0


class _Sweep:
    """The time to look whether the process is needed."""


class Loader(Function):
    r"""Reads a document: answers `{"source": …, "documents": [Document, …]}`.

    Called with `path=`, it reads a file beneath its root; with `data=` and `name=`, bytes. The kind is that of the
    name's suffix: text, Markdown and code, HTML, PDF (text of pages, fields of forms), Word, Excel, CSV and pictures.
    `loader.stream(path=…)` delivers documents and `LoadProgress` as they come, and the dictionary at the end, with
    how many documents there were instead of the documents.

    All reading happens in a process of its own, one document at a time, which is killed when a document takes too
    long, is cancelled or needs too much memory. Whatever a file holds, the answer is documents or a typed error, and
    the loader lives on. For several at once, spawn a `Pool` of loaders.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem
    >>> from tinyllm_actors.retrieval import Loader
    >>> async def main() -> None:
    ...     async with ActorSystem("service") as system:
    ...         loader = await system.spawn(Loader)
    ...         result = await loader(data=b"city;people\nOslo;717710\n", name="cities.csv")
    ...         print(result["output"]["documents"][0].to_text())
    ...         print((await loader(data=b"no such thing", name="report.pdf"))["message"])
    >>> anyio.run(main)
    | city | people |
    | --- | --- |
    | Oslo | 717710 |
    'report.pdf' is no PDF document: it does not begin with %PDF

    ```

    Args:
        root: the folder beneath which all paths are; None for no files at all.
        limits: what one document may take.
        vision: a Function that says what a picture shows: called with `data`, `media_type` and `source`, it answers a
            text, or a dictionary with a text under `"content"`, as `agent.PictureDescriber` does. Without one, pictures
            have no content.
        **options: of `Function`.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        limits: LoadLimits | None = None,
        vision: FunctionRef | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._root = None if root is None else os.fspath(root)
        self._limits = limits or LoadLimits()
        self._vision = vision
        self._process: ReadingProcess | None = None
        self._used = 0.0

    async def started(self) -> None:
        """Look now and then whether the process is still needed."""
        self.context.send_after(_IDLE_SECONDS, _Sweep(), every=_IDLE_SECONDS)
        await super().started()

    async def stopped(self, reason: ExitReason) -> None:
        """End the process."""
        await self._end_process()

    async def receive(self, message: Any) -> Any:
        """Handle a call."""
        if type(message) is _Sweep:
            if anyio.current_time() - self._used >= _IDLE_SECONDS:
                await self._end_process()
            return None
        return await super().receive(message)

    async def run(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, path: str | os.PathLike[str] | None = None, data: bytes | None = None, name: str | None = None
    ) -> dict[str, Any]:
        """Return all documents of one source.

        Args:
            path: of a file beneath the root.
            data: instead of a path, the bytes.
            name: what the bytes are called, for their suffix and as their source.
        """
        documents: list[AnyDocument] = []

        async def keep(item: Item) -> None:
            if not isinstance(item, LoadProgress):
                documents.append(item)

        source = await self._load(path, data, name, keep)
        return {"source": source, "documents": documents}

    async def produce(self, message: Any, emit: Callable[[Any], Awaitable[None]]) -> None:
        """Stream documents and progress, and then the dictionary of the call."""
        if type(message) is not Call:
            raise TypeError(f"{self.name} takes calls only; use `ref.stream(path=…)`")

        async def run(
            path: str | os.PathLike[str] | None = None, data: bytes | None = None, name: str | None = None
        ) -> dict[str, Any]:
            count = 0

            async def pass_on(item: Item) -> None:
                nonlocal count
                count += not isinstance(item, LoadProgress)
                await emit(item)

            source = await self._load(path, data, name, pass_on)
            return {"source": source, "documents": count}

        await emit(await self._call(message.arguments, run))

    async def _load(
        self,
        path: str | os.PathLike[str] | None,
        data: bytes | None,
        name: str | None,
        emit: Callable[[Item], Awaitable[None]],
    ) -> str:
        if (path is None) is (data is None) or (data is not None and not name):
            raise ValueError("give either path=, or data= and name=")
        source = os.fspath(path) if path is not None else name or ""
        suffix = os.path.splitext(source)[1].lower()
        if suffix not in FORMATS:
            raise DocumentRefused(source, f"has the suffix {suffix!r}, which nothing here reads")
        file = await anyio.to_thread.run_sync(self._open, source, data)
        try:
            await self._read(Job(source, suffix, self._limits), file, emit)
        finally:
            os.close(file)
        return source

    def _open(self, source: str, data: bytes | None) -> int:
        """Return the descriptor of an open file; runs in a thread."""
        if data is not None:
            with tempfile.TemporaryFile() as file:
                file.write(data)
                file.seek(0)
                return os.dup(file.fileno())
        if self._root is None:
            raise DocumentRefused(source, "is a file, and this loader has no root; use Loader.spec(root=…)")
        try:
            return open_beneath(self._root, source)
        except OSError as error:
            raise DocumentRefused(source, f"cannot be opened: {error.strerror or error}") from error

    async def _read(self, job: Job, file: int, emit: Callable[[Item], Awaitable[None]]) -> None:
        async def take(item: Item) -> None:
            if isinstance(item, ImageDocument) and self._vision is not None:
                item = await self._described(self._vision, item, job.source)
            await emit(item)

        if self._process is not None and self._process.documents >= _MAX_DOCUMENTS:
            await self._end_process()
        if self._process is None:
            self._process = await ReadingProcess.start()
        try:
            await self._process.read(job, file, take)
        finally:
            self._used = anyio.current_time()
            if not self._process.sound:
                await self._end_process()

    async def _described(self, vision: FunctionRef, image: ImageDocument, source: str) -> ImageDocument:
        answer: Any = unwrap(await vision(data=image.data, media_type=image.media_type, source=source))
        content = answer.get("content") if isinstance(answer, dict) else answer  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        if not isinstance(content, str):
            raise DocumentMalformed(source, "has no description: vision answered no text, and none under 'content'")
        return msgspec.structs.replace(image, content=content)

    async def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            await process.aclose()
