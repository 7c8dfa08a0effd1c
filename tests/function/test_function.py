"""A Function's call, from its arguments to its dictionary."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from pydantic import BaseModel, ConfigDict, SecretStr

from tests.function.doubling import Double, Number, states_of
from tinyllm_actors import ActorSystem, Function, Supervisor
from tinyllm_actors.errors import ActorFailed, FunctionFailed, InvalidTransition, RateLimited
from tinyllm_actors.function import FUNCTION, CallFailed, States, Step, as_function, unwrap
from tinyllm_actors.function.states import ENDINGS
from tinyllm_actors.kernel import ChildFailed, Transition

pytestmark = pytest.mark.anyio


async def test_a_call_goes_through_the_states_in_order() -> None:
    """A success passes each state of the table once, with neither evaluation nor closing where there is none."""
    result, seen = await states_of(Double, n=21)
    assert result == {"status": "success", "output": {"n": 42}}
    assert seen == [
        "INIT",
        "INPUT_VALIDATION",
        "RUNNING",
        "OUTPUT_VALIDATION",
        "PROCESSING_OUTPUT",
        "PROCESSED_OUTPUT_VALIDATION",
        "COMPLETE",
    ]


async def test_every_hook_has_its_state() -> None:
    """Evaluators and close() add their states, in their places."""

    class Whole(Double):
        async def process_output(self, n: int) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
            return {"n": n + 1}

        async def close(self, n: int) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            closed.append(n)

    def score(input: Any, output: Any, error: Any) -> Any:
        return {"size": output["n"]}

    closed: list[int] = []
    result, seen = await states_of(Whole.spec(run_evaluators=[score], processed_output_evaluators=[score]), n=1)
    assert result["output"] == {"n": 3}
    assert closed == [3]
    assert [entry["evals"] for entry in result["evaluations"]] == [{"size": 2}, {"proc:size": 3}]
    assert seen[3:] == [
        "OUTPUT_VALIDATION",
        "OUTPUT_EVALUATION",
        "PROCESSING_OUTPUT",
        "PROCESSED_OUTPUT_VALIDATION",
        "PROCESSED_OUTPUT_EVALUATION",
        "CLOSING",
        "COMPLETE",
    ]


@pytest.mark.parametrize(
    ("where", "state"),
    [("input", "INPUT_VALIDATION"), ("output", "OUTPUT_VALIDATION"), ("processed", "PROCESSED_OUTPUT_VALIDATION")],
)
async def test_each_validation_names_the_field_and_the_value(where: str, state: str) -> None:
    """What does not fit is an error dictionary with the path and the value, in the state where it was found."""

    class Wrong(Double):
        async def run(self, n: int, **rest: Any) -> Any:
            return {"n": "many" if where == "output" else n}

        async def process_output(self, **output: Any) -> Any:
            return {"n": "many"} if where == "processed" else output

    result, seen = await states_of(Wrong, n="many" if where == "input" else 1)
    assert result["status"] == "error"
    assert result["error"]["state"] == state
    assert result["error"]["validation"][0]["loc"] == "n"
    assert "'many'" in result["message"]
    assert seen[-2:] == [state, "FAILED"]


async def test_an_exception_is_a_dictionary_and_the_actor_lives_on() -> None:
    """run() that raises fails its own call; the same incarnation answers the next, and the event says what."""

    class Flaky(Function):
        async def run(self, good: bool) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
            if not good:
                raise RateLimited("slow down", retry_after=7.0)
            return self.context.incarnation

    async with ActorSystem("test") as system, system.events(CallFailed) as events:
        ref = await system.spawn(Flaky)
        failed = await ref(good=False)
        assert failed["message"] == "slow down"
        assert failed["error"] == {"type": "RateLimited", "state": "RUNNING", "retryable": True, "retry_after": 7.0}
        assert await ref(good=True) == {"status": "success", "output": 1}
        event = await events.receive()
        assert (event.path, event.state) == (ref.path, States.RUNNING)


async def test_wrong_arguments_are_an_error_dictionary() -> None:
    """Arguments that run() does not take do not raise at the caller."""
    result, _ = await states_of(as_function(_echo), txt="hello")
    assert result["status"] == "error"
    assert "txt" in result["message"]


async def test_extra_fields_are_kept_unless_forbidden() -> None:
    """Fields that a model does not name reach run(), as in tinyllm; `extra="forbid"` refuses them."""

    class Strict(BaseModel):
        model_config = ConfigDict(extra="forbid")
        n: int

    async def take(**arguments: Any) -> Any:
        return arguments

    kept, _ = await states_of(as_function(take, input_validator=Number), n="1", user="u1")
    assert kept["output"] == {"n": 1, "user": "u1"}
    refused, _ = await states_of(as_function(take, input_validator=Strict), n=1, user="u1")
    assert refused["error"]["validation"][0]["loc"] == "user"
    exact, _ = await states_of(as_function(take, input_validator=Number, strict=True), n="1")
    assert exact["status"] == "error"


async def test_secrets_do_not_reach_the_dictionary() -> None:
    """A value under a secret's name is masked, and so is a key in an exception's text."""

    class Login(BaseModel):
        api_key: SecretStr
        password: int

    async def login(**_: Any) -> None:
        raise ConnectionError("https://bob:hunter2@host refused Bearer abcdefghijklmnop")

    refused, _ = await states_of(as_function(login, input_validator=Login), api_key=1, password="hunter2")
    assert "hunter2" not in str(refused)
    raised, _ = await states_of(as_function(login))
    assert "hunter2" not in str(raised)
    assert "abcdefghijklmnop" not in str(raised)


async def test_a_cancelled_call_is_neither_success_nor_failure() -> None:
    """Cancelling the caller ends the call in CANCELLED and the next call is answered."""
    waiting = anyio.Event()

    async def wait(forever: bool) -> str:
        if forever:
            waiting.set()
            await anyio.sleep_forever()
        return "done"

    async with ActorSystem("test") as system, system.events(Transition) as events:
        ref = await system.spawn(as_function(wait))
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: ref(forever=True))
            await waiting.wait()
            group.cancel_scope.cancel()
        assert await ref(forever=False) == {"status": "success", "output": "done"}
        targets = [event.target for event in _drain(events) if event.machine == "function"]
        assert "CANCELLED" in targets
        assert "FAILED" not in targets


async def test_a_failure_of_each_hook_is_an_error_of_its_state() -> None:
    """What `run`, `process_output` and `close` raise is an error dictionary, and the next call is answered."""

    class Breaks(Function):
        async def run(self, where: str) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
            return self.at("run", where)

        async def process_output(self, where: str) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
            return self.at("process_output", where)

        async def close(self, where: str) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            self.at("close", where)

        def at(self, place: str, where: str) -> dict[str, str]:
            if place == where:
                raise LookupError(place)
            return {"where": where}

    async with ActorSystem("test") as system:
        ref = await system.spawn(Breaks)
        for hook, state in (("run", "RUNNING"), ("process_output", "PROCESSING_OUTPUT"), ("close", "CLOSING")):
            result = await ref(where=hook)
            assert (result["message"], result["error"]["state"]) == (hook, state)
        assert await ref(where="nowhere") == {"status": "success", "output": {"where": "nowhere"}}


async def test_an_illegal_transition_is_a_crash_and_one_of_others_is_not() -> None:
    """A broken invariant reaches the supervisor and starts a new incarnation; another machine's is a failed call."""

    class Broken(Function):
        async def run(self, how: str) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
            if how == "own":
                self._step(Step.COMPLETE)
            if how == "other":
                raise InvalidTransition("elsewhere", "SUSPENDED", "suspend")
            return self.context.incarnation

    async with ActorSystem("test", supervisor=Supervisor(backoff=None)) as system, system.events(ChildFailed) as events:
        ref = await system.spawn(Broken)
        own = await ref(how="own")
        assert (own["error"]["type"], own["error"]["state"]) == ("InvalidTransition", "DELIVERY")
        failed = await events.receive()
        assert isinstance(failed.cause, InvalidTransition)
        other = await ref(how="other")
        assert (other["error"]["type"], other["error"]["state"]) == ("InvalidTransition", "RUNNING")
        assert await ref(how="fine") == {"status": "success", "output": 2}


async def test_what_is_no_call_is_a_mistake_of_the_sender() -> None:
    """A Function says how to call it; one without `run` says that."""
    async with ActorSystem("test", supervisor=Supervisor(backoff=None)) as system:
        ref = await system.spawn(Double)
        with pytest.raises(ActorFailed, match="use `await ref"):
            await ref.ask("hello")
        bare = await system.spawn(Function)
        assert "does not define run" in (await bare())["message"]


async def test_a_cancelled_call_ends_wherever_it_was() -> None:
    """In each state, while its failure is evaluated too: the next call finds the machine in CANCELLED and begins."""

    class Waits(Function):
        async def run(self, where: str) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
            if where == "failing":
                raise LookupError("broken")
            return await self.at("run", where)

        async def process_output(self, where: str) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
            return await self.at("process_output", where)

        async def close(self, where: str) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            await self.at("close", where)

        async def at(self, place: str, where: str) -> dict[str, str]:
            if place == where:
                waiting.set()
                await anyio.sleep_forever()
            return {"where": where}

    async def score(input: Any, output: Any, error: Any) -> int:
        if input["where"] == "evaluation" or error is not None:
            waiting.set()
            await anyio.sleep_forever()
        return 1

    waiting = anyio.Event()
    async with ActorSystem("test") as system, system.events(Transition) as events:
        ref = await system.spawn(Waits.spec(run_evaluators=[score]))
        for where in ("run", "evaluation", "process_output", "close", "failing"):
            waiting = anyio.Event()
            async with anyio.create_task_group() as group:
                group.start_soon(lambda where=where: ref(where=where))
                await waiting.wait()
                group.cancel_scope.cancel()
        assert (await ref(where="nowhere"))["status"] == "success"
        targets = [event.target for event in _drain(events) if event.path == ref.path and event.machine == "function"]
        assert targets.count("CANCELLED") == 5
        assert "FAILED" not in targets
        assert system.inspect(ref.path).incarnation == 1


async def test_a_subclass_with_a_constructor_of_its_own_has_its_validators() -> None:
    """Those of the class count where nobody calls the constructor of `Function`."""

    class Own(Double):
        def __init__(self) -> None:
            """Without `super().__init__()`."""

    result, _ = await states_of(Own, n="many")
    assert result["error"]["state"] == "INPUT_VALIDATION"
    assert (await states_of(Own, n="2"))[0] == {"status": "success", "output": {"n": 4}}


async def test_a_call_to_a_stopped_function_is_an_error_dictionary() -> None:
    """Delivery failures do not raise either."""
    async with ActorSystem("test") as system:
        ref = await system.spawn(Double)
        await ref.stop()
        result = await ref(n=1)
        assert (result["status"], result["error"]["type"]) == ("error", "ActorStopped")
        with pytest.raises(FunctionFailed, match="stopped"):
            unwrap(result)


@pytest.mark.virtual_time
async def test_a_time_out_is_an_error_dictionary() -> None:
    """within() bounds the call."""

    async def wait() -> None:
        await anyio.sleep_forever()

    async with ActorSystem("test") as system:
        ref = await system.spawn(as_function(wait))
        result = await ref.within(0.01)()
        assert result["error"]["type"] == "AskTimeout"
        assert result["error"]["retryable"]


def test_the_table_lets_every_call_end_and_begin_again() -> None:
    """From each state of a call all three endings can be reached, and from each ending the next call."""
    for state in States:
        reachable = {state}
        while True:
            more = {target for (source, _), target in FUNCTION.edges.items() if source in reachable} - reachable
            if not more:
                break
            reachable |= more
        assert set(ENDINGS) <= reachable
    assert all(FUNCTION.edges[ending, Step.CALL] is States.INPUT_VALIDATION for ending in ENDINGS)


async def _echo(text: str) -> str:
    return text


def _drain(events: Any) -> list[Any]:
    found: list[Any] = []
    while (event := events.receive_nowait()) is not None:
        found.append(event)
    return found
