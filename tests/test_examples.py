"""The examples: each runs offline, on every event loop, without a warning."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("[0-9]*.py"))
BACKENDS = [
    pytest.param(name, marks=[] if importlib.util.find_spec(name) else [pytest.mark.skip(reason=f"{name} is missing")])
    for name in ("asyncio", "uvloop", "trio")
]
LINE = re.compile(
    r"INFO \| tinyllm_actors\.(?:function|agent) \| \d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} "
    r": \[(\w+)\] transition to: (?:Agent)?States\.(\w+)"
)


def run(example: Path, *arguments: str) -> str:
    """Run an example with the scripted model and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", example, "--model", "scripted", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("example", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_examples_run_offline(example: Path, backend: str) -> None:
    """An example does its work with the scripted model, and writes nothing to standard error."""
    assert run(example, "--backend", backend)


def test_examples_are_here() -> None:
    """There are examples to test."""
    assert EXAMPLES


@pytest.mark.parametrize("arguments", [[], ["--stream"]], ids=["plain", "streamed"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_birthday(backend: str, arguments: list[str]) -> None:
    """The agent asks its tool and names the birthday; all that happens meanwhile is in the trace."""
    *lines, last = run(EXAMPLES[0], "--backend", backend, *arguments).splitlines()
    result: dict[str, Any] = ast.literal_eval(last)
    answer = "The user's birthday is January 1st."
    assert result["output"]["response"]["choices"][0]["message"]["content"] == answer
    assert result["evaluations"][0]["evals"] == {"answer_correctness": 1.0}
    found = [LINE.fullmatch(line) for line in lines]
    assert [line for line, match in zip(lines, found, strict=True) if not match] == ([answer] if arguments else [])
    transitions = [(match[1], match[2]) for match in found if match]
    names = ["BufferMemory", "get_user_property", "Toolkit", "Scripted", "AnswerCorrectnessEvaluator", "Agent"]
    assert transitions[:6] == [(name, "INIT") for name in names]
    assert transitions[-1] == ("Agent", "COMPLETE")
    completed = [name for name, state in transitions if state == "COMPLETE"]
    assert completed.count("BufferMemory") >= 2
    assert [name for name in completed if name != "BufferMemory"] == [
        "Scripted",
        "get_user_property",
        "Toolkit",
        "Scripted",
        "AnswerCorrectnessEvaluator",
        "Agent",
    ]
