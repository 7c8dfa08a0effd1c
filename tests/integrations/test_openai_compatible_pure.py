"""What the adapter decides without a connection: what a failure means, what is written, what is hidden."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyllm_actors import errors
from tinyllm_actors.integrations.openai_compatible import from_name
from tinyllm_actors.integrations.openai_compatible.address import (
    endpoint_url,
    proxy_address,
    request_headers,
    secrets_of,
)
from tinyllm_actors.integrations.openai_compatible.events import EventReader, events_of
from tinyllm_actors.integrations.openai_compatible.failures import (
    Complaint,
    excerpt,
    failure_of_event,
    failure_of_status,
    read_complaint,
    retry_after_of,
)
from tinyllm_actors.integrations.openai_compatible.request import encode_request
from tinyllm_actors.kernel.redaction import redact
from tinyllm_actors.kernel.scrubber import Scrubber
from tinyllm_actors.llm.answer import DEFAULT_LIMITS
from tinyllm_actors.llm.messages import AssistantMessage, UserMessage
from tinyllm_actors.llm.model import ChatRequest, Completed, ReasoningDelta, TextDelta, ToolCallDelta
from tinyllm_actors.testing.wire_answers import WireAnswer


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        ({"error": {"message": "no", "type": "t", "code": "c"}}, "no", "c t"),
        ({"error": "no"}, "no", ""),
        ([{"error": {"message": "no", "code": 429, "status": "RESOURCE_EXHAUSTED"}}], "no", "429 RESOURCE_EXHAUSTED"),
        ({"detail": "no"}, "no", ""),
        ({"detail": [{"loc": ["body"], "msg": "no"}]}, '[{"loc":["body"],"msg":"no"}]', ""),
        ({"object": "error", "message": "no", "code": 40303}, "no", "40303"),
        ({"message": "no", "error": "Bad Request"}, "no", ""),
        ("no", "no", ""),
        ([], "", ""),
        (None, "", ""),
        ({}, "", ""),
        (7, "", ""),
    ],
)
def test_each_shape_of_a_complaint_is_read(body: Any, message: str, code: str) -> None:
    """OpenAI, Gemini, FastAPI, vLLM and plain text each say what went wrong in their own way."""
    assert read_complaint(body) == Complaint(message, code)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:16:50 GMT"}, 10.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:16:50"}, 10.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "x", "retry-after": "7"}, 7.0),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds, milliseconds and dates are understood; nonsense is no request to wait."""
    assert retry_after_of(headers, now=1000.0) == seconds


@given(st.text(max_size=40))
def test_no_retry_after_breaks_the_reader(value: str) -> None:
    """Whatever the header says, the result is a time to wait or nothing."""
    seconds = retry_after_of({"retry-after": value}, now=1e9)
    assert seconds is None or 0 <= seconds < float("inf")


@pytest.mark.parametrize(
    ("status", "complaint", "error"),
    [
        (
            400,
            Complaint("exceeds the available context size", "exceed_context_size_error"),
            errors.ContextWindowExceeded,
        ),
        (413, Complaint("prompt is too long: 210000 tokens"), errors.ContextWindowExceeded),
        (500, Complaint("the maximum context length is 5"), errors.ContextWindowExceeded),
        (429, Complaint("context window of requests"), errors.RateLimited),
        (429, Complaint("", "insufficient_quota"), errors.QuotaExceeded),
        (403, Complaint("", "insufficient_quota"), errors.QuotaExceeded),
        (400, Complaint("Your credit balance is too low"), errors.QuotaExceeded),
        (422, Complaint("no"), errors.RequestRejected),
        (599, Complaint(), errors.Overloaded),
        (304, Complaint(), errors.RequestRejected),
        (400, Complaint("API key not valid. Please pass a valid API key."), errors.AuthenticationFailed),
    ],
)
def test_what_a_status_means(status: int, complaint: Complaint, error: type[errors.ModelError]) -> None:
    """What the provider says counts for more than its status where it is more precise."""
    failure = failure_of_status(status, complaint, model="m")
    assert type(failure) is error
    assert failure.status == status


@pytest.mark.parametrize(
    ("complaint", "started", "error"),
    [
        (Complaint("no", "529"), True, errors.Overloaded),
        (Complaint("no", "overloaded_error"), False, errors.Overloaded),
        (Complaint("no", "rate_limit_exceeded"), True, errors.RateLimited),
        (Complaint("no", "invalid_request_error"), True, errors.RequestRejected),
        (Complaint("maximum context length"), False, errors.ContextWindowExceeded),
        (Complaint("no", "authentication_error"), False, errors.AuthenticationFailed),
        (Complaint("no", "40303"), True, errors.StreamInterrupted),
        (Complaint("no", "²"), True, errors.StreamInterrupted),
        (Complaint(), True, errors.StreamInterrupted),
        (Complaint(), False, errors.Overloaded),
    ],
)
def test_what_an_error_inside_a_stream_means(
    complaint: Complaint, started: bool, error: type[errors.ModelError]
) -> None:
    """An error in place of a chunk is told by its code; without one, by whether there was output."""
    assert type(failure_of_event(complaint, model="m", started=started)) is error


@pytest.mark.parametrize(
    ("details", "seconds"),
    [
        ([{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7.5s"}], 7.5),
        ([{"reason": "X"}, {"retryDelay": "0s"}], 0.0),
        ([{"retryDelay": "soon"}, {"retryDelay": 7}, "7s"], None),
        ("7s", None),
    ],
)
def test_when_to_come_back_is_read_from_a_body_of_googles(details: object, seconds: float | None) -> None:
    """Google says it among the details; a header wins over it."""
    complaint = read_complaint({"error": {"code": 429, "message": "no", "details": details}})
    assert complaint.retry_after == seconds
    assert failure_of_status(429, complaint, model="m").retry_after == seconds
    assert failure_of_status(429, complaint, model="m", retry_after=1.0).retry_after == 1.0


def test_an_excerpt_is_short_and_on_one_line() -> None:
    """A provider's novel becomes a line."""
    assert excerpt(" a\n\n b ") == "a b"
    assert len(excerpt("x" * 10_000)) == 300


@pytest.mark.parametrize(
    ("base", "url"),
    [
        ("http://h/v1", "http://h/v1/chat/completions"),
        ("http://h/v1/", "http://h/v1/chat/completions"),
        ("http://h", "http://h/chat/completions"),
        ("http://h/v1/chat/completions", "http://h/v1/chat/completions"),
        ("https://h:8443/a/b?api-version=1#x", "https://h:8443/a/b/chat/completions?api-version=1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1/chat/completions"),
    ],
)
def test_the_address(base: str, url: str) -> None:
    """Requests go below `api_base`, however it ends."""
    assert endpoint_url(base) == url


def test_a_proxys_credentials_are_taken_out_of_its_address() -> None:
    """What is kept of a proxy's address can be shown; user and password are decoded."""
    assert proxy_address("http://h:3128/x") == ("http://h:3128", None)
    assert proxy_address("https://u@[::1]") == ("https://[::1]", ("u", ""))
    assert proxy_address("http://u:p%40@h:1") == ("http://h:1", ("u", "p@"))


def test_headers_of_ones_own_win() -> None:
    """A header that is given replaces ours, whatever its case; those that may hold a key count as secrets."""
    headers = request_headers("key-12345678", {"authorization": "Basic abcdefgh", "X-Title": "My App"})
    assert "Authorization" not in headers
    assert headers["authorization"] == "Basic abcdefgh"
    assert secrets_of(headers) == ["Basic abcdefgh"]
    with pytest.raises(errors.ConfigurationError, match=r"header 'x'") as caught:
        request_headers(None, {"x": "secret\r\nInjected: 1"})
    assert "secret" not in str(caught.value)


@given(st.text(st.characters(categories=["L", "N"]), min_size=8), st.text(), st.text())
def test_a_secret_is_never_left_over(secret: str, before: str, after: str) -> None:
    """Whatever surrounds it, the secret is replaced."""
    scrubbed = Scrubber([f"Bearer {secret}"])(f"{before}{secret}{after}")
    assert secret not in scrubbed.replace("***", "")
    assert secret not in repr(Scrubber([secret]))


def test_thinking_is_sent_back_on_demand_only() -> None:
    """Earlier thinking stays here, since most providers refuse it, unless it is asked for."""
    request = ChatRequest(messages=[UserMessage("a"), AssistantMessage("b", reasoning_content="hm")])

    def sent(**options: bool) -> Any:
        return msgspec.json.decode(encode_request("m", request, {}, stream=True, **options))

    assert "reasoning_content" not in sent()["messages"][1]
    assert sent(send_reasoning=True)["messages"][1]["reasoning_content"] == "hm"
    assert request.messages[1] == AssistantMessage("b", reasoning_content="hm")
    assert "stream_options" not in sent(stream_usage=False)


def test_options_of_the_request_win() -> None:
    """The adapter's options are defaults, and the caller's own `stream_options` stay."""
    request = ChatRequest(messages=(UserMessage("a"),), options={"temperature": 1, "stream_options": {"x": 1}})
    sent = msgspec.json.decode(encode_request("m", request, {"temperature": 0, "seed": 3}, stream=True))
    assert (sent["temperature"], sent["seed"], sent["stream_options"]) == (1, 3, {"x": 1})


@pytest.mark.parametrize("choice", ["auto", "none", "required"])
def test_a_choice_without_tools_is_not_sent(choice: str) -> None:
    """Providers refuse `tool_choice` without `tools`."""
    request = ChatRequest(messages=[UserMessage("a")], tool_choice=choice)
    assert "tool_choice" not in msgspec.json.decode(encode_request("m", request, {}, stream=False))


def test_what_is_neither_chunk_nor_error_is_read_over() -> None:
    """Pings and events of other kinds inside a stream do no harm."""
    reader = EventReader("m", DEFAULT_LIMITS)
    assert reader.feed(b'data: {"type":"ping"}\n\ndata: {}\n\ndata: \n\ndata: {"choices":[]}\n\n') == []
    assert reader.feed(b'data: {"choices":[{"delta":{"content":"x"},"finish_reason":"stop"}]}\n\n') == [TextDelta("x")]
    assert not reader.ended
    reader.feed(b"data: [DONE]\n\ndata: after the end\n\n")
    assert reader.ended
    assert reader.finish().completion.message.content == "x"


@pytest.mark.parametrize(
    "data",
    [b'data: {"message":"no"}\n\n', b'data: {"type":"error"}\n\n', b'error: {"code":500,"message":"no"}\n\n'],
)
def test_errors_of_other_shapes(data: bytes) -> None:
    """What is no chunk and speaks of an error is one."""
    reader = EventReader("m", DEFAULT_LIMITS)
    with pytest.raises(errors.Overloaded):
        reader.feed(data)
        reader.finish()


def test_an_answer_that_came_whole_gives_the_same_events() -> None:
    """A reader of events need not know that the server did not stream."""
    reader = EventReader("m", DEFAULT_LIMITS)
    wire = WireAnswer(content="text", reasoning="hm", calls=[("f", {"a": 1})])
    for chunk in wire.chunks():
        reader.feed(b"data: " + msgspec.json.encode(chunk) + b"\n\n")
    completion = reader.finish().completion
    assert events_of(completion) == [
        ReasoningDelta("hm"),
        TextDelta("text"),
        ToolCallDelta(0, "call_1_0", "f", '{"a": 1}'),
        Completed(completion),
    ]


def test_openai_itself_needs_only_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """`openai/…` goes to OpenAI's address with OPENAI_API_KEY, and says so when that is not set."""
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-this-test-only")
    assert from_name("openai/gpt-4o-mini", {}).name.endswith("gpt-4o-mini")
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(
        errors.MissingCredential, match=r"'openai/gpt-4o-mini' needs a key: set OPENAI_API_KEY"
    ) as caught:
        from_name("openai/gpt-4o-mini", {})
    line = f"{type(caught.value).__name__}: {caught.value}"
    assert redact(line) == line, "the log shows it whole: what is no secret does not look like one"
