"""What may not go into a vector store: it is refused here, by name, the same for every store."""

from __future__ import annotations

import math
import re
from array import array
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, cast, get_args

from tinyllm_actors.errors import CollectionConflict, DimensionMismatch, InputRejected, VectorRejected
from tinyllm_actors.retrieval.rows import Metric, Sealed, digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tinyllm_actors.retrieval.rows import Metadata, Row

__all__ = [
    "MAX_METADATA_BYTES",
    "MAX_NAME_BYTES",
    "check_same",
    "checked_ids",
    "checked_k",
    "checked_metric",
    "checked_name",
    "checked_shape",
    "checked_text",
    "checked_vector",
    "opened",
    "sealed",
    "words_of",
]

MAX_DIMENSIONS: Final = 16_000
MAX_ID_BYTES: Final = 1024
MAX_NAME_BYTES: Final = 256
MAX_TEXT_BYTES: Final = 1024 * 1024
MAX_KEYS: Final = 256
MAX_METADATA_BYTES: Final = 64 * 1024
MAX_K: Final = 10_000
MAX_WORDS: Final = 64
MAX_COMPONENT: Final = 1e15
"""Squares of larger numbers, summed, leave the range of single precision; no embedding is near."""

_WORD: Final = re.compile(r"[^\W_]+")


def checked_text(text: object, what: str, max_bytes: int, *, empty: bool = False) -> str:
    """Return a text that every store can keep.

    Raises:
        InputRejected: it is no text, is empty, too long, or holds NUL or half a surrogate pair.
    """
    if not isinstance(text, str) or not (text or empty):
        raise InputRejected(f"{what} must be a text that is not empty, not {text!r}")
    # Cheap for the long ones: a text has at least as many bytes as characters.
    if len(text) > max_bytes or (not text.isascii() and len(text.encode("utf-8", "replace")) > max_bytes):
        raise InputRejected(
            f"{what} has {len(text)} characters, more than fit into {max_bytes} bytes; shorten it: {text[:40]!r}…"
        )
    if "\0" in text:
        raise InputRejected(f"{what} holds a NUL at {text.index(chr(0))}, which no database keeps: {text[:80]!r}")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InputRejected(f"{what} holds half a surrogate pair at {error.start}: {text[:80]!r}") from None
    return text


def checked_name(name: object) -> str:
    """Return the name of a collection.

    Raises:
        InputRejected: it cannot be one.
    """
    return checked_text(name, "the name of a collection", MAX_NAME_BYTES)


def checked_metric(metric: object) -> Metric:
    """Return a metric.

    Raises:
        InputRejected: there is no such metric.
    """
    if metric not in get_args(Metric):
        raise InputRejected(f"no metric {metric!r}; there are {get_args(Metric)!r}")
    return cast("Metric", metric)


def checked_shape(name: object, dimensions: object, metric: object) -> tuple[str, int, Metric]:
    """Return what a collection is to be.

    Raises:
        InputRejected: something of it cannot be.
    """
    if not isinstance(dimensions, int) or isinstance(dimensions, bool) or not 1 <= dimensions <= MAX_DIMENSIONS:
        raise InputRejected(f"dimensions must be a whole number from 1 to {MAX_DIMENSIONS}, not {dimensions!r}")
    return checked_name(name), dimensions, checked_metric(metric)


def check_same(name: str, known: tuple[int, str], wanted: tuple[int, str]) -> None:
    """Check that a collection that is there has the shape that is wanted: dimensions and metric.

    Raises:
        CollectionConflict: it has not.
    """
    if known != wanted:
        raise CollectionConflict(
            f"collection {name!r} has {known[0]} dimensions and metric {known[1]!r}, not {wanted[0]!r} and"
            f" {wanted[1]!r}; drop it first, or choose another name",
            keys=(name,),
        )


def checked_ids(ids: Iterable[object]) -> list[str]:
    """Return ids, each once, in their order. One that no row can have is left out, as nothing has it.

    Raises:
        InputRejected: it is one text, where many ids are meant, or holds something that is no text.
    """
    if isinstance(ids, str):
        raise InputRejected(f"ids must be several, not the text {ids[:80]!r}; write [{ids[:80]!r}]")
    found: dict[str, None] = {}
    for id in ids:
        if not isinstance(id, str):
            raise InputRejected(f"an id must be a text, not {id!r}")
        if "\0" not in id and len(id) <= MAX_ID_BYTES and not any("\ud800" <= sign <= "\udfff" for sign in id):
            found[id] = None
    return [*found]


def checked_k(k: object) -> int:
    """Return how many hits are wanted.

    Raises:
        InputRejected: it is no number from 1 to 10,000.
    """
    if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= MAX_K:
        raise InputRejected(f"k must be a whole number from 1 to {MAX_K}, not {k!r}")
    return k


def checked_vector(vector: object, dimensions: int, metric: Metric, what: str = "the vector") -> array[float]:
    """Return a vector in single precision.

    Raises:
        DimensionMismatch: it has another length.
        VectorRejected: it holds something that is no finite number, or too large a one, or has no direction where the
            metric is cosine.
    """
    try:
        numbers: array[float]
        if isinstance(vector, array) and vector.typecode == "f":
            numbers = cast("array[float]", vector)
        else:
            numbers = array("f", cast("Iterable[float]", vector))
    except (TypeError, ValueError, OverflowError) as error:
        raise VectorRejected(f"{what} must be a sequence of numbers: {error}") from None
    if len(numbers) != dimensions:
        raise DimensionMismatch(what, len(numbers), dimensions)
    # The length alone, in a quarter of the time, tells that nearly every vector is as it should be.
    length = math.hypot(*numbers)
    if not math.isfinite(length):
        place = next(place for place, number in enumerate(numbers) if not math.isfinite(number))
        raise VectorRejected(f"{what} holds {numbers[place]!r} at {place}; all must be finite")
    if dimensions / MAX_COMPONENT <= length <= MAX_COMPONENT:
        return numbers
    largest = max(max(numbers), -min(numbers))
    if largest > MAX_COMPONENT:
        raise VectorRejected(f"{what} holds a number of size {largest!r}; at most {MAX_COMPONENT:g} can be compared")
    if metric == "cosine" and largest < 1 / MAX_COMPONENT:
        raise VectorRejected(f"{what} is zero and has no direction; metric 'cosine' needs one, 'dot' and 'l2' do not")
    return numbers


def opened(metadata: bytes | str) -> Metadata:
    """Return metadata as it was given, from JSON."""
    return _decoder().decode(metadata)


@lru_cache(maxsize=1)
def _decoder() -> Any:
    from msgspec.json import Decoder

    return Decoder(dict[str, object])


def _is_scalar(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return value is None or isinstance(value, str)


def checked_metadata(metadata: object, what: str) -> bytes:
    """Return metadata as JSON.

    Raises:
        InputRejected: a key or a value cannot be kept by every store.
    """
    import msgspec.json

    if not metadata:
        return b"{}"
    if not isinstance(metadata, dict):
        raise InputRejected(f"{what} must be a dict, not {metadata!r}")
    entries = cast("dict[object, object]", metadata)
    if len(entries) > MAX_KEYS:
        raise InputRejected(f"{what} has {len(entries)} keys; at most {MAX_KEYS} are kept")
    for key, value in entries.items():
        checked_text(key, f"a key of {what}", MAX_NAME_BYTES)
        several = isinstance(value, list | tuple)
        for item in cast("Sequence[object]", value) if several else (value,):
            if not _is_scalar(item):
                raise InputRejected(
                    f"{what}[{key!r}] holds {item!r}; values are strings, finite numbers of at most 64 bits, booleans,"
                    " None, or lists of these"
                )
            if isinstance(item, str):
                checked_text(item, f"{what}[{key!r}]", MAX_METADATA_BYTES, empty=True)
    encoded = msgspec.json.encode(entries)
    if len(encoded) > MAX_METADATA_BYTES:
        raise InputRejected(f"{what} takes {len(encoded)} bytes as JSON; at most {MAX_METADATA_BYTES} are kept")
    return encoded


def sealed(rows: Iterable[Row], dimensions: int, metric: Metric) -> list[Sealed]:
    """Return rows as they are to be stored: of several with one id or one text, the last.

    Raises:
        InputRejected: a row cannot be stored; the message says which and why.
    """
    by_id: dict[str, Sealed] = {}
    by_text: dict[bytes, Sealed] = {}
    for place, row in enumerate(rows):
        what = f"rows[{place}]"
        text = checked_text(row.text, f"{what}.text", MAX_TEXT_BYTES)
        entry = Sealed(
            checked_text(row.id, f"{what}.id", MAX_ID_BYTES),
            digest(text),
            text,
            checked_metadata(row.metadata, f"{what}.metadata"),
            checked_vector(row.vector, dimensions, metric, f"{what}.vector"),
        )
        if (old := by_id.pop(entry.id, None)) is not None:
            del by_text[old.digest]
        if (twin := by_text.pop(entry.digest, None)) is not None:
            del by_id[twin.id]
        by_id[entry.id] = by_text[entry.digest] = entry
    return list(by_id.values())


def words_of(text: str) -> list[str]:
    r"""Return the words of a query, in lower case, each once, at most 64 of them.

    ```python
    >>> words_of("The cat's \"hat\" OR the_mat")
    ['the', 'cat', 's', 'hat', 'or', 'mat']

    ```

    Raises:
        InputRejected: it is no text.
    """
    checked_text(text, "the query", MAX_TEXT_BYTES)
    words = dict.fromkeys(match[0] for match in _WORD.finditer(text[:10_000].lower()))
    return [word for word in words if len(word) <= 100][:MAX_WORDS]
