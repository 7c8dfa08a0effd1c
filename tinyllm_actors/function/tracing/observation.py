"""One observation: what a call was given, what it answered, when, and inside of which other call."""

from __future__ import annotations

import time
from contextvars import ContextVar
from random import getrandbits
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from tinyllm_actors.function.tracing.experiment import ExperimentItem
    from tinyllm_actors.function.tracing.hub import Tracing

__all__ = [
    "CURRENT_OBSERVATION",
    "Kind",
    "Observation",
    "Status",
    "current_observation",
    "format_traceparent",
    "new_id",
]

Kind: TypeAlias = Literal[
    "span", "generation", "agent", "tool", "chain", "retriever", "evaluator", "embedding", "guardrail"
]
Status: TypeAlias = Literal["running", "ok", "error", "cancelled"]


class Observation:
    """A call that is traced. Made by the library; user code may add to the one it runs in.

    `input` and `output` are the call's own objects: tracers make plain data without secrets of them, in their thread.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem, Function
    >>> from tinyllm_actors.function.tracing import current_observation, start_tracing
    >>> from tinyllm_actors.testing import TraceRecorder
    >>> class Search(Function):
    ...     observation_kind = "retriever"
    ...     async def run(self, query: str) -> list[str]:
    ...         current_observation().metadata["index"] = "books"
    ...         return ["Emma"]
    >>> async def main() -> None:
    ...     recorder = TraceRecorder()
    ...     async with ActorSystem("library") as system:
    ...         await start_tracing(system, recorder)
    ...         search = await system.spawn(Search)
    ...         await search(query="Austen")
    ...     [found] = recorder.observations
    ...     print(found.name, found.kind, found.input, found.output, found.metadata)
    >>> anyio.run(main)
    Search retriever {'query': 'Austen'} ['Emma'] {'index': 'books'}

    ```

    Attributes:
        trace: number of the trace, 128 bits.
        span: number of this observation, 64 bits.
        around: the one around it; None for the root.
        parent: number of the one around it; 0 for none.
        is_root: whether it is the first of its trace in this process.
        name: of the Function.
        kind: what it is, such as `"generation"`.
        path: of the actor; `""` outside of one.
        message_id: the message that it handled.
        attempt: how often that was handled before.
        incarnation: of the actor.
        started_at: nanoseconds since the epoch.
        ended_at: likewise; 0 while it runs.
        first_output_at: when the first piece of the output came, likewise; 0 for never.
        input: the arguments.
        output: what it answered; None after a failure.
        status: how it ended.
        error: the error dictionary of a failure: `type`, `message` and more.
        model: the name of the model.
        model_parameters: what the model was asked with: temperature and the like.
        usage: tokens by kind: `input`, `output`, `total`, `input_cached`, `output_reasoning`.
        cost: US dollars; None where that is not known.
        user_id: on whose behalf.
        session_id: as part of what.
        tags: of the trace.
        experiment: the example of a dataset that it is part of; None outside of evaluations.
        metadata: what else there is to say.
        link: where a person can look at the trace; of the root only.
        evaluations: what evaluators said of it, as in the call's dictionary.
    """

    __slots__ = (
        "_clock", "around", "attempt", "cost", "ended_at", "error", "evaluations", "experiment", "first_output_at",
        "hub", "incarnation", "input", "is_root", "kind", "link", "message_id", "metadata", "model", "model_parameters",
        "name", "output", "parent", "path", "sampled", "session_id", "span", "started_at", "status", "tags", "trace",
        "usage", "user_id",
    )  # fmt: skip

    def __init__(self, hub: Tracing, name: str, kind: Kind, input: Any, around: Observation | None) -> None:
        self.hub = hub
        self.around = around
        self.name = name
        self.kind: Kind = kind
        self.input = input
        if around is None:
            self.trace = new_id(128)
            self.parent = 0
            self.is_root = True
            self.sampled = True
            self.user_id: str | None = None
            self.session_id: str | None = None
            self.tags: tuple[str, ...] = ()
            self.experiment: ExperimentItem | None = None
        else:
            self.trace = around.trace
            self.parent = around.span
            self.is_root = False
            self.sampled = around.sampled
            self.user_id = around.user_id
            self.session_id = around.session_id
            self.tags = around.tags
            self.experiment = around.experiment
        self.span = new_id(64)
        self.link: str | None = None
        self.path = ""
        self.message_id = self.attempt = self.incarnation = 0
        self.started_at = time.time_ns()
        self._clock = time.perf_counter_ns()
        self.ended_at = self.first_output_at = 0
        self.output: Any = None
        self.status: Status = "running"
        self.error: dict[str, Any] | None = None
        self.model: str | None = None
        self.model_parameters: dict[str, Any] = {}
        self.usage: dict[str, int] = {}
        self.cost: float | None = None
        self.metadata: dict[str, Any] = {}
        self.evaluations: list[dict[str, Any]] = []

    @property
    def trace_id(self) -> str:
        """The trace's number as 32 hexadecimal digits."""
        return f"{self.trace:032x}"

    @property
    def id(self) -> str:
        """The observation's number as 16 hexadecimal digits."""
        return f"{self.span:016x}"

    @property
    def parent_id(self) -> str | None:
        """That of the one around it; None for the root of the trace."""
        return f"{self.parent:016x}" if self.parent else None

    @property
    def seconds(self) -> float:
        """How long it took; until now, while it runs."""
        return ((self.ended_at or self.now()) - self.started_at) / 1e9

    @property
    def traceparent(self) -> str:
        """The value of the W3C header that makes another service part of this trace."""
        return format_traceparent(self.trace, self.span, self.sampled)

    def now(self) -> int:
        """Return the time in nanoseconds since the epoch, never before `started_at`: clocks are set back at times."""
        return self.started_at + time.perf_counter_ns() - self._clock

    def first_output(self) -> None:
        """Note that output begins now, unless it has before."""
        if not self.first_output_at:
            self.first_output_at = self.now()

    def __repr__(self) -> str:
        return f"<Observation {self.kind} {self.name!r} {self.status} {self.trace_id}/{self.id}>"


CURRENT_OBSERVATION: ContextVar[Observation | None] = ContextVar("tinyllm_actors.observation", default=None)
"""The one that the running code is part of. Messages carry it, as they carry all context variables."""


def current_observation() -> Observation | None:
    """Return the observation that the running code is part of; None where nothing is traced."""
    return CURRENT_OBSERVATION.get()


def format_traceparent(trace: int, span: int, sampled: bool) -> str:
    """Return the value of the W3C header `traceparent`."""
    return f"00-{trace:032x}-{span:016x}-{int(sampled):02x}"


def new_id(bits: int) -> int:
    """Return a random number that is not 0, which stands for none."""
    return getrandbits(bits) or 1
