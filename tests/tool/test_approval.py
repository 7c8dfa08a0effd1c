"""A person's approval: asked for as data, and nothing dangerous runs without it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tinyllm_actors import ActorSystem, Tool, Toolkit, tool
from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.tool import ApprovalRequest, Decision, ToolContext, ToolOutcome, ToolRequest, ToolStarted

pytestmark = pytest.mark.anyio

paid: list[tuple[int, str]] = []


@pytest.fixture(autouse=True)
def _nothing_paid() -> None:
    paid.clear()


@tool(requires_approval=True)
async def pay(amount: int, context: ToolContext) -> str:
    """Pay."""
    paid.append((amount, context.idempotency_key))
    return f"paid {amount}"


@tool(requires_approval=lambda arguments: arguments["amount"] > 100)
async def pay_some(amount: int) -> str:
    """Pay, small sums at once."""
    paid.append((amount, ""))
    return f"paid {amount}"


def fails(arguments: dict[str, Any]) -> bool:
    """Raise."""
    raise KeyError("amount")


async def outcome_of(entry: Tool[..., Any], request: ToolRequest) -> ToolOutcome:
    """Run one call in a system of its own."""
    async with ActorSystem("test", grace=0.05) as system:
        ref = await system.spawn(Toolkit([entry]))
        (outcome,) = (await ref(calls=[request]))["output"]["outcomes"]
        return outcome


def asking(name: str, arguments: str, decision: Decision | None = None) -> ToolRequest:
    """Return a call with a decision."""
    return ToolRequest("a", name, arguments, decision, "key")


async def test_runs_only_with_an_approval() -> None:
    """Without a decision the call is refused and nothing happens; with one it runs, with its idempotency key."""
    outcome = await outcome_of(pay, asking("pay", '{"amount": 5}'))
    assert (outcome.status, outcome.error, paid) == ("error", "ToolDenied", [])
    assert "approval" in outcome.content
    outcome = await outcome_of(pay, asking("pay", '{"amount": 5}', Decision.approve()))
    assert (outcome.status, outcome.content, paid) == ("success", "paid 5", [(5, "key")])


async def test_a_denial_is_told_to_the_model() -> None:
    """The outcome holds the person's reason, bounded; a tool that needs no approval obeys a denial too."""
    outcome = await outcome_of(pay, asking("pay", '{"amount": 5}', Decision.deny("too much")))
    assert (outcome.status, outcome.error) == ("error", "ToolDenied")
    assert "denied this call of 'pay': too much" in outcome.content
    outcome = await outcome_of(pay_some, asking("pay_some", '{"amount": 1}', Decision.deny("x" * 100_000)))
    assert outcome.error == "ToolDenied"
    assert len(outcome.content) < 3_000
    assert (await outcome_of(pay, asking("pay", '{"amount": 5}', Decision.deny()))).error == "ToolDenied"
    assert paid == []


async def test_edited_arguments_are_validated_and_shown() -> None:
    """The call runs with the person's arguments, unless they do not fit; the event tells which they are."""
    edited = asking("pay", '{"amount": 5}', Decision.edit('{"amount": 3}'))
    async with ActorSystem("test") as system:
        ref = await system.spawn(Toolkit([pay]))
        async with ref.stream(calls=[edited]) as events:
            told = [event async for event in events]
    assert told[0] == ToolStarted("a", "pay", '{"amount": 3}')
    assert paid == [(3, "key")]
    outcome = await outcome_of(pay, asking("pay", '{"amount": 5}', Decision.edit('{"amount": "many"}')))
    assert (outcome.error, len(paid)) == ("InvalidArguments", 1)


async def test_a_function_decides_by_the_arguments() -> None:
    """`requires_approval` sees the validated arguments; if it fails or answers nonsense, a person is asked."""
    assert (await outcome_of(pay_some, asking("pay_some", '{"amount": "100"}'))).status == "success"
    assert (await outcome_of(pay_some, asking("pay_some", '{"amount": "101"}'))).error == "ToolDenied"
    unsure = pay_some.with_options(requires_approval=fails)
    assert (await outcome_of(unsure, asking("pay_some", '{"amount": 1}'))).error == "ToolDenied"
    nonsense: Any = {"amount": None}.get  # answers None
    unsure = pay_some.with_options(requires_approval=lambda arguments: nonsense("amount"))
    assert (await outcome_of(unsure, asking("pay_some", '{"amount": 1}'))).error == "ToolDenied"
    assert paid == [(100, "")]


async def test_a_tool_by_itself_asks_too() -> None:
    """Spawned without a toolkit, a tool that needs approval is no less guarded."""
    async with ActorSystem("test") as system:
        ref: Any = await system.spawn(pay)
        assert (await ref(arguments='{"amount": 5}'))["error"]["type"] == "ToolDenied"
        assert (await ref(arguments='{"amount": 5}', decision=Decision.approve()))["status"] == "success"


def test_questions_are_those_that_need_a_person() -> None:
    """In call order; none for what is decided, free, unknown, or will be refused anyway."""

    def refuses(arguments: dict[str, Any]) -> None:
        raise LookupError(arguments)

    odd = Tool.from_function(
        lambda: None, name="odd", parameters={"type": "object"}, validator=refuses, requires_approval=True
    )
    kit = Toolkit([pay, pay_some, odd])
    calls = [
        ToolRequest("1", "pay", '{"amount": 1}'),
        ToolRequest("2", "pay", '{"amount": 1}', Decision.approve()),
        ToolRequest("3", "pay_some", '{"amount": 1}'),
        ToolRequest("4", "nobody", "{}"),
        ToolRequest("5", "pay", '{"amount": "many"}'),
        ToolRequest("6", "odd", "{}"),
        ToolRequest("7", "pay_some", '{"amount": 101}'),
    ]
    questions = kit.approvals(calls, expires_at=1e9)
    assert [question.call_id for question in questions] == ["1", "7"]
    assert questions[0] == ApprovalRequest(
        call_id="1", name="pay", arguments='{"amount": 1}', description="Pay.", expires_at=1e9
    )
    assert paid == []


def test_data_survives_a_journal() -> None:
    """Questions, decisions and calls go to JSON and come back equal."""
    question = ApprovalRequest(call_id="1", name="pay", arguments="{}")
    decisions = [Decision.approve(), Decision.deny("no"), Decision.edit("{}")]
    for value in [question, *decisions, *[ToolRequest("1", "pay", "{}", decision, "k") for decision in decisions]]:
        assert msgspec.json.decode(msgspec.json.encode(value), type=type(value)) == value


def test_senseless_decisions_and_options_are_refused() -> None:
    """Arguments belong to an edit, here and on the wire; `requires_approval` is a bool or a function."""
    with pytest.raises(ValueError, match="'approve'"):
        Decision(verdict="approve", arguments="{}")
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"verdict":"edit"}', type=Decision)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"verdict":"perhaps"}', type=Decision)
    wrong: Any = "yes"
    with pytest.raises(ConfigurationError, match="requires_approval='yes'"):
        pay.with_options(requires_approval=wrong)


async def test_a_cut_result_is_kept_whole() -> None:
    """The model sees the first part; the outcome has all of it. A result that fits is not kept twice."""

    @tool(max_result_chars=100)
    async def long(n: int) -> str:
        """Say much."""
        return "x" * n

    outcome = await outcome_of(long, ToolRequest("a", "long", '{"n": 1000}'))
    assert len(outcome.content) <= 100
    assert outcome.full == "x" * 1000
    assert (await outcome_of(long, ToolRequest("a", "long", '{"n": 100}'))).full is None
    from tinyllm_actors.tool.actor import MAX_FULL_CHARS

    outcome = await outcome_of(long, ToolRequest("a", "long", f'{{"n": {MAX_FULL_CHARS + 1}}}'))
    assert outcome.full is not None
    assert len(outcome.full) <= MAX_FULL_CHARS
