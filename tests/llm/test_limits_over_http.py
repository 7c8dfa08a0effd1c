"""429s, overload and silence from a real server on loopback, met by several callers of one model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors import ActorSystem, Backoff
from tinyllm_actors.llm import LLM, Breaker, Budget, ChatRequest, Limits, ModelChoice, UserMessage
from tinyllm_actors.testing.behaviours import answer, drop_stream, hang, rate_limited, server_error
from tinyllm_actors.testing.fault_server import FaultServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tinyllm_actors.kernel import ChildSpec
    from tinyllm_actors.testing.behaviours import Behaviour
    from tinyllm_actors.testing.http_exchange import RecordedRequest

pytestmark = pytest.mark.anyio

REQUEST = ChatRequest(messages=[UserMessage("hello")])
SHORT = Backoff(0.05, 0.2, jitter=0.0)


def spec(server: FaultServer, **options: Any) -> ChildSpec:
    """Return an LLM that calls the server."""
    model_options = {"api_base": server.base_url, "api_key": "x"}
    given: dict[str, Any] = {"backoff": SHORT, **options}
    return LLM.spec("openai/anything", model_options=model_options, **given)


def refusing_first(refusal: Behaviour, count: int, times: list[float]) -> Callable[[RecordedRequest], Behaviour]:
    """Refuse the first `count` requests and answer the others; note when each came."""

    def choose(request: RecordedRequest) -> Behaviour:
        times.append(anyio.current_time())
        return refusal if len(times) <= count else answer("hi")

    return choose


async def answers_of(server: FaultServer, callers: int, **options: Any) -> list[Any]:
    """Return what so many callers get who ask at the same time."""
    results: list[Any] = []
    async with ActorSystem("t") as system:
        llms = [await system.spawn(spec(server, **options)) for _ in range(callers)]

        async def ask(llm: Any) -> None:
            results.append(await llm(request=REQUEST))

        async with anyio.create_task_group() as tasks:
            for llm in llms:
                tasks.start_soon(ask, llm)
    return results


async def test_a_refusal_with_its_time_is_waited_for_by_all() -> None:
    """After a 429 with `Retry-After` no caller comes back before that, and then each once."""
    times: list[float] = []
    async with FaultServer(refusing_first(rate_limited(retry_after=0.3), 3, times)) as server:
        results = await answers_of(server, 3, max_retries=1)
    assert [result["status"] for result in results] == ["success"] * 3
    assert len(times) == 6
    assert min(times[3:]) - times[0] >= 0.29


async def test_a_refusal_without_a_time_backs_off() -> None:
    """A 429 that names no time is waited for by the back-off, which grows for all callers together."""
    times: list[float] = []
    async with FaultServer(refusing_first(rate_limited(), 2, times)) as server:
        results = await answers_of(server, 1, max_retries=2)
    assert results[0]["status"] == "success"
    assert times[1] - times[0] >= 0.05
    assert times[2] - times[1] >= 0.1


async def test_used_up_quota_goes_to_the_next_provider() -> None:
    """An account without credit is not waited for; another one answers, and what failed has cost nothing."""
    budget = Budget(max_tokens=100_000)
    async with FaultServer([rate_limited(quota=True)]) as empty, FaultServer([answer("hi")]) as full:
        other = ModelChoice("openai/other", {"api_base": full.base_url, "api_key": "y"})
        results = await answers_of(empty, 1, fallbacks=[other], budget=budget)
    assert results[0]["output"]["completion"].message.content == "hi"
    assert (budget.used.calls, budget.reserved.tokens) == (2, 0)


async def test_a_server_that_is_down_opens_the_circuit() -> None:
    """Failures of different callers add up; once open, the server is asked no more."""
    limits = Limits(max_concurrency=1, breaker=Breaker(max_failures=2, cooldown=60.0))
    async with FaultServer(server_error(500)) as server:
        results = await answers_of(server, 5, max_retries=0, limits=limits)
        assert len(server.requests) == 2
    types = sorted(result["error"]["type"] for result in results)
    assert types == ["CircuitOpen"] * 3 + ["Overloaded"] * 2


async def test_a_silent_server_holds_a_place_for_its_time_only() -> None:
    """A call that hangs gives its place back when its time is up, and the caller that waited has its turn."""
    async with FaultServer([hang(), answer("hi")]) as server:
        limits = Limits(max_concurrency=1)
        results = await answers_of(server, 2, max_retries=0, idle_timeout=0.3, limits=limits)
    assert sorted(result["status"] for result in results) == ["error", "success"]


async def test_a_dropped_stream_is_booked_by_what_came() -> None:
    """A stream that breaks off in the middle costs its prompt and the text that had come, and its place is free."""
    budget = Budget(max_tokens=100_000)
    async with FaultServer([drop_stream(after=2)]) as server, ActorSystem("t") as system:
        llm = await system.spawn(spec(server, budget=budget, limits=Limits(max_concurrency=1, tokens_per_minute=9_000)))
        async with llm.stream(request=REQUEST) as events:
            seen = [event async for event in events]
    assert seen[-1]["error"]["type"] == "StreamInterrupted"
    assert seen[-1]["error"]["partial"]
    assert 0 < budget.used.tokens < 100
    assert budget.reserved.tokens == 0
