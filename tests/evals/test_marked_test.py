"""The pytest plugin: marked tests pass or fail by their thresholds, and nobody else pays for it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

PLUGIN = "tinyllm_actors.pytest_plugin"
CASES = """
{"id": "fr", "input": {"country": "France"}, "expected": "Paris"}
{"id": "es", "input": {"country": "Spain"}, "expected": "Madrid"}
"""
HEAD = """
import pytest
from tinyllm_actors.evals import ExactMatch, Example

async def capital(country):
    return {"France": "Paris", "Spain": "Barcelona"}[country]

@pytest.fixture
def target():
    return capital
"""


def pytest_on(folder: Path, tests: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on one file in a folder of its own, with this plugin and no other, as that takes a quarter as long."""
    (folder / "cases.jsonl").write_text(CASES, encoding="utf-8")
    (folder / "test_it.py").write_text(tests, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--strict-markers", "-c", "/dev/null"]
    return subprocess.run(
        [*command, "--rootdir", str(folder), "-p", PLUGIN, *arguments, str(folder / "test_it.py")],
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )


def test_pytest_finds_the_plugin_by_itself() -> None:
    """The installed library announces the plugin to pytest."""
    assert PLUGIN in {point.value for point in entry_points(group="pytest11")}


def test_thresholds_decide(tmp_path: Path) -> None:
    """A test passes if the means reach its thresholds, fails with the report if not; mistakes are told as such."""
    done = pytest_on(
        tmp_path,
        HEAD
        + """
@pytest.mark.eval("cases.jsonl", evaluators=[ExactMatch], thresholds={"exact_match": 0.5}, backend="trio")
def test_reached(target):
    return target

@pytest.mark.eval("cases.jsonl", evaluators=[ExactMatch], thresholds={"exact_match": "low>=0.5"}, backend="uvloop")
def test_not_reached():
    return capital

@pytest.mark.eval(dataset=[Example("de", {"country": "Germany"})], evaluators=[ExactMatch])
def test_failed_calls():
    return capital

@pytest.mark.eval(dataset=[Example("de", {"country": "Germany"})], evaluators=[ExactMatch], max_errors=1)
def test_allowed_failures():
    return capital

@pytest.mark.eval("cases.jsonl", "more.jsonl", evaluators=[ExactMatch])
def test_two_datasets():
    return capital

@pytest.mark.eval("cases.jsonl")
def test_no_evaluators():
    return capital

@pytest.mark.eval("cases.jsonl", evaluators=[ExactMatch])
def test_nothing():
    pass

@pytest.mark.eval("cases.jsonl", evaluators=[ExactMatch])
async def test_async():
    return capital

@pytest.mark.eval("cases.jsonl", evaluators=[ExactMatch], thresholds={"exact_match": "good"})
def test_bad_threshold():
    raise RuntimeError("never called")

def test_plain(target):
    assert target is capital
""",
        "--eval-report=reports",
        f"--junit-xml={tmp_path / 'junit.xml'}",
        "-rA",
    )
    lines = dict(
        (line.split("::")[1].split(" ")[0], line.split(" ")[0]) for line in done.stdout.splitlines() if "::test" in line
    )
    assert {name for name, outcome in lines.items() if outcome == "PASSED"} == {
        "test_reached",
        "test_allowed_failures",
        "test_plain",
    }, done.stdout
    assert done.returncode == 1
    assert "exact_match is 0.5 [0.09453, 0.9055], and should be low>=0.5" in done.stdout
    assert "1 calls and evaluations failed, of which 0 may" in done.stdout
    for words in ("takes one dataset", "needs evaluators", "returned nothing", "plain function", "a threshold is like"):
        assert words in done.stdout
    assert "never called" not in done.stdout
    assert 'name="eval.exact_match" value="0.5"' in (tmp_path / "junit.xml").read_text(encoding="utf-8")


def test_reports_are_written(tmp_path: Path) -> None:
    """`--eval-report` leaves a page and the records of each marked test, of this run and not of an earlier one."""
    test = '@pytest.mark.eval("cases.jsonl", evaluators=[ExactMatch], repeats=2)\ndef test_it():\n    return capital\n'
    folder = tmp_path / "reports"
    folder.mkdir()
    # What an earlier run left.
    (folder / "test-it-py-test-it.jsonl").write_text("{}\n", encoding="utf-8")
    done = pytest_on(tmp_path, HEAD + test, f"--eval-report={folder}")
    assert done.returncode == 0, done.stdout
    (page,) = folder.glob("*.html")
    (records,) = folder.glob("*.jsonl")
    assert "test_it" in page.read_text(encoding="utf-8")
    assert records.read_bytes().count(b"\n") == 5


def test_nobody_else_pays(tmp_path: Path) -> None:
    """Where no test has the mark, the plugin is there and nothing of the library is imported but its empty package."""
    done = pytest_on(
        tmp_path,
        "def test_modules():\n    import sys\n"
        "    loaded = {name for name in sys.modules if name.startswith('tinyllm_actors')}\n"
        "    assert loaded == {'tinyllm_actors', 'tinyllm_actors.pytest_plugin'}, loaded\n",
    )
    assert done.returncode == 0, done.stdout


def is_expected(output: object, expected: object) -> float:
    """Score 1 for what is expected."""
    return float(output == expected)


@pytest.mark.eval(dataset="cases_of_the_suite.jsonl", evaluators=[is_expected], thresholds={"is_expected": 1.0})
def test_the_suite_uses_the_mark(tmp_path: Path) -> object:
    """A dataset beside the test is found, fixtures are given, and the returned function is evaluated."""
    assert tmp_path.is_dir()

    async def double(n: int) -> int:
        return 2 * n

    return double
