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
    from tinyllm_actors.conversation.records import Append, DueTimer, Grant, Loaded, Record, StoreStats, Summary
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
