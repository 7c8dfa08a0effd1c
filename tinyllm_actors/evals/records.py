"""What a run over a dataset found, as JSON lines that are written as it comes, so that a run can be resumed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import msgspec

from tinyllm_actors.errors import DatasetInvalid

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["EvalRun", "Record", "RecordLog", "RunHeader", "read_run"]

FORMAT = 1


class RunHeader(msgspec.Struct, frozen=True, tag="run", tag_field="kind"):
    """The first line of a file of results.

    Attributes:
        name: of the run.
        dataset: the name of the dataset.
        digest: tells its examples from others.
        examples: how many there are.
        repeats: how often each is run.
        evaluators: their names.
        started: seconds since the epoch.
        format: the version of the file's form.
        metadata: what the caller says of it, such as the model's name.
        dataset_id: by what a host that keeps the dataset knows it; None for one that no host keeps.
    """

    name: str
    dataset: str
    digest: str
    examples: int
    repeats: int
    evaluators: list[str]
    started: float
    format: int = FORMAT
    metadata: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    dataset_id: str | None = None

    @property
    def run_id(self) -> str:
        """What tells this run from all others, in 16 hexadecimal digits. A resumed run keeps it."""
        told = f"{self.name}\0{self.dataset}\0{self.digest}\0{self.started!r}"
        return hashlib.sha256(told.encode()).hexdigest()[:16]


class Record(msgspec.Struct, frozen=True, tag="record", tag_field="kind", omit_defaults=True):
    """One call of the target, and its scores.

    Attributes:
        example: the id of the example.
        repeat: which of the repeated runs, counted from 0.
        status: of the call.
        input: its arguments.
        output: what it answered.
        expected: what it should have answered.
        error: the message, if the call failed.
        evals: the scores by name.
        failed: evaluators that failed, and why. Those are no scores.
        comments: what evaluators say, by their names.
        latency: seconds of the call.
        tokens: of its model calls.
        cost: US dollars of these; None if a price is unknown.
        judge_tokens: tokens of the evaluators' model calls.
        judge_cost: US dollars of these; None if a price is unknown.
        trace_id: of the trace of call and evaluators, 32 hexadecimal digits; None if it was not traced.
        observation_id: of its root, 16 hexadecimal digits.
        trace_url: where a person can look at it.
    """

    example: str
    repeat: int
    status: Literal["success", "error"]
    input: Any = None
    output: Any = None
    expected: Any = None
    error: str | None = None
    evals: dict[str, float] = msgspec.field(default_factory=dict[str, float])
    failed: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    comments: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    latency: float = 0.0
    tokens: int = 0
    cost: float | None = None
    judge_tokens: int = 0
    judge_cost: float | None = None
    trace_id: str | None = None
    observation_id: str | None = None
    trace_url: str | None = None


class EvalRun(msgspec.Struct, frozen=True):
    """A run: its header, and a record for each example and repeat, in the order of the dataset where that is known.

    Attributes:
        header: what was run.
        records: what came of it.
    """

    header: RunHeader
    records: list[Record]

    @property
    def complete(self) -> bool:
        """Whether every example was run as often as was asked."""
        return len(self.records) == self.header.examples * self.header.repeats

    def scores(self, name: str) -> dict[str, list[float]]:
        """Return the scores of one name by example."""
        found: dict[str, list[float]] = {}
        for record in self.records:
            if name in record.evals:
                found.setdefault(record.example, []).append(record.evals[name])
        return found


_BEGINNING = b'{"kind":"run",'
_LINE = msgspec.json.Decoder(RunHeader | Record)


def read_run(path: str | os.PathLike[str]) -> EvalRun:
    """Return what a file of results holds. A last line that was cut off when the process ended does not count.

    Of several records of one example and repeat the last counts. It reads the file: call it in a worker thread.

    Raises:
        DatasetInvalid: it cannot be read, or is no file of results.
    """
    return _read(Path(path))[0]


def _read(path: Path) -> tuple[EvalRun, int]:
    """Return the run, and how many bytes of the file are whole lines."""
    header: RunHeader | None = None
    records: dict[tuple[str, int], Record] = {}
    whole = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if not line.endswith(b"\n"):
                    break
                entry = _decoded(line, path, number)
                whole += len(line)
                if isinstance(entry, RunHeader):
                    header = header or entry
                else:
                    records[entry.example, entry.repeat] = entry
    except OSError as error:
        raise DatasetInvalid(str(path), None, f"cannot be read: {error.strerror}") from error
    if header is None:
        raise DatasetInvalid(str(path), 1, "this is no file of results: it does not begin with what was run")
    if header.format > FORMAT:
        raise DatasetInvalid(str(path), 1, f"form {header.format} is newer than this library reads ({FORMAT})")
    return EvalRun(header, list(records.values())), whole


def _decoded(line: bytes, path: Path, number: int) -> RunHeader | Record:
    try:
        return _LINE.decode(line)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise DatasetInvalid(str(path), number, f"no result of a run: {error}") from error


def _has_line(path: Path) -> bool:
    """Whether a file holds anything but the beginning of a header.

    Raises:
        DatasetInvalid: it holds the beginning of something else.
    """
    if not path.exists():
        return False
    with path.open("rb") as file:
        first = file.readline(len(_BEGINNING))
    if first and not _BEGINNING.startswith(first):
        raise DatasetInvalid(str(path), 1, "this is no file of results: it does not begin with what was run")
    with path.open("rb") as file:
        return b"\n" in file.readline()


class RecordLog:
    """Appends the records of a run to a file, one line each, and knows those of an earlier, interrupted run.

    Every line is handed to the operating system at once: a killed process loses what was not finished, and no more.

    Args:
        path: the file; None keeps the records in memory only.
        header: of this run.
        retry_errors: run those again whose call or evaluation failed.

    Raises:
        DatasetInvalid: the file holds the results of something else.
    """

    def __init__(self, path: Path | None, header: RunHeader, *, retry_errors: bool = False) -> None:
        self.header = header
        self.done: dict[tuple[str, int], Record] = {}
        self._file: BinaryIO | None = None
        if path is None:
            return
        if _has_line(path):
            self._resume(path, retry_errors)
        else:  # a new file, or one of a program that was killed while it wrote the first line
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb", buffering=0)
            self._file.write(msgspec.json.encode(header) + b"\n")

    def _resume(self, path: Path, retry_errors: bool) -> None:
        run, whole = _read(path)
        for field in ("digest", "evaluators", "repeats"):
            ours, theirs = getattr(self.header, field), getattr(run.header, field)
            if ours != theirs:
                raise DatasetInvalid(
                    str(path), 1, f"holds a run with {field} {theirs!r}, not {ours!r}; give another file, or remove it"
                )
        self.header = run.header
        self.done = {
            (record.example, record.repeat): record
            for record in run.records
            if not (retry_errors and (record.status == "error" or record.failed))
        }
        self._file = path.open("r+b", buffering=0)
        self._file.truncate(whole)
        self._file.seek(whole)

    def append(self, record: Record) -> None:
        """Write a record; in a worker thread."""
        self.done[record.example, record.repeat] = record
        if self._file is not None:
            self._file.write(msgspec.json.encode(record) + b"\n")

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def run(self, order: Sequence[str]) -> EvalRun:
        """Return what there is, by the order of the examples."""
        place = {example: index for index, example in enumerate(order)}
        records = sorted(self.done.values(), key=lambda record: (place[record.example], record.repeat))
        return EvalRun(self.header, records)
