"""What is read of files of each kind, and what becomes of those that are wrong or mean harm."""

from __future__ import annotations

import io
import os
import random
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from datetime import date, time, timedelta
from typing import Any

import anyio
import pytest

from tinyllm_actors import ActorSystem
from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.retrieval import (
    AnyDocument,
    DictionaryDocument,
    Document,
    ImageDocument,
    Loader,
    LoadLimits,
    LoadProgress,
    TableDocument,
)
from tinyllm_actors.retrieval.loading.wire import Done, Failed, Job, encode, read_answer
from tinyllm_actors.retrieval.loading.worker import read_document


def pdf(pages: Iterable[str], fields: dict[str, str] | None = None, title: str = "Report") -> bytes:
    """Return a PDF document with a line of text on each page, and a form."""
    lines = list(pages)
    first_page = 5
    names = [f"{first_page + 2 * n} 0 R" for n in range(len(lines))]
    first_field = first_page + 2 * len(lines)
    field_names = [f"{first_field + n} 0 R" for n in range(len(fields or {}))]
    bodies = [
        f"<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [{' '.join(field_names)}] >> >>",
        f"<< /Type /Pages /Kids [{' '.join(names)}] /Count {len(lines)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        f"<< /Title ({title}) >>",
    ]
    for n, line in enumerate(lines):
        content = f"BT /F1 12 Tf 72 700 Td ({line}) Tj ET"
        bodies.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {first_page + 2 * n + 1} 0 R"
            " /Resources << /Font << /F1 3 0 R >> >> >>"
        )
        bodies.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    bodies += [f"<< /FT /Tx /T ({name}) /V ({value}) >>" for name, value in (fields or {}).items()]
    data = b"%PDF-1.4\n"
    places: list[int] = []
    for number, body in enumerate(bodies, start=1):
        places.append(len(data))
        data += f"{number} 0 obj\n{body}\nendobj\n".encode()
    table = len(data)
    data += f"xref\n0 {len(bodies) + 1}\n0000000000 65535 f \n".encode()
    data += b"".join(f"{place:010d} 00000 n \n".encode() for place in places)
    trailer = f"trailer\n<< /Size {len(bodies) + 1} /Root 1 0 R /Info 4 0 R >>\nstartxref\n{table}\n%%EOF\n"
    return data + trailer.encode()


def word() -> bytes:
    """Return a Word document with a heading, a list and a table."""
    import docx

    document = docx.Document()
    document.core_properties.title = "Handbook"
    document.add_heading("Handbook", level=0)
    document.add_heading("Tea", level=2)
    document.add_paragraph("Boil water.")
    document.add_paragraph("green", style="List Bullet")
    table = document.add_table(rows=2, cols=2)
    for place, text in enumerate(("kind", "minutes", "green", "3")):
        table.cell(place // 2, place % 2).text = text
    document.add_paragraph("The end.")
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def excel(rows: int = 2) -> bytes:
    """Return a workbook with a sheet of cities, a hidden one and an empty one."""
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = "Cities"
    sheet.append(["city", "people", "since"])
    for number in range(rows):
        sheet.append([f"city {number}", number, date(2024, 1, 2)])
    book.create_sheet("Secret").sheet_state = "hidden"
    book.create_sheet("Empty")
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def repacked(data: bytes, change: Callable[[str, bytes], bytes]) -> bytes:
    """Return an archive in which each part is what `change(name, content)` makes of it."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            new.writestr(part, change(part, old.read(part)))
    return file.getvalue()


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return a file with some bytes changed, cut off, taken out or put in twice."""
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 8)):
        place = chance.randrange(len(changed) + 1)
        match chance.randrange(5):
            case 0:
                changed[place : place + 1] = bytes([chance.randrange(256)])
            case 1:
                del changed[place : place + chance.randrange(1, 200)]
            case 2:
                changed[place:place] = changed[place : place + chance.randrange(1, 200)]
            case 3:
                changed[place : place + 4] = chance.randbytes(4)
            case _:
                changed[place : place + 4] = b"\xff\xff\xff\x7f"
    return bytes(changed[: chance.randrange(len(changed) + 1)] if chance.random() < 0.1 else changed)


PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
HTML = b"""<!doctype html><html><head><title> A  page </title><style>p {}</style></head><body>
<nav>menu</nav><h1>One <b>two</b></h1><p>Some
  text&amp;more<br>next</p><ul><li>a</li><li>b</li></ul><pre>x
  y</pre><table><tr><th>k</th><td>v</td></tr></table><script>alert()</script></body></html>"""


def _read(data: bytes, name: str, limits: LoadLimits | None = None) -> tuple[list[Any], Done | Failed]:
    """Read bytes in this process, and return what was sent and how it ended."""
    sent: list[Any] = []
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        job = Job(name, os.path.splitext(name)[1].lower(), limits or LoadLimits())
        end = read_document(job, os.dup(file.fileno()), lambda answer: sent.append(read_answer(encode(answer))))
    assert isinstance(end, Done | Failed)
    return [item for item in sent if not isinstance(item, LoadProgress)], end


def _documents(data: bytes, name: str) -> list[AnyDocument]:
    documents, end = _read(data, name)
    assert end == Done()
    return documents


def test_pdf_pages_and_forms() -> None:
    """Each page is a document with its number; what is filled in comes as values at the end; progress is in pages."""
    known = {"source": "form.pdf", "title": "Report"}
    assert _documents(pdf(["First page.", "", "Third page."], {"name": "Ada", "born": "1815"}), "form.pdf") == [
        Document("First page.", {**known, "page": 1}),
        Document("Third page.", {**known, "page": 3}),
        DictionaryDocument({"name": "Ada", "born": "1815"}, {**known, "form": True}),
    ]


def test_html_is_what_a_reader_sees() -> None:
    """Headings, lists, lines and cells stay apart; scripts, styles and menus are left out."""
    (page,) = _documents(HTML, "page.html")
    assert isinstance(page, Document)
    assert page.metadata == {"source": "page.html", "title": "A  page"}
    assert page.content == "# One two\n\nSome text&more\nnext\n\n- a\n- b\n\nx\n  y\n\n| k | v"


def test_word_in_its_order() -> None:
    """Headings are Markdown, lists are lists, and tables stand where they stood."""
    before, table, after = _documents(word(), "a.docx")
    assert before == Document(
        "# Handbook\n\n## Tea\n\nBoil water.\n\n- green", {"source": "a.docx", "title": "Handbook"}
    )
    assert isinstance(table, TableDocument)
    assert (table.columns, table.rows) == (("kind", "minutes"), (("green", "3"),))
    assert isinstance(after, Document)
    assert after.content == "The end."


def test_excel_by_sheets_and_rows() -> None:
    """Sheets that are shown come in documents of 500 rows, with dates as text; hidden and empty ones do not."""
    first, second = _documents(excel(501), "a.xlsx")
    assert isinstance(first, TableDocument)
    assert isinstance(second, TableDocument)
    assert first.columns == second.columns == ("city", "people", "since")
    assert (len(first.rows), second.rows) == (500, (("city 500", 500, "2024-01-02 00:00:00"),))
    assert second.metadata == {"source": "a.xlsx", "sheet": "Cities", "first_row": 501}


def test_csv_finds_its_separator() -> None:
    """Commas, semicolons and tabs separate; quotes hold; empty rows are left out."""
    for name, data in (("a.csv", b'a;b\n\n"x;y";2\n'), ("b.csv", b'a,b\r\n"x;y",2'), ("c.tsv", b"a\tb\nx;y\t2")):
        (table,) = _documents(data, name)
        assert isinstance(table, TableDocument)
        assert (table.columns, table.rows) == (("a", "b"), (("x;y", "2"),))


def _with_part(name: str, content: bytes) -> bytes:
    return repacked(word(), lambda part, old: content if part == name else old)


def _bomb() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("word/document.xml", bytes(10_000_000))
    return file.getvalue()


ENTITIES = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'
SMALL = {
    "max_bytes": LoadLimits(max_bytes=100),
    "max_unpacked": LoadLimits(max_unpacked=1_000_000),
    "max_parts": LoadLimits(max_parts=3),
    "max_depth": LoadLimits(max_depth=50),
    "max_pages": LoadLimits(max_pages=2),
    "max_cells": LoadLimits(max_cells=100),
    "max_characters": LoadLimits(max_characters=100),
}


@pytest.mark.parametrize(
    ("data", "name", "limit"),
    [
        (bytes(101), "a.txt", "max_bytes"),
        (_bomb(), "bomb.docx", "max_unpacked"),
        (word(), "a.docx", "max_parts"),
        (b"<div>" * 51 + b"x", "deep.html", "max_depth"),
        (pdf(["x"] * 3), "a.pdf", "max_pages"),
        (excel(40), "a.xlsx", "max_cells"),
        (b"a,b\n" * 51, "a.csv", "max_cells"),
        (pdf(["x" * 60] * 2), "a.pdf", "max_characters"),
    ],
)
def test_what_is_too_large_says_so(data: bytes, name: str, limit: str) -> None:
    """Each limit ends the reading with an error that names it."""
    _, end = _read(data, name, SMALL[limit])
    assert isinstance(end, Failed)
    assert end.why == "too_large"
    assert f"{limit}=" in end.message


@pytest.mark.parametrize(
    ("data", "name", "why"),
    [
        (_with_part("word/document.xml", ENTITIES), "entities.docx", "refused"),
        (_with_part("word/styles.xml", ENTITIES.decode().encode("utf-16")), "utf16.docx", "refused"),
        (_with_part("word/document.xml", b"<x>" * 100_000), "deep.docx", "malformed"),
        (word()[:3000], "cut.docx", "malformed"),
        (b"PK\x05\x06" + bytes(18), "empty.xlsx", "malformed"),
        (word(), "other.xlsx", "malformed"),
        (b"%PDF-1.7\nnothing", "cut.pdf", "malformed"),
    ],
)
def test_what_is_wrong_says_so(data: bytes, name: str, why: str) -> None:
    """Bombs of entities, damaged files and files of another kind are typed errors."""
    _, end = _read(data, name)
    assert isinstance(end, Failed)
    assert end.why == why


def test_encrypted_files_are_refused() -> None:
    """A PDF with a password is an error that says what to do."""
    import pypdf

    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf(["secret"])))
    writer.encrypt("password", algorithm="RC4-128")
    file = io.BytesIO()
    writer.write(file)
    _, end = _read(file.getvalue(), "a.pdf")
    assert end == Failed("refused", "is encrypted; save it without a password")


@pytest.mark.parametrize(("data", "name"), [(word(), "a.docx"), (excel(), "a.xlsx")], ids=["word", "excel"])
def test_archives_with_encrypted_parts_are_refused(data: bytes, name: str) -> None:
    """An office document whose archive needs a password is refused before a part of it is read."""
    marked = bytearray(data)
    place = marked.index(b"PK\1\2")  # the first entry of the directory, whose flags say so
    marked[place + 8] |= 1
    _, end = _read(bytes(marked), name)
    assert end == Failed("refused", "is encrypted; save it without a password")


def test_a_table_may_stand_alone_and_a_document_be_long() -> None:
    """Without words around a table there is nothing but the table; progress is told every 500 parts."""
    import docx

    document: Any = docx.Document()
    document.add_table(rows=1, cols=1).cell(0, 0).text = "alone"
    for _ in range(500):
        document.add_paragraph("")
    file = io.BytesIO()
    document.save(file)
    sent: list[Any] = []
    with tempfile.TemporaryFile() as opened:
        opened.write(file.getvalue())
        opened.seek(0)
        read_document(Job("a.docx", ".docx", LoadLimits()), os.dup(opened.fileno()), sent.append)
    told = [read_answer(encode(answer)) for answer in sent]
    assert [item.done for item in told if isinstance(item, LoadProgress)] == [500]
    [table] = [item for item in told if not isinstance(item, LoadProgress)]
    assert isinstance(table, TableDocument)
    assert table.columns == ("alone",)


def test_forms_have_choices_and_gaps() -> None:
    """A field with several values has all of them, one without a value is left out, and a title is not needed."""
    import pypdf
    from pypdf.generic import ArrayObject, NameObject, TextStringObject

    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf(["x"], {"many": "a", "none": "b", "box": "c"}, title="")))
    catalogue: Any = writer.root_object
    many, none, box = (field.get_object() for field in catalogue["/AcroForm"]["/Fields"])
    many[NameObject("/V")] = ArrayObject([TextStringObject("a"), TextStringObject("b")])
    del none["/V"]
    box[NameObject("/V")] = NameObject("/Yes")
    file = io.BytesIO()
    writer.write(file)
    *_, form = _documents(file.getvalue(), "a.pdf")
    assert form == DictionaryDocument({"many": ["a", "b"], "box": "Yes"}, {"source": "a.pdf", "form": True})


def test_text_in_an_old_encoding_is_guessed() -> None:
    """What is no UTF-8 is read as Windows wrote it, and a sign that it has not is shown as such."""
    assert _documents(b"caf\xe9 \x81", "a.txt") == [Document("café \ufffd", {"source": "a.txt"})]


FILES = [
    (pdf(["Some text."] * 3, {"a": "b"}), "a.pdf"),
    (word(), "a.docx"),
    (excel(), "a.xlsx"),
    (HTML, "a.html"),
    (b'a;b\n"x;y";2\n', "a.csv"),
]


@pytest.mark.parametrize(("data", "name"), FILES, ids=[name for _, name in FILES])
def test_damaged_files_are_documents_or_typed_errors(data: bytes, name: str) -> None:
    """Whatever happens to the bytes of a file: documents or an error about it, never a crash of the loader."""

    async def main() -> None:
        chance = random.Random(name)
        async with ActorSystem("test") as system:
            loader = await system.spawn(Loader.spec(limits=LoadLimits(timeout=20.0)))
            for _ in range(40):
                result = await loader(data=mutated(data, chance), name=name)
                if result["status"] == "error":
                    kind = result["error"]["type"]
                    assert kind in {"DocumentMalformed", "DocumentTooLarge", "DocumentRefused"}, result

    anyio.run(main)


@pytest.mark.parametrize("options", [{"max_pages": 0}, {"timeout": float("inf")}, {"memory": 2**20}])
def test_senseless_limits_are_refused(options: dict[str, Any]) -> None:
    """A limit without a meaning is an error that names it."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        LoadLimits(**options)


@pytest.mark.parametrize(
    ("data", "name", "message"),
    [
        (b"a\0b", "a.txt", "zero byte at 1"),
        (b"<svg/>", "a.png", "is no picture"),
        (b"hello", "a.pdf", "does not begin with %PDF"),
        (b"a\n" + b"x" * 20, "a.csv", "is no table: field larger than field limit"),
        (b"not a zip", "a.docx", "is damaged, or not of its kind"),
    ],
)
def test_what_is_of_another_kind_says_so(data: bytes, name: str, message: str) -> None:
    """A file that is not what its name says is malformed, and the message says what is wrong."""
    _, end = _read(data, name, LoadLimits(max_characters=10))
    assert isinstance(end, Failed)
    assert (end.why, message in end.message) == ("malformed", True), end


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF....WEBPVP8 ", "image/webp"),
    ],
)
def test_pictures_are_told_by_their_first_bytes(data: bytes, kind: str) -> None:
    """The kind of a picture is what it is, whatever its name says."""
    assert _documents(data, "a.jpg") == [ImageDocument(data, kind, metadata={"source": "a.jpg"})]


@pytest.mark.parametrize(
    ("module", "data", "name"),
    [
        ("pypdf", pdf(["x"]), "a.pdf"),
        ("docx", word(), "a.docx"),
        ("openpyxl", excel(), "a.xlsx"),
        ("selectolax.lexbor", HTML, "a.html"),
    ],
)
def test_a_missing_package_says_how_to_install_it(
    module: str, data: bytes, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra, the answer is which package is missing."""
    monkeypatch.setitem(sys.modules, module, None)
    _, end = _read(data, name)
    assert isinstance(end, Failed)
    assert (end.why, "tinyllm_actors[documents]" in end.message) == ("missing", True)


def test_values_of_sheets_are_plain() -> None:
    """Times of day, days and durations in cells are text, numbers stay numbers."""
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["time", "for", "n"])
    sheet.append([time(12, 30), timedelta(hours=30), 1.5])
    file = io.BytesIO()
    book.save(file)
    (table,) = _documents(file.getvalue(), "a.xlsx")
    assert isinstance(table, TableDocument)
    assert table.rows == (("12:30:00", "1 day, 6:00:00", 1.5),)


def test_pages_of_any_shape() -> None:
    """A page without a body, without a title, or with a single text is read."""
    known = {"source": "a.html"}
    for data, content in ((b"", ""), (b"x", "x"), (b"<title></title><p>y", "y")):
        assert _documents(data, "a.html") == [Document(content, known)]
