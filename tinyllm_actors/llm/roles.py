r"""Which roles may follow which: some models take any order, others refuse a request over it.

```python
>>> from tinyllm_actors.llm import SystemMessage, UserMessage
>>> [m.content for m in fit_roles([UserMessage("a"), UserMessage("b")], STRICT)]
['a\n\nb']

```
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import msgspec

from tinyllm_actors.llm.messages import AssistantMessage, SystemMessage, TextPart, ToolMessage, UserMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.llm.messages import ContentPart, Message
    from tinyllm_actors.llm.model import ChatRequest

__all__ = ["LENIENT", "STRICT", "RoleRules", "fit_roles", "fitting"]

CONTINUE: Final = "(go on)"
"""What the user says where a model wants the user to have said something."""

ACKNOWLEDGED: Final = "(noted)"
"""What the model says between the results of tools and a word of the user, where it has to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleRules:
    """What a model demands of the order of roles.

    Attributes:
        alternate: user and assistant take turns: what one says in a row is one message.
        user_first: the first message that is not the system's is the user's.
        system_first: there is one system message at most, at the beginning.
        assistant_after_tools: the results of tools are followed by the model, not by the user.
    """

    alternate: bool = False
    user_first: bool = False
    system_first: bool = False
    assistant_after_tools: bool = False


LENIENT: Final = RoleRules()
"""Any order; OpenAI's models."""

STRICT: Final = RoleRules(alternate=True, user_first=True, system_first=True, assistant_after_tools=True)
"""The order that every chat template takes; Mistral's models and many that vLLM and llama.cpp serve."""


def fit_roles(messages: Sequence[Message], rules: RoleRules) -> list[Message]:
    """Return a history in which the roles follow one another as a model demands; nothing that was said is lost.

    Args:
        messages: with whole groups of tool calls and results, as `repair` leaves them.
        rules: of the model.
    """
    if rules == LENIENT:
        return list(messages)
    found: list[Message] = []
    system: list[str] = []
    for message in messages:
        if isinstance(message, SystemMessage):
            if rules.system_first:
                system.append(message.content)
            else:
                found.append(message)
            continue
        last = found[-1] if found else None
        if rules.user_first and not isinstance(message, UserMessage) and _first(found):
            found.append(UserMessage(CONTINUE))
        elif rules.assistant_after_tools and isinstance(message, UserMessage) and isinstance(last, ToolMessage):
            found.append(AssistantMessage(ACKNOWLEDGED))
        elif rules.alternate and (joined := _joined(last, message)) is not None:
            found[-1] = joined
            continue
        found.append(message)
    if system:
        found.insert(0, SystemMessage("\n\n".join(system)))
    return found


def fitting(request: ChatRequest, rules: RoleRules | None) -> ChatRequest:
    """Return a request whose messages are in the order that a model demands, if it demands any."""
    return request if rules is None else replace(request, messages=fit_roles(request.messages, rules))


def _first(found: Sequence[Message]) -> bool:
    return all(isinstance(message, SystemMessage) for message in found)


def _joined(last: Message | None, message: Message) -> Message | None:
    """Return one message that says what two of the same role say; None if they are not to be joined."""
    if isinstance(last, UserMessage) and isinstance(message, UserMessage):
        return msgspec.structs.replace(last, content=_together(last.content, message.content))
    if isinstance(last, AssistantMessage) and isinstance(message, AssistantMessage) and not last.tool_calls:
        return msgspec.structs.replace(
            message,
            content="\n\n".join(text for text in (last.content, message.content) if text) or None,
            reasoning_content=message.reasoning_content or last.reasoning_content,
            refusal=message.refusal or last.refusal,
        )
    return None


def _together(first: str | list[ContentPart], second: str | list[ContentPart]) -> str | list[ContentPart]:
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}"
    parts: list[ContentPart] = []
    for content in (first, second):
        parts += [TextPart(content)] if isinstance(content, str) else content
    return parts
