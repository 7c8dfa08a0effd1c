"""The record that a call went to another model than it was meant for."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ModelSwitched"]


@dataclass(frozen=True, slots=True)
class ModelSwitched:
    """A call went to another model. Published on the system's event stream, and logged.

    ```python
    >>> from tinyllm_actors.llm import ModelSwitched
    >>> print(ModelSwitched("bot/llm", "openai/gpt-4o", "local", "fallback", "Overloaded"))
    [bot/llm] calls 'local' instead of 'openai/gpt-4o' (fallback: Overloaded)

    ```

    Attributes:
        path: the `LLM` that made the call.
        source: the name of the model that was to answer.
        target: the name of the one that is asked instead.
        reason: `"fallback"`, `"context_window"` (it has a larger one) or `"budget"` (it is cheaper).
        cause: the type of the failure; "" where nothing failed.
    """

    path: str
    source: str
    target: str
    reason: str
    cause: str = ""

    def __str__(self) -> str:
        why = f"{self.reason}: {self.cause}" if self.cause else self.reason
        return f"[{self.path}] calls {self.target!r} instead of {self.source!r} ({why})"
