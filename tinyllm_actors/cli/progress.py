"""Something is going on: a line that moves, or one sentence where nothing can."""

from __future__ import annotations

import itertools
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from typing import TextIO

    from tinyllm_actors.kernel import ConsoleLog

__all__ = ["progress"]

PATIENCE: Final = 0.5
PERIOD: Final = 0.1
FRAMES: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
ERASE: Final = "\r\x1b[K"


@asynccontextmanager
async def progress(what: str, *, log: ConsoleLog, file: TextIO | None = None) -> AsyncGenerator[None]:
    """Show that the block works on `what`, and for how long, if it takes half a second or more.

    Nothing of it stays on a terminal, and lines of the log do not run into it.

    Args:
        what: in words, such as `"loading the model"`.
        log: what is written to the same terminal.
        file: where to; standard error if left out.
    """
    screen = sys.stderr if file is None else file
    show = _moving_line if screen.isatty() else _sentence
    error: Exception | None = None
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(show, what, log, screen)
            try:
                yield
            except Exception as raised:
                error = raised  # raised below, without the group around it
            group.cancel_scope.cancel()
    finally:
        log.make_room()
        log.below = None
    if error is not None:
        raise error


async def _sentence(what: str, log: ConsoleLog, screen: TextIO) -> None:
    await anyio.sleep(PATIENCE)
    print(f"{what} …", file=screen, flush=True)


async def _moving_line(what: str, log: ConsoleLog, screen: TextIO) -> None:
    started = anyio.current_time()
    await anyio.sleep(PATIENCE)
    log.below = lambda: print(ERASE, end="", file=screen, flush=True)
    for frame in itertools.cycle(FRAMES):
        print(f"{ERASE}{frame} {what}, {anyio.current_time() - started:.1f} s", end="", file=screen, flush=True)
        await anyio.sleep(PERIOD)
