"""Model calls that fail. See the package for the whole tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyllm_actors.errors.base import TinyLLMError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "AuthenticationFailed",
    "CircuitOpen",
    "ContextWindowExceeded",
    "MalformedResponse",
    "ModelError",
    "ModelTimeout",
    "ModelUnavailable",
    "OutputInvalid",
    "Overloaded",
    "ProviderBusy",
    "QuotaExceeded",
    "RateLimited",
    "RequestRejected",
    "StreamInterrupted",
]


class ModelError(TinyLLMError):
    """A model call failed.

    Attributes:
        retryable: the same request may succeed later.
        retry_after: seconds that the provider asks to wait, if it said so.
        output_started: part of the answer had arrived.
        partial: the text that had arrived.
        status: the HTTP status, if there was one.
        model: the model that was called.
    """

    default_retryable = False

    def __init__(
        self,
        message: str,
        *,
        retryable: bool | None = None,
        retry_after: float | None = None,
        output_started: bool = False,
        partial: str = "",
        status: int | None = None,
        model: str | None = None,
    ) -> None:
        super().__init__(message)
        self.retryable = self.default_retryable if retryable is None else retryable
        self.retry_after = retry_after
        self.output_started = output_started
        self.partial = partial
        self.status = status
        self.model = model


class RateLimited(ModelError):
    """Too many requests or tokens for now (429)."""

    default_retryable = True


class QuotaExceeded(ModelError):
    """The account has no credit or quota left; waiting does not help."""


class Overloaded(ModelError):
    """The provider cannot serve now (500, 502, 503, 504, 529)."""

    default_retryable = True


class ModelUnavailable(ModelError):
    """The provider cannot be reached: refused, reset or unresolved before an answer came."""

    default_retryable = True


class ModelTimeout(ModelError, TimeoutError):
    """The provider was silent for longer than the idle time-out."""

    default_retryable = True


class ContextWindowExceeded(ModelError):
    """The request is longer than the model's context."""


class AuthenticationFailed(ModelError):
    """The provider refused the credentials (401, 403)."""


class RequestRejected(ModelError):
    """The provider refused the request (other 4xx, content policy)."""


class MalformedResponse(ModelError):
    """The provider answered something that cannot be understood."""

    default_retryable = True


class OutputInvalid(MalformedResponse):
    """The model's answer does not fit the type that was asked for; the model may correct it if it is told how.

    Attributes:
        text: what the model answered; also `partial`.
        fields: what does not fit: `loc`, a path of keys and indexes joined by dots, and `message`; none if the answer
            is no JSON, or no answer.
        correction: what to tell the model.
        refused: it is a refusal, which seldom changes when it is asked again.
    """

    default_retryable = False

    def __init__(
        self,
        message: str,
        *,
        text: str,
        fields: Sequence[Mapping[str, str]] = (),
        correction: str = "",
        refused: bool = False,
        model: str | None = None,
    ) -> None:
        super().__init__(message, partial=text, model=model)
        self.text = text
        self.fields = tuple(fields)
        self.correction = correction
        self.refused = refused


class StreamInterrupted(ModelError):
    """The answer broke off in the middle; `partial` holds what had arrived."""

    default_retryable = True


class ProviderBusy(ModelError):
    """The limits of the model leave no turn for this call in time. It was not sent."""

    default_retryable = True

    def __init__(self, model: str, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(
            f"model {model!r} is busy: {detail}; wait longer, raise its Limits, or give a fallback",
            retry_after=retry_after,
            model=model,
        )


class CircuitOpen(ModelError):
    """The model failed so often in a row that it is left alone for a while. The call was not sent."""

    default_retryable = True

    def __init__(self, model: str, retry_after: float | None) -> None:
        when = "while one call is on trial" if retry_after is None else f"for {retry_after:.3g} s more"
        super().__init__(
            f"model {model!r} failed too often and is left alone {when}", retry_after=retry_after, model=model
        )
