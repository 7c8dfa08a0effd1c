"""Tokens and prices, as litellm knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tinyllm_actors.llm.model import Usage
from tinyllm_actors.llm.wire import as_object, usage_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Prices", "usage_of_reports", "with_cost"]


def usage_of_reports(reports: Sequence[Any]) -> Usage | None:
    """Return the tokens of a streamed answer.

    Some providers report the prompt at the beginning and the answer at the end, some both with each chunk, always as
    running totals: the largest of each counts.
    """
    plain: Iterator[object] = (report if as_object(report) else report.model_dump() for report in reports)
    usages = [usage for report in plain if (usage := usage_of(report)) is not None]
    if not usages:
        return None
    prompt = max(usage.prompt_tokens for usage in usages)
    completion = max(usage.completion_tokens for usage in usages)
    return Usage(
        prompt,
        completion,
        max(prompt + completion, *(usage.total_tokens for usage in usages)),
        cached_tokens=max(usage.cached_tokens for usage in usages),
        reasoning_tokens=max(usage.reasoning_tokens for usage in usages),
    )


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
        return with_cost(usage, hidden.get("response_cost"))

    def of_stream(self, reports: Sequence[Any]) -> Usage | None:
        """Return the tokens and the price of a streamed answer.

        Args:
            reports: of tokens, as they came; litellm's own kind may tell cached tokens apart.
        """
        usage = usage_of_reports(reports)
        if usage is None or not self._known:
            return usage
        last = reports[-1]
        try:
            prompt, completion = self._litellm.cost_per_token(
                model=self._model,
                custom_llm_provider=self._provider,
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
                usage_object=None if as_object(last) else last,
            )
        except Exception:  # litellm's way to say that it has no price
            self._known = False
            return usage
        return with_cost(usage, prompt + completion)


def with_cost(usage: Usage | None, cost: object) -> Usage | None:
    """Return `usage` with a price, if it is one."""
    if usage is None or not isinstance(cost, int | float):
        return usage
    return msgspec.structs.replace(usage, cost=float(cost))
