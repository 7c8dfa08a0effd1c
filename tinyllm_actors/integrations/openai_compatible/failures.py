"""What a provider's failure means. Pure: the time is an argument.

| what came | error | retryable |
|---|---|---|
| 429 | `RateLimited`, with `retry_after` | yes |
| 402, or `insufficient_quota` in whatever status | `QuotaExceeded` | no |
| a request that is longer than the context, in whatever words | `ContextWindowExceeded` | no |
| 401, 403, or a 400 that says "API key not valid" | `AuthenticationFailed` | no |
| 408 | `ModelTimeout` | yes |
| 500 to 599 (529 is Anthropic's "overloaded") | `Overloaded`, with `retry_after` | yes |
| 3xx and other 4xx | `RequestRejected` | no (409 and 425: yes) |
| an error inside a stream | by its code or type as above, else `StreamInterrupted` | |

`Retry-After` is read as seconds or as a date, `retry-after-ms` wins over it. Google says it in the body.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

import msgspec

from tinyllm_actors.errors import (
    AuthenticationFailed,
    ContextWindowExceeded,
    ModelError,
    ModelTimeout,
    Overloaded,
    QuotaExceeded,
    RateLimited,
    RequestRejected,
    StreamInterrupted,
)
from tinyllm_actors.llm.wire import as_list, as_object

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Complaint", "excerpt", "failure_of_event", "failure_of_status", "read_complaint", "retry_after_of"]

MAX_EXCERPT = 300
"""How much of a provider's own words goes into an error, in characters."""

_TOO_LONG = (
    "context_length_exceeded",
    "exceed_context_size",
    "maximum context length",
    "context length",
    "context window",
    "context size",
    "prompt is too long",
    "input is too long",
    "input length",
    "reduce the length",
    "too many input tokens",
    "input token count",
)
_NO_KEY = ("api key not valid", "api_key_invalid")  # Gemini answers 400
_SECONDS = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")
_NO_QUOTA = ("insufficient_quota", "billing_hard_limit", "billing_not_active", "insufficient balance", "credit balance")
_STATUS_BY_WORD = (
    ("rate_limit", 429),
    ("too_many_requests", 429),
    ("resource_exhausted", 429),
    ("authentication", 401),
    ("unauthorized", 401),
    ("permission", 403),
    ("timeout", 408),
    ("overloaded", 529),
    ("unavailable", 503),
    ("server_error", 500),
    ("internal", 500),
    ("invalid_request", 400),
    ("bad_request", 400),
    ("content_filter", 400),
    ("not_found", 404),
)


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a provider says of a failure: a sentence, a code or type for programs, and when to come back."""

    message: str = ""
    code: str = ""
    retry_after: float | None = None

    def says(self, *words: str) -> bool:
        """Tell whether any of `words` occurs."""
        text = f"{self.code} {self.message}".lower()
        return any(word in text for word in words)


def read_complaint(value: object) -> Complaint:
    """Return the complaint that a decoded body holds, in any of the shapes in use."""
    if as_list(value):  # Gemini wraps it into a list
        return read_complaint(value[0]) if value else Complaint()
    if isinstance(value, str):
        return Complaint(value)
    if not as_object(value):
        return Complaint()
    inner = value.get("error")
    if as_object(inner) or (isinstance(inner, str) and "message" not in value):
        return read_complaint(inner)
    message = next((value[key] for key in ("message", "detail", "msg", "error") if value.get(key)), "")
    if not isinstance(message, str):
        message = msgspec.json.encode(message).decode()
    codes = [str(value[key]) for key in ("code", "type", "status") if value.get(key)]
    return Complaint(message, " ".join(codes), _retry_delay(value.get("details")))


def _retry_delay(details: object) -> float | None:
    """Return the seconds that one of Google's error details asks to wait, such as `{"retryDelay": "7s"}`."""
    for detail in details if as_list(details) else ():
        delay = detail.get("retryDelay") if as_object(detail) else None
        if isinstance(delay, str) and (found := _SECONDS.fullmatch(delay)):
            return float(found[1])
    return None


def excerpt(text: str) -> str:
    """Return the beginning of a provider's words, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_EXCERPT else line[: MAX_EXCERPT - 1] + "…"


def retry_after_of(headers: Mapping[str, str], now: float) -> float | None:
    """Return how many seconds the provider asks to wait, or None when it does not say.

    Args:
        headers: of the answer; looked up in lower case.
        now: seconds since the epoch, for a date.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name)
        if value is None:
            continue
        try:
            seconds = float(value) * unit
        except ValueError:
            try:
                date = parsedate_to_datetime(value)
                seconds = (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).timestamp() - now
            except (ValueError, OverflowError):
                continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return None


def failure_of_status(status: int, complaint: Complaint, *, model: str, retry_after: float | None = None) -> ModelError:
    """Return the error that an answer with a status other than 2xx means."""
    words = f": {excerpt(complaint.message or complaint.code)}" if complaint.message or complaint.code else ""
    retry_after = complaint.retry_after if retry_after is None else retry_after
    said = f"{model}: the provider answered {status}{words}"
    error: type[ModelError] = RequestRejected
    retryable: bool | None = None
    if status == 402 or complaint.says(*_NO_QUOTA):
        error = QuotaExceeded
    elif status == 429:
        error = RateLimited
    elif status in (401, 403) or complaint.says(*_NO_KEY):
        error, said = AuthenticationFailed, said + "; check api_key"
    elif complaint.says(*_TOO_LONG):
        error = ContextWindowExceeded
    elif status == 408:
        error = ModelTimeout
    elif status >= 500:
        error = Overloaded
    elif status < 400:
        said += "; redirects are not followed, so give the final address as api_base"
    elif status == 404:
        said += "; check the model's name and api_base"
    else:
        retryable = status in (409, 425)
    return error(said, retryable=retryable, retry_after=retry_after, status=status, model=model)


def failure_of_event(complaint: Complaint, *, model: str, started: bool) -> ModelError:
    """Return the error that a provider's error means where an answer, or more of one, was due.

    Args:
        complaint: what it said.
        model: the name for the error.
        started: part of an answer had come.
    """
    code = complaint.code.lower()
    status = next((int(word) for word in code.split() if word.isdecimal() and 400 <= int(word[:4]) <= 599), None)
    if status is None:
        status = next((number for word, number in _STATUS_BY_WORD if word in code), None)
    if status is None and complaint.says(*_NO_QUOTA, *_TOO_LONG):
        status = 400
    if status is not None:
        return failure_of_status(status, complaint, model=model)
    said = f"{model}: the provider sent an error: {excerpt(complaint.message or complaint.code or 'without a word')}"
    return (StreamInterrupted if started else Overloaded)(said, model=model)
