"""Plots as SVG, drawn here: a report needs no other program, and no network."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.evals.statistics import Interval

__all__ = ["histogram", "interval_plot"]

WIDTH = 640
LABEL = 190
RIGHT = 150


def interval_plot(rows: Sequence[tuple[str, Interval]], *, low: float = 0.0, high: float = 1.0) -> str:
    """Return a plot of means with their intervals, one line each, on one scale.

    Args:
        rows: labels and intervals.
        low: the left end of the scale.
        high: the right end.
    """
    height = 26 * len(rows) + 30
    span = (high - low) or 1.0

    def at(value: float) -> float:
        return LABEL + (min(max(value, low), high) - low) / span * (WIDTH - LABEL - RIGHT)

    parts = [_open(height, "means with confidence intervals")]
    for step in range(5):
        value = low + span * step / 4
        x = at(value)
        parts.append(f'<line class="grid" x1="{x:.1f}" y1="6" x2="{x:.1f}" y2="{height - 24}"/>')
        parts.append(f'<text class="tick" x="{x:.1f}" y="{height - 8}" text-anchor="middle">{value:.3g}</text>')
    for index, (label, interval) in enumerate(rows):
        y = 20 + 26 * index
        parts.append(f'<text x="{LABEL - 10}" y="{y + 4}" text-anchor="end">{escape(_short(label))}</text>')
        ends = f'x1="{at(interval.low):.1f}" x2="{at(interval.high):.1f}"'
        parts.append(f'<line class="whisker" {ends} y1="{y}" y2="{y}"/>')
        parts += [
            f'<line class="whisker" x1="{at(end):.1f}" x2="{at(end):.1f}" y1="{y - 5}" y2="{y + 5}"/>'
            for end in (interval.low, interval.high)
        ]
        parts.append(f'<circle class="dot" cx="{at(interval.mean):.1f}" cy="{y}" r="4.5"/>')
        shown = f"{interval.mean:.3g} [{interval.low:.3g}, {interval.high:.3g}]"
        parts.append(f'<text class="tick" x="{WIDTH - RIGHT + 12}" y="{y + 4}">{shown}</text>')
    return "".join([*parts, "</svg>"])


def histogram(values: Sequence[float], label: str, *, scale: float | None = None, bins: int = 12) -> str:
    """Return a plot of how often values occur; they are counted in `bins` steps of one width.

    Args:
        values: one or more.
        label: what they are.
        scale: the highest possible value, if the lowest is 0; left out, 1 where all are between 0 and 1, else what
            there is.
        bins: how many steps.
    """
    low, high = min(values), max(values)
    if scale is not None or (low >= 0 and high <= 1):
        low, high = 0.0, scale or 1.0
    span = (high - low) or 1.0
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int((value - low) / span * bins))] += 1
    most, height, left, width = max(counts), 150, 34, 300
    step = (width - left - 8) / bins
    parts = [_open(height, f"distribution of {label}", width)]
    for index, count in enumerate(counts):
        tall = count / most * (height - 46)
        x, y = left + index * step, height - 24 - tall
        title = f"{low + span * index / bins:.3g} to {low + span * (index + 1) / bins:.3g}: {count}"
        parts.append(
            f'<rect class="bar" x="{x + 1:.1f}" y="{y:.1f}" width="{step - 2:.1f}" height="{tall:.1f}">'
            f"<title>{title}</title></rect>"
        )
    parts.append(f'<line class="grid" x1="{left}" x2="{width - 8}" y1="{height - 24}" y2="{height - 24}"/>')
    for x, value, anchor in ((left, low, "start"), (width - 8, high, "end")):
        parts.append(f'<text class="tick" x="{x}" y="{height - 8}" text-anchor="{anchor}">{value:.3g}</text>')
    parts.append(f'<text class="tick" x="{left - 6}" y="26" text-anchor="end">{most}</text>')
    parts.append(f'<text x="{left}" y="13">{escape(_short(label, 40))}</text>')
    return "".join([*parts, "</svg>"])


def _open(height: int, title: str, width: int = WIDTH) -> str:
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">'
        f"<title>{escape(title)}</title>"
    )


def _short(label: str, limit: int = 26) -> str:
    return label if len(label) <= limit else f"{label[: limit - 1]}…"
