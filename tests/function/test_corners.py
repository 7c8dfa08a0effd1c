"""What Functions promise at the edges: mistakes of callers, foreign objects of odd shapes, values nobody can copy."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import pytest

from tinyllm_actors import ActorSystem, Function, FunctionStream, Supervisor, chain
from tinyllm_actors.errors import ActorFailed
from tinyllm_actors.function import Call, as_function
from tinyllm_actors.function.compose import cache, race
from tinyllm_actors.function.compose.cache import _Flight  # pyright: ignore[reportPrivateUsage]
from tinyllm_actors.function.compose.cache_store import copied
from tinyllm_actors.function.compose.composite import Composite
from tinyllm_actors.function.compose.outlet import Outlet
from tinyllm_actors.function.compose.race import _Heat  # pyright: ignore[reportPrivateUsage]
from tinyllm_actors.function.compose.sqlite_store import SQLiteStore
from tinyllm_actors.function.pulling import PullingIterator
from tinyllm_actors.function.result import failure

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

PATIENT = Supervisor(max_restarts=100, backoff=None)


async def collect(spec: Any, **arguments: Any) -> list[Any]:
    """Return what a stream delivers."""
    async with ActorSystem("test") as system:
        ref = await system.spawn(spec)
        async with ref.stream(**arguments) as items:
            return [item async for item in items]


async def _one(**_: Any) -> int:
    return 1


class Runnable:
    """Answers like a runnable of another library."""

    def ainvoke(self, value: Any) -> Any: ...


# --- calls ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", [cache(_one), chain(_one), as_function(Runnable())], ids=["cache", "chain", "foreign"])
async def test_what_is_no_call_is_refused_by_every_kind_of_function(spec: Any) -> None:
    """Told, asked or streamed: the error says how to call it."""
    async with ActorSystem(supervisor=PATIENT) as system:
        ref = await system.spawn(spec)
        with pytest.raises(ActorFailed, match="takes calls only"):
            await ref.ask("hello")
        with pytest.raises(ActorFailed, match="takes calls only"):
            async with ref.stream("hello") as items:
                await items.receive()


async def test_a_composite_without_a_flow_says_so() -> None:
    """The class that is not finished is named."""

    class Unfinished(Composite):
        def __init__(self) -> None:
            super().__init__([])

    async with ActorSystem() as system:
        result = await (await system.spawn(Unfinished))()
    assert result["message"] == "Unfinished does not define flow()"


@pytest.mark.virtual_time
async def test_a_time_out_of_the_reference_holds_for_its_streams() -> None:
    """`within` bounds the whole stream, unless the stream has a time-out of its own."""

    class Endless(FunctionStream):
        async def run(self, **_: Any) -> AsyncGenerator[int, None]:
            yield 1
            await anyio.sleep_forever()

    async with ActorSystem() as system:
        ref = (await system.spawn(Endless)).within(0.01)
        with pytest.raises(TimeoutError):
            async with ref.stream() as items:
                async for _ in items:
                    pass


def test_a_call_shows_names_and_no_values() -> None:
    """Its `repr` may be logged."""
    assert repr(Call({"user": "u1", "pin": 1234})) == "Call(user, pin)"


def test_a_function_has_the_name_that_it_was_given() -> None:
    """Else that of its class."""
    assert Function(name="Judge").name == "Judge"
    assert Function().name == "Function"


# --- foreign objects ------------------------------------------------------------------------------


class Chat:
    """Streams as a chat engine does: an answer to be awaited, which has its pieces behind a method."""

    def __init__(self, pieces: list[Any]) -> None:
        self.pieces = pieces
        self.response_gen = iter(pieces)

    async def achat(self, message: str) -> str:
        return message

    async def astream_chat(self, message: str) -> Chat:
        await anyio.lowlevel.checkpoint()
        return self

    def stream_chat(self, message: str) -> Chat:
        return self

    async def async_response_gen(self) -> AsyncGenerator[Any, None]:
        for piece in self.pieces:
            yield piece


@pytest.mark.parametrize(
    ("pieces", "whole"),
    [(["a", "b"], "ab"), ([], None), ([{"a": 1}, {"b": 2}], [{"a": 1}, {"b": 2}])],
    ids=["text", "nothing", "what cannot be added"],
)
async def test_a_chat_engine_streams_its_pieces_and_the_whole(pieces: list[Any], whole: Any) -> None:
    """Joined where they can be, as a list where they cannot."""
    items = await collect(as_function(Chat(pieces)), message="hello")
    assert [item["output"] for item in items] == [*pieces, whole]


async def test_a_stream_that_cannot_be_closed_is_read_all_the_same() -> None:
    """An asynchronous iterator need not have `aclose`."""

    class Pieces:
        def __init__(self) -> None:
            self.left = iter(["a", "b"])

        def __aiter__(self) -> AsyncIterator[str]:
            return self

        async def __anext__(self) -> str:
            try:
                return next(self.left)
            except StopIteration:
                raise StopAsyncIteration from None

    class Streams:
        async def ainvoke(self, value: Any) -> Any: ...

        def astream(self, value: Any) -> Pieces:
            return Pieces()

        def stream(self, value: Any) -> Iterator[str]:
            return iter(["a", "b"])

    items = await collect(as_function(Streams()), input=1)
    assert [item["output"] for item in items] == ["a", "b", "ab"]


async def test_without_asyncio_in_the_process_a_foreign_object_is_not_on_it(
    monkeypatch: pytest.MonkeyPatch, anyio_backend: tuple[str, Any]
) -> None:
    """On trio asyncio may never have been imported."""
    from tinyllm_actors.function import foreign

    assert foreign._on_asyncio() is (anyio_backend[0] == "asyncio")  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(foreign.sys, "modules", {})
    assert not foreign._on_asyncio()  # pyright: ignore[reportPrivateUsage]


async def test_an_iterator_that_is_closed_gives_nothing_more() -> None:
    """Closed before its first step it is not even opened, and what cannot be closed need not be."""
    opened: list[bool] = []

    def numbers() -> Iterator[int]:
        opened.append(True)
        return iter([1, 2])

    pulling = PullingIterator(numbers)
    await pulling.aclose()
    assert [item async for item in pulling] == []
    assert not opened
    pulling = PullingIterator(numbers)
    assert await pulling.__anext__() == 1
    await pulling.aclose()
    assert [item async for item in pulling] == []


# --- composition ----------------------------------------------------------------------------------


def test_what_cannot_be_copied_is_shared() -> None:
    """A lock in an answer is no reason to lose it."""
    value = {"lock": threading.Lock()}
    assert copied(value) is value
    assert copied(given := {"a": [1]}) == given
    assert copied(given) is not given


async def test_an_answer_too_deep_for_a_file_is_answered_and_not_kept(tmp_path: Path) -> None:
    """And a store that was never opened can be closed."""
    deep: Any = []
    for _ in range(300):
        deep = [deep]
    calls: list[int] = []

    async def answer() -> Any:
        calls.append(1)
        return deep

    async with ActorSystem() as system:
        ref = await system.spawn(cache(answer, path=tmp_path / "answers.db"))
        for _ in range(2):
            assert (await ref())["output"] == deep
    assert len(calls) == 2
    await SQLiteStore(tmp_path / "other.db", size=1, ttl=None).aclose()


async def test_a_part_that_streams_without_a_result_is_an_error() -> None:
    """A stream of events that just ends has broken its contract."""

    class Events(Function):
        async def produce(self, message: Any, emit: Any) -> None:
            await emit("an event")

    items = await collect(chain(Events))
    assert items[-1]["message"].endswith("its stream ended without a result")


async def test_an_outlet_without_a_reader_takes_items_and_drops_them() -> None:
    """Parts need not know whether somebody reads."""
    outlet = Outlet()
    await outlet.put("item")
    await outlet.flush()
    assert outlet.started
    assert not outlet.live


async def test_of_two_that_come_in_together_one_wins() -> None:
    """The other's answer is dropped, even if it was there before it could be cancelled."""
    async with ActorSystem() as system:
        ref = await system.spawn(race(*[as_function(_one, name=f"p{number}") for number in range(8)]))
        assert await ref() == {"status": "success", "output": 1}


@pytest.mark.virtual_time
async def test_an_item_that_comes_when_the_race_is_lost_is_held_back() -> None:
    """Its producer waits for its cancellation, and its answer does not count."""
    read: list[Any] = []

    async def emit(item: Any) -> None:
        read.append(item)

    heat = _Heat(2, Outlet(emit))
    first, second = heat.attempt(0), heat.attempt(1)
    await first.put("first")
    with anyio.move_on_after(0.01) as scope:
        await second.put("second")
    assert scope.cancelled_caught
    assert not heat.claim(1)
    assert heat.scopes[1].cancel_called
    assert read == ["first"]


def test_a_flight_that_is_over_leaves_the_next_one_alone() -> None:
    """It may land after another has begun for the same key."""
    flights: dict[str, _Flight] = {}
    old, new = _Flight("key", flights), _Flight("key", flights)
    flights["key"] = new
    old.over()
    assert flights == {"key": new}
    new.over()
    assert flights == {}


async def test_an_override_may_use_the_hooks_of_the_base() -> None:
    """`process_output` of `Function` gives back what it gets, and its `close` does nothing."""

    class Polite(Function):
        async def run(self, **arguments: Any) -> Any:
            return arguments

        async def process_output(self, **output: Any) -> Any:
            return {**await super().process_output(**output), "processed": True}

        async def close(self, **output: Any) -> None:
            await super().close(**output)

    async with ActorSystem() as system:
        result = await (await system.spawn(Polite))(a=1)
    assert result == {"status": "success", "output": {"a": 1, "processed": True}}


async def test_a_function_may_have_an_argument_called_message() -> None:
    """Streamed as well as called."""

    class Echo(FunctionStream):
        async def run(self, message: str) -> AsyncGenerator[str, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
            yield message

    assert await collect(Echo, message="hello") == [{"status": "success", "output": "hello"}]


def test_the_message_of_a_failure_is_bounded_and_shows_no_half_of_a_secret() -> None:
    """A peer's text of any length is cut with a note of its length, and what is cut was redacted first."""
    key = "sk-" + "a1" * 300
    for before in range(9_300, 10_010, 53):
        message = failure(ValueError("x" * (before - 1) + " " + key + " y" * 50_000), state="RUNNING")["message"]
        assert "sk-" not in message
        assert message.endswith(f"… ({before + len(key) + 100_000} characters)")
        assert len(message) < 10_100
    exact = failure(ValueError("z" * 10_000), state="RUNNING")["message"]
    assert exact == "z" * 10_000
