"""What benchmarks share: rounds that take turns, medians, ratios to a floor of the same round, and one table.

A rate is per second of CPU time of this process, all its threads together, so that a busy machine changes it little.
A ratio is the median of the ratios of the rounds, not the ratio of two medians: what disturbs a round disturbs both.
"""

from __future__ import annotations

import gc
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

__all__ = ["FLOOR", "OURS", "Case", "Goal", "Result", "measure", "per_cpu_second", "render"]

FLOOR = "floor"
OURS = "tinyllm"

cpu = time.process_time


def per_cpu_second(count: int, started: float) -> float:
    """Return `count` per second of CPU time since `started`, a reading of `time.process_time()`."""
    return count / max(cpu() - started, 1e-9)


@dataclass(frozen=True, slots=True)
class Goal:
    """What a case must reach; every bound that is set counts.

    Args:
        ratio: the least ratio to the floor.
        peers: the least ratio to each named peer.
        at_least: the least value.
        below: what the value must stay under.
    """

    ratio: float | None = None
    peers: Mapping[str, float] = field(default_factory=dict[str, float])
    at_least: float | None = None
    below: float | None = None

    def __str__(self) -> str:
        parts: list[str] = []
        if self.ratio is not None:
            parts.append(f"≥ {self.ratio:g}×")
        parts += [f"≥ {ratio:g}× {peer}" for peer, ratio in self.peers.items()]
        if self.at_least is not None:
            parts.append(f"≥ {self.at_least:,.0f}")
        if self.below is not None:
            parts.append(f"≤ {self.below:,g}")
        return ", ".join(parts)


NO_GOAL = Goal()


@dataclass(frozen=True, slots=True)
class Case:
    """One thing that is measured.

    Args:
        name: the row of the table.
        unit: of the values.
        subjects: who is measured, and how: each callable runs once and returns one value.
        goal: what `OURS` must reach.
        rounds: how often, if not as often as all others.
    """

    name: str
    unit: str
    subjects: Mapping[str, Callable[[], Awaitable[float]]]
    goal: Goal = NO_GOAL
    rounds: int | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The values of one case, a list for each subject, in the order of the rounds."""

    case: Case
    values: Mapping[str, Sequence[float]]

    def median(self, subject: str) -> float | None:
        """Return the median of a subject's values, None where it was not measured."""
        values = self.values.get(subject)
        return statistics.median(values) if values else None

    def ratio(self, other: str) -> float | None:
        """Return how many times what `other` reaches ours is."""
        ours, theirs = self.values.get(OURS, ()), self.values.get(other, ())
        ratios = [mine / its for mine, its in zip(ours, theirs, strict=False) if its]
        return statistics.median(ratios) if ratios else None

    def reached(self) -> bool | None:
        """Whether the goal is reached; None without a goal. A peer that was not measured proves nothing."""
        goal, value = self.case.goal, self.median(OURS)
        checks: list[bool] = []
        if goal.ratio is not None:
            checks.append((self.ratio(FLOOR) or 0.0) >= goal.ratio)
        for peer, least in goal.peers.items():
            ratio = self.ratio(peer)
            if ratio is not None:
                checks.append(ratio >= least)
        if value is not None and goal.at_least is not None:
            checks.append(value >= goal.at_least)
        if value is not None and goal.below is not None:
            checks.append(value <= goal.below)
        return all(checks) if checks else None

    def as_dict(self) -> dict[str, object]:
        """Return it as plain data, for machines."""
        return {
            "case": self.case.name,
            "unit": self.case.unit,
            "median": {subject: self.median(subject) for subject in self.values},
            "ratio": {subject: self.ratio(subject) for subject in self.values if subject != OURS},
            "values": {subject: list(values) for subject, values in self.values.items()},
            "goal": str(self.case.goal),
            "reached": self.reached(),
        }


async def measure(cases: Sequence[Case], rounds: int, progress: Callable[[str], None]) -> list[Result]:
    """Measure every case `rounds` times, all subjects of a case one after another in each round."""
    values: list[dict[str, list[float]]] = [{subject: [] for subject in case.subjects} for case in cases]
    for number in range(rounds):
        for case, found in zip(cases, values, strict=True):
            if number >= (rounds if case.rounds is None else case.rounds):
                continue
            progress(f"round {number + 1} of {rounds}: {case.name}")
            for subject, run in case.subjects.items():
                gc.collect()
                gc.freeze()  # else everybody would pay for the modules that the largest peer imports
                found[subject].append(await run())
                gc.unfreeze()
    return [Result(case, found) for case, found in zip(cases, values, strict=True)]


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"


def render(title: str, results: Sequence[Result]) -> str:
    """Return the results as a table of text."""
    peers = sorted({name for result in results for name in result.values} - {FLOOR, OURS})
    head = ["", "unit", FLOOR, OURS, "ratio", "goal", "", *peers]
    rows = [head]
    for result in results:
        ratio = result.ratio(FLOOR)
        mark = {True: "yes", False: "NO", None: ""}[result.reached()]
        row = [result.case.name, result.case.unit, _number(result.median(FLOOR)), _number(result.median(OURS))]
        row += ["–" if ratio is None else f"{ratio:.2f}×", str(result.case.goal), mark]
        for peer in peers:
            against = result.ratio(peer)
            row.append("–" if against is None else f"{_number(result.median(peer))} ({against:.1f}×)")
        rows.append(row)
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [title]
    for number, row in enumerate(rows):
        cells = [
            cell.ljust(width) if column in {0, 1, 5, 6} else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
        if number == 0:
            lines.append("  ".join("─" * width for width in widths))
    return "\n".join(lines)
