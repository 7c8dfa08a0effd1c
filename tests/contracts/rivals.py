"""A program: two processes take the same conversations from each other; in the end each journal is one line.

```text
python tests/contracts/rivals.py URL ENTRIES
```

Each entry follows the one that its writer saw last. Were a writer let in after the other had claimed, two entries
would follow the same one. The second claims all that the first has, so the first is fenced once in each at least; from
then on they compete. Prints how often a writer was fenced.
"""

from __future__ import annotations

import os
import random
import sys
import traceback

import anyio
import anyio.to_thread

from tinyllm_actors.conversation import Thawed, TurnStarted, open_journal, store_from_url, thaw
from tinyllm_actors.errors import Fenced

KEYS = [f"chat/{number}" for number in range(4)]


async def compete(url: str, owner: str, entries: int, out: int, gate: tuple[int, int]) -> None:
    """Append so many entries to each conversation, and claim it again whenever it was taken."""
    async with store_from_url(url) as store, open_journal(store) as journal, anyio.create_task_group() as tasks:

        async def compete_for(key: str, ours: Thawed) -> None:
            number = fenced = 0
            while number < entries:
                head = ours.state.head
                try:
                    while number < entries:
                        entry = TurnStarted(
                            id=f"{owner}:{number}", parent=head, turn_id=f"{owner}{number}", content="x"
                        )
                        await journal.append(ours.grant, [entry])
                        head, number = entry.id, number + 1
                except Fenced:
                    fenced += 1
                    # Else the two could take a key from each other for ever, each before the other has used it.
                    await anyio.sleep(random.uniform(0.0, 0.005 * min(fenced, 10)))
                    ours = await thaw(store, key, owner)
            os.write(out, b"." * fenced)

        claimed = {key: await thaw(store, key, owner) for key in KEYS}
        os.write(gate[1], b".")  # ready; the other is let go with this one
        await anyio.to_thread.run_sync(os.read, gate[0], 1)
        for key, ours in claimed.items():
            tasks.start_soon(compete_for, key, ours)


async def check(url: str, entries: int) -> None:
    """Check that each journal is one line of all entries of both."""
    async with store_from_url(url) as store:
        for key in KEYS:
            before: str | None = None
            ids: set[str] = set()
            for record in await store.page(key, after=0, limit=10_000):
                entry = record.entry()
                assert entry.parent == before, (key, entry.id, entry.parent, before)
                before = entry.id
                ids.add(entry.id)
            assert ids == {f"{owner}:{number}" for owner in "ab" for number in range(entries)}, (key, len(ids))


def main(url: str, entries: int) -> None:
    """Let two processes compete, and check."""
    reading, writing = os.pipe()
    ready, go = os.pipe(), os.pipe()
    children: list[int] = []
    for owner in "ab":
        child = os.fork()
        if child == 0:
            status = 1
            try:
                anyio.run(compete, url, owner, entries, writing, (go[0], ready[1]))
                status = 0
            except BaseException:
                traceback.print_exc()
                os.write(ready[1], b"!")  # the other, and who waits for both, must not wait for ever
            finally:
                os._exit(status)
        children.append(child)
        os.read(ready[0], 1)
    os.close(writing)
    os.write(go[1], b"..")
    with os.fdopen(reading, "rb") as out:
        fenced = len(out.read())
    if any(os.waitpid(child, 0)[1] for child in children):
        sys.exit("a rival failed")
    anyio.run(check, url, entries)
    sys.stdout.write(str(fenced))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
