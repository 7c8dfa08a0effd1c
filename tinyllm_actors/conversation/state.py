"""What a journal says: a fold over its entries, without I/O and without a clock.

```python
>>> from tinyllm_actors.conversation.entries import ModelAnswered, TurnStarted
>>> from tinyllm_actors.llm import AssistantMessage, Completion
>>> state = replay([
...     TurnStarted(id="e1", turn_id="t1", content="Hello?"),
...     ModelAnswered(id="e2", parent="e1", completion=Completion(AssistantMessage("Hi!"))),
... ])
>>> [message.content for message in state.history()], state.head
(['Hello?', 'Hi!'], 'e2')

```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from tinyllm_actors.conversation.branch import history_of, open_turn_of
from tinyllm_actors.conversation.entries import (
    BudgetSpent,
    CallResult,
    Compacted,
    HeadMoved,
    ModelAnswered,
    Snapshot,
    StateDump,
    TimerSet,
    Totals,
    TreeEntry,
    TurnEnded,
)
from tinyllm_actors.errors import EntryRejected

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from tinyllm_actors.conversation.branch import OpenTurn
    from tinyllm_actors.conversation.entries import Entry, TimerFired
    from tinyllm_actors.llm.messages import Message

__all__ = ["MAX_KNOWN_TURNS", "ConversationState", "replay"]

MAX_KNOWN_TURNS: Final = 1000
"""Ended turns whose result is known, the newest; a resend of an older one is a new turn."""

# A look-up takes a tenth of the time of an `isinstance` with nine classes, and a thaw asks of every entry.
_TREE: Final = frozenset[type](TreeEntry.__args__)

_encode: Final = msgspec.json.Encoder().encode


class ConversationState:
    """What is known of a conversation after some entries.

    `apply` is the only thing that changes it. The same entries always make the same state, and
    `replay([snapshot, *tail])` the same as replaying everything.

    Attributes:
        head: the entry that the next one follows; None in an empty conversation.
        nodes: the tree entries of all branches by id, but for those that were compacted.
        prefixes: what stands for the compacted entries, by the id of the last one.
        turns: how turns ended, by `turn_id`, on any branch; the newest `MAX_KNOWN_TURNS`. Their results are kept as
            JSON text, which takes a quarter of the room: see `result_of`.
        timers: those that are set and have not fired, by `timer_id`.
        totals: what was used, over all branches.
    """

    __slots__ = ("_empty", "_said", "head", "nodes", "prefixes", "timers", "totals", "turns")

    def __init__(self) -> None:
        self.head: str | None = None
        self.nodes: dict[str, TreeEntry] = {}
        self.prefixes: dict[str, list[Message]] = {}
        self.turns: dict[str, TurnEnded] = {}
        self.timers: dict[str, TimerSet] = {}
        self.totals = Totals()
        self._empty = True
        self._said: list[Message] | None = None  # the history at the head, once somebody has asked for it

    # --- what it says ------------------------------------------------------------------------------

    def branch(self) -> list[TreeEntry]:
        """Return the entries from the beginning, or from where it was compacted, to the head."""
        return self._walk(self.head)[1]

    def history(self) -> list[Message]:
        """Return the messages of this branch, valid for a model at any time.

        A call without a result is shown as interrupted; results stand behind their calls, in the order of the calls.
        """
        if self._said is None:
            self._said = self.history_at(self.head)
        return list(self._said)

    def history_before(self, entry_id: str | None) -> list[Message]:
        """Return the messages that led to an entry, without it; those of its branch, whatever the head."""
        parent = None if entry_id is None else self.nodes[entry_id].parent
        return self.history_at(parent)

    def history_at(self, entry_id: str | None) -> list[Message]:
        """Return the messages up to an entry, with it; None for the empty beginning."""
        start, path = self._walk(entry_id)
        return history_of(self.prefixes[start] if start is not None else (), path)

    def open_turn(self) -> OpenTurn | None:
        """Return the turn that has started on this branch and not ended, if there is one."""
        return open_turn_of(self.branch())

    def result_of(self, turn_id: str) -> Any:
        """Return the result of a turn that has ended.

        Raises:
            KeyError: it is not known.
        """
        return msgspec.json.decode(self.turns[turn_id].result)

    def dump(self) -> StateDump:
        """Return all of it as data, for a `Snapshot`."""
        return StateDump(
            self.head,
            list(self.nodes.values()),
            dict(self.prefixes),
            dict(self.turns),
            dict(self.timers),
            self.totals,
        )

    # --- what changes it ---------------------------------------------------------------------------

    def check(self, entries: Iterable[Entry]) -> None:
        """Check that entries may be appended, in this order, before they are.

        Raises:
            EntryRejected: an id is taken, or an entry follows or names one that is not there.
        """
        new: set[str] = set()
        for entry in entries:
            self._check(entry, new)
            if type(entry) in _TREE:
                new.add(entry.id)

    def apply(self, entry: Entry) -> None:
        """Take in the next entry.

        Raises:
            EntryRejected: as `check` does; the state stays as it was.
        """
        if type(entry) in _TREE:
            if entry.parent != self.head or entry.id in self.nodes:  # else it is as almost all are: checked by that
                self._check(entry, frozenset())
            self._grow(cast("TreeEntry", entry))
            return
        self._check(entry, frozenset())
        self._said = None
        if isinstance(entry, Snapshot):
            if self._empty:
                self._restore(entry.state)
        elif isinstance(entry, HeadMoved):
            self.head = entry.to
        elif isinstance(entry, Compacted):
            self._compact(entry)
        elif isinstance(entry, BudgetSpent):
            self._spend(entry.prompt_tokens, entry.completion_tokens, entry.cost)
        elif isinstance(entry, TimerSet):
            self.timers[entry.timer_id] = entry
        else:
            self.timers.pop(cast("TimerFired", entry).timer_id, None)
        self._empty = False

    def _grow(self, entry: TreeEntry) -> None:
        kind = type(entry)
        if kind is CallResult:
            entry = cast("CallResult", entry)
            if entry.full is not None:
                entry = msgspec.structs.replace(entry, full=None)
        elif kind is ModelAnswered:
            usage = cast("ModelAnswered", entry).completion.usage
            if usage is not None:
                self._spend(usage.prompt_tokens, usage.completion_tokens, usage.cost)
        elif kind is TurnEnded:
            entry = _at_rest(cast("TurnEnded", entry))
            self.turns.pop(entry.turn_id, None)
            self.turns[entry.turn_id] = entry
            if len(self.turns) > MAX_KNOWN_TURNS:
                del self.turns[next(iter(self.turns))]
        self.nodes[entry.id] = entry
        self.head = entry.id
        self._said = None
        self._empty = False

    def _spend(self, prompt_tokens: int, completion_tokens: int, cost: float | None) -> None:
        was = self.totals
        self.totals = Totals(
            was.prompt_tokens + prompt_tokens,
            was.completion_tokens + completion_tokens,
            was.cost + (cost or 0.0),
            was.unpriced + (cost is None),
        )

    def _compact(self, entry: Compacted) -> None:
        start, path = self._walk(entry.until)
        gone = {node.id for node in path}
        if start is not None:
            gone.add(start)
            del self.prefixes[start]
        for node in list(self.nodes.values()):  # parents come first: what hangs on what is gone goes too
            if node.id in gone or (node.parent in gone and node.parent != entry.until):
                gone.add(node.id)
                del self.nodes[node.id]
        self.prefixes[entry.until] = entry.messages
        if self.head in gone:
            self.head = entry.until

    def _restore(self, dump: StateDump) -> None:
        self.head = dump.head
        nodes = [_at_rest(node) if isinstance(node, TurnEnded) else node for node in dump.nodes]
        self.nodes = {node.id: node for node in nodes}
        self.prefixes = dict(dump.prefixes)
        for name, ended in dump.turns.items():
            known = self.nodes.get(ended.id)
            self.turns[name] = known if isinstance(known, TurnEnded) else _at_rest(ended)
        self.timers = dict(dump.timers)
        self.totals = dump.totals

    # --- the tree ----------------------------------------------------------------------------------

    def _walk(self, end: str | None) -> tuple[str | None, list[TreeEntry]]:
        """Return the prefix that a branch begins with, if any, and its entries."""
        path: list[TreeEntry] = []
        while end is not None and end not in self.prefixes:
            node = self.nodes[end]
            path.append(node)
            end = node.parent
        path.reverse()
        return end, path

    def _has(self, entry_id: str | None) -> bool:
        return entry_id is None or entry_id in self.nodes or entry_id in self.prefixes

    def _check(self, entry: Entry, new: Collection[str]) -> None:
        if type(entry) in _TREE:
            if not self._has(entry.parent) and entry.parent not in new:
                raise EntryRejected(
                    f"entry {entry.id!r} follows entry {entry.parent!r}, which is not there or was compacted; "
                    "see `state.nodes`"
                )
            if self._has(entry.id) or entry.id in new:
                raise EntryRejected(f"there is an entry {entry.id!r} already; let each entry have an id of its own")
        elif isinstance(entry, HeadMoved | Compacted):
            name = entry.to if isinstance(entry, HeadMoved) else entry.until
            if not self._has(name) and name not in new:
                raise EntryRejected(
                    f"entry {entry.id!r} names entry {name!r}, which is not there or was compacted; see `state.nodes`"
                )


def _at_rest(ended: TurnEnded) -> TurnEnded:
    """Return how a turn ended with its result as JSON text: dictionaries in dictionaries take much room for little."""
    if isinstance(ended.result, msgspec.Raw):
        return ended
    return msgspec.structs.replace(ended, result=msgspec.Raw(_encode(ended.result)))


def replay(entries: Iterable[Entry]) -> ConversationState:
    """Return what entries say, oldest first, from the beginning or from a snapshot.

    Raises:
        EntryRejected: an entry follows one that is not among them.
    """
    state = ConversationState()
    for entry in entries:
        state.apply(entry)
    return state
