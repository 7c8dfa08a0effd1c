"""End a process with all that it started, and leave no zombie."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    import subprocess

__all__ = ["ending", "kill_group"]

_DYING = 5.0
"""Seconds that a killed process may take to go; only one that hangs in the kernel takes so long."""
_POLL = 0.001


async def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that leads its own session, and its process group, and take its exit status.

    Cancelling does not interrupt this; it takes at most five seconds, and a millisecond as a rule. Idempotent.
    """
    if process.returncode is None:
        # Before the status is taken: until then nobody else can get the number.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    with anyio.CancelScope(shield=True), anyio.move_on_after(_DYING):
        while process.poll() is None:  # noqa: ASYNC110 - nobody but the system knows, and it does not tell
            await anyio.sleep(_POLL)


def ending(code: int | None) -> str:
    """Return how a process ended, in words: `"was killed by SIGSEGV"`, `"ended with exit status 3"`."""
    if code is None:
        return "does not end"
    if code >= 0:
        return f"ended with exit status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
