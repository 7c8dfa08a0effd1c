"""Tool calls that fail. See the package for the whole tree."""

from __future__ import annotations

from tinyllm_actors.errors.base import TinyLLMError

__all__ = [
    "FetchFailed",
    "InvalidArguments",
    "IsolatedFailure",
    "ToolCrashed",
    "ToolDenied",
    "ToolError",
    "ToolRateLimited",
    "ToolRetry",
    "ToolTimeout",
    "UnknownTool",
]


class ToolError(TinyLLMError):
    """A tool call failed; the model is told the message, so it must hold no secret.

    Attributes:
        tool: the name of the tool.
    """

    def __init__(self, tool: str, message: str) -> None:
        super().__init__(message)
        self.tool = tool


class UnknownTool(ToolError):
    """The model asked for a tool that it was not given."""


class InvalidArguments(ToolError):
    """The arguments do not fit the tool's schema."""


class ToolDenied(ToolError):
    """A person did not allow the call, or was not asked; it did not run."""


class ToolRateLimited(ToolError):
    """The tool was called so often that this call's turn comes too late.

    Attributes:
        retry_after: seconds until it may be called.
    """

    retryable = True

    def __init__(self, tool: str, message: str, *, retry_after: float) -> None:
        super().__init__(tool, message)
        self.retry_after = retry_after


class ToolCrashed(ToolError):
    """The process in which an isolated tool ran died, or sent nonsense; the message says how."""


class ToolTimeout(ToolError, TimeoutError):
    """The tool took longer than its time-out; its work was cancelled."""


class ToolRetry(ToolError):
    """Raised by a tool: the model should call it again with other arguments; the message says how."""

    def __init__(self, message: str, *, tool: str = "") -> None:
        super().__init__(tool, message)


class FetchFailed(TinyLLMError):
    """A document cannot be had from the web, or may not; the message is fit for a model."""


class IsolatedFailure(TinyLLMError):
    """A tool raised an exception in its own process, of a class that this one need not know.

    Attributes:
        type_name: the name of the class.
    """

    def __init__(self, type_name: str, message: str) -> None:
        super().__init__(f"{type_name}: {message}")
        self.type_name = type_name
