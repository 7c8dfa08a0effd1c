"""Limits that all calls of a tool share, in all systems of the event loop."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm_actors import ActorSystem, Toolkit, tool
from tinyllm_actors.errors import ConfigurationError, ToolRateLimited, ToolTimeout
from tinyllm_actors.tool import RateLimit, ToolRequest
from tinyllm_actors.tool.limits import RateWindow

pytestmark = pytest.mark.anyio


# Made here rather than in a test: with the first schema pydantic looks for plugins on disk.
@tool
def _first() -> None:
    """Do nothing."""


@given(
    calls=st.integers(1, 4),
    gaps=st.lists(st.floats(0, 3), max_size=20),
    ahead=st.integers(0, 6),
)
def test_no_window_holds_more_than_the_limit(calls: int, gaps: list[float], ahead: int) -> None:
    """Calls that start as soon as they may never exceed the rate, and what is foretold for a queue comes true."""
    window, now, starts = RateWindow(RateLimit(calls, 2.0)), 0.0, list[float]()
    for gap in gaps:
        now = window.earliest(now + gap)
        window.start(now)
        starts.append(now)
    for first, last in zip(starts, starts[calls:], strict=False):
        assert last - first >= 2.0 - 1e-9
    foretold = window.earliest(now, ahead=ahead)
    for _ in range(ahead):
        now = window.earliest(now)
        window.start(now)
    assert window.earliest(now) == pytest.approx(foretold)


async def test_calls_beyond_the_rate_wait_or_are_told_when(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call whose turn comes before its deadline waits for it; another one hears when to try again."""
    starts: list[float] = []
    count = RateWindow.start

    def start(window: RateWindow, now: float) -> None:
        starts.append(now)
        count(window, now)

    monkeypatch.setattr(RateWindow, "start", start)

    @tool(rate_limit=(2, 0.05))
    async def often() -> str:
        """Answer."""
        return "done"

    nothing: dict[str, object] = {}
    async with anyio.create_task_group() as group:
        for _ in range(4):
            group.start_soon(often.call, nothing)
    assert len(starts) == 4
    assert starts[2] - starts[0] >= 0.05 - 1e-6
    assert starts[3] - starts[1] >= 0.05 - 1e-6

    @tool(rate_limit=(1, 3600.0))
    async def seldom() -> str:
        """Answer once an hour."""
        return "done"

    # Copies share the limit, and so do systems.
    for entry, status in [(seldom, "success"), (seldom.with_options(name="again"), "error")]:
        async with ActorSystem("test") as system:
            ref = await system.spawn(Toolkit([entry]))
            result = await ref(calls=[ToolRequest("a", entry.name, "{}")])
            assert result["output"]["outcomes"][0].status == status
    with pytest.raises(
        ToolRateLimited, match=r"'seldom' may be called 1 times in 3600 s; try again in 3\d\d\d s"
    ) as caught:
        await seldom.call({})
    assert caught.value.retryable
    assert 3000 < caught.value.retry_after <= 3600
    # Another limit is another count.
    assert await seldom.with_options(rate_limit=(2, 3600.0)).call({}) == "done"


@pytest.mark.virtual_time
async def test_a_cancelled_wait_takes_no_place() -> None:
    """Who gives up waiting for its turn leaves the turn to those behind, and is not counted for what they are told."""

    @tool(rate_limit=(1, 0.2), timeout=20.0)
    async def one() -> str:
        """Answer."""
        return "done"

    await one.call({})
    scope, done = anyio.CancelScope(), list[object]()

    async def give_up() -> None:
        with scope:
            await one.call({})

    async def wait() -> None:
        done.append(await one.call({}))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(give_up)
            group.start_soon(wait)
            await anyio.lowlevel.checkpoint()
            scope.cancel()
    assert done == ["done"]


@pytest.mark.virtual_time
async def test_never_more_at_once_than_the_cap() -> None:
    """Copies of a tool share the cap; waiting counts for the time-out, and a failed call gives its place back."""
    running = peak = 0
    release = anyio.Event()

    @tool(concurrency=2)
    async def work() -> None:
        """Work."""
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        try:
            await release.wait()
        finally:
            running -= 1
        raise ValueError("no luck")

    copy = work.with_options(name="copy")

    async def call(entry: Any) -> None:
        with pytest.raises(ValueError, match="no luck"):
            await entry.call({})

    async with anyio.create_task_group() as group:
        for entry in (work, copy, work, copy):
            group.start_soon(call, entry)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(ToolTimeout):
            await work.with_options(timeout=0.01).call({})
        release.set()
    assert peak == 2
    assert running == 0


def test_senseless_limits_are_refused() -> None:
    """The message says what a limit may be."""
    wrong: list[tuple[str, Any]] = [
        ("rate_limit", (0, 1.0)),
        ("rate_limit", (1, 0.0)),
        ("rate_limit", (1,)),
        ("rate_limit", 5),
        ("rate_limit", (10**9, 1.0)),
        ("concurrency", 0),
        ("concurrency", True),
    ]
    for option, value in wrong:
        with pytest.raises(ConfigurationError, match=f"{option}="):
            tool(**{option: value})(test_senseless_limits_are_refused)
