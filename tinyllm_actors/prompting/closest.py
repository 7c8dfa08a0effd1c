"""Which of some texts a model meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinyllm_actors.errors import ConfigurationError, MissingDependency

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Match", "closest_matches"]


@dataclass(frozen=True, slots=True)
class Match:
    """A text that is like another.

    Attributes:
        text: as it was given.
        index: its place among those that were given.
        score: how alike they are: 0 for not at all, 100 for the same but for case and white space.
    """

    text: str
    index: int
    score: float


def closest_matches(text: str, choices: Sequence[str], k: int = 1, *, min_score: float = 60.0) -> list[Match]:
    """Return the choices that are the most like a text, the best first; of equals the first.

    For what a model wrote and did not spell as it was told: a name, a heading, a quotation.

    ```python
    >>> from tinyllm_actors.prompting import closest_matches
    >>> [match.text for match in closest_matches("Customer adress", ["Customer address", "Customer name", "Order"])]
    ['Customer address']
    >>> closest_matches("zebra", ["Customer address"])
    []

    ```

    Args:
        text: what is looked for.
        choices: to choose from.
        k: how many to return at most.
        min_score: what is less alike is left out.

    Raises:
        MissingDependency: rapidfuzz is not installed.
        ConfigurationError: `k` is below 1, or `min_score` not between 0 and 100.
    """
    if k < 1 or not 0 <= min_score <= 100:
        raise ConfigurationError(f"need k >= 1 and 0 <= min_score <= 100, got {k!r} and {min_score!r}")
    try:
        from rapidfuzz import fuzz, process
    except ImportError as error:
        raise MissingDependency("closest_matches needs rapidfuzz: pip install 'tinyllm_actors[prompting]'") from error
    found = process.extract(
        _plain(text), [_plain(choice) for choice in choices], scorer=fuzz.ratio, limit=None, score_cutoff=min_score
    )
    found.sort(key=lambda entry: (-entry[1], entry[2]))
    return [Match(choices[index], index, round(score, 1)) for _, score, index in found[:k]]


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
