"""The arithmetic of budgets: no interleaving of calls uses more than a limit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from tinyllm_actors.errors import BudgetExceeded, ConfigurationError, UnknownPrice
from tinyllm_actors.llm import Budget, BudgetNotice, Price, Spent, current_budget
from tinyllm_actors.llm.budget import Estimate, Shortfall, active_budgets, chain
from tinyllm_actors.llm.reservation import Reservation, fitting_output, reserve

PRICE = Price(input=3.0, output=15.0)


def take(budget: Budget, prompt: int = 0, output: int = 0, price: Price | None = None) -> Reservation:
    """Reserve in a budget and those above it, where it must fit."""
    found = reserve(chain(budget), Estimate(prompt, output, price), "m")
    assert isinstance(found, Reservation)
    return found


def refusal(budget: Budget, prompt: int = 0, output: int = 0, price: Price | None = None) -> Shortfall:
    """Reserve where it must not fit."""
    found = reserve(chain(budget), Estimate(prompt, output, price), "m")
    assert isinstance(found, Shortfall)
    return found


# --- any interleaving -----------------------------------------------------------------------------

TOKENS = st.integers(0, 60)


class Interleavings(RuleBasedStateMachine):
    """A tree of budgets, and calls that begin and end in any order, across the ends of days."""

    calls = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.day = Budget(name="day", max_usd=0.001, period=10.0, clock=lambda: self.now)
        self.chat = self.day.child(name="chat", max_tokens=150, max_usd=0.0008)
        self.runs = [self.chat.child(name="run", max_calls=4), self.chat.child(name="other", max_tokens=100)]
        self.all = [self.day, self.chat, *self.runs]
        self.limits = {
            self.day: (None, 0.001, None),
            self.chat: (150, 0.0008, None),
            self.runs[0]: (None, None, 4),
            self.runs[1]: (100, None, None),
        }
        self.open = 0
        self.spent: dict[Budget, int] = dict.fromkeys(self.all, 0)

    @rule(target=calls, which=st.integers(0, 1), prompt=TOKENS, output=TOKENS)
    def begin(self, which: int, prompt: int, output: int) -> Any:
        budget = self.runs[which]
        before = [(one.used, one.reserved) for one in self.all]
        found = reserve(chain(budget), Estimate(prompt, output, PRICE), "m")
        if isinstance(found, Reservation):
            self.open += 1
            return found, budget, prompt, output
        assert [(one.used, one.reserved) for one in self.all] == before, "a refusal must change nothing"
        return None

    @rule(call=calls, share=st.floats(0, 1))
    def end(self, call: Any, share: float) -> None:
        if call is None:
            return
        reservation, budget, prompt, output = call
        used = prompt + int(output * share)
        before = budget.reserved.calls
        reservation.settle(prompt, int(output * share))
        if budget.reserved.calls < before:  # the first time
            self.open -= 1
            for one in chain(budget):
                self.spent[one] += used

    @rule(call=calls)
    def release(self, call: Any) -> None:
        if call is None:
            return
        before = call[1].reserved.calls
        call[0].release()
        self.open -= before - call[1].reserved.calls

    @rule(seconds=st.floats(0, 12))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def never_more_than_the_limit(self) -> None:
        for budget, (tokens, usd, calls) in self.limits.items():
            used, reserved = budget.used, budget.reserved
            assert tokens is None or used.tokens + reserved.tokens <= tokens
            assert usd is None or used.usd + reserved.usd <= usd + 1e-15
            assert calls is None or used.calls + reserved.calls <= calls
            assert reserved.tokens >= 0
            assert reserved.usd >= 0

    @invariant()
    def every_level_has_counted_all_below(self) -> None:
        for budget in (self.chat, *self.runs):  # those that are not reset by a new day
            assert budget.used.tokens == self.spent[budget]
        assert self.day.reserved.calls == self.open


TestInterleavings = Interleavings.TestCase


@given(st.integers(0, 10**9), st.integers(0, 10**6), st.floats(0, 1000), st.floats(0.0001, 1000))
def test_output_that_money_buys_is_what_it_buys(pico: int, prompt: int, inward: float, outward: float) -> None:
    """The longest answer that fits does fit, and one of a token more does not."""
    price = Price(inward, outward)
    tokens = price.output_for(pico, prompt)
    assert tokens is not None
    if tokens >= 0:
        assert price.cost(prompt, tokens) <= pico + 1
    assert price.cost(prompt, max(tokens, 0) + 1) > pico - 1


# --- limits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limits", "wrong"), [({"max_tokens": 99}, "tokens"), ({"max_usd": 0.001}, "usd"), ({"max_calls": 0}, "calls")]
)
def test_the_error_names_the_limit(limits: dict[str, Any], wrong: str) -> None:
    """A refusal says which budget, which limit, how much was used, how much was wanted and what to do."""
    error = refusal(Budget(name="mine", **limits), 50, 80, PRICE).error
    assert isinstance(error, BudgetExceeded)
    assert (error.budget, error.limit, error.used, error.retryable) == ("mine", wrong, 0, False)
    assert "'mine'" in str(error)
    assert f"raise max_{wrong}" in str(error)


def test_a_refusal_that_may_pass_says_so() -> None:
    """What would fit if calls in progress used nothing may fit later; what is used up is used up."""
    budget = Budget(max_tokens=100)
    first = take(budget, 40, 40)
    assert refusal(budget, 40, 0).may_fit_later
    first.settle(40, 30)
    assert not refusal(budget, 40, 0).may_fit_later
    take(budget, 30, 0).release()
    assert budget.used == Spent(tokens=70, calls=1, unpriced_calls=1)


def test_what_fits_nowhere_is_not_said_to_fit_later() -> None:
    """Of two budgets, one that is busy and one that is empty, the empty one is named, and nothing is reserved."""
    outer = Budget(max_tokens=10, name="outer")
    inner = outer.child(max_calls=1, name="inner")
    take(inner)
    found = refusal(inner, 20)
    assert (found.budget, found.may_fit_later) == (outer, False)


def test_the_real_cost_counts() -> None:
    """A cost that the provider names goes before the price; a price is used where it names none."""
    budget = Budget(max_usd=1.0)
    take(budget, 1000, 1000, PRICE).settle(1000, 1000, 0.5)
    take(budget, 1000, 1000, PRICE).settle(1000, 1000)
    assert budget.used.usd == pytest.approx(0.5 + 0.018)


def test_cached_tokens_cost_less() -> None:
    """Tokens that the provider had at hand are booked at their price, never more of them than the prompt has."""
    budget = Budget(max_usd=1.0)
    price = Price(3.0, 15.0, cached_input=0.3)
    take(budget, 1000, 0, price).settle(1000, 0, cached_tokens=900)
    assert budget.used.usd == pytest.approx(0.0003 + 0.00027)
    take(budget, 1000, 0, price).settle(1000, 0, cached_tokens=5000)
    assert budget.used.usd == pytest.approx(0.00057 + 0.0003)
    take(budget, 1000, 0, PRICE).settle(1000, 0, cached_tokens=900)  # whose price for them is that of the others
    assert budget.used.usd == pytest.approx(0.00087 + 0.003)


def test_more_than_was_reserved_is_booked_all_the_same() -> None:
    """The truth is booked when an estimate was too low, and the next call is refused."""
    budget = Budget(max_tokens=100)
    take(budget, 50, 50).settle(90, 50)
    assert budget.used.tokens == 140
    assert not refusal(budget, 1).may_fit_later


def test_a_child_is_refused_by_any_ancestor() -> None:
    """A child's own room is of no use where the parent has none."""
    parent = Budget(max_calls=1, name="parent")
    child = parent.child(max_calls=5, name="child")
    take(child).settle(0, 0)
    assert refusal(child).budget is parent
    assert (parent.used.calls, child.used.calls) == (1, 1)


def test_a_budget_can_be_extended() -> None:
    """More of a limit lets calls through again, and tells again when that is used too; no limit stays none."""
    budget = Budget(max_calls=1)
    assert [notice.exhausted for notice in take(budget).settle(0, 0)] == [True]
    budget.extend(calls=1, tokens=5)
    assert [notice.exhausted for notice in take(budget).settle(0, 0)] == [True]
    take(Budget(max_tokens=None), 10**9)
    with pytest.raises(ValueError, match="raised, not lowered"):
        budget.extend(calls=-1)


def test_a_day_begins_anew() -> None:
    """A budget with a period counts from 0 in the next one, keeps what is reserved, and says when that begins."""
    now = 5.0
    budget = Budget(max_calls=2, period=10.0, clock=lambda: now)
    first = take(budget)
    take(budget).settle(0, 0)
    assert refusal(budget).error.retry_after == 5.0
    assert refusal(budget).error.retryable
    now = 10.0
    take(budget).settle(0, 0)
    assert refusal(budget).may_fit_later
    first.release()
    take(budget)


# --- unknown prices -------------------------------------------------------------------------------


def test_an_unknown_price_is_refused_where_dollars_are_limited() -> None:
    """It never counts as 0; the error names the model and what to do."""
    budget = Budget(max_usd=1.0, name="money")
    with pytest.raises(UnknownPrice, match=r"'money'.*'m'.*known_models"):
        take(budget, 1, 1)
    assert budget.reserved.calls == 0


def test_an_assumed_price_counts_for_unknown_ones() -> None:
    """With an assumed price an unknown model is estimated, a known one is not."""
    budget = Budget(max_usd=1.0, assumed_price=Price(10.0, 100.0))
    take(budget, 1000, 1000).settle(1000, 1000)
    assert budget.used == Spent(tokens=2000, usd=0.11, calls=1)
    take(budget, 1000, 0, PRICE).settle(1000, 0)
    assert budget.used.usd == pytest.approx(0.113)


def test_calls_without_a_price_are_counted_apart() -> None:
    """Where dollars are not limited, unpriced calls pass, and the account says that they are missing in it."""
    for budget in (Budget(max_tokens=10), Budget(max_usd=0.0, on_exhausted="warn")):
        take(budget, 1, 1).settle(1, 1)
        assert budget.used == Spent(tokens=2, usd=0.0, calls=1, unpriced_calls=1)


# --- notices --------------------------------------------------------------------------------------


def test_each_threshold_is_told_once() -> None:
    """At `warn_at` and at the limit there is one notice each, however many calls follow."""
    budget = Budget(max_calls=10, name="b", warn_at=0.5, on_exhausted="warn")
    told = [take(budget).settle(0, 0) for _ in range(12)]
    assert [len(notices) for notices in told] == [0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0]
    assert told[4] == [BudgetNotice("b", "calls", used=5, maximum=10, exhausted=False)]
    assert str(told[9][0]) == "budget 'b' has used 100 % of max_calls=10 (10)"


def test_a_limit_of_nothing_is_described_too() -> None:
    """A notice of a limit of 0 has no share to divide by."""
    assert "inf" in str(BudgetNotice("b", "usd", used=1, maximum=0, exhausted=True))


# --- how long an answer may be --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (Budget(), 4096),
        (Budget(max_calls=1), 4096),
        (Budget(max_tokens=1100), 100),
        (Budget(max_tokens=10, on_exhausted="warn"), 4096),
        (Budget(max_usd=0.003 + 15e-6 * 50), 50),
        (Budget(max_usd=0.001), 16),
        (Budget(max_tokens=1), 16),
    ],
)
def test_answers_are_cut_to_what_fits(budget: Budget, expected: int) -> None:
    """An answer of unknown length gets what is left, in tokens and in dollars, and never next to nothing."""
    assert fitting_output([budget], 1000, 4096, PRICE) == expected


def test_free_answers_may_be_of_any_length() -> None:
    """A price of 0 limits nothing."""
    assert fitting_output([Budget(max_usd=0.0)], 10, 4096, Price(0, 0)) == 4096


def test_a_short_wish_is_left_as_it_is() -> None:
    """Nobody gets more room for the answer than was asked for."""
    assert fitting_output([Budget(max_tokens=5)], 100, 3, None) == 3


# --- what is active -------------------------------------------------------------------------------


def test_active_budgets_add_up() -> None:
    """A block inside a block is bound by both; the innermost is the current one; leaving restores."""
    outer, inner = Budget(name="outer"), Budget(name="inner")
    assert current_budget() is None
    with outer.active():
        with inner.active() as current:
            assert current is inner is current_budget()
            assert chain(*active_budgets()) == [inner, outer]
        assert current_budget() is outer
    assert active_budgets() == ()


def test_a_chain_has_each_budget_once() -> None:
    """A child that is active inside its parent reserves there once."""
    parent = Budget(max_calls=1)
    child = parent.child()
    assert chain(child, parent, None, child) == [child, parent]


@pytest.mark.parametrize(
    "options",
    [
        {"max_tokens": -1},
        {"max_usd": float("nan")},
        {"warn_at": 0},
        {"period": 0},
        {"on_exhausted": "panic"},
        {"on_exhausted": "degrade"},
        {"degrade_to": "local"},
        {"on_exhausted": "ask"},
    ],
)
def test_settings_without_meaning_are_refused(options: dict[str, Any]) -> None:
    """Each is an error at the place where it is written, and shows the value."""
    with pytest.raises(ConfigurationError):
        Budget(**options)


def test_prices_are_checked() -> None:
    """A negative price is an error."""
    with pytest.raises(ValueError, match=r"-1"):
        Price(-1, 0)


def test_a_budget_shows_its_limits() -> None:
    """Its repr has the name, the limits in their units, and what is used."""
    assert repr(Budget(name="b", max_usd=0.5, max_calls=3)) == (
        "<Budget 'b': max_usd=0.5, max_calls=3; used Spent(tokens=0, usd=0.0, calls=0, unpriced_calls=0)>"
    )
    assert "no limit" in repr(Budget())
