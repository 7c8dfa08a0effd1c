"""Which texts go into one request. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["batches"]


def batches(texts: Iterable[str], *, max_texts: int, max_characters: int) -> Iterator[list[str]]:
    """Yield `texts` in lists of at most `max_texts`, and of at most `max_characters` where they hold more than one.

    ```python
    >>> list(batches(["aa", "bb", "cc", "d" * 9], max_texts=2, max_characters=6))
    [['aa', 'bb'], ['cc'], ['ddddddddd']]

    ```
    """
    batch: list[str] = []
    size = 0
    for text in texts:
        if batch and (len(batch) == max_texts or size + len(text) > max_characters):
            yield batch
            batch, size = [], 0
        batch.append(text)
        size += len(text)
    if batch:
        yield batch
