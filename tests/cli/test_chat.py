"""`tinyllm-actors chat` in a pipe and in a terminal."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tinyllm_actors.integrations.local_model import LocalModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Terminal

    Run = Callable[..., subprocess.CompletedProcess[str]]
    Open = Callable[..., Terminal]

BACKENDS = [
    pytest.param(name, marks=[] if importlib.util.find_spec(name) else [pytest.mark.skip(reason=f"{name} is missing")])
    for name in ("asyncio", "uvloop", "trio")
]
EDITED = pytest.mark.skipif(importlib.util.find_spec("prompt_toolkit") is None, reason="prompt_toolkit is missing")
TERMINALS = [pytest.param("dumb", id="plain"), pytest.param("xterm", id="edited", marks=EDITED)]
LONG = "word " * 400
"""Takes the scripted model eight seconds to say again, one word at a time."""

ENTER, CTRL_C, CTRL_D = "\r", "\x03", "\x04"


def chat(run_command: Run, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a chat whose user is a pipe."""
    return run_command("chat", "--model", "scripted", *arguments, text=text)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_chat_can_be_piped(backend: str, run_command: Run) -> None:
    """Each line of a pipe is a turn or a command, in order; nothing else is printed."""
    done = chat(run_command, "hi\n\nWhat is my name?\n/quit\nnever said\n", "--backend", backend)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "You said: hi",
        "→ get_user_property(asked_property='name')",
        "← Elias",
        "The user's name is Elias.",
    ]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_chat_can_be_read_from_a_file(backend: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A file on disk, whose last line has no end, is a conversation too."""
    path = tmp_path_factory.mktemp("chat") / "questions"
    path.write_text("one\r\ntwo", encoding="utf-8")
    with path.open() as file:
        done = subprocess.run(
            [sys.executable, "-m", "tinyllm_actors.cli", "chat", "--model", "scripted", "--backend", backend],
            stdin=file,
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["You said: one", "You said: two", "Before that: one"]


def test_commands(run_command: Run) -> None:
    """`/tree` shows the live actors, `/help` the commands; a word with a slash that is neither is told."""
    done = chat(run_command, "/tree\n/help\n/cancel\n/exit\n/etc/hosts is a file\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert "└── Agent  Agent RUNNING" in done.stdout
    assert "    │   └── get_user_property  ToolFunction RUNNING" in done.stdout
    assert "/cancel  stop the answer" in done.stdout
    assert "(there is nothing to stop)" in done.stdout
    assert "(there is no command /exit; /help lists them)" in done.stdout
    assert done.stdout.endswith("You said: /etc/hosts is a file\n")


def test_a_trace_can_be_shown(run_command: Run) -> None:
    """With `--trace` the transitions are between the lines of the conversation, and do not cut them."""
    done = chat(run_command, "hello you there\n", "--trace")
    assert "\nYou said: hello you there\n" in done.stdout
    assert "[Agent] transition to: States.COMPLETE" in done.stdout


def test_the_role_reaches_the_model(run_command: Run) -> None:
    """`--system` is what the agent is told about its role."""
    program = (
        "import sys; from tinyllm_actors.cli import main, models\n"
        "from tinyllm_actors.testing import ScriptedModel, text\n"
        "def say(request): return text(request.messages[0].content)\n"
        "models.EchoModel = lambda: ScriptedModel([say])\n"
        "sys.exit(main(['chat', '--model', 'scripted', '--system', 'You are a bee.']))"
    )
    done = subprocess.run([sys.executable, "-c", program], input="hi\n", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "You are a bee.\n", "")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_turn_that_fails_is_one_sentence(backend: str) -> None:
    """What an error dictionary says is one line on standard error; the next question is answered, the code is 1."""
    program = (
        "import sys; from tinyllm_actors.cli import main, models\n"
        "from tinyllm_actors.errors import QuotaExceeded\n"
        "from tinyllm_actors.testing import ScriptedModel, fail, text\n"
        "error = QuotaExceeded('no credit\\nis left; add some')\n"
        "models.EchoModel = lambda: ScriptedModel([fail(error, after='Half an '), text('\\x1b[31mHere\\x1b[0m.')])\n"
        f"sys.exit(main(['chat', '--model', 'scripted', '--backend', {backend!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], input="a\nb\n", capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "tinyllm-actors: no credit is left; add some\n"
    assert done.stdout == "Half an \n[31mHere[0m.\n"


@pytest.mark.parametrize("term", TERMINALS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_ctrl_c_stops_a_turn_and_keeps_the_conversation(backend: str, term: str, open_terminal: Open) -> None:
    """Ctrl-C in the middle of an answer stops it; the next one is given, and knows what was said before."""
    terminal = open_terminal("chat", "--model", "scripted", "--backend", backend, term=term)
    terminal.wait_for("Talking to scripted")
    terminal.wait_for(">")
    terminal.type(f"a {LONG}{ENTER}")
    terminal.wait_for("You said: a word word")
    terminal.type(CTRL_C)
    assert terminal.wait_for("(stopped)").count("word") < 400
    terminal.wait_for(">")
    terminal.type(f"What now?{ENTER}")
    terminal.wait_for("You said: What now?")
    terminal.wait_for("Before that: a word word")
    terminal.wait_for(">")
    terminal.type(CTRL_D)
    assert terminal.wait_for_end() == 0
    assert terminal.settings_now() == terminal.settings


@pytest.mark.parametrize("term", TERMINALS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_commands_during_a_turn(backend: str, term: str, open_terminal: Open) -> None:
    """While an answer is given, `/tree` shows who is busy, a question waits for its turn, and `/cancel` stops."""
    terminal = open_terminal("chat", "--model", "scripted", "--backend", backend, term=term)
    terminal.wait_for(">")
    terminal.type(f"a {LONG}{ENTER}")
    terminal.wait_for("You said: a word word")
    terminal.type(f"/tree{ENTER}")
    terminal.wait_for("Agent  Agent RUNNING")
    assert "on Call for" in terminal.wait_for("memory")
    terminal.type(f"next{ENTER}/cancel{ENTER}")
    terminal.wait_for("(stopped)")
    terminal.wait_for("You said: next")
    terminal.wait_for(">")
    terminal.type(f"/quit{ENTER}")
    assert terminal.wait_for_end() == 0


@pytest.mark.parametrize("term", TERMINALS)
def test_ctrl_c_at_the_prompt_drops_the_line(term: str, open_terminal: Open) -> None:
    """Between turns, Ctrl-C drops what was typed and says how to leave."""
    terminal = open_terminal("chat", "--model", "scripted", term=term)
    terminal.wait_for(">")
    terminal.type(f"dropped{CTRL_C}")
    terminal.wait_for("(Ctrl-D or /quit leaves)")
    terminal.wait_for(">")
    terminal.type(f"kept{ENTER}")
    terminal.wait_for("You said: kept")
    terminal.wait_for(">")
    terminal.type(f"/quit{ENTER}")
    assert terminal.wait_for_end() == 0


@pytest.mark.parametrize("term", TERMINALS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_termination_signal_at_the_prompt(backend: str, term: str, open_terminal: Open) -> None:
    """The program ends in good order when it is told to, and leaves the terminal as it found it."""
    terminal = open_terminal("chat", "--model", "scripted", "--backend", backend, term=term)
    terminal.wait_for(">")
    terminal.signal(signal.SIGTERM)
    assert terminal.wait_for_end() == 143
    assert terminal.settings_now() == terminal.settings


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_interrupt_ends_a_piped_chat(backend: str) -> None:
    """Where there is no terminal, an interrupt between turns ends the program, with the usual code and no traceback."""
    arguments = [sys.executable, "-m", "tinyllm_actors.cli", "chat", "--model", "scripted", "--backend", backend]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"hi\n/nothing\n")
        assert process.stdout.readline() == b"You said: hi\n"
        assert b"/nothing" in process.stdout.readline()  # so the turn is over
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr.read() == b""


@pytest.mark.skipif(LocalModel.available() is not None, reason=f"{LocalModel.available()}")
@pytest.mark.timeout(180)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_chat_with_the_local_model(backend: str, run_command: Run) -> None:
    """The embedded model converses, without the tool that it would call at any word."""
    done = run_command("chat", "--backend", backend, text="Hello!\nTell me about cats, in a sentence.\n")
    assert done.returncode == 0
    assert done.stderr in {"", "loading the model 'local' …\n"}  # the latter if it takes half a second or more
    assert "→" not in done.stdout
    assert len(done.stdout.splitlines()) >= 2
