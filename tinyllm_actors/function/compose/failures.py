"""What becomes of the error dictionary of a part: it keeps what it says and gets the part's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.function.result import ErrorInfo, Failure

__all__ = ["after_output", "all_failed", "named"]


def named(result: Failure, part: str) -> Failure:
    """Return the error of a part as one of the whole, which says which part it was.

    ```python
    >>> from tinyllm_actors.function import failure
    >>> inner = named(failure(ValueError("no such user"), state="RUNNING"), "parse")
    >>> outer = named(inner, "fetch")
    >>> outer["message"], outer["error"]["part"]
    ('fetch/parse: no such user', 'fetch/parse')

    ```
    """
    inner = result["error"].get("part")
    error = cast("ErrorInfo", {**result["error"], "part": part if inner is None else f"{part}/{inner}"})
    separator = ": " if inner is None else "/"
    return {"status": "error", "message": f"{part}{separator}{result['message']}", "error": error}


def after_output(result: Failure) -> Failure:
    """Return the error, marked: part of the answer had been delivered."""
    return cast("Failure", {**result, "error": {**result["error"], "output_started": True}})


def all_failed(failures: Sequence[Failure]) -> Failure:
    """Return one error for several parts of which one would have been enough.

    It is worth a retry if one of them is, after the shortest wait that one asked for.

    Args:
        failures: of the named parts, at least one; the last says what kind of error it was.
    """
    if len(failures) == 1:
        return failures[0]
    last = failures[-1]["error"]
    again = [one["error"]["retry_after"] or 0.0 for one in failures if one["error"]["retryable"]]
    message = f"all {len(failures)} parts failed: " + "; ".join(one["message"] for one in failures)
    error = cast("ErrorInfo", {**last, "retryable": bool(again), "retry_after": min(again, default=0.0) or None})
    return {"status": "error", "message": message, "error": error}
