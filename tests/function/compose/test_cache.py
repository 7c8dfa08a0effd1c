"""Answers that are worked out once."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import dataclasses
import enum
from datetime import date
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from pydantic import BaseModel

from tinyllm_actors import ActorSystem, Restart
from tinyllm_actors.errors import StartFailed
from tinyllm_actors.function.compose import Forget, cache, chain
from tinyllm_actors.function.compose.cache_key import default_key
from tinyllm_actors.kernel import Pool

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


class City(BaseModel):
    name: str
    people: int


async def test_an_equal_call_is_answered_from_the_store(bench: Any) -> None:
    """The part is called once for equal arguments, in whatever order, and again for others."""
    async with ActorSystem("test") as system:
        ref = await system.spawn(cache(bench.part("p", lambda a, b: [a, b])))
        for arguments in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1, "b": 3}):
            assert (await ref(**arguments))["output"] == [1, arguments["b"]]
        assert len(bench.calls) == 2
        assert await ref.get_state() == {"hits": 1, "misses": 2, "shared": 0, "in_flight": 0}


async def test_calls_at_the_same_time_share_one_flight(bench: Any) -> None:
    """Fifty calls for two keys make two calls of the part, which run at the same time, and all get their answers."""
    async with ActorSystem("test") as system, anyio.create_task_group() as group:
        part = await system.spawn(Pool.spec(bench.part("p", lambda n: [n], waits=True), 2))
        ref = await system.spawn(cache(part))
        answers: list[Any] = []

        async def call(n: int) -> None:
            answers.append((n, await ref(n=n)))

        for n in range(50):
            group.start_soon(call, n % 2)
        await anyio.wait_all_tasks_blocked()
        assert sorted(arguments["n"] for _, arguments in bench.calls) == [0, 1]
        bench.gate("p").set()
        await anyio.wait_all_tasks_blocked()
        assert len(answers) == 50
        assert all(answer == {"status": "success", "output": [n]} for n, answer in answers)
        assert len({id(answer["output"]) for _, answer in answers}) == 50, "answers are shared"
        assert (await ref.get_state())["shared"] == 48


async def test_a_hit_does_not_wait_for_a_miss(bench: Any) -> None:
    """While the part works on one key, others are answered."""
    async with ActorSystem("test") as system, anyio.create_task_group() as group:
        ref = await system.spawn(cache(bench.part("p", lambda n: n, waits=True)))
        bench.gate("p").set()
        await ref(n=1)
        bench.gates["p"] = anyio.Event()
        group.start_soon(lambda: ref(n=2))
        await anyio.wait_all_tasks_blocked()
        assert bench.running == {"p"}
        assert await ref(n=1) == {"status": "success", "output": 1}
        bench.gate("p").set()


async def test_keys_are_worked_on_at_the_same_time_up_to_the_bound(bench: Any) -> None:
    """Two lanes make two actors of the part, and a third key waits."""
    async with ActorSystem("test") as system, anyio.create_task_group() as group:
        running: list[int] = []

        async def work(n: int) -> int:
            running.append(n)
            await bench.gate("go").wait()
            running.remove(n)
            return n

        ref = await system.spawn(cache(work, max_concurrency=2, name="c"))
        for n in range(3):
            group.start_soon(lambda n=n: ref(n=n))
        await anyio.wait_all_tasks_blocked()
        assert len(running) == 2
        bench.gate("go").set()


async def test_one_who_leaves_takes_nobody_along(bench: Any) -> None:
    """The flight goes on for those who still wait, and is cancelled when the last has left."""
    async with ActorSystem("test") as system, anyio.create_task_group() as group:
        ref = await system.spawn(cache(bench.part("p", "answer", waits=True)))
        first, second = anyio.CancelScope(), anyio.CancelScope()
        answers: list[Any] = []

        async def call(scope: anyio.CancelScope) -> None:
            with scope:
                answers.append(await ref(n=1))

        group.start_soon(call, first)
        await bench.arrival("p").wait()
        group.start_soon(call, second)
        await anyio.wait_all_tasks_blocked()
        first.cancel()
        await anyio.wait_all_tasks_blocked()
        assert bench.running == {"p"}
        second.cancel()
        await anyio.wait_all_tasks_blocked()
        assert bench.cancelled == ["p"]
        assert (await ref.get_state())["in_flight"] == 0
        bench.gate("p").set()
        assert await ref(n=1) == {"status": "success", "output": "answer"}
        assert not answers


@pytest.mark.virtual_time
async def test_a_deadline_ends_the_wait_of_one_alone(bench: Any) -> None:
    """Who is out of time gets the error; who has more gets the answer of the same flight."""
    async with ActorSystem("test") as system, anyio.create_task_group() as group:
        ref = await system.spawn(cache(bench.part("p", "answer", waits=True)))
        late: list[Any] = []

        async def call() -> None:
            late.append(await ref.within(10.0)(n=1))

        group.start_soon(call)
        assert (await ref.within(1.0)(n=1))["error"]["type"] == "AskTimeout"
        bench.gate("p").set()
        await anyio.sleep(1.0)
        assert late == [{"status": "success", "output": "answer"}]
        assert len(bench.calls) == 1


async def test_failures_are_told_to_all_and_not_kept(bench: Any) -> None:
    """Each who waits gets the error, which names the part; the next call tries again."""
    answers = iter([ValueError("no"), "yes"])
    async with ActorSystem("test") as system, anyio.create_task_group() as group:
        ref = await system.spawn(cache(bench.part("p", lambda: next(answers), waits=True)))
        got: list[Any] = []

        async def call() -> None:
            got.append(await ref())

        for _ in range(3):
            group.start_soon(call)
        await anyio.wait_all_tasks_blocked()
        bench.gate("p").set()
        await anyio.wait_all_tasks_blocked()
        assert [answer["message"] for answer in got] == ["p: no"] * 3
        assert (await ref())["output"] == "yes"


async def test_answers_are_copies(bench: Any) -> None:
    """What one caller does to its answer the next does not see."""
    async with ActorSystem("test") as system:
        ref = await system.spawn(cache(bench.part("p", lambda: {"items": [1]})))
        for _ in range(3):
            answer = (await ref())["output"]
            assert answer == {"items": [1]}
            answer["items"].append(2)


@pytest.mark.virtual_time
async def test_answers_expire(bench: Any) -> None:
    """After `ttl` seconds the part is called again."""
    async with ActorSystem("test") as system:
        ref = await system.spawn(cache(bench.part("p", 1), ttl=10.0))
        await ref()
        await anyio.sleep(9.9)
        await ref()
        assert len(bench.calls) == 1
        await anyio.sleep(0.2)
        await ref()
        assert len(bench.calls) == 2


@pytest.mark.parametrize("on_disk", [False, True])
async def test_the_least_recently_used_goes(bench: Any, on_disk: bool, tmp_path: Path) -> None:
    """No more than `size` answers are kept; a hit keeps its answer."""
    path = tmp_path / "cache.db" if on_disk else None
    async with ActorSystem("test") as system:
        ref = await system.spawn(cache(bench.part("p", lambda n: n), size=2, path=path))
        for n in (1, 2, 1, 3):
            await ref(n=n)
        assert [arguments["n"] for _, arguments in bench.calls] == [1, 2, 3]
        await ref(n=1)
        assert len(bench.calls) == 3
        await ref(n=2)
        assert len(bench.calls) == 4


@pytest.mark.parametrize("on_disk", [False, True])
async def test_answers_can_be_forgotten(bench: Any, on_disk: bool, tmp_path: Path) -> None:
    """One by its arguments, or all."""
    path = tmp_path / "cache.db" if on_disk else None
    async with ActorSystem("test") as system:
        ref = await system.spawn(cache(bench.part("p", lambda n: n), path=path))
        for n in (1, 2, 3):
            await ref(n=n)
        assert await ref.ask(Forget(n=1)) == 1
        assert await ref.ask(Forget(n=1)) == 0
        assert await ref.ask(Forget()) == 2


async def test_a_file_outlives_the_system(bench: Any, tmp_path: Path) -> None:
    """Answers are there after a restart, as they were; two caches can share a file."""
    answer: dict[str, Any] = {"text": "grüß Gott 🎉", "items": [1, 2.5, None, True], "nested": {"a": []}}
    for _ in range(2):
        async with ActorSystem("test") as system:
            ref = await system.spawn(cache(bench.part("p", answer), path=tmp_path / "cache.db"))
            other = await system.spawn(cache(bench.part("p", answer), path=tmp_path / "cache.db"))
            assert (await ref())["output"] == answer
            assert (await other())["output"] == answer
    assert len(bench.calls) == 1


async def test_a_file_restores_types(bench: Any, tmp_path: Path) -> None:
    """With `output_type`, answers come back as what they were."""
    for _ in range(2):
        async with ActorSystem("test") as system:
            part = bench.part("p", City(name="Ulm", people=126_000))
            ref = await system.spawn(cache(part, path=tmp_path / "cache.db", output_type=City))
            assert (await ref())["output"] == City(name="Ulm", people=126_000)
    assert len(bench.calls) == 1


async def test_a_file_forgets_what_has_expired(bench: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time is that of the wall clock there."""
    from tinyllm_actors.function.compose import sqlite_store

    now = [1_000_000.0]
    monkeypatch.setattr(sqlite_store.time, "time", lambda: now[0])
    async with ActorSystem("test") as system:
        ref = await system.spawn(cache(bench.part("p", lambda n: n), ttl=10.0, size=1, path=tmp_path / "cache.db"))
        await ref(n=1)
        now[0] += 9.0
        await ref(n=1)
        assert len(bench.calls) == 1
        now[0] += 2.0
        await ref(n=1)
        assert len(bench.calls) == 2
        now[0] += 11.0
        await ref(n=2)
        await ref(n=2)
        assert len(bench.calls) == 3


@pytest.mark.parametrize("answer", [City(name="Ulm", people=1), {1: 2}, (1, 2), float("nan"), {"a": [object()]}])
async def test_what_a_file_cannot_keep_is_answered_all_the_same(bench: Any, answer: Any, tmp_path: Path) -> None:
    """It is not kept, as it would come back as something else; the call succeeds."""
    async with ActorSystem("test") as system:
        ref = await system.spawn(cache(bench.part("p", answer), path=tmp_path / "cache.db"))
        for _ in range(2):
            assert (await ref())["status"] == "success"
        assert len(bench.calls) == 2


async def test_a_file_that_is_no_database_is_a_failed_start(bench: Any, tmp_path: Path) -> None:
    """The mistake shows when the cache is started."""
    path = tmp_path / "cache.db"
    path.write_text("this is no database, and was not meant to be one " * 10)
    async with ActorSystem("test") as system:
        with pytest.raises(StartFailed, match="not a database"):
            await system.spawn(cache(bench.part("p"), path=path).with_options(restart=Restart.TEMPORARY))


async def test_a_file_that_breaks_costs_only_the_cache(bench: Any, tmp_path: Path) -> None:
    """When the store fails under way, the part answers."""
    import sqlite3

    path = tmp_path / "cache.db"
    async with ActorSystem("test") as system:
        ref = await system.spawn(cache(bench.part("p", 1), path=path))
        await ref()
        with sqlite3.connect(path) as database:
            database.execute("DROP TABLE tinyllm_actors_cache")
        database.close()
        assert await ref() == {"status": "success", "output": 1}
        assert len(bench.calls) == 2


async def test_a_stream_is_kept_and_answered_with_its_result(bench: Any) -> None:
    """A miss passes the part's items on; a hit is one dictionary."""
    async with ActorSystem("test") as system:
        ref = await system.spawn(cache(bench.streaming("s", [1, 2])))
        seen: list[list[Any]] = []
        for _ in range(2):
            async with ref.stream() as items:
                seen.append([item["output"] async for item in items])
        assert seen == [[1, 2], [[1, 2]]]
        assert await ref() == {"status": "success", "output": [1, 2]}
        assert len(bench.calls) == 1


async def test_a_key_of_ones_own(bench: Any) -> None:
    """What the key leaves out does not count; a key that is no string is an error of the call."""
    async with ActorSystem("test") as system:
        part = bench.part("p", lambda **arguments: arguments["q"])
        ref = await system.spawn(cache(part, key=lambda q, **_: q.strip().lower()))
        assert (await ref(q="Hello", user="a"))["output"] == "Hello"
        assert (await ref(q=" hello ", user="b"))["output"] == "Hello"
        wrong = await system.spawn(cache(part, key=lambda **_: 7))  # pyright: ignore[reportArgumentType]
        assert "7" in (await wrong(q="x"))["message"]


async def test_wrong_input_is_refused_before_it_is_looked_up(bench: Any) -> None:
    """The cache's own validator speaks first, in its state; arguments without a key are named."""
    async with ActorSystem("test") as system:
        ref = await system.spawn(cache(bench.part("p"), input_validator=City))
        assert (await ref(name="Ulm"))["error"]["state"] == "INPUT_VALIDATION"
        plain = await system.spawn(cache(bench.part("p")))
        assert "object" in (await plain(x=object()))["message"]
        assert not bench.calls


async def test_caches_nest(bench: Any) -> None:
    """A cache in a chain in a cache works like any part."""
    async with ActorSystem("test") as system:
        inner = cache(bench.part("p", lambda n: {"n": n + 1}), name="inner")
        ref = await system.spawn(cache(chain(inner, inner, name="twice"), name="outer"))
        assert (await ref(n=1))["output"] == {"n": 3}
        assert (await ref(n=1))["output"] == {"n": 3}
        assert len(bench.calls) == 2


@pytest.mark.virtual_time
async def test_a_cache_that_stops_leaves_nobody_waiting(bench: Any) -> None:
    """Who waits for a flight gets an error, and the part is cancelled."""
    async with ActorSystem("test") as system, anyio.create_task_group() as group:
        ref = await system.spawn(cache(bench.part("p", waits=True)))
        got: list[Any] = []

        async def call() -> None:
            got.append(await ref())

        group.start_soon(call)
        await bench.arrival("p").wait()
        await ref.stop()
        await anyio.wait_all_tasks_blocked()
        assert [answer["error"]["type"] for answer in got] == ["ActorStopped"]
        assert bench.cancelled == ["p"]


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int


def test_equal_arguments_have_equal_keys() -> None:
    """Whatever the order of keys and members; different types and values differ."""
    same = [
        ({"a": {1, 2, 3}}, {"a": {3, 2, 1}}),
        ({"a": City(name="Ulm", people=1)}, {"a": City(people=1, name="Ulm")}),
        (
            {"a": date(2020, 1, 1), "b": Colour.RED, "c": Point(1)},
            {"c": Point(1), "b": Colour.RED, "a": date(2020, 1, 1)},
        ),
    ]
    for left, right in same:
        assert default_key(**left) == default_key(**right)
    different: list[dict[str, Any]] = [
        {"a": 1},
        {"a": "1"},
        {"a": True},
        {"a": 1.5},
        {"a": None},
        {"a": [1]},
        {"b": 1},
        {},
    ]
    assert len({default_key(**arguments) for arguments in different}) == len(different)


@pytest.mark.parametrize(
    "options", [{"size": 0}, {"ttl": 0}, {"ttl": -1.0}, {"max_concurrency": 0}, {"output_type": City}]
)
def test_options_that_mean_nothing_are_refused(bench: Any, options: dict[str, Any]) -> None:
    """When the cache is written, not when it is used."""
    with pytest.raises(ValueError, match=next(iter(options))):
        cache(bench.part("p"), **options)
