"""A run that is killed with SIGKILL goes on where it stood."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tinyllm_actors.evals import read_run

DRIVER = Path(__file__).with_name("killed_run.py")
PATIENCE = 100.0


@pytest.mark.timeout(300)
def test_a_killed_run_is_resumed(tmp_path: Path) -> None:
    """Killed twice in the middle, it ends complete: nothing recorded is run again, nothing is missing."""
    results, calls = tmp_path / "results.jsonl", tmp_path / "calls"
    other = "trio" if importlib.util.find_spec("trio") else "asyncio"
    command = [sys.executable, "-W", "error", str(DRIVER), str(results), str(calls)]
    recorded: set[str] = set()
    for kill_at, backend in ((20, "asyncio"), (50, other)):
        with subprocess.Popen([*command, backend], stdout=subprocess.DEVNULL) as process:
            deadline = time.monotonic() + PATIENCE
            while not results.exists() or results.read_bytes().count(b"\n") < kill_at:
                assert time.monotonic() < deadline
                assert process.poll() is None
                time.sleep(0.001)
            process.kill()
        now = {record.example for record in read_run(results).records}
        assert recorded < now
        recorded = now
        assert kill_at - 1 <= len(now) < 90
    done = subprocess.run([*command, "asyncio"], capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert done.stdout.endswith("complete\n")
    run = read_run(results)
    assert run.complete
    assert [record.evals["exact_match"] for record in run.records] == [1.0] * 90
    # What was in flight at each of two kills is run once more, four at a time at most.
    again = [count - 1 for count in Counter(calls.read_text(encoding="utf-8").split()).values()]
    assert sum(again) <= 2 * 4
