"""Observations in the words of OpenTelemetry's GenAI conventions. Pure.

Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from tinyllm_actors.kernel import to_plain
from tinyllm_actors.kernel.redaction import redact

if TYPE_CHECKING:
    from tinyllm_actors.function.tracing import Observation

__all__ = ["attributes_of", "evaluations_of", "model_attributes", "operation_of", "span_name"]

_OPERATIONS: Final = {
    "generation": "chat",
    "embedding": "embeddings",
    "tool": "execute_tool",
    "agent": "invoke_agent",
}
_PARAMETERS: Final = {
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "max_tokens": "gen_ai.request.max_tokens",
    "n": "gen_ai.request.choice.count",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
    "temperature": "gen_ai.request.temperature",
    "top_k": "gen_ai.request.top_k",
    "top_p": "gen_ai.request.top_p",
}
_CONTENT: Final = {
    "generation": ("gen_ai.input.messages", "gen_ai.output.messages"),
    "tool": ("gen_ai.tool.call.arguments", "gen_ai.tool.call.result"),
}


def operation_of(observation: Observation) -> str | None:
    """Return the operation's name; None for what is no GenAI operation."""
    return _OPERATIONS.get(observation.kind)


def span_name(observation: Observation) -> str:
    """Return `{operation} {model or name}`, or the plain name."""
    operation = operation_of(observation)
    name = redact(observation.name)
    if operation is None:
        return name
    subject = observation.model if observation.kind in ("generation", "embedding") else name
    return f"{operation} {subject}" if subject else operation


def model_attributes(observation: Observation) -> dict[str, Any]:
    """Return what both spans and metrics of a GenAI operation have."""
    attributes: dict[str, Any] = {}
    operation = operation_of(observation)
    if operation is not None:
        attributes["gen_ai.operation.name"] = operation
    if observation.model:
        provider, slash, _ = observation.model.partition("/")
        attributes["gen_ai.request.model"] = observation.model
        if slash:
            attributes["gen_ai.provider.name"] = provider
    if observation.error is not None:
        attributes["error.type"] = observation.error["type"]
    elif observation.status == "cancelled":
        attributes["error.type"] = "cancelled"
    return attributes


def attributes_of(observation: Observation, *, capture_content: bool) -> dict[str, Any]:
    """Return the attributes of a span: texts, numbers and lists of them, without secrets."""
    metadata = observation.metadata
    attributes = model_attributes(observation)
    attributes |= {
        "tinyllm_actors.kind": observation.kind,
        "tinyllm_actors.actor": observation.path,
        "tinyllm_actors.message_id": observation.message_id,
        "tinyllm_actors.incarnation": observation.incarnation,
        "tinyllm_actors.attempt": observation.attempt,
    }
    if observation.kind == "agent":
        attributes["gen_ai.agent.name"] = redact(observation.name)
    elif observation.kind == "tool":
        attributes["gen_ai.tool.name"] = redact(observation.name)
        given: object = observation.input
        call_id = cast("Mapping[str, object]", given).get("call_id") if isinstance(given, Mapping) else None
        if isinstance(call_id, str):
            attributes["gen_ai.tool.call.id"] = call_id
    attributes |= _identity(observation)
    for name, value in observation.model_parameters.items():
        if name in _PARAMETERS and isinstance(value, int | float):
            attributes[_PARAMETERS[name]] = value
    attributes |= _usage(observation)
    if "finish_reason" in metadata:
        attributes["gen_ai.response.finish_reasons"] = [metadata["finish_reason"]]
    if "response_id" in metadata:
        attributes["gen_ai.response.id"] = metadata["response_id"]
    if observation.first_output_at:
        seconds = (observation.first_output_at - observation.started_at) / 1e9
        attributes["gen_ai.response.time_to_first_chunk"] = seconds
    if capture_content:
        into, out = _CONTENT.get(observation.kind, ("tinyllm_actors.input", "tinyllm_actors.output"))
        attributes |= {into: _json(observation.input), out: _json(observation.output)}
        if metadata:
            attributes["tinyllm_actors.metadata"] = _json(metadata)
    return attributes


def _identity(observation: Observation) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    if observation.session_id is not None:
        attributes["gen_ai.conversation.id"] = attributes["session.id"] = observation.session_id
    if observation.user_id is not None:
        attributes["user.id"] = observation.user_id
    if observation.tags:
        attributes["tinyllm_actors.tags"] = list(observation.tags)
    return attributes


def _usage(observation: Observation) -> dict[str, Any]:
    attributes: dict[str, Any] = {}
    for kind, name in (
        ("input", "gen_ai.usage.input_tokens"),
        ("output", "gen_ai.usage.output_tokens"),
        ("input_cached", "gen_ai.usage.cache_read.input_tokens"),
    ):
        if kind in observation.usage:
            attributes[name] = observation.usage[kind]
    if observation.cost is not None:
        attributes["tinyllm_actors.cost_usd"] = observation.cost
    return attributes


def evaluations_of(observation: Observation) -> list[dict[str, Any]]:
    """Return the attributes of a `gen_ai.evaluation.result` event for each score."""
    found: list[dict[str, Any]] = []
    for entry in observation.evaluations:
        scores: Mapping[str, Any] = entry.get("evals") or {}
        for name, value in scores.items():
            attributes: dict[str, Any] = {"gen_ai.evaluation.name": redact(str(name))}
            if isinstance(value, int | float):
                attributes["gen_ai.evaluation.score.value"] = float(value)
            else:
                attributes["gen_ai.evaluation.score.label"] = redact(str(value))
            found.append(attributes)
    return found


def _json(value: Any) -> str:
    return msgspec.json.encode(to_plain(value)).decode()
