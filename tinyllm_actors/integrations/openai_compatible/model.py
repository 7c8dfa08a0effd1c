"""`OpenAICompatibleModel`: the adapter itself."""

from __future__ import annotations

import importlib
import ssl
import time
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING, cast

import anyio
import anyio.to_thread

from tinyllm_actors.errors import ConfigurationError, ForeignCancellation, ModelError, ModelUnavailable
from tinyllm_actors.integrations._asyncio_bridge import acquire_bridge
from tinyllm_actors.integrations.openai_compatible.address import chat_url, request_headers, secrets_of
from tinyllm_actors.integrations.openai_compatible.events import EventReader, events_of
from tinyllm_actors.integrations.openai_compatible.reading import (
    MAX_COMPLAINT_BYTES,
    Head,
    failure_of,
    read_completion,
    unreadable,
)
from tinyllm_actors.integrations.openai_compatible.request import check_options, encode_request
from tinyllm_actors.integrations.openai_compatible.secret import Scrubber
from tinyllm_actors.llm.answer import DEFAULT_LIMITS
from tinyllm_actors.llm.model import Capabilities, ChatModel

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

    from tinyllm_actors.integrations._asyncio_bridge import Bridge
    from tinyllm_actors.integrations.openai_compatible.transport import Transport
    from tinyllm_actors.llm.answer import AnswerLimits
    from tinyllm_actors.llm.model import ChatRequest, Completion, StreamEvent

__all__ = ["OpenAICompatibleModel"]

_DRAIN_TIMEOUT = 0.5
"""How long to wait for the end of the HTTP message after the end of the answer, so as to keep the connection."""


class OpenAICompatibleModel(ChatModel):
    """A model behind an endpoint that speaks OpenAI's chat API.

    ```python
    >>> import anyio
    >>> from tinyllm_actors.integrations.openai_compatible import OpenAICompatibleModel
    >>> from tinyllm_actors.llm.messages import UserMessage
    >>> from tinyllm_actors.llm.model import ChatRequest
    >>> from tinyllm_actors.testing.behaviours import answer
    >>> from tinyllm_actors.testing.fault_server import FaultServer
    >>> async def main() -> None:
    ...     async with FaultServer([answer("January 1st.")]) as server:
    ...         model = OpenAICompatibleModel("any", api_base=server.base_url, api_key="x")
    ...         await model.open()
    ...         completion = await model.complete(ChatRequest(messages=[UserMessage("When?")]))
    ...         await model.aclose()
    ...     print(completion.message.content)
    >>> anyio.run(main)
    January 1st.

    ```

    Args:
        model: the name that the provider knows.
        api_base: the address up to and without `/chat/completions`, such as `"http://127.0.0.1:8000/v1"`. A query
            (`?api-version=…`) is kept.
        api_key: sent as a bearer token; None or `""` sends none.
        headers: sent with each request, for endpoints that want their key elsewhere. They are kept as secret as the
            key.
        connect_timeout: seconds until there is a connection, name look-up and TLS included.
        idle_timeout: seconds without a byte from the provider, both before the first and between two. A call that is
            not streamed is silent until its answer is whole: allow what the longest one takes.
        options: for the provider with each request (`temperature`, …); those of the request win.
        max_body_bytes: a whole answer, or an error, may have this many bytes.
        max_stream_bytes: a streamed answer may have this many bytes on the wire, where a token takes some hundred.
        limits: how much text and how many tool calls are accepted.
        stream_usage: ask for the tokens of a streamed answer. Turn it off for a server that refuses `stream_options`.
        send_reasoning: send the model's earlier thinking back to it. Most providers refuse it; DeepSeek's thinking
            models want it between tool calls.
        ssl_context: for https; None trusts what the system trusts.
        capabilities: what the model can do, when it differs from tools and JSON schemas.

    Raises:
        ConfigurationError: `api_base`, a time-out or an option cannot be.
    """

    def __init__(
        self,
        model: str,
        *,
        api_base: str,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        connect_timeout: float = 10.0,
        idle_timeout: float = 120.0,
        options: Mapping[str, object] | None = None,
        max_body_bytes: int = 32 * 1024 * 1024,
        max_stream_bytes: int = 256 * 1024 * 1024,
        limits: AnswerLimits = DEFAULT_LIMITS,
        stream_usage: bool = True,
        send_reasoning: bool = False,
        ssl_context: ssl.SSLContext | None = None,
        capabilities: Capabilities | None = None,
    ) -> None:
        if not model:
            raise ConfigurationError(f"model must name a model of the provider, not {model!r}")
        for name, value in (("connect_timeout", connect_timeout), ("idle_timeout", idle_timeout)):
            if not value > 0:
                raise ConfigurationError(f"{name} must be more than 0 seconds, not {value!r}")
        self.name = f"openai_compatible/{model}"
        if capabilities is not None:
            self.capabilities = capabilities
        self._model = model
        self._url = chat_url(api_base)
        self._headers = request_headers(api_key, headers or {})
        self._scrub = Scrubber(secrets_of(self._headers))
        self._connect_timeout = connect_timeout
        self._idle_timeout = idle_timeout
        self._options = dict(options or {})
        check_options(self._options)
        self._max_body_bytes = max_body_bytes
        self._max_stream_bytes = max_stream_bytes
        self._limits = limits
        self._stream_usage = stream_usage
        self._send_reasoning = send_reasoning
        self._ssl_context = ssl_context
        self._bridge: Bridge | None = None
        self._transport: Transport | None = None

    def __repr__(self) -> str:
        """Show the model and where it is; never the key."""
        return f"OpenAICompatibleModel({self._model!r}, api_base={self._url.rpartition('/chat/completions')[0]!r})"

    async def open(self) -> None:
        """Import the HTTP client and make its pool; nothing is sent yet, and nothing happens if it is open."""
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
            model=self.name,
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
        """Close all connections. Calls that are under way fail with `ModelUnavailable` or `StreamInterrupted`."""
        bridge, transport = self._bridge, self._transport
        self._bridge = self._transport = None
        if bridge is not None and transport is not None:
            with anyio.CancelScope(shield=True):
                try:
                    await bridge.call(transport.aclose)
                finally:
                    await bridge.aclose()

    async def complete(self, request: ChatRequest) -> Completion:
        """Return the whole answer to `request`.

        Raises:
            ModelError: see `failures`.
            ConfigurationError: an option cannot be sent.
        """
        bridge, transport = self._opened()
        body = self._encode(request, stream=False)
        try:
            head, data = await bridge.call(transport.fetch, body)
            if not head.ok:
                raise failure_of(head, data, model=self.name, now=time.time())
            return read_completion(head, data, model=self.name, limits=self._limits)
        except ModelError as error:
            self._clean(error)
            raise
        except (ForeignCancellation, anyio.ClosedResourceError) as error:
            raise self._closed() from error

    @asynccontextmanager
    async def stream(self, request: ChatRequest) -> AsyncGenerator[AsyncIterator[StreamEvent]]:
        """Open the answer to `request` as events; `Completed` is the last one.

        A server that does not stream though it was asked to is understood too.

        Raises:
            ModelError: see `failures`; raised where the reader is.
            ConfigurationError: an option cannot be sent.
        """
        bridge, transport = self._opened()
        body = self._encode(request, stream=True)
        left = False
        try:
            async with bridge.stream(transport.exchange, body) as pieces, aclosing(self._events(pieces)) as events:
                yield events
                left = True
        except (ModelError, ForeignCancellation, anyio.ClosedResourceError):
            # Whoever has left does not want to hear of what came after.
            if not left:
                raise

    def _opened(self) -> tuple[Bridge, Transport]:
        if self._bridge is None or self._transport is None:
            raise RuntimeError(f"{self!r} is not open; await open() before the first call")
        return self._bridge, self._transport

    def _encode(self, request: ChatRequest, *, stream: bool) -> bytes:
        return encode_request(
            self._model,
            request,
            self._options,
            stream=stream,
            stream_usage=self._stream_usage,
            send_reasoning=self._send_reasoning,
        )

    async def _events(self, pieces: AsyncIterator[Head | bytes]) -> AsyncGenerator[StreamEvent, None]:
        reader = EventReader(self.name, self._limits)
        try:
            head = cast("Head", await anext(pieces))
            body = cast("AsyncIterator[bytes]", pieces)
            if not head.ok or head.content_type.endswith(("json", "html", "xml")):
                for event in await self._unstreamed(head, body):
                    yield event
                return
            try:
                async for piece in body:
                    for event in reader.feed(piece):
                        yield event
                    if reader.ended:
                        break
            except ModelError:
                if not reader.complete:
                    raise
                # The answer is whole; what broke off is the farewell.
            yield reader.finish()
        except ModelError as error:
            error.output_started = reader.started
            error.partial = reader.partial
            self._clean(error)
            raise
        except (ForeignCancellation, anyio.ClosedResourceError) as error:
            raise self._closed(started=reader.started, partial=reader.partial) from error
        with anyio.move_on_after(_DRAIN_TIMEOUT), suppress(ModelError, ForeignCancellation, anyio.ClosedResourceError):
            async for _ in body:
                pass

    async def _unstreamed(self, head: Head, body: AsyncIterator[bytes]) -> list[StreamEvent]:
        """Return the events of an answer that came whole though a stream was asked for, or raise what it means."""
        if not head.ok:
            raise failure_of(head, await _read_some(body, MAX_COMPLAINT_BYTES), model=self.name, now=time.time())
        if not head.content_type.endswith("json"):
            raise unreadable(head, await _read_some(body, MAX_COMPLAINT_BYTES), model=self.name)
        data = await _read_some(body, self._max_body_bytes)
        return events_of(read_completion(head, data, model=self.name, limits=self._limits))

    def _clean(self, error: ModelError) -> None:
        """Name the model in the error, and take away what must not be read."""
        error.args = tuple(self._scrub(str(argument)) for argument in error.args)
        error.model = self.name

    def _closed(self, *, started: bool = False, partial: str = "") -> ModelUnavailable:
        return ModelUnavailable(
            f"{self.name}: the model was closed during the call",
            retryable=False,
            output_started=started,
            partial=partial,
            model=self.name,
        )


async def _read_some(body: AsyncIterator[bytes], limit: int) -> bytes:
    """Return the body, or its beginning where it is longer than `limit` bytes."""
    data = bytearray()
    async for piece in body:
        data += piece
        if len(data) >= limit:
            break
    return bytes(data)
