"""What state machines did, as lines that can be kept in a file and compared."""

from __future__ import annotations

import os
from contextlib import contextmanager
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING

from tinyllm_actors.kernel import Transition

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from tinyllm_actors.kernel import ActorSystem

__all__ = ["assert_golden", "record_transitions"]

UPDATE = "TINYLLM_UPDATE_GOLDEN"
"""The environment variable that makes `assert_golden` write instead of compare."""


@contextmanager
def record_transitions(
    system: ActorSystem, *, lifecycle: bool = False, where: Callable[[Transition], bool] | None = None
) -> Generator[list[str]]:
    r"""Collect transitions as the log shows them: one line `[name] transition to: STATE` each.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> async def main() -> None:
    ...     async with ActorSystem("test") as system:
    ...         with record_transitions(system, lifecycle=True) as lines:
    ...             await (await system.spawn(Actor, name="Door")).stop()
    ...         print("\n".join(lines))
    >>> anyio.run(main)
    [Door] transition to: STARTING
    [Door] transition to: RUNNING
    [Door] transition to: STOPPING
    [Door] transition to: STOPPED

    ```

    Args:
        system: whose.
        lifecycle: the starts and stops of actors too.
        where: only those for which it returns True.
    """
    lines: list[str] = []

    def on_transition(event: Transition) -> None:
        if (lifecycle or event.machine != "lifecycle") and (where is None or where(event)):
            lines.append(f"[{event.name}] transition to: {event.target}")

    system.events_stream.subscribe(on_transition, Transition)
    try:
        yield lines
    finally:
        system.events_stream.unsubscribe(on_transition)


def assert_golden(lines: Sequence[str], path: str | Path) -> None:
    """Compare lines with those of a file; with `TINYLLM_UPDATE_GOLDEN=1` in the environment write them there.

    Args:
        lines: what happened.
        path: the file, with one line each.

    Raises:
        AssertionError: they differ; the message shows how.
    """
    path = Path(path)
    if os.environ.get(UPDATE):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return
    if not path.exists():
        raise AssertionError(f"there is no golden file {path.name!r}; run once with {UPDATE}=1 and read what it wrote")
    expected = path.read_text(encoding="utf-8").splitlines()
    if expected != list(lines):
        difference = "\n".join(unified_diff(expected, list(lines), path.name, "what happened", lineterm=""))
        raise AssertionError(f"transitions differ; if that is right, run with {UPDATE}=1\n{difference}")
