"""The approximate index that more than one store can build."""

from __future__ import annotations

from dataclasses import dataclass

from tinyllm_actors.errors import ConfigurationError

__all__ = ["Hnsw"]


@dataclass(frozen=True, slots=True)
class Hnsw:
    """A graph of neighbours: fast and near exact to search, slow to build.

    ```python
    >>> Hnsw().m
    16

    ```

    Args:
        m: neighbours of each row, 2 to 100. If in doubt, 16.
        ef_construction: candidates while it is built, at least `2 * m`, up to 1000. More is better and slower.

    Raises:
        ConfigurationError: a number is out of range.

    Source: Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using Hierarchical Navigable
    Small World graphs", 2018.
    """

    m: int = 16
    ef_construction: int = 64

    def __post_init__(self) -> None:
        if not (2 <= self.m <= 100 and 2 * self.m <= self.ef_construction <= 1000):
            raise ConfigurationError(
                f"need m from 2 to 100 and ef_construction from 2 * m to 1000, got {self.m!r} and"
                f" {self.ef_construction!r}"
            )
