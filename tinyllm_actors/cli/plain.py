"""Text from elsewhere, made fit for one line of a terminal."""

from __future__ import annotations

from typing import Final

from tinyllm_actors.errors import ActorFailed, RestartLimitExceeded, StartFailed
from tinyllm_actors.kernel.redaction import redact

__all__ = ["one_line", "printable", "sentence"]

_CONTROLS: Final = {code: None for code in (*range(32), *range(127, 160)) if code not in {9, 10}}


def printable(text: str) -> str:
    r"""Return `text` without control characters, which a terminal would obey; line ends and tabs stay.

    ```python
    >>> printable("red: \x1b[31mno\r\n")
    'red: [31mno\n'

    ```
    """
    return text.translate(_CONTROLS)


def one_line(text: str, limit: int = 200) -> str:
    r"""Return `text` on one line, cut to `limit` characters.

    ```python
    >>> one_line("first  line\nsecond", 12)
    'first line …'

    ```
    """
    # Only the beginning of what may be megabytes is looked at.
    line = printable(" ".join(text[: 4 * limit].split()))
    return line if len(line) <= limit and len(text) <= 4 * limit else f"{line[: limit - 1]}…"


def sentence(error: BaseException) -> str:
    """Return what went wrong, for people: the first cause, without the actors through which it came.

    ```python
    >>> sentence(StartFailed("demo/agent", ValueError("no such model")))
    'no such model'

    ```
    """
    cause = _cause(error)
    while cause is not None:
        error, cause = cause, _cause(cause)
    return one_line(redact(str(error)) or type(error).__name__, 1000)


def _cause(error: BaseException) -> BaseException | None:
    return error.cause if isinstance(error, StartFailed | ActorFailed | RestartLimitExceeded) else None
