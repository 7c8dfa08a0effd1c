"""The way to conversations: `chats[key]` is always valid, whether the conversation is in memory, new or asleep."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final, cast

import anyio
import anyio.lowlevel

from tinyllm_actors.conversation import wishes
from tinyllm_actors.conversation.content import check_content, check_name, short_text
from tinyllm_actors.conversation.elsewhere import Elsewhere
from tinyllm_actors.conversation.entries import TurnStarted, new_entry_id
from tinyllm_actors.conversation.fork import fork
from tinyllm_actors.conversation.reading import ConversationStream
from tinyllm_actors.conversation.recorder import OUR_TIMERS
from tinyllm_actors.conversation.records import check_key
from tinyllm_actors.errors import (
    ActorFailed,
    ActorStopped,
    AskTimeout,
    Fenced,
    LinkedActorFailed,
    MessageRejected,
    TinyLLMError,
)
from tinyllm_actors.function import failure
from tinyllm_actors.kernel import ActorRef

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.conversation.entries import TimerSet
    from tinyllm_actors.conversation.live import LiveTable
    from tinyllm_actors.conversation.records import Record, StoreStats, Summary
    from tinyllm_actors.conversation.report import ConversationReport, Quarantine
    from tinyllm_actors.conversation.turn_log import TurnLog
    from tinyllm_actors.function import Result
    from tinyllm_actors.llm.messages import ContentPart, Message
    from tinyllm_actors.tool import ApprovalRequest
    from tinyllm_actors.tool import Decision as ToolDecision

__all__ = ["Conversation", "Conversations"]

ATTEMPTS: Final = 20
"""How often a wish is told anew to a conversation that ended before it answered."""


class Conversations(ActorRef):
    """A set of conversations, by key; what `system.conversations(…)` returns."""

    __slots__ = ()

    def __getitem__(self, key: str) -> Conversation:
        """Return the way to a conversation; it need not exist, and nothing is started by this.

        Raises:
            ValueError: the key is empty, too long (512 characters), or not one that every store can hold.
        """
        return Conversation(self, key)

    @property
    def table(self) -> LiveTable:
        """What is in memory now."""
        return cast("LiveTable", self.cell.spec.args[1])

    async def list(self, prefix: str = "", *, after: str = "", limit: int = 100) -> Sequence[Summary]:
        """Return a page of the conversations in the store, by key."""
        return await self.table.store.list(prefix, after=after, limit=limit)

    async def quarantined(self) -> Sequence[Quarantine]:
        """Return the conversations that failed too often."""
        return await self.ask(wishes.ListQuarantined())

    async def stats(self) -> StoreStats:
        """Return how much the store holds."""
        return await self.table.store.stats()

    async def prune(self, *, older_than: float) -> int:
        """Remove entries from the store that stand behind a snapshot and are older than a time.

        Args:
            older_than: seconds since the epoch.

        Returns:
            How many.
        """
        removed = 0
        while True:
            some = await self.table.store.prune(older_than=older_than)
            removed += some
            if not some:
                return removed


class Conversation:
    """One conversation: call it, stream it, reach its turn in progress, and look at what was said.

    A turn goes on though its caller leaves: ask again with the same `turn_id`, or attach to its stream.

    Args:
        chats: the set it belongs to.
        key: which.
    """

    __slots__ = ("_chats", "_timeout", "key")

    def __init__(self, chats: Conversations, key: str, timeout: float | None = None) -> None:
        if not key:
            raise ValueError("a conversation has a key that is not empty, such as 'user-42'")
        self._chats = chats
        self._timeout = timeout
        self.key = check_key(key)

    def __repr__(self) -> str:
        return f"<Conversation {self.key!r}>"

    def within(self, timeout: float | None) -> Conversation:
        """Return the same conversation with a time-out for calls, in seconds; None for no bound."""
        return type(self)(self._chats, self.key, timeout)

    # --- turns ---------------------------------------------------------------------------------------

    async def __call__(
        self, content: str | list[ContentPart], *, turn_id: str | None = None, name: str | None = None
    ) -> Result:
        """Take a turn and return the agent's dictionary. It never raises for what happens to the conversation.

        Args:
            content: what the user says.
            turn_id: the name of the turn. Sent again, before, during or after, it is the same turn: nothing is done
                or paid for twice. A turn that failed has failed: `regenerate()` tries again. Left out, a new one.
            name: who of several users.
        """
        try:
            content = check_content(content)
        except MessageRejected as error:
            return failure(error, state="ACCEPTANCE")
        return await self._result(wishes.Send(_turn(turn_id), content, check_name(name)))

    def stream(
        self,
        content: str | list[ContentPart] | None = None,
        *,
        turn_id: str | None = None,
        name: str | None = None,
        after: int = 0,
    ) -> ConversationStream:
        """Open a turn as events: those of the agent, between `TurnAccepted` and `RunFinished`.

        Leaving the block leaves the turn alone: attach again with its `turn_id` and the number of events seen.

        Args:
            content: what the user says; None to attach to a turn that is there.
            turn_id: the name of the turn; to attach, None means the one in progress.
            name: who of several users.
            after: how many of the turn's events to leave out, because they were seen.

        Raises:
            MessageRejected: `content` is neither text nor a list of parts; raised at once.
            UnknownTurn: there is no such turn; raised when the block is entered.
            ConversationBusy: too many turns wait.
            ConversationQuarantined: it failed too often.
            StoreError: the store failed.
        """
        if content is None:
            wish: object = wishes.Find(turn_id)
        else:
            wish = wishes.Send(_turn(turn_id), check_content(content), check_name(name))
        return ConversationStream(self, wish, after, Elsewhere(self._chats.table, self.key))

    async def edit(self, entry_id: str, content: str | list[ContentPart], *, turn_id: str | None = None) -> Result:
        """Say something else in place of an earlier message; what followed that stays in the journal, on its branch.

        Args:
            entry_id: of the user's message; see `user_entries`.
            content: what the user says instead.
            turn_id: the name of the new turn.
        """
        try:
            content = check_content(content)
        except MessageRejected as error:
            return failure(error, state="ACCEPTANCE")
        return await self._result(wishes.Edit(_turn(turn_id), entry_id, content))

    async def regenerate(self, *, turn_id: str | None = None) -> Result:
        """Have the newest message answered again; also where its turn has failed."""
        return await self._result(wishes.Edit(_turn(turn_id), None, None))

    async def _result(self, wish: object) -> Result:
        elsewhere = Elsewhere(self._chats.table, self.key)
        try:
            with anyio.fail_after(self._timeout):
                while True:
                    log: TurnLog = await self.wish(wish)
                    try:
                        return await log.end()
                    except ActorStopped:
                        continue  # it goes on from the journal
                    except Fenced:
                        result = await elsewhere.result(log.turn_id)
                        if result is not None:
                            return result
        except TinyLLMError as error:
            return failure(error, state="DELIVERY")
        except TimeoutError:
            return failure(AskTimeout(self.key, self._timeout or 0.0), state="DELIVERY")

    # --- the turn in progress ------------------------------------------------------------------------

    async def cancel(
        self, reason: str = "the turn was cancelled", *, turn_id: str | None = None, after_step: bool = False
    ) -> bool:
        """Cancel the turn in progress, or one that waits. What was completed is kept. Returns whether there was one."""
        return await self.wish(wishes.Cancel(turn_id, short_text(reason), after_step))

    async def finish(self) -> bool:
        """Let the turn in progress come to an answer, without more tools. Returns whether there is one."""
        return await self.wish(wishes.Finish())

    async def inject(self, content: str | list[ContentPart]) -> bool:
        """Say something that the turn in progress hears before its next model call. Returns whether there is one.

        It is durable when the turn has heard it (`MessageInjected`). What must not be lost is said as a turn.

        Raises:
            MessageRejected: it is neither text nor a list of parts.
        """
        return await self.wish(wishes.Inject(check_content(content)))

    async def pending_approvals(self) -> Sequence[ApprovalRequest]:
        """Return the calls that wait for a person."""
        return await self.wish(wishes.GetPending())

    async def decide(self, call_id: str, decision: ToolDecision) -> None:
        """Approve, edit or deny a call that waits, also after a restart. When this returns, it is durable.

        Raises:
            UnknownApproval: no such call waits (any more).
        """
        await self.wish(wishes.Decide(call_id, decision))

    async def approve(self, call_id: str, *, arguments: str | None = None) -> None:
        """Let a call that waits be made, with other arguments (JSON text) if given. Raises as `decide` does."""
        from tinyllm_actors.tool import Decision

        await self.decide(call_id, Decision.approve() if arguments is None else Decision.edit(arguments))

    async def deny(self, call_id: str, reason: str = "a person denied it") -> None:
        """Refuse a call that waits; the model is told why. Raises as `decide` does."""
        from tinyllm_actors.tool import Decision

        await self.decide(call_id, Decision.deny(reason))

    # --- what was said -------------------------------------------------------------------------------

    async def history(self) -> Sequence[Message]:
        """Return the messages of the branch at the head, as a model is shown them.

        `msgspec.to_builtins(await chat.history())` makes dictionaries of them, in the form that a model gets.

        They are what this process knows: where another one has taken the conversation over, that is noticed with the
        next thing that is written.
        """
        return await self.wish(wishes.GetHistory())

    async def page(self, *, before: int | None = None, after: int | None = None, limit: int = 100) -> Sequence[Record]:
        """Return a page of the journal, oldest entry first; the newest page if neither end is given."""
        return await self._chats.table.store.page(self.key, before=before, after=after, limit=limit)

    async def user_entries(self) -> Sequence[tuple[str, TurnStarted]]:
        """Return the user's messages of the newest page with their entry ids, for `edit` and `fork`."""
        found = [record.entry() for record in await self.page(limit=1000)]
        return [(entry.id, entry) for entry in found if isinstance(entry, TurnStarted)]

    async def fork(self, key: str, *, at: str | None = None) -> Conversation:
        """Return a new conversation that begins as this one does.

        Args:
            key: of the new one, in which nothing may have been said.
            at: the entry up to which it is the same; left out, the newest. A turn that is not finished there is
                cancelled in the new one: nothing is done twice.

        Raises:
            EntryRejected: there is no such entry, or the new key is taken.
        """
        table = self._chats.table
        await fork(table.store, self.key, key, at=at, owner=table.owner)
        return self._chats[key]

    async def compact(self) -> bool:
        """Make the history shorter now, as the settings say. Returns whether it could be."""
        return await self.wish(wishes.Compact())

    # --- later ---------------------------------------------------------------------------------------

    async def remind(
        self,
        content: str,
        *,
        after: float | None = None,
        at: float | None = None,
        every: float | None = None,
        timer_id: str | None = None,
    ) -> str:
        """Have something said to the agent later, also if the process ends meanwhile. Returns the timer's name.

        Args:
            content: what is said then.
            after: seconds from now; or
            at: when, in seconds since the epoch.
            every: seconds between repetitions; None for once. Those that are missed are skipped.
            timer_id: the name of the timer; one of the same name is moved.

        Raises:
            ValueError: not exactly one of `after` and `at` is given, a number is negative, or the name is not free.
            MessageRejected: `content` is no text.
        """
        if (after is None) == (at is None) or not (after or 0) >= 0 or not (every is None or 0 < every < float("inf")):
            raise ValueError(f"need one of after >= 0 and at, and every > 0, got {after!r}, {at!r} and {every!r}")
        if not isinstance(content, str):  # pyright: ignore[reportUnnecessaryIsInstance] - callers may be untyped
            raise MessageRejected(content, "what is said later is text")
        due = time.time() + after if after is not None else cast("float", at)
        timer_id = timer_id or new_entry_id()
        if timer_id.startswith(OUR_TIMERS):
            raise ValueError(f"names that begin with {OUR_TIMERS!r} are not free, got {timer_id!r}")
        await self.wish(wishes.Remind(timer_id, due, content, every))
        return timer_id

    async def cancel_timer(self, timer_id: str) -> bool:
        """Cancel a timer. Returns whether it was set."""
        return await self.wish(wishes.CancelTimer(timer_id))

    async def timers(self) -> Sequence[TimerSet]:
        """Return the timers that are set."""
        return await self.wish(wishes.GetTimers())

    # --- for operators -------------------------------------------------------------------------------

    async def report(self) -> ConversationReport:
        """Return what is known of it; this brings it into memory."""
        return await self.wish(wishes.GetReport())

    async def release(self) -> bool:
        """Take it out of quarantine. Returns whether it was there."""
        return await self._chats.ask(wishes.Release(self.key))

    async def delete(self) -> bool:
        """Remove it for good, from memory and store. Returns whether it was there."""
        try:
            return await self._chats.ask(wishes.Delete(self.key))
        except ActorFailed as error:
            raise _told(error) from None

    async def wish(self, message: object) -> Any:
        """Tell the conversation's actor something and return its answer, whichever actor that is by then.

        Raises:
            ConversationQuarantined: it failed too often.
            StoreError: the store failed.
            TinyLLMError: what the actor answers.
        """
        attempt = 0
        while True:
            attempt += 1
            known = self._chats.table.ref_of(self.key)
            try:
                ref: ActorRef | wishes.Refused = (
                    await self._chats.ask(wishes.Locate(self.key), timeout=None) if known is None else known
                )
                if not isinstance(ref, wishes.Refused):
                    return await ref.ask(message, timeout=None)
            except ActorStopped:
                if not self._chats.alive or attempt > ATTEMPTS:
                    raise
            except ActorFailed as error:
                of_set = error.path == self._chats.path  # it starts again, unless it has failed too often
                passing = self._chats.alive if of_set else isinstance(error.cause, Fenced | LinkedActorFailed)
                if not passing or attempt > ATTEMPTS:
                    raise _told(error) from error
            else:
                broken_off = isinstance(ref.error, ActorStopped)  # its start, with the set or alone
                if not (broken_off and self._chats.alive) or attempt > ATTEMPTS:
                    raise ref.error
            await anyio.lowlevel.checkpoint()


def _turn(turn_id: str | None) -> str:
    """Return the name of a turn, a new one if there is none."""
    return check_name(turn_id) or new_entry_id()


def _told(error: ActorFailed) -> BaseException:
    """Return what an actor answered by failing, rather than that it did."""
    cause = error.cause
    return cause if isinstance(cause, TinyLLMError) else error
