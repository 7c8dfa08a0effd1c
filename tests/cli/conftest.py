"""A terminal with the command in it, and a person's patience."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE = 30.0
"""Seconds to wait for what must come, on a busy machine."""

COMMAND = [sys.executable, "-W", "error", "-m", "tinyllm_actors.cli"]

# Makes the terminal on standard input the one whose Ctrl-C reaches the program, as a shell does.
TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)
ESCAPES = re.compile(rb"\x1b\[[0-9;?]*[a-zA-Z]|\x1b[=>]|\r")


class Terminal:
    """A program in a terminal of its own.

    Args:
        arguments: of the `tinyllm-actors` command.
        term: the kind of terminal; `"dumb"` has no line editing.
    """

    def __init__(self, *arguments: str, term: str) -> None:
        self._fd, self._inner = pty.openpty()
        self.settings = termios.tcgetattr(self._inner)
        environment = os.environ | {"TERM": term, "PROMPT_TOOLKIT_NO_CPR": "1", "NO_COLOR": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", TAKE_TERMINAL, *COMMAND, *arguments],
            stdin=self._inner,
            stdout=self._inner,
            stderr=self._inner,
            env=environment,
            start_new_session=True,
        )
        self.shown = ""
        self._seen = 0

    def type(self, keys: str) -> None:
        """Press keys: a carriage return is Enter, the characters 3 and 4 are Ctrl-C and Ctrl-D."""
        os.write(self._fd, keys.encode())

    def signal(self, signum: signal.Signals) -> None:
        """Send the program a signal."""
        self._process.send_signal(signum)

    def wait_for(self, text: str) -> str:
        """Wait until the terminal shows `text` after what was waited for last; return what came before it."""
        deadline = time.monotonic() + PATIENCE
        while (found := self.shown.find(text, self._seen)) < 0:
            self._read(deadline, f"{text!r}")
        before = self.shown[self._seen : found]
        self._seen = found + len(text)
        return before

    def wait_for_end(self) -> int:
        """Wait until the program has ended and return its exit code."""
        deadline = time.monotonic() + PATIENCE
        while self._process.poll() is None:
            self._read(deadline, "the end", patience=0.05)
        return self._process.returncode

    def settings_now(self) -> object:
        """Return the terminal's settings, to compare with `settings`."""
        return termios.tcgetattr(self._inner)

    def _read(self, deadline: float, what: str, patience: float = 1.0) -> None:
        if time.monotonic() > deadline:
            pytest.fail(f"waited {PATIENCE} s for {what}; the terminal shows:\n{self.shown}")
        if select.select([self._fd], [], [], patience)[0]:
            self.shown += ESCAPES.sub(b"", os.read(self._fd, 65536)).decode(errors="replace")

    def close(self) -> None:
        """Take the terminal away, and the program with it."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        os.close(self._inner)
        os.close(self._fd)


@pytest.fixture
def open_terminal() -> Iterator[Callable[..., Terminal]]:
    """Return a function that opens a terminal with the command in it."""
    opened: list[Terminal] = []

    def open_one(*arguments: str, term: str = "dumb") -> Terminal:
        opened.append(Terminal(*arguments, term=term))
        return opened[-1]

    yield open_one
    for terminal in opened:
        terminal.close()


@pytest.fixture
def run_command() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the command: arguments, `text` for its standard input, environment variables."""

    def run(*arguments: str, text: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*COMMAND, *arguments],
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            env=os.environ | environment,
        )

    return run
