"""Summaries, comparisons, thresholds and reports: the numbers, the forms, and what must not be in them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from tinyllm_actors import ActorSystem, Evaluator
from tinyllm_actors.errors import ConfigurationError, DatasetInvalid
from tinyllm_actors.evals import (
    EvalRun,
    Example,
    Record,
    RunHeader,
    Threshold,
    broken_thresholds,
    compare,
    comparison_text,
    evaluate,
    parse_threshold,
    report_html,
    report_json,
    report_junit,
    report_text,
    summarize,
)
from tinyllm_actors.evals.cleaning import Cleaner
from tinyllm_actors.evals.plots import histogram, interval_plot
from tinyllm_actors.evals.statistics import Interval

if TYPE_CHECKING:
    from collections.abc import Callable

HEADER = RunHeader("nightly", "capitals", "d", 4, 1, ["exact"], 1_700_000_000.0, metadata={"model": "openai/gpt-4o"})


def make(*scores: float | None, name: str = "exact", header: RunHeader = HEADER, **more: Any) -> EvalRun:
    """Return a run with one score of each example; None for a call that failed."""
    records: list[Record] = []
    for place, score in enumerate(scores):
        case = f"case {place}"
        if score is None:
            records.append(Record(case, 0, "error", error="it <broke> & \x00", **more))
        else:
            given = {"input": {"content": "?"}, "output": "an answer", "latency": 0.1 * (place + 1)}
            records.append(Record(case, 0, "success", evals={name: score}, **given, **more))
    return EvalRun(header, records)


def repeated(*groups: tuple[float, ...]) -> EvalRun:
    """Return a run with several scores of each example."""
    header = RunHeader("r", "d", "x", len(groups), len(groups[0]), ["exact"], 0.0)
    records = [
        Record(str(place), repeat, "success", evals={"exact": score})
        for place, group in enumerate(groups)
        for repeat, score in enumerate(group)
    ]
    return EvalRun(header, records)


def test_a_summary_counts_what_there_is() -> None:
    """Failed calls have no scores; shares have Wilson's interval; ranks and totals are those counted by hand."""
    run = make(1.0, 0.0, None, 1.0, tokens=10, cost=0.5, judge_tokens=1)
    summary = summarize(run)
    metric = summary.metrics["exact"]
    assert (metric.count, metric.method, metric.spread, metric.passes) == (3, "wilson", None, pytest.approx(2 / 3))
    assert metric.interval.mean == pytest.approx(2 / 3)
    assert (summary.calls, summary.errors, summary.tokens, summary.cost) == (4, 1, 40, 2.0)
    assert (summary.judge_tokens, summary.judge_cost) == (4, None)
    assert (summary.latency_p50, summary.latency_p95) == (pytest.approx(0.2), pytest.approx(0.4))
    empty = summarize(EvalRun(HEADER, []))
    assert (empty.metrics, empty.latency, empty.latency_p50) == ({}, None, None)


def test_repeats_are_averaged_first() -> None:
    """Ten repeats of two examples are two values, not twenty: the interval is no narrower for them."""
    many = summarize(repeated((1.0,) * 10, (0.0,) * 10)).metrics["exact"]
    assert (many.count, many.method) == (2, "bootstrap")
    assert (many.interval.low, many.interval.high) == (0.0, 1.0)
    mixed = summarize(repeated((1.0, 0.0), (1.0, 1.0))).metrics["exact"]
    assert (mixed.passes, mixed.spread) == (0.5, 0.25)
    assert mixed.interval.mean == 0.75


def test_grades_are_no_shares() -> None:
    """A correctness of 0 or 1 of 10 is a number on its scale, and gets no interval of a share."""
    metric = summarize(make(0.0, 1.0, 0.0, name="answer_correctness")).metrics["answer_correctness"]
    assert (metric.method, metric.passes) == ("bootstrap", None)
    changes = compare(make(0.0, 0.0, name="answer_correctness"), make(1.0, 1.0, name="answer_correctness")).changes
    assert changes["answer_correctness"].test == "permutation"


def test_a_comparison_says_what_changed() -> None:
    """Shares are tested by McNemar, other scores by permutation; examples are listed by how much they changed."""
    before, after = make(*[0.0] * 8, 1.0), make(*[1.0] * 8, 0.0)
    change = compare(before, after).changes["exact"]
    assert (change.count, change.before, change.after, change.test) == (
        9,
        pytest.approx(1 / 9),
        pytest.approx(8 / 9),
        "mcnemar",
    )
    assert change.difference.p_value == pytest.approx(2 * (1 + 9) / 2**9)
    assert change.significant
    assert (len(change.better), change.worse) == (8, ("case 8",))
    assert [change.name for change in compare(after, before).regressions] == ["exact"]
    assert compare(before, after).regressions == []
    text = comparison_text(compare(after, before))
    assert "significant" in text
    assert "exact got worse: case" in text
    assert "and 3 more" in text


def test_less_is_better_for_time_and_money() -> None:
    """A latency that grows got worse."""
    fast, slow = make(*[0.1] * 9, name="latency"), make(*[0.9] * 9, name="latency")
    comparison = compare(fast, slow)
    assert [change.name for change in comparison.regressions] == ["latency"]
    assert len(comparison.changes["latency"].worse) == 9
    assert not compare(slow, fast).regressions


def test_runs_are_compared_over_what_they_share() -> None:
    """Only examples of both count, the others are named; without any there is nothing to compare."""
    comparison = compare(make(1.0, 0.5, 0.2), make(1.0, 0.5))
    assert (comparison.changes["exact"].count, comparison.only_before, comparison.only_after) == (2, ("case 2",), ())
    assert "only in nightly: case 2" in comparison_text(comparison)
    with pytest.raises(DatasetInvalid, match="in common"):
        compare(make(1.0), make(1.0, name="other"))
    with pytest.raises(DatasetInvalid, match="in common"):
        compare(make(1.0), EvalRun(HEADER, [Record("x", 0, "success", evals={"exact": 1.0})]))


def test_many_scores_make_each_less_certain() -> None:
    """P-values are adjusted for the number of scores that are compared."""
    names = [f"s{n}" for n in range(10)]

    def run(good: float) -> EvalRun:
        records = [
            Record(str(n), 0, "success", evals={name: good if name == "s0" else 1.0 for name in names})
            for n in range(7)
        ]
        return EvalRun(HEADER, records)

    change = compare(run(0.0), run(1.0)).changes["s0"]
    assert change.difference.p_value == pytest.approx(0.015625)
    assert change.adjusted_p == pytest.approx(0.15625)
    assert not change.significant


@pytest.mark.parametrize(
    ("given", "holds"),
    [
        (0.7, True),
        ("0.8", False),
        (">=0.75", True),
        ("<=0.75", True),
        ("<= 0.5", False),
        ("low>=0.5", False),
        ("high<=0.96", True),
        ("low>=0.3", True),
        ("high<=0.9", False),
        (Threshold(">=", 1e-3), True),
        ("<=7e-1", False),
    ],
    ids=[str(n) for n in range(11)],
)
def test_thresholds(given: Any, holds: bool) -> None:
    """A threshold is about the mean, or about an end of its interval."""
    summary = summarize(make(1.0, 1.0, 1.0, 0.0))
    broken = broken_thresholds(summary, {"exact": given})
    assert (broken == []) is holds
    assert all(problem.startswith("exact is 0.75 [0.3006, 0.9544], and should be ") for problem in broken)


@pytest.mark.parametrize("given", ["good", ">0.5", "==1", True, "nan", "1.2.3", "-"])
def test_thresholds_that_mean_nothing(given: Any) -> None:
    """Another form is refused with the ones there are."""
    with pytest.raises(ConfigurationError, match="low>="):
        parse_threshold(given)


def test_failures_break_a_run() -> None:
    """A failed call or evaluation is over the limit unless it is allowed, and a score that nobody has is told."""
    summary = summarize(make(1.0, None, failed={"judge": "no JSON"}))
    assert broken_thresholds(summary, {}) == ["3 calls and evaluations failed, of which 0 may"]
    assert broken_thresholds(summary, {}, max_errors=3) == []
    assert "no example has the score 'exct'; there are: 'exact'" in broken_thresholds(
        summary, {"exct": 1}, max_errors=3
    )
    assert "there are: none" in broken_thresholds(summarize(EvalRun(HEADER, [])), {"exact": 1})[0]


# --- forms ---


def all_forms(run: EvalRun, **more: Any) -> dict[str, str]:
    """Return a run in every form."""
    summary = summarize(run)
    broken = broken_thresholds(summary, {"exact": 0.99})
    return {
        "text": report_text(run, summary, broken),
        "json": report_json(run, summary, broken, **more),
        "junit": report_junit(run, summary, broken),
        "html": report_html(run, summary, broken, **more),
    }


def test_text() -> None:
    """A terminal shows scores with intervals, failures with a reason, time, cost, and what was not reached."""
    run = make(1.0, None, 0.5, 1.0, failed={"judge": "no\n" + "x" * 300}, cost=0.25)
    text = all_forms(run)["text"]
    assert "nightly: 4 examples of capitals, 1 run(s) each" in text
    assert re.search(r"exact +3 +0\.8333 +\[0\.", text)
    assert "calls 4, failed 1" in text
    assert "target 0 tokens, $1.0000; judges 0 tokens, cost unknown" in text
    assert "4 evaluations of judge failed, such as: no xxx" in text
    assert "call 'case 1' failed: it <broke> &" in text
    assert "NOT REACHED: exact is" in text
    assert "not finished: 1 of 4" in all_forms(make(1.0))["text"]
    assert "latency" not in all_forms(make(None))["text"]
    assert "always 50%, between repeats ±0.25" in all_forms(repeated((1.0, 0.0), (1.0, 1.0)))["text"]


def test_json() -> None:
    """Everything is in the JSON, and can be read."""
    run = make(1.0, None, 0.5)
    found = json.loads(all_forms(run, comparison=compare(run, run))["json"])
    assert found["run"]["name"] == "nightly"
    assert found["complete"] is False
    assert found["summary"]["metrics"]["exact"]["interval"]["mean"] == 0.75
    assert found["comparison"]["changes"]["exact"]["difference"]["mean"] == 0.0
    assert len(found["records"]) == 3
    assert "comparison" not in json.loads(all_forms(run)["json"])


def test_junit() -> None:
    """A CI server finds a case for each call and each threshold, errors, failures, scores and times."""
    run = make(1.0, None, 0.5, failed={"judge": "no JSON"})
    root = ElementTree.fromstring(all_forms(run)["junit"])
    suite = root[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("5", "2", "3")
    assert [case.get("name") for case in suite.iter("testcase")] == [
        "case 0",
        "case 1",
        "case 2",
        "threshold",
        "threshold",
    ]
    assert [error.get("message") for error in suite.iter("error")][:2] == ["an evaluation failed", "the call failed"]
    assert suite.find("properties/property[@name='exact']") is not None
    broke = suite.findall("testcase")[1].find("error")
    assert broke is not None
    assert broke.text == "it <broke> & \ufffd"  # what XML cannot hold is replaced
    names = [
        case.get("name") for case in ElementTree.fromstring(all_forms(repeated((1.0, 0.0)))["junit"]).iter("testcase")
    ]
    assert names[:2] == ["0[0]", "0[1]"]


def test_html_escapes_and_asks_for_nothing() -> None:
    """Whatever answers hold is text on the page; the page has no script and no address."""
    evil = '<script>alert(1)</script><img src="http://evil.invalid/x">'
    record = Record(evil, 1, "success", input={"content": evil}, output=evil, expected=evil, evals={evil: 0.5})
    failed = Record("b", 0, "error", error=evil)
    judged = Record("c", 0, "success", output="x", failed={evil: evil}, comments={evil: evil}, evals={"latency": 3.0})
    header = RunHeader(evil, evil, "d", 9, 1, [evil], 0.0, metadata={evil: evil})
    run = EvalRun(header, [record, failed, judged])
    page = all_forms(run, comparison=compare(run, run))["html"]
    assert "<script" not in page
    assert "<img" not in page
    assert "default-src 'none'" in page
    assert not re.search(r"(?:src|href)=", re.sub(r"&[a-z#0-9]+;", "", page).replace("src=http", ""))
    assert "Not finished" in page
    assert "no scores" not in page
    assert "There are none." in all_forms(EvalRun(HEADER, [failed]))["html"]


def test_html_marks_what_got_worse() -> None:
    """A significant change is named better or worse."""
    good, bad = make(*[1.0] * 9), make(*[0.0] * 9)
    assert ">worse<" in all_forms(bad, comparison=compare(good, bad))["html"]
    assert ">better<" in all_forms(good, comparison=compare(bad, good))["html"]
    assert "and 1 more" in report_html(make(*[1.0] * 2001), summarize(make(1.0)))


def test_plots() -> None:
    """Bars count what falls into each step; an interval is drawn inside of its scale."""
    bars = re.findall(r": (\d+)</title>", histogram([0.0, 0.5, 1.0, 1.0], "s", bins=2))
    assert bars == ["1", "3"]
    assert re.findall(r": (\d+)</title>", histogram([5.0, 5.0], "s", bins=2)) == ["2", "0"]
    assert "10</text>" in histogram([5.0], "s", scale=10.0)
    plot = interval_plot([("a" * 40, Interval(2.0, -1.0, 3.0))])
    assert 'x1="190.0" x2="490.0"' in plot
    assert "a" * 26 not in plot


# --- secrets ---

PLANTED = ["sk-planted1234567890abcd", "correct-horse-battery", "hunter2hunter2", "staple-of-the-file"]


class Leaks(Evaluator):
    async def run(self, input: Any, output: Any, error: Any) -> Any:
        if input["n"] == 2:
            raise ValueError(f"bad key {PLANTED[0]} and {PLANTED[1]}")
        return {"evals": {"exact": 0.5}, "comment": f"saw {PLANTED[0]} with {PLANTED[1]}"}


async def leaky(n: int, **_: Any) -> Any:
    """Answer with secrets, in all ways."""
    if n == 1:
        raise OSError(f"postgresql://app:{PLANTED[2]}@db refused; key {PLANTED[1]}")
    return {
        "answer": f"the key is {PLANTED[0]}, or {PLANTED[1]} or {PLANTED[3]}",
        "password": PLANTED[2],
        "list": [{"token": PLANTED[2]}],
    }


@pytest.mark.anyio
async def test_planted_secrets_are_in_no_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys in inputs, outputs, errors, comments, metadata, the environment and tinyllm.yaml reach no file."""
    monkeypatch.setenv("SOME_API_KEY", PLANTED[1])
    settings = tmp_path / "tinyllm.yaml"
    settings.write_text(f"LLM_PROVIDERS:\n  GROQ_API_KEY: {PLANTED[3]}\n", encoding="utf-8")
    monkeypatch.setenv("TINYLLM_CONFIG_PATH", str(settings))
    cases = [
        Example(str(n), {"n": n, "api_key": PLANTED[2], "note": PLANTED[0]}, expected={"secret": PLANTED[2]})
        for n in range(3)
    ]
    path = tmp_path / "results.jsonl"
    async with ActorSystem("t") as system:
        run = await evaluate(system, leaky, cases, [Leaks], results=path, metadata={"api_key": PLANTED[2]})
    forms = {**all_forms(run, comparison=compare(run, run)), "results": path.read_text(encoding="utf-8")}
    for form, content in forms.items():
        for secret in PLANTED:
            assert secret not in content, form
    assert forms["results"].count("***") >= 10


def test_cleaning_bounds_everything() -> None:
    """Text, lists and depth are cut, and what is no JSON is its `repr`."""
    clean = Cleaner(["short"])
    assert clean("x" * 30_000).endswith("(30000 characters)")
    assert len(clean(list(range(5000)))) == 1000
    deep: Any = "end"
    for _ in range(50):
        deep = {"a": [deep]}
    assert "end" not in json.dumps(clean(deep))
    assert clean({1: {2, 3}, "short": object})["1"] == [2, 3]
    cycle: list[Any] = []
    cycle.append(cycle)
    assert clean(cycle) == "[[...]]"


# --- a real browser ---


@pytest.fixture
def browser(tmp_path: Path) -> Callable[..., str]:
    """Return a function that opens a page in Chromium and returns what it shows."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")

    def show(page: Path, *arguments: str) -> str:
        command = [program, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
        done = subprocess.run(
            [*command, "--enable-logging=stderr", *arguments, page.as_uri()],
            capture_output=True,
            text=True,
            check=True,
            timeout=50,
        )
        return done.stdout + "".join(line for line in done.stderr.splitlines() if ":CONSOLE" in line)

    return show


def test_the_page_opens_in_a_browser(browser: Callable[..., str], tmp_path: Path) -> None:
    """Chromium shows the plots and the table without a complaint, and makes a picture of it that is not empty."""
    run = make(*[n % 3 / 2 for n in range(30)], header=RunHeader("nightly", "capitals", "d", 30, 1, ["exact"], 0.0))
    page, picture = tmp_path / "report.html", tmp_path / "report.png"
    page.write_text(all_forms(run, comparison=compare(run, run))["html"], encoding="utf-8")
    shown = browser(page, "--dump-dom", f"--screenshot={picture}", "--window-size=1100,1400")
    assert "CONSOLE" not in shown
    assert shown.count("<svg") == 2
    assert shown.count("<details>") == 30
    if picture.exists():  # not every version makes both at once
        assert picture.stat().st_size > 20_000
