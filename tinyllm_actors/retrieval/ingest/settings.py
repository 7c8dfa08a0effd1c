"""The settings of an ingest."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.retrieval.chunking import Chunker
from tinyllm_actors.retrieval.loading import FORMATS, LoadLimits

__all__ = ["IngestSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestSettings:
    """See `Ingest`."""

    root: str
    chunker: Chunker = field(default_factory=Chunker)
    chunkers: Mapping[str, Chunker] = field(default_factory=dict[str, Chunker])
    suffixes: frozenset[str] = frozenset(FORMATS)
    limits: LoadLimits = field(default_factory=LoadLimits)
    concurrency: int = 2
    batch: int = 128
    max_files: int = 1_000_000
    max_depth: int = 32

    def __post_init__(self) -> None:
        for name in ("concurrency", "batch", "max_files", "max_depth"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name}={getattr(self, name)!r} must be at least 1")
        for suffix in sorted(self.suffixes | set(self.chunkers)):
            if suffix not in FORMATS:
                raise ConfigurationError(f"nothing reads files named {suffix!r}; there are {', '.join(FORMATS)}")

    def chunker_of(self, path: str) -> Chunker:
        """Return the chunker for a file, by the suffix of its name."""
        return self.chunkers.get(os.path.splitext(path)[1].lower(), self.chunker)
