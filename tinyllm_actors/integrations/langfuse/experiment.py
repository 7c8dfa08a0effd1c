"""How Langfuse is told of runs over datasets: by attributes of spans, and, before version 4, by links. Pure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from tinyllm_actors.kernel import to_plain
from tinyllm_actors.kernel.redaction import redact

if TYPE_CHECKING:
    from tinyllm_actors.evals import EvalRun
    from tinyllm_actors.function.tracing import Observation

__all__ = ["ENVIRONMENT", "attributes_of", "links_of"]

ENVIRONMENT: Final = "sdk-experiment"
"""Where Langfuse keeps experiments apart from what users do, unless the program says where it runs."""


def attributes_of(observation: Observation, environment: str | None) -> dict[str, Any]:
    """Return what ties a span to its example and its run; nothing outside of evaluations.

    All spans of a trace say the same, and its root what is expected besides.
    """
    found = observation.experiment
    if found is None:
        return {}
    attributes: dict[str, Any] = {
        "langfuse.environment": environment or ENVIRONMENT,
        "langfuse.experiment.id": found.run_id,
        "langfuse.experiment.name": redact(found.run),
        "langfuse.experiment.item.id": found.item,
        "langfuse.experiment.item.root_observation_id": f"{found.root:016x}",
    }
    if found.run_metadata:
        attributes["langfuse.experiment.metadata"] = _json(found.run_metadata)
    if found.dataset_id is not None:
        attributes["langfuse.experiment.dataset.id"] = found.dataset_id
    if found.item_metadata:
        attributes["langfuse.experiment.item.metadata"] = _json(found.item_metadata)
    if found.root == observation.span and found.expected is not None:
        attributes["langfuse.experiment.item.expected_output"] = _json(found.expected)
    return attributes


def _json(value: Any) -> str:
    plain = to_plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)


def links_of(run: EvalRun, description: str | None) -> list[dict[str, Any]]:
    """Return the bodies of the requests that make a run of a dataset, for hosts before version 4."""
    common: dict[str, Any] = {"runName": redact(run.header.name), "metadata": to_plain(run.header.metadata)}
    if description is not None:
        common["runDescription"] = description
    return [
        {
            **common,
            "datasetItemId": record.example,
            "traceId": record.trace_id,
            "observationId": record.observation_id,
        }
        for record in run.records
        if record.trace_id is not None
    ]
