"""What a user sees while something takes its time."""

from __future__ import annotations

import io
import re

import anyio
import anyio.lowlevel
import pytest

from tinyllm_actors.cli import progress as module
from tinyllm_actors.cli.progress import ERASE, FRAMES, progress
from tinyllm_actors.kernel import ConsoleLog

pytestmark = pytest.mark.anyio


class Screen(io.StringIO):
    """Where things are drawn, which says when something was."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal
        self.drawn = anyio.Event()

    def isatty(self) -> bool:
        return self._terminal

    def flush(self) -> None:
        super().flush()
        self.drawn.set()
        self.drawn = anyio.Event()


@pytest.fixture(autouse=True)
def _without_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.0)


@pytest.fixture
def screen() -> Screen:
    """Return a terminal."""
    return Screen(terminal=True)


@pytest.fixture
def log(screen: Screen) -> ConsoleLog:
    """Return a log on that terminal."""
    return ConsoleLog(screen)


async def test_a_terminal_shows_a_line_that_moves(screen: Screen, log: ConsoleLog) -> None:
    """A terminal is told what goes on and since when, and is left without a trace of it."""
    async with progress("loading", log=log, file=screen):
        for _ in range(2):
            await screen.drawn.wait()
    first, second, *_, last = screen.getvalue().split(ERASE)[1:]
    assert re.fullmatch(r". loading, \d+\.\d s", first)
    assert re.fullmatch(r". loading, \d+\.\d s", second)
    assert (first[0], second[0]) == (FRAMES[0], FRAMES[1])
    assert last == ""


async def test_lines_of_the_log_do_not_run_into_it(screen: Screen, log: ConsoleLog) -> None:
    """A line that is logged meanwhile takes the place of the moving one, and nothing is wiped afterwards."""
    async with progress("loading", log=log, file=screen):
        await screen.drawn.wait()
        log.line("INFO | logged")
    log.line("INFO | later")
    assert f"s{ERASE}INFO | logged\n" in screen.getvalue()
    assert screen.getvalue().endswith(f"{ERASE}INFO | later\n")
    assert log.below is None


async def test_a_failure_is_raised_as_it_is(screen: Screen, log: ConsoleLog) -> None:
    """What the block raises is raised, without a group around it, after the line is gone."""

    async def load() -> None:
        async with progress("loading", log=log, file=screen):
            await screen.drawn.wait()
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await load()
    assert screen.getvalue().endswith(ERASE)


async def test_cancelling_ends_it(screen: Screen, log: ConsoleLog) -> None:
    """A cancelled block leaves no line and no task behind."""
    with anyio.CancelScope() as scope:
        async with progress("loading", log=log, file=screen):
            await screen.drawn.wait()
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert screen.getvalue().endswith(ERASE)


async def test_anything_else_gets_a_sentence(log: ConsoleLog) -> None:
    """A pipe or a file gets one line, and no control characters."""
    file = Screen(terminal=False)
    async with progress("loading", log=log, file=file):
        await file.drawn.wait()
    assert file.getvalue() == "loading …\n"


@pytest.mark.parametrize("terminal", [True, False])
async def test_what_is_quick_is_not_mentioned(terminal: bool, log: ConsoleLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is shown of what ends before anybody wonders."""
    monkeypatch.setattr(module, "PATIENCE", 60.0)
    file = Screen(terminal=terminal)
    async with progress("loading", log=log, file=file):
        await anyio.lowlevel.checkpoint()
    assert file.getvalue() == ""
