"""The gate: nobody overtakes, nobody is lost, nobody waits for longer than they may."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors import ActorSystem, Backoff
from tinyllm_actors.errors import (
    CircuitOpen,
    ConfigurationError,
    ModelError,
    ModelUnavailable,
    Overloaded,
    ProviderBusy,
    RateLimited,
    RequestRejected,
)
from tinyllm_actors.kernel import Transition
from tinyllm_actors.llm import Breaker, Limits
from tinyllm_actors.llm.gate import Gate, health_of, is_shared

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = [pytest.mark.anyio, pytest.mark.virtual_time]

BACKOFF = Backoff(1.0, 8.0, jitter=0.0)
INF = float("inf")


def is_in_order(went: dict[int, float], arrived: Sequence[int]) -> bool:
    """Whether nobody went before one that had arrived earlier; who goes in one moment, trio wakes in any order."""
    times = [went[number] for number in arrived if number in went]
    return times == sorted(times)


def gate_of(system: ActorSystem, limits: Limits | None = None) -> Gate:
    """Return a gate with limits."""
    gate = Gate("m")
    gate.attach(system, "services/m", "m")
    if limits is not None:
        gate.configure(limits)
    return gate


async def test_requests_are_spread_over_minutes() -> None:
    """Seven calls under three a minute go at 0, 0, 0, 60, 60, 60 and 120 seconds, in the order in which they came."""
    arrived: list[int] = []
    went: dict[int, float] = {}
    began = anyio.current_time()
    async with ActorSystem("t") as system, anyio.create_task_group() as tasks:
        gate = gate_of(system, Limits(requests_per_minute=3))

        async def call(number: int) -> None:
            arrived.append(number)
            permit = await gate.enter(0, INF)
            went[number] = anyio.current_time()
            permit.end(True)

        for number in range(7):
            tasks.start_soon(call, number)
    assert [round(went[number] - began) for number in arrived] == [0, 0, 0, 60, 60, 60, 120]


async def test_tokens_are_settled() -> None:
    """What a call did not use is free at once; one that is larger than the limit is not refused for ever."""
    async with ActorSystem("t") as system:
        gate = gate_of(system, Limits(tokens_per_minute=100))
        assert gate.counts_tokens
        began = anyio.current_time()
        first = await gate.enter(90, INF)
        first.end(True, 10)
        first.end(True, 0)  # changes nothing
        second = await gate.enter(90, INF)
        assert anyio.current_time() == began
        second.end(True)  # it is not known what it used: the estimate stays
        (await gate.enter(1_000, INF)).end(True)
        assert anyio.current_time() - began == pytest.approx(60.0)


async def test_a_small_call_does_not_overtake_a_large_one() -> None:
    """Who waits first goes first, though somebody behind would fit already."""
    went: list[int] = []
    async with ActorSystem("t") as system, anyio.create_task_group() as tasks:
        gate = gate_of(system, Limits(tokens_per_minute=100))
        (await gate.enter(50, INF)).end(True)

        async def call(tokens: int) -> None:
            permit = await gate.enter(tokens, INF)
            went.append(tokens)
            await anyio.sleep(1.0)
            permit.end(True)

        tasks.start_soon(call, 90)
        await anyio.sleep(1.0)
        tasks.start_soon(call, 10)
        await anyio.sleep(1.0)
        assert not went
        await anyio.sleep(60.0)
        assert sorted(went) == [10, 90]


@pytest.mark.parametrize("seed", range(4))
async def test_the_queue_is_fair_and_loses_nobody(seed: int) -> None:
    """Random callers, some of whom leave, go in the order in which they came, never more at once than may."""
    dice = random.Random(seed)
    limits = Limits(max_concurrency=3, requests_per_minute=40)
    arrived: list[int] = []
    went: dict[int, float] = {}
    left: set[int] = set()
    inside = 0
    gate = Gate("m")
    gate.configure(limits)
    async with ActorSystem("t") as system, anyio.create_task_group() as tasks:
        gate.attach(system, "m", "m")

        async def call(number: int, patience: float, work: float) -> None:
            nonlocal inside
            arrived.append(number)
            with anyio.move_on_after(patience) as scope:
                permit = await gate.enter(0, INF)
                went[number] = anyio.current_time()
                inside += 1
                assert inside <= 3
                try:
                    await anyio.sleep(work)
                finally:
                    inside -= 1
                    permit.end(None)
            if scope.cancelled_caught and number not in went:
                left.add(number)

        for number in range(150):
            patience = dice.choice([INF, INF, 5.0, 30.0])
            tasks.start_soon(call, number, patience, dice.random() * 3)
            await anyio.sleep(dice.choice([0.0, 0.0, dice.random()]))
    assert is_in_order(went, arrived)
    assert set(went) | left == set(range(150))
    assert left
    assert (gate.in_progress, gate.waiting) == (0, 0)


async def test_a_full_queue_is_a_typed_error() -> None:
    """A call beyond `max_queue` fails at once, naming the model and the limit."""
    async with ActorSystem("t") as system, anyio.create_task_group() as tasks:
        gate = gate_of(system, Limits(max_concurrency=1, max_queue=1))
        permit = await gate.enter(0, INF)
        tasks.start_soon(gate.enter, 0, INF)
        await anyio.sleep(1.0)
        with pytest.raises(ProviderBusy, match=r"'m' is busy: 1 calls wait already, which is its max_queue"):
            await gate.enter(0, INF)
        permit.end(True)


async def test_waiting_ends_with_patience() -> None:
    """A turn that is known to come too late is refused at once; one that does not come in time is refused then."""
    async with ActorSystem("t") as system:
        gate = gate_of(system, Limits(requests_per_minute=1))
        permit = await gate.enter(0, INF)
        began = anyio.current_time()
        with pytest.raises(ProviderBusy, match=r"no call for 60 s") as caught:
            await gate.enter(0, 10.0)
        assert caught.value.retry_after == pytest.approx(60.0)
        assert caught.value.retryable
        assert anyio.current_time() == began
        permit.end(True)
        busy = gate_of(system, Limits(max_concurrency=1))
        permit = await busy.enter(0, INF)
        with pytest.raises(ProviderBusy, match=r"no turn came within 10 s"):
            await busy.enter(0, 10.0)
        assert anyio.current_time() - began == pytest.approx(10.0)
        assert not busy.waiting
        permit.end(True)


async def test_who_is_let_in_while_leaving_leaves_nothing_behind() -> None:
    """A waiter that is cancelled in the moment of its turn gives the place to the next."""
    gate, reached = Gate("m"), list[str]()
    gate.configure(Limits(max_concurrency=1))
    async with ActorSystem("t") as system, anyio.create_task_group() as tasks:
        gate.attach(system, "m", "m")
        first = await gate.enter(0, INF)
        scope = anyio.CancelScope()

        async def leaver() -> None:
            with scope:
                (await gate.enter(0, INF)).end(None)

        async def last() -> None:
            permit = await gate.enter(0, INF)
            reached.append("last")
            permit.end(True)

        tasks.start_soon(leaver)
        await anyio.sleep(1.0)
        tasks.start_soon(last)
        await anyio.sleep(1.0)
        first.end(True)
        scope.cancel()
    assert reached == ["last"]
    assert gate.in_progress == 0


async def test_who_leaves_the_line_lets_the_next_one_go() -> None:
    """When a large call that waits first leaves, a small one behind it that fits goes at once."""
    went: list[float] = []
    async with ActorSystem("t") as system, anyio.create_task_group() as tasks:
        gate = gate_of(system, Limits(tokens_per_minute=100))
        (await gate.enter(50, INF)).end(True)
        began = anyio.current_time()

        async def large() -> None:
            with anyio.move_on_after(5.0):
                await gate.enter(90, INF)

        async def small() -> None:
            (await gate.enter(10, INF)).end(True)
            went.append(anyio.current_time() - began)

        tasks.start_soon(large)
        await anyio.sleep(1.0)
        tasks.start_soon(small)
    assert went == [pytest.approx(5.0)]


async def test_a_native_cancellation_in_the_moment_of_the_turn(anyio_backend: tuple[str, dict[str, Any]]) -> None:
    """On asyncio a task can be cancelled that was let in and has not run since; its place is given back."""
    if anyio_backend[0] != "asyncio":
        pytest.skip("trio lets such a task run")
    async with ActorSystem("t") as system:
        gate = gate_of(system, Limits(max_concurrency=1))
        first = await gate.enter(0, INF)
        task = asyncio.create_task(gate.enter(0, INF))
        await anyio.sleep(1.0)
        first.end(True)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (gate.in_progress, gate.waiting) == (0, 0)


# --- one shared wait ------------------------------------------------------------------------------


async def test_one_429_lets_everybody_wait() -> None:
    """Calls that were in progress together and are refused count once; the next ones wait, and the wait grows."""
    async with ActorSystem("t") as system, anyio.create_task_group() as tasks:
        gate = gate_of(system)
        assert not gate.engaged
        began = system.now()
        assert [gate.hold(RateLimited("slow"), BACKOFF, began) for _ in range(5)] == [1.0, 1.0, 1.0, 1.0, 1.0]
        assert (gate.engaged, gate.strikes) == (True, 1)
        went: list[float] = []

        async def call() -> None:
            permit = await gate.enter(0, INF)
            went.append(round(system.now() - began, 3))
            permit.end(True)

        for _ in range(3):
            tasks.start_soon(call)
        await anyio.sleep(0.5)
        assert gate.hold(RateLimited("slow", retry_after=4.0), BACKOFF, began) == 4.0  # said later, by another of them
        await anyio.sleep(10.0)
        assert went == [4.5, 4.5, 4.5]
        assert not gate.engaged
        assert gate.hold(RateLimited("slow"), BACKOFF, system.now()) == 2.0
        gate.succeeded(began)  # a call from before tells nothing
        assert gate.strikes == 2
        await anyio.sleep(3.0)
        gate.succeeded(system.now())
        assert gate.strikes == 0


async def test_a_long_shared_wait_is_told_at_once() -> None:
    """Who cannot wait for as long as the provider asks is refused, and told for how long."""
    async with ActorSystem("t") as system:
        gate = gate_of(system)
        gate.hold(RateLimited("slow", retry_after=100.0), BACKOFF, system.now())
        with pytest.raises(ProviderBusy) as caught:
            await gate.enter(0, 50.0)
        assert caught.value.retry_after == 100.0


@pytest.mark.parametrize(
    ("error", "shared", "healthy"),
    [
        (RateLimited(""), True, None),
        (Overloaded("", status=529), True, False),
        (Overloaded("", status=500), False, False),
        (Overloaded("", status=500, retry_after=1.0), True, False),
        (ModelUnavailable(""), False, False),
        (RequestRejected(""), False, True),
        (ModelError(""), False, True),
    ],
)
def test_what_failures_say_of_the_provider(error: ModelError, shared: bool, healthy: bool | None) -> None:
    """Limits and overload concern everybody; a refused request is an answer, and a 429 no illness."""
    assert is_shared(error) is shared
    assert health_of(error) is healthy


def test_a_cancelled_call_says_nothing() -> None:
    """Nor does an answer say anything but well."""
    assert health_of(KeyboardInterrupt()) is None
    assert health_of(None) is True


# --- the circuit ----------------------------------------------------------------------------------


async def test_an_open_circuit_fails_at_once_and_heals() -> None:
    """After failures in a row calls fail at once, waiting ones too; after the cooldown one goes, and then all."""
    async with ActorSystem("t") as system, anyio.create_task_group() as tasks:
        moves: list[Transition] = []
        system.events_stream.subscribe(moves.append, Transition)
        limits = Limits(max_concurrency=2, breaker=Breaker(max_failures=1, cooldown=30.0))
        gate = gate_of(system, limits)
        permits = [await gate.enter(0, INF) for _ in range(2)]
        told: list[str] = []

        async def waiting() -> None:
            try:
                await gate.enter(0, INF)
            except CircuitOpen as error:
                told.append(str(error))

        tasks.start_soon(waiting)
        tasks.start_soon(waiting)
        await anyio.sleep(1.0)
        for permit in permits:  # the second one is of another era
            permit.end(False)
        await anyio.sleep(1.0)
        assert told == ["model 'm' failed too often and is left alone for 30 s more"] * 2
        with pytest.raises(CircuitOpen) as caught:
            await gate.enter(0, INF)
        assert caught.value.retry_after == pytest.approx(29.0)
        await anyio.sleep(29.0)
        trial = await gate.enter(0, INF)
        with pytest.raises(CircuitOpen, match="while one call is on trial"):
            await gate.enter(0, INF)
        trial.end(None)  # cancelled: the next one is the trial
        (await gate.enter(0, INF)).end(True)
        (await gate.enter(0, INF)).end(True)
        assert [(move.path, move.machine, move.target) for move in moves if move.machine == "breaker"] == [
            ("services/m", "breaker", "OPEN"),
            ("services/m", "breaker", "HALF_OPEN"),
            ("services/m", "breaker", "CLOSED"),
        ]
        assert [round(move.elapsed) for move in moves if move.machine == "breaker"] == [0, 30, 0]
        assert not gate.in_progress


@pytest.mark.parametrize(
    "settings",
    [{"requests_per_minute": 0}, {"tokens_per_minute": -1}, {"max_concurrency": 0}, {"max_queue": -1}],
)
def test_settings_without_meaning_are_refused(settings: dict[str, Any]) -> None:
    """Each is an error that names the setting and shows the value."""
    with pytest.raises(ConfigurationError, match=next(iter(settings))):
        Limits(**settings)
