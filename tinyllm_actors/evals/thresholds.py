"""What a run has to reach. Pure."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinyllm_actors.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinyllm_actors.evals.summary import Summary

__all__ = ["Threshold", "broken_thresholds", "parse_threshold"]

_FORM = re.compile(r"\s*(>=|<=|low>=|high<=)?\s*(-?[0-9.]+(?:[eE][+-]?\d+)?)\s*")


@dataclass(frozen=True, slots=True)
class Threshold:
    """A bound on the mean of a score, or on an end of its interval.

    Attributes:
        kind: `">="` or `"<="` for the mean; `"low>="` for the lower end of the interval, which a small dataset reaches
            by merit and not by luck; `"high<="` for the upper end.
        value: the bound.
    """

    kind: str
    value: float

    def __str__(self) -> str:
        return f"{self.kind}{self.value:g}"


def parse_threshold(given: float | str | Threshold) -> Threshold:
    """Return a threshold from a number (a minimum of the mean) or a text such as `"<=2.5"` or `"low>=0.8"`.

    ```python
    >>> str(parse_threshold(0.8)), str(parse_threshold("low>= 0.7"))
    ('>=0.8', 'low>=0.7')

    ```

    Raises:
        ConfigurationError: it has another form.
    """
    if isinstance(given, Threshold):
        return given
    found = _FORM.fullmatch(str(given))
    try:
        value = math.nan if found is None or isinstance(given, bool) else float(found[2])
    except ValueError:
        value = math.nan
    if found is None or not math.isfinite(value):
        raise ConfigurationError(f"a threshold is like 0.8, '<=2.5', 'low>=0.8' or 'high<=3', not {given!r}")
    return Threshold(found[1] or ">=", value)


def broken_thresholds(
    summary: Summary, thresholds: Mapping[str, float | str | Threshold], *, max_errors: int = 0
) -> list[str]:
    """Return what a run does not reach, in words; nothing if it reaches all.

    Calls and evaluations that failed are no scores, so that too many of them break a run whatever its means.

    Args:
        summary: of the run.
        thresholds: by the name of the score.
        max_errors: calls and evaluations, together, that may have failed.

    Raises:
        ConfigurationError: a threshold has no meaning.
    """
    broken: list[str] = []
    failed = summary.errors + sum(summary.failed_evaluations.values())
    if failed > max_errors:
        broken.append(f"{failed} calls and evaluations failed, of which {max_errors} may")
    for name, given in thresholds.items():
        threshold = parse_threshold(given)
        metric = summary.metrics.get(name)
        if metric is None:
            known = ", ".join(map(repr, summary.metrics)) or "none"
            broken.append(f"no example has the score {name!r}; there are: {known}")
            continue
        interval = metric.interval
        measured = {"low>=": interval.low, "high<=": interval.high}.get(threshold.kind, interval.mean)
        holds = measured >= threshold.value if threshold.kind.endswith(">=") else measured <= threshold.value
        if not holds:
            shown = f"{interval.mean:.4g} [{interval.low:.4g}, {interval.high:.4g}]"
            broken.append(f"{name} is {shown}, and should be {threshold}")
    return broken
