"""One conversation in memory: its queue of turns, the agent that takes them, and the journal that outlives both."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

import anyio
import msgspec

from tinyllm_actors.conversation import wishes
from tinyllm_actors.conversation.entries import (
    Cancelled,
    HeadMoved,
    TimerSet,
    TurnEnded,
    TurnStarted,
    new_entry_id,
)
from tinyllm_actors.conversation.report import ConversationReport
from tinyllm_actors.conversation.run_events import RunFinished, TurnAccepted
from tinyllm_actors.conversation.thawing import thaw_taken
from tinyllm_actors.conversation.timers import next_of, see_to
from tinyllm_actors.conversation.turn import FLUSH, IDLE, CallOff, Ended, Flush, Idle, Turn, Unheard, plain_value
from tinyllm_actors.conversation.turn_log import TurnLog
from tinyllm_actors.conversation.turn_parts import TurnParts
from tinyllm_actors.conversation.writer import Writer
from tinyllm_actors.errors import (
    ActorError,
    ActorStopped,
    ConversationBusy,
    EntryRejected,
    RunCancelled,
    StartFailed,
    UnknownApproval,
    UnknownTurn,
)
from tinyllm_actors.function import failure
from tinyllm_actors.kernel import Actor, ChildOptions, ExitKind, Restart

if TYPE_CHECKING:
    from tinyllm_actors.conversation.live import Live, LiveTable
    from tinyllm_actors.conversation.settings import ConversationSettings
    from tinyllm_actors.conversation.state import ConversationState
    from tinyllm_actors.function import Result
    from tinyllm_actors.kernel import ChildSpec, ExitReason
    from tinyllm_actors.llm.messages import ContentPart

__all__ = ["ConversationActor"]

RIDE: Final = 0.02
"""Seconds for which an answer that asks for nothing waits to be stored with the end of its turn."""


class ConversationActor(Actor):
    """Takes the turns of one conversation, one at a time.

    It ends with whatever it cannot go on with; what is in the journal is all that the next one needs. Its agent is
    started for the first turn: many come into memory only to be looked at.

    Args:
        key: which conversation.
        agent: the spec of the agent, which is not started again by itself.
        table: what is in memory, shared with whoever starts this.
        settings: of the set of conversations.
    """

    options: ClassVar[ChildOptions | None] = ChildOptions(restart=Restart.TEMPORARY, shutdown=10.0)

    def __init__(self, key: str, agent: ChildSpec, table: LiveTable, settings: ConversationSettings) -> None:
        self._key = key
        self._spec = agent
        self._table = table
        self._settings = settings
        self._live: Live = table.entries[key]
        self._queue: list[Turn] = []  # few, and mostly none: a deque takes ten times as much then
        self._current: Turn | None = None
        self._last: TurnLog | None = None  # of the turn that ended last: its readers may come back for the rest
        self._leaving = False
        self._made_parts: TurnParts | None = None

    async def started(self) -> None:
        """Read the journal, and let an open turn go on."""
        table = self._table
        thawed = await thaw_taken(table.store, await table.claims.take(self._key))
        self._writer = Writer(table.journal, thawed.grant, thawed.state, patience=self._settings.patience)
        self._writer.since_snapshot = thawed.since_snapshot
        self.context.set_receive_timeout(self._settings.idle, IDLE)
        turn = self._state.open_turn()
        if turn is not None:
            again = Turn.resumed(turn, self._state.branch())
            self._live.logs.append(again.log)
            self._queue.append(again)
        self._next()

    @property
    def _state(self) -> ConversationState:
        return self._writer.state

    @property
    def _parts(self) -> TurnParts:
        if self._made_parts is None:  # until the first turn
            self._made_parts = TurnParts(
                self._key, self._spec, self._settings, self._writer, self, self._live, self._table, self.context
            )
        return self._made_parts

    # --- messages ------------------------------------------------------------------------------------

    async def receive(self, message: Any) -> Any:
        """Take what a handle wants; nothing here waits for a turn. Wishes that make no sense fail their asker only."""
        self._live.touch()
        try:
            return await self._handle(message)
        except (ConversationBusy, EntryRejected, UnknownTurn, UnknownApproval) as error:
            self.context.reply_later().fail(error)

    async def _handle(self, message: Any) -> Any:
        match message:
            case wishes.Send(turn_id, content, name):
                return self._find(turn_id) or self._enqueue(Turn(TurnLog(turn_id), content, name))
            case wishes.Find(turn_id):
                return self._found(turn_id)
            case wishes.Edit():
                return self._find(message.turn_id) or self._edit(message)
            case wishes.Cancel():
                return await self._cancel(message)
            case Ended():
                return self._ended(message)
            case CallOff(turn, wish):
                return await self._call_off(turn, wish)
            case Unheard(content):  # it was taken already, so it does not count against what may wait
                self._queue.append(turn := Turn(TurnLog(new_entry_id()), content))
                self._live.logs.append(turn.log)
                return self._next()
            case Flush():
                return await self._writer.flush()
            case Idle() | wishes.Leave():
                return await self._leave()
            case _:
                return await self._answer(message)

    async def _answer(self, message: Any) -> Any:
        match message:
            case wishes.Finish():
                return await self._parts.agent.finish()
            case wishes.Inject(content):
                return await self._parts.agent.interject(content)
            case wishes.Decide(call_id, decision):
                return await self._parts.decide(call_id, decision)
            case wishes.GetPending():
                return await self._parts.pending()
            case wishes.Remind() | wishes.CancelTimer() | wishes.Fire() | wishes.GetTimers():
                return await see_to(message, self._writer, self._table.alarms, self._logs(), self._enqueue)
            case wishes.Compact():
                return self._current is None and await self._parts.tidier.compact(force=True)
            case wishes.GetHistory():
                return self._state.history()
            case wishes.GetReport():
                return self._report()
            case _:
                self.context.reply_later().fail(TypeError(f"a conversation takes no {type(message).__name__}"))
                return None

    def _find(self, turn_id: str) -> TurnLog | None:
        """Return the log of a turn that is known by this name."""
        for log in self._logs():
            if log.turn_id == turn_id:
                return log
        if turn_id not in self._state.turns:
            return None
        log, result = TurnLog(turn_id), self._state.result_of(turn_id)
        log.finish(result, RunFinished(result))
        return log

    def _logs(self) -> list[TurnLog]:
        turn = self._current  # one that was not accepted may be sent again
        current = turn.log if turn is not None and (turn.begun or not turn.log.ended) else None
        return [log for log in (current, *(turn.log for turn in self._queue), self._last) if log is not None]

    def _found(self, turn_id: str | None) -> TurnLog:
        if turn_id is None:
            if self._current is None:
                raise UnknownTurn(self._key, None)
            return self._current.log
        log = self._find(turn_id)
        if log is None:
            raise UnknownTurn(self._key, turn_id)
        return log

    def _enqueue(self, turn: Turn) -> TurnLog:
        if len(self._queue) >= self._settings.max_queued and self._current is not None:
            raise ConversationBusy(self._key, len(self._queue))
        self._queue.append(turn)
        self._live.logs.append(turn.log)
        self._next()
        return turn.log

    def unheard(self, content: str | list[ContentPart]) -> None:
        """What a run did not hear any more is a turn of its own."""
        # A timer's message finds room in a mailbox that is full.
        self.context.send_after(0.0, Unheard(content), name=f"unheard:{new_entry_id()}")

    def flush_soon(self) -> None:
        """Write what is held, a moment from now."""
        self.context.send_after(RIDE, FLUSH, name="flush")

    def _edit(self, wish: wishes.Edit) -> TurnLog:
        state = self._state
        if wish.entry_id is None:
            started = next((e for e in reversed(state.branch()) if isinstance(e, TurnStarted)), None)
        else:
            found = state.nodes.get(wish.entry_id)
            started = found if isinstance(found, TurnStarted) else None
        if started is None:
            raise UnknownTurn(self._key, wish.entry_id)
        if self._queue or (self._current is not None and not self._current.log.ended):
            raise ConversationBusy(self._key, len(self._queue) + 1)
        content = started.content if wish.content is None else wish.content
        return self._enqueue(Turn(TurnLog(wish.turn_id), content, started.name, [HeadMoved(to=started.parent)]))

    async def _cancel(self, wish: wishes.Cancel) -> bool:
        for turn in self._queue:
            if turn.log.turn_id == wish.turn_id:
                self._queue.remove(turn)
                result = failure(RunCancelled(wish.reason), state="QUEUED")
                turn.log.finish(result, RunFinished(result))
                self._live.logs.remove(turn.log)
                return True
        current = self._current
        if current is None or current.log.ended or wish.turn_id not in (None, current.log.turn_id):
            return False
        if current.cancelled is None:
            current.cancelled = wish.reason
            if current.begun:
                await self._writer.write(Cancelled(turn_id=current.log.turn_id, reason=wish.reason))
        await self._call_off(current, wish)
        return True

    async def _call_off(self, turn: Turn, wish: wishes.Cancel) -> None:
        """Reach the run of a turn, again and again while it is only about to begin."""
        if turn is not self._current or turn.log.ended:
            return
        if not await self._parts.agent.cancel(wish.reason, after_step=wish.after_step):
            self.context.send_after(0.01, CallOff(turn, wish), name="call off")

    def _report(self) -> ConversationReport:
        state = self._state
        current = self._current
        return ConversationReport(
            self._key,
            state.head,
            len(state.nodes),
            None if current is None else current.log.turn_id,
            len(self._queue),
            state.totals,
            self._writer.grant.epoch,
        )

    # --- turns ---------------------------------------------------------------------------------------

    def _next(self) -> None:
        if self._current is None and self._queue:
            self._current = self._queue.pop(0)
            self._live.busy = True
            self.context.pipe_to_self(self._take, self._current, on_result=Ended)

    async def _leave(self) -> bool:
        """Leave the memory, unless there is something to do, or somebody waits. Returns whether it does."""
        if not self._live.idle:
            return False
        self._leaving = True
        if self._current is not None:
            # A call that waits for a person may wait for days: it is in the journal, and the run begins there again.
            await self._parts.agent.leave()
        self.context.stop()  # what comes until then finds nobody, and is told to whom comes after
        return True

    async def _take(self, turn: Turn) -> Turn:
        """Take a turn to its end. A failure is one of this actor: what is in the journal then is what counts."""
        turn.enter()
        log = turn.log
        try:
            self._state.check(turn.first)  # what it is put in place of may have been compacted while it waited
            await self._prepare(turn)
            # Now it may be one that only waits for a person.
            self._parts.recorder.begin(log.turn_id, goes_on=turn.open is not None)
            if turn.resumption is None:
                await self._begin(turn)
        except (EntryRejected, RunCancelled) as error:  # nothing was stored, so there is no such turn
            result = failure(error, state="ACCEPTANCE")
            log.finish(result, RunFinished(result))
            await self._parts.agent.recall(self._state.history())
        else:
            await self._finish(turn)
            await self._parts.tidier.tidy()
        return turn

    async def _prepare(self, turn: Turn) -> None:
        """See to it that there is an agent, which remembers what was said before the turn."""
        new, state = self._parts.agent.ref is None, self._state
        if new:
            try:
                await self._parts.agent.start()
            except StartFailed as error:
                if not (turn.begun or isinstance(error.cause, ActorStopped)):  # nobody knows of such a turn
                    result = failure(error, state="ACCEPTANCE")
                    turn.log.finish(result, RunFinished(result))
                raise
        if turn.open is not None:
            messages = state.history_before(turn.open.started.id)
        elif turn.first and isinstance(turn.first[0], HeadMoved):
            messages = state.history_at(turn.first[0].to)
        elif new:
            messages = state.history()
        else:
            return
        if messages or not new:
            await self._parts.agent.recall(messages)

    async def _begin(self, turn: Turn) -> None:
        started = TurnStarted(turn_id=turn.log.turn_id, content=turn.content, name=turn.name)
        timer = turn.timer
        first = turn.first if timer is None else [next_of(timer, time.time())]
        if not await self._writer.write(
            *first, started, unless=lambda: timer is not None and self._state.timers.get(timer.timer_id) != timer
        ):
            raise RunCancelled("its timer was cancelled, or moved, while the turn waited")
        turn.begun = True
        if turn.cancelled is not None:
            await self._writer.write(Cancelled(turn_id=turn.log.turn_id, reason=turn.cancelled))
        for entry in first:
            if isinstance(entry, TimerSet):
                self._table.alarms.wake(entry.due)
        turn.log.add(TurnAccepted(turn.log.turn_id, started.id))

    async def _finish(self, turn: Turn) -> None:
        log, run_id = turn.log, 0
        if turn.cancelled is not None:
            result: Result = failure(RunCancelled(turn.cancelled), state="RUNNING")
        else:
            try:
                result, run_id = await self._run(turn)
            except ActorError:
                await self._writer.flush()  # what the model has said was paid for
                if self._leaving or not self.context.ref.alive:
                    await anyio.sleep_forever()  # this task ends with the actor
                raise
        if self._writer.error is not None:
            raise self._writer.error
        try:
            await self._write_end(turn, result)
        except EntryRejected as error:
            result = failure(error, state="RUNNING")
            await self._write_end(turn, result)
        log.finish(result, RunFinished(result, run_id))

    async def _write_end(self, turn: Turn, result: Result) -> None:
        stored = cast("Result", msgspec.to_builtins(result, enc_hook=plain_value, str_keys=True))
        status = "cancelled" if turn.cancelled is not None and result["status"] == "error" else result["status"]
        ended = TurnEnded(turn_id=turn.log.turn_id, status=status, result=stored)
        await self._writer.write(*self._parts.recorder.timer_for(()), ended)

    async def _run(self, turn: Turn) -> tuple[Result, int]:
        arguments: dict[str, Any] = {"content": turn.content}
        if turn.resumption is not None:
            arguments["resumption"] = turn.resumption
        async with self._parts.agent.ref.within(None).stream(**arguments) as events:
            async for event in events:
                if isinstance(event, RunFinished):
                    return event.result, event.run_id
                turn.log.add(event)
        raise RuntimeError("the agent's stream ended without a result")

    def _ended(self, message: Ended) -> None:
        self.context.cancel_timer("flush")
        log = message.turn.log
        if message.turn.begun:  # what was not accepted may be sent again
            self._last = log
        self._table.ended.add(log, self.context.system.now())
        self._live.logs.remove(log)
        self._current = None
        self._live.busy = self._live.parked = False
        self._next()
        if self._current is None:
            self._table.changed()

    # --- the end -------------------------------------------------------------------------------------

    async def stopped(self, reason: ExitReason) -> None:
        """Give the conversation back."""
        if self._writer.error is not None:
            return
        await self._writer.flush()
        interrupted = reason.kind is ExitKind.SHUTDOWN and self._current is not None
        if not reason.abnormal and not interrupted:  # else it stays ours: the next process finds what to go on with
            await self._table.claims.release(self._writer.grant)
