"""A program: let writers of one store be killed at random moments, and check what is there against what they were told.

```text
python tests/contracts/killed_writers.py URL KILLS SEED
```

It forks its writers, as a new interpreter for each would take most of the time. Prints how many entries were
acknowledged; ends with an error where one of them is missing.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from typing import TYPE_CHECKING

import anyio

from tinyllm_actors.conversation import Entry, Snapshot, TurnStarted, open_journal, store_from_url, thaw

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

KEYS = [f"chat/{number}" for number in range(8)]


async def write(url: str, owner: str, out: int) -> None:
    """Append to all conversations as fast as it goes, and tell of each entry that was acknowledged."""
    async with store_from_url(url) as store, open_journal(store) as journal, anyio.create_task_group() as tasks:

        async def write_one(key: str) -> None:
            ours = await thaw(store, key, owner)
            number = len(ours.state.nodes)
            while True:
                number += 1
                entry = TurnStarted(
                    id=f"{key}:{number}",
                    parent=ours.state.head,
                    turn_id=f"t{number}",
                    content="x" * (number % 900),
                )
                ours.state.apply(entry)
                entries: list[Entry] = [entry]
                if number % 20 == 0:
                    entries.append(Snapshot(id=f"{key}:s{number}", state=ours.state.dump()))
                await journal.append(ours.grant, entries)
                os.write(out, f"{key} {number}\n".encode())  # atomic, as it is short

        for key in KEYS:
            tasks.start_soon(write_one, key)


async def check(url: str, acknowledged: dict[str, int]) -> None:
    """Check that each acknowledged entry is there, once and in order."""
    async with store_from_url(url) as store:
        for key in KEYS:
            thawed = await thaw(store, key, "checker")
            there = list(thawed.state.nodes)
            assert thawed.cut == 0, key
            assert there == [f"{key}:{number}" for number in range(1, len(there) + 1)], key
            assert len(there) >= acknowledged[key], (key, len(there), acknowledged[key])


def forked(function: Callable[..., Awaitable[None]], *args: object) -> int:
    """Run an async function in a child; return its process id."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            anyio.run(function, *args)
            status = 0
        finally:
            os._exit(status)
    return child


def checked(url: str, acknowledged: dict[str, int]) -> None:
    """Check in a child."""
    _, status = os.waitpid(forked(check, url, acknowledged), 0)
    if status:
        sys.exit(f"the check failed; acknowledged: {acknowledged}")


def main(url: str, kills: int, seed: str) -> None:
    """Kill, check, and go on."""
    randomly = random.Random(seed)
    acknowledged = dict.fromkeys(KEYS, 0)
    for kill in range(kills):
        reading, writing = os.pipe()
        child = forked(write, url, f"life-{kill}", writing)
        os.close(writing)
        with os.fdopen(reading) as lines:
            for _ in range(randomly.randrange(1, 40)):
                note(lines.readline(), acknowledged)
            os.kill(child, signal.SIGKILL)
            for line in lines:
                note(line, acknowledged)
        os.waitpid(child, 0)
        if kill % 10 == 0:
            checked(url, acknowledged)
    checked(url, acknowledged)
    sys.stdout.write(str(sum(acknowledged.values())))


def note(line: str, acknowledged: dict[str, int]) -> None:
    """Take in what a writer was told."""
    key, _, number = line.partition(" ")
    if not number.endswith("\n"):
        sys.exit(f"a writer ended by itself, after {line!r}")
    acknowledged[key] = int(number)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
