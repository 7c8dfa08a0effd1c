"""How documents are cut into chunks, and what their ids promise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.retrieval import (
    Chunk,
    Chunker,
    DictionaryDocument,
    Document,
    TableDocument,
    chunk_changes,
    chunk_id,
    estimate_size,
)
from tinyllm_actors.retrieval.chunking.chunker import By
from tinyllm_actors.retrieval.chunking.spans import blocks, lines, paragraphs, sections, sentences, words

WAYS: list[By] = ["tokens", "sentences", "headings", "code"]
texts = st.text(st.sampled_from("ab é🙂.!?\n #`\t"), max_size=300) | st.text(max_size=100)


def _chunks(text: str, **options: object) -> list[Chunk]:
    return list(Chunker(**options).chunks("s", [Document(text)]))  # type: ignore[arg-type]


@given(texts, st.sampled_from(WAYS), st.integers(8, 60), st.integers(0, 30))
def test_chunks_cover_the_text_and_are_small(text: str, by: By, max_tokens: int, overlap: int) -> None:
    """Whatever the text: each chunk is what stands at its place, none too large, nothing but white space lost."""
    found = _chunks(text, by=by, max_tokens=max_tokens, overlap=min(overlap, max_tokens // 2))
    covered = [False] * len(text)
    for chunk in found:
        assert text[chunk.start : chunk.end] == chunk.text
        assert chunk.text.strip()
        assert estimate_size(chunk.text) <= max_tokens
        covered[chunk.start : chunk.end] = [True] * (chunk.end - chunk.start)
    assert all(known or char.isspace() for known, char in zip(covered, text, strict=True))
    assert [chunk.start for chunk in found] == sorted(chunk.start for chunk in found)


@given(texts)
def test_cuts_touch_and_cover(text: str) -> None:
    """Each way to cut returns spans that touch and cover the part."""
    for cut in (words, sentences, paragraphs, lines, blocks):
        spans = cut(text, 0, len(text))
        assert "".join(text[start:end] for start, end in spans) == text
    assert "".join(text[slice(*span)] for span, _ in sections(text)) == text


def test_headings_are_known_and_never_crossed() -> None:
    """A chunk knows the headings above it; fenced code has none; closing marks are no part of a name."""
    text = "# A #\none\n```sh\n# no heading\n```\n### B\ntwo\n## C#\nthree\n#no\n~~~\n# x\n```\n# y\n~~~\n#\nend"
    found = [(c.headings, c.text.split("\n")[-1]) for c in _chunks(text, max_tokens=64, overlap=0)]
    assert found == [(("A",), "```"), (("A", "B"), "two"), (("A", "C#"), "~~~"), (("",), "end")]


def test_an_overlap_repeats_whole_sentences() -> None:
    """A chunk begins with the last sentences before it, as many as the overlap allows, not in the middle of one."""
    text = "One one one. Two two. Three three three. Four."
    found = [c.text for c in _chunks(text, by="sentences", max_tokens=32, overlap=10, count=len)]
    assert found == ["One one one. Two two.", "Two two. Three three three.", "Four."]


def test_code_is_cut_between_blocks() -> None:
    """Functions that fit stay whole, and keep the indentation of their first line where they do not."""
    text = "def f():\n    return 1\n\n\ndef g():\n    x = 1\n\n    y = 2\n"
    found = [c.text for c in _chunks(text, by="code", max_tokens=23, overlap=0, count=len)]
    assert found == ["def f():\n    return 1", "def g():\n    x = 1", "    y = 2"]


def test_a_word_longer_than_a_chunk_is_cut() -> None:
    """No text is too long, not even one without spaces."""
    assert [c.text for c in _chunks("x" * 20, max_tokens=8, overlap=0, count=len)] == ["x" * 8, "x" * 8, "x" * 4]


@pytest.mark.parametrize("by", WAYS)
def test_cutting_takes_time_in_proportion(by: By) -> None:
    """The characters that are counted grow with the text, not with its square."""

    def work(size: int) -> int:
        looked = 0

        def count(text: str) -> int:
            nonlocal looked
            looked += len(text)
            return len(text) // 4

        assert _chunks("word and. another\n" * size, by=by, max_tokens=64, overlap=8, count=count)
        return looked

    assert work(4_000) < 6 * work(1_000)


@pytest.mark.parametrize("text", ["." * 300_000, "# " + " " * 300_000 + "x", '."' * 150_000, " \n" * 150_000 + "x"])
def test_hostile_texts_take_no_longer(text: str) -> None:
    """Texts made to be slow to match are cut at once (with the square of their length it would be minutes)."""
    assert sentences(text, 0, len(text))
    assert sections(text)
    assert blocks(text, 0, len(text))


def test_tables_are_cut_between_rows_with_their_columns() -> None:
    """Each chunk of a table has the header and the names of the columns, and each row is in one chunk."""
    table = TableDocument(("city", "people"), tuple((f"city {n}", n) for n in range(20)), header="[table]")
    found = list(Chunker(max_tokens=64, overlap=16).chunks("s", [table]))
    assert len(found) > 1
    for chunk in found:
        assert chunk.text.startswith("[table]\n| city | people |\n| --- | --- |\n| city ")
        assert estimate_size(chunk.text) <= 64
    rows = [row for chunk in found for row in chunk.text.splitlines()[3:]]
    assert rows == [f"| city {n} | {n} |" for n in range(20)]


def test_tables_of_any_shape_are_cut() -> None:
    """Names that are longer than a chunk are not repeated; a table without rows, or not shown, is text."""
    wide = TableDocument(("x" * 300,), (("1",), ("2",)))
    assert [c.text.strip() for c in Chunker(max_tokens=16, overlap=0).chunks("s", [wide])][-1].endswith("| 2 |")
    for table in (TableDocument(("a",), ()), TableDocument((), ()), TableDocument(("a",), ((1,),), include_keys=())):
        text = table.to_text()
        assert [c.text for c in Chunker().chunks("s", [table])] == ([text] if text else [])


def test_records_are_cut_between_lines() -> None:
    """A dictionary's values stay whole where they fit."""
    record = DictionaryDocument({f"key{n}": "some words" for n in range(6)})
    found = [c.text.splitlines() for c in Chunker(max_tokens=16, overlap=0).chunks("s", [record])]
    assert [line for part in found for line in part] == record.to_text().splitlines()


def test_ids_stay_while_the_text_does() -> None:
    """The same text has the same id wherever it moves; a change touches its own section only."""
    before = _chunks("# A\none\n# B\ntwo\n# C\nthree\n")
    after = _chunks("# New\nzero\n# A\none\n# B\nchanged\n# C\nthree\n")
    changes = chunk_changes([chunk.id for chunk in before], after)
    assert [chunk.text for chunk in changes.added] == ["# New\nzero", "# B\nchanged"]
    assert changes.removed == (before[1].id,)
    assert changes.kept == 2


def test_ids_are_of_the_text_alone() -> None:
    """The same text is the same chunk at every source, and another text is another one."""
    one, two = (next(iter(Chunker().chunks(source, [Document("same")]))) for source in ("one", "two"))
    assert one.id == two.id == chunk_id("same") != chunk_id("Same")


def test_the_fingerprint_tells_settings_apart() -> None:
    """What changes chunks changes the fingerprint."""
    chunkers = [Chunker(), Chunker(by="code"), Chunker(max_tokens=99), Chunker(overlap=1), Chunker(count=len)]
    assert len({chunker.fingerprint for chunker in chunkers}) == 5
    assert Chunker().fingerprint == Chunker().fingerprint


@pytest.mark.parametrize("options", [{"by": "pages"}, {"max_tokens": 7}, {"overlap": -1}, {"overlap": 129}])
def test_senseless_settings_are_refused(options: dict[str, object]) -> None:
    """A setting that has no meaning is an error that names it."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        Chunker(**options)  # type: ignore[arg-type]


def test_a_character_that_is_too_long_is_a_chunk() -> None:
    """Where a single character has more tokens than a chunk may have, it is one all the same."""

    def count(text: str) -> int:
        return 9 * len(text)

    assert [c.text for c in _chunks("ab", max_tokens=8, overlap=0, count=count)] == ["a", "b"]
