"""What the adapters of one endpoint share: their options, an HTTP client that is opened on the caller's back end."""

from __future__ import annotations

import importlib
import ssl
from typing import TYPE_CHECKING, TypedDict

import anyio
import anyio.to_thread

from tinyllm_actors.errors import ConfigurationError, ModelUnavailable
from tinyllm_actors.function.tracing import current_traceparent
from tinyllm_actors.integrations._asyncio_bridge import acquire_bridge
from tinyllm_actors.integrations.openai_compatible.address import (
    base_of,
    check_names,
    endpoint_url,
    proxy_address,
    request_headers,
    secrets_of,
)
from tinyllm_actors.kernel.scrubber import Scrubber

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Unpack

    from tinyllm_actors.errors import ModelError
    from tinyllm_actors.integrations._asyncio_bridge import Bridge
    from tinyllm_actors.integrations.openai_compatible.transport import Transport

__all__ = ["Client", "Connection", "OnEndpoint", "closed_during_call"]


class Connection(TypedDict, total=False):
    """How an endpoint is reached: options of each adapter of one.

    Attributes:
        api_key: sent as a bearer token; None, which it is if left out, or `""` sends none.
        headers: sent with each request, for endpoints that want their key elsewhere. They are kept as secret as the
            key.
        connect_timeout: seconds until there is a connection, name look-up and TLS included; 10.0 if left out.
        idle_timeout: seconds without a byte from the provider, both before the first and between two. A call that is
            not streamed is silent until its answer is whole: allow what the longest one takes. If left out, 120.0 for
            chats and 60.0 for embeddings.
        max_body_bytes: a whole answer, or an error, may have this many bytes. If left out, 32 MiB for chats and 128 MiB
            for embeddings, of which 2,048 vectors of 3,072 dimensions take some 70 MB.
        max_connections: connections at once; further calls wait for one, as long as their callers do. None opens as
            many as there are calls. If in doubt, None: how many calls run at once is for whoever makes them to say.
        proxy: the address of an HTTP proxy, with a user name and a password where it wants them. The environment's
            is not used.
        ssl_context: for https; None trusts what the system trusts.
        send_traceparent: send the header `traceparent` with each request, so that a provider that is traced too, such
            as a gateway or a vLLM of your own, is part of the trace. False if left out: a stranger need not know of it.
    """

    api_key: str | None
    headers: Mapping[str, str] | None
    connect_timeout: float
    idle_timeout: float
    max_body_bytes: int
    max_connections: int | None
    proxy: str | None
    ssl_context: ssl.SSLContext | None
    send_traceparent: bool


class Client:
    """A pool of connections to one API of an endpoint. See `Connection` for the arguments.

    Attributes:
        api_base: where it is, for people.
        max_body_bytes: a whole answer may have this many bytes.
    """

    def __init__(
        self,
        path: str,
        *,
        api_base: str,
        idle_timeout: float,
        max_body_bytes: int,
        max_stream_bytes: int | None = None,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        connect_timeout: float = 10.0,
        max_connections: int | None = None,
        proxy: str | None = None,
        ssl_context: ssl.SSLContext | None = None,
        send_traceparent: bool = False,
    ) -> None:
        for name, value in (("connect_timeout", connect_timeout), ("idle_timeout", idle_timeout)):
            if not value > 0:
                raise ConfigurationError(f"{name} must be more than 0 seconds, not {value!r}")
        if max_connections is not None and max_connections < 1:
            raise ConfigurationError(f"max_connections must be at least 1, or None for any, not {max_connections!r}")
        self._url = endpoint_url(api_base, path)
        self._headers = request_headers(api_key, headers or {})
        self._proxy = proxy_address(proxy) if proxy is not None else None
        self._scrub = Scrubber([*secrets_of(self._headers), *((self._proxy and self._proxy[1]) or ())])
        self._connect_timeout = connect_timeout
        self._idle_timeout = idle_timeout
        self.max_body_bytes = max_body_bytes
        self._max_stream_bytes = max_body_bytes if max_stream_bytes is None else max_stream_bytes
        self._send_traceparent = send_traceparent
        self._max_connections = max_connections
        self._ssl_context = ssl_context
        self._bridge: Bridge | None = None
        self._transport: Transport | None = None
        self.api_base = base_of(self._url)

    async def open(self, model: str) -> None:
        """Import the HTTP client and make the pool; nothing is sent yet, and nothing happens if it is open.

        Args:
            model: the name for errors.
        """
        if self._transport is not None:
            return
        # The import takes some 200 ms of CPU the first time, and reading the trusted certificates some 20 ms.
        module = await anyio.to_thread.run_sync(importlib.import_module, f"{__package__}.transport")
        if self._ssl_context is None and self._url.startswith("https:"):
            self._ssl_context = await anyio.to_thread.run_sync(ssl.create_default_context)
        endpoint = module.Endpoint(
            url=self._url,
            headers=self._headers,
            connect_timeout=self._connect_timeout,
            idle_timeout=self._idle_timeout,
            max_body_bytes=self.max_body_bytes,
            max_stream_bytes=self._max_stream_bytes,
            ssl_context=self._ssl_context,
            model=model,
            max_connections=self._max_connections,
            proxy=self._proxy,
        )
        transport: Transport = module.Transport(endpoint)
        bridge = acquire_bridge()
        try:
            await bridge.call(transport.open)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await bridge.aclose()
            raise
        self._bridge, self._transport = bridge, transport

    async def aclose(self) -> None:
        """Close all connections; calls that are under way fail."""
        bridge, transport = self._bridge, self._transport
        self._bridge = self._transport = None
        if bridge is not None and transport is not None:
            with anyio.CancelScope(shield=True):
                try:
                    await bridge.call(transport.aclose)
                finally:
                    await bridge.aclose()

    def opened(self, owner: object) -> tuple[Bridge, Transport]:
        """Return the bridge and the pool of an open client.

        Raises:
            RuntimeError: `owner` was not opened.
        """
        if self._bridge is None or self._transport is None:
            raise RuntimeError(f"{owner!r} is not open; await open() before the first call")
        return self._bridge, self._transport

    def headers(self) -> dict[str, str] | None:
        """Return what the next request carries besides; to be asked in the caller's context."""
        parent = current_traceparent() if self._send_traceparent else None
        return None if parent is None else {"traceparent": parent}

    def clean(self, error: ModelError, model: str) -> None:
        """Name the model in the error, and take away what must not be read."""
        error.args = tuple(self._scrub(str(argument)) for argument in error.args)
        error.model = model


class OnEndpoint:
    """The base of adapters of one API of an endpoint.

    Args:
        api: the API's path.
        model: the name that the provider knows.
        api_base: the address up to and without the API's path.
        max_stream_bytes: of a streamed answer, on the wire; None for those of a whole one.
        **connection: of `Connection`.

    Raises:
        ConfigurationError: `api_base`, a number or the model's name cannot be.
    """

    def __init__(
        self,
        api: str,
        model: str,
        *,
        api_base: str,
        max_stream_bytes: int | None = None,
        **connection: Unpack[Connection],
    ) -> None:
        if not model:
            raise ConfigurationError(f"model must name a model of the provider, not {model!r}")
        check_names(connection)
        for name in connection.keys() - Connection.__annotations__.keys():
            raise TypeError(
                f"{type(self).__name__} has no argument {name!r}; what is for the provider goes into options"
            )
        connection.setdefault("idle_timeout", 120.0)
        connection.setdefault("max_body_bytes", 32 * 1024 * 1024)
        self.name = f"openai_compatible/{model}"
        self._model = model
        self._client = Client(api, api_base=api_base, max_stream_bytes=max_stream_bytes, **connection)

    def __repr__(self) -> str:
        """Show the model and where it is; never the key."""
        return f"{type(self).__name__}({self._model!r}, api_base={self._client.api_base!r})"

    async def open(self) -> None:
        """Import the HTTP client and make its pool; nothing is sent yet, and nothing happens if it is open."""
        await self._client.open(self.name)

    async def aclose(self) -> None:
        """Close all connections. Calls that are under way fail with `ModelUnavailable` or `StreamInterrupted`."""
        await self._client.aclose()


def closed_during_call(model: str, *, started: bool = False, partial: str = "") -> ModelUnavailable:
    """Return the error of a call whose model was closed under it."""
    return ModelUnavailable(
        f"{model}: the model was closed during the call",
        retryable=False,
        output_started=started,
        partial=partial,
        model=model,
    )
