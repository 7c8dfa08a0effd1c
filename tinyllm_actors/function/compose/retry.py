"""The same Function again, when a failure may pass."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import anyio

from tinyllm_actors.function.compose.composite import Composite, composite_spec, sources_of
from tinyllm_actors.kernel import Backoff

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.function.compose.outlet import Outlet
    from tinyllm_actors.function.compose.part import Source
    from tinyllm_actors.function.result import ErrorInfo
    from tinyllm_actors.kernel import ChildSpec

__all__ = ["Retry", "may_repeat", "retry"]


def may_repeat(error: ErrorInfo) -> bool:
    """Whether a call that failed so can be made again: the failure may pass, and no output had started."""
    return error["retryable"] and not error.get("output_started", False) and "partial" not in error


class Retry(Composite):
    """Calls its part again when that may help. See `retry`."""

    def __init__(self, sources: Sequence[Source], max_retries: int, backoff: Backoff, **options: Any) -> None:
        super().__init__(sources, **options)
        if max_retries < 0:
            raise ValueError(f"max_retries is 0 or more, not {max_retries!r}")
        self._max_retries = max_retries
        self._backoff = backoff

    async def flow(self, arguments: dict[str, Any], outlet: Outlet) -> Any:
        """Try until it succeeds, or trying again makes no sense."""
        (part,) = self.parts
        number = 0
        while True:
            attempt = outlet.fork()
            result = await part.answer(dict(arguments), attempt)
            if result["status"] == "success":
                await outlet.adopt(attempt)
                return result["output"]
            error = result["error"]
            delay = max(self._backoff.delay(number, random.random()), error["retry_after"] or 0.0)
            if (
                number >= self._max_retries
                or attempt.started
                or not may_repeat(error)
                or delay >= self.context.remaining()  # whoever asked would not be there any more
            ):
                raise self.give_up(part.failed(result))
            number += 1
            await anyio.sleep(delay)


def retry(
    part: Any, *, max_retries: int = 3, backoff: Backoff | None = None, name: str | None = None, **options: Any
) -> ChildSpec:
    """Return the spec of a Function that calls `part` again after failures that may pass.

    Only what says that it is retryable and had not started its output is repeated, after the wait that the failure
    asks for or the back-off's, whichever is longer, and only while the caller's deadline allows. Models retry by
    themselves (`LLM`): around them it multiplies.

    ```python
    >>> from tinyllm_actors import Backoff, run
    >>> from tinyllm_actors.function.compose import retry
    >>> tries = iter([ConnectionError("reset"), ConnectionError("reset"), None])
    >>> async def flaky(text: str) -> str:
    ...     if (error := next(tries)) is not None:
    ...         raise error
    ...     return text
    >>> run(retry(flaky, backoff=Backoff(0.001, 0.01)), text="third time lucky")
    {'status': 'success', 'output': 'third time lucky'}

    ```

    Args:
        part: a Function spec or class, a callable, or a reference to a live Function.
        max_retries: how often it is called again; 3 makes four calls at most.
        backoff: how long to wait before each retry; left out, half a second, doubling, 30 s at most.
        name: what it is called.
        **options: of `Function`.

    Raises:
        TypeError: the part cannot be called.
        ValueError: `max_retries` is negative.
    """
    backoff = backoff or Backoff(0.5, 30.0, jitter=0.25)
    return composite_spec(Retry, sources_of([part], "retry"), max_retries, backoff, name=name, **options)
