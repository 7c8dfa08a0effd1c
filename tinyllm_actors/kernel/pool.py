"""Several actors behind one reference: the members are supervised, and messages go straight to their mailboxes."""

from __future__ import annotations

from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from tinyllm_actors.errors import ActorStopped, MailboxFull
from tinyllm_actors.kernel.envelope import Ask, Envelope
from tinyllm_actors.kernel.node import SupervisorNode, SupervisorSpec
from tinyllm_actors.kernel.ref import SYSTEM_DEFAULT, ActorRef
from tinyllm_actors.kernel.routing import Broadcast, RoundRobin
from tinyllm_actors.kernel.spec import DynamicSupervisor
from tinyllm_actors.kernel.stream import StreamRequest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Generator, Sequence

    from tinyllm_actors.kernel.cell import Cell
    from tinyllm_actors.kernel.routing import Router, Routing
    from tinyllm_actors.kernel.spec import ChildSpec, Supervisor
    from tinyllm_actors.kernel.waiter import Waiter

__all__ = ["Pool", "PoolRef", "Table"]


class PoolRef(ActorRef):
    """The way to a pool: what is sent to it goes to a member, by the pool's routing, without a stop in between.

    `stop`, `kill` and `join` are about the whole pool. Without members left, a message becomes a dead letter and an
    ask fails with `ActorStopped`.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> from tinyllm_actors.kernel import Pool, PoolRef
    >>> class Worker(Actor):
    ...     async def receive(self, message: str) -> str:
    ...         return f"{self.context.name}: {message}"
    >>> async def main() -> None:
    ...     async with ActorSystem("service") as system:
    ...         pool: PoolRef = await system.spawn(Pool.spec(Worker.spec(), 2), name="pool")
    ...         print(await pool.ask("hello"), [member.path for member in pool.members])
    >>> anyio.run(main)
    1: hello ['pool/1', 'pool/2']

    ```
    """

    __slots__ = ()

    @property
    def _table(self) -> Table:
        table = self.cell.cold.router
        assert table is not None
        return table

    @property
    def members(self) -> list[ActorRef]:
        """The members in start order."""
        return [self.cell.system.ref_to(cell) for cell in self._table.members()]

    def pick(self, message: object = None) -> Any:
        """Return the member whose turn it is, or that the routing chooses for `message`.

        For members that are more than actors: `await pool.pick()(content="…")` calls a Function of the pool.

        Raises:
            ActorStopped: there is no member left.
        """
        cells = self._table.members()
        if not cells:
            raise ActorStopped(self.path, "no member of the pool is left", message)
        return self.cell.system.ref_to(self._table.router.choose(cells, message))

    async def tell(self, message: object) -> None:
        """Send a message to a member, or to all of a broadcast; see `ActorRef.tell`."""
        if self._table.broadcasts:
            await self._tell_all(message)
        elif self._table.members():
            await self.pick(message).tell(message)
        else:
            self._refuse(Envelope(message, self.cell, None))

    async def _tell_all(self, message: object) -> None:
        """Send to all; the first that refuses is raised once everyone had a chance."""
        waiters: list[Waiter] = []
        refusal: MailboxFull | None = None
        for cell in self._table.members():
            try:
                waiter = cell.post(Envelope(message, cell, copy_context()))
            except MailboxFull as error:
                refusal = refusal or error
                continue
            if waiter is not None:
                waiters.append(waiter)
        try:
            for waiter in waiters:
                try:
                    await waiter.wait()
                except MailboxFull as error:
                    refusal = refusal or error
        except BaseException:
            for waiter in waiters:
                waiter.withdraw()
            raise
        if refusal is not None:
            raise refusal

    def tell_nowait(self, message: object) -> bool:
        """Send a message to a member if it has room, or to all of a broadcast; True if everyone took it."""
        cells = self._table.members()
        if not cells:
            self._refuse(Envelope(message, self.cell, None))
            return False
        if self._table.broadcasts:
            return all([ActorRef(cell).tell_nowait(message) for cell in cells])
        return self.pick(message).tell_nowait(message)

    def ask(self, message: object, *, timeout: float | None = SYSTEM_DEFAULT) -> Awaitable[Any]:
        """Ask a member and return its answer, or all of a broadcast and return the list of theirs; see `ActorRef.ask`.

        A broadcast fails with the first failure, in start order, and gives the other answers up.
        """
        cells = self._table.members()
        if not cells:
            ask = Ask(message, self.cell, self.cell.system.asker(), None)
            self._refuse(ask)
            return ask
        if self._table.broadcasts:
            return _All([ActorRef(cell).ask(message, timeout=timeout) for cell in cells])
        return self.pick(message).ask(message, timeout=timeout)

    def stream(self, message: object, *, timeout: float | None = None, buffer: int = 64) -> StreamRequest[Any]:
        """Open a member's answer as a stream; see `ActorRef.stream`.

        Raises:
            TypeError: the pool broadcasts; open a stream of each of its `members`.
        """
        if self._table.broadcasts:
            raise TypeError(f"pool {self.path!r} broadcasts: open a stream of each of its members")
        return self.pick(message).stream(message, timeout=timeout, buffer=buffer)

    def _refuse(self, envelope: Envelope) -> None:
        self.cell.refuse(envelope, "stopped")


class _All:
    """The answers of several asks."""

    __slots__ = ("_asks",)

    def __init__(self, asks: list[Awaitable[Any]]) -> None:
        self._asks = asks

    def __await__(self) -> Generator[Any, Any, list[Any]]:
        answers: list[Any] = []
        waiting = list(self._asks)
        try:
            while waiting:
                answers.append((yield from waiting.pop(0).__await__()))
        finally:
            for ask in waiting:
                if isinstance(ask, Ask):
                    ask.give_up(ActorStopped(ask.receiver.path, "another member failed, or its asker left"))
        return answers


class Table:
    """Who is in a pool, and how one of them is chosen."""

    __slots__ = ("_cell", "_members", "broadcasts", "router")

    def __init__(self, cell: Cell, routing: Routing) -> None:
        self._cell = cell
        self._members: tuple[Cell, ...] = ()
        self.router: Router = routing.router()
        self.broadcasts = isinstance(routing, Broadcast)

    def members(self) -> tuple[Cell, ...]:
        """Return the members in start order; the same object until they change."""
        return self._members

    def refresh(self) -> None:
        """Look who is there, and again whenever one ends for good."""
        self._members = tuple(self._cell.children)
        for child in self._members:
            child.cold.endings[self] = lambda cell, _: self._drop(cell)

    def _drop(self, cell: Cell) -> None:
        self._members = tuple(member for member in self._members if member is not cell)


class Pool(SupervisorNode):
    """A fixed number of equal actors that share the work.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import Actor, ActorSystem
    >>> from tinyllm_actors.kernel import ConsistentHash, Pool
    >>> class Worker(Actor):
    ...     async def receive(self, message: str) -> str:
    ...         return f"{self.context.name} has {message}"
    >>> async def main() -> None:
    ...     async with ActorSystem("service") as system:
    ...         pool = await system.spawn(Pool.spec(Worker.spec(), 2), name="pool")
    ...         print(await pool.ask("one"), "|", await pool.ask("two"), "|", await pool.ask("three"))
    ...         users = await system.spawn(Pool.spec(Worker.spec(), 8, ConsistentHash(key=str)), name="users")
    ...         print(await users.ask("ann") == await users.ask("ann"))
    >>> anyio.run(main)
    1 has one | 2 has two | 1 has three
    True

    ```

    A pool is for workers that hold something scarce: a connection, a process, a place in a rate limit. For
    concurrency alone, many asks of many actors need no pool.
    """

    ref_type = PoolRef

    def __init__(self, config: Supervisor, children: Sequence[ChildSpec], routing: Routing) -> None:
        super().__init__(config, children)
        self._routing = routing

    @classmethod
    def spec(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, spec: ChildSpec, size: int, routing: Routing | None = None, *, supervisor: Supervisor | None = None
    ) -> ChildSpec:
        """Return the spec of a pool.

        Args:
            spec: how to make a member; they are called `"1"`, `"2"` … under the pool.
            size: how many, at least 1.
            routing: who gets a message; left out, one after another.
            supervisor: how members are restarted; left out, each alone, and 3 restarts for each member, counted
                together, are tolerated in 5 seconds.

        Raises:
            ValueError: `size` is below 1.
        """
        if size < 1:
            raise ValueError(f"a pool has at least one member, not {size!r}")
        config = supervisor or DynamicSupervisor(max_restarts=3 * size)
        return _PoolSpec(config, [spec.named(str(number + 1)) for number in range(size)], routing or RoundRobin())

    async def started(self) -> None:
        """Start the members."""
        cell = self.kernel_cell
        if cell.cold.router is None:
            cell.cold.router = Table(cell, self._routing)
        await super().started()
        cell.cold.router.refresh()


class _PoolSpec(SupervisorSpec):
    """The references of members survive a restart of their pool, so that messages wait for them meanwhile."""

    __slots__ = ()

    def __init__(self, config: Supervisor, children: Sequence[ChildSpec], routing: Routing) -> None:
        super().__init__(config, children, routing, factory=Pool)
        self.unordered = True
        self.keeps_children = True
