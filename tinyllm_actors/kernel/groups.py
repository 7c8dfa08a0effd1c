"""Groups: messages to whoever has joined, which is publish and subscribe between actors.

Source: OTP `pg`, Elixir `Phoenix.PubSub`.
"""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING

from tinyllm_actors.errors import ActorStopped, MailboxFull
from tinyllm_actors.kernel.envelope import Envelope
from tinyllm_actors.kernel.lifecycle import Lifecycle

if TYPE_CHECKING:
    from tinyllm_actors.kernel.cell import Cell
    from tinyllm_actors.kernel.ref import ActorRef
    from tinyllm_actors.kernel.system import ActorSystem
    from tinyllm_actors.kernel.waiter import Waiter

__all__ = ["Group", "Groups"]


class Groups:
    """The members of each group of a system. A group without members does not exist."""

    __slots__ = ("members", "system")

    def __init__(self, system: ActorSystem) -> None:
        self.system = system
        self.members: dict[str, dict[Cell, ActorRef]] = {}

    def leave(self, name: str, cell: Cell) -> bool:
        """Take a member out; False if it is none."""
        members = self.members.get(name)
        if members is None or cell not in members:
            return False
        del members[cell]
        if not members:
            del self.members[name]
        return True


class Group:
    """A topic and the actors that get what is published on it; `system.group("topic")`.

    Members leave at their final stop by themselves. A message reaches each member at most once, those of one sender
    in order. A member that must not miss anything asks for it itself: a group remembers nothing.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> class Reader(Actor):
    ...     def __init__(self) -> None:
    ...         self.news: list[str] = []
    ...     async def started(self) -> None:
    ...         self.context.system.group("news").join(self.context.ref)
    ...     async def receive(self, message: str) -> list[str]:
    ...         self.news.append(message)
    ...         return self.news
    >>> async def main() -> None:
    ...     async with ActorSystem("paper") as system:
    ...         ann, ben = await system.spawn(Reader), await system.spawn(Reader)
    ...         print(await system.group("news").publish("rain"), await ann.ask("?"), await ben.ask("?"))
    >>> anyio.run(main)
    2 ['rain', '?'] ['rain', '?']

    ```
    """

    __slots__ = ("_groups", "name")

    def __init__(self, groups: Groups, name: str) -> None:
        self._groups = groups
        self.name = name

    def join(self, ref: ActorRef) -> None:
        """Add an actor; one that is a member already stays one.

        Raises:
            ActorStopped: it has ended.
        """
        cell, name, groups = ref.cell, self.name, self._groups
        if cell.state is Lifecycle.STOPPED:
            raise ActorStopped(ref.path, f"it has ended and cannot join {name!r}")
        groups.members.setdefault(name, {})[cell] = ref
        cell.cold.endings[groups, name] = lambda cell, _: groups.leave(name, cell)

    def leave(self, ref: ActorRef) -> bool:
        """Take an actor out; False if it is no member."""
        if ref.cell.extra is not None:
            ref.cell.extra.endings.pop((self._groups, self.name), None)
        return self._groups.leave(self.name, ref.cell)

    def members(self) -> list[ActorRef]:
        """Return who is in, in the order of joining."""
        return list(self._groups.members.get(self.name, {}).values())

    async def publish(self, message: object) -> int:
        """Send a message to every member and return how many took it.

        All with room have it at once; then it waits for those whose mailbox is full and blocks. A member whose
        mailbox refuses it does not count, and the message becomes a dead letter there.
        """
        waiting: list[Waiter] = []
        taken = 0
        context = copy_context()
        for ref in self.members():
            cell = ref.cell
            envelope = Envelope(message, cell, context.copy())
            try:
                waiter = cell.post(envelope)
            except MailboxFull:
                cell.system.dead_letter(cell, envelope, "full")
                continue
            if waiter is None:
                taken += cell.capacity >= 0
            else:
                waiting.append(waiter)
        try:
            for waiter in waiting:
                taken += await _taken(waiter)
        except BaseException:  # the publisher was cancelled: what is not sent yet stays unsent
            for waiter in waiting:
                waiter.withdraw()
            raise
        return taken

    def publish_nowait(self, message: object) -> int:
        """Send a message to every member that has room, without waiting, and return how many took it."""
        return sum(ref.tell_nowait(message) for ref in self.members())

    def __len__(self) -> int:
        return len(self._groups.members.get(self.name, ()))

    def __repr__(self) -> str:
        return f"<Group {self.name!r} of {len(self)}>"


async def _taken(waiter: Waiter) -> bool:
    cell = waiter.cell
    try:
        await waiter.wait()
    except MailboxFull:
        cell.system.dead_letter(cell, waiter.envelope, "full")
        return False
    return cell.capacity >= 0
