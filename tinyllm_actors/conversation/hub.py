"""The supervisor of a set of conversations: starts each on its first message, and knows what to do when one fails."""

from __future__ import annotations

import random
import time
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import anyio
import structlog

from tinyllm_actors.conversation import wishes
from tinyllm_actors.conversation.activation import ConversationActor
from tinyllm_actors.conversation.journal import Journal
from tinyllm_actors.conversation.ref import Conversations
from tinyllm_actors.conversation.report import Quarantine
from tinyllm_actors.errors import (
    ActorError,
    ActorStopped,
    ConversationQuarantined,
    CorruptJournal,
    Fenced,
    StartFailed,
    StoreError,
    UnsupportedEntry,
)
from tinyllm_actors.kernel import (
    Actor,
    ActorRef,
    Backoff,
    ChildOptions,
    DynamicSupervisor,
    ExitKind,
    RestartWindow,
    Supervisor,
    Terminated,
)

if TYPE_CHECKING:
    from tinyllm_actors.conversation.live import LiveTable
    from tinyllm_actors.conversation.settings import ConversationSettings
    from tinyllm_actors.kernel import ChildSpec, ExitReason, ReplyTo

__all__ = ["ConversationHub"]

MAX_SLEEP: Final = 60.0
"""Seconds between two looks at the store's timers, for those that another process has set."""

RECOVER_PAGE: Final = 500
MAX_STARTING: Final = 64
"""Conversations that start at the same time."""


class ConversationHub(Actor):
    """Keeps conversations by key: one actor for each that is in use.

    Args:
        agent: the spec of the agent of each conversation.
        table: what is in memory.
        settings: see there.
    """

    ref_type: ClassVar[type[ActorRef] | None] = Conversations
    options: ClassVar[ChildOptions | None] = ChildOptions(shutdown=30.0)
    # Children are temporary: what becomes of one that failed is decided here. They do not depend on one another.
    supervision: ClassVar[Supervisor | None] = DynamicSupervisor()

    def __init__(self, agent: ChildSpec, table: LiveTable, settings: ConversationSettings) -> None:
        self._spec = agent
        self.table = table
        self._settings = settings
        self._waiting: dict[str, list[ReplyTo]] = {}
        self._windows: dict[str, RestartWindow] = {}
        self._quarantined: dict[str, Quarantine] = {}
        self._backoff = Backoff(0.1, 10.0, jitter=0.2)
        self._failures: dict[str, int] = {}
        self._keys: dict[ActorRef, str] = {}

    async def started(self) -> None:
        """Open the store and look for what an earlier process has left."""
        table = self.table
        await table.store.open()
        table.entries.clear()
        self._keys.clear()
        table.journal = Journal(table.store)
        table.hub = self.context.ref
        self._starting = anyio.CapacityLimiter(MAX_STARTING)
        self._room = anyio.Event()
        self._wake = anyio.Event()
        self._sleep_until: float = 0.0
        self.context.start_task(table.journal.run)
        self.context.start_task(self._watch_timers)
        if self._settings.recover:
            self.context.start_task(self._recover)

    async def stopped(self, reason: ExitReason) -> None:
        """Close the store; every conversation has ended by now."""
        await self.table.store.aclose()

    # --- messages ------------------------------------------------------------------------------------

    async def receive(self, message: Any) -> Any:
        """Start, stop and look after conversations; nothing here waits for one."""
        match message:
            case wishes.Locate(key):
                return self._locate(key)
            case wishes.Evict(key):
                self._evict(key)
            case wishes.Reactivate(key):
                self._start(key)
            case wishes.Release(key):
                self._forget(key)
                return self._quarantined.pop(key, None) is not None
            case wishes.Delete(key):
                reply = self.context.reply_later()
                self.context.start_task(self._delete, key, reply)
            case wishes.ListQuarantined():
                return list(self._quarantined.values())
            case wishes.Wake(due):
                if due < self._sleep_until:
                    self._wake.set()
            case Terminated(ref, reason):
                self._ended(ref, reason)
            case _:
                raise TypeError(f"a set of conversations takes no {type(message).__name__}")
        return None

    def _locate(self, key: str) -> Any:
        ref = self.table.ref_of(key)
        if ref is not None:
            return ref
        self._waiting.setdefault(key, []).append(self.context.reply_later())
        if key in self._quarantined:
            self._refuse_quarantined(key)
        else:
            self._start(key)
        return None

    def _start(self, key: str) -> None:
        if key not in self.table.entries and key not in self._quarantined:
            self.table.add(key)
            self.context.start_task(self._activate, key)

    # --- starting ------------------------------------------------------------------------------------

    async def _activate(self, key: str) -> None:
        """Start a conversation and tell those who wait for it."""
        async with self._starting:
            try:
                await self._make_room()
                spec = ConversationActor.spec(key, self._spec, self.table, self._settings)
                name = key.replace("%", "%25").replace("/", "%2F")
                ref: ActorRef = await self.context.spawn(spec, name=name)
            except (StartFailed, ActorStopped) as error:
                self.table.entries.pop(key, None)
                self._refuse(key, error.cause if isinstance(error, StartFailed) else error)
                return
        self.table.entries[key].ref = ref
        self._keys[ref] = key
        self.context.watch(ref)
        for reply in self._waiting.pop(key, ()):
            reply.reply(ref)

    def _refuse(self, key: str, cause: BaseException) -> None:
        if not (isinstance(cause, StoreError) and cause.retryable):
            # Damage does not mend itself; anything else may.
            self._failed(key, cause, for_good=isinstance(cause, CorruptJournal | UnsupportedEntry))
        for reply in self._waiting.pop(key, ()):
            reply.fail(cause if isinstance(cause, Exception) else RuntimeError(str(cause)))

    async def _make_room(self) -> None:
        """Wait until there is room for one more, having passivated those that were idle for the longest."""
        entries = self.table.entries
        while len(entries) > self._settings.max_live:
            idle = next((key for key, live in entries.items() if live.ref is not None and not live.wanted), None)
            if idle is None:
                self._room = anyio.Event()
                with anyio.move_on_after(1.0):  # a reader that leaves makes room without a word
                    await self._room.wait()
            else:
                ref = entries[idle].ref
                assert ref is not None
                await ref.stop()
                await self._gone(ref)

    async def _gone(self, ref: ActorRef) -> None:
        """Wait until the end of a conversation's actor has been seen to."""
        while ref in self._keys:
            self._room = anyio.Event()
            await self._room.wait()

    def _evict(self, key: str) -> None:
        live = self.table.entries.get(key)
        if live is not None and live.ref is not None and not any(log.readers for log in live.logs):
            self.context.start_task(live.ref.stop, name=f"passivate {key}")

    # --- endings -------------------------------------------------------------------------------------

    def _ended(self, ref: ActorRef, reason: ExitReason) -> None:
        key = self._keys.pop(ref, None)
        self._room.set()
        if key is None:
            return
        live = self.table.entries.pop(key)
        for log in live.logs:
            log.fail(ActorStopped(ref.path, f"it ended: {reason}"))
        cause = reason.cause or RuntimeError("it failed")
        # Fenced: somebody else has it now, and it is no failure of its own.
        if reason.kind is ExitKind.FAILED and not isinstance(cause, Fenced) and self._failed(key, cause) and live.busy:
            delay = self._backoff.delay(self._failures[key] - 1, random.random())
            self.context.send_after(delay, wishes.Reactivate(key), name=f"again:{key}")
        if key in self._waiting:  # they came while it ended
            if key in self._quarantined:
                self._refuse_quarantined(key)
            else:
                self._start(key)

    def _refuse_quarantined(self, key: str) -> None:
        quarantine = self._quarantined[key]
        for reply in self._waiting.pop(key, ()):
            reply.fail(ConversationQuarantined(key, quarantine.cause, quarantine.failures))

    def _failed(self, key: str, cause: BaseException, *, for_good: bool = False) -> bool:
        """Count a failure. Returns whether the conversation may start again."""
        settings = self._settings
        window = self._windows.get(key)
        if window is None:
            window = RestartWindow(max_restarts=settings.max_failures, period=settings.failure_period)
            self._windows[key] = window
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        if window.admit(self.context.system.now()) and not for_good:
            return True
        self._quarantined[key] = Quarantine(key, cause, failures, time.time())
        return False

    def _forget(self, key: str) -> None:
        self._windows.pop(key, None)
        self._failures.pop(key, None)

    async def _delete(self, key: str, reply: ReplyTo) -> None:
        try:
            live = self.table.entries.get(key)
            if live is not None and live.ref is not None:
                await live.ref.ask(wishes.Drop())
                await live.ref.stop(timeout=0)
            there = await self.table.store.delete(key)
        except (StoreError, ActorError) as error:
            reply.fail(error)
            return
        self._quarantined.pop(key, None)
        self._forget(key)
        reply.reply(there)

    # --- what is due ---------------------------------------------------------------------------------

    async def _recover(self) -> None:
        """Start every conversation that was in memory when an earlier process ended."""
        store, after = self.table.store, ""
        while True:
            page = await self._patiently(partial(store.list, after=after, limit=RECOVER_PAGE))
            for summary in page:
                if summary.owner is not None and summary.owner != self.table.owner:
                    self.context.ref.tell_nowait(wishes.Reactivate(summary.key))
            if len(page) < RECOVER_PAGE:
                return
            after = page[-1].key

    async def _watch_timers(self) -> None:
        """Fire timers when they are due; those of other processes are looked for now and then."""
        store = self.table.store
        while True:
            self._wake = anyio.Event()
            due = await self._patiently(partial(store.due_timers, time.time() + MAX_SLEEP))
            now = time.time()
            for timer in due:
                if timer.due <= now:
                    self.context.start_task(self._fire, timer.key, timer.timer_id, timer.due)
            later = [timer.due - now for timer in due if timer.due > now]
            self._sleep_until = now + min([MAX_SLEEP, *later])
            with anyio.move_on_after(max(0.01, self._sleep_until - time.time())):
                await self._wake.wait()

    async def _fire(self, key: str, timer_id: str, due: float) -> None:
        if key in self._quarantined:
            return  # it fires when it is released
        try:
            await cast("Conversations", self.table.hub)[key].wish(wishes.Fire(timer_id, due))
        except (StoreError, ActorError, ConversationQuarantined) as error:  # it stays due
            structlog.get_logger(__name__).warning("timer not fired", key=key, timer=timer_id, error=str(error))

    async def _patiently(self, function: Any) -> Any:
        """Call the store until it answers."""
        attempt = 0
        while True:
            try:
                return await function()
            except StoreError as error:
                if not error.retryable:
                    raise
            await anyio.sleep(self._backoff.delay(attempt, random.random()))
            attempt += 1
