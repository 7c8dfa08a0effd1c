"""What the adapters of one endpoint share: an HTTP client that is opened on the caller's back end, and its bridge."""

from __future__ import annotations

import importlib
import ssl
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from tinyllm_actors.errors import ConfigurationError, ModelUnavailable
from tinyllm_actors.integrations._asyncio_bridge import acquire_bridge
from tinyllm_actors.integrations.openai_compatible.address import (
    base_of,
    endpoint_url,
    proxy_address,
    request_headers,
    secrets_of,
)
from tinyllm_actors.integrations.openai_compatible.secret import Scrubber

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinyllm_actors.errors import ModelError
    from tinyllm_actors.integrations._asyncio_bridge import Bridge
    from tinyllm_actors.integrations.openai_compatible.transport import Transport

__all__ = ["Client", "closed_during_call"]


class Client:
    """A pool of connections to one API of an endpoint. See `OpenAICompatibleModel` for the arguments.

    Attributes:
        api_base: where it is, for people.
    """

    def __init__(
        self,
        path: str,
        *,
        api_base: str,
        api_key: str | None,
        headers: Mapping[str, str] | None,
        connect_timeout: float,
        idle_timeout: float,
        max_body_bytes: int,
        max_stream_bytes: int,
        max_connections: int | None,
        proxy: str | None,
        ssl_context: ssl.SSLContext | None,
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
        self._max_body_bytes = max_body_bytes
        self._max_stream_bytes = max_stream_bytes
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
            max_body_bytes=self._max_body_bytes,
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

    def clean(self, error: ModelError, model: str) -> None:
        """Name the model in the error, and take away what must not be read."""
        error.args = tuple(self._scrub(str(argument)) for argument in error.args)
        error.model = model


def closed_during_call(model: str, *, started: bool = False, partial: str = "") -> ModelUnavailable:
    """Return the error of a call whose model was closed under it."""
    return ModelUnavailable(
        f"{model}: the model was closed during the call",
        retryable=False,
        output_started=started,
        partial=partial,
        model=model,
    )
