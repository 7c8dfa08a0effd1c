"""Tell a model without a template for tools of tools and their results. Pure: no I/O.

Such a model knows three roles. So a call is left out, and its result is put below the question that led to it:

```text
user:       When is my birthday?

            Result of get_user_property(asked_property: birthday) = January 1st
assistant:  Your birthday is January 1st.
```
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from tinyllm_actors.errors import RequestRejected
from tinyllm_actors.llm.messages import AssistantMessage, SystemMessage, TextPart, ToolMessage, UserMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.llm.messages import Message, ToolCall

__all__ = ["DEFAULT_SYSTEM", "FAILED", "Conversation", "canonical_call", "read_conversation", "result_line"]

DEFAULT_SYSTEM = "You are a helpful assistant."
"""Without a system message the template of SmolLM2 puts in one of its own, with a name and a maker."""

FAILED = "Error: "
"""What the result of a call that failed begins with."""


@dataclass(slots=True)
class Conversation:
    """A history as such a model can read it.

    Attributes:
        system: the standing instructions.
        turns: user and assistant messages, which alternate.
        calls: the calls that were answered since the user last said something, see `canonical_call`.
        rounds: how many times the model asked for tools since then.
        results: how many results came since then.
        failures: how many of them tell of a failure.
    """

    system: str = DEFAULT_SYSTEM
    turns: list[UserMessage | AssistantMessage] = field(default_factory=list[UserMessage | AssistantMessage])
    calls: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])
    rounds: int = 0
    results: int = 0
    failures: int = 0

    def messages(self, instruction: str = "", examples: Sequence[Message] = ()) -> list[Message]:
        """Return what is sent: the system message with `instruction` below it, `examples`, then the turns."""
        return [SystemMessage(self.system + instruction), *examples, *self.turns]


def read_conversation(messages: Sequence[Message], model: str) -> Conversation:
    """Return the history as a model without a template for tools can read it.

    Args:
        messages: the history, oldest first.
        model: the name for errors.

    Raises:
        RequestRejected: a message holds something other than text.
    """
    conversation = Conversation()
    known: dict[str, ToolCall] = {}
    systems: list[str] = []
    for message in messages:
        match message:
            case SystemMessage():
                systems.append(message.content)
            case UserMessage():
                conversation.calls.clear()
                conversation.rounds = conversation.results = conversation.failures = 0
                _say(conversation, UserMessage(_text_of(message, model)))
            case AssistantMessage():
                known |= {call.id: call for call in message.tool_calls}
                conversation.rounds += bool(message.tool_calls)
                if message.content:
                    _say(conversation, AssistantMessage(message.content))
            case ToolMessage():
                call = known.get(message.tool_call_id)
                name = call.name if call is not None else message.name or "a tool"
                arguments = call.arguments if call is not None else "{}"
                conversation.calls.add(canonical_call(name, arguments))
                conversation.results += 1
                conversation.failures += message.content.startswith(FAILED)
                _say(conversation, UserMessage(result_line(name, arguments, message.content)))
    if systems:
        conversation.system = "\n\n".join(systems)
    return conversation


def result_line(name: str, arguments: str, result: str) -> str:
    """Return a line that tells the result of a call."""
    given = _object(arguments)
    return f"Result of {name}({', '.join(f'{key}: {_plain(value)}' for key, value in given.items())}) = {result}"


def canonical_call(name: str, arguments: str) -> tuple[str, str]:
    """Return what is equal for two calls that ask for the same."""
    return name, json.dumps(_object(arguments), sort_keys=True)


def _say(conversation: Conversation, message: UserMessage | AssistantMessage) -> None:
    """Add a message, or add it to the last one if that has the same role: many templates want them to alternate."""
    last = conversation.turns[-1] if conversation.turns else None
    if last is not None and type(last) is type(message):
        conversation.turns[-1] = type(message)(f"{last.content}\n\n{message.content}")
    else:
        conversation.turns.append(message)


def _text_of(message: UserMessage, model: str) -> str:
    if isinstance(message.content, str):
        return message.content
    texts: list[str] = []
    for part in message.content:
        if not isinstance(part, TextPart):
            raise RequestRejected(
                f"{model} reads text only, and the message holds a {type(part).__name__}; use a model that reads it",
                model=model,
            )
        texts.append(part.text)
    return "\n".join(texts)


def _object(arguments: str) -> dict[str, Any]:
    try:
        value = json.loads(arguments or "{}")
    except ValueError:
        return {"arguments": arguments}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {"arguments": value}


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
