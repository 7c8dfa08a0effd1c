"""Agents that work with agents: as a tool of another, or as the one that goes on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

import msgspec

from tinyllm_actors.conversation.history_repair import repair
from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.kernel import ActorRef
from tinyllm_actors.llm import AssistantMessage, ToolMessage, ToolSchema, UserMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tinyllm_actors.kernel import ChildSpec
    from tinyllm_actors.llm import Message

__all__ = ["Handoff", "HistoryPolicy", "handoff", "tool_name"]

HistoryPolicy: TypeAlias = "Literal['all', 'run', 'none'] | Callable[[Sequence[Message]], Sequence[Message]]"
"""What the agent that goes on is shown: everything, this run only, nothing, or what a function makes of it."""

_NOT_IN_NAMES: Final = re.compile(r"[^a-zA-Z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Handoff:
    """What a model calls to let another agent go on; made by `handoff`.

    Attributes:
        name: of the call.
        description: when to do it, for the model to read.
        target: the agent: a reference, or a spec of which a new one is made for each hand-off.
        history: what it is shown.
    """

    name: str
    description: str
    target: ActorRef | ChildSpec
    history: HistoryPolicy

    def schema(self) -> ToolSchema:
        """Return what the model is told."""
        parameters: dict[str, Any] = {
            "type": "object",
            "properties": {"message": {"type": "string", "description": "What the other agent is to do."}},
            "required": [],
        }
        return ToolSchema(self.name, self.description, parameters)

    def arguments(self, written: str, history: Sequence[Message], said: Sequence[Message]) -> dict[str, Any]:
        """Return the arguments of the call of the other agent.

        Args:
            written: the arguments of the model's call, as JSON text.
            history: what was said before this run.
            said: what was said in it, the call and its result at the end.
        """
        question = next(message for message in reversed(said) if isinstance(message, UserMessage))
        before = [message for message in said if message is not question]
        if self.history == "all":
            shown: Sequence[Message] = [*history, *before]
        elif self.history == "run":
            shown = before
        elif self.history == "none":
            shown = ()
        else:
            shown = self.history([*history, *before])
        content: Any = question.content
        note = _message_in(written)
        if note and isinstance(content, str):
            content = f"{content}\n\n{note}"
        # Calls of tools that the other agent does not have would only confuse it.
        spoken = [m for m in repair(shown) if not isinstance(m, ToolMessage) and not _calls(m)]
        return {"content": content, "history": spoken}


def _calls(message: Message) -> bool:
    return isinstance(message, AssistantMessage) and bool(message.tool_calls)


def _message_in(written: str) -> str:
    try:
        values: Any = msgspec.json.decode(written or "{}")
    except msgspec.DecodeError:
        return ""
    if not isinstance(values, dict):
        return ""
    note = cast("dict[str, Any]", values).get("message")
    return note.strip() if isinstance(note, str) else ""


def handoff(
    target: ActorRef | ChildSpec,
    *,
    description: str,
    name: str | None = None,
    history: HistoryPolicy = "all",
) -> Handoff:
    """Return what lets an agent hand the user over to another: put it among its `tools`.

    ```python
    >>> from tinyllm_actors import Agent, answer_text, run
    >>> from tinyllm_actors.agent import handoff
    >>> from tinyllm_actors.testing import ScriptedModel, text, tool_call
    >>> billing = Agent.spec(name="billing", model=ScriptedModel([text("You owe nothing.")]))
    >>> front = Agent.spec(
    ...     model=ScriptedModel([tool_call("transfer_to_billing")]),
    ...     tools=[handoff(billing, description="For questions about money.")],
    ... )
    >>> result = run(front, content="What do I owe?")
    >>> answer_text(result)
    'You owe nothing.'

    ```

    Args:
        target: the agent that goes on: a reference, or a spec of which a new one is made for each hand-off.
        description: when to hand over, for the model to read.
        name: of the call; left out, `transfer_to_` and the target's name, in the tree or else in the log.
        history: what the target is shown: `"all"`, `"run"` (this run only), `"none"`, or a function of the messages.

    Raises:
        ConfigurationError: the target has no name, and none was given.
    """
    if name is None:
        label = name_of(target)
        if label is None:
            raise ConfigurationError("a hand-off needs a name: give the agent one with name=…, or pass name=… here")
        name = tool_name("transfer_to_", label)
    return Handoff(name, description, target, history)


def name_of(target: ActorRef | ChildSpec) -> str | None:
    """Return what an agent is called: in the tree, or else what its spec calls it in the log."""
    return target.name or (None if isinstance(target, ActorRef) else target.kwargs.get("name"))


def tool_name(prefix: str, label: str) -> str:
    """Return a name that every provider takes for a tool, made of an actor's name."""
    return (prefix + _NOT_IN_NAMES.sub("_", label))[:64]
