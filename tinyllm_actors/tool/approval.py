"""A person's approval of a tool call, as data: what is asked, and what was decided.

Nothing here waits. Whoever runs the turn keeps the questions, for as long as it takes and across restarts, and hands
each decision back with its call: `ToolRequest(…, decision=Decision.approve())`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from tinyllm_actors.errors import ToolDenied

if TYPE_CHECKING:
    from tinyllm_actors.tool.definition import Tool

__all__ = ["ApprovalRequest", "Decision", "check_decision", "decided_arguments", "is_asked_first", "needs_approval"]

MAX_REASON_CHARS = 2_000
"""Characters of a reason that the model is told."""


class ApprovalRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A question to a person: may this call run?

    Attributes:
        call_id: the call that waits.
        name: the tool.
        arguments: what it would be called with, as JSON text; show it, since it is what was decided on.
        description: what the tool does, for the person to read.
        expires_at: when the question is no longer open, in seconds of Unix time, as it may outlive the process;
            None if it stays open.
    """

    call_id: str
    name: str
    arguments: str
    description: str = ""
    expires_at: float | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a person decided. Made with `approve`, `deny` or `edit`.

    ```python
    >>> import msgspec
    >>> msgspec.json.encode(Decision.deny("too expensive"))
    b'{"verdict":"deny","reason":"too expensive"}'
    >>> msgspec.json.decode(b'{"verdict":"edit","arguments":"{}"}', type=Decision) == Decision.edit("{}")
    True

    ```

    Attributes:
        verdict: whether the call runs, runs with other arguments, or does not run.
        reason: why not, for the model to read.
        arguments: JSON text that replaces the model's arguments; they are validated as the model's would be.

    Raises:
        ValueError: an edit without arguments, or arguments without an edit.
    """

    verdict: Literal["approve", "deny", "edit"]
    reason: str = ""
    arguments: str | None = None

    def __post_init__(self) -> None:
        if (self.arguments is not None) != (self.verdict == "edit"):
            raise ValueError(f"arguments go with the verdict 'edit', and only with it; got {self.verdict!r}")

    @classmethod
    def approve(cls) -> Decision:
        """Return the decision to run the call as it is."""
        return cls(verdict="approve")

    @classmethod
    def deny(cls, reason: str = "") -> Decision:
        """Return the decision not to run the call; the model is told the reason, cut to 2,000 characters."""
        return cls(verdict="deny", reason=reason)

    @classmethod
    def edit(cls, arguments: str) -> Decision:
        """Return the decision to run the call with these arguments, as JSON text."""
        return cls(verdict="edit", arguments=arguments)


def is_asked_first(tool: Tool[..., Any], values: dict[str, Any]) -> bool:
    """Return whether a person decides on a call with these validated arguments.

    A `requires_approval` that fails, or answers anything but False, says yes: in doubt a person is asked.
    """
    required = tool.requires_approval
    if not callable(required):
        return required
    try:
        return required(values) is not False
    except Exception:
        return True


def needs_approval(tool: Tool[..., Any], arguments: str) -> bool:
    """Return whether a person decides on a call with these arguments, as JSON text.

    Arguments that do not fit need nobody: the call is refused anyway.
    """
    if tool.requires_approval is False:
        return False
    try:
        values = tool.validate(arguments)
    except Exception:  # a validator's own code may raise anything, and the call then fails of it
        return False
    return is_asked_first(tool, values)


def decided_arguments(arguments: str, decision: Decision | None) -> str:
    """Return the JSON text that a call runs with: the person's, if they edited it."""
    return arguments if decision is None or decision.arguments is None else decision.arguments


def check_decision(tool: Tool[..., Any], values: dict[str, Any], decision: Decision | None) -> None:
    """Refuse a call that a person denied, or should have been asked about.

    Raises:
        ToolDenied: it may not run; the message is for the model.
    """
    if decision is None:
        if is_asked_first(tool, values):
            raise ToolDenied(tool.name, f"tool {tool.name!r} needs a person's approval, and nobody gave it")
    elif decision.verdict == "deny":
        reason = decision.reason.strip()[:MAX_REASON_CHARS]
        why = f": {reason}" if reason else ""
        raise ToolDenied(
            tool.name, f"a person denied this call of {tool.name!r}{why}. It was not run; do not repeat it unchanged."
        )
