"""One Function after the other."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

from typing import Any

import anyio
import pytest

from tinyllm_actors import Actor, ActorSystem, chain
from tinyllm_actors.errors import RateLimited
from tinyllm_actors.function import as_function

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


async def test_a_mapping_becomes_arguments_and_the_rest_input(bench: Any) -> None:
    """The next part gets a mapping's items by name, and any other output as `input`."""
    result = await call(chain(bench.part("a", {"x": 1, "y": 2}), bench.part("b", [3]), bench.part("c", "end")), q=0)
    assert result == {"status": "success", "output": "end"}
    assert bench.calls == [("a", {"q": 0}), ("b", {"x": 1, "y": 2}), ("c", {"input": [3]})]


async def test_a_mapping_with_other_keys_than_names_is_input(bench: Any) -> None:
    """Keys that are no strings cannot be arguments."""
    await call(chain(bench.part("a", {1: 2}), bench.part("b")))
    assert bench.calls[1] == ("b", {"input": {1: 2}})


async def test_a_failure_ends_the_chain_and_names_the_part(bench: Any) -> None:
    """The error keeps its kind, whether to retry and after how long; the parts after it are not called."""
    inner = chain(bench.part("parse", RateLimited("slow down", retry_after=7.0)), name="fetch")
    result = await call(chain(inner, bench.part("after")))
    assert result["message"] == "fetch/parse: slow down"
    assert result["error"] == {
        "type": "RateLimited",
        "state": "RUNNING",
        "retryable": True,
        "retry_after": 7.0,
        "part": "fetch/parse",
    }
    assert [name for name, _ in bench.calls] == ["parse"]


async def test_an_optional_part_that_fails_is_skipped(bench: Any) -> None:
    """The chain goes on with what the part had got, wherever it stands."""
    broken = bench.part("broken", ValueError("no"), required=False)
    result = await call(chain(bench.part("a", {"x": 1}), broken, bench.part("b", lambda x: x + 1)))
    assert result["output"] == 2
    assert await call(chain(bench.part("a", {"x": 1}), broken)) == {"status": "success", "output": {"x": 1}}
    assert await call(chain(broken), q=5) == {"status": "success", "output": {"q": 5}}
    assert await call(chain(bench.part("a", [1]), chain(broken))) == {"status": "success", "output": [1]}


async def test_parts_are_children_and_references_are_not(bench: Any) -> None:
    """What was given as a spec ends with the chain; what was given as a reference lives on."""
    async with ActorSystem("test") as system:
        live = await system.spawn(bench.part("live", 1))
        ref = await system.spawn(chain(live, as_function(_echo), as_function(_echo), name="flow"))
        assert await ref() == {"status": "success", "output": 1}
        names = [child.path for child in system.inspect("flow").children]
        assert names == ["flow/_echo", "flow/_echo-2"]
        await ref.stop()
        assert await live() == {"status": "success", "output": 1}


async def test_a_part_that_was_stopped_is_an_error_dictionary(bench: Any) -> None:
    """The reference's end is named, not raised."""
    async with ActorSystem("test") as system:
        live = await system.spawn(bench.part("live", 1))
        ref = await system.spawn(chain(live))
        await live.stop()
        result = await ref()
        assert (result["error"]["type"], result["error"]["part"]) == ("ActorStopped", "live")


async def test_a_cancelled_chain_cancels_the_part_at_work(bench: Any) -> None:
    """When the caller leaves, no part runs on, and the next call is answered."""
    async with ActorSystem("test") as system:
        ref = await system.spawn(chain(chain(bench.part("deep", waits=True))))
        async with anyio.create_task_group() as group:
            group.start_soon(ref)
            await bench.arrival("deep").wait()
            group.cancel_scope.cancel()
        await anyio.wait_all_tasks_blocked()
        assert bench.cancelled == ["deep"]
        bench.gate("deep").set()
        assert (await ref())["status"] == "success"


@pytest.mark.virtual_time
async def test_the_deadline_of_the_whole_holds_for_the_parts(bench: Any) -> None:
    """A part is cancelled when the caller's time is over."""
    async with ActorSystem("test") as system:
        ref = await system.spawn(chain(bench.part("slow", waits=True)))
        result = await ref.within(5.0)()
        assert result["error"]["type"] == "AskTimeout"
        assert anyio.current_time() == pytest.approx(5.0, abs=0.1)
        await ref.stop()
        assert bench.cancelled == ["slow"]


async def test_the_last_part_streams_through(bench: Any) -> None:
    """Its items come as they are, and no dictionary more when they said it all."""
    flow = chain(bench.part("a", {"to": 2}), bench.streaming("b", [0, 1]))
    assert await collect(flow) == [{"status": "success", "output": 0}, {"status": "success", "output": 1}]
    assert await call(flow) == {"status": "success", "output": [0, 1]}
    assert await collect(chain(bench.part("a", 1), flow, name="outer")) == await collect(flow)


async def test_a_last_part_that_does_not_stream_is_one_item(bench: Any) -> None:
    """A stream of a chain always works: at least the result comes."""
    flow = chain(bench.streaming("a", [0, 1]), bench.part("b", "end"))
    assert await collect(flow) == [{"status": "success", "output": "end"}]
    assert bench.calls[-1] == ("b", {"input": [0, 1]})


async def test_a_stream_that_fails_ends_with_the_error_of_the_chain(bench: Any) -> None:
    """The items before come through; the error names the part, once, and says that output had started."""
    *items, last = await collect(chain(bench.streaming("s", [1], ValueError("broke"))))
    assert items == [{"status": "success", "output": 1}]
    assert last["message"] == "s: broke"
    assert last["error"]["output_started"]


async def test_a_validator_of_the_chain_has_the_last_word(bench: Any) -> None:
    """When the chain changes what the part said, its result follows the items."""
    flow = chain(bench.streaming("s", ["1", "2"]), output_validator=list[int])
    assert (await collect(flow))[-1] == {"status": "success", "output": [1, 2]}


async def test_a_composite_is_a_function_with_all_its_options(bench: Any) -> None:
    """Validators and evaluators are those of the whole."""
    flow = chain(bench.part("a", 41), input_validator=dict[str, int], run_evaluators=[_score], name="flow")
    assert (await call(flow, n="1"))["evaluations"] == [{"evaluator": "_score", "evals": {"_score": 41}}]
    assert (await call(flow, n="many"))["error"]["state"] == "INPUT_VALIDATION"


def test_what_cannot_be_a_part_is_refused_at_once(bench: Any) -> None:
    """The mistake shows where the chain is written."""
    with pytest.raises(ValueError, match="at least one part"):
        chain()
    with pytest.raises(TypeError, match="42"):
        chain(42)
    with pytest.raises(TypeError, match="another actor"):
        chain(Actor.spec())
    with pytest.raises(TypeError, match="no_such_option"):
        chain(bench.part("a"), no_such_option=1)


async def test_a_reference_to_another_actor_is_no_part() -> None:
    """Only Functions have the contract."""
    async with ActorSystem("test") as system:
        ref = await system.spawn(Actor)
        with pytest.raises(TypeError, match="another actor"):
            chain(ref)


async def _echo(input: Any) -> Any:
    return input


def _score(input: Any, output: Any, error: Any) -> Any:
    return output
