"""Conversations that last: journals, what they say, and where they are kept.

A **journal** is the list of everything that happened in one conversation (`entries`), appended to and never changed.
Its **state** is a pure fold over it (`replay`): the history for the model, the turn that is open, the results of
those that ended, timers, totals. A **store** (`ConversationStore`) keeps journals by key; a `Journal` gathers the
appends of many conversations into few transactions.

What is guaranteed:

1. What was acknowledged is there. When `append` returns, its entries survive the end of the process in any way; for
   a loss of power see the store (`SQLiteStore`, `PostgresStore`). `MemoryStore` keeps nothing beyond its object.
2. Nothing is there twice. An entry is known by its id: sent again, it is stored once. So whoever does not know what
   became of an append, because of `OutcomeUnknown`, a cancellation or a crash, sends the same entries again.
3. A batch is stored as a whole or not at all.
4. One writer. Whoever claims a conversation raises its epoch, and nobody with an older one can change it any more, in
   any process: `Fenced`. Epochs of a key only grow.
5. Order. Entries of one conversation are stored in the order in which they were appended, numbered without a gap.
6. A history is valid for a model after any number of entries: each call has exactly one result, right behind it.
7. `replay([snapshot, *entries behind it])` says the same as `replay(all entries)`.
8. Nothing is skipped. An entry that is not what was written, at the end of a journal, is cut off with all behind it,
   reported and counted (`thaw`); anywhere else the conversation is refused with `CorruptJournal`, never taken for new.
9. Old journals stay readable: each entry has the version of its form, and upcasters lead from each to the newest.
10. `delete` removes a conversation for good. `prune` removes only what a snapshot stands for.
11. Failures are typed (`StoreError`) and say whether trying again helps; the store works again when the cause is gone.

`system.conversations(agent, store=…)` **runs** them (`open_conversations`): one actor for each that is in use. What
is guaranteed there:

12. A turn is accepted once its message is durable (`TurnAccepted`). An accepted turn ends once, with one result, in
    this process or a later one; the same `turn_id` is the same turn for the newest 1000. What was not accepted is not
    there: send it again.
13. A call of a tool is in the journal before it is made and its result as soon as it is known. After an end in between
    it is made again only if the tool is idempotent, under the same key; else the model is told that it was interrupted.
    An answer that asks for no call is stored with the end of its turn, or 0.02 seconds after it came: a turn costs two
    transactions, and two more for each round of calls. The model may be asked again for what was not stored.
14. A conversation that fails goes on from its journal, unasked if it was in the middle of a turn: the first time at
    once, then after 0.1, 0.2, 0.4 … 10 seconds. If it fails more than `max_failures` times within `failure_period`
    seconds (5 in 60), it is quarantined until it is released or deleted. What a failing store costs does not count.
15. A store that fails is tried again for `patience` seconds (30), at the start of a conversation not at all. Then
    callers get its error, with `retryable`, and the turn goes on when the store is back. A store that hangs is given
    one second more; nobody waits for ever.
16. Whoever waits for a turn when its actor, its hub or its system ends is told: what goes on here is waited for again,
    otherwise the result is an error of type `ActorStopped`. At a shutdown, turns in progress stay open.
17. A conversation leaves the memory after `idle` seconds (900) without a message, or when more than `max_live` (10 000)
    are wanted, the longest unused first; never in the middle of a turn, unless all that is left of it is to wait for a
    person and nobody reads. Questions to people expire asleep as well as awake, each at the time that was set first;
    a decision is in the journal when it is acknowledged, in whichever order people decide.
    Back in memory it has no agent before its first turn. One that cannot start fails that turn, of which nothing is
    stored then, and counts as in 14; what was said can be read until then.
18. If another process claims a conversation, this one has no effect on it any more, and notices with its next write.
    Whoever waits here for a turn is told how it ends there; it is taken back when somebody asks anew, or when the other
    process gives it back or writes nothing for 120 seconds, then 240 … Requests for one key in two processes take it
    from each other, with rests as in 14, and what the model had not finished is paid for again: route each key to one
    process. What `history` returns is not fenced.
19. A timer fires at most once for each time it is due, in one of the processes that share a store: at once where its
    conversation is in memory or nobody holds it, else after 120 seconds, when the holder is taken for dead.
20. `delete` ends what goes on, tells its callers (`ConversationDeleted`), and nothing that was there is shown after it.
21. A fork is stored as a whole or not at all, and does nothing by itself: a turn that it cuts is cancelled in it.
22. Bounds: 100 turns wait in a conversation, 10 000 conversations wait for their start, 64 start at a time, a key has
    512 characters, an entry 32 MiB; a larger one costs its sender an `EntryRejected` and the conversation nothing.
    The events of a turn are kept for `replay_for` seconds (60) after its end, for readers who come back; then there is
    its result.

A journal holds what was said and done, whole, so that a turn can go on: secrets in it are not masked, nor in what
`export_lines` writes unless it is told to. Keep them out of messages, arguments and results.

```python
>>> import anyio
>>> from tinyllm_actors.llm import AssistantMessage, Completion
>>> async def main() -> None:
...     async with store_from_url("memory:") as store, open_journal(store) as journal:
...         ours = await thaw(store, "chat/ada", owner="node-1")
...         question = TurnStarted(turn_id="t1", content="Hello?")
...         await journal.append(ours.grant, [question])  # from here on the question is safe
...         answer = ModelAnswered(parent=question.id, completion=Completion(AssistantMessage("Hi!")))
...         await journal.append(ours.grant, [answer, TurnEnded(parent=answer.id, turn_id="t1", status="success")])
...         again = await thaw(store, "chat/ada", owner="node-2")
...         print([message.content for message in again.state.history()], again.state.turns["t1"].status)
>>> anyio.run(main)
['Hello?', 'Hi!'] success

```
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinyllm_actors.conversation.branch import OpenTurn
    from tinyllm_actors.conversation.compaction import Compaction
    from tinyllm_actors.conversation.entries import (
        ApprovalAsked,
        ApprovalDecided,
        BudgetSpent,
        CallIntent,
        CallResult,
        Cancelled,
        Compacted,
        Entry,
        HeadMoved,
        Injected,
        ModelAnswered,
        Snapshot,
        StateDump,
        TimerFired,
        TimerSet,
        Totals,
        TreeEntry,
        TurnEnded,
        TurnStarted,
        new_entry_id,
    )
    from tinyllm_actors.conversation.history_repair import INTERRUPTED, interrupted, repair
    from tinyllm_actors.conversation.journal import Journal, open_journal
    from tinyllm_actors.conversation.memory_store import MemoryStore
    from tinyllm_actors.conversation.opening import open_conversations
    from tinyllm_actors.conversation.reading import ConversationStream
    from tinyllm_actors.conversation.records import Append, DueTimer, Grant, Loaded, Record, StoreStats, Summary, Taken
    from tinyllm_actors.conversation.ref import Conversation, Conversations
    from tinyllm_actors.conversation.registry import store_from_url
    from tinyllm_actors.conversation.report import ConversationReport, Quarantine
    from tinyllm_actors.conversation.run_events import RunFinished, StreamRestarted, TurnAccepted
    from tinyllm_actors.conversation.run_journal import Recall, Resumption, RunJournal
    from tinyllm_actors.conversation.settings import ConversationSettings
    from tinyllm_actors.conversation.state import MAX_KNOWN_TURNS, ConversationState, replay
    from tinyllm_actors.conversation.store import ConversationStore
    from tinyllm_actors.conversation.thawing import Thawed, state_of, thaw
    from tinyllm_actors.conversation.transfer import export_lines, import_lines

__all__ = [
    "INTERRUPTED",
    "MAX_KNOWN_TURNS",
    "Append",
    "ApprovalAsked",
    "ApprovalDecided",
    "BudgetSpent",
    "CallIntent",
    "CallResult",
    "Cancelled",
    "Compacted",
    "Compaction",
    "Conversation",
    "ConversationReport",
    "ConversationSettings",
    "ConversationState",
    "ConversationStore",
    "ConversationStream",
    "Conversations",
    "DueTimer",
    "Entry",
    "Grant",
    "HeadMoved",
    "Injected",
    "Journal",
    "Loaded",
    "MemoryStore",
    "ModelAnswered",
    "OpenTurn",
    "Quarantine",
    "Recall",
    "Record",
    "Resumption",
    "RunFinished",
    "RunJournal",
    "Snapshot",
    "StateDump",
    "StoreStats",
    "StreamRestarted",
    "Summary",
    "Taken",
    "Thawed",
    "TimerFired",
    "TimerSet",
    "Totals",
    "TreeEntry",
    "TurnAccepted",
    "TurnEnded",
    "TurnStarted",
    "export_lines",
    "import_lines",
    "interrupted",
    "new_entry_id",
    "open_conversations",
    "open_journal",
    "repair",
    "replay",
    "state_of",
    "store_from_url",
    "thaw",
]

# Where each name comes from. They are imported when they are asked for: an agent needs two of these modules.
_HOME = {
    name: module
    for module, names in {
        "branch": ("OpenTurn",),
        "settings": ("ConversationSettings",),
        "run_events": (
            "RunFinished",
            "StreamRestarted",
            "TurnAccepted",
        ),
        "report": (
            "ConversationReport",
            "Quarantine",
        ),
        "ref": (
            "Conversation",
            "Conversations",
        ),
        "reading": ("ConversationStream",),
        "opening": ("open_conversations",),
        "compaction": ("Compaction",),
        "entries": (
            "ApprovalAsked",
            "ApprovalDecided",
            "BudgetSpent",
            "CallIntent",
            "CallResult",
            "Cancelled",
            "Compacted",
            "Entry",
            "HeadMoved",
            "Injected",
            "ModelAnswered",
            "Snapshot",
            "StateDump",
            "TimerFired",
            "TimerSet",
            "Totals",
            "TreeEntry",
            "TurnEnded",
            "TurnStarted",
            "new_entry_id",
        ),
        "journal": (
            "Journal",
            "open_journal",
        ),
        "memory_store": ("MemoryStore",),
        "records": (
            "Append",
            "DueTimer",
            "Grant",
            "Loaded",
            "Record",
            "StoreStats",
            "Summary",
            "Taken",
        ),
        "registry": ("store_from_url",),
        "history_repair": (
            "INTERRUPTED",
            "interrupted",
            "repair",
        ),
        "run_journal": (
            "Recall",
            "Resumption",
            "RunJournal",
        ),
        "state": (
            "MAX_KNOWN_TURNS",
            "ConversationState",
            "replay",
        ),
        "store": ("ConversationStore",),
        "thawing": (
            "Thawed",
            "state_of",
            "thaw",
        ),
        "transfer": (
            "export_lines",
            "import_lines",
        ),
    }.items()
    for name in names
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
