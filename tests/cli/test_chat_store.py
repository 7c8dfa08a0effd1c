"""`tinyllm-actors chat --store`: conversations that outlive the program."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_chat import BACKENDS, ENTER, LONG, chat

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.test_chat import Open, Run


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_next_program_knows_what_was_said(backend: str, run_command: Run, tmp_path: Path) -> None:
    """A second chat with the same store goes on; one with another key is another conversation."""
    where = ["--store", f"sqlite:///{tmp_path}/chats.db", "--backend", backend]
    assert chat(run_command, "one\n", *where).stdout == "You said: one\n"
    second = chat(run_command, "two\n", *where)
    assert second.stdout.splitlines() == ["(2 messages so far)", "You said: two", "Before that: one"]
    assert chat(run_command, "three\n", *where, "--key", "other").stdout == "You said: three\n"


def test_a_program_that_is_killed_leaves_a_turn_that_goes_on(
    open_terminal: Open, run_command: Run, tmp_path: Path
) -> None:
    """The answer that was being given when the program died is given by the next one."""
    where = ["--store", f"sqlite:///{tmp_path}/chats.db"]
    terminal = open_terminal("chat", "--model", "scripted", *where, term="dumb")
    terminal.wait_for("Ctrl-D leaves.")
    terminal.type(LONG + "end" + ENTER)
    terminal.wait_for("You said: word word")
    terminal.signal(signal.SIGKILL)
    terminal.wait_for_end()
    again = chat(run_command, "", *where)
    assert again.stdout.splitlines()[0] == "(1 messages so far)"
    assert again.stdout.rstrip().endswith("word end")


def test_a_turn_that_is_stopped_is_not_taken_up_again(open_terminal: Open, run_command: Run, tmp_path: Path) -> None:
    """Ctrl-C ends the turn for good; the next program has nothing to finish."""
    where = ["--store", f"sqlite:///{tmp_path}/chats.db"]
    terminal = open_terminal("chat", "--model", "scripted", *where, term="dumb")
    terminal.wait_for("Ctrl-D leaves.")
    terminal.type(LONG + ENTER)
    terminal.wait_for("You said: word word")
    terminal.type("\x03")
    terminal.wait_for("(stopped)")
    terminal.type("\x04")
    assert terminal.wait_for_end() == 0
    again = chat(run_command, "", *where)
    assert again.stdout.splitlines() == ["(1 messages so far)"]


def test_a_store_that_is_none_is_one_sentence(run_command: Run) -> None:
    """A URL that no adapter takes is an exit code and a sentence."""
    done = chat(run_command, "hi\n", "--store", "sqlit:///x.db")
    assert done.returncode == 1
    assert "Did you mean 'sqlite:'" in done.stderr
