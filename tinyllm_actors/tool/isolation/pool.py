"""Warm processes, shared by all isolated tools of a system."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

import anyio

from tinyllm_actors.kernel import Actor, ChildOptions, ChildSpec

if TYPE_CHECKING:
    from tinyllm_actors.kernel import ActorSystem, ExitReason
    from tinyllm_actors.tool.isolation.process import ToolProcess

__all__ = ["MAX_CALLS", "MAX_IDLE", "Ask", "ProcessPool", "Processes", "shared_processes"]

MAX_IDLE = 4
"""Processes that are kept warm."""
MAX_CALLS = 100
"""Calls after which a process is renewed."""
IDLE_SECONDS = 60.0
_SERVICE = "tool-processes"


class Processes:
    """Keeps the processes that have no work, the newest in front; those at work belong to their calls."""

    def __init__(self) -> None:
        self._idle: list[ToolProcess] = []
        self._closed = False

    def __len__(self) -> int:
        return len(self._idle)

    def take(self) -> ToolProcess | None:
        """Return a process to run one call, or None if there is none to spare."""
        return self._idle.pop() if self._idle else None

    def give(self, process: ToolProcess) -> bool:
        """Take a process back after its call; False if it is one too many, or too old, and the caller has to end it."""
        if self._closed or len(self._idle) >= MAX_IDLE or process.calls >= MAX_CALLS:
            return False
        process.idle_since = anyio.current_time()
        self._idle.append(process)
        return True

    async def sweep(self, *, older_than: float) -> None:
        """End the processes that had no work since before that time, in seconds of `anyio.current_time()`."""
        old = [process for process in self._idle if process.idle_since <= older_than]
        self._idle = [process for process in self._idle if process.idle_since > older_than]
        for process in old:
            await process.aclose()

    async def aclose(self) -> None:
        """End them all, and keep none from now on."""
        self._closed = True
        idle, self._idle = self._idle, []
        for process in idle:
            await process.aclose()


class Ask(enum.Enum):
    """What the owner of the processes is asked: to lend them, or to end those without work."""

    LEND = enum.auto()
    SWEEP = enum.auto()


class ProcessPool(Actor):
    """Owns the warm processes of a system, and ends them when they are not needed and at the end."""

    options = ChildOptions(shutdown=10.0)

    def __init__(self) -> None:
        self._processes = Processes()

    async def started(self) -> None:
        """Look for idle processes now and then."""
        self.context.send_after(IDLE_SECONDS, Ask.SWEEP, every=IDLE_SECONDS)

    async def receive(self, message: object) -> Processes | None:
        """Lend the pool to an actor, which takes and gives processes itself."""
        if message is Ask.LEND:
            return self._processes
        if message is Ask.SWEEP:
            await self._processes.sweep(older_than=anyio.current_time() - IDLE_SECONDS)
            return None
        raise TypeError(f"the pool of tool processes does not take {type(message).__name__}")

    async def stopped(self, reason: ExitReason) -> None:
        """End all that are idle; those at work are ended by their calls."""
        await self._processes.aclose()


async def shared_processes(system: ActorSystem) -> Processes:
    """Return the warm processes of a system, whose owner is started on first use and stopped after all others."""
    owner: Any = await system.service(_SERVICE, ChildSpec(ProcessPool))
    return await owner.ask(Ask.LEND)
