"""Kill the process at every step of a conversation; `crash_driver` says what must hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

DRIVER = Path(__file__).parent / "crash_driver.py"


def drive(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the driver in a process of its own: it forks, which a process with threads must not."""
    command = [sys.executable, str(DRIVER), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_killed_anywhere_it_goes_on_with_sqlite(backend: str, tmp_path: Path) -> None:
    """No acknowledged turn is lost, no tool runs twice that must not, nothing is paid for again, at any point."""
    done = drive(f"sqlite:///{tmp_path}/{{}}.db", "--backend", backend)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 of them broken" in done.stdout


@pytest.mark.timeout(300)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_killed_anywhere_it_goes_on_with_postgres(backend: str, new_postgres_uri: Any) -> None:
    """The same with a server, around each of its transactions: what lies between them is the same for all stores."""
    done = drive(new_postgres_uri, "--backend", backend, "--writes-only")
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 of them broken" in done.stdout


@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutation", ["acknowledge_early", "journal_late"])
def test_breaking_a_promise_is_noticed(mutation: str, tmp_path: Path) -> None:
    """A runtime that acknowledges before it writes, or journals after the effect, does not pass."""
    done = drive(f"sqlite:///{tmp_path}/{{}}.db", "--mutate", mutation)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "killed at point" in done.stdout


@pytest.mark.timeout(300)
def test_a_storm_of_kills(tmp_path: Path) -> None:
    """Dozens of conversations survive kill after kill at random moments."""
    done = drive(f"sqlite:///{tmp_path}/{{}}.db", "--soak", "12", "--conversations", "40")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 lost" in done.stdout
