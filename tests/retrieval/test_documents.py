"""Documents and how they look to a model."""

from __future__ import annotations

import msgspec
import pytest

from tinyllm_actors.retrieval import AnyDocument, DictionaryDocument, Document, ImageDocument, TableDocument


@pytest.mark.parametrize(
    "document",
    [
        Document("text", {"page": 3}, "[doc]", ("page", "content")),
        DictionaryDocument({"a": 1, "b": [1, 2]}, {"source": "s"}),
        TableDocument(("x", "y"), ((1, None), ("a", 2.5))),
        ImageDocument(b"\x89PNG\x00\xff", "image/png", "a cat"),
    ],
    ids=["text", "dictionary", "table", "image"],
)
def test_documents_can_be_stored(document: AnyDocument) -> None:
    """Each kind comes back from its JSON as what it was."""
    data = msgspec.json.encode(document)
    assert msgspec.json.decode(data, type=AnyDocument) == document


def test_keys_select_and_order_what_is_shown() -> None:
    """The model sees the named keys only, in their order, and nothing for what is not there."""
    document = Document("text", {"secret": "x", "page": 3, "tags": ["a"]}, "[doc]", ("tags", "content", "page", "gone"))
    assert document.to_text() == '[doc]\ntags: ["a"]\ntext\npage: 3'


def test_a_picture_is_shown_by_its_description() -> None:
    """Where the model sees words only, a picture is what was said of it."""
    picture = ImageDocument(b"\x89PNG", "image/png", "a cat", {"page": 3}, "[picture]", ("content", "page"))
    assert picture.to_text() == "[picture]\na cat\npage: 3"


def test_a_dictionary_shows_all_or_what_is_named() -> None:
    """Without keys the whole content is shown and no metadata; a key may name metadata, and content comes first."""
    content, metadata = {"a": 1, "b": None}, {"a": 2, "source": "s"}
    assert DictionaryDocument(content, metadata, "[row]").to_text() == "[row]\na: 1\nb: null"
    assert DictionaryDocument(content, metadata, include_keys=("source", "a")).to_text() == "source: s\na: 1"


def test_cells_stay_in_their_row() -> None:
    """Line breaks and bars in cells do not make new rows or columns; short rows are filled, long ones widen all."""
    table = TableDocument(("a", "b"), (("1\n2", "x|y"), (1,), (1, 2, "\\")), header="T")
    assert table.to_text().splitlines() == [
        "T",
        "| a | b |  |",
        "| --- | --- | --- |",
        "| 1 2 | x\\|y |  |",
        "| 1 |  |  |",
        "| 1 | 2 | \\\\ |",
    ]
    assert TableDocument((), ()).to_text() == ""


def test_what_json_cannot_say_is_shown_as_text() -> None:
    """A value of another type does not break the rendering."""
    assert Document("", {"x": 1 + 2j}, include_keys=("x",)).to_text() == 'x: "(1+2j)"'
