"""The actor that runs one tool, one call at a time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tinyllm_actors.errors import ToolCrashed, ToolError
from tinyllm_actors.function import Function
from tinyllm_actors.kernel import ChildOptions, Restart
from tinyllm_actors.tool.approval import check_decision, decided_arguments
from tinyllm_actors.tool.context import ToolContext, report_to_nobody
from tinyllm_actors.tool.isolation.pool import shared_processes
from tinyllm_actors.tool.result import cut_result, render_result

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tinyllm_actors.function import Result
    from tinyllm_actors.tool.approval import Decision
    from tinyllm_actors.tool.definition import Tool
    from tinyllm_actors.tool.isolation.pool import Processes

__all__ = ["MAX_FULL_CHARS", "ToolFunction"]

MAX_FULL_CHARS = 10_000_000
"""Characters of a result that are kept beside what the model sees."""


class ToolFunction(Function):
    """Runs a `Tool`: a Function whose input is the model's JSON text and whose output is text for the model.

    Its arguments are `arguments` (JSON text) and, optionally, `call_id`, `idempotency_key`, `decision` (a `Decision`),
    `report`, and `ended`, a quick plain function that gets the dictionary of the call in the moment it is there. Its
    output is `{"content": text}`, and the whole text as `full` if that was cut. A call that needs approval runs only
    with a decision that gives it.
    """

    options = ChildOptions(restart=Restart.TRANSIENT, shutdown=1.0)
    observation_kind = "tool"

    def __init__(self, tool: Tool[..., Any], **options: Any) -> None:
        options.setdefault("name", tool.name)
        super().__init__(**options)
        self._tool = tool
        self._processes: Processes | None = None

    async def started(self) -> None:
        """Find the warm processes, if the tool runs in one."""
        if self._tool.isolate is not None:
            self._processes = await shared_processes(self.context.system)
        await super().started()

    async def _call(self, arguments: dict[str, Any], run: Callable[..., Awaitable[Any]] | None = None) -> Result:
        ended: Callable[[Result], None] | None = arguments.pop("ended", None)
        result = await super()._call(arguments, run)
        if ended is not None:
            ended(result)
        return result

    def _validate_input(self, arguments: dict[str, Any]) -> dict[str, Any]:
        # The tool's own schema is the input validator, so that a bad call fails in INPUT_VALIDATION.
        rest = dict(arguments)
        decision: Decision | None = rest.pop("decision", None)
        values = self._tool.validate(decided_arguments(rest.pop("arguments", ""), decision))
        check_decision(self._tool, values, decision)
        return {"values": values, **rest}

    async def run(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        values: dict[str, Any],
        call_id: str = "",
        idempotency_key: str = "",
        report: Callable[[object], None] = report_to_nobody,
    ) -> dict[str, str]:
        """Call the function; failures other than bad arguments are tried again, as often as the tool allows."""
        tool = self._tool
        context: ToolContext | None = None
        attempt = 1
        while True:
            # Most functions do not look at it, and the deadline of this message holds anyway.
            if tool.arguments.injected or tool.isolate is not None or tool.signature.kind not in ("sync", "async"):
                deadline = self.context.deadline
                context = ToolContext(
                    call_id=call_id,
                    attempt=attempt,
                    idempotency_key=idempotency_key,
                    deadline=None if deadline == math.inf else deadline,
                    user_id=self.user_id,
                    session_id=self.session_id,
                    report=report,
                )
            try:
                return self._output(await tool.call(values, context, processes=self._processes))
            except ToolCrashed:
                if attempt > tool.retries:
                    raise
            except ToolError:  # the model is to do better, or there is no time left
                raise
            except Exception:
                if attempt > tool.retries:
                    raise
            attempt += 1

    def _output(self, result: object) -> dict[str, str]:
        full = render_result(result)
        content = cut_result(full, self._tool.max_result_chars)
        if content is full:
            return {"content": content}
        return {"content": content, "full": cut_result(full, MAX_FULL_CHARS)}
