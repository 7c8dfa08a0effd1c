"""Observations as Langfuse's, with the scores of evaluators."""

from __future__ import annotations

import datetime
import time
from typing import TYPE_CHECKING, Any, Final

from tinyllm_actors.function.tracing import Tracer
from tinyllm_actors.integrations.langfuse.access import Access, new_client, shut_down
from tinyllm_actors.integrations.langfuse.experiment import attributes_of
from tinyllm_actors.kernel import to_plain
from tinyllm_actors.kernel.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinyllm_actors.function.tracing import Observation

__all__ = ["LangfuseTracer"]

_WITH_MODEL: Final = frozenset({"generation", "embedding"})
_FLUSH_SPANS: Final = 256
_FLUSH_SECONDS: Final = 1.0


class LangfuseTracer(Tracer):
    """Sends traces to Langfuse.

    ```python
    from tinyllm_actors.function.tracing import start_tracing
    from tinyllm_actors.integrations.langfuse import LangfuseTracer

    async with ActorSystem("service") as system:
        await start_tracing(system, LangfuseTracer(), sample_rate=0.1)
    ```

    Args:
        public_key: of the project; left out, `LANGFUSE_PUBLIC_KEY`.
        secret_key: of the project; left out, `LANGFUSE_SECRET_KEY`.
        base_url: of the host; left out, `LANGFUSE_BASE_URL`, or Langfuse's cloud.
        environment: such as `"production"`.
        release: of the program.
        project_id: for links to traces that lead there without a detour.
        timeout: whole seconds that one request may take. Short is good: whoever waits is the end of the program.

    Raises:
        MissingDependency: the SDK is not installed.
        MissingCredential: a key is missing.
    """

    name = "langfuse"

    def __init__(
        self,
        *,
        public_key: str | None = None,
        secret_key: str | None = None,
        base_url: str | None = None,
        environment: str | None = None,
        release: str | None = None,
        project_id: str | None = None,
        timeout: int = 3,
    ) -> None:
        self._access = Access.of(public_key, secret_key, base_url, timeout)
        self._environment = environment
        self._release = release
        self._project_id = project_id
        self._client: Any = None
        self._provider: Any = None
        self._running: dict[int, Any] = {}
        self._unsent = 0
        self._sent_at = 0.0

    def open(self) -> None:
        """Make the client."""
        from opentelemetry.sdk.resources import Resource

        from tinyllm_actors.integrations._otel_spans import ObservationProvider

        about = {"langfuse.environment": self._environment, "langfuse.release": self._release}
        self._provider = ObservationProvider(Resource.create({name: text for name, text in about.items() if text}))
        self._client = new_client(
            self._access,
            tracer_provider=self._provider,
            environment=self._environment,
            release=self._release,
            flush_interval=0.5,
        )
        self._sent_at = time.monotonic()

    def link(self, observation: Observation) -> str:
        """Return the address of the trace."""
        project = "" if self._project_id is None else f"/project/{self._project_id}"
        return f"{self._access.base_url}{project}/{'traces' if project else 'trace'}/{observation.trace_id}"

    def started(self, observation: Observation) -> None:
        """Start a span, so that those inside of it find it there."""
        self._running[observation.span] = self._start(observation)

    def _start(self, observation: Observation) -> Any:
        self._provider.prepare(observation, self._attributes(observation))
        return self._client.start_observation(name=redact(observation.name), as_type=observation.kind)

    def _attributes(self, observation: Observation) -> dict[str, Any]:
        return _trace_attributes(observation) | attributes_of(observation, self._environment)

    def ended(self, observation: Observation) -> None:
        """Fill the span and end it, and send the scores."""
        span = self._running.pop(observation.span, None) or self._start(observation)
        span._otel_span.set_attributes(self._attributes(observation))  # what it has learnt since
        details: dict[str, Any] = {}
        if observation.kind in _WITH_MODEL:
            details = _model_details(observation)
        span.update(
            input=to_plain(observation.input),
            output=to_plain(observation.output),
            metadata=_metadata(observation),
            level=_LEVELS.get(observation.status),
            status_message=_status_message(observation),
            **details,
        )
        span.end(end_time=observation.ended_at)
        self._unsent += 1
        for entry in observation.evaluations:
            self._score(observation, entry)

    def _score(self, observation: Observation, entry: Mapping[str, Any]) -> None:
        scores: Mapping[str, Any] = entry.get("evals") or {}
        for name, value in scores.items():
            kind, number = _score_value(value)
            if number is None:
                continue
            comment = entry.get("comment")
            self._client.create_score(
                name=redact(str(name)),
                value=number,
                data_type=kind,
                trace_id=observation.trace_id,
                observation_id=observation.id,
                comment=None if comment is None else redact(str(comment)),
                metadata=to_plain({"evaluator": entry.get("evaluator"), **(entry.get("metadata") or {})}),
            )

    def flush(self) -> None:
        """Send, if much has come together or some time has passed.

        It blocks until that is done, so that what is too much waits in the queue before this tracer, where it is
        counted if it is dropped, and not in the SDK's.
        """
        now = time.monotonic()
        if self._unsent >= _FLUSH_SPANS or (self._unsent and now - self._sent_at >= _FLUSH_SECONDS):
            self._unsent = 0
            self._provider.force_flush()
            self._sent_at = time.monotonic()

    def close(self, timeout: float) -> None:
        """End what still runs, and send everything."""
        if self._client is None:
            return
        for span in self._running.values():
            span.update(level="WARNING", status_message="its end is not known")
            span.end()
        self._running.clear()
        shut_down(self._client)
        self._provider.shutdown()


_LEVELS: Final = {"error": "ERROR", "cancelled": "WARNING"}


def _status_message(observation: Observation) -> str | None:
    if observation.error is not None:
        return redact(f"{observation.error['type']}: {observation.error['message']}")
    return "cancelled" if observation.status == "cancelled" else None


def _trace_attributes(observation: Observation) -> dict[str, Any]:
    """Return what Langfuse wants on every span of a trace, so that it can find traces by it."""
    attributes: dict[str, Any] = {}
    if observation.is_root and observation.parent:
        attributes["langfuse.internal.as_root"] = True  # of what this process has of a caller's trace
    if observation.user_id is not None:
        attributes["user.id"] = observation.user_id
    if observation.session_id is not None:
        attributes["session.id"] = observation.session_id
    if observation.tags:
        attributes["langfuse.trace.tags"] = list(observation.tags)
    return attributes


def _metadata(observation: Observation) -> dict[str, Any]:
    about: dict[str, Any] = {**observation.metadata, "actor": observation.path, "message_id": observation.message_id}
    if observation.incarnation > 1 or observation.attempt:
        about |= {"incarnation": observation.incarnation, "attempt": observation.attempt}
    if observation.error is not None:
        about["error"] = observation.error
    plain: dict[str, Any] = to_plain(about)
    return plain


def _model_details(observation: Observation) -> dict[str, Any]:
    details: dict[str, Any] = {"model": observation.model, "model_parameters": to_plain(observation.model_parameters)}
    if observation.usage:
        details["usage_details"] = observation.usage
    if observation.cost is not None:
        details["cost_details"] = {"total": observation.cost}
    if observation.first_output_at:
        moment = datetime.datetime.fromtimestamp(observation.first_output_at / 1e9, tz=datetime.UTC)
        details["completion_start_time"] = moment
    return details


def _score_value(value: object) -> tuple[str, float | str | None]:
    """Return the type of a score and its value; None for one that Langfuse has no type for."""
    if isinstance(value, bool):
        return "BOOLEAN", float(value)
    if isinstance(value, int | float):
        return "NUMERIC", float(value)
    return "CATEGORICAL", redact(value) if isinstance(value, str) else None
