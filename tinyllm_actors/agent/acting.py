"""The tool calls of a run: plain, or told as they happen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import anyio

from tinyllm_actors.agent import events
from tinyllm_actors.function import unwrap
from tinyllm_actors.tool import ToolFinished, ToolProgress, ToolStarted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tinyllm_actors.agent.parts import Parts
    from tinyllm_actors.agent.turn import Turn
    from tinyllm_actors.function import Result
    from tinyllm_actors.tool import ToolOutcome, ToolRequest

__all__ = ["run_calls"]

LAST_WORDS_SECONDS: Final = 2.0
"""How long a run that is cancelled may take to have the journal keep what had ended."""


async def run_calls(
    parts: Parts,
    turn: Turn,
    requests: Sequence[ToolRequest],
    tell: Callable[[Any], Awaitable[None]] | None,
    run_id: int,
) -> list[ToolOutcome]:
    """Let the toolkit run calls, keep each outcome in the turn as soon as it is there, and return them as they came.

    Args:
        parts: of the agent.
        turn: takes the outcomes.
        requests: the calls.
        tell: takes the events; None if nobody reads them.
        run_id: of the events.

    Raises:
        FunctionFailed: the toolkit failed; a tool that fails does not make it fail.
    """
    assert parts.toolkit_ref is not None
    toolkit, outcomes, journal = parts.toolkit_ref.within(None), turn.outcomes, parts.journal
    ended: list[ToolOutcome] = []

    def settle(outcome: ToolOutcome) -> None:
        outcomes[outcome.call_id] = outcome
        ended.append(outcome)

    if tell is None and journal is None:  # nobody to wait for, so no stream: a third of its cost
        unwrap(await toolkit(calls=requests, settle=settle))
        return ended
    noted: set[str] = set()
    try:
        async with toolkit.stream(calls=requests, settle=settle) as stream:
            async for event in stream:
                if isinstance(event, dict):
                    unwrap(cast("Result", event))
                    continue
                if journal is not None and type(event) is ToolFinished:
                    noted.add(event.outcome.call_id)
                    await journal.happened([event.outcome])
                if tell is not None:
                    await tell(_shown(event, run_id, turn.steps))
    except BaseException:
        # What had ended when the run was cancelled was paid for, though nobody has read of it yet.
        late = [outcome for outcome in ended if outcome.call_id not in noted]
        if late and journal is not None:
            with anyio.CancelScope(shield=True, deadline=anyio.current_time() + LAST_WORDS_SECONDS):
                await journal.happened(late)
        raise
    return ended


def _shown(event: ToolStarted | ToolProgress | ToolFinished, run_id: int, step: int) -> events.AgentEvent:
    """Return what a reader of the run is told of something that the toolkit tells."""
    if isinstance(event, ToolStarted):
        return events.ToolStarted(event.call_id, event.name, event.arguments, run_id, step)
    if isinstance(event, ToolProgress):
        return events.ToolProgress(event.call_id, event.name, event.progress, run_id, step)
    return events.ToolFinished(event.outcome, run_id, step)
