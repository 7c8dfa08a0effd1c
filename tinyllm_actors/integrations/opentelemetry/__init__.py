"""OpenTelemetry: traces in the GenAI conventions and metrics, for any collector.

`await start_tracing(system, OpenTelemetryTracer(endpoint="http://collector:4318"))` is all; without an endpoint, the
usual variables (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS` …) say where to. It needs the extra `otel`.
The providers are this tracer's own: the process's stay as they are.

| metric | what |
|---|---|
| `gen_ai.client.token.usage` | tokens of a model call, by `gen_ai.token.type` |
| `gen_ai.client.operation.duration` | seconds of a model, embedding, tool or agent call |
| `gen_ai.server.time_to_first_token` | seconds until a model's first output |
| `tinyllm_actors.call.duration` | seconds of any call, by name, kind and status |
| `tinyllm_actors.cost` | US dollars, by model |
| `tinyllm_actors.mailbox.depth`, `.actors` | messages that wait, and actors, by class |
| `tinyllm_actors.restarts`, `.failures`, `.dead_letters` | what supervisors and mailboxes did |

Prompts and answers are on the spans only with `capture_content=True`, as the conventions wish.
"""

from tinyllm_actors.integrations.opentelemetry.tracer import OpenTelemetryTracer

__all__ = ["OpenTelemetryTracer"]
