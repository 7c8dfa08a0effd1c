"""Which sentence cites what, and which quotes are true."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm_actors.retrieval import check_citations

TEA = "Boil the water – then wait for three minutes, at least. Green tea is bitter when it's old."
SOURCES = [("a", TEA), ("b", "Coffee needs 92 °C.")]


def test_marks_belong_to_the_sentence_before_them() -> None:
    """A mark counts for its sentence, inside of it, at its end, or after its full stop; several in any form."""
    report = check_citations("Water boils. [1] Coffee [2] too! [1, 2; 9]\n\nNothing here. It [1][2] ends", SOURCES)
    assert [(s.text, s.source_ids, s.unknown) for s in report.sentences] == [
        ("Water boils. [1]", ("a",), ()),
        ("Coffee [2] too! [1, 2; 9]", ("b", "a"), (9,)),
        ("Nothing here.", (), ()),
        ("It [1][2] ends", ("a", "b"), ()),
    ]
    assert (report.cited_ids, report.unknown, report.uncited) == (("a", "b"), (9,), ("Nothing here.",))
    assert not report.valid


def test_quotes_are_true_whatever_the_signs() -> None:
    """White space, case, dashes, quotation marks and a full stop of the answer's own make no quote false."""
    for quote in (
        '"boil  the water - then WAIT"',
        "“for three minutes, at least.”",
        "„wait for three minutes“",
        "«tea is bitter when it’s old»",
        '"three minutes, at least. Green tea is bitter"',
    ):
        report = check_citations(f"It says {quote} [1].", SOURCES)
        assert report.valid, quote
        (checked,) = report.sentences[0].quotes
        assert (checked.source_id, checked.score) == ("a", 1.0)


def test_quotes_must_be_in_what_their_sentence_cites() -> None:
    """A true quote under another number, without one, or with other words is false; short ones are no quotes."""
    for answer in (
        'It says "wait for three minutes" [2].',
        'It says "wait for three minutes".',
        'It says "wait for thirty minutes or more" [1].',
        'It says ". , ; :" [1].',
    ):
        report = check_citations(answer, SOURCES)
        assert len(report.false_quotes) == 1, answer
        assert not report.valid
    assert check_citations('The "so called" tea [1].', SOURCES).valid


def test_a_letter_in_twenty_may_differ_with_rapidfuzz(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quote with a slip is true and scores below 1; not if word for word is asked for, or nothing compares."""
    answer = 'It says "boil the water then wait for three minutes, at leest" [1].'
    (checked,) = check_citations(answer, SOURCES, min_score=0.9).sentences[0].quotes
    assert checked.source_id == "a"
    assert 0.9 < checked.score < 1.0
    assert check_citations(answer, SOURCES, min_score=1.0).false_quotes
    monkeypatch.setitem(sys.modules, "rapidfuzz.fuzz", None)
    assert check_citations(answer, SOURCES, min_score=0.9).false_quotes


def test_a_short_source_has_no_long_quote() -> None:
    """A quote of which a source is only a part is false, though all of the source is in it."""
    assert check_citations('"one two three four five" [1]', [("a", "two three")]).false_quotes


def test_numbers_may_be_given() -> None:
    """Sources that have numbers keep them."""
    report = check_citations("So it is [7] or [1].", {7: ("x", "so")})
    assert (report.cited_ids, report.unknown) == (("x",), (1,))


def test_marks_alone_are_no_sentence() -> None:
    """An empty answer, or one of marks only, has no sentences and is not valid."""
    for answer in ("", "[1]", " . "):
        report = check_citations(answer, SOURCES)
        assert (report.sentences, report.valid) == ((), False)


@given(st.text(st.sampled_from('ab "“”[]1,2.!\n ') | st.characters(), max_size=200))
def test_any_answer_can_be_checked(answer: str) -> None:
    """Whatever a model says: sentences are where they say, in order, and no source is made up."""
    report = check_citations(answer, SOURCES)
    end = 0
    for sentence in report.sentences:
        assert answer[sentence.start : sentence.end].strip() == sentence.text
        assert sentence.start >= end
        end = sentence.end
    assert set(report.cited_ids) <= {"a", "b"}


@given(st.integers(0, 60), st.integers(20, 40))
def test_what_is_copied_is_true(start: int, size: int) -> None:
    """Any part of a source, quoted under its number, is a true quote."""
    part = TEA[start : start + size].replace("“", "").replace("”", "")
    text = TEA.replace("“", "").replace("”", "")
    assert not check_citations(f'It says "{part}" [1].', [("a", text)]).false_quotes


@pytest.mark.parametrize("answer", ["[" * 100_000, "[1" * 50_000, '"' + "a " * 50_000, "[1] " * 25_000, "“" * 100_000])
def test_hostile_answers_take_no_longer(answer: str) -> None:
    """Answers made to be slow to match are checked at once."""
    check_citations(answer, SOURCES)
