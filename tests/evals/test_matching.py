"""Evaluators that compare, against pairs with known scores."""

from __future__ import annotations

from typing import Any

import pytest

from tinyllm_actors import run
from tinyllm_actors.errors import ConfigurationError, EvaluationFailed
from tinyllm_actors.evals import ExactMatch, JsonMatch, Passage, RegexMatch
from tinyllm_actors.evals.reading import answer_of, passages_of, question_of, text_of


def scored(spec: Any, output: Any) -> Any:
    """Return the scores that an evaluator gives, or its message."""
    result = run(spec, input={"content": "?"}, output=output, error=None)
    return result["output"]["evals"] if result["status"] == "success" else result["message"]


@pytest.mark.parametrize(
    ("expected", "answer", "score"),
    [
        ("January 1st", "January 1st", 1.0),
        ("January 1st", "  january\n1ST. ", 1.0),
        ("January 1st", "January 2nd", 0.0),
        (["yes", "true"], "True", 1.0),
        (("yes", "true"), "no", 0.0),
        ("ﬁve", "five", 1.0),
        (5, "5", 1.0),
        ({"a": 1}, '{"a":1}', 1.0),
        ("", "", 1.0),
    ],
)
def test_exact_match(expected: Any, answer: str, score: float) -> None:
    """Case, blanks, width and a full stop at the end do not matter; all else does."""
    assert scored(ExactMatch.spec(expected), {"answer": answer}) == {"exact_match": score}


def test_strict_exact_match() -> None:
    """Strictly, every character counts."""
    assert scored(ExactMatch.spec("a", strict=True), "A") == {"exact_match": 0.0}
    assert scored(ExactMatch.spec("a", strict=True), "a") == {"exact_match": 1.0}


@pytest.mark.parametrize(
    ("spec", "answer", "score"),
    [
        (RegexMatch.spec(r"\d{4}"), "in 1879", 1.0),
        (RegexMatch.spec(r"\d{4}"), "in 79", 0.0),
        (RegexMatch.spec(r"\d{4}", whole=True), "in 1879", 0.0),
        (RegexMatch.spec("ulm", flags=2), "ULM", 1.0),
        (RegexMatch.spec("x"), "a" * 100_000 + "x", 0.0),
    ],
)
def test_regex_match(spec: Any, answer: str, score: float) -> None:
    """The pattern is looked for anywhere, or has to be the whole; beyond 100,000 characters nobody looks."""
    assert scored(spec, answer) == {"regex_match": score}


def test_a_broken_pattern_is_refused_at_once() -> None:
    """A pattern that is none is told when the evaluator is made."""
    with pytest.raises(ConfigurationError, match="no regular expression"):
        RegexMatch("(")


@pytest.mark.parametrize(
    ("expected", "answer", "valid", "match", "exact"),
    [
        ({"a": 1, "b": [1, 2]}, '{"b": [1, 2], "a": 1.0}', 1.0, 1.0, 1.0),
        ({"a": 1, "b": [1, 2]}, {"a": 1, "b": [1]}, 1.0, 2 / 3, 0.0),
        ({"a": 1}, '{"a": 1, "more": 2}', 1.0, 1.0, 0.0),
        ({"a": True}, '{"a": 1}', 1.0, 0.0, 0.0),
        ({"a": {}}, '{"a": {}}', 1.0, 1.0, 1.0),
        ('{"a": 1}', '{"a": 1}', 1.0, 1.0, 1.0),
        ([], "[]", 1.0, 1.0, 1.0),
        ({"a": 1}, "it is 1", 0.0, 0.0, 0.0),
        ({"a": 1}, "[" * 100_000, 0.0, 0.0, 0.0),
    ],
)
def test_json_match(expected: Any, answer: Any, valid: float, match: float, exact: float) -> None:
    """Scores count the leaves that are where they should be; the order of keys does not matter."""
    output = answer if isinstance(answer, str) else {"value": answer}
    found = scored(JsonMatch.spec(expected), output)
    assert found == {"json_valid": valid, "json_match": match, "json_exact": exact}


def test_nothing_to_compare_with_is_a_failure() -> None:
    """Without anything expected there is no score."""
    assert "nothing to compare with" in scored(ExactMatch.spec(), "a")
    assert "no JSON" in scored(JsonMatch.spec("{"), "{}")


@pytest.mark.parametrize(
    ("output", "answer"),
    [
        ("a", "a"),
        ({"answer": "b"}, "b"),
        ({"response": "c"}, "c"),
        ({"response": {"choices": [{"message": {"content": None}}]}}, ""),
        ({"x": 1, "a": 2}, '{"a":2,"x":1}'),
        (7, "7"),
    ],
)
def test_answers_are_found(output: Any, answer: str) -> None:
    """The text of an answer is found in every usual shape, and is JSON where there is none."""
    assert answer_of(output) == answer


@pytest.mark.parametrize("output", [None, {"response": {"choices": []}}])
def test_no_answer_is_a_failure(output: Any) -> None:
    """An output without an answer cannot be scored."""
    with pytest.raises(EvaluationFailed):
        answer_of(output)


def test_questions_and_other_values() -> None:
    """A question is the text of the call; what is no text is JSON, and what is no JSON its `str`."""
    assert question_of("Why?") == "Why?"
    assert question_of({"a": 1}) == '{"a":1}'
    cycle: list[Any] = []
    cycle.append(cycle)
    assert text_of(cycle) == "[[...]]"
    assert "Passage" in text_of({"x": {"y": object}}) or "object" in text_of({"x": object})


class _Hit:
    def __init__(self) -> None:
        self.document = Passage("inner", "d1")


def test_passages_are_found() -> None:
    """Texts, dictionaries and objects, nested ones too, are passages; anything else is a failure."""
    found = passages_of({"chunks": ["a", {"content": "b", "id": 3}, _Hit(), Passage("c")]})
    assert found == [Passage("a"), Passage("b", "3"), Passage("inner", "d1"), Passage("c")]
    with pytest.raises(EvaluationFailed, match="no text"):
        passages_of({"chunks": [7]})
    with pytest.raises(EvaluationFailed, match="no list"):
        passages_of({"chunks": "text"})
    with pytest.raises(EvaluationFailed, match="no list"):
        passages_of("text")
