"""`tinyllm-actors eval` and `tinyllm-actors config`."""

from __future__ import annotations

import io
import json
import re
import sys
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.cli import main
from tinyllm_actors.cli.bar import Bar
from tinyllm_actors.cli.evaluation import named_object
from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.evals import read_run

if TYPE_CHECKING:
    from pathlib import Path

CASES = (
    '{"id": "fr", "input": {"country": "France"}, "expected": "Paris"}\n'
    '{"id": "es", "input": {"country": "Spain"}, "expected": "Madrid"}\n'
)
TARGETS = """
from tinyllm_actors.testing import ScriptedModel, text

async def good(country):
    return {"France": "Paris", "Spain": "Madrid"}[country]

async def bad(country):
    return "Rome"

def length(output):
    return {"evals": {"length": len(output)}}

class Names:
    nested = staticmethod(good)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a dataset and a module of targets."""
    (tmp_path / "cases.jsonl").write_text(CASES, encoding="utf-8")
    (tmp_path / "my_targets.py").write_text(TARGETS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "my_targets", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TINYLLM_CONFIG_PATH", raising=False)
    return tmp_path


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_a_run_with_all_reports(backend: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run prints its report and writes every form; a second time nothing is run again."""
    pytest.importorskip(backend)
    reports = ["--html", "r.html", "--json", "r.json", "--junit", "r.xml"]
    command = [
        "eval",
        "run",
        "cases.jsonl",
        "--target",
        "my_targets:good",
        "--results",
        "r.jsonl",
        "--backend",
        backend,
    ]
    scores = ["--evaluator", "exact", "--evaluator", "my_targets:length", "--evaluator", "performance"]
    assert main([*command, *scores, *reports, "--min", "exact_match=0.9", "--min", "latency=<=60"]) == 0
    shown = capsys.readouterr()
    assert re.search(r"exact_match +2 +1 ", shown.out)
    assert shown.err == ""
    assert json.loads((folder / "r.json").read_text(encoding="utf-8"))["complete"] is True
    assert "<svg" in (folder / "r.html").read_text(encoding="utf-8")
    assert "<testsuites" in (folder / "r.xml").read_text(encoding="utf-8")
    before = (folder / "r.jsonl").read_bytes()
    assert main([*command, *scores]) == 0
    assert (folder / "r.jsonl").read_bytes() == before
    assert read_run(folder / "r.jsonl").header.metadata == {"target": "my_targets:good"}


def test_report_and_compare(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    """A threshold that is not reached, and a significant regression, are exit code 1."""
    many = "".join(f'{{"id": "{n}", "input": {{"country": "France"}}, "expected": "Paris"}}\n' for n in range(8))
    (folder / "cases.jsonl").write_text(many, encoding="utf-8")
    for name in ("good", "bad"):
        assert main(["eval", "run", "cases.jsonl", "--target", f"my_targets:{name}", "--results", f"{name}.jsonl"]) == 0
    capsys.readouterr()
    assert main(["eval", "report", "bad.jsonl", "--baseline", "good.jsonl", "--min", "exact_match=0.5"]) == 1
    shown = capsys.readouterr().out
    assert "NOT REACHED: exact_match is 0" in shown
    assert "significant" in shown
    assert main(["eval", "compare", "bad.jsonl", "good.jsonl"]) == 0
    assert main(["eval", "compare", "good.jsonl", "bad.jsonl"]) == 1


def test_an_agent_with_a_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a target the model itself is asked, as an agent with a role; an evaluator may go by its class's name."""
    (folder / "cases.jsonl").write_text('{"input": "Hello", "expected": "You said: Hello"}\n', encoding="utf-8")
    command = ["eval", "run", "cases.jsonl", "--model", "scripted", "--results", "r.jsonl", "--system", "Be brief."]
    assert main([*command, "--evaluator", "tools"]) == 1  # nothing to compare its tool calls with
    assert "1 evaluations of ToolTrajectory failed" in capsys.readouterr().out
    assert main(["eval", "run", "cases.jsonl", "--model", "scripted", "--evaluator", "ExactMatch"]) == 0
    assert re.search(r"exact_match +1 +1 ", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--evaluator", "exct"], "no evaluator 'exct'; there are exact, regex"),
        (["--evaluator", "correctness"], "needs a judge"),
        (["--evaluator", "my_targets:none"], "has no 'none'"),
        (["--target", "my_target:good"], "no module 'my_target'"),
        (["--target", "my_target.py:good"], "write 'my_target', its name and not its file"),
        (["--target", "good"], "write 'module:name'"),
        (["--target", "my_targets:good", "--min", "exact_match"], "--min takes a score and a bound"),
        (["--target", "my_targets:good", "--evaluator", "faithfulness", "--judge", "nobody"], "nobody"),
    ],
    ids=["name", "judge", "attribute", "module", "file", "form", "bound", "model"],
)
def test_mistakes_are_one_sentence(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What cannot be is told in a sentence, with exit code 1."""
    assert main(["eval", "run", "cases.jsonl", *arguments]) == 1
    assert words in capsys.readouterr().err


def test_evaluators_by_their_short_names(capsys: pytest.CaptureFixture[str]) -> None:
    """Those with a judge or an embedding model take the ones that are named; a judge has a budget."""
    command = ["eval", "run", "cases.jsonl", "--target", "my_targets:good", "--max-errors", "99", "--judge-usd", "0.01"]
    names = ["correctness", "faithfulness", "semantic", "retrieval", "regex", "json"]
    chosen = [part for name in names for part in ("--evaluator", name)]
    code = main([*command, *chosen, "--judge", "local/none.gguf", "--embedding", "local"])
    shown = capsys.readouterr()
    assert code in (0, 1)
    without_model = "none.gguf" in shown.err or "[local]" in shown.err
    assert "regex_match" in shown.out or without_model


def test_names_of_objects(folder: Path) -> None:
    """Attributes of attributes are found; an error inside of a module is not hidden."""
    assert named_object("my_targets:Names.nested").__name__ == "good"
    (folder / "my_broken.py").write_text("import my_nothing\n", encoding="utf-8")
    with pytest.raises(ModuleNotFoundError, match="my_nothing"):
        named_object("my_broken:x")
    with pytest.raises(ConfigurationError, match="no module"):
        named_object("my_targets.sub:x")


class _Screen(io.StringIO):
    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.mark.anyio
async def test_a_bar_moves_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal sees a bar that goes away; a file sees a line every ten seconds."""
    now = 100.0
    monkeypatch.setattr(anyio, "current_time", lambda: now)
    screen, file = _Screen(terminal=True), _Screen(terminal=False)
    bars = [Bar("calls", screen), Bar("calls", file)]
    for done in (1, 2, 3):
        for bar in bars:
            bar.show(done, 4, int(done == 3))
        now += 6.0
    for bar in bars:
        bar.close()
    assert "2 of 4 calls, about 6 s left" in screen.getvalue()
    assert screen.getvalue().endswith("\r\x1b[K")
    assert file.getvalue() == "3 of 4 calls, 1 failed, about 4 s left\n"
    Bar("calls", untouched := _Screen(terminal=True)).close()
    assert untouched.getvalue() == ""


# --- config ---


def test_config_show_masks_secrets(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every value is shown with where it comes from, and no secret is."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "POSTGRES_HOST"):
        monkeypatch.delenv(name, raising=False)
    (folder / "tinyllm.yaml").write_text(
        "LLM_PROVIDERS:\n  OPENAI_API_KEY: planted-in-file\n  OPENAI_BASE_URL: http://u:planted-pw@h/v1\n"
        "POSTGRES:\n  PASSWORD: planted-too\n  HOST: db.example\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("OPENAI_API_KEY", "planted-in-environment")
    assert main(["config", "show"]) == 0
    shown = capsys.readouterr().out
    assert "planted" not in shown
    assert "OPENAI_API_KEY: ***  (from the environment, OPENAI_API_KEY; the file has another)" in shown
    assert "HOST: db.example  (from the file)" in shown
    assert "PASSWORD: ***  (from the file)" in shown
    assert f"file: {folder / 'tinyllm.yaml'}" in shown


def test_config_check(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A right file is said to be, with a hint if others may read it; a wrong one is exit code 1 and one sentence."""
    assert main(["config", "check"]) == 0
    assert "There is no tinyllm.yaml" in capsys.readouterr().out
    file = folder / "tinyllm.yaml"
    file.write_text("POSTGRES:\n  HOST: h\n", encoding="utf-8")
    file.chmod(0o600)
    assert main(["config", "check"]) == 0
    assert capsys.readouterr().out == f"{file} is right: 1 values.\n"
    file.chmod(0o644)
    assert main(["config", "check", "--file", str(file)]) == 0
    assert "chmod 600" in capsys.readouterr().out
    file.write_text("POSTGRES:\n  HOTS: h\n", encoding="utf-8")
    assert main(["config", "check"]) == 1
    assert "'POSTGRES.HOTS' means nothing here; did you mean 'POSTGRES.HOST'?" in capsys.readouterr().err
    assert main(["config", "show", "--file", str(folder / "none.yaml")]) == 1
    assert "cannot be read" in capsys.readouterr().err


def test_nothing_configured(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without file and environment every section is there, and empty."""
    from tinyllm_actors.config.names import SECTIONS, variable_of

    for section, keys in SECTIONS.items():
        for key in keys:
            monkeypatch.delenv(variable_of(section, key), raising=False)
    assert main(["config", "show"]) == 0
    found: Any = capsys.readouterr().out.splitlines()
    assert found == [
        "file: none",
        "LLM_PROVIDERS:",
        "  (nothing)",
        "LANGFUSE:",
        "  (nothing)",
        "POSTGRES:",
        "  (nothing)",
    ]
