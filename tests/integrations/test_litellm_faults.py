"""What becomes of a call through litellm when the provider misbehaves: each fault has a stated outcome."""

from __future__ import annotations

import importlib.util
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors import errors
from tinyllm_actors.integrations.litellm import LiteLLMModel
from tinyllm_actors.llm.answer import AnswerLimits
from tinyllm_actors.llm.messages import UserMessage
from tinyllm_actors.llm.model import ChatRequest, Completed
from tinyllm_actors.testing import behaviours as b
from tinyllm_actors.testing.fault_server import FaultServer
from tinyllm_actors.testing.wire_answers import Dialect

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from tinyllm_actors.llm.model import Completion

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(importlib.util.find_spec("litellm") is None, reason="litellm is not installed"),
    # litellm's affair: it asks an instance of a pydantic model for what belongs to the class.
    pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning"),
]

KEY = "sk-a-secret-that-nobody-may-see"
REQUEST = ChatRequest(messages=[UserMessage("What is the user's birthday?")])
CALLS: list[tuple[str, Mapping[str, object]]] = [
    ("get_user_property", {"asked_property": "birthday"}),
    ("get_time", {}),
]
IDLE = 0.5


@asynccontextmanager
async def opened(server: FaultServer, **options: Any) -> AsyncGenerator[LiteLLMModel]:
    """Open a model on `server`, and close it whatever happens."""
    arguments: dict[str, Any] = {"idle_timeout": 10.0, **options}
    model = LiteLLMModel("openai/any", api_base=server.base_url, api_key=KEY, **arguments)
    await model.open()
    try:
        yield model
    finally:
        await model.aclose()


async def call(model: LiteLLMModel, *, streamed: bool) -> Completion:
    """Return the answer, however it comes; never wait for ever."""
    with anyio.fail_after(30):
        if not streamed:
            return await model.complete(REQUEST)
        async with model.stream(REQUEST) as events:
            async for event in events:
                if isinstance(event, Completed):
                    return event.completion
    raise AssertionError("a stream ended without its last event")


both = pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a fault must look like to the caller."""

    error: type[errors.ModelError]
    retryable: bool
    retry_after: float | None = None
    status: int | None = None
    partial: str = ""
    says: str = ""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A behaviour and its outcomes; a streamed call ends as a plain one if nothing else is said."""

    behaviour: b.Behaviour
    plain: Outcome
    streamed: Outcome | None = None
    idle: float = 10.0

    def outcome(self, streamed: bool) -> Outcome:
        return (self.streamed or self.plain) if streamed else self.plain


def same(behaviour: b.Behaviour, error: type[errors.ModelError], *, idle: float = 10.0, **more: Any) -> Fault:
    """Return a fault with the same outcome for plain and streamed calls."""
    return Fault(behaviour=behaviour, plain=Outcome(error=error, **more), idle=idle)


TWO_WORDS = "The birthday"

FAULTS = {
    "429": same(b.rate_limited(), errors.RateLimited, retryable=True, status=429),
    "429 in seconds": same(
        b.rate_limited(retry_after=1.5), errors.RateLimited, retryable=True, retry_after=1.5, status=429
    ),
    "429 long ago": same(
        b.rate_limited(retry_after="Wed, 21 Oct 2015 07:28:00 GMT"),
        errors.RateLimited,
        retryable=True,
        retry_after=0.0,
        status=429,
    ),
    "429 nonsense": same(b.rate_limited(retry_after="soon"), errors.RateLimited, retryable=True, status=429),
    "quota": same(b.rate_limited(quota=True), errors.QuotaExceeded, retryable=False, status=429),
    "402": same(b.refuse(402, "Insufficient Balance"), errors.QuotaExceeded, retryable=False, status=402),
    "500": same(b.server_error(500), errors.Overloaded, retryable=True, status=500),
    "503": same(b.server_error(503, retry_after=2), errors.Overloaded, retryable=True, retry_after=2.0, status=503),
    "504": same(b.server_error(504), errors.Overloaded, retryable=True, status=504),
    "529": same(b.server_error(529), errors.Overloaded, retryable=True, status=529),
    "401": same(b.refuse(401, f"Incorrect API key provided: {KEY}."), errors.AuthenticationFailed, retryable=False),
    "403": same(b.refuse(403, "Forbidden"), errors.AuthenticationFailed, retryable=False, status=403),
    "404": same(
        b.refuse(404, "The model does not exist"), errors.RequestRejected, retryable=False, says="does not exist"
    ),
    "400": same(b.refuse(400, "temperature is too hot"), errors.RequestRejected, retryable=False, says="too hot"),
    "408": same(b.refuse(408, "Request timeout"), errors.ModelTimeout, retryable=True, status=408),
    "409": same(b.refuse(409, "Conflict"), errors.RequestRejected, retryable=True, status=409),
    "422": same(b.refuse(422, "Unprocessable"), errors.RequestRejected, retryable=False),
    "context by code": same(
        b.refuse(400, "Too long.", code="context_length_exceeded"), errors.ContextWindowExceeded, retryable=False
    ),
    "context by words": same(
        b.refuse(400, "This model's maximum context length is 8192 tokens."),
        errors.ContextWindowExceeded,
        retryable=False,
    ),
    "content policy": same(
        b.refuse(400, "Refused by our safety system.", code="content_policy_violation"),
        errors.RequestRejected,
        retryable=False,
        says="safety",
    ),
    "malformed": Fault(
        behaviour=b.malformed_json(),
        plain=Outcome(error=errors.MalformedResponse, retryable=True),
    ),
    "web page": same(b.wrong_content_type(), errors.MalformedResponse, retryable=True, says="api_base"),
    "truncated": Fault(
        behaviour=b.truncated_stream(2),
        plain=Outcome(error=errors.MalformedResponse, retryable=True),
        streamed=Outcome(error=errors.StreamInterrupted, retryable=True, partial=TWO_WORDS),
    ),
    "dropped": Fault(
        behaviour=b.drop_stream(2),
        plain=Outcome(error=errors.ModelUnavailable, retryable=True),
        streamed=Outcome(error=errors.StreamInterrupted, retryable=True, partial=TWO_WORDS),
    ),
    "redirect": same(b.redirect(), errors.RequestRejected, retryable=False, status=307, says="127.0.0.1:9/elsewhere"),
    "reset": same(b.reset(), errors.ModelUnavailable, retryable=True),
    "reset later": Fault(
        behaviour=b.reset(2),
        plain=Outcome(error=errors.ModelUnavailable, retryable=True),
        streamed=Outcome(error=errors.StreamInterrupted, retryable=True, partial=TWO_WORDS),
    ),
    "slow first byte": same(b.slow_first_byte(30), errors.ModelTimeout, idle=IDLE, retryable=True),
    "slow drip": same(b.slow_drip(30), errors.ModelTimeout, idle=IDLE, retryable=True),
    "hang": same(b.hang(), errors.ModelTimeout, idle=IDLE, retryable=True, says="idle_timeout=0.5"),
    "hang later": Fault(
        behaviour=b.hang(2),
        idle=IDLE,
        plain=Outcome(error=errors.ModelTimeout, retryable=True),
        streamed=Outcome(error=errors.ModelTimeout, retryable=True, partial=TWO_WORDS),
    ),
    "error in stream": Fault(
        behaviour=b.error_in_stream("out of memory", code=500),
        plain=Outcome(error=errors.Overloaded, retryable=True, says="out of memory"),
        streamed=Outcome(error=errors.StreamInterrupted, retryable=True, partial=TWO_WORDS, says="out of memory"),
    ),
    "rate limit in stream": Fault(
        behaviour=b.error_in_stream("slow down", code="rate_limit_exceeded"),
        plain=Outcome(error=errors.RateLimited, retryable=True, says="slow down"),
        # litellm keeps the words and not the code.
        streamed=Outcome(error=errors.StreamInterrupted, retryable=True, partial=TWO_WORDS, says="slow down"),
    ),
    "call without a name": Fault(
        behaviour=b.answer_tool_calls([("", {"a": 1})]),
        plain=Outcome(error=errors.MalformedResponse, retryable=True, says="without a name"),
        streamed=Outcome(error=errors.StreamInterrupted, retryable=True, says="without a name"),
    ),
}


@both
@pytest.mark.parametrize("name", FAULTS)
async def test_each_fault_has_its_outcome_and_the_next_call_succeeds(name: str, streamed: bool) -> None:
    """A fault ends in one typed error in time, says what had come, hides the key, and leaves the model usable."""
    fault = FAULTS[name]
    expected = fault.outcome(streamed)
    script = [fault.behaviour, b.answer("fine")]
    async with FaultServer(script) as server, opened(server, idle_timeout=fault.idle) as model:
        with pytest.raises(errors.ModelError) as caught:
            await call(model, streamed=streamed)
        assert len(server.requests) == 1
        error = caught.value
        assert type(error) is expected.error, error
        assert error.retryable is expected.retryable
        assert error.retry_after == expected.retry_after
        assert error.partial == expected.partial
        assert error.output_started is bool(expected.partial) or name == "call without a name"
        assert expected.status is None or error.status == expected.status
        assert expected.says in str(error)
        assert "openai/any" in str(error) or "answer" in str(error)
        assert error.model == "openai/any"
        assert KEY not in f"{error} {error!r} {error.__cause__!r} {error.__context__!r}"
        assert (await call(model, streamed=streamed)).message.content == "fine"
        assert server.unexpected == 0


async def test_a_refused_connection_is_unavailable() -> None:
    """Where nobody listens, the model is unavailable, and that may pass."""
    async with FaultServer() as server:
        address = server.base_url
    model = LiteLLMModel("openai/any", api_base=address, api_key=KEY)
    await model.open()
    try:
        for streamed in (False, True):
            with pytest.raises(errors.ModelUnavailable) as caught:
                await call(model, streamed=streamed)
            assert caught.value.retryable
    finally:
        await model.aclose()


@both
@pytest.mark.parametrize(
    "dialect",
    [
        Dialect(),
        *(Dialect(ids=ids) for ids in ("each", "changing", "same", "never")),
        Dialect(index="missing"),
        Dialect(index="missing", ids="each"),
        Dialect(index="zero", ids="each", arguments="object"),
        Dialect(arguments="object"),
        Dialect(summary=True),
        Dialect(summary=True, ids="never"),
        Dialect(usage=False),
    ],
    ids=repr,
)
async def test_each_dialect_of_tool_calls_reads_the_same(dialect: Dialect, streamed: bool) -> None:
    """However a provider writes two parallel tool calls, they come out as two calls with distinct ids."""
    behaviour = b.answer_tool_calls(CALLS, content="Let me see.", dialect=dialect)
    async with FaultServer([behaviour]) as server, opened(server) as model:
        completion = await call(model, streamed=streamed)
    message = completion.message
    assert [c.name for c in message.tool_calls] == ["get_user_property", "get_time"]
    assert [c.arguments.replace(" ", "") for c in message.tool_calls] == ['{"asked_property":"birthday"}', "{}"]
    assert len({c.id for c in message.tool_calls}) == 2
    assert all(c.id for c in message.tool_calls)
    assert message.content == "Let me see."
    assert completion.finish_reason == "tool_calls"


@both
async def test_arguments_that_are_not_sent_are_empty(streamed: bool) -> None:
    """A tool call without arguments has `{}` for arguments, and is a tool call though the provider said "stop"."""
    behaviour = b.answer_tool_calls([("get_time", {})], dialect=Dialect(arguments="none"), finish_reason="stop")
    async with FaultServer([behaviour]) as server, opened(server) as model:
        completion = await call(model, streamed=streamed)
    assert completion.message.tool_calls[0].arguments == "{}"
    assert completion.finish_reason == "tool_calls"


async def test_calls_that_cannot_be_told_apart_never_run_as_one() -> None:
    """Without ids and indexes litellm gives all pieces to one call, which is then refused as no whole JSON."""
    behaviour = b.answer_tool_calls(CALLS, dialect=Dialect(index="missing", ids="never"))
    async with FaultServer([behaviour]) as server, opened(server) as model:
        with pytest.raises(errors.StreamInterrupted, match="not whole JSON") as caught:
            await call(model, streamed=True)
        assert caught.value.retryable


@both
async def test_a_summary_is_not_said_twice(streamed: bool) -> None:
    """A last chunk that repeats the whole answer adds nothing to it."""
    async with FaultServer([b.answer("ha ha ha ha", summary=True)]) as server, opened(server) as model:
        assert (await call(model, streamed=streamed)).message.content == "ha ha ha ha"


@both
async def test_ten_megabytes_arrive_whole(streamed: bool) -> None:
    """A large answer within the limits is an answer."""
    async with FaultServer([b.huge(10_000_000)]) as server, opened(server) as model:
        assert len((await call(model, streamed=streamed)).message.content or "") == 10_000_000


@both
async def test_slow_but_steady_is_no_timeout(streamed: bool) -> None:
    """A stream may take longer than the idle time-out altogether; an answer in one piece may not."""
    async with FaultServer([b.slow_drip(0.2)]) as server, opened(server, idle_timeout=1.0) as model:
        if streamed:
            assert "January" in str((await call(model, streamed=True)).message.content)
        else:
            with pytest.raises(errors.ModelTimeout):
                await call(model, streamed=False)


@both
async def test_an_answer_beyond_the_limits_is_refused(streamed: bool) -> None:
    """An answer that is too long ends the call and is not tried again."""
    limits = AnswerLimits(max_characters=100_000)
    async with FaultServer([b.huge(1_000_000)]) as server, opened(server, limits=limits) as model:
        with pytest.raises(errors.MalformedResponse, match="100000") as caught:
            await call(model, streamed=streamed)
        assert not caught.value.retryable


async def test_a_server_that_does_not_stream_is_not_taken_for_a_silent_model() -> None:
    """An object where a stream was due, which litellm reads as an empty answer, is a failure that says so."""

    async def unstreamed(exchange: Any) -> None:
        await exchange.respond_json(200, {"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}]})

    async with FaultServer([b.Behaviour("unstreamed", unstreamed)]) as server, opened(server) as model:
        with pytest.raises(errors.MalformedResponse, match="not with a stream"):
            await call(model, streamed=True)


@pytest.mark.parametrize("farewell", ["drop", "hang"])
async def test_an_answer_is_whole_once_it_gave_its_reason_to_end(
    farewell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What goes wrong after the reason to end costs nothing but the usage."""

    async def play(exchange: Any) -> None:
        await exchange.start_stream()
        await exchange.send_event('{"choices":[{"index":0,"delta":{"content":"all"},"finish_reason":null}]}')
        await exchange.send_event('{"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}')
        await (exchange.close() if farewell == "drop" else anyio.sleep_forever())

    monkeypatch.setattr("tinyllm_actors.integrations.litellm.model.FAREWELL", 0.1)
    async with FaultServer([b.Behaviour(farewell, play)]) as server, opened(server, idle_timeout=IDLE) as model:
        completion = await call(model, streamed=True)
    assert (completion.message.content, completion.finish_reason) == ("all", "length")


async def test_a_whole_answer_may_be_empty() -> None:
    """A model that says nothing, and says that it has ended, has answered."""
    async with FaultServer([b.answer("")]) as server, opened(server) as model:
        assert (await call(model, streamed=True)).message.content == ""
