"""One Function after the other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinyllm_actors.function.compose.composite import Composite, composite_spec, sources_of
from tinyllm_actors.function.compose.outlet import Outlet
from tinyllm_actors.function.compose.part import as_arguments, as_value

if TYPE_CHECKING:
    from tinyllm_actors.kernel import ChildSpec

__all__ = ["Chain", "chain"]


class Chain(Composite):
    """Calls its parts in order, each with the output of the one before. See `chain`."""

    async def flow(self, arguments: dict[str, Any], outlet: Outlet) -> Any:
        """Go through the parts."""
        value: Any = arguments
        silent = Outlet()
        for part in self.parts:
            given = as_arguments(value)
            result = await part.answer(given, outlet if part is self.parts[-1] else silent)
            if result["status"] == "success":
                value = result["output"]
            elif part.required:
                raise self.give_up(part.failed(result))
            else:
                value = as_value(given)
        return value


def chain(*parts: Any, name: str | None = None, **options: Any) -> ChildSpec:
    """Return the spec of a Function that calls `parts` one after the other.

    An output that is a mapping becomes the arguments of the next part; anything else is passed as `input`. The
    output of the last part is that of the chain. A part with `required=False` that fails is skipped: the next one
    gets what it had got. If it was the last, that is the output: its argument `input` if it had no other, else all of
    its arguments. So however parts are grouped into chains, the output is the same.

    ```python
    >>> from tinyllm_actors import chain, run
    >>> async def split(text: str) -> list[str]:
    ...     return text.split()
    >>> async def count(input: list[str]) -> dict[str, int]:
    ...     return {"words": len(input)}
    >>> run(chain(split, count), text="one two three")
    {'status': 'success', 'output': {'words': 3}}

    ```

    Args:
        parts: Function specs or classes, callables, or references to live Functions, which the chain uses and does
            not own.
        name: what it is called.
        **options: of `Function`.

    Raises:
        TypeError: a part cannot be called.
        ValueError: there is no part.
    """
    return composite_spec(Chain, sources_of(parts, "a chain"), name=name, **options)
