"""Budgets: how many tokens, dollars and calls may be used, reserved before a model call and settled after it.

Pure arithmetic: no loop, no I/O, and no clock but the one that is given. What waits, asks and publishes is in
`tinyllm_actors.llm.spending`.

Worked numbers: of a budget of 10,000 tokens, 7,000 are used. A call with a prompt of 1,000 tokens and room for 500 more
reserves 1,500, so 8,500 are used or reserved, and a second call of the same size that comes before the first has ended
still fits: 10,000. A third has to wait for one of the two. The first ends with 1,000 + 200 tokens: 1,200 are used and
300 are free again.
"""

from __future__ import annotations

import math
import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from tinyllm_actors.errors import BudgetExceeded, ConfigurationError
from tinyllm_actors.llm.budget_notice import BudgetNotice, Spent
from tinyllm_actors.llm.price import PICO, to_pico

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Sequence

    from tinyllm_actors.llm.model import ChatModel
    from tinyllm_actors.llm.price import Price

__all__ = ["Budget", "OnExhausted", "current_budget"]

OnExhausted: TypeAlias = Literal["stop", "degrade", "ask", "warn"]

LIMITS = ("tokens", "usd", "calls")


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a call may use at most.

    Attributes:
        prompt_tokens: of the prompt.
        output_tokens: of the answer.
        price: of the model; None if it is unknown.
    """

    prompt_tokens: int
    output_tokens: int
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A reservation does not fit.

    Attributes:
        budget: the one that refused.
        error: what to raise.
        may_fit_later: it would fit if the calls in progress used less than they reserved.
    """

    budget: Budget
    error: BudgetExceeded
    may_fit_later: bool


class Budget:
    """Limits on what model calls may use, for whoever works under it: a call, a run, a conversation, a day.

    Inside `with budget.active():` every model call of every actor that is asked from there reserves in it, however
    deep, since context travels with messages; an agent or `LLM` may also be given one. A budget inside another is
    bound by both: limits can be tightened, never widened. A call that fits only if others use less than they reserved
    waits for them.

    The sum of what is used and reserved never exceeds a limit, as long as no call uses more than it reserved. A call
    without a `max_tokens` is therefore given one that fits. A prompt that is counted by an estimate may be longer than
    that; the truth is booked, and the next call is refused.

    ```python
    >>> run = Budget(max_tokens=10_000, name="run")
    >>> conversation = Budget(max_usd=0.5, name="conversation")
    >>> turn = conversation.child(max_calls=3, name="turn")
    >>> with turn.active():
    ...     current_budget().name
    'turn'
    >>> turn.used
    Spent(tokens=0, usd=0.0, calls=0, unpriced_calls=0)

    ```

    It belongs to one event loop, and is not to be used from threads.

    Args:
        max_tokens: tokens of prompts and answers together; None for no limit.
        max_usd: US dollars.
        max_calls: requests to models, retries included.
        name: what it is called in errors, events and the log.
        on_exhausted: what happens to a call that does not fit:
            `"stop"`: it fails with `BudgetExceeded`. If in doubt, this.
            `"degrade"`: from `warn_at` on, calls go to the cheaper model `degrade_to`; if that does not fit: stop.
            `"ask"`: `ask` is called; if it says yes, having called `extend()`, the call goes on, else: stop.
            `"warn"`: it goes on. Nothing is stopped by this budget, it is counted and told.
        warn_at: the share of each limit at which a `BudgetNotice` is published.
        degrade_to: a model or its name, for `"degrade"`.
        ask: for `"ask"`, gets the `BudgetExceeded` and returns whether to go on, or a coroutine of that. One question
            at a time; calls that wait meanwhile share a no.
        assumed_price: for models whose price is not known. Left out, a budget with `max_usd` refuses them
            (`UnknownPrice`): an unknown price is not zero.
        parent: a budget in which everything is reserved too.
        period: seconds after which counting starts anew, such as 86,400 for a day, in windows that begin at whole
            multiples of it on `clock` (so a day begins at midnight UTC); None for never.
        clock: seconds; used with `period` only.

    Raises:
        ConfigurationError: a number has no meaning, or a policy lacks what it needs.
    """

    def __init__(
        self,
        *,
        max_tokens: int | None = None,
        max_usd: float | None = None,
        max_calls: int | None = None,
        name: str = "budget",
        on_exhausted: OnExhausted = "stop",
        warn_at: float = 0.8,
        degrade_to: str | ChatModel | None = None,
        ask: Callable[[BudgetExceeded], bool | Awaitable[bool]] | None = None,
        assumed_price: Price | None = None,
        parent: Budget | None = None,
        period: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        for label, limit in (("max_tokens", max_tokens), ("max_usd", max_usd), ("max_calls", max_calls)):
            if limit is not None and not 0 <= limit < math.inf:
                raise ConfigurationError(
                    f"{label} of budget {name!r} is 0 or more, or None for no limit; got {limit!r}"
                )
        if not 0 < warn_at <= 1 or (period is not None and not 0 < period < math.inf):
            raise ConfigurationError(f"need 0 < warn_at <= 1 and period > 0, got {warn_at!r} and {period!r}")
        if on_exhausted not in ("stop", "degrade", "ask", "warn"):
            raise ConfigurationError(f"on_exhausted is 'stop', 'degrade', 'ask' or 'warn', not {on_exhausted!r}")
        if (on_exhausted == "degrade") != (degrade_to is not None) or (on_exhausted == "ask") != (ask is not None):
            raise ConfigurationError(
                f"budget {name!r}: 'degrade' goes with degrade_to=… and 'ask' with ask=…, got {on_exhausted!r} "
                f"with degrade_to={degrade_to!r} and ask={ask!r}"
            )
        self.name = name
        self.on_exhausted: OnExhausted = on_exhausted
        self.degrade_to = degrade_to
        self.ask = ask
        self.assumed_price = assumed_price
        self.parent = parent
        self.question: Any = None  # the one that `ask` is answering, kept by `spending`
        self._warn_at = warn_at
        self._period = period
        self._clock = clock
        self._window = None if period is None else math.floor(clock() / period)
        # In the order of LIMITS; dollars as pico-dollars.
        self._max = [max_tokens, None if max_usd is None else to_pico(max_usd), max_calls]
        self._used = [0, 0, 0]
        self._reserved = [0, 0, 0]
        self._unpriced = 0
        self._told = [0, 0, 0]  # 0: nothing, 1: warned, 2: exhausted
        self._listeners: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        limits = ", ".join(
            f"max_{label}={_shown(index, limit):g}"
            for index, (label, limit) in enumerate(zip(LIMITS, self._max, strict=True))
            if limit is not None
        )
        return f"<Budget {self.name!r}: {limits or 'no limit'}; used {self.used}>"

    def child(self, **options: Any) -> Budget:
        """Return a budget inside this one: what it reserves is reserved here too, and above, or nowhere.

        Args:
            **options: of `Budget`.
        """
        return Budget(parent=self, **options)

    @contextmanager
    def active(self) -> Generator[Budget]:
        """Bind everything that is called inside the block, in addition to what binds it already."""
        token = _ACTIVE.set((self, *_ACTIVE.get()))
        try:
            yield self
        finally:
            _ACTIVE.reset(token)

    @property
    def used(self) -> Spent:
        """What has been used until now, in the current period."""
        self._roll()
        tokens, pico, calls = self._used
        return Spent(tokens, pico / PICO, calls, self._unpriced)

    @property
    def reserved(self) -> Spent:
        """What calls in progress have reserved."""
        tokens, pico, calls = self._reserved
        return Spent(tokens, pico / PICO, calls)

    @property
    def limits_usd(self) -> bool:
        """Whether dollars are limited, so that a price is needed."""
        return self._max[1] is not None

    @property
    def limits_use(self) -> bool:
        """Whether tokens or dollars are limited, so that an answer must not be longer than was reserved."""
        return self.on_exhausted != "warn" and (self._max[0] is not None or self._max[1] is not None)

    @property
    def is_short(self) -> bool:
        """Whether the use of a limit has reached `warn_at`."""
        self._roll()
        return any(
            limit is not None and self._used[index] >= self._warn_at * limit for index, limit in enumerate(self._max)
        )

    def extend(self, *, tokens: int = 0, usd: float = 0.0, calls: int = 0) -> None:
        """Raise the limits by so much; calls that wait look again. A limit that is None stays so."""
        if min(tokens, usd, calls) < 0:
            raise ValueError(f"limits can be raised, not lowered; got {tokens!r} tokens, {usd!r} usd, {calls!r} calls")
        for index, more in enumerate((tokens, to_pico(usd), calls)):
            limit = self._max[index]
            if limit is not None and more:
                self._max[index] = limit + more
                self._told[index] = min(self._told[index], self._level(index))
        self._changed()

    # --- arithmetic --------------------------------------------------------------------------------

    def output_left(self, prompt_tokens: int, price: Price | None) -> int | None:
        """Return how many tokens of answer fit after such a prompt, were no call in progress; None for any number."""
        self._roll()
        room: list[int] = []
        if self.on_exhausted == "warn":
            return None
        if self._max[0] is not None:
            room.append(self._max[0] - self._used[0] - prompt_tokens)
        price = price or self.assumed_price
        if self._max[1] is not None and price is not None:
            affordable = price.output_for(self._max[1] - self._used[1], prompt_tokens)
            if affordable is not None:
                room.append(affordable)
        return min(room, default=None)

    def amount(self, prompt_tokens: int, output_tokens: int, price: Price | None, cached_tokens: int = 0) -> list[int]:
        """Return what one call of so many tokens is in this budget's terms."""
        price = price or self.assumed_price
        pico = 0 if price is None else price.cost(prompt_tokens, output_tokens, cached_tokens)
        return [prompt_tokens + output_tokens, pico, 1]

    def shortfall(self, amount: Sequence[int]) -> Shortfall | None:
        """Return why `amount` does not fit, or None if it does."""
        self._roll()
        if self.on_exhausted == "warn":
            return None
        soft: Shortfall | None = None
        for index, limit in enumerate(self._max):
            if limit is None or self._used[index] + self._reserved[index] + amount[index] <= limit:
                continue
            fits_later = self._used[index] + amount[index] <= limit
            found = Shortfall(self, self._error(index, amount[index]), fits_later)
            if not fits_later:
                return found
            soft = soft or found
        return soft

    def hold(self, amount: Sequence[int]) -> None:
        """Reserve; only what `shortfall` has let pass."""
        self._reserved = [have + more for have, more in zip(self._reserved, amount, strict=True)]

    def book(self, held: Sequence[int], real: Sequence[int], *, unpriced: bool) -> list[BudgetNotice]:
        """Replace what was held by what was used; return what there is to tell."""
        self._roll()
        self._reserved = [have - less for have, less in zip(self._reserved, held, strict=True)]
        self._used = [have + more for have, more in zip(self._used, real, strict=True)]
        self._unpriced += unpriced
        notices: list[BudgetNotice] = []
        for index, limit in enumerate(self._max):
            level = self._level(index)
            if limit is not None and level > self._told[index]:
                self._told[index] = level
                used = _shown(index, self._used[index])
                notices.append(BudgetNotice(self.name, LIMITS[index], used, _shown(index, limit), level == 2))
        self._changed()
        return notices

    def _level(self, index: int) -> int:
        limit, used = self._max[index], self._used[index]
        if limit is None or not used:
            return 0
        return 2 if used >= limit else int(used >= self._warn_at * limit)

    def _error(self, index: int, wanted: int) -> BudgetExceeded:
        return BudgetExceeded(
            self.name,
            LIMITS[index],
            used=_shown(index, self._used[index]),
            maximum=_shown(index, self._max[index] or 0),
            wanted=_shown(index, wanted),
            retry_after=None if self._period is None else self._period - self._clock() % self._period,
            source=self,
        )

    def _roll(self) -> None:
        """Start a new period, if it is time; what is reserved stays so."""
        if self._period is not None:
            window = math.floor(self._clock() / self._period)
            if window != self._window:
                self._window = window
                self._used = [0, 0, 0]
                self._told = [0, 0, 0]
                self._unpriced = 0

    def listen(self, callback: Callable[[], None]) -> None:
        """Call `callback`, once, when something was settled or a limit was raised."""
        self._listeners.append(callback)

    def unlisten(self, callback: Callable[[], None]) -> None:
        """Call it no more."""
        if callback in self._listeners:
            self._listeners.remove(callback)

    def _changed(self) -> None:
        if self._listeners:
            listeners, self._listeners = self._listeners, []
            for callback in listeners:
                callback()


def _shown(index: int, value: int) -> float:
    return value / PICO if index == 1 else value


_ACTIVE: ContextVar[tuple[Budget, ...]] = ContextVar("tinyllm_actors.budgets", default=())

active_budgets = _ACTIVE.get
"""Return the budgets that bind the current context, the innermost first."""


def current_budget() -> Budget | None:
    """Return the innermost budget that is active here, if any; `.child()` of it is a smaller part of the same."""
    active = _ACTIVE.get()
    return active[0] if active else None


def chain(*budgets: Budget | None) -> list[Budget]:
    """Return these budgets and all above them, each once, the innermost first."""
    found: dict[Budget, None] = {}
    for budget in budgets:
        while budget is not None and budget not in found:
            found[budget] = None
            budget = budget.parent
    return list(found)
