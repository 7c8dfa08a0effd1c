"""What an enabled transition log line costs, from the record to a file, in µs of CPU time."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import msgspec
import structlog
from measuring import OURS, Case, Goal, cpu

from tinyllm_actors.kernel.event_stream import EventStream
from tinyllm_actors.kernel.events import Transition
from tinyllm_actors.kernel.log import attach_log
from tinyllm_actors.kernel.slots import current_backend

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["log_cases"]


async def _time_lines(count: int, configure: Callable[[], Any]) -> float:
    file = configure()
    events = EventStream(current_backend())
    await attach_log(events, transitions=True)
    started = cpu()
    for number in range(count):
        if events.transitions:
            events.publish(
                Transition("service/agent", "Agent", "function", "RUNNING", "done", "OUTPUT_VALIDATION", number, 0.25)
            )
    file.close()
    used = cpu() - started
    structlog.reset_defaults()
    if events.log_failures:
        raise RuntimeError(f"{events.log_failures} lines could not be written")
    return used / count * 1e6


class _Buffered:
    """A file that is written when 64 KB have come together, though a logger flushes it at each line."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("ab", buffering=65536)
        self.write = self._file.write
        self.close = self._file.close

    def flush(self) -> None:
        """Do nothing; `close` writes what is left."""


def log_cases(folder: Path, scale: float) -> list[Case]:
    """Return the cases: the fastest set-up, and the usual one through the standard library."""
    count = max(1000, int(20_000 * scale))
    encode = msgspec.json.Encoder().encode

    def as_json(_: object, __: str, entry: structlog.types.EventDict) -> bytes:
        return encode(entry)

    def fast() -> Any:
        file = _Buffered(folder / "fast.log")
        structlog.configure(
            processors=[
                structlog.contextvars.merge_contextvars,
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt=None, utc=True),
                as_json,
            ],
            wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
            logger_factory=structlog.BytesLoggerFactory(cast("BinaryIO", file)),
            cache_logger_on_first_use=True,
        )
        return file

    def through_logging() -> Any:
        stream = (folder / "stdlib.log").open("a")
        handler = logging.StreamHandler(stream)
        root = logging.getLogger()
        root.handlers[:] = [handler]
        root.setLevel(logging.INFO)
        structlog.configure(
            processors=[
                structlog.stdlib.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                structlog.processors.JSONRenderer(),
            ],
            wrapper_class=structlog.stdlib.BoundLogger,
            logger_factory=structlog.stdlib.LoggerFactory(),
            cache_logger_on_first_use=True,
        )
        return stream

    async def fast_line() -> float:
        return await _time_lines(count, fast)

    async def stdlib_line() -> float:
        return await _time_lines(count, through_logging)

    return [
        Case("a logged transition, msgspec to a file", "µs", {OURS: fast_line}, Goal(below=5.0)),
        Case("a logged transition, through logging", "µs", {OURS: stdlib_line}),
    ]
