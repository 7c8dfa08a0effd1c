"""Tokens and prices, as litellm knows them."""

from __future__ import annotations

from typing import Any

import msgspec

from tinyllm_actors.llm.model import Usage
from tinyllm_actors.llm.wire import usage_of

__all__ = ["Prices", "usage_of_chunks"]


def usage_of_chunks(answer: Any) -> tuple[Usage | None, Any]:
    """Return the tokens that litellm's stream reports, and the last report as litellm has it.

    Some providers report the prompt at the beginning and the answer at the end, some both with each chunk, always as
    running totals: the largest of each counts.
    """
    chunks: list[Any] = getattr(answer, "chunks", None) or []
    reports = [report for chunk in chunks if (report := getattr(chunk, "usage", None)) is not None]
    usages = [usage for report in reports if (usage := usage_of(report.model_dump())) is not None]
    if not usages:
        return None, None
    prompt = max(usage.prompt_tokens for usage in usages)
    completion = max(usage.completion_tokens for usage in usages)
    total = max(prompt + completion, *(usage.total_tokens for usage in usages))
    return Usage(prompt, completion, total), reports[-1]


class Prices:
    """Price the calls of one model in US dollars.

    A model that is not in litellm's table has no price, which is not the price 0.

    Args:
        litellm: the module.
        model: the name for litellm, with its provider.
        provider: the provider.
    """

    def __init__(self, litellm: Any, model: str, provider: str) -> None:
        self._litellm = litellm
        self._model = model
        self._provider = provider
        self._known = True

    def of_answer(self, usage: Usage | None, response: Any) -> Usage | None:
        """Return `usage` with the price that litellm has worked out for a whole answer."""
        hidden: dict[str, object] = getattr(response, "_hidden_params", None) or {}
        return _with_cost(usage, hidden.get("response_cost"))

    def of_stream(self, usage: Usage | None, report: Any) -> Usage | None:
        """Return `usage` with the price of a streamed answer.

        Args:
            usage: the tokens.
            report: the same as litellm has it, which may tell cached tokens apart.
        """
        if usage is None or not self._known:
            return usage
        try:
            prompt, completion = self._litellm.cost_per_token(
                model=self._model,
                custom_llm_provider=self._provider,
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
                usage_object=report,
            )
        except Exception:  # litellm's way to say that it has no price
            self._known = False
            return usage
        return _with_cost(usage, prompt + completion)


def _with_cost(usage: Usage | None, cost: object) -> Usage | None:
    if usage is None or not isinstance(cost, int | float):
        return usage
    return msgspec.structs.replace(usage, cost=float(cost))
