"""One Function or another, by what is asked."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from tinyllm_actors.function.compose.composite import Composite, composite_spec, sources_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from tinyllm_actors.function.compose.outlet import Outlet
    from tinyllm_actors.function.compose.part import Source
    from tinyllm_actors.kernel import ChildSpec

__all__ = ["Branch", "branch"]


class Branch(Composite):
    """Calls the part that a function chooses. See `branch`."""

    def __init__(
        self, sources: Sequence[Source], keys: Sequence[Hashable], choose: Callable[..., Any], **options: Any
    ) -> None:
        super().__init__(sources, **options)
        if not callable(choose):
            raise TypeError(f"choose is a function from the arguments to a key, not {choose!r}")
        self._places = {key: place for place, key in enumerate(keys)}
        self._default = len(keys) if len(sources) > len(keys) else None
        self._choose = choose

    async def flow(self, arguments: dict[str, Any], outlet: Outlet) -> Any:
        """Choose a part and call it."""
        key = self._choose(**arguments)
        if inspect.isawaitable(key):
            key = await key
        place = self._places.get(key, self._default)
        if place is None:
            known = ", ".join(map(repr, self._places))
            raise ValueError(f"there is no branch {key!r}, and no default; the branches are: {known}")
        part = self.parts[place]
        result = await part.answer(arguments, outlet)
        if result["status"] == "error":
            raise self.give_up(part.failed(result))
        return result["output"]


def branch(
    choose: Callable[..., Any],
    parts: Mapping[Any, Any],
    *,
    default: Any = None,
    name: str | None = None,
    **options: Any,
) -> ChildSpec:
    """Return the spec of a Function that calls one of `parts`, by what `choose` returns for the arguments.

    ```python
    >>> from tinyllm_actors import run
    >>> from tinyllm_actors.function.compose import branch
    >>> async def short(text: str) -> str:
    ...     return "short"
    >>> async def long(text: str) -> str:
    ...     return "long"
    >>> run(branch(lambda text: len(text) > 5, {True: long, False: short}), text="Hello, world")
    {'status': 'success', 'output': 'long'}

    ```

    Args:
        choose: gets the arguments by name and returns a key of `parts`; a coroutine function, or a quick plain one
            (it runs in the event loop).
        parts: Function specs or classes, callables, or references to live Functions, by key.
        default: the part for any other key; without one another key is an error.
        name: what it is called.
        **options: of `Function`.

    Raises:
        TypeError: a part cannot be called, or `choose` cannot.
        ValueError: there is no part.
    """
    sources = sources_of([*parts.values(), *([] if default is None else [default])], "a branch")
    return composite_spec(Branch, sources, list(parts), choose, name=name, **options)
