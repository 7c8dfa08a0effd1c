"""Laws of composition, over random trees of Functions."""

from __future__ import annotations

import random
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tinyllm_actors import ActorSystem, Backoff, FunctionStream, chain, concurrent
from tinyllm_actors.errors import RateLimited
from tinyllm_actors.function import as_function
from tinyllm_actors.function.compose import cache, fallback, graph, map_each, race, retry, timeout
from tinyllm_actors.testing.clock import VirtualClock

backends = pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])


def step(kind: str, number: int) -> Any:
    """Return a part that is a pure function of its arguments, or fails."""

    async def part(**arguments: Any) -> Any:
        await anyio.lowlevel.checkpoint()
        if kind == "fail" or kind == "skip":
            raise ValueError(f"part {number} fails")
        seen = sorted(arguments.items())
        answers = {
            "mapping": {"seen": [*seen, number]},
            "input": {"input": number},
            "other": {number: seen},
            "empty": {},
        }
        return answers.get(kind, [*seen, number])

    return as_function(part, name=f"p{number}", required=kind != "skip")


def run_on(backend: str, *specs: Any, **arguments: Any) -> list[Any]:
    """Return the dictionary of each spec."""

    async def main() -> list[Any]:
        async with ActorSystem("test") as system:
            return [await (await system.spawn(spec))(**arguments) for spec in specs]

    return VirtualClock(backend).run(main)


ANSWERS = ["mapping", "list", "input", "other", "empty"]
kinds = st.lists(st.sampled_from([*ANSWERS, "skip", "skip", "skip", "fail"]), min_size=3, max_size=6)


@backends
@given(kinds=kinds, cut=st.integers(0, 5), argument=st.sampled_from(["q", "input"]))
@example(kinds=["mapping", "list", "skip"], cut=1, argument="q")
@example(kinds=["skip", "skip", "skip"], cut=0, argument="input")
@settings(max_examples=80)
def test_chain_is_associative(backend: str, kinds: list[str], cut: int, argument: str) -> None:
    """However parts are grouped, the chain answers the same output or the same error of the same part."""
    parts = [step(kind, number) for number, kind in enumerate(kinds)]
    place = 1 + cut % (len(parts) - 1)
    left, right = parts[:place], parts[place:]
    flat, first, second = chain(*parts), chain(chain(*left), *right), chain(*left, chain(*right))
    answers = run_on(backend, flat, first, second, chain(chain(*left), chain(*right)), **{argument: 1})
    outcomes = [
        (answer["status"], answer.get("output"), answer.get("error", {}).get("part", "").rpartition("/")[2])
        for answer in answers
    ]
    assert outcomes == [outcomes[0]] * 4


@backends
@given(delays=st.lists(st.integers(0, 5), min_size=1, max_size=8), cap=st.integers(1, 8))
@settings(max_examples=40)
def test_results_are_in_the_order_of_the_parts(backend: str, delays: list[int], cap: int) -> None:
    """Whichever part or item ends first, `concurrent` and `map_each` keep the order given."""

    def sleeper(number: int, delay: int) -> Any:
        async def part() -> int:
            await anyio.sleep(delay)
            return number

        return as_function(part, name=f"p{number}")

    async def sleep(input: int) -> int:
        await anyio.sleep(delays[input])
        return input

    numbers = list(range(len(delays)))
    together = concurrent(*[sleeper(n, delay) for n, delay in enumerate(delays)], max_concurrency=cap)
    assert run_on(backend, together)[0]["output"] == numbers
    assert run_on(backend, map_each(sleep, max_concurrency=cap), input=numbers)[0]["output"] == numbers


def tree(depth: int, choose: random.Random, part: Any) -> Any:
    """Return a random composition."""
    if depth == 0:
        return part()
    below = [tree(depth - 1, choose, part) for _ in range(choose.randint(1, 3))]
    match choose.randrange(8):
        case 0:
            return chain(*below)
        case 1:
            return concurrent(*below, max_concurrency=choose.choice([None, 1, 2]))
        case 2:
            return race(*below)
        case 3:
            return fallback(*below)
        case 4:
            return retry(below[0], backoff=Backoff(1.0, 2.0))
        case 5:
            return timeout(below[0], 1000.0)
        case 6:
            return cache(below[0])
        case _:
            return graph({f"n{n}": one for n, one in enumerate(below)})


@backends
@given(seed=st.integers(0, 2**32), moment=st.floats(0.0, 6.0), streamed=st.booleans())
@settings(max_examples=40)
def test_cancelling_closes_all(backend: str, seed: int, moment: float, streamed: bool) -> None:
    """Whenever the caller leaves, and whatever was going on, no part of a random composition runs on."""
    choose = random.Random(seed)
    running: set[object] = set()

    def part() -> Any:
        async def work(**_: Any) -> Any:
            token = object()
            running.add(token)
            try:
                await anyio.sleep(choose.random() * 3)
            finally:
                running.discard(token)
            if choose.random() < 0.3:
                raise RateLimited("later")
            return {"n": 1}

        return as_function(work)

    async def main() -> None:
        async with ActorSystem("test") as system:
            ref = await system.spawn(tree(3, choose, part))
            with anyio.move_on_after(moment):
                if streamed:
                    async with ref.stream(n=0) as items:
                        async for _ in items:
                            pass
                else:
                    await ref(n=0)
            for _ in range(200):  # cancellation goes down one level with each turn of the loop
                await anyio.lowlevel.checkpoint()
            assert not running

    VirtualClock(backend).run(main)


@backends
@given(before=st.lists(st.integers(0, 3), min_size=1, max_size=4), retryable=st.booleans())
@settings(max_examples=40)
def test_what_was_read_is_never_repeated(backend: str, before: list[int], retryable: bool) -> None:
    """An attempt that delivered an item is the last one; those before it left nothing in the stream."""
    attempts: list[int] = []

    class Flaky(FunctionStream):
        async def run(self, **_: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
            count = before[len(attempts)] if len(attempts) < len(before) else 1
            attempts.append(count)
            for n in range(count):
                yield len(attempts), n
            if len(attempts) <= len(before):
                raise RateLimited("later", retryable=retryable)

    async def main() -> list[Any]:
        async with ActorSystem("test") as system:
            ref = await system.spawn(retry(Flaky, max_retries=10, backoff=Backoff(0.1, 0.1)))
            async with ref.stream() as items:
                return [item async for item in items]

    items = VirtualClock(backend).run(main)
    seen = [item["output"] for item in items if item["status"] == "success"]
    assert len({attempt for attempt, _ in seen}) <= 1
    assert [n for _, n in seen] == list(range(len(seen)))
    assert not any(attempts[:-1])
    if not retryable:
        assert len(attempts) == 1


@backends
@given(keys=st.lists(st.integers(0, 3), min_size=1, max_size=30), cap=st.integers(1, 4), leaves=st.integers(0, 30))
@settings(max_examples=40)
def test_a_key_is_in_flight_once(backend: str, keys: list[int], cap: int, leaves: int) -> None:
    """Whoever comes when, and whoever leaves, the part never works on one key twice at a time; all others get it."""
    flying: list[int] = []
    answers: dict[int, Any] = {}

    async def work(key: int) -> int:
        assert key not in flying
        flying.append(key)
        try:
            await anyio.sleep(1.0 + key)
        finally:
            flying.remove(key)
        return key

    async def main() -> None:
        async with ActorSystem("test") as system, anyio.create_task_group() as group:
            ref = await system.spawn(cache(work, max_concurrency=cap))

            async def call(place: int, key: int) -> None:
                await anyio.sleep(place % 5 * 0.5)
                with anyio.move_on_after(0.75 if place < leaves and place % 2 else None):
                    answers[place] = await ref(key=key)

            for place, key in enumerate(keys):
                group.start_soon(call, place, key)

    VirtualClock(backend).run(main)
    for place, key in enumerate(keys):
        if place >= leaves or not place % 2:
            assert answers[place] == {"status": "success", "output": key}
