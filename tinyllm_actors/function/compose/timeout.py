"""A Function with a time limit of its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tinyllm_actors.function.compose.composite import Composite, composite_spec, sources_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.function.compose.outlet import Outlet
    from tinyllm_actors.function.compose.part import Source
    from tinyllm_actors.kernel import ChildSpec

__all__ = ["Timeout", "timeout"]


class Timeout(Composite):
    """Gives its part so many seconds. See `timeout`."""

    def __init__(self, sources: Sequence[Source], seconds: float, **options: Any) -> None:
        super().__init__(sources, **options)
        if not 0 < seconds < math.inf:
            raise ValueError(f"a time-out is a number of seconds above 0, not {seconds!r}")
        self._seconds = seconds

    async def flow(self, arguments: dict[str, Any], outlet: Outlet) -> Any:
        """Call the part, for as long as it may take."""
        (part,) = self.parts
        result = await part.answer(arguments, outlet, self._seconds)
        if result["status"] == "error":
            raise self.give_up(part.failed(result))
        return result["output"]


def timeout(part: Any, seconds: float, *, name: str | None = None, **options: Any) -> ChildSpec:
    """Return the spec of a Function that gives `part` so many seconds for each call.

    When they are over the call is cancelled and the error is an `AskTimeout`, which is retryable. The time counts
    from the call to the end of the answer, of a stream to the end of the stream. A deadline of the caller that comes
    earlier holds.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import run
    >>> from tinyllm_actors.function.compose import timeout
    >>> async def slow() -> None:
    ...     await anyio.sleep(60)
    >>> run(timeout(slow, 0.01))["message"]
    "slow: actor 'Timeout-1/slow' did not answer within 0.01 s"

    ```

    Args:
        part: a Function spec or class, a callable, or a reference to a live Function.
        seconds: for one call.
        name: what it is called.
        **options: of `Function`.

    Raises:
        TypeError: the part cannot be called.
        ValueError: `seconds` is not above 0.
    """
    return composite_spec(Timeout, sources_of([part], "timeout"), seconds, name=name, **options)
