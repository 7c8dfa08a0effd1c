"""What traces are told of a model call, beside what they are told of every call of a Function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tinyllm_actors.function.tracing import current_observation

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from tinyllm_actors.function.tracing import Observation
    from tinyllm_actors.llm.embedding import Embeddings
    from tinyllm_actors.llm.model import ChatRequest, Completion, Usage
    from tinyllm_actors.llm.route import Route

__all__ = ["observe_completion", "observe_embeddings", "observe_failure", "observe_request"]

PARAMETERS: Final = frozenset({
    "frequency_penalty", "logprobs", "max_completion_tokens", "max_tokens", "min_p", "n", "parallel_tool_calls",
    "presence_penalty", "reasoning_effort", "repeat_penalty", "seed", "stop", "temperature", "thinking", "top_k",
    "top_logprobs", "top_p", "verbosity",
})  # fmt: skip
"""Options that say how the model answers; the others (addresses, keys, headers) are no business of a trace."""


def observe_request(model: str, request: ChatRequest, options: Mapping[str, Any] | None) -> None:
    """Note what is asked, of which model; the latest attempt counts."""
    observation = current_observation()
    if observation is None:
        return
    observation.model = model
    given = {**(options or {}), **request.options}
    observation.model_parameters = {name: given[name] for name in given if name in PARAMETERS}
    if observation.input is not None:  # what is captured at all
        observation.input = request.messages
    if request.tools:
        observation.metadata["tools"] = [tool.name for tool in request.tools]
    if request.response_schema is not None:
        observation.metadata["response_schema"] = request.response_schema.name


async def observe_completion(completion: Completion, route: Route) -> None:
    """Note the answer, what it took, and what it cost."""
    observation = current_observation()
    if observation is None:
        return
    observation.model = completion.model or observation.model
    observation.output = completion.message
    observation.metadata["finish_reason"] = completion.finish_reason
    if completion.id:
        observation.metadata["response_id"] = completion.id
    _count(observation, completion.usage)
    usage = completion.usage
    if usage is not None and usage.cost is None and (price := await route.price()) is not None:
        observation.cost = price.usd(usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)


def observe_embeddings(embeddings: Embeddings) -> None:
    """Note whose vectors they are and what they took; the numbers themselves tell a person nothing."""
    observation = current_observation()
    if observation is None:
        return
    observation.model = embeddings.model
    observation.output = {"vectors": len(embeddings.vectors), "dimensions": embeddings.dimensions}
    _count(observation, embeddings.usage)


def observe_failure(model: str, error: BaseException, text: str) -> None:
    """Note an attempt that failed: others may follow, which the answer alone does not tell."""
    observation = current_observation()
    if observation is None:
        return
    if text:
        observation.output = text
    if isinstance(error, Exception):
        attempts: list[dict[str, str]] = observation.metadata.setdefault("failed_attempts", [])
        attempts.append({"model": model, "error": type(error).__name__, "message": str(error)})


def _count(observation: Observation, usage: Usage | None) -> None:
    if usage is None:
        return
    observation.usage = {
        "input": usage.prompt_tokens,
        "output": usage.completion_tokens,
        "total": usage.total_tokens or usage.prompt_tokens + usage.completion_tokens,
    }
    if usage.cached_tokens:
        observation.usage["input_cached"] = usage.cached_tokens
    if usage.reasoning_tokens:
        observation.usage["output_reasoning"] = usage.reasoning_tokens
    observation.cost = usage.cost
