"""Documents from the web: small, whole, and never from where nobody should look."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trustme
from anyio.streams.tls import TLSListener

from tinyllm_actors.errors import FetchFailed
from tinyllm_actors.tool import fetch as module
from tinyllm_actors.tool.fetch import Document, fetch, is_public

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from anyio.abc import SocketStream

pytestmark = pytest.mark.anyio


class Web:
    """A server that answers each connection with the next bytes it was given, and keeps what was asked."""

    def __init__(self, answers: Sequence[bytes], *, keep_open: bool = False) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []
        self.port = 0
        self.keep_open = keep_open

    async def serve(self, stream: SocketStream) -> None:
        async with stream:
            data = b""
            while b"\r\n\r\n" not in data:
                data += await stream.receive()
            self.asked.append(data.decode())
            try:
                await stream.send(self.answers.pop(0))
                if self.keep_open:
                    await anyio.sleep_forever()
            except (anyio.BrokenResourceError, anyio.EndOfStream):
                return

    def url(self, path: str = "/page", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


@asynccontextmanager
async def web(*answers: bytes, keep_open: bool = False) -> AsyncGenerator[Web]:
    """Run such a server."""
    server = Web(answers, keep_open=keep_open)
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    server.port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, server.serve)
        yield server
        group.cancel_scope.cancel()


def answer(body: bytes = b"", *, status: str = "200 OK", headers: str = "") -> bytes:
    """Return an answer whose end is that of the connection."""
    return f"HTTP/1.1 {status}\r\nContent-Type: Text/Plain; charset=utf-8\r\n{headers}\r\n".encode() + body


async def test_a_document_comes_whole() -> None:
    """With a length, in chunks, or to the end of the connection; the request is plain and has the headers."""
    chunks = answer(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", headers="Transfer-Encoding: chunked\r\n")
    async with web(answer(b"abc"), chunks, answer(b"missing", status="404 Not Found")) as server:
        url = server.url("/page?q=1")
        found = await fetch(url, headers={"User-Agent": "me"}, allow_private=True)
        assert found == Document(url, 200, "text/plain", b"abc")
        assert (await fetch(url, allow_private=True)).body == b"abcde"
        assert (await fetch(url, allow_private=True)).status == 404
    head = server.asked[0].split("\r\n")
    assert head[0] == "GET /page?q=1 HTTP/1.1"
    assert {f"Host: 127.0.0.1:{server.port}", "User-Agent: me", "Connection: close"} <= set(head)


async def test_a_connection_that_stays_open_is_not_waited_for() -> None:
    """The length, or a redirect's head, says that all has come."""
    async with web(
        answer(headers="Location: /there\r\n", status="302 Found"),
        answer(b"abc", headers="Content-Length: 3\r\n"),
        keep_open=True,
    ) as server:
        with anyio.fail_after(30):
            found = await fetch(server.url(), allow_private=True)
    assert (found.url, found.body) == (server.url("/there"), b"abc")


async def test_what_is_too_much_is_refused() -> None:
    """Large bodies, endless redirects, and compressed bodies, which were not asked for."""
    there = answer(headers="Location: /again\r\n", status="301 Moved Permanently")
    cases = [
        ([answer(b"x" * 2000)], "larger than the 1,000 bytes"),
        ([there, there, there], "redirects more than 2 times"),
        ([answer(b"\x1f\x8b", headers="Content-Encoding: gzip\r\n")], "compressed"),
        ([b"SSH-2.0-nonsense\r\n"], "does not answer in HTTP"),
        ([b""], "does not answer in HTTP"),
        ([answer(b"abc", headers="Content-Length: 9\r\n")], "broke off before its end"),
        ([answer(b"zz\r\n", headers="Transfer-Encoding: chunked\r\n")], "broke off before its end"),
    ]
    for answers, says in cases:
        async with web(*answers) as server:
            with pytest.raises(FetchFailed, match=says):
                await fetch(server.url(), max_bytes=1000, max_redirects=2, allow_private=True)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://example.org/", "no address of the form"),
        ("file:///etc/passwd", "no address of the form"),
        ("http://[::1", "no address"),
        ("http://host:99999/", "no address"),
        ("http://user:secret@example.org/", "user name"),
        ("http://example.org/a b", "encoded form"),
        ("http://example.org/é", "encoded form"),
        ("http://nobody.invalid/", "no host 'nobody.invalid'"),
        ("http://127.0.0.1/", "no public address"),
        ("http://[::ffff:10.0.0.1]/", "no public address"),
        ("http://localhost:80/", "no public address"),
    ],
)
async def test_addresses_that_are_not_followed(url: str, says: str) -> None:
    """Nothing is sent, and the error shows neither user nor password."""
    with pytest.raises(FetchFailed, match=says) as caught:
        await fetch(url)
    assert "secret" not in str(caught.value)


async def test_a_redirect_to_a_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A public page may not lead inside; what was checked is what is connected to, though the name has others."""
    looked_up: list[str] = []
    async with web(answer(headers="Location: http://inside.example/\r\n", status="302 Found")) as server:

        async def resolve(host: str, port: int) -> list[Any]:
            looked_up.append(host)
            names = {"wiki.example": ["10.0.0.1", "198.35.26.96"], "inside.example": ["169.254.169.254", "fd00::1"]}
            return [(0, 0, 0, "", (address, port)) for address in names[host]]

        async def connect(host: str, port: int) -> Any:
            assert host == "198.35.26.96"
            return await real("127.0.0.1", server.port)

        real = anyio.connect_tcp
        monkeypatch.setattr(module.anyio, "getaddrinfo", resolve)
        monkeypatch.setattr(module.anyio, "connect_tcp", connect)
        with pytest.raises(FetchFailed, match=r"'inside.example' has no public address"):
            await fetch("http://wiki.example/")
    assert looked_up == ["wiki.example", "inside.example"]


async def test_secure_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate is checked against the name; nothing leads from a secure address to another kind."""
    authority: Any = trustme.CA()
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate: Any = authority.issue_cert("127.0.0.1")
    certificate.configure_cert(server_side)
    trusting, doubting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(trusting)
    server = Web([answer(b"safe"), answer(headers="Location: http://127.0.0.1/\r\n", status="302 Found")])
    plain = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = plain.extra(anyio.abc.SocketAttribute.local_port)
    listener = TLSListener(plain, server_side, standard_compatible=False)
    async with listener, anyio.create_task_group() as group:
        serve: Any = server.serve
        group.start_soon(listener.serve, serve)
        monkeypatch.setattr(module, "_secure", trusting)
        assert (await fetch(f"https://127.0.0.1:{port}/", allow_private=True)).body == b"safe"
        with pytest.raises(FetchFailed, match="not secure"):
            await fetch(f"https://127.0.0.1:{port}/", allow_private=True)
        monkeypatch.setattr(module, "_secure", doubting)
        with pytest.raises(FetchFailed, match="no secure connection"):
            await fetch(f"https://127.0.0.1:{port}/", allow_private=True)
        group.cancel_scope.cancel()


async def test_a_connection_that_breaks_or_is_refused(unused_port: int) -> None:
    """Both are failures with a place, not errors of the system."""
    with pytest.raises(FetchFailed, match="cannot be reached"):
        await fetch(f"http://127.0.0.1:{unused_port}/", allow_private=True)

    async def reset(stream: SocketStream) -> None:
        await stream.receive()
        sock: Any = stream.extra(anyio.abc.SocketAttribute.raw_socket)
        sock.setsockopt(1, 13, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # SO_LINGER: close with a reset
        await stream.aclose()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, reset)
        with pytest.raises(FetchFailed, match=r"http://127\.0\.0\.1/: the connection broke off"):
            await fetch(f"http://127.0.0.1:{port}/", allow_private=True)
        group.cancel_scope.cancel()


@pytest.fixture
def unused_port() -> int:
    """Return a port on which nobody listens."""
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_public_addresses() -> None:
    """Private, local, shared, multicast and documentation addresses are not, in whatever form."""
    assert all(map(is_public, ["198.35.26.96", "2620:0:863:ed1a::1", "64:ff9b::c623:1a60"]))
    hidden = ["::ffff:192.168.0.1", "2002:7f00:1::", "64:ff9b::a00:1", "2001:0:4136:e378:8000:63bf:f5ff:fffe"]
    private = ["0.0.0.0", "10.1.1.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "192.0.2.1", "224.0.0.1", "::1"]
    local = ["::", "fe80::1%eth0", "fc00::1", "ff02::1", "255.255.255.255"]
    assert not any(map(is_public, [*hidden, *private, *local]))


async def test_the_certificates_of_the_system_are_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a thread, as that reads files."""
    monkeypatch.setattr(module, "_secure", None)
    context = await module._tls()  # pyright: ignore[reportPrivateUsage]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert await module._tls() is context  # pyright: ignore[reportPrivateUsage]
