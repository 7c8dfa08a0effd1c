"""The adapter as its callers use it: opening, calling, leaving, closing."""

from __future__ import annotations

import json
import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.errors import ConfigurationError, MissingCredential, ModelError, ModelUnavailable, UnknownModel
from tinyllm_actors.integrations.openai_compatible import OpenAICompatibleModel, embedding_from_name, from_name
from tinyllm_actors.llm.messages import (
    AssistantMessage,
    FunctionCall,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)
from tinyllm_actors.llm.model import (
    Capabilities,
    ChatRequest,
    Completed,
    ReasoningDelta,
    ResponseSchema,
    TextDelta,
    ToolSchema,
)
from tinyllm_actors.testing.behaviours import (
    Behaviour,
    answer,
    answer_tool_calls,
    drop_stream,
    endless,
    hang,
    slow_first_byte,
)
from tinyllm_actors.testing.fault_server import FaultServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

KEY = "sk-a-secret-that-nobody-may-see"
REQUEST = ChatRequest(messages=[UserMessage("hello")])


@pytest.fixture
async def server() -> AsyncIterator[FaultServer]:
    """A server that answers each call, until a test says otherwise."""
    async with FaultServer(default=answer("hello to you")) as server:
        yield server


@pytest.fixture
async def model(server: FaultServer) -> AsyncIterator[OpenAICompatibleModel]:
    """An open model on that server."""
    model = OpenAICompatibleModel("any", api_base=server.base_url, api_key=KEY)
    await model.open()
    try:
        yield model
    finally:
        await model.aclose()


@pytest.fixture
def unused_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def stream(model: OpenAICompatibleModel, request: ChatRequest = REQUEST) -> list[Any]:
    """Return all events of a streamed answer."""
    async with model.stream(request) as events:
        return [event async for event in events]


# --- calls ----------------------------------------------------------------------------------------


async def test_a_plain_answer(model: OpenAICompatibleModel) -> None:
    """A call returns the message, its reason to end, its ids and its tokens."""
    completion = await model.complete(REQUEST)
    assert completion.message == AssistantMessage("hello to you")
    assert (completion.finish_reason, completion.model, completion.id) == ("stop", "fault-server", "chatcmpl-1")
    assert completion.usage is not None
    assert completion.usage.total_tokens == 13


async def test_a_streamed_answer_is_the_same_answer(model: OpenAICompatibleModel) -> None:
    """The events' text put together is the text of the last event, which equals the plain answer."""
    events = await stream(model)
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "hello to you"
    assert isinstance(events[-1], Completed)
    plain = await model.complete(REQUEST)
    assert events[-1].completion.message == plain.message
    assert events[-1].completion.usage == plain.usage
    assert not any(isinstance(event, Completed) for event in events[:-1])


async def test_thinking_is_kept_apart() -> None:
    """Reasoning comes as events of its own and is not part of the answer."""
    async with FaultServer(answer("yes", reasoning="let me see")) as server:
        model = OpenAICompatibleModel("any", api_base=server.base_url)
        await model.open()
        events = await stream(model)
        await model.aclose()
    assert "".join(event.text for event in events if isinstance(event, ReasoningDelta)) == "let me see"
    assert events[-1].completion.message == AssistantMessage("yes", reasoning_content="let me see")


async def test_what_is_sent(server: FaultServer, model: OpenAICompatibleModel) -> None:
    """Messages, tools, the choice of one, the schema and the options are in the body; the key is in the header."""
    request = ChatRequest(
        messages=[
            SystemMessage("be brief"),
            UserMessage("when?"),
            AssistantMessage(
                tool_calls=[ToolCall("c1", FunctionCall("lookup", '{"a":1}'))], reasoning_content="hm, which one"
            ),
            ToolMessage("c1", "January 1st"),
        ],
        tools=[ToolSchema("lookup", "Look up.", {"type": "object", "properties": {}})],
        tool_choice="lookup",
        response_schema=ResponseSchema("answer", {"type": "object"}),
        options={"temperature": 0, "max_tokens": 5},
    )
    await model.complete(request)
    await stream(model, request)
    sent: Any = server.requests[0].json
    streamed = server.requests[1].json
    assert sent == {
        "model": "any",
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "when?"},
            {
                "role": "assistant",
                "tool_calls": [
                    {"type": "function", "id": "c1", "function": {"name": "lookup", "arguments": '{"a":1}'}}
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "January 1st"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "lookup",
                    "description": "Look up.",
                    "parameters": {"type": "object", "properties": {}},
                },
            }
        ],
        "tool_choice": {"type": "function", "function": {"name": "lookup"}},
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": {"type": "object"}, "strict": True},
        },
        "temperature": 0,
        "max_tokens": 5,
    }
    assert streamed == {**sent, "stream": True, "stream_options": {"include_usage": True}}
    assert server.requests[0].path == "/v1/chat/completions"
    headers = server.requests[0].headers
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["accept-encoding"] == "identity"
    assert headers["content-type"] == "application/json"
    assert "cookie" not in headers


async def test_a_request_of_megabytes_is_sent_without_a_warning(
    server: FaultServer, model: OpenAICompatibleModel
) -> None:
    """A long history is sent whole."""
    text = "x" * 3_000_000
    await model.complete(ChatRequest(messages=[UserMessage(text)]))
    sent: Any = server.requests[0].json
    assert sent["messages"][0]["content"] == text


async def test_connections_are_kept_alive(server: FaultServer, model: OpenAICompatibleModel) -> None:
    """Calls one after the other, plain and streamed, share one connection."""
    for _ in range(3):
        await model.complete(REQUEST)
        await stream(model)
    assert len(server.requests) == 6
    assert server.connections == 1


async def test_many_calls_at_once() -> None:
    """A hundred calls run at once over one model, plain and streamed mixed, and each gets its own answer."""

    def echo(request: Any) -> Any:
        return slow_first_byte(0.05, answer(request.json["messages"][0]["content"]))

    async with FaultServer(echo) as server:
        model = OpenAICompatibleModel("any", api_base=server.base_url)
        await model.open()
        answers: dict[int, str | None] = {}

        async def ask(i: int) -> None:
            request = ChatRequest(messages=[UserMessage(f"call {i}")])
            if i % 2:
                answers[i] = (await model.complete(request)).message.content
            else:
                answers[i] = (await stream(model, request))[-1].completion.message.content

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                for i in range(100):
                    tasks.start_soon(ask, i)
        await model.aclose()
    assert answers == {i: f"call {i}" for i in range(100)}


# --- leaving --------------------------------------------------------------------------------------


async def test_cancelling_a_call_closes_its_connection() -> None:
    """The provider sees the connection close at the cancellation, and nothing is sent again."""
    async with FaultServer(hang()) as server:
        model = OpenAICompatibleModel("any", api_base=server.base_url)
        await model.open()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(model.complete, REQUEST)
            await server.wait_request()
            tasks.cancel_scope.cancel()
        await server.wait_closed_connection()
        await model.aclose()
        assert len(server.requests) == 1


@pytest.mark.parametrize("how", ["cancel", "break", "raise"])
async def test_leaving_a_stream_closes_its_connection(how: str) -> None:
    """However the reader leaves, the provider sees it; the reader's own error passes unchanged."""
    async with FaultServer(endless()) as server:
        model = OpenAICompatibleModel("any", api_base=server.base_url)
        await model.open()
        with anyio.fail_after(30), anyio.CancelScope() as scope, suppress(KeyError):
            async with model.stream(REQUEST) as events:
                seen = 0
                async for _ in events:
                    seen += 1
                    if seen < 3:
                        continue
                    if how == "break":
                        break
                    if how == "raise":
                        raise KeyError(how)
                    scope.cancel()
        assert scope.cancelled_caught is (how == "cancel")
        await server.wait_closed_connection()
        await model.aclose()
        assert server.requests[0].streamed


async def test_leaving_an_answer_that_broke_off_behind_the_reader() -> None:
    """Who leaves early is not told of a failure that came after what was read."""
    async with FaultServer(drop_stream(after=3)) as server:
        model = OpenAICompatibleModel("any", api_base=server.base_url)
        await model.open()
        async with model.stream(REQUEST) as events:
            assert await anext(aiter(events)) == TextDelta("The")
            await server.wait_no_connection()
        await model.aclose()


async def test_leaving_at_the_last_event_is_no_loss(server: FaultServer, model: OpenAICompatibleModel) -> None:
    """A reader may stop at `Completed`; the next call works."""
    async with model.stream(REQUEST) as events:
        async for event in events:
            if isinstance(event, Completed):
                break
    assert (await model.complete(REQUEST)).message.content == "hello to you"


async def test_a_slow_reader_holds_the_provider_back() -> None:
    """A reader that stands still is not buried: the provider cannot send on, after a bounded amount."""
    sent = 0
    stuck = anyio.Event()

    async def flood(exchange: Any) -> None:
        nonlocal sent
        await exchange.start_stream()
        chunk = json.dumps({"choices": [{"index": 0, "delta": {"content": "x" * 10_000}}]})
        while not stuck.is_set():
            with anyio.move_on_after(1) as scope:
                await exchange.send_event(chunk)
                sent += 1
            if scope.cancelled_caught:
                stuck.set()
        await anyio.sleep_forever()

    async with FaultServer(Behaviour("flood", flood)) as server:
        model = OpenAICompatibleModel("any", api_base=server.base_url)
        await model.open()
        async with model.stream(REQUEST) as events:
            await anext(aiter(events))
            with anyio.fail_after(30):
                await stuck.wait()
        await model.aclose()
    assert sent * 10_000 < 100_000_000


# --- opening and closing --------------------------------------------------------------------------


async def test_a_model_must_be_open(server: FaultServer) -> None:
    """A call before `open()` or after `aclose()` says so; opening twice is no harm; opening again works."""
    model = OpenAICompatibleModel("any", api_base=server.base_url)
    with pytest.raises(RuntimeError, match="await open"):
        await model.complete(REQUEST)
    await model.open()
    await model.open()
    await model.aclose()
    await model.aclose()
    with pytest.raises(RuntimeError, match="await open"):
        async with model.stream(REQUEST):
            pass
    await model.open()
    assert (await model.complete(REQUEST)).message.content == "hello to you"
    await model.aclose()


async def test_opening_that_fails_leaves_nothing(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the client cannot be made, the error passes, nothing stays behind, and a later attempt may succeed."""
    model = OpenAICompatibleModel("any", api_base=server.base_url)
    from tinyllm_actors.integrations.openai_compatible import transport

    async def fail(self: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(transport.Transport, "open", fail)
        with pytest.raises(MemoryError):
            await model.open()
    await model.open()
    assert (await model.complete(REQUEST)).message.content == "hello to you"
    await model.aclose()


async def test_closing_leaves_no_connection(server: FaultServer) -> None:
    """After `aclose()` the provider has no connection left."""
    model = OpenAICompatibleModel("any", api_base=server.base_url)
    await model.open()
    await model.complete(REQUEST)
    assert server.open_connections == 1
    await model.aclose()
    await server.wait_no_connection()


@pytest.mark.parametrize("streamed", [False, True], ids=["plain", "streamed"])
async def test_closing_during_a_call_ends_it(streamed: bool) -> None:
    """A call under way when the model is closed fails with a typed error instead of waiting for ever."""
    async with FaultServer(hang()) as server:
        model = OpenAICompatibleModel("any", api_base=server.base_url)
        await model.open()
        failures: list[ModelError] = []

        async def ask() -> None:
            try:
                await (stream(model) if streamed else model.complete(REQUEST))
            except ModelError as error:
                failures.append(error)

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(ask)
                await server.wait_request()
                await model.aclose()
    assert [type(failure) for failure in failures] == [ModelUnavailable]


async def test_nobody_listens(unused_port: int) -> None:
    """A refused connection is `ModelUnavailable`, retryable, and names the endpoint."""
    model = OpenAICompatibleModel("any", api_base=f"http://127.0.0.1:{unused_port}/v1", api_key=KEY)
    await model.open()
    with pytest.raises(ModelUnavailable, match=str(unused_port)) as caught:
        await model.complete(REQUEST)
    with pytest.raises(ModelUnavailable):
        await stream(model)
    await model.aclose()
    assert caught.value.retryable
    assert KEY not in repr(caught.value)


@pytest.mark.parametrize("trusted", [True, False])
async def test_https(trusted: bool) -> None:
    """A provider whose certificate is trusted is talked to; another is `ModelUnavailable`, and not tried again."""
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(served)
    trust = ssl.create_default_context()
    if trusted:
        authority.configure_trust(trust)
    async with FaultServer(default=answer("hello to you"), ssl_context=served) as server:
        model = OpenAICompatibleModel("any", api_base=server.base_url, api_key=KEY, ssl_context=trust)
        await model.open()
        if trusted:
            assert (await model.complete(REQUEST)).message.content == "hello to you"
            assert (await stream(model))[-1].completion.message.content == "hello to you"
            assert server.connections == 1
        else:
            with pytest.raises(ModelUnavailable, match=r"(?i)certificate") as caught:
                await model.complete(REQUEST)
            assert not caught.value.retryable
            assert not server.requests
        await model.aclose()


async def test_https_trusts_what_the_system_trusts() -> None:
    """Without a context of one's own, a certificate that nobody vouches for is refused."""
    trustme = pytest.importorskip("trustme")
    served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(served)
    async with FaultServer(default=answer("x"), ssl_context=served) as server:
        model = OpenAICompatibleModel("any", api_base=server.base_url, api_key=KEY)
        await model.open()
        with pytest.raises(ModelUnavailable, match=r"(?i)certificate"):
            await model.complete(REQUEST)
        await model.aclose()


async def test_a_name_that_does_not_resolve() -> None:
    """An unknown host is `ModelUnavailable` and named."""
    model = OpenAICompatibleModel("any", api_base="http://no-such-host.invalid/v1")
    await model.open()
    with pytest.raises(ModelUnavailable, match=r"no-such-host\.invalid"), anyio.fail_after(30):
        await model.complete(REQUEST)
    await model.aclose()


# --- what is wrong is said ------------------------------------------------------------------------


async def test_options_that_are_not_the_providers(model: OpenAICompatibleModel) -> None:
    """An option that the adapter sets itself is refused, with the reason."""
    with pytest.raises(ConfigurationError, match="'stream' cannot be a model option: call `stream"):
        await model.complete(ChatRequest(messages=[UserMessage("x")], options={"stream": True}))


async def test_what_cannot_be_written(model: OpenAICompatibleModel) -> None:
    """Half a surrogate pair, or an option that is no JSON, is a typed error and not a crash of the encoder."""
    with pytest.raises(ModelError, match="UTF-8"):
        await model.complete(ChatRequest(messages=[UserMessage("\ud800")]))
    with pytest.raises(ConfigurationError, match="JSON"):
        await model.complete(ChatRequest(messages=[UserMessage("x")], options={"stop": object()}))


class TestWithoutALoop:
    """Set-up, which does no I/O."""

    @pytest.mark.parametrize(
        "base", ["", "localhost:8000", "ftp://host/v1", "http://", "http://host:99999/v1", "http://[::1/v1"]
    )
    def test_an_address_that_is_none(self, base: str) -> None:
        """The wrong address is named."""
        with pytest.raises(ConfigurationError, match="api_base"):
            OpenAICompatibleModel("any", api_base=base)

    def test_a_password_in_the_address(self) -> None:
        """An address with a password is refused without repeating it."""
        with pytest.raises(ConfigurationError) as caught:
            OpenAICompatibleModel("any", api_base="http://me:hunter2hunter2@host/v1")
        assert "hunter2" not in str(caught.value)

    def test_a_key_with_a_line_break(self) -> None:
        """A key that no header can hold is refused without repeating it."""
        with pytest.raises(ConfigurationError, match="api_key") as caught:
            OpenAICompatibleModel("any", api_base="http://host/v1", api_key=f"{KEY}\n")
        assert KEY not in str(caught.value)

    @pytest.mark.parametrize("name", ["connect_timeout", "idle_timeout"])
    @pytest.mark.parametrize("value", [0, -1, float("nan")])
    def test_a_time_out_that_is_none(self, name: str, value: float) -> None:
        """Time-outs are more than zero."""
        options: dict[str, Any] = {name: value}
        with pytest.raises(ConfigurationError, match=name):
            OpenAICompatibleModel("any", api_base="http://host/v1", **options)

    def test_a_model_without_a_name(self) -> None:
        """An empty name is refused."""
        with pytest.raises(ConfigurationError, match="model must name"):
            OpenAICompatibleModel("", api_base="http://host/v1")

    def test_capabilities_can_be_told(self) -> None:
        """A model that can do less, or more, than is assumed says so."""
        model = OpenAICompatibleModel("any", api_base="http://host/v1", capabilities=Capabilities(tools=False))
        assert not model.capabilities.tools
        assert OpenAICompatibleModel("any", api_base="http://host/v1").capabilities.tools

    @pytest.mark.parametrize(("name", "value"), [("api_base", 7), ("api_key", object())])
    def test_options_of_another_type(self, name: str, value: object) -> None:
        """An option of the wrong type is named; the value of a key is not shown."""
        options: dict[str, object] = {"api_base": "http://host/v1", "api_key": "x", name: value}
        with pytest.raises(ConfigurationError, match=f"{name} must be a string"):
            from_name("openai_compatible/m", options)

    def test_the_key_is_not_shown(self) -> None:
        """Neither the model nor what it holds shows the key or the headers in its `repr`."""
        model = OpenAICompatibleModel("any", api_base="http://host/v1?x=1", api_key=KEY, headers={"X-Key": KEY})
        assert KEY not in repr(model)
        assert repr(model).startswith("OpenAICompatibleModel('any'")

    def test_from_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The string gives the model, known options go to the adapter and the others to the provider."""
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        options = {"api_base": "http://host/v1", "api_key": "x", "idle_timeout": 3.0, "temperature": 0}
        model = from_name("openai_compatible/org/some-model", options)
        assert model.name == "openai_compatible/org/some-model"
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
        assert from_name("openai/gpt-4o", {}).name == "openai/gpt-4o"

    @pytest.mark.parametrize(
        ("name", "ours"), [("base_url", "api_base"), ("timeout", "idle_timeout"), ("default_headers", "headers")]
    )
    def test_names_of_other_clients(self, name: str, ours: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """An option by the name that another client gives it is not sent to the provider; the error says ours."""
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        for make in (from_name, embedding_from_name):
            with pytest.raises(ConfigurationError, match=f"'{name}' is called '{ours}' here"):
                make("openai/any", {name: "x"})
        given: dict[str, Any] = {"api_base": "http://host/v1", name: "x"}
        with pytest.raises(ConfigurationError, match=ours):
            OpenAICompatibleModel("any", **given)
        mistaken: dict[str, Any] = {"api_base": "http://host/v1", "temprature": 0}
        with pytest.raises(TypeError, match="OpenAICompatibleModel has no argument 'temprature'"):
            OpenAICompatibleModel("any", **mistaken)

    @pytest.mark.parametrize("name", ["openai_compatible", "openai_compatible/", "openai/", "anthropic/claude"])
    def test_another_string(self, name: str) -> None:
        """A string of another form is named, with the form that is wanted."""
        with pytest.raises(UnknownModel, match=name):
            from_name(name, {})

    def test_no_address(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without an address the option and the variable that would give it are named."""
        monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
        with pytest.raises(ConfigurationError, match=r"api_base.*OPENAI_BASE_URL"):
            from_name("openai_compatible/m", {"api_key": "x"})

    def test_no_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An https endpoint without a key names the option and the variable; an empty key is a decision."""
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
        with pytest.raises(MissingCredential, match=r"'openai/gpt-4o'.*OPENAI_API_KEY.*api_key"):
            from_name("openai/gpt-4o", {})
        with pytest.raises(MissingCredential, match=r"somewhere\.else.*api_key"):
            from_name("openai_compatible/m", {"api_base": "https://somewhere.else/v1"})
        from_name("openai_compatible/m", {"api_base": "https://api.openai.com/v1", "api_key": ""})
        from_name("openai_compatible/m", {"api_base": "http://127.0.0.1:8000/v1"})


@pytest.mark.parametrize(
    ("options", "sends_key"),
    [({}, True), ({"api_base": "given"}, False), ({"api_base": "given", "api_key": KEY}, True)],
    ids=["address from the environment", "address given", "both given"],
)
async def test_a_key_goes_only_where_it_belongs(
    options: dict[str, str], sends_key: bool, server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key of the environment goes to the address of the environment, not to one that was given."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    if "api_base" in options:
        options = {**options, "api_base": server.base_url}
    model = from_name("openai_compatible/m", options)
    await model.open()
    await model.complete(REQUEST)
    await model.aclose()
    assert ("authorization" in server.requests[0].headers) is sends_key


async def test_proxies_of_the_environment_are_not_used(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that the environment names is not asked."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    model = OpenAICompatibleModel("any", api_base=server.base_url)
    await model.open()
    assert (await model.complete(REQUEST)).message.content == "hello to you"
    await model.aclose()


async def test_tool_calls_stream_as_deltas() -> None:
    """A streamed tool call names its id and tool on each piece, and its pieces make up the arguments."""
    async with FaultServer(answer_tool_calls([("lookup", {"a": [1, 2, 3]})])) as server:
        model = OpenAICompatibleModel("any", api_base=server.base_url)
        await model.open()
        events = await stream(model)
        await model.aclose()
    pieces = events[:-1]
    assert {(p.index, p.id, p.name) for p in pieces} == {(0, "call_1_0", "lookup")}
    assert json.loads("".join(p.arguments for p in pieces)) == {"a": [1, 2, 3]}
