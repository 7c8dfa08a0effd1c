"""Functions that need one another's outputs."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tinyllm_actors import ActorSystem
from tinyllm_actors.function.compose import graph, node

pytestmark = pytest.mark.anyio


async def call(spec: Any, **arguments: Any) -> Any:
    """Return the dictionary of one call."""
    async with ActorSystem("test") as system:
        return await (await system.spawn(spec))(**arguments)


async def test_outputs_go_where_they_are_needed(bench: Any) -> None:
    """Whole outputs, fields of them, arguments of the call and all of these reach the node under its own names."""
    spec = graph(
        {
            "a": bench.part("a", {"x": 1, "y": 2}),
            "b": node(bench.part("b", 3), whole="a", field="a.y", one="input.q", every="input"),
        }
    )
    assert await call(spec, q=7) == {"status": "success", "output": {"b": 3}}
    assert bench.calls == [
        ("a", {"q": 7}),
        ("b", {"whole": {"x": 1, "y": 2}, "field": 2, "one": 7, "every": {"q": 7}}),
    ]


async def test_a_node_runs_as_soon_as_its_inputs_are_there(bench: Any) -> None:
    """What waits for `quick` alone runs while `slow` still does; what waits for both runs last."""
    spec = graph(
        {
            "slow": bench.part("slow", 1, waits=True),
            "quick": bench.part("quick", 2),
            "after": node(bench.part("after", lambda n: n * 10), n="quick"),
            "both": node(bench.part("both", lambda a, b: a + b), a="slow", b="after"),
        },
        output="both",
    )
    async with ActorSystem("test") as system, anyio.create_task_group() as group:
        ref = await system.spawn(spec)

        async def release() -> None:
            await bench.arrival("after").wait()
            await anyio.wait_all_tasks_blocked()
            assert sorted(name for name, _ in bench.calls) == ["after", "quick", "slow"]
            bench.gate("slow").set()

        group.start_soon(release)
        assert await ref() == {"status": "success", "output": 21}


async def test_the_cap_holds(bench: Any) -> None:
    """Never more than `max_concurrency` nodes run."""
    spec = graph({f"n{n}": bench.part(f"n{n}", n, waits=True) for n in range(5)}, max_concurrency=2)
    async with ActorSystem("test") as system, anyio.create_task_group() as group:
        ref = await system.spawn(spec)

        async def release() -> None:
            for left in range(5, 0, -1):
                await anyio.wait_all_tasks_blocked()
                assert len(bench.running) == min(2, left)
                bench.gate(min(bench.running)).set()

        group.start_soon(release)
        assert (await ref())["output"] == {f"n{n}": n for n in range(5)}


async def test_a_failure_cancels_the_rest(bench: Any) -> None:
    """The error names the node; what runs is cancelled and what would follow does not run."""
    spec = graph(
        {
            "slow": bench.part("slow", waits=True),
            "bad": bench.part("bad", ValueError("no")),
            "after": node(bench.part("after"), a="bad"),
        }
    )
    assert (await call(spec))["message"] == "bad: no"
    assert bench.cancelled == ["slow"]
    assert "after" not in [name for name, _ in bench.calls]


async def test_an_optional_node_that_fails_is_none(bench: Any) -> None:
    """Those that take its output, or a field of it, get None."""
    spec = graph(
        {
            "maybe": bench.part("maybe", ValueError("no"), required=False),
            "then": node(bench.part("then", lambda whole, field: [whole, field]), whole="maybe", field="maybe.x"),
        },
        output="then",
    )
    assert await call(spec) == {"status": "success", "output": [None, None]}


async def test_a_field_that_is_not_there_is_named(bench: Any) -> None:
    """The message says what was looked for and what there is."""
    spec = graph({"a": bench.part("a", {"x": 1}), "b": node(bench.part("b"), v="a.z")})
    message = (await call(spec))["message"]
    assert "'a.z'" in message
    assert "'x'" in message
    assert "'input.q'" in (await call(graph({"a": node(bench.part("a"), v="input.q")})))["message"]


async def test_cancelling_a_graph_closes_all(bench: Any) -> None:
    """When the caller leaves, every node at work is cancelled."""
    async with ActorSystem("test") as system:
        ref = await system.spawn(graph({"a": bench.part("a", waits=True), "b": bench.part("b", waits=True)}))
        async with anyio.create_task_group() as group:
            group.start_soon(ref)
            await bench.arrival("a").wait()
            await bench.arrival("b").wait()
            group.cancel_scope.cancel()
        await ref.stop()
    assert sorted(bench.cancelled) == ["a", "b"]


def test_a_cycle_is_refused_when_the_graph_is_written(bench: Any) -> None:
    """The nodes of the cycle are named."""
    with pytest.raises(ValueError, match="wait for one another") as caught:
        graph({"a": node(bench.part("a"), x="b"), "b": node(bench.part("b"), x="a.y"), "c": bench.part("c")})
    assert "'a'" in str(caught.value)
    assert "'c'" not in str(caught.value)


def test_what_is_not_there_is_refused_when_the_graph_is_written(bench: Any) -> None:
    """Unknown inputs and outputs, a reserved name, no node, and origins that are no names."""
    part = bench.part("p")
    with pytest.raises(ValueError, match="'nobody'"):
        graph({"a": node(part, x="nobody")})
    with pytest.raises(ValueError, match="'nobody'"):
        graph({"a": part}, output="nobody")
    with pytest.raises(ValueError, match="'input'"):
        graph({"input": part})
    with pytest.raises(ValueError, match="at least one"):
        graph({})
    with pytest.raises(TypeError, match="7"):
        node(part, x=7)  # pyright: ignore[reportArgumentType]
