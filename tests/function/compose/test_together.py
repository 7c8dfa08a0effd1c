"""Several Functions at once: concurrent, map_each and race."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tinyllm_actors import ActorSystem, concurrent
from tinyllm_actors.function.compose import map_each, race
from tinyllm_actors.kernel import Pool

pytestmark = pytest.mark.anyio


async def call(spec: Any, **arguments: Any) -> Any:
    """Return the dictionary of one call."""
    async with ActorSystem("test") as system:
        return await (await system.spawn(spec))(**arguments)


async def collect(spec: Any, **arguments: Any) -> list[Any]:
    """Return what a stream delivers."""
    async with ActorSystem("test") as system:
        ref = await system.spawn(spec)
        async with ref.stream(**arguments) as items:
            return [item async for item in items]


# --- concurrent -----------------------------------------------------------------------------------


async def test_concurrent_runs_all_at_once_and_keeps_their_order(bench: Any) -> None:
    """Each part waits for all others to have begun, and still the outputs are in the order of the parts."""
    names = [f"p{n}" for n in range(5)]
    parts = [bench.part(name, name, waits=True) for name in names]
    async with ActorSystem("test") as system, anyio.create_task_group() as group:
        ref = await system.spawn(concurrent(*parts))

        async def release() -> None:
            for name in names:
                await bench.arrival(name).wait()
            for name in reversed(names):
                bench.gate(name).set()
                await anyio.wait_all_tasks_blocked()

        group.start_soon(release)
        assert await ref(q=1) == {"status": "success", "output": names}
    assert sorted(bench.calls) == [(name, {"q": 1}) for name in names]


@pytest.mark.parametrize("cap", [1, 2, 3])
async def test_concurrency_is_bounded(bench: Any, cap: int) -> None:
    """Never more than `max_concurrency` parts run."""
    spec = concurrent(*[bench.part(f"p{n}", n, waits=True) for n in range(7)], max_concurrency=cap)
    async with ActorSystem("test") as system, anyio.create_task_group() as group:
        ref = await system.spawn(spec)

        async def release() -> None:
            for n in range(7):
                await anyio.wait_all_tasks_blocked()
                assert bench.running == {f"p{m}" for m in range(n, min(n + cap, 7))}
                bench.gate(f"p{n}").set()

        group.start_soon(release)
        assert (await ref())["output"] == list(range(7))
    assert bench.most == cap


async def test_a_failure_cancels_the_others(bench: Any) -> None:
    """No part runs on, and the error names the one that failed."""
    spec = concurrent(bench.part("a", waits=True), bench.part("b", ValueError("no")), bench.part("c", waits=True))
    result = await call(spec)
    assert result["message"] == "b: no"
    assert not bench.running
    assert sorted(bench.cancelled) == ["a", "c"]


async def test_an_optional_part_leaves_none(bench: Any) -> None:
    """Its failure ends nothing, and the places of the others stay."""
    spec = concurrent(bench.part("a", 1), bench.part("b", ValueError("no"), required=False), bench.part("c", 3))
    assert (await call(spec))["output"] == [1, None, 3]


async def test_parts_cannot_change_one_anothers_arguments() -> None:
    """Each gets a dictionary of its own."""

    async def take(**arguments: Any) -> Any:
        arguments.clear()
        return len(arguments)

    async def count(**arguments: Any) -> Any:
        return len(arguments)

    assert (await call(concurrent(take, count), a=1))["output"] == [0, 1]


def test_a_cap_below_one_is_refused(bench: Any) -> None:
    """Nothing could ever run."""
    with pytest.raises(ValueError, match="max_concurrency"):
        concurrent(bench.part("a"), max_concurrency=0)
    with pytest.raises(ValueError, match="max_concurrency"):
        map_each(bench.part("a"), max_concurrency=-1)


# --- map_each -------------------------------------------------------------------------------------


async def test_map_each_keeps_the_order_and_the_bound(bench: Any) -> None:
    """Outputs are in the order of the items; up to `max_concurrency` actors of the part work."""
    running = [0, 0]

    async def work(input: int, plus: int) -> int:
        running[0] += 1
        running[1] = max(running)
        for _ in range(7 - input % 7):
            await anyio.lowlevel.checkpoint()
        running[0] -= 1
        return input + plus

    result = await call(map_each(work, max_concurrency=3), input=list(range(20)), plus=100)
    assert result["output"] == list(range(100, 120))
    assert running[1] == 3


async def test_map_each_spreads_mappings(bench: Any) -> None:
    """An item that is a mapping becomes arguments, beside those of the call, which it may override."""
    spec = map_each(bench.part("p", lambda a, b: (a, b)), over="rows")
    assert (await call(spec, rows=[{"a": 1}, {"a": 2, "b": 3}], b=0))["output"] == [(1, 0), (2, 3)]


async def test_map_each_of_nothing_is_nothing(bench: Any) -> None:
    """An empty list is answered without a call."""
    assert await call(map_each(bench.part("p")), input=[]) == {"status": "success", "output": []}
    assert not bench.calls


@pytest.mark.parametrize("items", ["text", {"a": 1}, 5])
async def test_map_each_needs_a_list(bench: Any, items: Any) -> None:
    """Text, mappings and numbers are no lists of items, and a missing one is named."""
    assert "list" in (await call(map_each(bench.part("p")), input=items))["message"]
    assert "'rows'" in (await call(map_each(bench.part("p"), over="rows"), input=[1]))["message"]


async def test_map_each_says_which_item_failed(bench: Any) -> None:
    """The index is part of the name; a part that is optional leaves None."""

    def check(input: int) -> Any:
        return ValueError("odd") if input % 2 else input

    result = await call(map_each(bench.part("p", check)), input=[0, 2, 3, 4])
    assert result["error"]["part"] == "p[2]"
    optional = map_each(bench.part("p", check, required=False))
    assert (await call(optional, input=[0, 1, 2]))["output"] == [0, None, 2]


async def test_map_each_streams_in_order(bench: Any) -> None:
    """Outputs come one by one, in the order of the items, and nothing more comes."""
    items = await collect(map_each(bench.part("p", lambda input: input * 2), max_concurrency=2), input=[1, 2, 3])
    assert items == [{"status": "success", "output": n} for n in (2, 4, 6)]


async def test_map_each_over_a_pool(bench: Any) -> None:
    """A pool works on several items at once, without actors of the map's own."""
    async with ActorSystem("test") as system:
        pool = await system.spawn(Pool.spec(bench.part("p", lambda input: input), 2))
        ref = await system.spawn(map_each(pool, max_concurrency=4, name="each"))
        assert (await ref(input=[1, 2, 3, 4]))["output"] == [1, 2, 3, 4]
        assert not system.inspect(ref.path).children


async def test_map_each_reports_an_actor_that_does_not_start() -> None:
    """When one more actor of the part cannot be made, that is the error of the item that needed it."""
    made = [0]

    class Scarce:
        def __init__(self) -> None:
            made[0] += 1
            if made[0] > 1:
                raise MemoryError("no more of them")

        async def __call__(self, input: int) -> int:
            await anyio.sleep_forever()
            raise AssertionError

    from tinyllm_actors.function import CallableFunction
    from tinyllm_actors.kernel import ChildSpec

    def make() -> CallableFunction:
        return CallableFunction(Scarce())

    result = await call(map_each(ChildSpec(make)), input=[1, 2])
    assert result["status"] == "error"
    assert "no more of them" in result["message"]


# --- race -----------------------------------------------------------------------------------------


async def test_the_first_success_wins_and_the_others_are_cancelled(bench: Any) -> None:
    """A failure is out of the race; nobody runs on."""
    spec = race(bench.part("slow", waits=True), bench.part("broken", ValueError("no")), bench.part("quick", 1))
    assert await call(spec) == {"status": "success", "output": 1}
    assert not bench.running
    # On trio the order of tasks is random: the winner may be there before the one that fails has come so far.
    assert set(bench.cancelled) - {"broken"} == {"slow"}


async def test_a_race_that_all_lose_names_each(bench: Any) -> None:
    """The message tells of all; it is retryable if one of them is, after the shortest wait."""
    from tinyllm_actors.errors import RateLimited

    slow, slower = RateLimited("wait", retry_after=2.0), RateLimited("wait more", retry_after=9.0)
    result = await call(race(bench.part("a", slower), bench.part("b", slow), bench.part("c", ValueError("no"))))
    assert all(text in result["message"] for text in ("a: wait more", "b: wait", "c: no"))
    assert result["error"]["retryable"]
    assert result["error"]["retry_after"] == 2.0


async def test_a_streamed_race_goes_to_whose_output_starts_first(bench: Any) -> None:
    """Items of one part only come, and the others are cancelled at its first."""
    spec = race(bench.part("slow", waits=True), bench.streaming("quick", [1, 2]))
    assert [item["output"] for item in await collect(spec)] == [1, 2]
    assert bench.cancelled == ["slow"]


async def test_a_streamed_race_never_mixes(bench: Any) -> None:
    """Two that stream at the same time do not appear in one stream."""
    items = await collect(race(bench.streaming("a", ["a"] * 5), bench.streaming("b", ["b"] * 5)))
    assert [item["output"] for item in items] in (["a"] * 5, ["b"] * 5)


async def test_a_winner_that_fails_later_has_won_all_the_same(bench: Any) -> None:
    """The reader has its output; no other can take over."""
    *items, last = await collect(race(bench.part("slow", waits=True), bench.streaming("s", [1], ValueError("broke"))))
    assert [item["output"] for item in items] == [1]
    assert last["message"] == "s: broke"


@pytest.mark.parametrize("make", [concurrent, race])
async def test_cancelling_closes_all(bench: Any, make: Any) -> None:
    """When the caller leaves, every part is cancelled, however deep."""
    inner = make(bench.part("b", waits=True), bench.part("c", waits=True))
    async with ActorSystem("test") as system:
        ref = await system.spawn(make(bench.part("a", waits=True), inner))
        async with anyio.create_task_group() as group:
            group.start_soon(ref)
            for name in "abc":
                await bench.arrival(name).wait()
            group.cancel_scope.cancel()
        await ref.stop()
    assert not bench.running
    assert sorted(bench.cancelled) == ["a", "b", "c"]
