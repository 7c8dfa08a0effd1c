"""What all compositions share: parts that are children, one flow through them, and its stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from tinyllm_actors.errors import FunctionFailed
from tinyllm_actors.function.compose.outlet import Ending, Outlet, PartCall
from tinyllm_actors.function.compose.part import Part, check_source, labelled
from tinyllm_actors.function.function import Function
from tinyllm_actors.function.ref import Call
from tinyllm_actors.kernel import ChildSpec, Supervisor

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from tinyllm_actors.function.compose.part import Source
    from tinyllm_actors.function.result import Failure

__all__ = ["Composite", "composite_spec", "sources_of"]


class Composite(Function):
    """A Function made of Functions. Subclasses define `flow`.

    The parts that are given as specs, classes or callables are its children: it starts and supervises them, and they
    end with it. Those that are given as references are used and left alone.

    `ref.stream(…)` passes on what the part streams that gives the answer. Where the items do not say all of the
    result (a part that does not stream, a failure, a validator of the composite), the last item is its dictionary.

    Args:
        sources: what the parts are made from.
        **options: of `Function`.
    """

    is_composite: ClassVar[bool] = True
    observation_kind = "chain"
    supervision: ClassVar[Supervisor | None] = Supervisor(max_restarts=5, period=30.0)

    def __init__(self, sources: Sequence[Source], **options: Any) -> None:
        super().__init__(**options)
        self._sources = labelled(sources)
        self.parts: list[Part] = []

    async def started(self) -> None:
        """Start the parts."""
        self.parts = [await Part.start(self.context, label, source) for label, source in self._sources]
        await super().started()

    async def flow(self, arguments: dict[str, Any], outlet: Outlet) -> Any:
        """Return the output for `arguments`, by way of the parts.

        Args:
            arguments: validated.
            outlet: where the items of the part go that gives the answer.

        Raises:
            FunctionFailed: with the error of the part.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define flow()")

    async def run(self, **arguments: Any) -> Any:
        """Answer without a stream."""
        return await self.flow(arguments, Outlet())

    async def produce(self, message: Any, emit: Callable[[Any], Awaitable[None]]) -> None:
        """Answer as a stream."""
        is_part = type(message) is PartCall
        if not is_part and type(message) is not Call:
            raise TypeError(f"{self.name} takes calls only; use `ref.stream(argument=value)`")
        outlet = Outlet(emit)

        async def run(**arguments: Any) -> Any:
            return await self.flow(arguments, outlet)

        result = await self._call(message.arguments, run)
        told = result["status"] == "success" and outlet.told is result["output"] and "evaluations" not in result
        if result["status"] == "success":
            await outlet.flush()
        if is_part:
            await emit(Ending(result, told))
        elif not told:
            await emit(result)

    @staticmethod
    def give_up(result: Failure) -> FunctionFailed:
        """Return what to raise for the error of a part."""
        return FunctionFailed(result)


def composite_spec(kind: type[Composite], *arguments: Any, name: str | None, **options: Any) -> ChildSpec:
    """Return the spec of a composite, checked: its constructor runs once now, so that mistakes show where they are.

    Raises:
        TypeError: a part or an option is not what it must be.
        ValueError: an option is out of range, or the parts do not fit together.
    """
    spec = ChildSpec(kind, *arguments, name=name, **options)
    spec.make()
    return spec if name is None else spec.named(name)


def sources_of(parts: Sequence[Any], what: str) -> list[Source]:
    """Return what the parts are made from.

    Raises:
        ValueError: there is none.
        TypeError: one is nothing that can be called.
    """
    if not parts:
        raise ValueError(f"{what} needs at least one part")
    return [check_source(part) for part in parts]
