"""Run a program on a back end: what Ctrl-C does, and what is left of it in the exit code."""

from __future__ import annotations

import importlib.util
import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio

from tinyllm_actors.errors import MissingDependency
from tinyllm_actors.kernel.restart import unwrap

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

__all__ = ["Interrupts", "Main", "run_program"]


class Interrupts:
    """Ctrl-C and the termination signal: the first ends the program in good order, the second at once.

    Whoever has a better use for Ctrl-C takes it with `taken_by`.

    Attributes:
        ended_by: the signal that ended the program, if one did.
    """

    def __init__(self) -> None:
        self.scope = anyio.CancelScope()
        self.ended_by: int | None = None
        self._takers: list[Callable[[], None]] = []

    @contextmanager
    def taken_by(self, taker: Callable[[], None]) -> Generator[None]:
        """Within the block, Ctrl-C calls `taker`."""
        self._takers.append(taker)
        try:
            yield
        finally:
            self._takers.remove(taker)

    def end(self, signum: int = signal.SIGINT) -> None:
        """End the program; at once, if it is ending already."""
        if self.ended_by is not None:
            os._exit(128 + signum)
        self.ended_by = signum
        self.scope.cancel()

    async def watch(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        """Take the signals until cancelled."""
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for signum in signals:
                if signum == signal.SIGINT and self._takers:
                    self._takers[-1]()
                else:
                    self.end(signum)


Main: TypeAlias = "Callable[[Interrupts], Awaitable[int]]"


def run_program(program: Main, backend: str) -> int:
    """Run `program` on `backend` and return the exit code.

    Args:
        program: gets the signals, and returns the code.
        backend: `"asyncio"`, `"uvloop"` or `"trio"`.

    Raises:
        MissingDependency: the back end's package is not installed.
    """
    if importlib.util.find_spec(backend) is None:
        raise MissingDependency(
            f"--backend {backend} needs the package {backend!r}; install it: pip install 'tinyllm_actors[{backend}]'"
        )
    options: dict[str, Any] = {"backend": backend}
    if backend == "uvloop":
        options = {"backend": "asyncio", "backend_options": {"use_uvloop": True}}
    return anyio.run(_run, program, **options)


async def _run(program: Main) -> int:
    interrupts = Interrupts()
    code = 0
    try:
        async with anyio.create_task_group() as group:
            await group.start(interrupts.watch)
            with interrupts.scope:
                code = await program(interrupts)
            group.cancel_scope.cancel()
    except BaseExceptionGroup as failures:
        raise unwrap(failures) from None
    return code if interrupts.ended_by is None else 128 + interrupts.ended_by
