"""A journal says the same however it is read, and its history is valid at every point."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm_actors.conversation import (
    MAX_KNOWN_TURNS,
    ApprovalAsked,
    ApprovalDecided,
    BudgetSpent,
    CallIntent,
    CallResult,
    Cancelled,
    Compacted,
    ConversationState,
    Entry,
    HeadMoved,
    Injected,
    ModelAnswered,
    Snapshot,
    TimerFired,
    TimerSet,
    Totals,
    TurnEnded,
    TurnStarted,
    replay,
)
from tinyllm_actors.conversation.codec import seal, unseal
from tinyllm_actors.errors import EntryRejected
from tinyllm_actors.llm import (
    AssistantMessage,
    Completion,
    ContentPart,
    FunctionCall,
    Message,
    SystemMessage,
    TextPart,
    ToolCall,
    ToolMessage,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Callable

CALL_IDS = st.sampled_from(["a", "b", "c"])
TEXT = st.sampled_from(["", "hello", "ü ☃", "x" * 50])
PARTS: list[ContentPart] = [TextPart("part")]
USAGE = st.sampled_from([None, Usage(3, 4, 7), Usage(1, 1, 2, cost=0.1)])


def said(text: str, *calls: str, usage: Usage | None = None) -> Completion:
    """Return an answer that asks for calls."""
    return Completion(AssistantMessage(text, [ToolCall(call, FunctionCall("look")) for call in calls]), usage=usage)


def started(entry_id: str, parent: str | None = None, turn_id: str = "t1", content: str = "?") -> TurnStarted:
    """Return the beginning of a turn."""
    return TurnStarted(id=entry_id, parent=parent, turn_id=turn_id, content=content)


def result(entry_id: str, parent: str, call_id: str, content: str = "seen") -> CallResult:
    """Return the result of a call."""
    return CallResult(id=entry_id, parent=parent, call_id=call_id, name="look", content=content)


def is_valid(history: list[Message]) -> bool:
    """Whether each call is followed by exactly its results, in order, and no result stands elsewhere."""
    due: list[str] = []
    for message in history:
        if isinstance(message, ToolMessage):
            if not due or due.pop(0) != message.tool_call_id:
                return False
        elif due:
            return False
        elif isinstance(message, AssistantMessage):
            due = [call.id for call in message.tool_calls]
    return not due


# One function for each kind of entry that moves the head: it is given `draw` and what every entry has.
GROWTH: tuple[Callable[[st.DrawFn, dict[str, Any]], Entry], ...] = (
    lambda draw, base: ModelAnswered(
        **base,
        completion=said(draw(TEXT), *draw(st.lists(CALL_IDS, unique=True)), usage=draw(USAGE)),
    ),
    lambda draw, base: CallIntent(**base, call_id=draw(CALL_IDS), name="look"),
    lambda draw, base: CallResult(
        **base, call_id=draw(CALL_IDS), name="look", content="seen", full=draw(st.sampled_from([None, {"x": [1, 2.5]}]))
    ),
    lambda draw, base: Injected(**base, message=SystemMessage(draw(TEXT))),
    lambda draw, base: ApprovalAsked(**base, call_id=draw(CALL_IDS), name="look"),
    lambda draw, base: ApprovalDecided(**base, call_id=draw(CALL_IDS), approved=draw(st.booleans())),
    lambda _, base: Cancelled(**base, turn_id="t0", reason="enough"),
    lambda draw, base: TurnEnded(
        **base, turn_id=draw(st.sampled_from(["t0", "t1"])), status="success", result={"x": None}
    ),
    lambda draw, base: TurnStarted(**base, turn_id=base["id"], content=draw(st.one_of(TEXT, st.just(PARTS)))),
)
SIDE: tuple[Callable[[st.DrawFn, dict[str, Any], list[str]], Entry], ...] = (
    lambda draw, base, there: Compacted(**base, until=draw(st.sampled_from(there)), messages=[SystemMessage("short")]),
    lambda draw, base, there: HeadMoved(**base, to=draw(st.sampled_from([*there, None]))),
    lambda draw, base, _: TimerSet(**base, timer_id=draw(st.sampled_from(["x", "y"])), due=base["at"] + 5, content="!"),
    lambda draw, base, _: TimerFired(**base, timer_id=draw(st.sampled_from(["x", "y"]))),
    lambda _, base, __: BudgetSpent(**base, purpose="search", prompt_tokens=5, cost=0.2),
)


@st.composite
def journals(draw: st.DrawFn) -> list[Entry]:
    """Draw entries that may be appended one after the other: turns, calls in any order, forks, compactions, timers."""
    state = ConversationState()
    entries: list[Entry] = []
    for number in range(draw(st.integers(0, 25))):
        base: dict[str, Any] = {"id": f"e{number}", "parent": state.head, "at": float(number)}
        there = [*state.nodes, *state.prefixes]
        if there and draw(st.integers(0, 3)) == 0:
            entry = draw(st.sampled_from(SIDE))(draw, base, there)
        else:
            if there and draw(st.integers(0, 9)) == 0:
                base["parent"] = draw(st.sampled_from([*there, None]))
            entry = draw(st.sampled_from(GROWTH))(draw, base)
        state.check([entry])
        state.apply(entry)
        entries.append(entry)
    return entries


@given(journals())
def test_the_history_of_every_prefix_is_valid(entries: list[Entry]) -> None:
    """After any number of entries each call has one result right behind it, and the open turn can be told."""
    state = ConversationState()
    for entry in entries:
        state.apply(entry)
        assert is_valid(state.history())
        turn = state.open_turn()
        if turn is not None:
            assert not {call.id for call in turn.waiting} & (turn.open.keys() | turn.finished.keys())
            assert not turn.open.keys() & turn.finished.keys()


@given(journals(), st.integers(0, 25))
def test_a_snapshot_and_what_follows_say_the_same_as_everything(entries: list[Entry], cut: int) -> None:
    """Replaying a snapshot, as bytes, and its tail equals replaying all, with or without the snapshot among it."""
    cut = min(cut, len(entries))
    before, tail = entries[:cut], entries[cut:]
    snapshot = Snapshot(id="snap", state=replay(before).dump())
    sealed = seal("key", snapshot)
    thawed = unseal(sealed.kind, sealed.version, sealed.body)
    whole = replay(entries).dump()
    assert replay([thawed, *tail]).dump() == whole
    assert replay([*before, snapshot, *tail]).dump() == whole


@given(journals())
def test_every_entry_comes_back_from_its_bytes(entries: list[Entry]) -> None:
    """Sealing and unsealing is the identity."""
    for entry in entries:
        sealed = seal("key", entry)
        assert unseal(sealed.kind, sealed.version, sealed.body) == entry


@given(journals())
def test_what_is_checked_together_can_be_applied(entries: list[Entry]) -> None:
    """`check` takes a batch whose entries follow each other, unless it compacts, and changes nothing."""
    state = ConversationState()
    if not any(isinstance(entry, Compacted) for entry in entries):
        state.check(entries)
    assert state.dump() == ConversationState().dump()


def test_results_stand_behind_their_calls_in_their_order() -> None:
    """Whatever came first, and whatever was injected between, results follow their answer in the order of calls."""
    state = replay(
        [
            started("1"),
            ModelAnswered(id="2", parent="1", completion=said("", "a", "b")),
            result("3", "2", "b", "second"),
            Injected(id="4", parent="3", message=SystemMessage("note")),
            result("5", "4", "a", "first"),
            result("6", "5", "a", "again"),
        ]
    )
    assert [message.content for message in state.history()] == ["?", None, "first", "second", "note"]


def test_an_open_turn_says_where_to_go_on() -> None:
    """After a crash: which calls are finished, begun or untouched, and which approvals are asked for or given."""
    entries: list[Entry] = [
        started("1", content="go"),
        ModelAnswered(id="2", parent="1", completion=said("", "old")),
        ApprovalAsked(id="3", parent="2", call_id="old", name="look"),
        result("4", "3", "old"),
        ModelAnswered(id="5", parent="4", completion=said("", "a", "b", "c", "d", "e")),
        ApprovalAsked(id="6", parent="5", call_id="a", name="look"),
        ApprovalAsked(id="7", parent="6", call_id="d", name="look"),
        ApprovalDecided(id="8", parent="7", call_id="a", approved=True),
        CallIntent(id="9", parent="8", call_id="a", name="look", approvals=("8",)),
        CallIntent(id="10", parent="9", call_id="b", name="look"),
        result("11", "10", "b"),
        CallResult(id="12", parent="11", call_id="e", name="look", content="no", status="denied"),
        Injected(id="13", parent="12", message=SystemMessage("note")),
    ]
    turn = replay(entries).open_turn()
    assert turn is not None
    assert turn.started.content == "go"
    assert len(turn.answers) == 2
    assert [call.id for call in turn.waiting] == ["c", "d"]
    assert list(turn.open) == ["a"]
    assert list(turn.finished) == ["b", "e"]
    assert list(turn.asked) == ["d"]
    assert list(turn.decided) == ["a"]
    assert turn.cancelled is None
    cancelled = replay([*entries, Cancelled(id="14", parent="13", turn_id="t1", reason="enough")]).open_turn()
    assert cancelled is not None
    assert cancelled.cancelled is not None
    ended = TurnEnded(id="14", parent="13", turn_id="t1", status="success", result={"answer": 42})
    state = replay([*entries, ended])
    assert state.open_turn() is None
    assert state.result_of("t1") == {"answer": 42}


def test_an_edited_question_is_a_branch() -> None:
    """A turn that follows an earlier entry leaves what came after it out; going back shows it again."""
    entries: list[Entry] = [
        started("1", content="first"),
        ModelAnswered(id="2", parent="1", completion=said("one")),
        started("3", "2", "t2", "second"),
        started("4", "2", "t3", "edited"),
    ]
    state = replay(entries)
    assert [message.content for message in state.history()] == ["first", "one", "edited"]
    state.apply(HeadMoved(parent="4", to="3"))
    assert [message.content for message in state.history()] == ["first", "one", "second"]
    state.apply(HeadMoved(parent="3", to=None))
    assert state.history() == []
    assert state.open_turn() is None


def test_compaction_bounds_what_is_kept() -> None:
    """What stands for the beginning replaces it, again and again; branches that hung on it go with it."""
    state = replay(
        [
            started("1"),
            ModelAnswered(id="2", parent="1", completion=said("one")),
            started("side", "1", "t9", "on another branch"),
            started("3", "2", "t2", "second"),
        ]
    )
    state.apply(Compacted(parent="3", until="2", messages=[SystemMessage("in short")]))
    assert [message.content for message in state.history()] == ["in short", "second"]
    assert list(state.nodes) == ["3"]
    state.apply(Compacted(parent="3", until="3", messages=[SystemMessage("shorter")]))
    assert [message.content for message in state.history()] == ["shorter"]
    assert (state.head, list(state.nodes), list(state.prefixes)) == ("3", [], ["3"])
    state.apply(started("4", "3", "t4", "third"))
    state.apply(Compacted(parent="4", until="3", messages=[SystemMessage("shortest")]))
    assert [message.content for message in state.history()] == ["shortest", "third"]
    state.apply(started("5", "3", "t5", "another third"))
    state.apply(Compacted(parent="5", until="4", messages=[SystemMessage("only the third")]))
    assert (state.head, list(state.nodes)) == ("4", [])


def test_a_whole_result_is_not_kept_in_the_state() -> None:
    """The journal has the whole result of a tool, the state what the model is told."""
    state = replay([started("1"), CallResult(id="2", parent="1", call_id="a", name="look", content="x", full=[1] * 9)])
    node = state.nodes["2"]
    assert isinstance(node, CallResult)
    assert (node.content, node.full) == ("x", None)


def test_totals_count_every_branch_once() -> None:
    """Tokens are spent whether their branch is shown or not; a price that is unknown is counted, not taken for 0."""
    state = replay(
        [
            started("1"),
            ModelAnswered(id="2", parent="1", completion=said("one", usage=Usage(10, 5, 15, cost=0.5))),
            ModelAnswered(id="3", parent="1", completion=said("other", usage=Usage(1, 2, 3))),
            BudgetSpent(purpose="a failed call", prompt_tokens=100, completion_tokens=0, cost=0.25),
        ]
    )
    assert state.totals == Totals(111, 7, 0.75, 1)


def test_timers_are_set_moved_and_end() -> None:
    """A timer that is set again moves; one that fired is gone; one that is not there may fire."""
    state = replay([TimerSet(timer_id="a", due=1.0), TimerSet(timer_id="b", due=2.0), TimerSet(timer_id="a", due=3.0)])
    assert {name: timer.due for name, timer in state.timers.items()} == {"a": 3.0, "b": 2.0}
    state.apply(TimerFired(timer_id="a"))
    state.apply(TimerFired(timer_id="a"))
    assert list(state.timers) == ["b"]


def test_only_the_newest_turns_are_known() -> None:
    """The results of ended turns are bounded; a turn that ends again is the newest."""
    state = ConversationState()
    parent: str | None = None
    for number in range(MAX_KNOWN_TURNS + 1):
        turn_id = "again" if number == 1 else f"t{number}"
        state.apply(TurnEnded(id=f"e{number}", parent=parent, turn_id=turn_id, status="success"))
        parent = f"e{number}"
        if number == 500:
            state.apply(TurnEnded(id="again", parent=parent, turn_id="again", status="error"))
            parent = "again"
    assert len(state.turns) == MAX_KNOWN_TURNS
    assert "t0" not in state.turns
    assert state.turns["again"].status == "error"


@pytest.mark.parametrize(
    ("entry", "named"),
    [
        (started("9", "missing"), "'missing'"),
        (started("1"), "'1'"),
        (HeadMoved(to="missing"), "'missing'"),
        (Compacted(until="missing", messages=[]), "'missing'"),
    ],
)
def test_an_entry_out_of_place_is_refused(entry: Entry, named: str) -> None:
    """What follows or names an entry that is not there, or takes its id, changes nothing."""
    state = replay([started("1")])
    before = state.dump()
    with pytest.raises(EntryRejected, match=named):
        state.check([entry])
    with pytest.raises(EntryRejected, match=named):
        state.apply(entry)
    assert state.dump() == before


def test_a_batch_may_not_hold_an_id_twice() -> None:
    """Two entries of one batch need two ids."""
    with pytest.raises(EntryRejected, match="'1'"):
        ConversationState().check([started("1"), started("1")])


def test_an_open_turn_is_a_plain_value() -> None:
    """It cannot be changed by whoever reads it."""
    turn = replay([started("1")]).open_turn()
    assert turn is not None
    with pytest.raises(dataclasses.FrozenInstanceError):
        turn.cancelled = None  # pyright: ignore[reportAttributeAccessIssue]
