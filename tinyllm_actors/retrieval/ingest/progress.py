"""What an ingest tells while it runs, and at its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

__all__ = ["IngestProgress", "IngestStatus", "Tally"]

IngestStatus: TypeAlias = Literal["indexed", "unchanged", "failed", "skipped", "removed"]

MAX_FAILURES: Final = 100
"""Failures that a report names; all are counted, and all are told while they happen."""


@dataclass(frozen=True, slots=True)
class IngestProgress:
    """One source is done.

    Attributes:
        source: which one.
        status: what became of it.
        done: how many sources are, with this one.
        total: how many there are; None while that is being found out.
        added: its chunks that were new to the index.
        removed: chunks that the index forgot with the batch that this source ended.
        message: why it failed or was skipped.
    """

    source: str
    status: IngestStatus
    done: int
    total: int | None
    added: int = 0
    removed: int = 0
    message: str = ""


@dataclass(slots=True)
class Tally:
    """Counts what becomes of sources and chunks."""

    total: int | None = None
    added: int = 0
    removed: int = 0
    counts: dict[IngestStatus, int] = field(default_factory=dict[IngestStatus, int])
    failures: list[dict[str, str]] = field(default_factory=list[dict[str, str]])

    @property
    def done(self) -> int:
        """How many sources are done."""
        return sum(self.counts.values())

    def count(
        self, source: str, status: IngestStatus, *, added: int = 0, removed: int = 0, message: str = ""
    ) -> IngestProgress:
        """Count one source, and return what to tell of it."""
        self.counts[status] = self.counts.get(status, 0) + 1
        if status == "failed" and len(self.failures) < MAX_FAILURES:
            self.failures.append({"source": source, "message": message})
        return IngestProgress(source, status, self.done, self.total, added, removed, message)

    def report(self) -> dict[str, Any]:
        """Return the output of the call."""
        statuses: tuple[IngestStatus, ...] = ("indexed", "unchanged", "failed", "skipped", "removed")
        return {
            **{status: self.counts.get(status, 0) for status in statuses},
            "chunks_added": self.added,
            "chunks_removed": self.removed,
            "failures": self.failures,
        }
