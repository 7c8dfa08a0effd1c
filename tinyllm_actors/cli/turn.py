"""One turn of a conversation, shown as it happens."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, cast

from tinyllm_actors.agent import MessageCompleted, RunFinished, TextDelta, ToolFinished, ToolProgress, ToolStarted
from tinyllm_actors.cli.plain import one_line, printable
from tinyllm_actors.errors import ActorError, ConversationQuarantined, StoreError
from tinyllm_actors.function import failure

if TYPE_CHECKING:
    from tinyllm_actors.agent import AgentEvent
    from tinyllm_actors.cli.durable import DurableChat
    from tinyllm_actors.function import FunctionRef, Result
    from tinyllm_actors.kernel import ConsoleLog

__all__ = ["dim", "show_turn"]


def dim(text: str) -> str:
    """Return `text` so that a terminal shows it dimly; as it is for anything else, or if `NO_COLOR` is set."""
    return f"\x1b[2m{text}\x1b[0m" if sys.stdout.isatty() and not os.environ.get("NO_COLOR") else text


async def show_turn(agent: FunctionRef | DurableChat, content: str | None, log: ConsoleLog) -> Result:
    """Ask the agent, write what it says and does as it comes, and return the dictionary of its answer."""
    turn = _Turn(log)
    try:
        async with agent.stream(content=content) as events:
            async for event in events:
                turn.show(event)
    except (ActorError, ConversationQuarantined, StoreError) as error:
        turn.result = failure(error, state="DELIVERY")
    finally:
        log.end()
    assert turn.result is not None
    return turn.result


class _Turn:
    """What was shown so far.

    Attributes:
        result: the dictionary, once the turn has ended.
    """

    def __init__(self, log: ConsoleLog) -> None:
        self._log = log
        self._has_text = False
        self.result: Result | None = None

    def show(self, event: AgentEvent) -> None:
        """Write one event."""
        log = self._log
        if isinstance(event, TextDelta):
            log.write(printable(event.text))
            self._has_text = True
        elif isinstance(event, MessageCompleted):
            if not self._has_text and event.message.content:  # a model that does not stream
                log.write(printable(event.message.content))
            self._has_text = False
            log.end()
        elif isinstance(event, ToolStarted):
            log.line(dim(f"→ {event.name}({_shown(event.arguments)})"))
        elif isinstance(event, ToolProgress):
            log.line(dim(f"… {event.name}: {one_line(str(event.progress))}"))
        elif isinstance(event, ToolFinished):
            log.line(dim(f"← {one_line(event.outcome.content)}"))
        elif isinstance(event, RunFinished):
            self.result = event.result


def _shown(arguments: str) -> str:
    """Return a call's arguments as Python would show them; as they are, if they are no JSON object."""
    try:
        values: Any = json.loads(arguments)
    except ValueError:
        values = None
    if not isinstance(values, dict):
        return one_line(arguments)
    named = cast("dict[str, Any]", values)
    return one_line(", ".join(f"{key}={value!r}" for key, value in named.items()))
