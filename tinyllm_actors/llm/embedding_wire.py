"""Read embeddings in OpenAI's wire form, which nearly everybody speaks. Pure: no I/O."""

from __future__ import annotations

import base64
import binascii
import sys
from array import array
from typing import TYPE_CHECKING

import msgspec

from tinyllm_actors.errors import MalformedResponse
from tinyllm_actors.llm.embedding import Embeddings
from tinyllm_actors.llm.wire import usage_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinyllm_actors.llm.embedding import Vector

__all__ = ["WireEmbeddings", "convert_embeddings", "decode_embeddings", "embeddings_from_wire"]


class WireEmbedding(msgspec.Struct):
    """One row: numbers, or little-endian float32 as Base64; `index` says whose text it is of."""

    embedding: list[float] | str
    index: int | None = None


class WireEmbeddings(msgspec.Struct):
    """A whole answer; `error` stands in place of one where a proxy answers 200 in spite of it."""

    data: list[WireEmbedding] | None = None
    model: object = None
    usage: object = None
    error: object = None


_decoder = msgspec.json.Decoder(WireEmbeddings)


def decode_embeddings(data: bytes) -> WireEmbeddings:
    """Return the answer that JSON text holds.

    Raises:
        msgspec.DecodeError: it is no JSON, or of another shape.
        UnicodeDecodeError: it is no text.
    """
    return _decoder.decode(data)


def convert_embeddings(value: Mapping[str, object]) -> WireEmbeddings:
    """Return the answer that a dictionary holds.

    Raises:
        msgspec.ValidationError: it is of another shape.
    """
    return msgspec.convert(value, WireEmbeddings)


def embeddings_from_wire(answer: WireEmbeddings, model: str) -> Embeddings:
    """Return the rows in the order of the texts, whichever order they came in.

    Args:
        answer: what came.
        model: the name for errors and, if the provider gives none, for the answer.

    Raises:
        MalformedResponse: there are no rows, two of one text, one of a text that was not sent, or one that is no
            Base64.
    """
    data = answer.data
    if data is None:
        raise MalformedResponse(f"{model}: the provider's answer holds no embeddings", model=model)
    rows: list[Vector | None] = [None] * len(data)
    for place, row in enumerate(data):
        index = place if row.index is None else row.index
        if not 0 <= index < len(rows) or rows[index] is not None:
            raise MalformedResponse(
                f"{model}: the provider's answer has a vector for text {index} that is one too many; "
                f"there are {len(rows)}",
                model=model,
            )
        rows[index] = _vector(row.embedding, model)
    said = answer.model
    return Embeddings(
        [row for row in rows if row is not None],
        said if isinstance(said, str) and said else model,
        usage_of(answer.usage),
    )


def _vector(value: list[float] | str, model: str) -> Vector:
    if not isinstance(value, str):
        return array("f", value)
    vector: Vector = array("f")
    try:
        vector.frombytes(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError) as error:
        raise MalformedResponse(f"{model}: a vector is neither numbers nor Base64 of float32: {error}") from error
    if sys.byteorder == "big":
        vector.byteswap()
    return vector
