"""Say what is wrong with arguments so that the model can put it right.

Pure functions from pydantic's error records to a few short lines. All that a model or a caller wrote is cut to a
stated length, so that a bad call cannot fill the context of the next one.
"""

from __future__ import annotations

import difflib
import reprlib
from typing import TYPE_CHECKING, cast

from tinyllm_actors.errors import InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

__all__ = ["MAX_PROBLEMS", "not_json", "refusal", "show_value"]

MAX_PROBLEMS = 10
"""Places that one message names; the others are counted."""

_MAX_TEXT = 300
"""Characters of one explanation, such as the values that an enumeration has."""

_MAX_NAME = 100
"""Characters of one path; a model may invent names of any length."""

_values = reprlib.Repr()
_values.maxstring = _values.maxother = _values.maxlong = 80
_values.maxlevel = 3


def show_value(value: object) -> str:
    """Return `repr` of a value, at most a few hundred characters long; never raises."""
    try:
        return _cut(_values.repr(value), _MAX_TEXT)
    except Exception:  # repr of what a validator was given may do anything
        return f"<{type(value).__name__}>"


def not_json(tool: str, text: str, why: str) -> InvalidArguments:
    """Return the error for a text that is no JSON; `why` is the parser's message, with the place in the text."""
    why = why.removeprefix("Invalid JSON: ")
    return InvalidArguments(
        tool, f"the arguments of {tool!r} are not JSON: {why}; got {show_value(text)}. Send one JSON object."
    )


def refusal(tool: str, text: str, error: ValidationError, known: Sequence[str]) -> InvalidArguments:
    """Return the error for arguments in which pydantic found something wrong.

    Args:
        tool: the name of the tool.
        text: the arguments as the model wrote them.
        error: what pydantic found.
        known: the names of the arguments that there are.
    """
    from pydantic_core import from_json

    problems = error.errors(include_url=False, include_context=False)
    if problems[0]["type"] == "json_invalid":
        return not_json(tool, text, problems[0]["msg"])
    lines = _describe(problems, from_json(text), known)
    return InvalidArguments(tool, f"the arguments of {tool!r} do not fit:\n{lines}\nCorrect them and call it again.")


def _describe(problems: Sequence[ErrorDetails], arguments: object, known: Sequence[str]) -> str:
    """Return one line for each place where the arguments do not fit.

    Args:
        problems: what pydantic found.
        arguments: what was validated, as far as it could be read; it tells which parts of a location are places in
            it, and which are names of union members.
        known: the names of the arguments that there are.
    """
    by_place: dict[str, list[str]] = {}
    for problem in problems:
        place = _place(problem["loc"], arguments, missing=problem["type"].startswith("missing"))
        explanation = _explain(problem, known)
        explanations = by_place.setdefault(place, [])
        if explanation not in explanations:
            explanations.append(explanation)
    lines = [f"- {place}: {', or '.join(found)}" for place, found in by_place.items()]
    if len(lines) > MAX_PROBLEMS:
        lines[MAX_PROBLEMS:] = [f"- and {len(lines) - MAX_PROBLEMS} more"]
    return "\n".join(lines)


def _explain(problem: ErrorDetails, known: Sequence[str]) -> str:
    kind, location = problem["type"], list(problem["loc"])
    if kind.startswith("missing"):
        return "missing, but required"
    if kind == "extra_forbidden":
        if len(location) > 1:
            return "there is no such field"
        names = ", ".join(map(repr, known)) or "none"
        near = difflib.get_close_matches(str(location[0])[:_MAX_NAME], known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else _cut(f"the arguments are {names}", _MAX_TEXT)
        return f"there is no such argument; {hint}"
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return f"{_cut(message, _MAX_TEXT)}; got {show_value(problem['input'])}"


def _place(location: tuple[int | str, ...], arguments: object, *, missing: bool) -> str:
    parts: list[str] = []
    current = arguments
    for depth, part in enumerate(location):
        if isinstance(current, dict) and part in current:
            current = cast("dict[object, object]", current)[part]
        elif isinstance(current, list) and isinstance(part, int) and part < len(cast("list[object]", current)):
            current = cast("list[object]", current)[part]
        elif not (missing and depth == len(location) - 1):
            continue  # the name of a union's member, or of a validator
        parts.append(str(part))
    return repr(_cut(".".join(parts), _MAX_NAME)) if parts else "the arguments"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
