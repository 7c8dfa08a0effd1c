r"""Server-sent events, read from bytes as they come. Pure: no I/O, no clock.

```python
>>> parser = EventStreamParser()
>>> parser.feed(b"data: one\n\nda")
[b'one']
>>> parser.feed(b"ta: two\r\n\r\n: a comment\n\n")
[b'two']

```

Source: WHATWG HTML, "Server-sent events", the event stream format.
"""

from __future__ import annotations

from typing import NoReturn

from tinyllm_actors.errors import MalformedResponse

__all__ = ["DONE", "EventStreamParser"]

DONE = b"[DONE]"
"""What OpenAI-shaped providers send as the data of the last event."""

_BOM = b"\xef\xbb\xbf"


class EventStreamParser:
    """Split a byte stream into the data of its events, wherever the stream is cut into pieces.

    Names, ids and retry times of events are read over: no provider of the OpenAI shape needs them. The field
    `error`, in which older llama.cpp servers send a failure, counts as data. An event that the stream's end cuts short
    is not an event.

    Args:
        max_event_bytes: an event may have this many bytes, or the stream is refused. If in doubt, leave it: a chunk
            of a model's answer has some hundred bytes, a whole one as a single event some million at most.

    Attributes:
        rescued: the events that came in one piece with the one that was refused.
    """

    __slots__ = (
        "_data",
        "_data_size",
        "_head",
        "_max_event_bytes",
        "_skip_line_feed",
        "_tail",
        "_tail_size",
        "rescued",
    )

    def __init__(self, *, max_event_bytes: int = 8 * 1024 * 1024) -> None:
        self.rescued: list[bytes] = []
        self._max_event_bytes = max_event_bytes
        self._head: bytes | None = b""
        """The first bytes while they may still become a byte order mark; None afterwards."""
        self._tail: list[bytes] = []
        """The pieces of a line whose end has not come."""
        self._tail_size = 0
        self._data: list[bytes] = []
        """The data lines of an event whose end has not come."""
        self._data_size = 0
        self._skip_line_feed = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take the next bytes and return the data of the events that they complete, oldest first.

        Raises:
            MalformedResponse: an event is longer than `max_event_bytes`.
        """
        if self._head is not None:
            data = self._without_mark(self._head + data)
        if self._skip_line_feed and data:
            self._skip_line_feed = False
            if data[0] == 0x0A:
                data = data[1:]
        if not data:
            return []
        lines = data.splitlines()
        last = data[-1]
        if last == 0x0D:
            self._skip_line_feed = True
        open_line = lines.pop() if last not in (0x0A, 0x0D) else b""
        events: list[bytes] = []
        if lines:
            if self._tail:
                lines[0] = b"".join((*self._tail, lines[0]))
                self._tail, self._tail_size = [], 0
            self._read(lines, events)
        if open_line:
            self._tail.append(open_line)
            self._tail_size += len(open_line)
            if self._tail_size + self._data_size > self._max_event_bytes:
                self._refuse(events)
        return events

    def _read(self, lines: list[bytes], events: list[bytes]) -> None:
        data = self._data
        for line in lines:
            if not line:
                if data:
                    events.append(data[0] if len(data) == 1 else b"\n".join(data))
                    data.clear()
                    self._data_size = 0
                continue
            # Of each line, as it is while its end has not come, so that the cut into pieces makes no difference.
            if len(line) + self._data_size > self._max_event_bytes:
                self._refuse(events)
            name, colon, value = line.partition(b":")
            if name == b"data" or (name == b"error" and colon):
                value = value[1:] if value[:1] == b" " else value
                data.append(value)
                self._data_size += len(value)

    def _without_mark(self, head: bytes) -> bytes:
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        return head.removeprefix(_BOM)

    def _refuse(self, events: list[bytes]) -> NoReturn:
        self.rescued = events
        raise MalformedResponse(
            f"the provider sent an event of more than max_event_bytes={self._max_event_bytes!r}", retryable=False
        )
