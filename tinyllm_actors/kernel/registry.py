"""Names for actors, wherever in the tree they are.

Source: Erlang `register/2`, Elixir `Registry` with unique keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tinyllm_actors.errors import ActorStopped, NameTaken, UnknownActor
from tinyllm_actors.kernel.lifecycle import Lifecycle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tinyllm_actors.kernel.ref import ActorRef

__all__ = ["Registry"]


class Registry:
    """Unique names of running actors; `system.registry`. A name is free again when its actor has ended for good.

    A path says where an actor is, a registered name what it is for: a replacement elsewhere in the tree can take it
    over. For one actor that is found where it was started, `system["path"]` is enough.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> class Clerk(Actor):
    ...     async def receive(self, message: str) -> str:
    ...         return f"filed {message}"
    >>> async def main() -> str:
    ...     async with ActorSystem("office") as system:
    ...         system.registry.register("clerk", await system.spawn(Clerk))
    ...         return await system.registry["clerk"].ask("a form")
    >>> anyio.run(main)
    'filed a form'

    ```
    """

    __slots__ = ("_refs",)

    def __init__(self) -> None:
        self._refs: dict[str, ActorRef] = {}

    def register(self, name: str, ref: ActorRef) -> None:
        """Give `name` to an actor; it may have several.

        Raises:
            NameTaken: another actor has it.
            ActorStopped: the actor has ended.
        """
        if ref.cell.state is Lifecycle.STOPPED:
            raise ActorStopped(ref.path, f"it has ended and cannot be registered as {name!r}")
        owner = self._refs.get(name)
        if owner is not None and owner != ref:
            raise NameTaken(name, owner.path)
        self._refs[name] = ref
        ref.cell.cold.endings[self, name] = lambda _cell, _reason: self._refs.pop(name)

    def unregister(self, name: str) -> bool:
        """Free a name; False if nobody has it."""
        ref = self._refs.pop(name, None)
        if ref is None:
            return False
        ref.cell.cold.endings.pop((self, name), None)
        return True

    def lookup(self, name: str) -> ActorRef:
        """Return the actor that has this name; also `registry[name]`.

        Raises:
            UnknownActor: nobody has it.
        """
        ref = self._refs.get(name)
        if ref is None:
            raise UnknownActor(name)
        return ref

    __getitem__ = lookup

    def get(self, name: str) -> ActorRef | None:
        """Return the actor that has this name, or None."""
        return self._refs.get(name)

    def names_of(self, ref: ActorRef) -> list[str]:
        """Return the names of an actor, oldest first."""
        return [name for name, other in self._refs.items() if other == ref]

    def __contains__(self, name: object) -> bool:
        return name in self._refs

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._refs))

    def __len__(self) -> int:
        return len(self._refs)
