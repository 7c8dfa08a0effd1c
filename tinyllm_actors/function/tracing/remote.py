"""Traces that cross processes: a caller's trace goes on here, and ours goes on where we call."""

from __future__ import annotations

import re
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tinyllm_actors.function.tracing.observation import CURRENT_OBSERVATION, format_traceparent, new_id

if TYPE_CHECKING:
    from types import TracebackType

    from tinyllm_actors.function.tracing.observation import Observation

__all__ = [
    "REMOTE_PARENT",
    "RemoteParent",
    "TracePosition",
    "continue_trace",
    "current_traceparent",
    "parse_traceparent",
    "untraced",
]

_FORM: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_MAX_CHARS: Final = 512


@dataclass(frozen=True, slots=True)
class RemoteParent:
    """The observation of another process that ours are inside of.

    Attributes:
        trace: number of the trace, 128 bits.
        span: number of the observation, 64 bits.
        sampled: whether the trace is kept there.
    """

    trace: int
    span: int
    sampled: bool


REMOTE_PARENT: Final[ContextVar[RemoteParent | None]] = ContextVar("tinyllm_actors.remote_parent", default=None)
"""What the next observation without one around it is inside of. Messages carry it, as all context variables."""


def parse_traceparent(header: str) -> RemoteParent | None:
    """Return what a `traceparent` says; None for what is none, which by the standard is as if it were not there.

    ```python
    >>> parse_traceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").sampled
    True
    >>> parse_traceparent("00-00000000000000000000000000000000-b7ad6b7169203331-01") is None
    True

    ```

    Source: W3C Trace Context, `traceparent`.
    """
    found = _FORM.fullmatch(header.strip(" \t")) if len(header) <= _MAX_CHARS else None
    if found is None:
        return None
    version, trace, span, flags, more = found.groups()
    if version == "ff" or (version == "00" and more is not None) or not int(trace, 16) or not int(span, 16):
        return None
    return RemoteParent(int(trace, 16), int(span, 16), bool(int(flags, 16) & 1))


@dataclass(frozen=True, slots=True)
class TracePosition:
    """Where in which trace some code runs, to go on there in a task that does not inherit it.

    Attributes:
        around: the observation that the code is part of.
        remote: that of another process.
    """

    around: Observation | None = None
    remote: RemoteParent | None = None

    @classmethod
    def here(cls) -> TracePosition:
        """Return the position of the running code."""
        return cls(CURRENT_OBSERVATION.get(), REMOTE_PARENT.get())

    def take(self) -> None:
        """Make this the position of the running code, until its task or message ends."""
        CURRENT_OBSERVATION.set(self.around)
        REMOTE_PARENT.set(self.remote)


class continue_trace:
    """Make the calls of a block part of a caller's trace: `with continue_trace(headers.get("traceparent")):`.

    The first observation of each call in the block is inside of the caller's, and the trace is kept if the caller keeps
    it, whatever `sample_rate` says. A header that is missing or makes no sense changes nothing: the calls begin traces
    of their own. Take it only from callers that you trust: it chooses where the trace is shown and whether it is kept.

    In an HTTP service, around the call that a request leads to:

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem, Function
    >>> from tinyllm_actors.function.tracing import continue_trace, start_tracing
    >>> from tinyllm_actors.testing import TraceRecorder
    >>> class Greet(Function):
    ...     async def run(self, name: str) -> str:
    ...         return f"Hello {name}."
    >>> async def handle(headers: dict[str, str], greet) -> dict:
    ...     with continue_trace(headers.get("traceparent")):
    ...         return await greet(name="Ann")
    >>> async def main() -> None:
    ...     recorder = TraceRecorder()
    ...     async with ActorSystem("service") as system:
    ...         await start_tracing(system, recorder)
    ...         greet = await system.spawn(Greet)
    ...         await handle({"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, greet)
    ...     [seen] = recorder.observations
    ...     print(seen.trace_id, seen.parent_id)
    >>> anyio.run(main)
    0af7651916cd43dd8448eb211c80319c b7ad6b7169203331

    ```

    Args:
        traceparent: the header's value; None if there is none.
    """

    __slots__ = ("_before", "_parent")

    def __init__(self, traceparent: str | None) -> None:
        self._parent = None if traceparent is None else parse_traceparent(traceparent)
        self._before = TracePosition()

    def __enter__(self) -> None:
        self._before = TracePosition.here()
        if self._parent is not None:
            TracePosition(remote=self._parent).take()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._parent is not None:
            self._before.take()


class untraced(continue_trace):
    """Keep the calls of a block out of every trace: `with untraced():`, around what would only be noise there.

    Metrics still count them, and services that are sent a `traceparent` meanwhile are told not to keep the trace.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem, Function
    >>> from tinyllm_actors.function.tracing import start_tracing, untraced
    >>> from tinyllm_actors.testing import TraceRecorder
    >>> class Ping(Function):
    ...     async def run(self) -> str:
    ...         return "pong"
    >>> async def main() -> None:
    ...     recorder = TraceRecorder()
    ...     async with ActorSystem("service") as system:
    ...         await start_tracing(system, recorder)
    ...         ping = await system.spawn(Ping)
    ...         with untraced():
    ...             await ping()
    ...         await ping()
    ...     print(len(recorder.observations))
    >>> anyio.run(main)
    1

    ```
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(None)
        self._parent = RemoteParent(new_id(128), new_id(64), sampled=False)


def current_traceparent() -> str | None:
    """Return the `traceparent` header for a request that the running code makes.

    Where nothing is traced here, that is what the caller sent, so that its trace goes on behind us; else None.
    """
    observation = CURRENT_OBSERVATION.get()
    if observation is not None:
        return observation.traceparent
    remote = REMOTE_PARENT.get()
    return None if remote is None else format_traceparent(remote.trace, remote.span, remote.sampled)
