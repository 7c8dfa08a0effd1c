"""What a tool may know about the call that it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["NO_CONTEXT", "ToolContext", "report_to_nobody"]


def report_to_nobody(progress: object) -> None:
    """Take progress that nobody asked to see."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """The call that a tool answers, handed to each parameter that is annotated with this class.

    The model never sees such a parameter.

    ```python
    @tool
    async def export(table: str, context: ToolContext) -> str:
        \"\"\"Export a table.\"\"\"
        context.report("10 %")
        ...
    ```

    Attributes:
        call_id: the model's identifier of the call; unique within one answer of the model, not beyond.
        attempt: 1 for the first run of this call, 2 for the second, and so on.
        idempotency_key: the same for every attempt at this call, also after a restart of the process; empty outside
            a durable conversation. Hand it to services that can recognise a repeated request.
        deadline: when the call is cancelled, in seconds of `anyio.current_time()`; None if nothing bounds it.
        user_id: for whom the agent works, if the caller said.
        session_id: in which session, if the caller said.
        report: call it with anything worth showing while the work goes on. It does not wait for readers, and works
            from the thread of a plain function too; there it also ends the function, by raising, once the call has
            been cancelled.
    """

    call_id: str = ""
    attempt: int = 1
    idempotency_key: str = ""
    deadline: float | None = None
    user_id: str | None = None
    session_id: str | None = None
    report: Callable[[object], None] = report_to_nobody

    @property
    def heard(self) -> bool:
        """Whether anybody reads what is reported, so that costly reports can be left out."""
        return self.report is not report_to_nobody


NO_CONTEXT = ToolContext()
"""The context of a call of which nothing is known."""
