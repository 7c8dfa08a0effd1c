"""Whatever a tool raises or returns, its own call has an outcome and nothing else happens."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors import ActorSystem, Tool, Toolkit, tool
from tinyllm_actors.tool import ToolRequest

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio


class _Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class _Strange(BaseException):
    pass


class _Shapeless:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


RAISED: list[BaseException] = [
    _Speechless(),
    _Strange("odd"),
    SystemExit(1),
    StopIteration(1),
    StopAsyncIteration(),
    asyncio.CancelledError(),
    ExceptionGroup("several", [ValueError("one")]),
    BaseExceptionGroup("several", [_Strange("one")]),
    RecursionError("deep"),
    MemoryError(),
]
IN_A_THREAD_ONLY: list[BaseException] = [KeyboardInterrupt(), GeneratorExit()]


def _cycle() -> list[Any]:
    cycle: list[Any] = []
    cycle.append(cycle)
    return cycle


def _deep() -> list[Any]:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    return deep


RETURNED: list[Callable[[], object]] = [
    lambda: math.nan,
    lambda: [math.inf],
    _cycle,
    _deep,
    _Shapeless,
    object,
    lambda: "\ud800",
    lambda: 10**400,
    lambda: b"\xff",
    lambda: (item for item in "ab"),
    lambda: ValueError("a value"),
]


def raising(number: int, error: BaseException, *, in_a_thread: bool) -> Tool[..., Any]:
    """Return a tool that raises it."""

    async def on_the_loop() -> None:
        """Raise."""
        raise error

    def plain() -> None:
        """Raise."""
        raise error

    function: Callable[[], object] = plain if in_a_thread else on_the_loop
    return Tool.from_function(function, name=f"raising_{number}_{in_a_thread}")


async def test_whatever_is_raised_fails_its_own_call() -> None:
    """On the loop and in a thread; only Ctrl-C, and the end of the coroutine itself, are not a tool's to raise."""
    tools = [raising(number, error, in_a_thread=False) for number, error in enumerate(RAISED)]
    tools += [raising(number, error, in_a_thread=True) for number, error in enumerate(RAISED + IN_A_THREAD_ONLY)]
    async with ActorSystem("test") as system:
        ref = await system.spawn(Toolkit(tools))
        result = await ref(calls=[ToolRequest(made.name, made.name, "{}") for made in tools])
        outcomes = {outcome.name: outcome for outcome in result["output"]["outcomes"]}
    assert list(outcomes) == [made.name for made in tools]
    assert {outcome.status for outcome in outcomes.values()} == {"error"}
    for in_a_thread in (False, True):
        assert outcomes[f"raising_1_{in_a_thread}"].content.endswith("raised _Strange: odd")
        assert outcomes[f"raising_3_{in_a_thread}"].content.endswith("raised StopIteration")
    assert "tried to end the process" in outcomes["raising_10_True"].content
    assert "raised GeneratorExit" in outcomes["raising_11_True"].content


async def test_whatever_is_returned_becomes_text() -> None:
    """Text that a request can carry; nothing that a result does is a failure of the call."""
    tools: list[Tool[..., Any]] = []
    for number, make in enumerate(RETURNED):

        async def returning(make: Callable[[], object] = make) -> object:
            """Return something."""
            return make()

        schema: dict[str, Any] = {"type": "object"}
        tools.append(Tool.from_function(returning, name=f"returning_{number}", parameters=schema))
    async with ActorSystem("test") as system:
        ref = await system.spawn(Toolkit(tools))
        result = await ref(calls=[ToolRequest(made.name, made.name, "{}") for made in tools])
    outcomes = result["output"]["outcomes"]
    assert [outcome.status for outcome in outcomes] == ["success"] * len(RETURNED)
    for outcome in outcomes:
        assert outcome.content.encode()
    assert [outcome.content for outcome in outcomes[:3]] == ["null", "[null]", "[[...]]"]


async def test_a_long_failure_is_cut() -> None:
    """An error is bounded like a result."""

    @tool(max_result_chars=200)
    async def wordy() -> None:
        """Fail at length."""
        raise ValueError("x" * 100_000)

    async with ActorSystem("test") as system:
        ref = await system.spawn(Toolkit([wordy]))
        (outcome,) = (await ref(calls=[ToolRequest("a", "wordy", "{}")]))["output"]["outcomes"]
    assert len(outcome.content) < 300
    assert "left out" in outcome.content


async def test_a_cancelled_turn_is_no_failure_of_a_tool() -> None:
    """What a tool raises together with its cancellation does not hide that it was cancelled."""
    started = anyio.Event()

    @tool
    async def group() -> None:
        """Fail while being cancelled."""

        async def fail_late() -> None:
            try:
                await anyio.sleep_forever()
            finally:
                raise ValueError("late")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(fail_late)
            started.set()
            await anyio.sleep_forever()

    ended: list[str] = []

    async def call() -> None:
        try:
            await group.call({})
        except BaseException as error:
            ended.append(type(error).__name__)
            raise

    with anyio.CancelScope() as scope:
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                await started.wait()
                scope.cancel()
        except* ValueError:
            pass
    assert scope.cancel_called
    assert "ToolError" not in ended
