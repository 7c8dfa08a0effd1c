"""What goes into a vector store, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from array import array
    from collections.abc import Mapping, Sequence

__all__ = ["Collection", "Hit", "Metadata", "MetadataValue", "Metric", "Row", "Scalar", "Sealed", "digest"]

Metric: TypeAlias = Literal["cosine", "dot", "l2"]
Scalar: TypeAlias = "str | int | float | bool | None"
MetadataValue: TypeAlias = "Scalar | Sequence[Scalar]"
Metadata: TypeAlias = "Mapping[str, MetadataValue]"


@dataclass(frozen=True, slots=True)
class Row:
    """A text with its vector.

    ```python
    >>> Row("A cat.", [0.6, 0.8], {"animal": "cat"}).id == Row("A cat.", [1.0, 0.0]).id
    True
    >>> Row("A cat.", [0.6, 0.8], id="cats/1").id
    'cats/1'

    ```

    Attributes:
        text: the text; a collection holds no text twice.
        vector: `dimensions` finite floats, kept with single precision.
        metadata: flat: values are strings, numbers, booleans, None, or lists of these.
        id: what it is known by; a digest of the text where none is given.
    """

    text: str
    vector: Sequence[float]
    metadata: Metadata = field(default_factory=dict[str, MetadataValue])
    id: str = ""

    def __post_init__(self) -> None:
        if not self.id:
            object.__setattr__(self, "id", digest(self.text).hex())


@dataclass(frozen=True, slots=True)
class Hit:
    """A row that was found.

    ```python
    >>> Hit("1", "A cat.", {}, score=0.9).score
    0.9

    ```

    Attributes:
        id: of the row.
        text: of the row.
        metadata: of the row.
        score: higher is better; what it means is said by whoever made it (see `VectorStore.search`).
        vector: of the row, where it was asked for.
    """

    id: str
    text: str
    metadata: Metadata
    score: float
    vector: Sequence[float] | None = None


@dataclass(frozen=True, slots=True)
class Collection:
    """What there is to say about a collection.

    ```python
    >>> Collection("notes", dimensions=256, metric="cosine", count=0).metric
    'cosine'

    ```

    Attributes:
        name: any text of at most 256 bytes.
        dimensions: the length of its vectors.
        metric: how near two of them are, unless a search says otherwise.
        count: rows in it.
    """

    name: str
    dimensions: int
    metric: Metric
    count: int


@dataclass(frozen=True, slots=True)
class Sealed:
    """A row that was checked.

    Attributes:
        id: of the row.
        digest: 16 bytes that stand for its text.
        text: the text.
        metadata: as JSON.
        vector: single precision.
    """

    id: str
    digest: bytes
    text: str
    metadata: bytes
    vector: array[float]


def digest(text: str) -> bytes:
    """Return 16 bytes that stand for a text."""
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
