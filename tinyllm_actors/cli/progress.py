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

__all__ = ["progress"]

PERIOD: Final = 0.1
FRAMES: Final = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
ERASE: Final = "\r\x1b[K"


@asynccontextmanager
async def progress(what: str, file: TextIO | None = None) -> AsyncGenerator[None]:
    """Show that the block works on `what`, and for how long; nothing of it stays on a terminal.

    Args:
        what: in words, such as `"loading the model"`.
        file: where to; standard error if left out.
    """
    screen = sys.stderr if file is None else file
    if not screen.isatty():
        print(f"{what} …", file=screen)
        yield
        return
    started = anyio.current_time()

    async def turn() -> None:
        for frame in itertools.cycle(FRAMES):
            print(f"{ERASE}{frame} {what}, {anyio.current_time() - started:.1f} s", end="", file=screen, flush=True)
            await anyio.sleep(PERIOD)

    error: Exception | None = None
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(turn)
            try:
                yield
            except Exception as raised:
                error = raised  # raised below, without the group around it
            group.cancel_scope.cancel()
    finally:
        print(ERASE, end="", file=screen, flush=True)
    if error is not None:
        raise error
