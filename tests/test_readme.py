"""The README: its program runs, and its commands are the ones that are checked."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tinyllm_actors import ActorSystem, Agent
from tinyllm_actors.evals import ExactMatch, evaluate, report_text
from tinyllm_actors.testing import ScriptedModel, text

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_program_runs(backend: str, tmp_path: Path) -> None:
    """The program prints a successful answer on both backends and warns of nothing."""
    if backend == "trio":
        pytest.importorskip("trio")
    program, *_ = _blocks("python")
    assert program.count("anyio.run(main)") == 1
    path = tmp_path / "program.py"
    path.write_text(program.replace("anyio.run(main)", f"anyio.run(main, backend={backend!r})"), encoding="utf-8")
    done = subprocess.run([sys.executable, "-W", "error", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "'status': 'success'" in done.stdout
    assert "January 1st" in done.stdout


def test_the_program_is_short() -> None:
    """The program has at most 15 lines, blank ones included, none wider than the code of the package."""
    program, *_ = _blocks("python")
    assert len(program.splitlines()) <= 15
    assert max(map(len, program.splitlines())) <= 120


@pytest.mark.anyio
async def test_the_conversation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines about conversations do what the text says, beside the program's agent."""
    _, lines, _ = _blocks("python")
    monkeypatch.chdir(tmp_path)
    body = "\n".join(f"        {line}" for line in lines.splitlines())
    code = f"async def talk(spec):\n    async with ActorSystem('readme') as system:\n{body}\n        return events"
    names: dict[str, Any] = {"ActorSystem": ActorSystem}
    exec(code, names)
    model = ScriptedModel([text("Booked.")])
    events = await names["talk"](Agent.spec(model=model))
    assert events.turn_id == "t1"
    assert (tmp_path / "chats.db").exists()


@pytest.mark.anyio
async def test_the_evaluation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """The lines about evaluations take the dataset that the text shows, and print a report."""
    *_, lines = _blocks("python")
    [case] = re.findall(r"of lines such as `(\{.*?\})`", README)
    (tmp_path / "cases.jsonl").write_text(case + "\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    body = "\n".join(f"        {line}" for line in lines.splitlines())
    code = f"async def assess(spec):\n    async with ActorSystem('readme') as system:\n{body}\n"
    names: dict[str, Any] = {"ActorSystem": ActorSystem, "evaluate": evaluate, "ExactMatch": ExactMatch}
    names["report_text"] = report_text
    exec(code, names)
    await names["assess"](Agent.spec(model=ScriptedModel([text("January 1st.")])))
    assert "exact_match  1  1 " in capsys.readouterr().out


def test_the_extras_are_all_named() -> None:
    """Who reads the README finds each extra that can be installed, and none that cannot."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    [listed] = re.findall(r"Extras: (.*)", README)
    assert set(re.findall(r"`([a-z]+)`", listed)) == declared.keys() - {"test", "bench", "dev"}


def test_the_commands_are_single_lines() -> None:
    """Two commands set everything up, each one line: the demo, then the tests."""
    demo, tests = _blocks("sh")
    assert demo.strip().endswith("tinyllm-actors demo")
    assert "pytest" in tests
    assert len(demo.splitlines()) == len(tests.splitlines()) == 1


def test_the_test_command_is_the_one_of_ci() -> None:
    """`.ci/run` runs the tests with the README's command."""
    _, tests = _blocks("sh")
    command = tests.strip().rpartition(".venv/bin/")[2]
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
