"""Reads PDF documents: the text of each page, and what is filled in in forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from tinyllm_actors.errors import DocumentMalformed, DocumentRefused
from tinyllm_actors.retrieval.document import DictionaryDocument, Document
from tinyllm_actors.retrieval.loading.reading import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinyllm_actors.retrieval.loading.reading import Item, Reading

__all__ = ["read"]

_MAX_FIELDS = 10_000


def read(reading: Reading) -> Iterator[Item]:
    """Return each page that has text, and the fields of a form, at the end."""
    try:
        import pypdf
    except ImportError:
        raise missing("pypdf", "a PDF document") from None
    # Some programs write a few bytes before the mark; no other kind of file has it.
    if b"%PDF-" not in reading.file.read(1024):
        raise DocumentMalformed(reading.source, "is no PDF document: it does not begin with %PDF")
    reading.file.seek(0)
    document = pypdf.PdfReader(reading.file)
    if document.is_encrypted and not document.decrypt(""):
        raise DocumentRefused(reading.source, "is encrypted; save it without a password")
    total = document.get_num_pages()
    reading.at_most(total, "max_pages")
    metadata: dict[str, Any] = {"source": reading.source}
    if document.metadata is not None and document.metadata.title:
        metadata["title"] = str(document.metadata.title)
    for number, page in enumerate(document.pages, start=1):
        if text := page.extract_text().strip():
            yield Document(text, {**metadata, "page": number})
        yield reading.progress(number, total, "pages")
    if fields := _fields(document):
        yield DictionaryDocument(fields, {**metadata, "form": True})


def _fields(document: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    fields: dict[Any, Any] = document.get_fields() or {}
    for name, field in fields.items():
        value: object = field.get("/V")
        if value is None or len(found) >= _MAX_FIELDS:
            continue
        if isinstance(value, list):
            found[str(name)] = [str(item) for item in cast("list[object]", value)]
        else:
            found[str(name)] = str(value).removeprefix("/")  # a choice is a name, such as /Yes
    return found
