"""The log as programs read it: one line of JSON an event, written by a thread, so that no actor waits for a disk."""

from __future__ import annotations

import atexit
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tinyllm_actors.kernel.courier import Courier
from tinyllm_actors.kernel.plain import to_plain
from tinyllm_actors.kernel.transition_filter import set_filter
from tinyllm_actors.kernel.transition_lines import TransitionLines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping, Sequence
    from typing import BinaryIO

    from tinyllm_actors.kernel.event_stream import Moves, MovesCallback
    from tinyllm_actors.kernel.events import Transition

__all__ = ["JsonLog", "configure_json_log"]

MAX_WAITING: Final = 100_000
"""Lines that may wait for the disk. Those of transitions that were made at one moment count as one."""

LINGER: Final = 0.02
"""Seconds for which a line waits for others. A warning does not; nor does the end of the process."""


class JsonLog:
    """Where the lines go. `close()` it at the end; the end of the process does too.

    ```python
    >>> import io, structlog
    >>> from tinyllm_actors.kernel import configure_json_log
    >>> log = configure_json_log(io.BytesIO())
    >>> structlog.get_logger("shop").info("sold", item="tea")
    >>> log.close(timeout=5.0), log.dropped
    (True, 0)
    >>> structlog.reset_defaults()

    ```
    """

    def __init__(self, file: BinaryIO, *, owned: bool, max_waiting: int) -> None:
        import msgspec  # 15 ms that a program without such a log need not pay

        self._encode = msgspec.json.Encoder().encode
        self._file = file
        self._owned = owned
        self._dropped_with_others = 0  # the courier counts the lines of one moment as one
        self._courier: Courier[str] = Courier(
            self._write, name="json log", max_waiting=max_waiting, linger=LINGER, after=self._end
        )
        self._lines = TransitionLines(self._encode)
        atexit.register(self.close)

    def line(self, line: str) -> None:
        """Take a line, with its end."""
        self._courier.put(line)

    def urgent_line(self, line: str) -> None:
        """Take a line that shall be in the file at once, with those before it."""
        self._courier.put(line)
        self._courier.hurry()

    @property
    def dropped(self) -> int:
        """Lines that found no room, because the file takes them too slowly."""
        return self._courier.dropped + self._dropped_with_others

    def event(self, sink: Any, method: str, event: MutableMapping[str, Any]) -> str:
        """Make a line of an event; structlog's last processor."""
        if event.get("logger") is None:
            event["logger"] = sink.name
        event["level"] = method
        event["timestamp"] = time.time()
        return f"{self._encode(to_plain(event)).decode()}\n"

    def on_transition(
        self, details: bool, wanted: Callable[[str, str, str], bool] | None, failed: Callable[[], None]
    ) -> Callable[[Transition], None]:
        """Return what takes transitions, past structlog: its part of a line costs more than the step it tells of.

        Args:
            details: take those of the actor lifecycle too.
            wanted: what decides on the others, by path, name and state; None for all of them.
            failed: called instead of raising, where a line cannot be made.
        """
        put, line, now = self._courier.put, self._lines.line, time.time_ns

        def take(event: Transition) -> None:
            if (details or event[2] != "lifecycle") and (wanted is None or wanted(event[0], event[1], event[5])):
                try:
                    put(line(event, now()))
                except Exception:
                    failed()

        return take

    def on_moves(self, details: bool, failed: Callable[[], None]) -> MovesCallback:
        """Return what takes transitions that were made at one moment, as one thing; see `on_transition`."""
        put, lines, now = self._courier.put, self._lines.lines, time.time_ns

        def take(path: str, name: str, machine: str, moves: Moves, message_id: int, elapsed: float) -> None:
            if details or machine != "lifecycle":
                try:
                    if not put(lines(path, name, machine, moves, message_id, elapsed, now())):
                        self._dropped_with_others += len(moves) - 1
                except Exception:
                    failed()

        return take

    def _write(self, lines: Sequence[str]) -> None:
        self._file.write("".join(lines).encode())
        self._file.flush()

    def _end(self) -> None:
        if self._owned:
            self._file.close()

    def close(self, timeout: float = 2.0) -> bool:
        """Write what waits, for `timeout` seconds at most, and take no more. Returns whether everything is written."""
        atexit.unregister(self.close)
        return self._courier.close(timeout)


def configure_json_log(
    file: str | Path | BinaryIO | None = None,
    *,
    level: str = "info",
    states: Iterable[str] | None = None,
    per_second: int | None = None,
    max_waiting: int = MAX_WAITING,
) -> JsonLog:
    """Configure structlog for a service: JSON lines. Systems that start after this log their transitions.

    A line has `event`, `level`, `logger`, `timestamp` (seconds since the epoch) and the fields of the event, those of a
    transition being `actor`, `machine`, `source`, `trigger`, `target`, `message_id` and `elapsed`; and `trace_id` and
    `trace_url` where a call is traced. Secrets are masked.

    Lines are written together, by a thread: within 0.02 s as a rule, with a warning at once, and when the log is closed
    or the process ends. A process that is killed loses what waits.

    ```python
    >>> import io, json, structlog
    >>> file = io.BytesIO()
    >>> log = configure_json_log(file)
    >>> structlog.get_logger("shop").warning("refused", item="tea", api_key="abc")
    >>> log.close()
    True
    >>> line = json.loads(file.getvalue())
    >>> line["event"], line["level"], line["logger"], line["item"], line["api_key"]
    ('refused', 'warning', 'shop', 'tea', '***')
    >>> structlog.reset_defaults()

    ```

    Args:
        file: a path to append to, or a binary file; standard error if left out.
        level: the lowest level to write.
        states: of transitions, only those into these states; left out, those in the environment's `LOG_STATES`, or all.
        per_second: transitions of one actor in one second that are logged; of more, the number.
        max_waiting: lines that may wait for the disk, those of one actor at one moment counting as one; beyond, they
            are dropped and counted.

    Raises:
        OSError: the file cannot be opened.
        ValueError: `per_second` is below 1.
    """
    set_filter(states, per_second)
    if isinstance(file, str | Path):
        log = JsonLog(Path(file).open("ab"), owned=True, max_waiting=max_waiting)  # noqa: SIM115 - the log closes it
    else:
        log = JsonLog(file or sys.stderr.buffer, owned=False, max_waiting=max_waiting)
    import structlog  # with rich beside it 120 ms and 5 MB, which importing the library shall not cost

    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.format_exc_info, log.event],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *names: _Sink(log, str(names[0]) if names else "-"),
        cache_logger_on_first_use=True,
    )
    return log


class _Sink:
    """What structlog hands finished lines to; `name` is what the logger was asked for by."""

    __slots__ = ("critical", "debug", "error", "exception", "info", "msg", "name", "warning")

    def __init__(self, log: JsonLog, name: str) -> None:
        self.name = name
        self.debug = self.info = self.msg = log.line
        self.warning = self.error = self.critical = self.exception = log.urgent_line
