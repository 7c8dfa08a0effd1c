"""Reports as one HTML page: no scripts, no network, nothing beside it. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any, Final

from tinyllm_actors.evals.plots import histogram, interval_plot
from tinyllm_actors.evals.reading import answer_of, question_of, text_of
from tinyllm_actors.evals.summary import SCALES, summarize

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tinyllm_actors.evals.comparison import Comparison
    from tinyllm_actors.evals.records import EvalRun, Record
    from tinyllm_actors.evals.summary import Summary

__all__ = ["report_html"]

MAX_ROWS: Final = 2000

_STYLE: Final = """
:root{color-scheme:light dark;--fg:#1c2330;--soft:#5b6678;--line:#d9dee7;--bg:#fff;--card:#f6f8fb;--accent:#2563eb;
--bad:#b42318;--good:#067647}
@media(prefers-color-scheme:dark){:root{--fg:#e6e9ef;--soft:#9aa5b8;--line:#333c4d;--bg:#11151d;--card:#1a202c;
--accent:#7aa2ff;--bad:#ff8a80;--good:#6fdc9c}}
*{box-sizing:border-box}body{margin:0 auto;max-width:1060px;padding:24px;font:15px/1.5 system-ui,sans-serif;
color:var(--fg);background:var(--bg)}h1{font-size:24px;margin:0}h2{font-size:18px;margin:32px 0 10px}
.soft{color:var(--soft)}.cards{display:flex;flex-wrap:wrap;gap:10px;margin:18px 0}.card{background:var(--card);
border:1px solid var(--line);border-radius:8px;padding:8px 14px;min-width:110px}.card b{display:block;font-size:19px}
.plots{display:flex;flex-wrap:wrap;gap:14px}svg{max-width:100%;height:auto;font:12px system-ui,sans-serif}
svg text{fill:var(--fg)}svg .tick{fill:var(--soft)}.grid{stroke:var(--line)}.whisker{stroke:var(--accent);
stroke-width:2}.dot,.bar{fill:var(--accent)}table{border-collapse:collapse;width:100%}td,th{text-align:left;
vertical-align:top;padding:6px 8px;border-bottom:1px solid var(--line)}th{color:var(--soft);font-weight:600}
td.n{font-variant-numeric:tabular-nums;white-space:nowrap}.bad{color:var(--bad)}.good{color:var(--good)}
ul.broken{border:1px solid var(--bad);border-radius:8px;padding:10px 10px 10px 30px}pre{white-space:pre-wrap;
overflow-wrap:anywhere;background:var(--card);padding:8px;border-radius:6px;margin:6px 0;max-height:320px;overflow:auto}
a{color:var(--accent)}summary{cursor:pointer;overflow-wrap:anywhere}
"""


def report_html(
    run: EvalRun,
    summary: Summary | None = None,
    broken: Sequence[str] = (),
    comparison: Comparison | None = None,
) -> str:
    """Return a page with the scores, their intervals and distributions, and every call.

    It holds no script, and forbids itself any; it opens from a file and asks nobody for anything.

    Args:
        run: what was run.
        summary: of it; left out, what `summarize(run)` says.
        broken: what it does not reach, as `broken_thresholds` says.
        comparison: with an earlier run.
    """
    summary = summary or summarize(run)
    header = run.header
    began = datetime.fromtimestamp(header.started, UTC).strftime("%Y-%m-%d %H:%M UTC")
    title = escape(header.name)
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">",
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}</title><style>{_STYLE}</style></head><body>",
        f'<h1>{title}</h1><div class="soft">{escape(header.dataset)}, {header.examples} examples × {header.repeats}, '
        f"{began}{_about(header.metadata)}</div>",
        "" if run.complete else f'<p class="bad">Not finished: {len(run.records)} records so far.</p>',
        _broken(broken),
        _cards(summary),
        _metrics(summary),
        "" if comparison is None else _comparison(comparison),
        _records(run.records),
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part)


def _about(metadata: dict[str, Any]) -> str:
    return "".join(f", {escape(name)}: {escape(text_of(value))}" for name, value in metadata.items())


def _broken(broken: Sequence[str]) -> str:
    if not broken:
        return ""
    return '<ul class="broken bad">' + "".join(f"<li>{escape(problem)}</li>" for problem in broken) + "</ul>"


def _cards(summary: Summary) -> str:
    cards = [("calls", str(summary.calls)), ("failed calls", str(summary.errors))]
    cards.append(("failed evaluations", str(sum(summary.failed_evaluations.values()))))
    if summary.latency_p50 is not None and summary.latency_p95 is not None:
        cards += [("median latency", f"{summary.latency_p50:.3g} s"), ("95 % below", f"{summary.latency_p95:.3g} s")]
    cards += [
        ("tokens", f"{summary.tokens:,}"),
        ("cost", _dollars(summary.cost)),
        ("judges' cost", _dollars(summary.judge_cost)),
    ]
    shown = "".join(f'<div class="card"><span class="soft">{name}</span><b>{value}</b></div>' for name, value in cards)
    return f'<div class="cards">{shown}</div>'


def _dollars(cost: float | None) -> str:
    return "unknown" if cost is None else f"${cost:.4f}"


def _metrics(summary: Summary) -> str:
    if not summary.metrics:
        return '<h2>Scores</h2><p class="soft">There are none.</p>'
    metrics = list(summary.metrics.values())
    unit = [
        metric
        for metric in metrics
        if metric.name not in SCALES and min(metric.values) >= 0 and max(metric.values) <= 1
    ]
    other = [metric for metric in metrics if metric not in unit]
    parts = [f'<h2>Scores <span class="soft">with {summary.confidence * 100:g} % intervals</span></h2>']
    if unit:
        parts.append(interval_plot([(metric.name, metric.interval) for metric in unit]))
    for metric in other:
        high = SCALES.get(metric.name) or max(metric.interval.high, *metric.values)
        low = min(0.0, metric.interval.low, *metric.values)
        parts.append(interval_plot([(metric.name, metric.interval)], low=low, high=high))
    parts.append('<h2>Distributions <span class="soft">of the examples</span></h2><div class="plots">')
    parts += [histogram(metric.values, metric.name, scale=SCALES.get(metric.name)) for metric in metrics]
    return "".join([*parts, "</div>"])


def _comparison(comparison: Comparison) -> str:
    rows: list[Sequence[str]] = []
    for change in comparison.changes.values():
        difference = change.difference
        verdict = "may be chance"
        if change.significant:
            worse = change in comparison.regressions
            verdict = f'<span class="{"bad" if worse else "good"}">{"worse" if worse else "better"}</span>'
        rows.append(
            (
                escape(change.name),
                f"{change.before:.4g}",
                f"{change.after:.4g}",
                f"{difference.mean:+.4g} [{difference.low:+.4g}, {difference.high:+.4g}]",
                f"{change.adjusted_p:.3g}",
                verdict,
                escape(", ".join(change.worse[:10])),
            )
        )
    head = ("score", "before", "after", "difference", "p", "", "got worse")
    return f"<h2>Compared with {escape(comparison.before)}</h2>" + _table(head, rows)


def _records(records: Sequence[Record]) -> str:
    rows = [_row(record) for record in records[:MAX_ROWS]]
    more = "" if len(records) <= MAX_ROWS else f'<p class="soft">and {len(records) - MAX_ROWS} more</p>'
    return "<h2>Calls</h2>" + _table(("example", "answer", "scores", "s"), rows) + more


def _row(record: Record) -> Sequence[str]:
    name = record.example if not record.repeat else f"{record.example} #{record.repeat + 1}"
    if record.status == "error":
        answer = f'<span class="bad">failed: {escape(_short(record.error or ""))}</span>'
    else:
        answer = escape(_short(answer_of(record.output))) if record.output is not None else ""
    details = [f"<pre>asked: {escape(question_of(record.input))}</pre>"]
    if record.expected is not None:
        details.append(f"<pre>expected: {escape(text_of(record.expected))}</pre>")
    details.append(f"<pre>answered: {escape(text_of(record.output))}</pre>" if record.output is not None else "")
    details += [f"<pre>{escape(who)}: {escape(what)}</pre>" for who, what in record.comments.items()]
    if record.trace_url is not None and record.trace_url.startswith(("https://", "http://")):
        details.append(f'<a href="{escape(record.trace_url)}" rel="noreferrer">trace</a>')
    scores = [f"{escape(score)} {value:.4g}" for score, value in record.evals.items()]
    scores += [f'<span class="bad">{escape(who)}: {escape(_short(why))}</span>' for who, why in record.failed.items()]
    return (
        escape(name),
        f"<details><summary>{answer}</summary>{''.join(details)}</details>",
        "<br>".join(scores),
        f"{record.latency:.3g}",
    )


def _table(head: Iterable[str], rows: Iterable[Sequence[str]]) -> str:
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="n">{cell}</td>' if index not in (1, 6) else f"<td>{cell}</td>"
            for index, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"


def _short(text: str, limit: int = 200) -> str:
    line = " ".join(text[: 4 * limit].split())
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
