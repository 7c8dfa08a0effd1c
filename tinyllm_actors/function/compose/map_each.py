"""One Function on each item of a list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from tinyllm_actors.errors import ActorError
from tinyllm_actors.function.compose.composite import Composite, composite_spec, sources_of
from tinyllm_actors.function.compose.failures import named
from tinyllm_actors.function.compose.lanes import Lanes
from tinyllm_actors.function.compose.part import as_arguments
from tinyllm_actors.function.compose.together import check_cap, together
from tinyllm_actors.function.result import failure, success

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.function.compose.outlet import Outlet
    from tinyllm_actors.function.compose.part import Source
    from tinyllm_actors.function.result import Failure
    from tinyllm_actors.kernel import ChildSpec

__all__ = ["MapEach", "map_each"]


class MapEach(Composite):
    """Calls its part with each item of a list. See `map_each`."""

    def __init__(self, sources: Sequence[Source], over: str, max_concurrency: int, **options: Any) -> None:
        super().__init__(sources, **options)
        check_cap(max_concurrency)
        self._over = over
        self._cap = max_concurrency
        self._lanes: Lanes | None = None

    async def started(self) -> None:
        """Start the first of the parts; the others follow when they are needed."""
        await super().started()
        label, source = self._sources[0]
        self._lanes = Lanes(self.context, label, source, self._cap, self.parts[0])

    async def flow(self, arguments: dict[str, Any], outlet: Outlet) -> list[Any]:
        """Call the part with each item."""
        rest = dict(arguments)
        items = self._items(rest)
        outputs: list[Any] = [None] * len(items)
        done = [False] * len(items)
        failures: list[Failure] = []
        told = 0
        first = self.parts[0]
        lanes = self._lanes
        assert lanes is not None

        async def tell() -> None:
            """Pass on what is known of the results so far, in the order of the items."""
            nonlocal told
            while told < len(items) and done[told]:
                told += 1
                await outlet.put(success(outputs[told - 1]))

        async def run_one(index: int) -> bool:
            try:
                async with lanes.use() as part:
                    result = await part.call({**rest, **as_arguments(items[index])})
            except ActorError as error:  # one more of the part's actors did not start
                result = failure(error, state="DELIVERY")
            if result["status"] == "success":
                outputs[index] = result["output"]
            elif first.required:
                failures.append(named(result, f"{first.label}[{index}]"))
                return False
            done[index] = True
            if outlet.live:
                await tell()
            return True

        await together(run_one, len(items), self._cap)
        if failures:
            raise self.give_up(failures[0])
        outlet.told = outputs
        return outputs

    def _items(self, arguments: dict[str, Any]) -> Sequence[Any]:
        """Take the list out of the arguments."""
        if self._over not in arguments:
            given = ", ".join(map(repr, arguments)) or "none"
            raise ValueError(f"the items come as argument {self._over!r}; the arguments are: {given}")
        items: object = arguments.pop(self._over)
        if isinstance(items, str | bytes | Mapping) or not isinstance(items, Iterable):
            raise TypeError(f"{self._over!r} must be a list of items, not {type(items).__name__}")  # pyright: ignore[reportUnknownArgumentType]
        return list(cast("Iterable[Any]", items))


def map_each(
    part: Any, *, over: str = "input", max_concurrency: int = 8, name: str | None = None, **options: Any
) -> ChildSpec:
    """Return the spec of a Function that calls `part` with each item of a list, several at a time.

    An item that is a mapping becomes arguments, anything else the argument `input`; the other arguments of the call
    go to each. The output is the list of outputs in the order of the items. When a call fails the rest is cancelled
    and the error says which item it was; a part with `required=False` leaves None instead. A stream delivers the
    outputs one by one, in order.

    ```python
    >>> from tinyllm_actors import run
    >>> from tinyllm_actors.function.compose import map_each
    >>> async def power(input: int, exponent: int) -> int:
    ...     return input**exponent
    >>> run(map_each(power), input=[1, 2, 3], exponent=2)
    {'status': 'success', 'output': [1, 4, 9]}

    ```

    Args:
        part: a Function spec or class, or a callable, of which there will be up to `max_concurrency` actors; or a
            reference to a live Function or pool.
        over: the argument that holds the list.
        max_concurrency: how many calls run at the same time.
        name: what it is called.
        **options: of `Function`.

    Raises:
        TypeError: the part cannot be called.
        ValueError: `max_concurrency` is below 1.
    """
    return composite_spec(MapEach, sources_of([part], "map_each"), over, max_concurrency, name=name, **options)
