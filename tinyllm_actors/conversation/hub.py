"""The supervisor of a set of conversations: starts each on its first message, and knows what to do when one fails."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final

import anyio
import anyio.lowlevel

from tinyllm_actors.conversation import wishes
from tinyllm_actors.conversation.activation import ConversationActor
from tinyllm_actors.conversation.alarms import Alarms, patiently
from tinyllm_actors.conversation.claims import Claims
from tinyllm_actors.conversation.health import Health, passes
from tinyllm_actors.conversation.journal import Journal
from tinyllm_actors.conversation.lazy_agent import AGENT
from tinyllm_actors.conversation.ref import Conversations
from tinyllm_actors.conversation.writer import MIN_WAIT
from tinyllm_actors.errors import (
    ActorError,
    ActorStopped,
    ConversationBusy,
    ConversationDeleted,
    ConversationQuarantined,
    Fenced,
    StartFailed,
    StoreError,
    StoreUnavailable,
    SystemClosed,
    UnknownActor,
)
from tinyllm_actors.kernel import (
    Actor,
    ActorRef,
    ChildOptions,
    ChildSpec,
    DynamicSupervisor,
    ExitKind,
    Restart,
    Supervisor,
    Terminated,
)

if TYPE_CHECKING:
    from tinyllm_actors.conversation.live import Live, LiveTable
    from tinyllm_actors.conversation.settings import ConversationSettings
    from tinyllm_actors.kernel import ExitReason, ReplyTo

__all__ = ["ConversationHub"]

RECOVER_PAGE: Final = 500
MAX_STARTING: Final = 64
"""Conversations that start at the same time."""

MAX_RECOVERING: Final = 16
"""Of those, how many for which nobody asked."""

MAX_WAITING: Final = 10_000
"""Conversations that may wait for their start."""


class _HubSpec(ChildSpec):
    """Conversations do not depend on one another, so all are stopped at the same time."""

    __slots__ = ()

    unordered = True


class ConversationHub(Actor):
    """Keeps conversations by key: one actor for each that is in use.

    Args:
        agent: the spec of the agent of each conversation.
        table: what is in memory.
        settings: see there.
    """

    ref_type: ClassVar[type[ActorRef] | None] = Conversations
    options: ClassVar[ChildOptions | None] = ChildOptions(shutdown=30.0)
    # Children are temporary: what becomes of one that failed is decided here.
    supervision: ClassVar[Supervisor | None] = DynamicSupervisor()

    def __init__(self, agent: ChildSpec, table: LiveTable, settings: ConversationSettings) -> None:
        self._spec = agent.with_options(restart=Restart.TEMPORARY)  # a conversation ends with its agent
        self.table = table
        self._settings = settings
        self._health = Health(settings)
        self._waiting: dict[str, dict[ReplyTo, None]] = {}
        self._owed: set[str] = set()  # they have, or may have, an open turn, and go on though nobody asks
        self._deleting: set[str] = set()
        self._keys: dict[ActorRef, str] = {}
        self._occupied = 0  # how many have been given room
        self._line: dict[str, None] = {}  # those that wait for room, in order

    @classmethod
    def spec(cls, *args: Any, **kwargs: Any) -> ChildSpec:
        """Return how to make a hub; the arguments are those of its constructor."""
        return _HubSpec(cls, *args, **kwargs)

    async def started(self) -> None:
        """Open the store and look for what an earlier process, or incarnation, has left."""
        table = self.table
        await table.store.open()
        table.journal = Journal(table.store)
        table.claims = Claims(table.store, table.owner)
        table.hub = self.context.ref
        self._ready: deque[str] = deque()  # to be started next
        self._starters = 0
        table.alarms = Alarms(self.context.ref, table, self._health.quarantined)
        self.context.start_task(self._attend)
        self.context.start_task(table.journal.run)
        self.context.start_task(table.claims.run)
        self.context.start_task(table.alarms.run)
        if self._settings.recover or self.context.incarnation > 1:
            self.context.start_task(self._recover)

    async def _attend(self) -> None:
        """Wait for the end of this incarnation, whatever it is; every conversation has ended by then."""
        try:
            await anyio.sleep_forever()
        finally:
            self.table.break_off(ActorStopped(self.context.path, "it ended in the middle of the turn"))
            with anyio.move_on_after(self.context.system.grace, shield=True):
                await self.table.store.aclose()

    # --- messages ------------------------------------------------------------------------------------

    async def receive(self, message: Any) -> Any:
        """Start, stop and look after conversations; nothing here waits for one."""
        match message:
            case wishes.Locate(key):
                return self._locate(key)
            case wishes.Reactivate(key):
                self._start(key)
            case wishes.Overdue(key):
                self._refuse_all(
                    key,
                    StoreUnavailable(
                        f"{self.table.store.name!r} has not answered for {self._settings.patience:g} s", keys=(key,)
                    ),
                )
            case wishes.Release(key):
                released = self._health.forget(key)
                if key in self._owed:
                    self._start(key)
                self.table.alarms.wake()
                return released
            case wishes.Delete(key):
                self.context.start_task(self._delete, key, self.context.reply_later())
            case wishes.ListQuarantined():
                return list(self._health.quarantined.values())
            case Terminated(ref, reason):
                self._ended(ref, reason)
            case _:  # a mistake of the sender, which must not cost all the others
                self.context.reply_later().fail(
                    TypeError(f"a set of conversations takes no {type(message).__name__}; use chats[key]")
                )
        return None

    def _locate(self, key: str) -> Any:
        ref = self.table.ref_of(key)
        if ref is not None:
            return ref
        reply = self.context.reply_later()
        if key in self._health.quarantined:
            reply.reply(wishes.Refused(self._refusal(key)))
        elif key not in self._waiting and len(self._waiting) >= MAX_WAITING:
            reply.reply(wishes.Refused(ConversationBusy(key, len(self._waiting))))
        else:
            waiting = self._waiting.setdefault(key, {})
            waiting[reply] = None
            reply.on_leave(lambda: waiting.pop(reply, None))
            self._start(key)
        return None

    def _answer(self, key: str, answer: ActorRef | wishes.Refused) -> None:
        for reply in self._waiting.pop(key, {}):
            reply.reply(answer)

    def _refuse_all(self, key: str, error: BaseException) -> None:
        self._answer(key, wishes.Refused(error))

    def _refusal(self, key: str) -> ConversationQuarantined:
        quarantine = self._health.quarantined[key]
        return ConversationQuarantined(key, quarantine.cause, quarantine.failures)

    # --- starting ------------------------------------------------------------------------------------

    def _start(self, key: str) -> None:
        if not (key in self.table.entries or key in self._deleting or key in self._health.quarantined):
            self.table.add(key)
            rest = self._health.rest(key, self.context.system.now())
            if rest or self._line or self._occupied >= self._settings.max_live:
                self.context.start_task(self._start_later, key, rest)
            else:
                self._occupied += 1
                self._start_soon(key)

    async def _start_later(self, key: str, rest: float) -> None:
        """Start a conversation when it has rested and there is room."""
        await anyio.sleep(rest)
        if await self._take_room(key):
            self._start_soon(key)
        else:
            self.table.entries.pop(key)
            self.table.changed()

    def _start_soon(self, key: str) -> None:
        """Start a conversation for which there is room; a crowd comes in a queue, as a task for each costs as much."""
        # Again and again, as others may come to wait while the store hangs.
        overdue = self._settings.patience + MIN_WAIT
        self.context.send_after(overdue, wishes.Overdue(key), name=f"overdue:{key}", every=overdue)
        self._ready.append(key)
        if self._starters < MAX_STARTING:
            self._starters += 1
            self.context.start_task(self._start_ready)

    async def _start_ready(self) -> None:
        while self._ready:
            await self._activate(self._ready.popleft())
        self._starters -= 1

    async def _activate(self, key: str) -> None:
        """Start a conversation and tell those who wait for it."""
        spec = ConversationActor.spec(key, self._spec, self.table, self._settings)
        try:
            ref = await self.context.spawn(spec, name=key.replace("%", "%25").replace("/", "%2F"))
        except SystemClosed:  # whoever waits is told so by the end of the set
            return
        except Exception as error:
            self._occupied -= 1
            self.table.entries.pop(key, None)
            self._refuse(key, _cause(error))
            self.table.changed()
            return
        finally:
            self.context.cancel_timer(f"overdue:{key}")
        live = self.table.entries[key]
        live.ref = ref
        self._keys[ref] = key
        self.context.watch(ref)
        if key not in self._waiting and not live.busy:  # it was started in case that it had something to do
            ref.tell_nowait(wishes.Leave())
        self._owed.discard(key)
        live.expected = bool(self._waiting.get(key))
        self._answer(key, ref)
        self.table.changed()

    def _refuse(self, key: str, cause: BaseException) -> None:
        """A conversation did not start."""
        now = self.context.system.now()
        delay = self._health.hindered(key, now) if passes(cause) else self._health.failed(key, cause, now)
        self._refuse_all(key, cause)
        self._go_on_later(key, delay)

    def _go_on_later(self, key: str, delay: float) -> None:
        if key in self._owed and key not in self._health.quarantined:
            self.context.send_after(delay, wishes.Reactivate(key), name=f"again:{key}")

    async def _take_room(self, key: str) -> bool:
        """Wait until there is room for one more, having passivated those that were idle for the longest.

        Returns:
            False if the conversation is not wanted any more.
        """
        line = self._line
        line[key] = None
        try:
            while self._occupied >= self._settings.max_live or next(iter(line)) != key:
                if key in self._deleting:
                    return False
                if not self._waiting.get(key) and key not in self._owed:
                    self._waiting.pop(key, None)
                    return False
                # Only the first in line looks, as it may have to look at all.
                if next(iter(line)) != key or not await self._make_room():
                    with anyio.move_on_after(1.0):  # a reader that leaves makes room without a word
                        await self.table.change()
            self._occupied += 1
            return True
        finally:
            del line[key]
            self.table.changed()  # it is the next one's turn

    async def _make_room(self) -> bool:
        """Let the one leave that was idle for the longest. Returns whether one has left."""
        idle = next((live for live in self.table.entries.values() if live.ref is not None and live.idle), None)
        return idle is not None and await self._passivate(idle)

    async def _passivate(self, live: Live) -> bool:
        """Let a conversation leave, if it is idle still. Returns whether it has left."""
        assert live.ref is not None
        with suppress(ActorError):
            if not await live.ref.ask(wishes.Leave(), timeout=None):
                return False
        await self._gone(live.ref)
        return True

    async def _gone(self, ref: ActorRef) -> None:
        """Wait until the end of a conversation's actor has been seen to."""
        while ref in self._keys:
            await self.table.change()

    # --- endings -------------------------------------------------------------------------------------

    def _ended(self, ref: ActorRef, reason: ExitReason) -> None:
        key = self._keys.pop(ref)
        live = self.table.entries.pop(key)
        self._occupied -= 1
        cause = _cause(reason.cause) if reason.kind is ExitKind.FAILED and reason.cause is not None else None
        told: BaseException = ActorStopped(ref.path, f"it ended: {reason}")
        delay = 0.0
        now = self.context.system.now()
        if key in self._deleting:
            told = ConversationDeleted(key)
        elif isinstance(cause, Fenced):
            told = cause  # somebody else has it now, and goes on with its open turn: see `Elsewhere`
            self._health.fenced(key, now)
        else:
            if cause is not None and passes(cause):
                told = cause
                delay = self._health.hindered(key, now)
            elif cause is not None:
                delay = self._health.failed(key, cause, now)
            if live.busy and not live.parked:
                self._owed.add(key)
        for log in live.logs:
            log.fail(told)
        self.table.changed()
        if key in self._health.quarantined:
            self._refuse_all(key, self._refusal(key))
        elif self._waiting.get(key):  # they came while it ended
            self._start(key)
        else:
            self._go_on_later(key, delay)

    async def _delete(self, key: str, reply: ReplyTo) -> None:
        while key in self._deleting:
            await self.table.change()
        self._deleting.add(key)
        self.table.changed()
        try:
            # What is under way is not waited for: once the row is gone, nothing can be appended under the old grant.
            while (live := self.table.entries.get(key)) is not None:
                if live.ref is None:
                    await self.table.change()
                else:
                    await self._kill(live.ref)
            there = await self.table.store.delete(key)
        except StoreError as error:
            reply.fail(error)
        else:
            self._health.forget(key)
            self._owed.discard(key)
            reply.reply(there)
        finally:
            self._deleting.discard(key)
            self.table.changed()
        if key in self._waiting or key in self._owed:
            self._start(key)

    async def _kill(self, ref: ActorRef) -> None:
        """End a conversation, whose agent, also one that starts, would have seconds for what it does."""
        try:
            agent = self.context.system[f"{ref.path}/{AGENT}"]
        except UnknownActor:  # there was no turn yet
            agent = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ref.kill)
            while ref.alive:  # else it would fail with its agent
                await anyio.lowlevel.checkpoint()
            if agent is not None:
                await agent.kill()
        await self._gone(ref)

    async def _recover(self) -> None:
        """Start every conversation that was in memory when an earlier process, or incarnation, ended."""
        table, after, settings = self.table, "", self._settings
        while True:
            page = await patiently(lambda after=after: table.store.list(after=after, limit=RECOVER_PAGE, held=True))
            for summary in page:
                if summary.key in table.entries or not (settings.recovers(summary.key) or summary.owner == table.owner):
                    continue
                while len(table.entries) - len(self._keys) >= MAX_RECOVERING:
                    await table.change()
                self._owed.add(summary.key)
                self._start(summary.key)
            if len(page) < RECOVER_PAGE:
                return
            after = page[-1].key


def _cause(error: BaseException) -> BaseException:
    """Return what went wrong, where an actor, or its agent, did not start."""
    return error.cause if isinstance(error, StartFailed) else error
