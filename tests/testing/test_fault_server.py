"""The fault server does what its script says; most behaviours are proved by the adapters' own fault tests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tinyllm_actors.testing.behaviours import Behaviour, answer, hang, refuse, reset
from tinyllm_actors.testing.fault_server import FaultServer

if TYPE_CHECKING:
    from tinyllm_actors.testing.http_exchange import Exchange, RecordedRequest

pytestmark = pytest.mark.anyio


def post(body: Any, *, headers: str = "") -> bytes:
    """Return a request."""
    data = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n{headers}\r\n"
    return head.encode() + data


class Client:
    """A bare connection, to see what really comes."""

    def __init__(self, stream: anyio.abc.SocketStream) -> None:
        self.stream = stream
        self.seen = b""

    async def until(self, end: bytes) -> bytes:
        """Return what has come up to and with `end`."""
        while end not in self.seen:
            self.seen += await self.stream.receive()
        found, _, self.seen = self.seen.partition(end)
        return found + end

    async def body(self) -> Any:
        """Return the decoded body of one answer."""
        head = await self.until(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        while len(self.seen) < length:
            self.seen += await self.stream.receive()
        body, self.seen = self.seen[:length], self.seen[length:]
        return json.loads(body)


async def connect(server: FaultServer) -> Client:
    """Connect to `server`."""
    return Client(await anyio.connect_tcp("127.0.0.1", int(server.base_url.split(":")[2].removesuffix("/v1"))))


async def test_the_script_is_followed_in_order() -> None:
    """Steps are taken one by one on a kept connection; what is left over, and what is too much, can be seen."""
    async with FaultServer([answer("one"), refuse(418, "two"), answer("never")]) as server:
        client = await connect(server)
        async with client.stream:
            await client.stream.send(post({"n": 1}) + post({"n": 2}))  # the second is sent ahead
            assert (await client.body())["choices"][0]["message"]["content"] == "one"
            assert (await client.body())["error"]["message"] == "two"
        assert [request.json for request in server.requests] == [{"n": 1}, {"n": 2}]
        assert (server.connections, server.unexpected) == (1, 0)
        assert [step.name for step in server.unused] == ["answer('never')"]


async def test_a_request_too_many() -> None:
    """Without a default, a request after the last step is refused and counted."""
    async with FaultServer() as server:
        client = await connect(server)
        async with client.stream:
            await client.stream.send(post({}))
            assert "no step for request 1" in (await client.body())["error"]["message"]
        assert server.unexpected == 1


async def test_a_function_chooses() -> None:
    """A function of the request may be the script."""

    def choose(request: RecordedRequest) -> Behaviour:
        return answer(str(len(request.body)))

    async with FaultServer(choose) as server:
        client = await connect(server)
        async with client.stream:
            await client.stream.send(post([1, 2]))
            assert (await client.body())["choices"][0]["message"]["content"] == "6"


async def test_a_stream_is_server_sent_events() -> None:
    """A streamed answer is chunked events, with usage if it was asked for, and `[DONE]`."""
    async with FaultServer(answer("one two")) as server:
        client = await connect(server)
        async with client.stream:
            await client.stream.send(post({"stream": True, "stream_options": {"include_usage": True}}))
            head = await client.until(b"\r\n\r\n")
            body = await client.until(b"0\r\n\r\n")
    assert b"text/event-stream" in head
    assert b"data: [DONE]\n\n" in body
    assert b'"content": " two"' in body
    assert b'"total_tokens"' in body


async def test_a_client_that_leaves_is_noticed_once() -> None:
    """A connection closed in the middle of an answer is reported once, with its request; others are not."""
    async with FaultServer([hang(), answer("x")]) as server:
        client = await connect(server)
        await client.stream.send(post({"n": 1}))
        await server.wait_request()
        await client.stream.aclose()
        left = await server.wait_closed_connection()
        assert left.request.json == {"n": 1}
        client = await connect(server)
        await client.stream.send(post({"n": 2}))
        await client.body()
        await client.stream.aclose()
        await server.wait_no_connection()
        with pytest.raises(TimeoutError):
            await server.wait_closed_connection(timeout=0.05)


async def test_a_reset_is_a_reset() -> None:
    """The client of a reset connection gets an error, not an end."""
    async with FaultServer(reset()) as server:
        client = await connect(server)
        async with client.stream:
            await client.stream.send(post({}))
            with pytest.raises(anyio.BrokenResourceError):
                await client.stream.receive()


async def test_what_is_no_http_closes_the_connection() -> None:
    """Nonsense from a client is no failure of the server, which serves the next one."""
    async with FaultServer(answer("x")) as server:
        client = await connect(server)
        await client.stream.send(b"HELO\r\n\r\n")
        with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
            await client.stream.receive()
        await client.stream.aclose()
        client = await connect(server)
        async with client.stream:
            await client.stream.send(post({}))
            await client.body()


async def test_a_client_may_ask_before_it_sends() -> None:
    """`Expect: 100-continue` is answered, so that clients that use it do not wait."""
    async with FaultServer(answer("x")) as server:
        client = await connect(server)
        async with client.stream:
            head, _, body = post({"n": 1}, headers="Expect: 100-continue\r\n").partition(b"\r\n\r\n")
            await client.stream.send(head + b"\r\n\r\n")
            assert b"100" in await client.until(b"\r\n\r\n")
            await client.stream.send(body)
            await client.body()


async def test_an_error_in_the_block_passes_unchanged() -> None:
    """The block's own error is not wrapped, and the server ends although a client is waiting."""
    with pytest.raises(KeyError):
        async with FaultServer(hang()) as server:
            client = await connect(server)
            async with client.stream:
                await client.stream.send(post({}))
                await server.wait_request()
                raise KeyError


async def test_a_behaviour_of_ones_own() -> None:
    """Any coroutine function may answer; its failure is the test's failure."""

    async def broken(exchange: Exchange) -> None:
        raise LookupError(exchange.request.path)

    with pytest.raises(ExceptionGroup, match="behaviours") as caught:
        async with FaultServer(Behaviour("broken", broken)) as server:
            client = await connect(server)
            async with client.stream:
                await client.stream.send(post({}))
                await client.stream.receive()
    assert caught.group_contains(LookupError, match="/v1/chat/completions")


async def test_a_server_serves_once() -> None:
    """Entering twice is refused."""
    async with FaultServer() as server:
        with pytest.raises(RuntimeError, match="once"):
            await server.__aenter__()


async def test_headers_are_not_shown() -> None:
    """A recorded request does not show the client's key."""
    async with FaultServer(answer("x")) as server:
        client = await connect(server)
        async with client.stream:
            await client.stream.send(post({}, headers="Authorization: Bearer sk-secret\r\n"))
            await client.body()
        assert server.requests[0].headers["authorization"] == "Bearer sk-secret"
        assert "sk-secret" not in repr(server.requests)
