"""What a Function answers: a dictionary, always, like a web API.

```python
>>> success({"response": "January 1st"})
{'status': 'success', 'output': {'response': 'January 1st'}}
>>> failure(ValueError("no such user"), state="RUNNING")["message"]
'no such user'

```
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypeAlias, TypedDict, TypeGuard, cast

from tinyllm_actors.errors import ActorError, ActorFailed, FunctionFailed, ModelError, StartFailed
from tinyllm_actors.kernel.redaction import MASK, is_secret_name, redact, redact_start

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import ValidationError

__all__ = ["ErrorInfo", "Failure", "FieldError", "Result", "Success", "failure", "success", "unwrap"]

MAX_VALUE_CHARS = 200

MAX_MESSAGE_CHARS = 10_000
"""How much of an exception's text a failure shows: a peer may say anything of any length."""


class FieldError(TypedDict):
    """One thing that did not validate.

    Attributes:
        loc: where, as a path of keys and indexes joined by dots.
        message: what was expected.
        value: the `repr` of what came, shortened; masked where the field's name says that it is secret.
    """

    loc: str
    message: str
    value: str


class ErrorInfo(TypedDict):
    """What a program needs to know of a failure.

    Attributes:
        type: the class of the exception.
        state: the state of the Function in which it happened.
        retryable: the same call may succeed later.
        retry_after: seconds to wait before trying again, if somebody said so.
        validation: what did not validate, if that was it.
        partial: what had been produced until then.
        output_started: part of the answer had been delivered, so that a second one cannot be joined to it.
        part: which part of a composite it was, such as `"fetch/parse"`.
    """

    type: str
    state: str
    retryable: bool
    retry_after: float | None
    validation: NotRequired[list[FieldError]]
    partial: NotRequired[Any]
    output_started: NotRequired[bool]
    part: NotRequired[str]


class Success(TypedDict):
    """The answer of a call that succeeded."""

    status: Literal["success"]
    output: Any
    evaluations: NotRequired[list[dict[str, Any]]]


class Failure(TypedDict):
    """The answer of a call that failed. `message` is for people and holds no secrets."""

    status: Literal["error"]
    message: str
    error: ErrorInfo
    evaluations: NotRequired[list[dict[str, Any]]]


Result: TypeAlias = Success | Failure


def success(output: Any) -> Success:
    """Return the dictionary of a call that succeeded."""
    return {"status": "success", "output": output}


def failure(error: BaseException, *, state: str, partial: Any = None) -> Failure:
    """Return the dictionary of a call that failed with `error` in `state`."""
    cause = error.cause if isinstance(error, ActorFailed | StartFailed) else error
    if isinstance(cause, FunctionFailed):  # a part of this Function failed: its cause is ours
        inner: Failure = cause.result
        return {"status": "error", "message": inner["message"], "error": {**inner["error"], "state": str(state)}}
    info: ErrorInfo = {
        "type": type(cause).__name__,
        "state": str(state),
        "retryable": bool(getattr(cause, "retryable", isinstance(cause, ActorError | TimeoutError | ConnectionError))),
        "retry_after": getattr(cause, "retry_after", None),
    }
    message = str(cause) or type(cause).__name__
    if _is_validation_error(cause):
        info["validation"] = fields = field_errors(cause)
        shown = "; ".join(
            f"{field['loc'] or 'value'}: {field['message']}, got {field['value']}" for field in fields[:5]
        )
        more = f" (and {len(fields) - 5} more)" if len(fields) > 5 else ""
        message = f"{state.lower().replace('_', ' ')} failed: {shown}{more}"
    if partial is None and isinstance(cause, ModelError) and cause.partial:
        partial = cause.partial
    if partial is not None:
        info["partial"] = partial
    if getattr(cause, "output_started", False):
        info["output_started"] = True
    return {"status": "error", "message": _bounded(message), "error": info}


def _bounded(message: str) -> str:
    """Return the message redacted, and cut if it is too long."""
    if len(message) <= MAX_MESSAGE_CHARS:
        return redact(message)
    return f"{redact_start(message, MAX_MESSAGE_CHARS)}… ({len(message)} characters)"


def _is_validation_error(error: BaseException) -> TypeGuard[ValidationError]:
    core = sys.modules.get("pydantic_core")  # whoever raised one has imported it
    return core is not None and isinstance(error, core.ValidationError)


def field_errors(error: ValidationError) -> list[FieldError]:
    """Return what did not validate, with values shortened and secrets masked."""
    found: list[FieldError] = []
    for entry in error.errors(include_url=False, include_context=False):
        loc = [str(part) for part in entry["loc"]]
        secret = any(is_secret_name(part) for part in loc) or entry["input"] == MASK
        value = MASK if secret else redact(_shorten(entry["input"]))
        found.append({"loc": ".".join(loc), "message": entry["msg"], "value": value})
    return found


def _shorten(value: object) -> str:
    try:
        text = _shown(value, 3)
    except Exception as error:
        text = f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
    return text if len(text) <= MAX_VALUE_CHARS else f"{text[:MAX_VALUE_CHARS]}… ({len(text)} characters)"


def _shown(value: object, depth: int) -> str:
    # The values of a dictionary may be secret, and it is shown whole where a key of it is missing or it is no list.
    if isinstance(value, dict):
        return "{" + ", ".join(map(repr, list(value)[:20])) + "}"  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, list | tuple):
        items = cast("Sequence[object]", value)[:20]
        inside = ", ".join(_shown(item, depth - 1) for item in items) if depth else "…"
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    return repr(value)


def unwrap(result: Result) -> Any:
    """Return the output of a success.

    Raises:
        FunctionFailed: it is an error dictionary.
    """
    if result["status"] == "error":
        raise FunctionFailed(result)
    return result["output"]
