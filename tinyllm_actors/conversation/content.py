"""What may be said to a conversation: it is stored before an agent sees it, so it is looked at before that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import msgspec

from tinyllm_actors.errors import MessageRejected
from tinyllm_actors.llm.messages import ContentPart

__all__ = ["check_content", "check_name", "short_text"]

MAX_REASON_CHARS: Final = 1000

if TYPE_CHECKING:
    from typing import TypeAlias

    Content: TypeAlias = str | list[ContentPart]


def check_content(content: object) -> Content:
    """Return what is said, if it is text, or a list of parts, which may be in their wire form.

    Whether there is something in it is for the agent to say.

    Raises:
        MessageRejected: it is something else.
    """
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise MessageRejected(content)
    try:
        return msgspec.convert(cast("list[object]", content), list[ContentPart])
    except msgspec.ValidationError as error:
        raise MessageRejected(cast("list[object]", content), str(error)) from error


def short_text(reason: str) -> str:
    """Return the reason of something in a form that can be stored, whatever is in it."""
    return reason[:MAX_REASON_CHARS].encode("utf-8", "replace").decode()


def check_name(name: str | None) -> str | None:
    """Return the name of a turn or of a user.

    Raises:
        TypeError: it is no text, so that it could not be read back.
    """
    if not (name is None or isinstance(name, str)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TypeError(f"turn_id and name are text, or None, not {name!r}")
    return name
