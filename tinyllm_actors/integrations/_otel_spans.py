"""OpenTelemetry spans with the identity, the parent and the times of observations.

Spans are made after the fact, in a tracer's thread, and by a vendor's SDK that knows neither times nor parents. So the
provider, which makes them, is told before each span what it is about to be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, Tracer, set_span_in_context

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.trace import Span

    from tinyllm_actors.function.tracing import Observation

__all__ = ["ObservationProvider"]


class _Ids(IdGenerator):
    """Gives the numbers of the observation whose span is made."""

    def __init__(self) -> None:
        self.trace = self.span = 1

    def generate_trace_id(self) -> int:
        return self.trace

    def generate_span_id(self) -> int:
        return self.span


class _ObservationTracer(Tracer):
    """Starts spans where and when their observations did."""

    def __init__(self, inner: Tracer, provider: ObservationProvider) -> None:
        self._inner = inner
        self._provider = provider

    def start_span(self, name: str, *arguments: Any, **options: Any) -> Span:
        """Start the span of the provider's current observation."""
        given: dict[str, Any] = {**(options.get("attributes") or {}), **self._provider.attributes}
        return self._inner.start_span(
            name,
            context=self._provider.context,
            kind=options.get("kind", self._provider.kind),
            attributes=given,
            start_time=self._provider.start_time,
        )

    def start_as_current_span(self, *arguments: Any, **options: Any) -> Any:
        """Not for observations, which are nobody's current span in the tracer's thread."""
        return self._inner.start_as_current_span(*arguments, **options)


class ObservationProvider(TracerProvider):
    """A provider of its own, which sets nothing global and does nothing at the end of the process.

    `prepare` says which observation the next span is; both must happen in one thread.

    Args:
        resource: what the spans come from.
    """

    def __init__(self, resource: Resource | None = None) -> None:
        from opentelemetry.trace import SpanKind

        self._ids = _Ids()
        self.context = Context()
        self.start_time: int | None = None
        self.attributes: Mapping[str, Any] = {}
        self.kind = SpanKind.INTERNAL
        super().__init__(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False, id_generator=self._ids)

    def get_tracer(self, *arguments: Any, **options: Any) -> Tracer:
        """Return a tracer whose spans are those of observations."""
        return _ObservationTracer(super().get_tracer(*arguments, **options), self)

    def prepare(self, observation: Observation, attributes: Mapping[str, Any], kind: Any = None) -> None:
        """Let the next span be that of `observation`."""
        from opentelemetry.trace import SpanKind

        self._ids.trace, self._ids.span = observation.trace, observation.span
        self.context = Context()
        if observation.parent:
            remote = observation.is_root  # the parent is a caller's
            around = SpanContext(observation.trace, observation.parent, is_remote=remote, trace_flags=TraceFlags(1))
            self.context = set_span_in_context(NonRecordingSpan(around), Context())
        self.start_time = observation.started_at
        self.attributes = attributes
        self.kind = SpanKind.INTERNAL if kind is None else kind
