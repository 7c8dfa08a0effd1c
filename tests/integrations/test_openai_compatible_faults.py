"""What becomes of a call when the provider misbehaves: each fault, plain and streamed, has a stated outcome."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors import errors
from tinyllm_actors.integrations.openai_compatible import OpenAICompatibleModel
from tinyllm_actors.llm.answer import AnswerLimits
from tinyllm_actors.llm.messages import UserMessage
from tinyllm_actors.llm.model import ChatRequest, Completed, TextDelta
from tinyllm_actors.testing import behaviours as b
from tinyllm_actors.testing.fault_server import FaultServer
from tinyllm_actors.testing.wire_answers import Dialect

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tinyllm_actors.llm.model import Completion

pytestmark = pytest.mark.anyio

KEY = "sk-a-secret-that-nobody-may-see"
REQUEST = ChatRequest(messages=[UserMessage("What is the user's birthday?")])
CALLS: list[tuple[str, dict[str, object]]] = [("get_user_property", {"asked_property": "birthday"}), ("get_time", {})]
IDLE = 0.5
"""How long the silent faults are waited for; the others have all the time that a busy machine needs."""


@asynccontextmanager
async def opened(
    server: FaultServer, *, idle_timeout: float = 5.0, **options: Any
) -> AsyncGenerator[OpenAICompatibleModel]:
    """Open a model on `server`, and close it whatever happens."""
    model = OpenAICompatibleModel("any", api_base=server.base_url, api_key=KEY, idle_timeout=idle_timeout, **options)
    await model.open()
    try:
        yield model
    finally:
        await model.aclose()


async def call(model: OpenAICompatibleModel, *, streamed: bool) -> Completion:
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


# --- faults ---------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a fault must look like to the caller."""

    error: type[errors.ModelError]
    retryable: bool
    retry_after: float | None = None
    status: int | None = None
    partial: str = ""
    output_started: bool = False
    says: str = ""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A behaviour and its outcomes."""

    behaviour: b.Behaviour
    plain: Outcome
    streamed: Outcome | None = None
    """The same as `plain` if it is None."""

    def outcome(self, streamed: bool) -> Outcome:
        return (self.streamed or self.plain) if streamed else self.plain


def same(behaviour: b.Behaviour, error: type[errors.ModelError], **more: Any) -> Fault:
    """Return a fault with the same outcome for plain and streamed calls."""
    return Fault(behaviour=behaviour, plain=Outcome(error=error, **more))


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
    "529": same(b.server_error(529), errors.Overloaded, retryable=True, status=529),
    "401": same(b.refuse(401, f"Incorrect API key provided: {KEY}."), errors.AuthenticationFailed, retryable=False),
    "403": same(b.refuse(403, "Forbidden"), errors.AuthenticationFailed, retryable=False, status=403),
    "404": same(
        b.refuse(404, "The model does not exist"), errors.RequestRejected, retryable=False, says="does not exist"
    ),
    "400": same(b.refuse(400, "temperature is too hot"), errors.RequestRejected, retryable=False, says="too hot"),
    "409": same(b.refuse(409, "Conflict"), errors.RequestRejected, retryable=True),
    "408": same(b.refuse(408, "Request timeout"), errors.ModelTimeout, retryable=True),
    "context by code": same(
        b.refuse(400, "Too long.", code="context_length_exceeded"), errors.ContextWindowExceeded, retryable=False
    ),
    "context by words": same(
        b.refuse(400, "This model's maximum context length is 8192 tokens."),
        errors.ContextWindowExceeded,
        retryable=False,
    ),
    "redirect": same(b.redirect(), errors.RequestRejected, retryable=False, status=307, says="127.0.0.1:9/elsewhere"),
    "malformed": Fault(
        behaviour=b.malformed_json(),
        plain=Outcome(error=errors.MalformedResponse, retryable=True, says="application/json"),
        streamed=Outcome(error=errors.MalformedResponse, retryable=True),
    ),
    "web page": same(b.wrong_content_type(), errors.MalformedResponse, retryable=True, status=200, says="Log in"),
    "truncated": Fault(
        behaviour=b.truncated_stream(2),
        plain=Outcome(error=errors.MalformedResponse, retryable=True),
        streamed=Outcome(error=errors.StreamInterrupted, retryable=True, partial=TWO_WORDS),
    ),
    "truncated at once": Fault(
        behaviour=b.truncated_stream(0),
        plain=Outcome(error=errors.MalformedResponse, retryable=True),
        streamed=Outcome(error=errors.StreamInterrupted, retryable=True),
    ),
    "dropped": Fault(
        behaviour=b.drop_stream(2),
        plain=Outcome(error=errors.StreamInterrupted, retryable=True),
        streamed=Outcome(error=errors.StreamInterrupted, retryable=True, partial=TWO_WORDS),
    ),
    "reset": same(b.reset(), errors.ModelUnavailable, retryable=True),
    "reset later": same(b.reset(0), errors.StreamInterrupted, retryable=True),
    "hang": same(b.hang(), errors.ModelTimeout, retryable=True, says=f"idle_timeout={IDLE}"),
    "hang later": Fault(
        behaviour=b.hang(2),
        plain=Outcome(error=errors.ModelTimeout, retryable=True),
        streamed=Outcome(error=errors.ModelTimeout, retryable=True, partial=TWO_WORDS),
    ),
    "slow first byte": same(b.slow_first_byte(30), errors.ModelTimeout, retryable=True),
    "slow drip": same(b.slow_drip(30), errors.ModelTimeout, retryable=True),
    "error in stream": Fault(
        behaviour=b.error_in_stream("out of memory"),
        plain=Outcome(error=errors.Overloaded, retryable=True, says="out of memory"),
        streamed=Outcome(error=errors.StreamInterrupted, retryable=True, partial=TWO_WORDS, says="out of memory"),
    ),
    "rate limit in stream": Fault(
        behaviour=b.error_in_stream("slow down", code="rate_limit_exceeded"),
        plain=Outcome(error=errors.RateLimited, retryable=True),
        streamed=Outcome(error=errors.RateLimited, retryable=True, partial=TWO_WORDS),
    ),
    "status in stream": Fault(
        behaviour=b.error_in_stream("busy", code=503, after=0),
        plain=Outcome(error=errors.Overloaded, retryable=True, status=503),
    ),
    "call without a name": Fault(
        behaviour=b.answer_tool_calls([("", {"a": 1})]),
        plain=Outcome(error=errors.MalformedResponse, retryable=True, says="without a name"),
        streamed=Outcome(error=errors.StreamInterrupted, retryable=True, output_started=True, says="without a name"),
    ),
}


@both
@pytest.mark.parametrize("name", FAULTS)
async def test_each_fault_has_its_outcome_and_the_next_call_succeeds(name: str, streamed: bool) -> None:
    """A fault ends in one typed error in time, says what had come, hides the key, and leaves the model usable."""
    fault = FAULTS[name]
    expected = fault.outcome(streamed)
    idle = IDLE if expected.error is errors.ModelTimeout else 5.0
    async with FaultServer([fault.behaviour, b.answer("fine")]) as server, opened(server, idle_timeout=idle) as model:
        with pytest.raises(errors.ModelError) as caught:
            await call(model, streamed=streamed)
        error = caught.value
        assert type(error) is expected.error, error
        assert error.retryable is expected.retryable
        assert error.retry_after == expected.retry_after
        assert error.partial == expected.partial
        assert error.output_started is (expected.output_started or bool(expected.partial))
        assert expected.status is None or error.status == expected.status
        assert expected.says in str(error)
        assert error.model == "openai_compatible/any"
        assert KEY not in f"{error} {error!r} {error.__cause__!r} {error.__context__!r}"
        assert (await call(model, streamed=streamed)).message.content == "fine"
        assert server.unexpected == 0


# --- what only looks like a fault -----------------------------------------------------------------


@both
@pytest.mark.parametrize(
    "dialect",
    [
        Dialect(),
        *(Dialect(ids=ids) for ids in ("each", "changing", "same", "never")),
        Dialect(index="missing"),
        Dialect(index="missing", ids="each"),
        Dialect(index="missing", ids="never"),
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
    async with (
        FaultServer([b.answer_tool_calls(CALLS, content="Let me see.", dialect=dialect)]) as server,
        opened(server) as model,
    ):
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
    """A tool call without arguments has `{}` for arguments."""
    behaviour = b.answer_tool_calls([("get_time", {})], dialect=Dialect(arguments="none"), finish_reason="stop")
    async with FaultServer([behaviour]) as server, opened(server) as model:
        completion = await call(model, streamed=streamed)
    assert completion.message.tool_calls[0].arguments == "{}"
    assert completion.finish_reason == "tool_calls"


@both
async def test_a_summary_is_not_said_twice(streamed: bool) -> None:
    """A last chunk that repeats the whole answer adds nothing to it."""
    async with FaultServer([b.answer("ha ha ha ha", summary=True)]) as server, opened(server) as model:
        assert (await call(model, streamed=streamed)).message.content == "ha ha ha ha"


@both
async def test_slow_but_steady_is_no_timeout(streamed: bool) -> None:
    """The idle time-out counts from the last byte, so an answer may take longer than it altogether."""
    async with FaultServer([b.slow_drip(0.1)]) as server, opened(server, idle_timeout=0.8) as model:
        assert "January" in str((await call(model, streamed=streamed)).message.content)


@both
async def test_ten_megabytes_arrive_whole(streamed: bool) -> None:
    """A large answer within the limits is an answer."""
    async with FaultServer([b.huge(10_000_000)]) as server, opened(server) as model:
        assert len((await call(model, streamed=streamed)).message.content or "") == 10_000_000


@both
@pytest.mark.parametrize("limit", ["body", "text"])
async def test_an_answer_beyond_the_limits_is_refused(limit: str, streamed: bool) -> None:
    """An answer that is too large ends the call without being held in memory, and is not tried again."""
    limits: dict[str, Any] = {"limits": AnswerLimits(max_characters=1_000_000)}
    if limit == "body":
        limits = {"max_body_bytes": 1_000_000, "max_stream_bytes": 1_000_000}
    async with FaultServer([b.huge(10_000_000)]) as server, opened(server, **limits) as model:
        with pytest.raises(errors.MalformedResponse, match="1000000") as caught:
            await call(model, streamed=streamed)
        assert not caught.value.retryable
        await server.wait_closed_connection() if limit == "body" or streamed else None


async def test_a_server_that_does_not_stream_is_understood() -> None:
    """JSON where a stream was asked for gives the events of the whole answer."""

    async def unstreamed(exchange: Any) -> None:
        await exchange.respond_json(200, {"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}]})

    async with (
        FaultServer([b.Behaviour("unstreamed", unstreamed)]) as server,
        opened(server) as model,
        model.stream(REQUEST) as events,
    ):
        seen = [event async for event in events]
    assert isinstance(seen[0], TextDelta)
    assert isinstance(seen[-1], Completed)
    assert seen[-1].completion.message.content == "whole"


@pytest.mark.parametrize("farewell", ["drop", "hang"])
async def test_an_answer_is_whole_once_it_gave_its_reason_to_end(farewell: str) -> None:
    """What goes wrong after the reason to end costs nothing but the usage."""

    async def play(exchange: Any) -> None:
        await exchange.start_stream()
        await exchange.send_event('{"choices":[{"delta":{"content":"all"},"finish_reason":"stop"}]}')
        await (exchange.close() if farewell == "drop" else anyio.sleep_forever())

    async with FaultServer([b.Behaviour(farewell, play)]) as server, opened(server, idle_timeout=IDLE) as model:
        assert (await call(model, streamed=True)).message.content == "all"


async def test_a_stream_without_a_reason_is_whole_when_it_says_done() -> None:
    """`[DONE]` proves that nothing is missing; the reason is then unknown."""
    async with FaultServer([b.answer("fine", finish_reason=None)]) as server, opened(server) as model:
        completion = await call(model, streamed=True)
    assert (completion.message.content, completion.finish_reason) == ("fine", "unknown")


async def test_a_compressed_answer_is_refused() -> None:
    """An encoding that was not asked for is named, not guessed at."""

    async def play(exchange: Any) -> None:
        await exchange.respond(200, b"\x1f\x8b", headers={"Content-Encoding": "gzip"})

    async with FaultServer([b.Behaviour("gzip", play)]) as server, opened(server) as model:
        with pytest.raises(errors.MalformedResponse, match="'gzip'"):
            await call(model, streamed=False)


@both
async def test_no_http_at_all(streamed: bool) -> None:
    """A server of another protocol is named as such, without the key in the error or in its context."""

    async def play(exchange: Any) -> None:
        await exchange.send(b"220 mail.invalid ESMTP ready\r\n")
        await exchange.close()

    async with FaultServer([b.Behaviour("smtp", play)]) as server, opened(server) as model:
        with pytest.raises(errors.MalformedResponse, match="does not speak HTTP") as caught:
            await call(model, streamed=streamed)
        assert caught.value.__cause__ is None
        assert KEY not in str(caught.value)
