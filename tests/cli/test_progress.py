"""What a user sees while something takes its time."""

from __future__ import annotations

import io
import re

import anyio
import pytest

from tinyllm_actors.cli.progress import ERASE, FRAMES, progress

pytestmark = pytest.mark.anyio


class Screen(io.StringIO):
    """A terminal that says when something was drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.drawn = anyio.Event()

    def isatty(self) -> bool:
        return True

    def flush(self) -> None:
        super().flush()
        self.drawn.set()


@pytest.fixture
def screen() -> Screen:
    """Return a terminal."""
    return Screen()


async def test_a_terminal_shows_a_line_that_moves(screen: Screen) -> None:
    """A terminal is told what goes on and since when, and is left without a trace of it."""
    async with progress("loading", screen):
        for _ in range(2):
            await screen.drawn.wait()
            screen.drawn = anyio.Event()
    first, second, *_, last = screen.getvalue().split(ERASE)[1:]
    assert re.fullmatch(r". loading, \d+\.\d s", first)
    assert re.fullmatch(r". loading, \d+\.\d s", second)
    assert (first[0], second[0]) == (FRAMES[0], FRAMES[1])
    assert last == ""


async def test_a_failure_is_raised_as_it_is(screen: Screen) -> None:
    """What the block raises is raised, without a group around it, after the line is gone."""
    with pytest.raises(ValueError, match="broken"):
        async with progress("loading", screen):
            await screen.drawn.wait()
            raise ValueError("broken")
    assert screen.getvalue().endswith(ERASE)


async def test_cancelling_ends_it(screen: Screen) -> None:
    """A cancelled block leaves no line and no task behind."""
    with anyio.CancelScope() as scope:
        async with progress("loading", screen):
            await screen.drawn.wait()
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert screen.getvalue().endswith(ERASE)


async def test_anything_else_gets_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """A pipe or a file gets one line, and no control characters."""
    async with progress("loading"):
        pass
    assert capsys.readouterr().err == "loading …\n"
