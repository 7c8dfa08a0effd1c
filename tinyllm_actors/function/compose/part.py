"""One function inside of a composite: a child of it, or a live reference that it uses."""

from __future__ import annotations

import enum
import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from tinyllm_actors.errors import ActorError
from tinyllm_actors.function.compose.failures import after_output, named
from tinyllm_actors.function.compose.outlet import Ending, PartCall
from tinyllm_actors.function.function import Function
from tinyllm_actors.function.ref import Call, FunctionRef
from tinyllm_actors.function.result import failure, success
from tinyllm_actors.function.stream import FunctionStream
from tinyllm_actors.function.wrap import to_function_spec
from tinyllm_actors.kernel import Actor, ActorRef, ChildSpec, PoolRef

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from tinyllm_actors.function.compose.outlet import Outlet
    from tinyllm_actors.function.result import Failure, Result
    from tinyllm_actors.kernel import ActorContext

__all__ = ["Part", "Source", "as_arguments", "as_value", "check_source", "labelled"]

Source: TypeAlias = ChildSpec | FunctionRef | PoolRef
"""What a part is made from: a spec, or a reference to a live Function or to a pool of them."""


class _Kind(enum.Enum):
    PLAIN = "answers only"
    ITEMS = "streams success dictionaries, and a result only where it says more"
    EVENTS = "streams events and ends with the result"
    COMPOSITE = "streams what its parts do, and ends with `Ending`"


def check_source(what: Any) -> Source:
    """Return what a part can be made from.

    Raises:
        TypeError: `what` is neither a Function, its spec or reference, a pool of Functions, nor a callable.
    """
    if isinstance(what, FunctionRef | PoolRef):
        return what
    if isinstance(what, ActorRef):
        raise TypeError(f"a part must be a Function, and {what!r} refers to another actor")
    spec = to_function_spec(what)
    factory: object = spec.factory
    if isinstance(factory, type) and issubclass(factory, Actor) and not _is_function(factory):
        raise TypeError(f"a part must be a Function, and {factory.__name__} is another actor")
    return spec


def _is_function(factory: type[Actor]) -> bool:
    return factory.ref_type is not None and issubclass(factory.ref_type, FunctionRef)


def labelled(sources: Iterable[Source]) -> list[tuple[str, Source]]:
    """Return the sources with names that no two of them share."""
    found: dict[str, Source] = {}
    for source in sources:
        base = (source.name or source.label) if isinstance(source, ChildSpec) else source.name
        names = itertools.chain([base], (f"{base}-{number}" for number in itertools.count(2)))
        found[next(name for name in names if name not in found)] = source
    return list(found.items())


def as_arguments(value: Any) -> dict[str, Any]:
    """Return what a Function is called with, given the output of the one before it.

    A mapping with names for keys becomes the arguments; anything else is the argument `input`.

    ```python
    >>> as_arguments({"text": "a"}), as_arguments([1, 2])
    ({'text': 'a'}, {'input': [1, 2]})

    ```
    """
    if isinstance(value, Mapping):
        mapping = cast("Mapping[Any, Any]", value)
        if all(isinstance(key, str) for key in mapping):
            return dict(mapping)
    return {"input": value}


def as_value(arguments: dict[str, Any]) -> Any:
    """Return what a Function was called with as if one before it had answered that.

    The argument `input` if there is no other, else all of them: `as_arguments` makes the same arguments of it again.

    ```python
    >>> as_value({"text": "a"}), as_value({"input": [1, 2]})
    ({'text': 'a'}, [1, 2])

    ```
    """
    return arguments["input"] if arguments.keys() == {"input"} else arguments


class Part:
    """A Function that is ready to be called.

    Attributes:
        label: what errors call it.
        required: whether its failure fails the whole.
    """

    __slots__ = ("_kind", "_processes", "_ref", "label", "required")

    def __init__(self, label: str, ref: ActorRef) -> None:
        self.label = label
        self._ref = ref
        example = (ref.members or [ref])[0] if isinstance(ref, PoolRef) else ref
        self.required: bool = getattr(example.cell.actor, "required", True)
        factory: object = example.cell.spec.factory
        kind = factory if isinstance(factory, type) and issubclass(factory, Actor) else type(example.cell.actor)
        self._kind = _kind_of(kind)
        processes: object = getattr(kind, "process_output", None)
        self._processes = processes is not Function.process_output

    @classmethod
    async def start(cls, context: ActorContext, label: str, source: Source) -> Part:
        """Return the part, spawned under the composite unless it lives elsewhere."""
        ref: ActorRef = await context.spawn(source, name=label) if isinstance(source, ChildSpec) else source
        return cls(label, ref)

    def ask(self, arguments: dict[str, Any], timeout: float | None = None) -> Awaitable[Result]:
        """Send a call; awaiting it gives the dictionary, or raises an `ActorError`."""
        return self._ref.ask(Call(arguments), timeout=timeout)

    async def call(self, arguments: dict[str, Any], timeout: float | None = None) -> Result:
        """Call it, for as long as the whole may take or `timeout` seconds. Never raises but for cancellation."""
        try:
            return await self.ask(arguments, timeout)
        except ActorError as error:
            return failure(error, state="DELIVERY")

    async def answer(self, arguments: dict[str, Any], outlet: Outlet, timeout: float | None = None) -> Result:
        """Call it, and pass its items on while it works if somebody reads them.

        An error is never passed on as an item: the whole answers it, if it cannot do better.
        """
        if not outlet.live or self._kind is _Kind.PLAIN:
            return await self.call(arguments, timeout)
        try:
            result = await self._stream(arguments, outlet, timeout)
        except ActorError as error:
            result = failure(error, state="DELIVERY")
        return after_output(result) if result["status"] == "error" and outlet.started else result

    async def _stream(self, arguments: dict[str, Any], outlet: Outlet, timeout: float | None) -> Result:
        message = PartCall(arguments) if self._kind is _Kind.COMPOSITE else Call(arguments)
        outputs: list[Any] = []
        end: Result | None = None
        async with self._ref.stream(message, timeout=timeout) as items:
            async for item in items:
                if isinstance(item, Ending):
                    if item.told:
                        outlet.told = item.result.get("output")
                    return item.result
                end = _result_in(item)
                if end is not None:
                    if end["status"] == "error":
                        return end
                    outputs.append(end["output"])
                await outlet.put(item)
        if self._kind is _Kind.ITEMS and not self._processes and (end is None or "evaluations" not in end):
            end = success(outputs)
        if end is None:
            return failure(RuntimeError("its stream ended without a result"), state="RUNNING")
        outlet.told = end.get("output")
        return end

    def failed(self, result: Failure) -> Failure:
        """Return its error as one of the whole."""
        return named(result, self.label)


def _kind_of(kind: type[Any]) -> _Kind:
    if issubclass(kind, FunctionStream):
        return _Kind.ITEMS
    if getattr(kind, "is_composite", False):
        return _Kind.COMPOSITE
    if getattr(kind, "kernel_produces", False) or getattr(kind, "stream", None) is not Actor.stream:
        return _Kind.EVENTS
    return _Kind.PLAIN


def _result_in(item: Any) -> Result | None:
    """Return the dictionary that an item is, or carries as `result`; None for any other item."""
    thing = cast("object", item)
    found: object = thing if isinstance(thing, dict) else getattr(thing, "result", None)  # pyright: ignore[reportUnknownVariableType]
    if isinstance(found, dict) and cast("dict[str, object]", found).get("status") in {"success", "error"}:
        return cast("Result", found)
    return None
