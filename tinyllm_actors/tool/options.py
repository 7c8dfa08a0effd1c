"""How a tool is called: the options of `@tool` and `Tool.from_function`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypedDict

from tinyllm_actors.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["DEFAULT_MAX_RESULT_CHARS", "DEFAULT_TIMEOUT", "ToolOptions", "check_options"]

DEFAULT_TIMEOUT = 30.0
"""Seconds that one run of a tool may take."""

DEFAULT_MAX_RESULT_CHARS = 40_000
"""Characters of a result that the model sees: about 10,000 tokens of English."""


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
    max_result_chars: int
    strict: bool
    threaded: bool


def check_options(tool: str, options: Mapping[str, object]) -> None:
    """Refuse options that have no meaning.

    Raises:
        ConfigurationError: one has none; the message names it and says what it may be.
    """
    for option, value in options.items():
        if option == "timeout":
            fits, wanted = value is None or _is_duration(value), "a number of seconds above 0, or None"
        elif option == "retries":
            fits, wanted = _is_count(value, least=0), "a whole number, 0 or more"
        elif option == "max_result_chars":
            fits, wanted = _is_count(value, least=1), "a whole number, 1 or more"
        elif option == "requires_approval":
            fits, wanted = isinstance(value, bool) or callable(value), "True, False, or a function of the arguments"
        else:
            fits, wanted = isinstance(value, bool), "True or False"
        if not fits:
            raise ConfigurationError(f"{option}={value!r} of tool {tool!r} must be {wanted}")


def _is_duration(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _is_count(value: object, *, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
