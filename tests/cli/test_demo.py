"""`tinyllm-actors demo`: the trace and the answer."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import signal
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tinyllm_actors.integrations.local_model import LocalModel

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]

BACKENDS = [
    pytest.param(name, marks=[] if importlib.util.find_spec(name) else [pytest.mark.skip(reason=f"{name} is missing")])
    for name in ("asyncio", "uvloop", "trio")
]
LINE = re.compile(
    r"INFO \| tinyllm_actors\.(?:function|agent) \| \d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} "
    r": \[(\w+)\] transition to: (?:Agent)?States\.(\w+)"
)
LOADING = "loading the model 'local' …\n"
"""What standard error gets if that takes half a second or more."""

TO_RUNNING = ["INPUT_VALIDATION", "RUNNING"]
TO_COMPLETE = ["PROCESSING_OUTPUT", "PROCESSED_OUTPUT_VALIDATION", "COMPLETE"]
WHOLE = [*TO_RUNNING, "OUTPUT_VALIDATION", *TO_COMPLETE]


def steps(name: str, states: list[str]) -> list[tuple[str, str]]:
    """Return the transitions of one Function."""
    return [(name, state) for state in states]


def expected(model: str) -> list[tuple[str, str]]:
    """Return the transitions of the demo: parts are ready before what they are part of, and each call is whole.

    Without those of the memory: how often an agent talks to it is the agent's affair.
    """
    parts = ["get_user_property", "Toolkit", model, "AnswerCorrectnessEvaluator", "Agent"]
    return [
        *((name, "INIT") for name in parts),
        *steps("Agent", [*TO_RUNNING, "THINKING"]),
        *steps(model, WHOLE),
        ("Agent", "CALLING_TOOLS"),
        *steps("Toolkit", TO_RUNNING),
        *steps("get_user_property", WHOLE),
        *steps("Toolkit", ["OUTPUT_VALIDATION", *TO_COMPLETE]),
        ("Agent", "THINKING"),
        *steps(model, WHOLE),
        *steps("Agent", ["ANSWERING", "READY", "OUTPUT_VALIDATION", "OUTPUT_EVALUATION"]),
        *steps("AnswerCorrectnessEvaluator", WHOLE),
        *steps("Agent", TO_COMPLETE),
    ]


def read(output: str) -> tuple[list[tuple[str, str]], list[str], dict[str, Any]]:
    """Return what the demo printed: transitions, other lines, and the dictionary in the last line."""
    *lines, last = output.splitlines()
    found = [LINE.fullmatch(line) for line in lines]
    transitions = [(match[1], match[2]) for match in found if match]
    return transitions, [line for line, match in zip(lines, found, strict=True) if not match], ast.literal_eval(last)


def check_trace(transitions: list[tuple[str, str]], model: str) -> None:
    """Check the order of everything, and that the memory was there before, during and after."""
    memory = [state for name, state in transitions if name == "BufferMemory"]
    assert memory == ["INIT", *WHOLE * (len(memory) // len(WHOLE))]
    assert len(memory) > 2 * len(WHOLE)
    assert transitions[0] == ("BufferMemory", "INIT")
    assert [step for step in transitions if step[0] != "BufferMemory"] == expected(model)


def answer_of(result: dict[str, Any]) -> str:
    """Return the text of the answer."""
    return result["output"]["response"]["choices"][0]["message"]["content"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_demo_shows_each_transition_and_the_answer(backend: str, run_command: Run) -> None:
    """The trace has SEED's columns and order on every back end, then comes the dictionary with its evaluation."""
    done = run_command("demo", "--model", "scripted", "--backend", backend)
    assert (done.returncode, done.stderr) == (0, "")
    transitions, others, result = read(done.stdout)
    check_trace(transitions, "Echo")
    assert others == []
    assert result["status"] == "success"
    assert answer_of(result) == "The user's birthday is January 1st."
    assert result["evaluations"] == [{"evaluator": "AnswerCorrectnessEvaluator", "evals": {"answer_correctness": 1.0}}]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_streamed_demo_prints_the_answer_as_it_comes(backend: str, run_command: Run) -> None:
    """The words come between the model's start and its end, in one piece; the trace and the dictionary are the same."""
    done = run_command("demo", "--stream", "--model", "scripted", "--backend", backend)
    assert (done.returncode, done.stderr) == (0, "")
    transitions, others, result = read(done.stdout)
    check_trace(transitions, "Echo")
    assert others == [
        "→ get_user_property(asked_property='birthday')",
        "← January 1st",
        "The user's birthday is January 1st.",
    ]
    assert answer_of(result) == others[-1]
    before, _, after = done.stdout.partition(others[-1])
    # What the reader prints and what the agent does meanwhile are two streams: the last lines may change places.
    assert any(line.endswith("[Echo] transition to: States.RUNNING") for line in before.splitlines()[-3:])
    assert after.splitlines()[1].endswith("[Echo] transition to: States.OUTPUT_VALIDATION")


def test_without_the_local_model_the_scripted_one_answers(run_command: Run, tmp_path: os.PathLike[str]) -> None:
    """Where the weights or llama.cpp are missing, one sentence says so and the demo runs all the same."""
    missing = os.fspath(tmp_path) + "/none.gguf"
    done = run_command("demo", TINYLLM_LOCAL_WEIGHTS=missing)
    assert done.returncode == 0
    (notice,) = done.stderr.splitlines()
    assert missing in notice or "[local]" in notice
    assert notice.endswith("a scripted model answers instead")
    transitions, _, result = read(done.stdout)
    check_trace(transitions, "Echo")
    assert result["status"] == "success"


@pytest.mark.parametrize("backend", BACKENDS)
def test_ctrl_c_ends_the_demo(backend: str) -> None:
    """Ctrl-C while the model thinks ends the program with the usual code, and without a word."""
    program = (
        "import sys; from tinyllm_actors.cli import main, models\n"
        "slow = models.EchoModel(pace=3600)\n"
        "models.EchoModel = lambda: slow\n"
        f"sys.exit(main(['demo', '--stream', '--model', 'scripted', '--backend', {backend!r}]))"
    )
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        starts = 0
        while starts < 2:  # the second call of the model is the one that says something
            starts += process.stdout.readline().endswith("[Echo] transition to: States.RUNNING\n")
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr.read() == ""
        assert "[Agent] transition to: States.CANCELLED" in process.stdout.read()


def processes_with(variable: str) -> list[int]:
    """Return the processes whose environment has this variable."""
    found: list[int] = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"{variable}=".encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:  # it ended while we looked, or is another user's
            continue
    return found


@pytest.mark.skipif(LocalModel.available() is not None, reason=f"{LocalModel.available()}")
@pytest.mark.timeout(180)
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_demo_with_the_local_model(backend: str, run_command: Run) -> None:
    """The embedded model asks for the tool and names the birthday, and nothing of it is left."""
    arguments = [] if backend == "asyncio" else ["--stream"]
    mark = f"TINYLLM_TEST_{uuid.uuid4().hex}"
    done = run_command("demo", "--backend", backend, *arguments, **{mark: "1"})
    assert processes_with(mark) == []
    assert done.returncode == 0, done.stderr
    assert done.stderr in {"", LOADING}
    transitions, others, result = read(done.stdout)
    check_trace(transitions, "Local")
    assert "January 1st" in answer_of(result)
    assert result["evaluations"][0]["evals"] == {"answer_correctness": 1.0}
    assert (others[-1:] == [answer_of(result)]) == bool(arguments)
