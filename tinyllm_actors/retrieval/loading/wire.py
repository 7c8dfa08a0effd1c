"""What a reading process and its parent say to each other: frames of msgpack, each after its length."""

from __future__ import annotations

import struct
from typing import Final, Literal, TypeAlias

import msgspec

from tinyllm_actors.retrieval.document import DictionaryDocument, Document, ImageDocument, TableDocument
from tinyllm_actors.retrieval.loading.limits import LoadLimits
from tinyllm_actors.retrieval.loading.reading import LoadProgress

__all__ = ["LENGTH", "MAX_FRAME", "Answer", "Done", "Failed", "Job", "encode", "read_answer", "read_job"]

LENGTH: Final = struct.Struct(">I")
MAX_FRAME: Final = 256 * 2**20
"""Bytes of one frame."""


class Job(msgspec.Struct, frozen=True):
    """One document to read; its open file comes with the length of this.

    Attributes:
        source: what errors call it.
        suffix: of its name.
        limits: what it may take.
    """

    source: str
    suffix: str
    limits: LoadLimits


class Done(msgspec.Struct, frozen=True, tag="done", tag_field="kind"):
    """All of it is read."""


class Failed(msgspec.Struct, frozen=True, tag="failed", tag_field="kind"):
    """It cannot be read.

    Attributes:
        why: the class of the error; `memory` spoils the process.
        message: what it says.
    """

    why: Literal["malformed", "too_large", "refused", "missing", "memory"]
    message: str


# Flat, so that one decoder reads any of them.
Answer: TypeAlias = Document | DictionaryDocument | TableDocument | ImageDocument | LoadProgress | Done | Failed

_encoder = msgspec.msgpack.Encoder(enc_hook=str)
_answers = msgspec.msgpack.Decoder(Answer)
_jobs = msgspec.msgpack.Decoder(Job)


def encode(message: Answer | Job) -> bytes:
    """Return a message as it is sent, without its length."""
    return _encoder.encode(message)


def read_answer(body: bytes) -> Answer:
    """Return what a process said.

    Raises:
        msgspec.DecodeError: it is nonsense.
    """
    return _answers.decode(body)


def read_job(body: bytes) -> Job:
    """Return the document that the parent wants read."""
    return _jobs.decode(body)
