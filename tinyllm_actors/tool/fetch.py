"""Get a small document from the web, for tools that follow addresses which a model, or a page, chose.

Every address is resolved here, checked, and connected to as it was checked, redirects included: a name cannot be
public when it is looked at and private when it is used. What comes is bounded in size, and only plain GET requests are
sent, without cookies or credentials, and past any proxy. Runs on every event loop as it is.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import re
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import SplitResult, urljoin, urlsplit

import anyio
import anyio.to_thread

from tinyllm_actors.errors import FetchFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anyio.abc import ByteStream

__all__ = ["Document", "fetch", "is_public"]

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_ADDRESSES = 4
_CONNECT_SECONDS = 10.0
_PIECE = 65_536
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*(?=\r\n|$)", re.IGNORECASE)
_REDIRECTED = re.compile(rb"HTTP/1\.\d 3")

_secure: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """What a server answered.

    Attributes:
        url: where it came from, after redirects.
        status: of HTTP.
        content_type: as the server says, in lower case, without parameters.
        body: the bytes.
    """

    url: str
    status: int
    content_type: str
    body: bytes


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, whatever form it is hidden in.

    ```python
    >>> is_public("198.35.26.96"), is_public("169.254.169.254"), is_public("::ffff:127.0.0.1")
    (True, False, False)

    ```
    """
    ip: _Address = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            ip = inner
    return ip.is_global and not ip.is_multicast


async def fetch(
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    max_bytes: int = 1_000_000,
    max_redirects: int = 3,
    allow_private: bool = False,
) -> Document:
    """Return what is at `url`; it is bounded in time by the caller's scope.

    Args:
        url: http or https.
        headers: sent with each request, redirected ones included: no secrets.
        max_bytes: of one answer, its head included.
        max_redirects: followed one after the other; none from https to http.
        allow_private: connect to addresses of this machine or its network too.

    Raises:
        FetchFailed: there is no such document, or it may not be had; the message is fit for a model.
    """
    parts = _checked(url)
    for _ in range(max_redirects + 1):
        response = await _get(parts, headers or {}, max_bytes, allow_private)
        target = response.getheader("Location")
        if response.status not in _REDIRECTS or target is None:
            return _document(parts, response)
        following = _checked(urljoin(parts.geturl(), target))
        if parts.scheme == "https" and following.scheme != "https":
            raise FetchFailed(f"{_shown(parts)} redirects to an address that is not secure")
        parts = following
    raise FetchFailed(f"{url!r:.200} redirects more than {max_redirects} times")


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise FetchFailed(f"{url!r:.200} is no address: {error}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise FetchFailed(f"{url!r:.200} is no address of the form https://host/path")
    if parts.username is not None or parts.password is not None:
        raise FetchFailed(f"{_shown(parts)}: addresses with a user name are not followed")
    if not url.isascii() or any(character <= " " or character == "\x7f" for character in url):
        raise FetchFailed(f"{_shown(parts)}: write all characters but ASCII in their encoded form (%XX, xn--)")
    return parts


def _shown(parts: SplitResult) -> str:
    """Return an address for an error: without its query, which may hold anything."""
    return f"{parts.scheme}://{parts.hostname}{parts.path}"[:200]


async def _get(
    parts: SplitResult, headers: Mapping[str, str], max_bytes: int, allow_private: bool
) -> http.client.HTTPResponse:
    stream = await _connect(parts, allow_private)
    data = bytearray()
    try:
        await stream.send(_request(parts, headers))
        while len(data) <= max_bytes and not _is_whole(data):
            data += await stream.receive(_PIECE)
    except anyio.EndOfStream:
        pass
    except (anyio.BrokenResourceError, OSError, ssl.SSLError) as error:
        raise FetchFailed(f"{_shown(parts)}: the connection broke off: {error or type(error).__name__}") from error
    finally:
        await anyio.aclose_forcefully(stream)
    if len(data) > max_bytes:
        raise FetchFailed(f"{_shown(parts)} is larger than the {max_bytes:,} bytes that are read")
    return _parsed(parts, bytes(data))


def _request(parts: SplitResult, headers: Mapping[str, str]) -> bytes:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: {host}" + (f":{parts.port}" if parts.port else ""),
        "Connection: close",
        "Accept-Encoding: identity",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _is_whole(data: bytearray) -> bool:
    """Whether nothing more is needed, though the server may keep the connection open."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = bytes(data[:end])
    if (length := _LENGTH.search(head)) is None:
        return _REDIRECTED.match(head) is not None
    return len(data) >= end + 4 + int(length[1])


class _Received:
    """Stands for the socket of a response that has come whole."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def _parsed(parts: SplitResult, data: bytes) -> http.client.HTTPResponse:
    response = http.client.HTTPResponse(_Received(data))  # pyright: ignore[reportArgumentType]
    try:
        response.begin()
    except (http.client.HTTPException, OSError) as error:
        raise FetchFailed(f"{_shown(parts)} does not answer in HTTP: {type(error).__name__}") from None
    return response


def _document(parts: SplitResult, response: http.client.HTTPResponse) -> Document:
    try:
        body = response.read()
    except (http.client.HTTPException, ValueError) as error:
        raise FetchFailed(f"{_shown(parts)} broke off before its end: {type(error).__name__}") from None
    if response.getheader("Content-Encoding", "identity").lower() != "identity":
        raise FetchFailed(f"{_shown(parts)} is compressed, which was not asked for")
    return Document(parts.geturl(), response.status, response.headers.get_content_type(), body)


async def _connect(parts: SplitResult, allow_private: bool) -> ByteStream:
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        found = await anyio.getaddrinfo(host, port)
    except (OSError, UnicodeError):
        raise FetchFailed(f"there is no host {host!r:.200}") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    allowed = [address for address in addresses if allow_private or is_public(address)][:_MAX_ADDRESSES]
    if not allowed:
        raise FetchFailed(f"host {host!r:.200} has no public address, and others are not connected to")
    for address in allowed:
        try:
            with anyio.fail_after(_CONNECT_SECONDS):
                if parts.scheme == "http":
                    return await anyio.connect_tcp(address, port)
                return await anyio.connect_tcp(
                    address, port, ssl_context=await _tls(), tls_hostname=host, tls_standard_compatible=False
                )
        except ssl.SSLError as error:
            raise FetchFailed(f"no secure connection to {host!r:.200}: {error.reason or error}") from error
        except OSError:  # a time-out too; the next address may do
            continue
    raise FetchFailed(f"host {host!r:.200} cannot be reached")


async def _tls() -> ssl.SSLContext:
    global _secure
    if _secure is None:
        _secure = await anyio.to_thread.run_sync(ssl.create_default_context)  # it reads files
    return _secure
