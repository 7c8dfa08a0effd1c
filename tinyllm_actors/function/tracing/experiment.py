"""What ties the observations of an evaluated call to the example and the run that it is part of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ExperimentItem"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentItem:
    """One example of one run over a dataset. `evaluate` makes it, and observations inside of one have it too.

    Attributes:
        run_id: of the run; the same when it is resumed.
        run: what the run is called.
        run_metadata: what is said of the run.
        dataset: what the dataset is called.
        dataset_id: by what a host that keeps the dataset knows it; None for one that no host keeps.
        item: the id of the example.
        item_metadata: what is said of the example.
        expected: the right answer.
        root: number of the observation that is the whole call: target and evaluators.
    """

    run_id: str
    run: str
    run_metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    dataset: str
    dataset_id: str | None = None
    item: str = ""
    item_metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    expected: Any = None
    root: int = 0
