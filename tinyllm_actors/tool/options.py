"""How a tool is called: the options of `@tool` and `Tool.from_function`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypedDict, cast

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.tool.isolation.limits import ProcessLimits

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEFAULT_MAX_RESULT_CHARS", "DEFAULT_TIMEOUT", "ToolOptions", "check_options"]

DEFAULT_TIMEOUT = 30.0
"""Seconds that one run of a tool may take."""

DEFAULT_MAX_RESULT_CHARS = 40_000
"""Characters of a result that the model sees: about 10,000 tokens of English."""


MAX_RATE_CALLS = 100_000
"""Calls that a rate limit may count."""


class ToolOptions(TypedDict, total=False):
    """The options of a tool; each has a default that is safe.

    Attributes:
        timeout: seconds that one run may take, waiting for a thread included; 30 by default. None leaves it to the
            deadline of the whole run: give it only to a tool that bounds itself.
        retries: how often a run that raised is repeated before the model is told; 0 by default. Repeat only what may
            safely happen twice.
        idempotent: running the call twice is as good as once, so that it may run again after a crash; False by
            default. If in doubt, False.
        sequential: never run beside other calls of the same turn; False by default. True for tools that share state
            such as a working directory or a browser.
        requires_approval: a person decides before it runs; False by default. A function of the validated arguments,
            by their names in Python, decides for each call: it is quick, changes nothing, and answers True or False;
            if it raises, a person is asked.
        rate_limit: `(calls, seconds)`: at most so many runs may start in any so many seconds, all agents of the event
            loop together; None by default. A run waits for its turn; if that comes too late for its time-out, the
            model is told when to try again.
        concurrency: runs at the same time, all agents of the event loop together; None by default. Waiting counts
            for the time-out.
        isolate: `"process"`, or `ProcessLimits`, runs it in a process of its own, where it can exhaust its memory, hang
            beyond all cancelling or crash the interpreter without harm to this one; None by default. See
            `tinyllm_actors.tool.isolation` for what such a function may take and return.
        max_result_chars: characters of a result that the model sees, the note on what was cut included; 40,000 by
            default.
        strict: refuse `"3"` where a number is wanted, instead of reading it as 3; False by default, as models often
            slip there.
        threaded: run a plain `def` in a worker thread; True by default. False runs it on the event loop, which is
            about 0.1 ms cheaper, and where a call that blocks stops everything: only for what merely computes.
    """

    timeout: float | None
    retries: int
    idempotent: bool
    sequential: bool
    requires_approval: bool | Callable[[dict[str, Any]], bool]
    rate_limit: tuple[int, float] | None
    concurrency: int | None
    isolate: Literal["process"] | ProcessLimits | None
    max_result_chars: int
    strict: bool
    threaded: bool


def check_options(tool: str, options: Mapping[str, object]) -> None:
    """Refuse options that have no meaning.

    Raises:
        ConfigurationError: one has none; the message names it and says what it may be.
    """
    for option, value in options.items():
        fits, wanted = _RULES.get(option, _YES_OR_NO)
        if not fits(value):
            raise ConfigurationError(f"{option}={value!r} of tool {tool!r} must be {wanted}")


def _is_duration(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _is_count(value: object, *, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_rate(value: object) -> bool:
    if not isinstance(value, tuple) or len(cast("tuple[object, ...]", value)) != 2:
        return False
    calls, period = cast("tuple[object, object]", value)
    return _is_count(calls, least=1) and cast("int", calls) <= MAX_RATE_CALLS and _is_duration(period)


_Rule: TypeAlias = tuple[Callable[[object], bool], str]
_YES_OR_NO: Final[_Rule] = (lambda value: isinstance(value, bool), "True or False")
_RULES: Final[dict[str, _Rule]] = {
    "timeout": (lambda value: value is None or _is_duration(value), "a number of seconds above 0, or None"),
    "retries": (lambda value: _is_count(value, least=0), "a whole number, 0 or more"),
    "max_result_chars": (lambda value: _is_count(value, least=1), "a whole number, 1 or more"),
    "concurrency": (lambda value: value is None or _is_count(value, least=1), "a whole number, 1 or more, or None"),
    "rate_limit": (
        lambda value: value is None or _is_rate(value),
        "a pair such as (10, 60.0) of 1 to 100,000 calls and of seconds above 0, or None",
    ),
    "isolate": (
        lambda value: value is None or value == "process" or isinstance(value, ProcessLimits),
        "'process', ProcessLimits(…) or None",
    ),
    "requires_approval": (
        lambda value: isinstance(value, bool) or callable(value),
        "True, False, or a function of the arguments",
    ),
}
"""What each option may be, in code and in words; the others are switches."""
