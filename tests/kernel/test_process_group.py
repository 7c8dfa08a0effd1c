"""Ending a process with all that it started."""

from __future__ import annotations

import signal
import subprocess
import sys

import anyio
import pytest

from tinyllm_actors.kernel.process_group import ending, kill_group

PROGRAM = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.anyio
async def test_a_process_ends_with_its_children_and_leaves_no_zombie() -> None:
    """Also where its caller is cancelled; killing it again does nothing."""
    process = await anyio.to_thread.run_sync(
        lambda: subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True
        )
    )
    assert process.stdout is not None
    child = int(await anyio.to_thread.run_sync(process.stdout.readline))
    with anyio.CancelScope() as scope:
        scope.cancel()
        await kill_group(process)
    assert process.returncode == -signal.SIGKILL
    status = anyio.Path(f"/proc/{child}/status")
    with anyio.fail_after(30):  # whoever adopts it reaps it
        while await status.exists() and "(zombie)" not in await status.read_text():  # noqa: ASYNC110 - nobody tells
            await anyio.sleep(0.001)
    await kill_group(process)
    process.stdout.close()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "does not end"),
        (0, "ended with exit status 0"),
        (3, "ended with exit status 3"),
        (-signal.SIGSEGV, "was killed by SIGSEGV"),
        (-1000, "was killed by signal 1000"),
    ],
)
def test_how_a_process_ended_is_said_in_words(code: int | None, words: str) -> None:
    """A signal by its name where it has one."""
    assert ending(code) == words
