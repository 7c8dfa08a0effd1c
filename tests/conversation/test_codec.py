"""Journals written by every version so far can be read, and nothing damaged is taken for whole."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tinyllm_actors.conversation import (
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
    TurnEnded,
    TurnStarted,
)
from tinyllm_actors.conversation.codec import MAX_ENTRY_BYTES, UPCASTERS, VERSION, checksum_of, seal, unseal
from tinyllm_actors.errors import CorruptJournal, EntryRejected, UnsupportedEntry
from tinyllm_actors.llm import (
    AssistantMessage,
    Completion,
    FunctionCall,
    ImagePart,
    SystemMessage,
    TextPart,
    ToolCall,
    Usage,
)

STARTED = TurnStarted(id="a", at=1.0, turn_id="t", content="Hi", name="Ada")
ENDED = TurnEnded(id="i", parent="h", at=1.0, turn_id="t", status="success", result={"n": 1})
TIMER = TimerSet(id="m", at=1.0, timer_id="x", due=9.5, content="up")

FROZEN: dict[bytes, Entry] = {
    b'{"type":"turn_started","id":"a","at":1.0,"turn_id":"t","content":"Hi","name":"Ada"}': STARTED,
    b'{"type":"turn_started","id":"a2","parent":"z","at":1.0,"turn_id":"t","content":[{"type":"text","text":"x"},'
    b'{"type":"image_url","image_url":{"url":"data:"}}]}': TurnStarted(
        id="a2", parent="z", at=1.0, turn_id="t", content=[TextPart("x"), ImagePart({"url": "data:"})]
    ),
    b'{"type":"model_answered","id":"b","parent":"a","at":1.0,"completion":{"message":{"role":"assistant","tool_calls":'
    b'[{"type":"function","id":"c1","function":{"name":"look","arguments":"{}"}}]},"finish_reason":"tool_calls",'
    b'"model":"m","id":"r","created":5,"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3,"cost":0.5},'
    b'"extra":{"seed":1}}}': ModelAnswered(
        id="b",
        parent="a",
        at=1.0,
        completion=Completion(
            AssistantMessage(tool_calls=[ToolCall("c1", FunctionCall("look"))]),
            "tool_calls",
            "m",
            "r",
            5,
            Usage(1, 2, 3, 0.5),
            {"seed": 1},
        ),
    ),
    b'{"type":"call_intent","id":"c","at":1.0,"call_id":"c1","name":"look","idempotency_key":"k","approvals":["e"]}': (
        CallIntent(id="c", at=1.0, call_id="c1", name="look", idempotency_key="k", approvals=("e",))
    ),
    b'{"type":"call_result","id":"d","at":1.0,"call_id":"c1","name":"look","content":"no","status":"error",'
    b'"error":"ToolTimeout","full":[1]}': CallResult(
        id="d", at=1.0, call_id="c1", name="look", content="no", status="error", error="ToolTimeout", full=[1]
    ),
    b'{"type":"approval_asked","id":"e","at":1.0,"call_id":"c1","name":"look","question":"may I?"}': ApprovalAsked(
        id="e", at=1.0, call_id="c1", name="look", question="may I?"
    ),
    b'{"type":"approval_decided","id":"f","at":1.0,"call_id":"c1","approved":false,"by":"Bob","note":"no"}': (
        ApprovalDecided(id="f", at=1.0, call_id="c1", approved=False, by="Bob", note="no")
    ),
    b'{"type":"cancelled","id":"g","at":1.0,"turn_id":"t","reason":"enough"}': Cancelled(
        id="g", at=1.0, turn_id="t", reason="enough"
    ),
    b'{"type":"injected","id":"h","at":1.0,"message":{"role":"system","content":"!"},"source":"ops"}': Injected(
        id="h", at=1.0, message=SystemMessage("!"), source="ops"
    ),
    b'{"type":"turn_ended","id":"i","parent":"h","at":1.0,"turn_id":"t","status":"success","result":{"n":1}}': ENDED,
    b'{"type":"head_moved","id":"j","at":1.0,"to":null}': HeadMoved(id="j", at=1.0, to=None),
    b'{"type":"compacted","id":"k","at":1.0,"until":"b","messages":[{"role":"system","content":"short"}]}': Compacted(
        id="k", at=1.0, until="b", messages=[SystemMessage("short")]
    ),
    b'{"type":"budget_spent","id":"l","at":1.0,"purpose":"search","prompt_tokens":3,"cost":0.25}': BudgetSpent(
        id="l", at=1.0, purpose="search", prompt_tokens=3, cost=0.25
    ),
    b'{"type":"timer_set","id":"m","at":1.0,"timer_id":"x","due":9.5,"content":"up"}': TIMER,
    b'{"type":"timer_fired","id":"n","at":1.0,"timer_id":"x"}': TimerFired(id="n", at=1.0, timer_id="x"),
    b'{"type":"snapshot","id":"o","at":1.0,"state":{"head":"a","nodes":[{"type":"turn_started","id":"a","at":1.0,'
    b'"turn_id":"t","content":"Hi","name":"Ada"}],"prefixes":{"p":[{"role":"system","content":"short"}]},"turns":'
    b'{"t":{"type":"turn_ended","id":"i","parent":"h","at":1.0,"turn_id":"t","status":"success","result":{"n":1}}},'
    b'"timers":{"x":{"type":"timer_set","id":"m","at":1.0,"timer_id":"x","due":9.5,"content":"up"}},'
    b'"totals":{"prompt_tokens":1,"completion_tokens":2,"cost":0.5,"unpriced":3}}}': Snapshot(
        id="o",
        at=1.0,
        state=StateDump(
            "a", [STARTED], {"p": [SystemMessage("short")]}, {"t": ENDED}, {"x": TIMER}, Totals(1, 2, 0.5, 3)
        ),
    ),
}
"""Entries as version 1 wrote them. These bytes are in people's databases: they may be added to, never changed."""


@pytest.mark.parametrize(("body", "entry"), FROZEN.items(), ids=[entry.id for entry in FROZEN.values()])
def test_version_1_can_be_read(body: bytes, entry: Entry) -> None:
    """What version 1 wrote means what it meant."""
    assert unseal(kind_of(entry), 1, body) == entry


@pytest.mark.parametrize(("body", "entry"), FROZEN.items(), ids=[entry.id for entry in FROZEN.values()])
def test_a_change_of_form_raises_the_version(body: bytes, entry: Entry) -> None:
    """As long as the version is 1, what is written is what version 1 wrote."""
    sealed = seal("key", entry)
    assert VERSION == 1
    assert msgspec.json.decode(sealed.body) == msgspec.json.decode(body)
    assert (sealed.id, sealed.kind, sealed.version, sealed.at) == (entry.id, kind_of(entry), 1, 1.0)


def kind_of(entry: Entry) -> str:
    """Return the name under which a kind of entry is stored."""
    return str(entry.__struct_config__.tag)


def test_every_kind_is_frozen() -> None:
    """No kind of entry is missing from the frozen bytes."""
    assert {type(entry) for entry in FROZEN.values()} == set(Entry.__args__)


def upcasters() -> dict[tuple[str, int], Any]:
    """Return what a version 3 might bring: a field renamed, and a kind of timer that counts in milliseconds."""

    def renamed(old: dict[str, Any]) -> dict[str, Any]:
        return {("content" if name == "text" else name): value for name, value in old.items()}

    def in_seconds(old: dict[str, Any]) -> dict[str, Any]:
        return {**old, "due": old["due"] / 1000}

    return {("turn_started", 1): renamed, ("timer_set", 2): in_seconds}


def test_old_forms_are_upcast_step_by_step() -> None:
    """An entry is led through each version in between; a kind that did not change passes through."""
    old = b'{"type":"turn_started","id":"a","at":1.0,"turn_id":"t","text":"Hi","name":"Ada"}'
    assert unseal("turn_started", 1, old, upcasters=upcasters(), current=3) == STARTED
    timer = b'{"type":"timer_set","id":"m","at":1.0,"timer_id":"x","due":9500,"content":"up"}'
    assert unseal("timer_set", 1, timer, upcasters=upcasters(), current=3) == TIMER
    assert unseal("timer_set", 2, timer, upcasters=upcasters(), current=3) == TIMER


def test_what_a_snapshot_holds_is_upcast_too() -> None:
    """Entries inside of a snapshot have the version of the snapshot."""
    body, snapshot = next((body, entry) for body, entry in FROZEN.items() if isinstance(entry, Snapshot))
    old = body.replace(b'"content":"Hi"', b'"text":"Hi"').replace(b'"due":9.5', b'"due":9500')
    assert unseal("snapshot", 1, old, upcasters=upcasters(), current=3) == snapshot


def test_there_is_no_upcaster_from_the_current_version() -> None:
    """Each upcaster leads from a version that was."""
    assert all(1 <= version < VERSION for _, version in UPCASTERS)


def test_a_newer_entry_is_refused() -> None:
    """What a newer library wrote is not guessed at: neither its version nor its kind."""
    with pytest.raises(UnsupportedEntry, match="version 2, this library reads up to 1"):
        unseal("turn_started", VERSION + 1, b"{}")
    with pytest.raises(UnsupportedEntry, match="'poem'"):
        unseal("poem", 1, b'{"type":"poem","id":"a","at":1.0}')


def test_a_field_that_is_not_known_is_passed_over() -> None:
    """A field that a later library adds with a default does not make its entries unreadable."""
    body = b'{"type":"turn_started","id":"a","at":1.0,"turn_id":"t","content":"Hi","name":"Ada","mood":"good"}'
    assert unseal("turn_started", 1, body) == STARTED


@pytest.mark.parametrize("body", [b"", b'{"type":', b"\xff", b"[]", b'{"type":"turn_started","id":5}'])
def test_bytes_without_an_entry_are_corrupt(body: bytes) -> None:
    """Bytes that hold no entry are an error, whatever they are."""
    with pytest.raises(CorruptJournal, match="'turn_started'"):
        unseal("turn_started", 1, body)
    with pytest.raises(CorruptJournal, match="'turn_started'"):
        unseal("turn_started", 1, body, current=2)


def test_the_checksum_covers_what_an_entry_is_and_where_it_belongs() -> None:
    """A change of any part of a row changes the checksum; the value itself is frozen."""
    sums = {
        checksum_of("k", "i", "kind", 1, b"body"),
        checksum_of("K", "i", "kind", 1, b"body"),
        checksum_of("k", "I", "kind", 1, b"body"),
        checksum_of("k", "i", "KIND", 1, b"body"),
        checksum_of("k", "i", "kind", 2, b"body"),
        checksum_of("k", "i", "kind", 1, b"Body"),
    }
    assert len(sums) == 6
    assert checksum_of("chat/ada", "e1", "turn_started", 1, b"{}") == 481563027


@pytest.mark.parametrize(
    "entry",
    [
        TurnStarted(turn_id="t", content="\ud800"),
        TurnStarted(id="\ud800", turn_id="t", content=""),
        TurnStarted(id="", turn_id="t", content=""),
        TurnStarted(id="x" * 257, turn_id="t", content=""),
        TurnStarted(id="a\0", turn_id="t", content=""),
        TurnStarted(turn_id="t", content="x" * MAX_ENTRY_BYTES),
        TurnEnded(turn_id="t", status="success", result=object()),
    ],
    ids=["surrogate", "surrogate id", "no id", "long id", "NUL in id", "large", "not JSON"],
)
def test_what_cannot_be_stored_is_refused_before_it_is_sent(entry: Entry) -> None:
    """An entry that no store could hold fails where it is made, for its conversation alone."""
    with pytest.raises(EntryRejected) as caught:
        seal("key", entry)
    assert caught.value.keys == ("key",)
    assert len(str(caught.value)) < 1000
