"""The command line: arguments, exit codes, and the sentence that a failure is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from tinyllm_actors import cli
from tinyllm_actors.cli import command, main
from tinyllm_actors.cli import program as cli_program
from tinyllm_actors.cli.plain import one_line, printable, sentence
from tinyllm_actors.errors import ActorFailed, AuthenticationFailed, RestartLimitExceeded, StartFailed
from tinyllm_actors.testing import ScriptedModel, fail

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., subprocess.CompletedProcess[str]]

BUSY = 2.0
"""How much slower the same work is, in CPU time, while other tests run on the neighbouring core."""


def test_help_is_fast() -> None:
    """`--help` names the commands, and costs at most 0.3 s of CPU on an idle machine."""
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-m", "tinyllm_actors.cli", "--help"], capture_output=True, text=True, check=True
    )
    after = os.times()
    assert "demo" in done.stdout
    assert "chat" in done.stdout
    used = after.children_user + after.children_system - before.children_user - before.children_system
    assert used <= 0.3 * BUSY


def test_help_imports_nothing_big() -> None:
    """The arguments are read before the runtime is imported."""
    program = (
        "import sys; from tinyllm_actors.cli import main\n"
        "try: main(['chat', '--help'])\nexcept SystemExit: pass\n"
        "print({'anyio', 'structlog', 'pydantic', 'importlib.metadata'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("set()\n")


def test_version(run_command: Run) -> None:
    """`--version` prints the name and the version, and nothing else."""
    done = run_command("--version")
    assert re.fullmatch(r"tinyllm-actors \d+\.\d+\.\d+\S*\n", done.stdout)
    assert done.returncode == 0


@pytest.mark.parametrize("arguments", [[], ["talk"], ["demo", "--backend", "curio"], ["chat", "--models", "local"]])
def test_wrong_arguments_are_told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Arguments that do not exist end in exit code 2 and a usage line."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "usage: tinyllm-actors" in capsys.readouterr().err


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
@pytest.mark.parametrize("command_name", ["demo", "chat"])
def test_a_model_that_does_not_exist_is_one_sentence(command_name: str, backend: str, run_command: Run) -> None:
    """A name that no adapter takes is an exit code and one sentence that names it, without a traceback."""
    pytest.importorskip(backend)
    done = run_command(command_name, "--model", "nobody", "--backend", backend)
    assert done.returncode == 1
    assert done.stdout == ""
    *loading, last = done.stderr.splitlines()
    assert loading in ([], ["loading the model 'nobody' …"])  # the latter if it takes half a second or more
    assert last.startswith("tinyllm-actors: ")
    assert "'nobody'" in last


def test_debug_shows_where_a_failure_came_from(run_command: Run) -> None:
    """With `--debug` the failure has its traceback."""
    done = run_command("demo", "--model", "nobody", "--debug")
    assert done.returncode != 0
    assert "Traceback" in done.stderr
    assert "UnknownModel" in done.stderr


@pytest.mark.parametrize("arguments", [["demo"], ["demo", "--stream"]])
def test_an_answer_that_fails_is_one_sentence(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An error dictionary is printed as it is, and its message alone on standard error; the exit code is 1."""
    error = AuthenticationFailed("the provider refused the key; set another one")
    monkeypatch.setattr("tinyllm_actors.cli.models.EchoModel", lambda: ScriptedModel([fail(error)]))
    assert main([*arguments, "--model", "scripted"]) == 1
    shown = capfd.readouterr()
    assert shown.err == "tinyllm-actors: the provider refused the key; set another one\n"
    assert "'type': 'AuthenticationFailed'" in shown.out.splitlines()[-1]
    assert "[Agent] transition to: States.FAILED" in shown.out


def test_a_missing_back_end_names_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without trio, `--backend trio` says how to get it."""
    monkeypatch.setattr(cli_program.importlib.util, "find_spec", lambda name: None)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
    assert main(["demo", "--backend", "trio"]) == 1
    assert "pip install 'tinyllm_actors[trio]'" in capsys.readouterr().err


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_reader_that_leaves_is_no_failure_to_talk_about(backend: str) -> None:
    """`tinyllm-actors demo | head -1` ends without a word on standard error."""
    pytest.importorskip(backend)
    arguments = [sys.executable, "-m", "tinyllm_actors.cli", "demo", "--model", "scripted", "--backend", backend]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_closed_standard_files_are_survived(backend: str) -> None:
    """A process without standard input and output does its work in silence."""
    pytest.importorskip(backend)
    done = subprocess.run(
        f"{sys.executable} -m tinyllm_actors.cli chat --model scripted --backend {backend} <&- >&-",
        shell=True,
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_ctrl_c_before_there_is_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Ctrl-C while things are imported is exit code 130, and no traceback."""

    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "_run", interrupted)
    assert main(["demo"]) == 130


def test_sentences() -> None:
    """A failure is told by its first cause, on one line, without secrets or control characters."""
    cause = ValueError("no route\nto host, api_key=abcd1234 \x1b[31m")
    wrapped = StartFailed("a", RestartLimitExceeded("a", "a/b", 3, 5.0, ActorFailed("a/b", cause)))
    assert sentence(wrapped) == "no route to host, api_key=*** [31m"
    assert sentence(KeyError()) == "KeyError"


def test_long_text_is_cut_without_being_read() -> None:
    """One line of a text of any size has the asked length, and costs no time for the rest."""
    huge = "word " * 10_000_000
    began = time.process_time()
    assert one_line(huge, 20) == "word word word word…"
    assert time.process_time() - began < 0.5
    assert one_line("short") == "short"
    assert printable("a\x07b\x9bc\td\n") == "abc\td\n"


def test_main_is_public() -> None:
    """The console script's entry point is where `pyproject.toml` says."""
    assert cli.__all__ == ["main"]
