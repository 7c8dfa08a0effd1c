"""The log as a person reads it: one line an event, in columns.

```text
INFO | tinyllm_actors.function | 2023-12-25 19:37:12,737 : [Agent] transition to: States.RUNNING
```

For programs with a terminal. A service configures structlog itself, with JSON for instance: what the kernel logs are
ordinary structlog events.
"""

from __future__ import annotations

import contextlib
import enum
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from tinyllm_actors.kernel.plain import to_plain
from tinyllm_actors.kernel.redaction import is_secret_name, redact
from tinyllm_actors.kernel.transition_filter import set_filter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping
    from typing import TextIO

__all__ = ["ConsoleLog", "configure_console_log"]

OWN: Final = "tinyllm_actors."
"""Loggers below this name say everything in their sentence; the fields beside it are for machines."""

MAX_WAITING: Final = 1000
"""Lines that wait for the end of a text."""

# A terminal obeys control characters, and what is logged may quote anybody: shown as escapes, but for line ends.
_CONTROLS: Final = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code not in {9, 10}}
_CONTROLS[10] = "\n    "


class ConsoleLog:
    """Where the lines go, and between them the program's own text.

    Text is written in pieces, as it comes, and not cut by the lines of what goes on meanwhile: these wait for `end()`.
    Warnings and errors do not wait. Safe to use from several threads.

    ```python
    >>> import io
    >>> from tinyllm_actors.kernel import ConsoleLog
    >>> page = io.StringIO()
    >>> console = ConsoleLog(page)
    >>> console.write("Once upon")
    >>> console.write(" a time")
    >>> console.end()
    >>> page.getvalue().splitlines()
    ['Once upon a time']

    ```

    Args:
        file: the text file to write to.

    Attributes:
        below: wipes what somebody draws below the lines, such as the progress of something; None if nobody does.
    """

    def __init__(self, file: TextIO) -> None:
        self.below: Callable[[], None] | None = None
        self._file = file
        self._lock = threading.Lock()
        self._in_text = False
        self._in_line = False
        self._waiting: list[str] = []

    def write(self, text: str) -> None:
        """Write a piece of text as it is; call `end()` after the last one, whatever happens.

        Raises:
            OSError: the file takes nothing any more.
        """
        if text:
            with self._lock:
                self._in_text = True
                self._put(text)

    def end(self) -> None:
        """End the text that `write` began, if it did, with its line, and write the lines that waited."""
        with self._lock:
            self._in_text = False
            self._put_lines()

    def line(self, line: str) -> None:
        """Write a line of the log, after the text that is being written."""
        with self._lock:
            self._waiting.append(line)
            if not self._in_text or len(self._waiting) >= MAX_WAITING:
                self._put_lines()

    def urgent_line(self, line: str) -> None:
        """Write a line of the log now."""
        with self._lock:
            self._waiting.append(line)
            self._put_lines()

    def _put_lines(self) -> None:
        lines, self._waiting = self._waiting, []
        head = [""] if self._in_line else []
        if head or lines:
            with contextlib.suppress(OSError):  # a console that is gone is no reason for an actor to fail
                self._put("\n".join([*head, *lines, ""]))

    def make_room(self) -> None:
        """Wipe what is drawn below the lines."""
        if self.below is not None:
            self.below()

    def _put(self, text: str) -> None:
        self.make_room()
        try:
            self._file.write(text)
        except UnicodeEncodeError:
            encoding = self._file.encoding or "ascii"
            self._file.write(text.encode(encoding, "backslashreplace").decode(encoding))
        self._in_line = not text.endswith("\n")
        self._file.flush()


def configure_console_log(
    *,
    level: str = "info",
    file: TextIO | None = None,
    states: Iterable[str] | None = None,
    per_second: int | None = None,
) -> ConsoleLog:
    """Configure structlog for a person at a terminal. Systems that start after this log their transitions.

    ```python
    >>> import structlog, sys
    >>> log = configure_console_log(file=sys.stdout)
    >>> structlog.get_logger("shop").warning("out of stock", item="tea")
    WARNING | shop | ... : out of stock item='tea'
    >>> structlog.reset_defaults()

    ```

    Args:
        level: the lowest level to write: `"debug"` adds the lifecycles of actors to the transitions of Functions,
            `"warning"` leaves failures and dead letters, `"critical"` nothing of the kernel's.
        file: where to; standard output if left out. Writing to it must not block for long, as actors wait for it.
        states: of transitions, only those into these states; left out, those in the environment's `LOG_STATES`, or all.
        per_second: transitions of one actor in one second that are logged; of more, the number.

    Returns:
        the log's file, for text of your own between the lines.

    Raises:
        ValueError: `per_second` is below 1.
    """
    set_filter(states, per_second)
    log = ConsoleLog(sys.stdout if file is None else file)
    import structlog  # with rich beside it 120 ms and 5 MB, which importing the library shall not cost

    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.format_exc_info, _Columns()],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *names: _Sink(log, str(names[0]) if names else "-"),
        cache_logger_on_first_use=True,
    )
    return log


class _Sink:
    """What structlog hands finished lines to; `name` is what the logger was asked for by."""

    __slots__ = ("critical", "debug", "error", "info", "msg", "name", "warning")

    def __init__(self, log: ConsoleLog, name: str) -> None:
        self.name = name
        self.debug = self.info = self.msg = log.line
        self.warning = self.error = self.critical = log.urgent_line


class _Columns:
    """Brings an event into columns; structlog's last processor."""

    def __init__(self) -> None:
        self._latest = (0, "")

    def __call__(self, sink: Any, method: str, event: MutableMapping[str, Any]) -> str:
        text = str(event.pop("event", ""))
        name = event.pop("logger", None) or sink.name
        trace = event.pop("exception", None)
        target = event.get("target")
        if isinstance(target, enum.Enum) and name.startswith(OWN):
            text = f"{text.removesuffix(str(target))}{type(target).__name__}.{target.name}"
        else:
            if not name.startswith(OWN):
                text += "".join(f" {key}={_shown(key, value)}" for key, value in event.items())
            text = redact(text).translate(_CONTROLS)
        line = f"{method.upper()} | {name} | {self._now()} : {text}"
        return line if trace is None else f"{line}\n{redact(str(trace))}"

    def _now(self) -> str:
        """Return the local time with milliseconds; all but those change once a second."""
        now = time.time()
        second = int(now)
        latest = self._latest
        if second != latest[0]:
            latest = self._latest = (second, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second)))
        return f"{latest[1]},{int((now - second) * 1000):03d}"


def _shown(key: str, value: object) -> str:
    return "'***'" if is_secret_name(key) else repr(to_plain(value))
