"""Functions to compose, and what they were asked; tests marked `virtual_time` run on a clock that jumps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from tinyllm_actors import Function, FunctionStream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


class Bench:
    """Makes parts whose beginnings and ends can be watched."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.running: set[str] = set()
        self.most = 0
        self.cancelled: list[str] = []
        self.gates: dict[str, anyio.Event] = {}
        self.entered: dict[str, anyio.Event] = {}

    def gate(self, name: str) -> anyio.Event:
        """Return what lets the part of that name go on."""
        return self.gates.setdefault(name, anyio.Event())

    def arrival(self, name: str) -> anyio.Event:
        """Return what is set when the part of that name is called."""
        return self.entered.setdefault(name, anyio.Event())

    def part(self, name: str, answer: Any = None, *, waits: bool = False, **options: Any) -> Any:
        """Return the spec of a part that answers a value, what a function makes of its arguments, or an exception."""
        bench = self

        class Watched(Function):
            async def run(self, **arguments: Any) -> Any:
                bench.calls.append((name, arguments))
                bench.running.add(name)
                bench.most = max(bench.most, len(bench.running))
                bench.arrival(name).set()
                try:
                    if waits:
                        await bench.gate(name).wait()
                    else:
                        await anyio.lowlevel.checkpoint()
                except anyio.get_cancelled_exc_class():
                    bench.cancelled.append(name)
                    raise
                finally:
                    bench.running.discard(name)
                found = answer(**arguments) if callable(answer) else answer
                if isinstance(found, Exception):
                    raise found
                return found

        return Watched.spec(name=name, **options).named(name)

    def streaming(self, name: str, items: list[Any], error: Exception | None = None, **options: Any) -> Any:
        """Return the spec of a part that streams items, and then perhaps fails."""
        bench = self

        class Streams(FunctionStream):
            async def run(self, **arguments: Any) -> AsyncGenerator[Any, None]:
                bench.calls.append((name, arguments))
                for item in items:
                    yield item
                    await anyio.lowlevel.checkpoint()
                if error is not None:
                    raise error

        return Streams.spec(name=name, **options).named(name)


@pytest.fixture
def bench() -> Bench:
    """Return a maker of parts."""
    return Bench()
