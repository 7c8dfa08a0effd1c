"""Read an answer that came whole, or a refusal. Pure: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from tinyllm_actors.errors import MalformedResponse
from tinyllm_actors.integrations.openai_compatible.failures import (
    excerpt,
    failure_of_event,
    failure_of_status,
    read_complaint,
    retry_after_of,
)
from tinyllm_actors.llm.answer import completion_from_wire
from tinyllm_actors.llm.wire import as_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinyllm_actors.errors import ModelError
    from tinyllm_actors.llm.answer import AnswerLimits
    from tinyllm_actors.llm.model import Completion

__all__ = ["MAX_COMPLAINT_BYTES", "Head", "failure_of", "read_completion", "unreadable"]

MAX_COMPLAINT_BYTES = 64 * 1024
"""How much of an answer that is no completion is looked at."""


class Head(NamedTuple):
    """The start of an answer; header names are looked up without regard to case."""

    status: int
    headers: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """The provider took the request."""
        return 200 <= self.status < 300

    @property
    def content_type(self) -> str:
        """The media type in lower case, without parameters; empty when the server names none."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()


def read_completion(head: Head, data: bytes, *, model: str, limits: AnswerLimits) -> Completion:
    """Return the answer that a body holds. What the body says counts, not what `Content-Type` says of it.

    Raises:
        MalformedResponse: it holds none.
        ModelError: it holds an error.
    """
    try:
        body: object = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise unreadable(head, data, model=model) from None
    if not as_object(body):
        raise unreadable(head, data, model=model)
    if body.get("error") and not body.get("choices"):
        raise failure_of_event(read_complaint(body), model=model, started=False)
    return completion_from_wire(body, model, limits=limits)


def unreadable(head: Head, data: bytes, *, model: str, what: str = "chat completion") -> MalformedResponse:
    """Return the error for a body that is not `what` was asked for."""
    text = excerpt(data[:4096].decode("utf-8", "replace"))
    kind = repr(head.content_type) if head.content_type else "of no content type"
    return MalformedResponse(
        f"{model}: the provider answered {head.status} with something {kind} that is no {what}: {text!r}; "
        "check api_base",
        status=head.status,
        model=model,
    )


def failure_of(head: Head, data: bytes, *, model: str, now: float) -> ModelError:
    """Return the error that an answer with a status other than 2xx means.

    Args:
        head: its start.
        data: its body; the beginning is enough.
        model: the name for the error.
        now: seconds since the epoch.
    """
    data = data[:MAX_COMPLAINT_BYTES]
    said: object
    try:
        said = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        said = data.decode("utf-8", "replace")
    if 300 <= head.status < 400 and "location" in head.headers:
        said = f"go to {head.headers['location']}"
    retry_after = retry_after_of(head.headers, now)
    return failure_of_status(head.status, read_complaint(said), model=model, retry_after=retry_after)
