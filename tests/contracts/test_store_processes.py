"""Several processes on one store, killed at any moment: what was acknowledged is there, and fences hold."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent

KILLS = os.environ.get("TINYLLM_ACTORS_KILLS", "50")
"""How often a writer is killed; more, by hand, to look for what is rare."""

SEED = os.environ.get("TINYLLM_ACTORS_SEED", "conversations")


def run(program: str, *arguments: str) -> str:
    """Return what a program prints, which must end well."""
    command = [sys.executable, str(PROGRAMS / program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("synchronous", ["full", "normal"])
def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, synchronous: str) -> None:
    """A writer is killed again and again at random moments; all that it was told to be stored is there, once."""
    url = f"sqlite:///{tmp_path}/chats.db?synchronous={synchronous}"
    kills = KILLS if synchronous == "normal" else str(int(KILLS) // 5)
    assert int(run("killed_writers.py", url, kills, SEED)) > 50


def test_what_was_acknowledged_by_a_server_survives_kill_9_of_the_writer(new_postgres_uri: str) -> None:
    """The same with PostgreSQL, whose connections break when the writer dies."""
    assert int(run("killed_writers.py", new_postgres_uri, str(int(KILLS) // 5), SEED)) > 50


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_two_processes_fence_each_other(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Two processes that take the same conversations from each other lose nothing, and no stale write gets in."""
    url = f"sqlite:///{tmp_path}/chats.db?synchronous=normal"
    if kind == "postgres":
        url = request.getfixturevalue("new_postgres_uri")
    assert int(run("rivals.py", url, "15")) > 0
