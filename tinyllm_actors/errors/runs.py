"""Functions and agents that end with an error. See the package for the whole tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinyllm_actors.errors.base import TinyLLMError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "BudgetExceeded",
    "DelegationTooDeep",
    "EvaluationFailed",
    "FunctionFailed",
    "RunCancelled",
    "RunStopped",
    "StepLimitExceeded",
    "TimeLimitExceeded",
    "TracingError",
    "UnknownApproval",
]


class TracingError(TinyLLMError):
    """The host of traces, prompts and datasets did not do what was asked."""


class EvaluationFailed(TinyLLMError):
    """An evaluator has no score for what it was given; that is a failed evaluation, and not a score of 0."""


class FunctionFailed(TinyLLMError):
    """An error dictionary, raised by whoever prefers exceptions.

    Attributes:
        result: the whole dictionary.
    """

    def __init__(self, result: Any) -> None:
        super().__init__(str(result.get("message", "the function failed")))
        self.result = result


class RunStopped(TinyLLMError):
    """An agent's run ended at a limit, or was ended; what was done until then is kept."""


class BudgetExceeded(RunStopped):
    """A model call does not fit into what its budget leaves.

    Attributes:
        budget: the name of the budget.
        limit: what it has too little of: `"tokens"`, `"usd"` or `"calls"`.
        used: how much was used.
        maximum: how much may be.
        wanted: how much the call might have needed.
        retry_after: seconds until the budget's next period; None if it has none.
        source: the `Budget` itself, to extend it.
    """

    def __init__(
        self,
        budget: str,
        limit: str,
        *,
        used: float,
        maximum: float,
        wanted: float,
        retry_after: float | None = None,
        source: object = None,
    ) -> None:
        left = max(0.0, maximum - used)
        super().__init__(
            f"budget {budget!r} has max_{limit}={maximum:g}, of which {used:g} are used; the next model call may need "
            f"{wanted:g} and {left:g} are left; raise max_{limit}, or ask for less"
            + ("" if retry_after is None else f"; the next period begins in {retry_after:.0f} s")
        )
        self.budget = budget
        self.limit = limit
        self.used = used
        self.maximum = maximum
        self.wanted = wanted
        self.retry_after = retry_after
        self.retryable = retry_after is not None
        self.source = source


class StepLimitExceeded(RunStopped):
    """The run needed more model calls than it may make.

    Attributes:
        max_steps: how many it may make.
    """

    def __init__(self, max_steps: int) -> None:
        super().__init__(f"the run reached its limit of {max_steps} model calls; raise max_steps or simplify the task")
        self.max_steps = max_steps


class TimeLimitExceeded(RunStopped, TimeoutError):
    """The run needed more time than it may take.

    Attributes:
        max_seconds: how much it may take.
    """

    def __init__(self, max_seconds: float) -> None:
        super().__init__(f"the run reached its limit of {max_seconds:g} s; raise max_seconds or simplify the task")
        self.max_seconds = max_seconds


class DelegationTooDeep(RunStopped):
    """More agents would work inside of one another than one of them allows.

    Attributes:
        max_depth: how many may.
        agents: the paths of those that do, the innermost first.
    """

    def __init__(self, max_depth: int, agents: Sequence[str]) -> None:
        chain = " inside of ".join(repr(agent) for agent in agents)
        super().__init__(f"agents may be {max_depth} deep, and this would be one more: {chain}; raise max_depth")
        self.max_depth = max_depth
        self.agents = tuple(agents)


class RunCancelled(RunStopped):
    """Somebody cancelled the run; the message is the reason that was given."""


class UnknownApproval(TinyLLMError, LookupError):
    """No such call waits for a person: it was decided, it expired, or it never was.

    Attributes:
        call_id: which call was meant.
        waiting: those that do wait.
    """

    def __init__(self, call_id: str, waiting: Sequence[str]) -> None:
        known = ", ".join(repr(name) for name in waiting) or "none"
        super().__init__(f"no call {call_id!r} waits for a person; those that do: {known}")
        self.call_id = call_id
        self.waiting = tuple(waiting)
