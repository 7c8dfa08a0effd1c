"""Several Functions at once, on the same arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinyllm_actors.function.compose.composite import Composite, composite_spec, sources_of
from tinyllm_actors.function.compose.together import check_cap, together

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.function.compose.outlet import Outlet
    from tinyllm_actors.function.compose.part import Source
    from tinyllm_actors.function.result import Failure
    from tinyllm_actors.kernel import ChildSpec

__all__ = ["Concurrent", "concurrent"]


class Concurrent(Composite):
    """Calls all of its parts with the same arguments. See `concurrent`."""

    def __init__(self, sources: Sequence[Source], max_concurrency: int | None, **options: Any) -> None:
        super().__init__(sources, **options)
        self._cap = check_cap(max_concurrency)

    async def flow(self, arguments: dict[str, Any], outlet: Outlet) -> list[Any]:
        """Call the parts together."""
        outputs: list[Any] = [None] * len(self.parts)
        failures: list[Failure] = []

        async def run_one(index: int) -> bool:
            part = self.parts[index]
            result = await part.call(dict(arguments))
            if result["status"] == "success":
                outputs[index] = result["output"]
            elif part.required:
                failures.append(part.failed(result))
                return False
            return True

        await together(run_one, len(self.parts), self._cap)
        if failures:
            raise self.give_up(failures[0])
        return outputs


def concurrent(*parts: Any, max_concurrency: int | None = None, name: str | None = None, **options: Any) -> ChildSpec:
    """Return the spec of a Function that calls all `parts` at once with its arguments.

    The output is the list of their outputs, in the order of the parts, whichever ends first. When a part fails the
    others are cancelled; one with `required=False` leaves None in its place instead.

    ```python
    >>> from tinyllm_actors import concurrent, run
    >>> async def lower(text: str) -> str:
    ...     return text.lower()
    >>> async def size(text: str) -> int:
    ...     return len(text)
    >>> run(concurrent(lower, size), text="ABC")
    {'status': 'success', 'output': ['abc', 3]}

    ```

    Args:
        parts: Function specs or classes, callables, or references to live Functions.
        max_concurrency: how many run at the same time; None for all of them.
        name: what it is called.
        **options: of `Function`.

    Raises:
        TypeError: a part cannot be called.
        ValueError: there is no part, or `max_concurrency` is below 1.
    """
    return composite_spec(Concurrent, sources_of(parts, "concurrent"), max_concurrency, name=name, **options)
