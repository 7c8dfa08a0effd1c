"""The HTTP client: aiohttp, in the loop that the bridge chooses. Runs on the asyncio side only.

What leaves this module is bytes and `ModelError`s. aiohttp's own errors may hold the request's headers, and so the
key: where they may, they are not chained.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
import yarl

from tinyllm_actors.errors import MalformedResponse, ModelError, ModelTimeout, ModelUnavailable, StreamInterrupted
from tinyllm_actors.integrations.openai_compatible.reading import Head

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

__all__ = ["Endpoint", "Transport"]

# aiohttp warns of larger bodies that are not files.
_MAX_BYTES_IN_ONE_WRITE = 2**20


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Endpoint:
    """Where requests go and how long to wait; `headers` and `proxy` hold keys, hence no `repr`."""

    url: str
    headers: Mapping[str, str]
    connect_timeout: float
    idle_timeout: float
    max_body_bytes: int
    max_stream_bytes: int
    ssl_context: ssl.SSLContext | None
    model: str
    max_connections: int | None = None
    proxy: tuple[str, tuple[str, str] | None] | None = None


class Transport:
    """A pool of connections to one endpoint. Made, used and closed in one asyncio loop."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._url = yarl.URL(endpoint.url)
        self._session: aiohttp.ClientSession | None = None
        self._turns: contextlib.AbstractAsyncContextManager[object] = contextlib.nullcontext()
        self._proxy: dict[str, Any] = {}

    async def open(self) -> None:
        """Make the pool; no connection yet."""
        endpoint = self._endpoint
        if endpoint.max_connections is not None:
            # Not the client's own limit: waiting there counts as connecting, and ends with a time-out.
            self._turns = asyncio.Semaphore(endpoint.max_connections)
        if endpoint.proxy is not None:
            address, credentials = endpoint.proxy
            self._proxy = {"proxy": address}
            if credentials is not None:
                token = base64.b64encode(":".join(credentials).encode()).decode()
                # The proxy reads a request to http itself, and for https one that asks it to connect.
                headers = "headers" if self._url.scheme == "http" else "proxy_headers"
                self._proxy[headers] = {"Proxy-Authorization": f"Basic {token}"}
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                ssl=endpoint.ssl_context if endpoint.ssl_context is not None else True,
                resolver=aiohttp.ThreadedResolver(),  # the system's, also where aiodns happens to be installed
            ),
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=endpoint.connect_timeout,
                sock_read=endpoint.idle_timeout,
            ),
            headers=endpoint.headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,  # none is asked for, and a small body must not become a large one
            trust_env=False,
        )

    async def aclose(self) -> None:
        """Close all connections; calls that are under way fail."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def fetch(self, body: bytes, headers: Mapping[str, str] | None = None) -> tuple[Head, bytes]:
        """Return a whole answer.

        Args:
            body: of the request.
            headers: of this request, besides those of all.

        Raises:
            ModelError: there is none, or it is too large.
        """
        pieces: list[bytes] = []
        async with self._turns:
            response = await self._post(body, headers)
            answer = _Body(response, self, self._endpoint.max_body_bytes)
            try:
                while piece := await answer.read():
                    pieces.append(piece)
            finally:
                response.close()
        return Head(response.status, response.headers), pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def exchange(
        self, body: bytes, headers: Mapping[str, str] | None = None
    ) -> AsyncGenerator[Head | bytes, None]:
        """Yield the head of an answer, then its body as it comes.

        Args:
            body: of the request.
            headers: of this request, besides those of all.

        Raises:
            ModelError: there is no answer, it breaks off, or it is too large.
        """
        async with self._turns:
            response = await self._post(body, headers)
            answer = _Body(response, self, self._endpoint.max_stream_bytes)
            try:
                yield Head(response.status, response.headers)
                while piece := await answer.read():
                    yield piece
            finally:
                response.close()

    async def _post(self, body: bytes, headers: Mapping[str, str] | None) -> aiohttp.ClientResponse:
        session = self._session
        if session is None:
            raise ModelUnavailable(f"{self._endpoint.model}: the model is closed", retryable=False)
        data = body if len(body) <= _MAX_BYTES_IN_ONE_WRITE else io.BytesIO(body)
        options: dict[str, Any] = self._proxy
        if headers:
            options = {**self._proxy, "headers": {**self._proxy.get("headers", {}), **headers}}
        try:
            return await session.post(self._url, data=data, allow_redirects=False, **options)
        except aiohttp.ClientResponseError as error:
            raise self.translated(error, answered=False) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self.translated(error, answered=False) from error

    def malformed(self, what: str) -> MalformedResponse:
        """Return the error for an answer that is not read to its end."""
        return MalformedResponse(f"{self._endpoint.model}: {what}", retryable=False, model=self._endpoint.model)

    def translated(self, error: Exception, *, answered: bool) -> ModelError:
        """Return our error for the client's.

        Args:
            error: what the client raised.
            answered: the head of an answer had come.
        """
        endpoint = self._endpoint
        where = f"{self._url.scheme}://{self._url.authority}"
        model = endpoint.model
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return ModelUnavailable(
                f"{model}: no connection to {where} within connect_timeout={endpoint.connect_timeout!r} s", model=model
            )
        if isinstance(error, TimeoutError):
            return ModelTimeout(
                f"{model}: nothing came from {where} for idle_timeout={endpoint.idle_timeout!r} s", model=model
            )
        if isinstance(error, aiohttp.ClientProxyConnectionError):
            return ModelUnavailable(f"{model}: the proxy cannot be reached: {_words(error)}", model=model)
        if isinstance(error, aiohttp.ClientHttpProxyError):
            return ModelUnavailable(
                f"{model}: the proxy refuses to connect to {where}: {error.status} {error.message!r:.200}",
                retryable=error.status >= 500,
                model=model,
            )
        if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError)):
            return ModelUnavailable(f"{model}: no secure connection to {where}: {error}", retryable=False, model=model)
        if isinstance(error, aiohttp.ClientResponseError):
            return MalformedResponse(f"{model}: {where} does not speak HTTP: {error.message!r:.200}", model=model)
        if answered:
            return StreamInterrupted(f"{model}: the connection to {where} broke off: {_words(error)}", model=model)
        return ModelUnavailable(f"{model}: {where} cannot be reached: {_words(error)}", model=model)


class _Body:
    """The body of one answer, in the pieces in which it comes.

    Whoever made it closes the response afterwards. At the end of the body the client has taken the connection back for
    the next call already; before that, closing the response closes its connection.
    """

    __slots__ = ("_limit", "_response", "_size", "_transport")

    def __init__(self, response: aiohttp.ClientResponse, transport: Transport, limit: int) -> None:
        self._response = response
        self._transport = transport
        self._limit = limit
        self._size = -1

    async def read(self) -> bytes:
        """Return what has come, or wait until something does; nothing means the end."""
        if self._size < 0:
            self._check()
            self._size = 0
        try:
            piece = await self._response.content.readany()
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._transport.translated(error, answered=True) from error
        self._size += len(piece)
        if self._size > self._limit:
            raise self._transport.malformed(f"the answer has more than the {self._limit} bytes that are allowed")
        return piece

    def _check(self) -> None:
        encoding = self._response.headers.get("content-encoding", "identity").lower()
        if encoding != "identity":
            raise self._transport.malformed(f"the answer is compressed with {encoding!r}, which was not asked for")
        if (size := self._response.content_length or 0) > self._limit:
            raise self._transport.malformed(f"the answer has {size} bytes; {self._limit} are allowed")


def _words(error: Exception) -> str:
    return f"{str(error) or type(error).__name__:.300}"
