"""The actor that runs one tool, one call at a time."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tinyllm_actors.errors import ToolError
from tinyllm_actors.function import Function
from tinyllm_actors.kernel import ChildOptions, Restart
from tinyllm_actors.tool.context import ToolContext

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinyllm_actors.tool.definition import Tool

__all__ = ["ToolFunction"]


class ToolFunction(Function):
    """Runs a `Tool`: a Function whose input is the model's JSON text and whose output is text for the model.

    Its arguments are `arguments` (JSON text) and, optionally, `call_id` and `report`; its output is
    `{"content": text}`.
    """

    options = ChildOptions(restart=Restart.TRANSIENT, shutdown=1.0)

    def __init__(self, tool: Tool[..., Any], **options: Any) -> None:
        options.setdefault("name", tool.name)
        super().__init__(**options)
        self._tool = tool

    def _validate_input(self, arguments: dict[str, Any]) -> dict[str, Any]:
        # The tool's own schema is the input validator, so that a bad call fails in INPUT_VALIDATION.
        values = self._tool.validate(arguments.get("arguments", ""))
        return {"values": values, **{key: arguments[key] for key in ("call_id", "report") if key in arguments}}

    async def run(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, values: dict[str, Any], call_id: str = "", report: Callable[[object], None] | None = None
    ) -> dict[str, str]:
        """Call the function; failures other than bad arguments are tried again, as often as the tool allows."""
        deadline = self.context.deadline
        attempt = 1
        while True:
            context = ToolContext(
                call_id=call_id,
                attempt=attempt,
                deadline=None if deadline == math.inf else deadline,
                user_id=self.user_id,
                session_id=self.session_id,
            )
            if report is not None:
                context = replace(context, report=report)
            try:
                return {"content": self._tool.render(await self._tool.call(values, context))}
            except ToolError:  # the model is to do better, or there is no time left
                raise
            except Exception:
                if attempt > self._tool.retries:
                    raise
            attempt += 1
