"""The gate that all callers of one model pass: rates, concurrency, circuit, and one shared wait after a 429."""

from __future__ import annotations

import math
import random
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

import anyio

from tinyllm_actors.errors import CircuitOpen, ModelTimeout, ModelUnavailable, Overloaded, ProviderBusy, RateLimited
from tinyllm_actors.kernel import Transition
from tinyllm_actors.llm.breaker import BREAKER, Circuit
from tinyllm_actors.llm.rate_window import RateWindow

if TYPE_CHECKING:
    from tinyllm_actors.errors import ModelError
    from tinyllm_actors.kernel import ActorSystem, Backoff
    from tinyllm_actors.kernel.slots import Slot
    from tinyllm_actors.kernel.timers import Entry
    from tinyllm_actors.llm.breaker import CircuitEvent, CircuitState
    from tinyllm_actors.llm.limits import Limits
    from tinyllm_actors.llm.rate_window import RateEntry

__all__ = ["Gate", "Permit"]

MINUTE: Final = 60.0

MAX_QUEUE: Final = 10_000
"""Calls that wait together after a 429 where there are no limits."""

_SHARED_STATUS: Final = (429, 503, 529)
"""Answers that say "all of you, slow down"; another 5xx is about one request."""


def is_shared(error: ModelError) -> bool:
    """Whether a failure means that every caller should wait, not only the one who got it."""
    if isinstance(error, RateLimited):
        return True
    return isinstance(error, Overloaded) and (error.status in _SHARED_STATUS or error.retry_after is not None)


def health_of(error: BaseException | None) -> bool | None:
    """Return what the end of a call says of the provider: True for well, False for ill, None for nothing."""
    if error is None:
        return True
    if isinstance(error, Overloaded | ModelUnavailable | ModelTimeout):
        return False
    # It answered, if only to refuse this request; a cancelled call tells nothing.
    return True if isinstance(error, Exception) and not isinstance(error, RateLimited) else None


class Gate:
    """What the callers of one model share. It waits for nothing but its own queue, and never polls.

    It outlives the incarnations of the provider that owns it: what was sent in the last minute still counts.

    Args:
        model: the name of the model, for errors.

    Attributes:
        engaged: whether calls must pass here. False, they go straight to the model: there is no limit, and nobody
            has to wait.
        limits: what holds; None for nothing.
        strikes: how often in a row everybody was told to wait.
    """

    def __init__(self, model: str) -> None:
        self.engaged = False
        self.limits: Limits | None = None
        self.strikes = 0
        self._model = model
        self._system: ActorSystem | None = None
        self._path = self._label = ""
        self._circuit: Circuit | None = None
        self._requests: RateWindow | None = None
        self._tokens: RateWindow | None = None
        self._in_progress = 0
        self._waiting: OrderedDict[_Waiter, None] = OrderedDict()
        self._timer: Entry | None = None
        self._hold_until = -math.inf
        self._held_at = -math.inf
        self._stepped_at = 0.0

    def attach(self, system: ActorSystem, path: str, label: str) -> None:
        """Belong to the provider at `path`, under which transitions are published."""
        self._system = system
        self._path = path
        self._label = label

    def configure(self, limits: Limits) -> None:
        """Let these limits hold from now on; what was sent before is not counted."""
        self.limits = limits
        self.engaged = True
        breaker = limits.breaker
        self._circuit = None if breaker is None else Circuit(breaker, self._label, self._on_step)
        requests, tokens = limits.requests_per_minute, limits.tokens_per_minute
        self._requests = None if requests is None else RateWindow(requests, MINUTE)
        self._tokens = None if tokens is None else RateWindow(tokens, MINUTE)

    @property
    def counts_tokens(self) -> bool:
        """Whether `enter` needs to know how many tokens a call may have."""
        return self._tokens is not None

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return len(self._waiting)

    @property
    def in_progress(self) -> int:
        """How many calls are inside."""
        return self._in_progress

    @property
    def circuit(self) -> CircuitState | None:
        """The state of the circuit; None where there is no breaker."""
        return None if self._circuit is None else self._circuit.state

    # --- passing -----------------------------------------------------------------------------------

    async def enter(self, tokens: int, patience: float) -> Permit:
        """Wait for this call's turn. The permit must be ended, however the call ends.

        Args:
            tokens: what the call may use, as estimated.
            patience: seconds to wait at most.

        Raises:
            CircuitOpen: the model has failed too often, and is left alone.
            ProviderBusy: the queue is full, or the turn would come too late.
        """
        system = self._attached
        now = system.now()
        self._check_circuit(now)
        if self._tokens is not None:
            # The room for an answer may be larger than any answer; the provider decides on too long a prompt.
            tokens = min(tokens, self._tokens.limit)
        ready = self._ready_at(now, tokens)
        if not self._waiting and ready <= now and self._has_room():
            return self._admit(now, tokens)
        if ready - now >= patience:
            raise ProviderBusy(
                self._model, f"its limits allow no call for {ready - now:.3g} s", retry_after=ready - now
            )
        most = MAX_QUEUE if self.limits is None else self.limits.max_queue
        if len(self._waiting) >= most:
            raise ProviderBusy(self._model, f"{len(self._waiting)} calls wait already, which is its max_queue")
        waiter = _Waiter(tokens, system.backend.new_slot())
        self._waiting[waiter] = None
        self._pump()
        try:
            with anyio.move_on_after(patience):
                await waiter.slot
        except BaseException:
            if waiter.permit is not None:  # it was let in and cancelled at the same time
                waiter.permit.end(None)
            raise
        finally:
            if waiter in self._waiting:
                del self._waiting[waiter]
                self._pump()
        if waiter.error is not None:
            raise waiter.error
        if waiter.permit is None:
            raise ProviderBusy(self._model, f"no turn came within {patience:.3g} s")
        return waiter.permit

    def _check_circuit(self, now: float) -> None:
        circuit = self._circuit
        if circuit is not None and (ready := circuit.ready_at(now)) > now:
            raise CircuitOpen(self._model, None if ready == math.inf else ready - now)

    def _has_room(self) -> bool:
        most = None if self.limits is None else self.limits.max_concurrency
        return most is None or self._in_progress < most

    def _ready_at(self, now: float, tokens: int) -> float:
        """Return when rates and the shared wait let a call through."""
        ready = max(now, self._hold_until)
        if self._requests is not None:
            ready = max(ready, self._requests.ready_at(now, 1))
        if self._tokens is not None:
            ready = max(ready, self._tokens.ready_at(now, tokens))
        return ready

    def _admit(self, now: float, tokens: int) -> Permit:
        self._in_progress += 1
        if self._requests is not None:
            self._requests.add(now, 1)
        window, circuit = self._tokens, self._circuit
        entry = None if window is None else window.add(now, tokens)
        return Permit(self, window, entry, circuit, 0 if circuit is None else circuit.admit(now))

    def _pump(self) -> None:
        """Let in whoever may go, oldest first, and see to it that the next one is looked at in time."""
        now = self._attached.now()
        if self._timer is not None:
            self._attached.timers.cancel(self._timer)
            self._timer = None
        while self._waiting:
            waiter = next(iter(self._waiting))
            try:
                self._check_circuit(now)
            except CircuitOpen as error:
                waiter.error = error
            else:
                ready = self._ready_at(now, waiter.tokens)
                if not self._has_room():
                    return
                if ready > now:
                    self._timer = self._attached.timers.at(ready, self)
                    return
                waiter.permit = self._admit(now, waiter.tokens)
            del self._waiting[waiter]
            waiter.slot.set()
        self.engaged = self.limits is not None or self._hold_until > now

    def expire(self) -> None:
        """Look again: the time has come for whoever waits first."""
        self._timer = None
        self._pump()

    def now(self) -> float:
        """Return the time on the system's clock."""
        return self._attached.now()

    def left(self) -> None:
        """Let the next one in: a call has ended."""
        self._in_progress -= 1
        self._pump()

    # --- everybody waits ---------------------------------------------------------------------------

    def hold(self, error: ModelError, backoff: Backoff, began: float) -> float:
        """Let everybody wait, because the provider says so; return for how many seconds.

        Calls that were in progress together and get the same answer count once.

        Args:
            error: what the provider answered.
            backoff: how long, where the provider does not say.
            began: when the call began that got the answer.
        """
        now = self._attached.now()
        asked = now + (error.retry_after or 0.0)
        if began > self._held_at:
            self._held_at = now
            asked = max(asked, now + backoff.delay(self.strikes, random.random()))
            self.strikes += 1
        self._hold_until = max(self._hold_until, asked)
        self.engaged = True
        if self._waiting:
            self._pump()
        return self._hold_until - now

    def succeeded(self, began: float) -> None:
        """Forget the strikes, if a call that began after the last one was answered."""
        if began > self._held_at:
            self.strikes = 0

    # --- who it belongs to -------------------------------------------------------------------------

    @property
    def _attached(self) -> ActorSystem:
        assert self._system is not None, "a gate is attached by its provider before it is lent"
        return self._system

    def _on_step(self, source: CircuitState, event: CircuitEvent, target: CircuitState) -> None:
        system = self._attached
        now = system.now()
        elapsed = now - self._stepped_at if self._stepped_at else 0.0
        self._stepped_at = now
        if system.events_stream.transitions:
            system.events_stream.publish(
                Transition(self._path, self._label, BREAKER.name, source, event, target, 0, elapsed)
            )


class Permit:
    """A call's way through the gate. End it, however the call ends; a second end changes nothing."""

    __slots__ = ("_circuit", "_entry", "_era", "_gate", "_tokens")

    def __init__(
        self, gate: Gate, tokens: RateWindow | None, entry: RateEntry | None, circuit: Circuit | None, era: int
    ) -> None:
        self._gate: Gate | None = gate
        self._tokens = tokens
        self._entry = entry
        self._circuit = circuit
        self._era = era

    def end(self, healthy: bool | None, tokens: int | None = None) -> None:
        """Leave.

        Args:
            healthy: what the call says of the provider, see `health_of`.
            tokens: what it used; None if that is not known, so that the estimate stays.
        """
        gate, self._gate = self._gate, None
        if gate is None:
            return
        if self._tokens is not None and self._entry is not None and tokens is not None:
            self._tokens.settle(self._entry, tokens)
        if self._circuit is not None:
            self._circuit.end(self._era, healthy, gate.now())
        gate.left()


class _Waiter:
    __slots__ = ("error", "permit", "slot", "tokens")

    def __init__(self, tokens: int, slot: Slot) -> None:
        self.tokens = tokens
        self.slot = slot
        self.permit: Permit | None = None
        self.error: CircuitOpen | None = None
