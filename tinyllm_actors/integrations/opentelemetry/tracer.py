"""Observations as OpenTelemetry spans and metrics."""

from __future__ import annotations

import importlib.util
import time
from typing import TYPE_CHECKING, Any, Final

from tinyllm_actors.errors import MissingDependency, TracingError
from tinyllm_actors.function.tracing import Tracer
from tinyllm_actors.kernel.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinyllm_actors.function.tracing import Observation
    from tinyllm_actors.kernel import ActorSystem

__all__ = ["OpenTelemetryTracer"]

INSTALL: Final = 'pip install "tinyllm_actors[otel]"'
_BATCH: Final = 256
_SECONDS: Final = 1.0


class OpenTelemetryTracer(Tracer):
    """Sends spans and metrics to an OpenTelemetry collector, over OTLP and HTTP.

    ```python
    from tinyllm_actors.function.tracing import start_tracing
    from tinyllm_actors.integrations.opentelemetry import OpenTelemetryTracer

    async with ActorSystem("service") as system:
        await start_tracing(system, OpenTelemetryTracer(endpoint="http://collector:4318", service_name="support"))
    ```

    Metrics count every call, those of traces that are not sampled too.

    Args:
        endpoint: of the collector, without `/v1/…`; left out, what OpenTelemetry's variables say.
        headers: of each request, for the collector's key.
        service_name: what the program is called; left out, what `OTEL_SERVICE_NAME` says.
        capture_content: put inputs and outputs on the spans, without secrets.
        timeout: seconds that one request may take, retries included.
        metric_seconds: between two exports of metrics.
        span_exporter: where spans go, instead of over HTTP.
        metric_exporter: where metrics go, instead of over HTTP.

    Raises:
        MissingDependency: the SDK is not installed.
    """

    name = "opentelemetry"
    sees_all = True

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        headers: Mapping[str, str] | None = None,
        service_name: str | None = None,
        capture_content: bool = False,
        timeout: float = 3.0,
        metric_seconds: float = 15.0,
        span_exporter: Any = None,
        metric_exporter: Any = None,
    ) -> None:
        for module in ("opentelemetry.sdk", "opentelemetry.exporter"):
            if importlib.util.find_spec("opentelemetry") is None or importlib.util.find_spec(module) is None:
                raise MissingDependency(f"the OpenTelemetry SDK and exporter are not installed; run: {INSTALL}")
        self._endpoint = None if endpoint is None else endpoint.rstrip("/")
        self._headers = dict(headers or {})
        self._service_name = service_name
        self._capture_content = capture_content
        self._timeout = timeout
        self._metric_seconds = metric_seconds
        self._span_exporter = span_exporter
        self._metric_exporter = metric_exporter
        self._provider: Any = None
        self._tracer: Any = None
        self._meters: Any = None
        self._calls: Any = None
        self._numbers: Any = None
        self._waiting: list[Any] = []
        self._sent_at = 0.0

    def open(self) -> None:
        """Make the providers and exporters."""
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import Resource

        from tinyllm_actors.integrations._otel_spans import ObservationProvider
        from tinyllm_actors.integrations.opentelemetry.metrics import CallMetrics

        if self._span_exporter is None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            self._span_exporter = OTLPSpanExporter(**self._http("v1/traces"))
        if self._metric_exporter is None:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

            self._metric_exporter = OTLPMetricExporter(**self._http("v1/metrics"))
        resource = Resource.create({} if self._service_name is None else {"service.name": self._service_name})
        self._provider = ObservationProvider(resource)
        self._tracer = self._provider.get_tracer("tinyllm_actors")
        reader = PeriodicExportingMetricReader(
            self._metric_exporter,
            export_interval_millis=self._metric_seconds * 1000,
            export_timeout_millis=self._timeout * 1000,
        )
        self._meters = MeterProvider([reader], resource=resource, shutdown_on_exit=False)
        meter = self._meters.get_meter("tinyllm_actors")
        self._calls = CallMetrics(meter)
        self._system_numbers().register(meter)
        self._sent_at = time.monotonic()

    def _http(self, path: str) -> dict[str, Any]:
        endpoint = None if self._endpoint is None else f"{self._endpoint}/{path}"
        return {"endpoint": endpoint, "headers": self._headers, "timeout": self._timeout}

    def _system_numbers(self) -> Any:
        if self._numbers is None:
            from tinyllm_actors.integrations.opentelemetry.metrics import SystemNumbers

            self._numbers = SystemNumbers()
        return self._numbers

    async def watch(self, system: ActorSystem) -> None:
        """Count restarts, failures and dead letters, and look at the mailboxes now and then."""
        await self._system_numbers().watch(system, self._metric_seconds / 2)

    def ended(self, observation: Observation) -> None:
        """Make a span of it, and count it."""
        from opentelemetry.trace import SpanKind, Status, StatusCode

        from tinyllm_actors.integrations.opentelemetry import conventions

        self._calls.count(observation)
        if not observation.sampled:
            return
        attributes = conventions.attributes_of(observation, capture_content=self._capture_content)
        kind = SpanKind.CLIENT if observation.kind in ("generation", "embedding") else SpanKind.INTERNAL
        self._provider.prepare(observation, attributes, kind)
        span = self._tracer.start_span(conventions.span_name(observation))
        for attributes in conventions.evaluations_of(observation):
            span.add_event("gen_ai.evaluation.result", attributes, timestamp=observation.ended_at)
        if observation.error is not None:
            span.set_status(Status(StatusCode.ERROR, redact(str(observation.error["message"]))))
        span.end(end_time=observation.ended_at)
        self._waiting.append(span)

    def flush(self) -> None:
        """Send, if much has come together or some time has passed; blocks until that is done.

        Raises:
            TracingError: the collector did not take the spans.
        """
        now = time.monotonic()
        if len(self._waiting) >= _BATCH or (self._waiting and now - self._sent_at >= _SECONDS):
            self._send()

    def _send(self) -> None:
        from opentelemetry.sdk.trace.export import SpanExportResult

        spans, self._waiting = self._waiting, []
        result = self._span_exporter.export(spans)
        self._sent_at = time.monotonic()
        if result is not SpanExportResult.SUCCESS:
            raise TracingError(f"the collector did not take {len(spans)} spans")

    def close(self, timeout: float) -> None:
        """Send everything, and let go."""
        if self._provider is None:
            return
        try:
            if self._waiting:
                self._send()
        finally:
            self._span_exporter.shutdown()
            self._meters.shutdown(timeout_millis=timeout * 1000)
            self._provider.shutdown()
