"""What a tool's process and its parent say to each other: frames of msgpack, each after its length."""

from __future__ import annotations

import struct
from typing import Any, Final, Literal, TypeAlias

import msgspec

__all__ = [
    "LENGTH",
    "MAX_FRAME",
    "Answer",
    "Began",
    "Done",
    "Failed",
    "Job",
    "Report",
    "frame",
    "read_answer",
    "read_job",
]

LENGTH: Final = struct.Struct(">I")
MAX_FRAME = 64 * 2**20
"""Bytes of one frame."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One call to run.

    Attributes:
        main: how to load the parent's main module, if it has one.
        module: where the function is.
        name: its qualified name there.
        kind: what calling it gives.
        injected: the parameters that take the context.
        context: the fields of the `ToolContext`, but for what belongs to the parent.
        seconds: until the deadline.
        memory: bytes of address space.
        cpu: seconds of processor time.
        arguments: the values by parameter, pickled.
    """

    main: tuple[str, str] | None
    module: str
    name: str
    kind: Literal["sync", "async", "generator", "async_generator"]
    injected: tuple[str, ...]
    context: dict[str, Any]
    seconds: float | None
    memory: int | None
    cpu: float | None
    arguments: bytes


class Began(msgspec.Struct, frozen=True, tag_field="what", tag=True, array_like=True):
    """The job arrived; from here on the function may have run."""


class Report(msgspec.Struct, frozen=True, tag_field="what", tag=True, array_like=True):
    """Progress, as JSON."""

    data: bytes


class Done(msgspec.Struct, frozen=True, tag_field="what", tag=True, array_like=True):
    """The result: text as it is, bytes as they are, anything else as JSON."""

    form: Literal["text", "bytes", "json"]
    data: bytes


class Failed(msgspec.Struct, frozen=True, tag_field="what", tag=True, array_like=True):
    """The function raised.

    Attributes:
        kind: `"retry"` asks the model to try again, `"exit"` tried to end the process.
        type_name: the class of the exception.
        message: what it says.
        trace: its traceback.
        spoilt: the process is not to be used again.
    """

    kind: Literal["error", "retry", "exit"]
    type_name: str
    message: str
    trace: str
    spoilt: bool


Answer: TypeAlias = Began | Report | Done | Failed

_encoder = msgspec.msgpack.Encoder()
_answers = msgspec.msgpack.Decoder(Answer)
_jobs = msgspec.msgpack.Decoder(Job)


def frame(message: Answer | Job) -> bytes:
    """Return a message as it is sent.

    Raises:
        ValueError: it is longer than `MAX_FRAME`.
    """
    body = _encoder.encode(message)
    if len(body) > MAX_FRAME:
        raise ValueError(f"{len(body):,} bytes cannot cross to or from a tool's process; {MAX_FRAME:,} can")
    return LENGTH.pack(len(body)) + body


def read_answer(body: bytes) -> Answer:
    """Return what a process said.

    Raises:
        msgspec.DecodeError: it is nonsense.
    """
    return _answers.decode(body)


def read_job(body: bytes) -> Job:
    """Return the call that the parent sent."""
    return _jobs.decode(body)
