"""Evaluators that compare: exactly, by pattern, and by structure. They cost nothing and are never wrong about it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec

from tinyllm_actors.errors import ConfigurationError, EvaluationFailed
from tinyllm_actors.evals.evaluator import Evaluator
from tinyllm_actors.evals.reading import answer_of, text_of

__all__ = ["ExactMatch", "JsonMatch", "RegexMatch"]

_SPACE = re.compile(r"\s+")
MAX_SUBJECT = 100_000


def expected_of(evaluator: Evaluator, given: Any) -> Any:
    """Return what an answer is compared with.

    Raises:
        EvaluationFailed: nobody said what to expect.
    """
    if given is not None:
        return given
    if evaluator.trial is not None and evaluator.trial.example.expected is not None:
        return evaluator.trial.example.expected
    raise EvaluationFailed(
        f"{evaluator.name} has nothing to compare with: give expected=, or score a dataset that does"
    )


def folded(text: str) -> str:
    """Return text as it is compared: compatible characters alike, no matter the case, blanks at once, no full stop."""
    return _SPACE.sub(" ", unicodedata.normalize("NFKC", text)).strip().rstrip(".!").casefold()


class ExactMatch(Evaluator):
    """Scores `exact_match` 1 if the answer is the expected text, else 0.

    ```python
    >>> from tinyllm_actors import run
    >>> from tinyllm_actors.evals import ExactMatch
    >>> run(ExactMatch.spec("January 1st"), input={}, output={"answer": "january  1st."}, error=None)["output"]
    {'evals': {'exact_match': 1.0}}

    ```

    Args:
        expected: the text, or several that are all right; left out, that of the example.
        strict: every character counts; else not the case, nor blanks, nor a full stop at the end.
        **options: of `Evaluator`.
    """

    def __init__(self, expected: Any = None, *, strict: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self._expected = expected
        self._strict = strict

    async def run(self, input: Any, output: Any, error: Any) -> Any:
        """Compare."""
        answer = answer_of(output)
        expected = expected_of(self, self._expected)
        right = cast("Sequence[Any]", expected) if isinstance(expected, list | tuple) else [expected]
        fold = str if self._strict else folded
        return {"evals": {"exact_match": float(fold(answer) in {fold(text_of(value)) for value in right})}}


class RegexMatch(Evaluator):
    r"""Scores `regex_match` 1 if the answer holds the pattern, else 0.

    ```python
    >>> from tinyllm_actors import run
    >>> from tinyllm_actors.evals import RegexMatch
    >>> run(RegexMatch.spec(r"\bJan(uary)?\b"), input={}, output="On January 1st", error=None)["output"]
    {'evals': {'regex_match': 1.0}}

    ```

    Args:
        pattern: what to look for in the first 100,000 characters; left out, the expected text of the example. It is
            yours: a pattern that takes exponential time takes it.
        whole: the whole answer has to fit.
        flags: of `re`.
        **options: of `Evaluator`.

    Raises:
        ConfigurationError: it is no pattern.
    """

    def __init__(self, pattern: str | None = None, *, whole: bool = False, flags: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self._flags = flags
        self._whole = whole
        self._pattern = pattern
        if pattern is not None:
            self._compiled(pattern)

    def _compiled(self, pattern: str) -> re.Pattern[str]:
        try:
            return re.compile(pattern, self._flags)
        except re.error as error:
            raise ConfigurationError(f"{pattern!r} is no regular expression: {error}") from None

    async def run(self, input: Any, output: Any, error: Any) -> Any:
        """Look for it."""
        pattern = self._compiled(str(expected_of(self, self._pattern)))
        answer = answer_of(output)[:MAX_SUBJECT]
        found = pattern.fullmatch(answer) if self._whole else pattern.search(answer)
        return {"evals": {"regex_match": float(found is not None)}}


class JsonMatch(Evaluator):
    """Scores how much of an expected JSON value an answer has.

    `json_valid` is 1 if the answer is JSON, or a value already; `json_match` the share of the expected values (the
    leaves) that the answer has in the same place; `json_exact` 1 if it has all of them and no others.

    ```python
    >>> from tinyllm_actors import run
    >>> from tinyllm_actors.evals import JsonMatch
    >>> spec = JsonMatch.spec({"city": "Ulm", "people": 126000})
    >>> run(spec, input={}, output='{"city": "Ulm", "people": 1}', error=None)["output"]
    {'evals': {'json_valid': 1.0, 'json_match': 0.5, 'json_exact': 0.0}}

    ```

    Args:
        expected: the value, or its JSON text; left out, that of the example.
        **options: of `Evaluator`.
    """

    def __init__(self, expected: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self._expected = expected

    async def run(self, input: Any, output: Any, error: Any) -> Any:
        """Compare."""
        expected = expected_of(self, self._expected)
        if isinstance(expected, str):
            try:
                expected = msgspec.json.decode(expected)
            except msgspec.DecodeError:
                raise EvaluationFailed(f"the expected value is no JSON: {expected[:80]!r}") from None
        try:
            found: object = msgspec.json.decode(answer_of(output))
        except (msgspec.DecodeError, RecursionError):
            return {"evals": {"json_valid": 0.0, "json_match": 0.0, "json_exact": 0.0}}
        wanted, had = _leaves(expected), _leaves(found)
        same = sum(path in had and _alike(value, had[path]) for path, value in wanted.items())
        exact = same == len(wanted) == len(had)
        return {"evals": {"json_valid": 1.0, "json_match": same / len(wanted), "json_exact": float(exact)}}


def _alike(one: object, other: object) -> bool:
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _leaves(value: object) -> dict[tuple[Any, ...], object]:
    """Return the values without values in them, by where they are; of an empty container, the container."""
    found: dict[tuple[Any, ...], object] = {}
    open_nodes: list[tuple[tuple[Any, ...], object]] = [((), value)]
    while open_nodes:
        path, node = open_nodes.pop()
        items: list[tuple[Any, object]] = []
        if isinstance(node, Mapping):
            items = list(cast("Mapping[Any, object]", node).items())
        elif isinstance(node, list | tuple):
            items = list(enumerate(cast("Sequence[object]", node)))
        if items:
            open_nodes.extend(((*path, key), inner) for key, inner in items)
        else:
            found[path] = node
    return found
