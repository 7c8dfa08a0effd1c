"""Put small parts of a text together into large ones that are not too large."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinyllm_actors.retrieval.chunking.spans import Cut, Span
    from tinyllm_actors.retrieval.sizing import Count

__all__ = ["overlapped", "packed"]


def packed(text: str, part: Span, cuts: Sequence[Cut], max_tokens: int, count: Count) -> list[Span]:
    """Return spans that touch and cover `part`, each of at most `max_tokens`, as long as they can be.

    A span ends where the first of `cuts` says; what is too long between two such places is cut by the next one.

    ```python
    >>> from tinyllm_actors.retrieval.chunking.spans import sentences, words
    >>> text = "One. Two. Three and four. "
    >>> [text[start:end] for start, end in packed(text, (0, len(text)), (sentences, words), 10, len)]
    ['One. Two. ', 'Three and ', 'four. ']

    ```

    Args:
        text: the whole text.
        part: what of it.
        cuts: from the best to the last; the last one makes parts that are never too long.
        max_tokens: of one span.
        count: how many tokens a text has.
    """
    start, end = part
    if start == end:
        return []
    if count(text[start:end]) <= max_tokens:
        return [part]
    atoms = cuts[0](text, start, end)
    found: list[Span] = []
    place = 0
    while place < len(atoms):
        many = _as_many(text, atoms, place, max_tokens, count)
        if many:
            found.append((atoms[place][0], atoms[place + many - 1][1]))
            place += many
        elif len(cuts) > 1:
            found += packed(text, atoms[place], cuts[1:], max_tokens, count)
            place += 1
        else:
            found.append(atoms[place])
            place += 1
    return found


def overlapped(text: str, span: Span, floor: int, cut: Cut, overlap: int, max_tokens: int, count: Count) -> Span:
    """Return the span with up to `overlap` tokens of what is before it, from where `cut` says, not from before `floor`.

    ```python
    >>> from tinyllm_actors.retrieval.chunking.spans import words
    >>> overlapped("one two three", (8, 13), 0, words, 4, 20, len)
    (4, 13)

    ```
    """
    start, end = span
    if not overlap or floor >= start:
        return span
    starts = [first for first, _ in cut(text, floor, start)]
    place = bisect_left(
        starts,
        True,
        key=lambda first: count(text[first:start]) <= overlap and count(text[first:end]) <= max_tokens,
    )
    return (starts[place], end) if place < len(starts) else span


def _as_many(text: str, atoms: Sequence[Span], place: int, max_tokens: int, count: Count) -> int:
    """Return how many atoms from `place` fit together; looked for by halves, as counting is what takes time."""
    start = atoms[place][0]

    def fits(many: int) -> bool:
        return count(text[start : atoms[place + many - 1][1]]) <= max_tokens

    rest = len(atoms) - place
    if not fits(1):
        return 0
    known, step = 1, 2
    while step <= rest and fits(step):
        known, step = step, step * 2
    low, high = known, min(step - 1, rest)
    while low < high:
        middle = (low + high + 1) // 2
        if fits(middle):
            low = middle
        else:
            high = middle - 1
    return low
