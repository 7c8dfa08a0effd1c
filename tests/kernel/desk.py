"""An actor whose mailbox can be filled while it is busy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from tinyllm_actors.kernel import (
    Actor,
    ActorSystem,
    Mailbox,
)

if TYPE_CHECKING:
    from tinyllm_actors.kernel import ActorRef


class Clerk(Actor):
    """Writes its messages down; `"hold"` keeps it busy until the gate opens."""

    def __init__(self, gate: anyio.Event, seen: list[Any]) -> None:
        self.gate = gate
        self.seen = seen

    async def receive(self, message: Any) -> Any:
        if message == "hold":
            await self.gate.wait()
        elif message == "boom":
            raise LookupError("broken")
        elif message != "done?":
            self.seen.append(message)
        return len(self.seen)


class Desk:
    """A busy clerk with a mailbox: what is sent now waits until `work`."""

    def __init__(self, ref: ActorRef, gate: anyio.Event, seen: list[Any]) -> None:
        self.ref = ref
        self.gate = gate
        self.seen = seen

    @classmethod
    async def open(cls, system: ActorSystem, mailbox: Mailbox) -> Desk:
        gate, seen = anyio.Event(), list[Any]()
        ref: ActorRef = await system.spawn(Clerk.spec(gate, seen).with_options(mailbox=mailbox), name="clerk")
        await ref.tell("hold")
        while ref.cell.current is None:
            await anyio.lowlevel.checkpoint()
        return cls(ref, gate, seen)

    async def work(self) -> list[Any]:
        """Let everything be handled, and return what was."""
        self.gate.set()
        while self.ref.cell.current is not None or self.ref.cell.mailbox:
            await anyio.lowlevel.checkpoint()
        return self.seen


def by_number(message: Any) -> float:
    """Numbers by size, everything else last."""
    return message if isinstance(message, int) else 1_000
