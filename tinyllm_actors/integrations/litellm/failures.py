"""What an exception of litellm's means.

litellm gives each provider's failure one of OpenAI's classes, and many failures the wrong one: a refused connection is
an `InternalServerError`, a bug of its own an `APIConnectionError`. So what came over the wire counts first (there are
headers then), and after it the exceptions that litellm's was raised from. Classes are told by name: their modules move.

| what came | error |
|---|---|
| a context window or a content policy, in litellm's judgement | `ContextWindowExceeded`, `RequestRejected` |
| an answer with a status | as in `openai_compatible.failures` |
| no answer: silence | `ModelTimeout` |
| no answer: refused, reset, unresolved | `ModelUnavailable` |
| something that cannot be read | `MalformedResponse` |
| a package that litellm needs for this provider is absent | `MissingDependency` |
| anything else: litellm itself failed | `ModelError`, not retryable |

Once a streamed answer has begun, what may be tried again is a `StreamInterrupted`, or stays a `ModelTimeout`.

The cause is not chained: litellm's exceptions quote requests and answers, and a traceback would print them.
"""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

from tinyllm_actors.errors import (
    AuthenticationFailed,
    ContextWindowExceeded,
    MalformedResponse,
    MissingDependency,
    ModelError,
    ModelTimeout,
    ModelUnavailable,
    RequestRejected,
    StreamInterrupted,
    TinyLLMError,
)
from tinyllm_actors.integrations.openai_compatible.failures import (
    Complaint,
    excerpt,
    failure_of_event,
    failure_of_status,
    read_complaint,
    retry_after_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tinyllm_actors.llm.assembly import ChunkAssembler

__all__ = ["failure_of"]

_SILENT = frozenset({"APITimeoutError", "Timeout", "TimeoutError", "TimeoutException", "ReadTimeoutError"})
_UNREACHED = frozenset(
    {"APIConnectionError", "ClientError", "ConnectionError", "EndpointConnectionError", "gaierror"}
    | {"NetworkError", "ProtocolError", "ProxyError"}
)
_UNREADABLE = frozenset({"JSONDecodeError", "APIResponseValidationError", "DecodeError"})
# These say what happened even where no answer came: the vendor's own client saw the status.
_TELLING = frozenset(
    {"AuthenticationError", "BadRequestError", "NotFoundError", "PermissionDeniedError", "RateLimitError"}
    | {"BadGatewayError", "ServiceUnavailableError", "UnprocessableEntityError"}
)
_NO_CHOICES = ("no 'choices'", "'choices' that is not a list", "invalid response from llm", "unable to get json")
_PREFIXES = re.compile(r"^(?:(?:litellm\.)?\w*(?:Error|Exception|Timeout)(?: Error)?(?::| -)\s*)+")
# What looks like a key, though nobody told us that it is one: providers quote keys of other accounts too.
_KEY_LIKE = re.compile(r"\b(?:sk|pk|rk|gsk|xai|key|AIza)[-_]?[A-Za-z0-9_-]{12,}|(?<=Bearer )\S+")


def failure_of(
    error: BaseException, *, model: str, scrub: Callable[[str], str], answer: ChunkAssembler | None = None
) -> TinyLLMError:
    """Return what is to be raised in place of `error`.

    Args:
        error: what litellm raised.
        model: the name for the error.
        scrub: takes the secrets that are known out of a text.
        answer: what had come of a streamed answer; None if the provider had not agreed to stream.
    """
    failure = error if isinstance(error, TinyLLMError) else _classify(error, model, answer)
    failure.args = tuple(_KEY_LIKE.sub("***", scrub(str(argument))) for argument in failure.args)
    if isinstance(failure, ModelError):
        failure.model = model
        if answer is not None:
            failure.output_started = answer.started
            failure.partial = answer.partial
    return failure


def _classify(error: BaseException, model: str, answer: ChunkAssembler | None) -> TinyLLMError:
    inner = getattr(error, "original_exception", None)
    if isinstance(inner, Exception):  # what breaks a stream comes wrapped
        error = inner
    failure = _judge(error, model)
    if answer is None or not isinstance(failure, ModelError) or isinstance(failure, ModelTimeout):
        return failure
    # Of what Ollama says in the middle of an answer, litellm makes a request that was rejected.
    broken = answer.started and "unexpected response from" in str(error).lower()
    if failure.retryable or broken:
        words = excerpt(_complaint_of(error).message or type(error).__name__)
        return StreamInterrupted(f"{model}: the answer broke off: {words}", status=failure.status)
    return failure


def _judge(error: BaseException, model: str) -> TinyLLMError:
    names = _names(error)
    complaint = _complaint_of(error)
    words = excerpt(complaint.message or type(error).__name__)
    headers = _headers_of(error)
    status = getattr(error, "status_code", None)
    if "CancelledError" in names:
        return ModelUnavailable(f"{model}: the connection was cancelled by somebody else than the caller")
    if "ContextWindowExceededError" in names:
        return ContextWindowExceeded(f"{model}: the request is longer than the model's context: {words}", status=status)
    if "ContentPolicyViolationError" in names:
        return RequestRejected(f"{model}: the provider's content policy refuses the request: {words}", status=status)
    if isinstance(status, int) and status >= 300 and (headers or names & _TELLING):
        if status < 400 and "location" in headers:
            complaint = Complaint(f"go to {headers['location']}")
        retry_after = retry_after_of(headers, time.time())
        return failure_of_status(status, complaint, model=model, retry_after=retry_after)
    if isinstance(status, str):  # the code of an error in place of an answer, which litellm takes for a status
        said = Complaint(complaint.message, f"{complaint.code} {status}")
        return failure_of_event(said, model=model, started=False)
    return _judge_unanswered(error, names, words, model)


def _judge_unanswered(error: BaseException, names: set[str], words: str, model: str) -> TinyLLMError:
    chain = list(_chain(error))
    missing = next((link for link in chain if isinstance(link, ImportError)), None)
    if missing is not None:
        package = (missing.name or "").partition(".")[0]
        return MissingDependency(
            f"{model}: litellm needs the package {package!r} for this provider: pip install {package}"
        )
    found = {name for link in chain for name in _names(link)}
    said = str(error).lower()
    if found & _SILENT:
        return ModelTimeout(f"{model}: the provider was silent for too long: {words}")
    if found & _UNREADABLE or any(phrase in said for phrase in _NO_CHOICES):
        return MalformedResponse(f"{model}: the provider's answer cannot be understood: {words}; check api_base")
    # litellm's own classes derive from openai's of the same name, so its own mistakes look like a lost connection.
    reached = {name for link in chain if not _is_litellms(link) for name in _names(link)}
    if reached & _UNREACHED:
        return ModelUnavailable(f"{model}: the provider cannot be reached: {words}; check api_base")
    if "AuthenticationError" in names:
        return AuthenticationFailed(f"{model}: {words}", status=401)
    if "InternalServerError" in names:
        return failure_of_status(500, Complaint(words), model=model)
    return ModelError(f"{model}: litellm failed with {type(chain[-1]).__name__}: {words}")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and what it was raised from, while handling what; the first cause last."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _names(error: BaseException) -> set[str]:
    return {cls.__name__ for cls in type(error).__mro__}


def _is_litellms(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] == "litellm"


def _headers_of(error: BaseException) -> dict[str, str]:
    """Return the headers of the provider's answer in lower case; none if there was no answer."""
    response: Any = getattr(error, "response", None)
    for headers in (getattr(error, "litellm_response_headers", None), getattr(response, "headers", None)):
        if headers:
            return {str(name).lower(): str(value) for name, value in headers.items()}
    return {}


def _complaint_of(error: BaseException) -> Complaint:
    """Return what the provider said, without what litellm put before it."""
    body: object = getattr(error, "body", None)
    if isinstance(body, dict):
        return read_complaint(body)  # pyright: ignore[reportUnknownArgumentType]
    text = _PREFIXES.sub("", str(getattr(error, "message", None) or error))
    start = text.find("{")
    if start >= 0:
        try:
            said, _ = json.JSONDecoder().raw_decode(text[start:])
        except (ValueError, RecursionError):
            pass
        else:
            complaint = read_complaint(said)
            if complaint.message:
                return complaint
    return Complaint(text)
