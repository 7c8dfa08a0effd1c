"""One conversation in memory: its queue of turns, the agent that takes them, and the journal that outlives both."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, cast

import msgspec
import structlog

from tinyllm_actors.conversation import wishes
from tinyllm_actors.conversation.compaction import plan_compaction, summary_message, summary_request
from tinyllm_actors.conversation.entries import (
    Cancelled,
    Compacted,
    HeadMoved,
    Snapshot,
    TimerFired,
    TimerSet,
    TurnEnded,
    TurnStarted,
    new_entry_id,
)
from tinyllm_actors.conversation.recorder import Recorder, resumption_of
from tinyllm_actors.conversation.report import ConversationReport
from tinyllm_actors.conversation.run_events import RunFinished, TurnAccepted
from tinyllm_actors.conversation.run_journal import Recall
from tinyllm_actors.conversation.thawing import thaw
from tinyllm_actors.conversation.turn_log import TurnLog
from tinyllm_actors.conversation.writer import Writer
from tinyllm_actors.errors import (
    ActorError,
    ConversationBusy,
    FunctionFailed,
    RunCancelled,
    UnknownApproval,
    UnknownTurn,
)
from tinyllm_actors.function import failure, unwrap
from tinyllm_actors.kernel import Actor, ChildOptions, ChildSpec, Restart
from tinyllm_actors.llm import ChatRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinyllm_actors.conversation.compaction import CompactionPlan
    from tinyllm_actors.conversation.entries import Entry
    from tinyllm_actors.conversation.live import Live, LiveTable
    from tinyllm_actors.conversation.run_journal import Resumption
    from tinyllm_actors.conversation.settings import ConversationSettings
    from tinyllm_actors.conversation.state import ConversationState
    from tinyllm_actors.function import Result
    from tinyllm_actors.kernel import ExitReason
    from tinyllm_actors.llm.messages import ContentPart, Message

__all__ = ["ConversationActor"]


@dataclass(slots=True, eq=False)
class _Turn:
    """A turn that waits or is in progress; `first` is what is written before its message."""

    log: TurnLog
    content: str | list[ContentPart]
    name: str | None = None
    first: list[Entry] = field(default_factory=list["Entry"])
    resumption: Resumption | None = None
    cancelled: str | None = None


class ConversationActor(Actor):
    """Takes the turns of one conversation, one at a time.

    It ends with whatever it cannot go on with; what is in the journal is all that the next one needs.

    Args:
        key: which conversation.
        agent: the spec of the agent.
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
        self._queue: deque[_Turn] = deque()
        self._current: _Turn | None = None
        self._recent: deque[TurnLog] = deque(maxlen=4)
        self._dropped = False
        self._agent: Any = None
        self._llm: Any = None

    async def started(self) -> None:
        """Read the journal, start the agent, and let an open turn go on."""
        table = self._table
        thawed = await thaw(table.store, self._key, table.owner)
        self._writer = Writer(table.journal, thawed.grant, thawed.state, patience=self._settings.patience)
        self._writer.since_snapshot = thawed.since_snapshot
        self._live.grant = thawed.grant
        self._recorder = Recorder(self._writer, self._unheard)
        self.context.set_receive_timeout(self._settings.idle, _Idle())
        agent = ChildSpec(self._spec.factory, *self._spec.args, **{**self._spec.kwargs, "journal": self._recorder})
        agent.options = self._spec.with_options(restart=Restart.TEMPORARY).options
        self._agent = await self.context.spawn(agent, name="agent")
        self.context.link(self._agent)  # without it there is nothing to go on with
        state = self._state
        turn = state.open_turn()
        if turn is None:
            await self._recall(state.history())
        else:
            await self._recall(state.history_before(turn.started.id))
            branch = state.branch()
            branch = branch[next(i for i, entry in enumerate(branch) if entry.id == turn.started.id) :]
            again = _Turn(TurnLog(turn.started.turn_id), turn.started.content, resumption=resumption_of(turn, branch))
            if turn.cancelled is not None:
                again.cancelled = turn.cancelled.reason
            again.log.add(TurnAccepted(turn.started.turn_id, turn.started.id))
            self._live.logs.add(again.log)
            self._queue.append(again)
        self._next()

    @property
    def _state(self) -> ConversationState:
        return self._writer.state

    async def _recall(self, messages: list[Message]) -> None:
        if messages or self._recent or self._current is not None:
            await self._agent.ask(Recall(messages), timeout=None)

    # --- messages ------------------------------------------------------------------------------------

    async def receive(self, message: Any) -> Any:
        """Take what a handle wants; nothing here waits for a turn. Wishes that make no sense fail their asker only."""
        self._live.touch()
        try:
            return await self._handle(message)
        except (ConversationBusy, UnknownTurn, UnknownApproval) as error:
            self.context.reply_later().fail(error)

    async def _handle(self, message: Any) -> Any:
        match message:
            case wishes.Send(turn_id, content, name):
                return self._find(turn_id) or self._enqueue(_Turn(TurnLog(turn_id), content, name))
            case wishes.Find(turn_id):
                return self._found(turn_id)
            case wishes.Edit():
                return self._find(message.turn_id) or self._edit(message)
            case wishes.Cancel():
                return await self._cancel(message)
            case _Ended():
                return self._ended(message)
            case _Unheard(content):
                return self._enqueue(_Turn(TurnLog(new_entry_id()), content))
            case _Idle():
                return await self._rest()
            case _:
                return await self._answer(message)

    async def _answer(self, message: Any) -> Any:
        match message:
            case wishes.Finish():
                return await self._agent.finish()
            case wishes.Inject(content):
                return await self._agent.interject(content)
            case wishes.Decide(call_id, decision):
                return await self._decide(call_id, decision)
            case wishes.GetPending():
                return await self._agent.pending_approvals()
            case wishes.Remind() | wishes.CancelTimer() | wishes.Fire() | wishes.GetTimers():
                return await self._timer(message)
            case wishes.Compact():
                return self._current is None and await self._compact(force=True)
            case wishes.Drop():
                self._dropped = True
                self.context.unlink(self._agent)
                await self._agent.kill()
            case wishes.GetHistory():
                return self._state.history()
            case wishes.GetReport():
                return self._report()
            case _:
                raise TypeError(f"a conversation takes no {type(message).__name__}")
        return None

    def _find(self, turn_id: str) -> TurnLog | None:
        """Return the log of a turn that is known by this name."""
        for log in self._logs():
            if log.turn_id == turn_id:
                return log
        ended = self._state.turns.get(turn_id)
        if ended is None:
            return None
        log = TurnLog(turn_id)
        log.finish(ended.result, RunFinished(ended.result))
        return log

    def _logs(self) -> list[TurnLog]:
        current = [] if self._current is None else [self._current.log]
        return [*current, *(turn.log for turn in self._queue), *reversed(self._recent)]

    def _found(self, turn_id: str | None) -> TurnLog:
        if turn_id is None:
            if self._current is None:
                raise UnknownTurn(self._key, None)
            return self._current.log
        log = self._find(turn_id)
        if log is None:
            raise UnknownTurn(self._key, turn_id)
        return log

    def _enqueue(self, turn: _Turn) -> TurnLog:
        if len(self._queue) >= self._settings.max_queued and self._current is not None:
            raise ConversationBusy(self._key, len(self._queue))
        self._queue.append(turn)
        self._live.logs.add(turn.log)
        self._next()
        return turn.log

    def _unheard(self, content: str | list[ContentPart]) -> None:
        """What a run did not hear any more is a turn of its own."""
        self.context.ref.tell_nowait(_Unheard(content))

    def _edit(self, wish: wishes.Edit) -> TurnLog:
        state = self._state
        if wish.entry_id is None:
            started = next((e for e in reversed(state.branch()) if isinstance(e, TurnStarted)), None)
        else:
            found = state.nodes.get(wish.entry_id)
            started = found if isinstance(found, TurnStarted) else None
        if started is None or self._current is not None or self._queue:
            if started is None:
                raise UnknownTurn(self._key, wish.entry_id)
            raise ConversationBusy(self._key, len(self._queue) + 1)
        content = started.content if wish.content is None else wish.content
        return self._enqueue(_Turn(TurnLog(wish.turn_id), content, started.name, [HeadMoved(to=started.parent)]))

    async def _cancel(self, wish: wishes.Cancel) -> bool:
        for turn in self._queue:
            if turn.log.turn_id == wish.turn_id and turn.resumption is None:
                self._queue.remove(turn)
                result = failure(RunCancelled(wish.reason), state="QUEUED")
                turn.log.finish(result, RunFinished(result))
                self._live.logs.discard(turn.log)
                return True
        current = self._current
        if current is None or wish.turn_id not in (None, current.log.turn_id):
            return False
        if current.cancelled is None:
            current.cancelled = wish.reason
            await self._writer.write(Cancelled(turn_id=current.log.turn_id, reason=wish.reason))
        return await self._agent.cancel(wish.reason, after_step=wish.after_step)

    async def _decide(self, call_id: str, decision: Any) -> None:
        turn = self._state.open_turn()
        asked = turn is not None and call_id in turn.asked
        log = None if self._current is None else self._current.log
        while asked and log is not None and not log.ended:  # after a thaw the run is about to ask again
            if any(request.call_id == call_id for request in await self._agent.pending_approvals()):
                break
            await log.more(log.size)
        if not asked:
            raise UnknownApproval(call_id, [] if turn is None else list(turn.asked))
        await self._agent.decide(call_id, decision)

    async def _timer(self, wish: Any) -> Any:
        timers = self._state.timers
        match wish:
            case wishes.Remind(timer_id, due, content, every):
                await self._writer.write(TimerSet(timer_id=timer_id, due=due, content=content, every=every))
                self._table.hub.tell_nowait(wishes.Wake(due))
            case wishes.CancelTimer(timer_id):
                if timer_id not in timers:
                    return False
                await self._writer.write(TimerFired(timer_id=timer_id))
                return True
            case wishes.Fire(timer_id, due):
                timer = timers.get(timer_id)
                turn_id = f"timer:{timer_id}:{due!r}"
                if timer is None or timer.due != due or any(log.turn_id == turn_id for log in self._logs()):
                    return None  # it was moved, cancelled, or is being seen to
                seen: Entry = TimerFired(timer_id=timer_id)
                if timer.every is not None:  # what was missed meanwhile is skipped
                    missed = max(0, int((time.time() - due) // timer.every))
                    seen = TimerSet(
                        timer_id=timer_id,
                        due=due + (missed + 1) * timer.every,
                        content=timer.content,
                        every=timer.every,
                    )
                self._enqueue(_Turn(TurnLog(turn_id), timer.content, first=[seen]))
            case _:
                return list(timers.values())
        return None

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
            self._current = self._queue.popleft()
            self._live.busy = True
            self.context.start_task(self._take, self._current)

    async def _rest(self) -> None:
        """Leave the memory, unless there is something to do, or somebody waits."""
        if self._current is not None:
            turn = self._state.open_turn()
            # A call that waits for a person may wait for days: it is in the journal, and the run begins there again.
            parked = turn is not None and bool(turn.asked) and not turn.open
            if not parked or not await self._agent.pending_approvals():
                return
        await self._table.hub.tell(wishes.Evict(self._key))

    async def _take(self, turn: _Turn) -> None:
        """Take a turn to its end. A failure is one of this actor: what is in the journal then is what counts."""
        log = turn.log
        self._recorder.turn_id = log.turn_id
        if turn.resumption is None:
            if turn.first and isinstance(turn.first[0], HeadMoved):
                await self._recall(self._state.history_at(turn.first[0].to))
            started = TurnStarted(turn_id=log.turn_id, content=turn.content, name=turn.name)
            await self._writer.write(*turn.first, started)
            for entry in turn.first:
                if isinstance(entry, TimerSet):
                    self._table.hub.tell_nowait(wishes.Wake(entry.due))
            log.add(TurnAccepted(log.turn_id, started.id))
        if turn.cancelled is not None:
            result: Result = failure(RunCancelled(turn.cancelled), state="RUNNING")
            run_id = 0
        else:
            try:
                result, run_id = await self._run(turn)
            except ActorError:
                if self._dropped:
                    return
                raise
        if self._writer.error is not None:
            raise self._writer.error
        stored = cast("Result", msgspec.to_builtins(result, enc_hook=_plain, str_keys=True))
        status = "cancelled" if turn.cancelled is not None and result["status"] == "error" else result["status"]
        await self._writer.write(TurnEnded(turn_id=log.turn_id, status=status, result=stored))
        log.finish(result, RunFinished(result, run_id))
        await self._tidy()
        await self.context.ref.tell(_Ended(turn))

    async def _run(self, turn: _Turn) -> tuple[Result, int]:
        arguments: dict[str, Any] = {"content": turn.content}
        if turn.resumption is not None:
            arguments["resumption"] = turn.resumption
        async with self._agent.within(None).stream(**arguments) as events:
            async for event in events:
                if isinstance(event, RunFinished):
                    return event.result, event.run_id
                turn.log.add(event)
        raise RuntimeError("the agent's stream ended without a result")

    def _ended(self, message: _Ended) -> None:
        self._recent.append(message.turn.log)
        self._live.logs.discard(message.turn.log)
        self._current = None
        self._live.busy = False
        self._next()

    async def _tidy(self) -> None:
        """Compact and snapshot, between two turns."""
        if self._settings.compaction is not None:
            await self._compact(force=False)
        writer = self._writer
        if writer.since_snapshot >= max(self._settings.snapshot_every, len(self._state.nodes) // 2):
            await writer.write(Snapshot(state=self._state.dump()))
            writer.since_snapshot = 0

    async def _compact(self, *, force: bool) -> bool:
        compaction = self._settings.compaction
        plan = None if compaction is None else plan_compaction(self._state, compaction, force=force)
        if plan is None:
            return False
        messages = list(plan.messages)
        if plan.summarise:
            try:
                messages.insert(0, summary_message(await self._summary(plan)))
            except (ActorError, FunctionFailed) as error:  # the history stays long; the next turn tries again
                structlog.get_logger(__name__).warning("not compacted", key=self._key, error=str(error))
                return False
        await self._writer.write(Compacted(until=plan.until, messages=messages))
        await self._agent.ask(Recall(self._state.history()), timeout=None)
        return True

    async def _summary(self, plan: CompactionPlan) -> str:
        compaction = self._settings.compaction
        assert compaction is not None
        if self._llm is None:
            self._llm = await self.context.spawn(compaction.summariser, name="summariser")
        request = ChatRequest(messages=summary_request(plan.summarise))
        completion = unwrap(await self._llm.within(None)(request=request))["completion"]
        return completion.message.content or ""

    # --- the end -------------------------------------------------------------------------------------

    async def stopped(self, reason: ExitReason) -> None:
        """Give the conversation back."""
        if not reason.abnormal and self._live.grant is not None and self._writer.error is None:
            grant, self._live.grant = self._live.grant, None
            open_turn = self._state.open_turn() is not None and reason.kind.value == "shutdown"
            if not open_turn:  # else it stays ours, so that the next process finds what to go on with
                await self._table.store.release([grant])


@dataclass(frozen=True, slots=True)
class _Ended:
    turn: _Turn


@dataclass(frozen=True, slots=True)
class _Unheard:
    content: str | list[ContentPart]


@dataclass(frozen=True, slots=True)
class _Idle:
    pass


def _plain(value: Any) -> Any:
    """Encode what msgspec does not know: pydantic models, and in doubt what a thing says of itself."""
    dump: Callable[..., Any] | None = getattr(value, "model_dump", None)
    return repr(value) if dump is None else dump(mode="json")
