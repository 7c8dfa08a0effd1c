"""`OpenAICompatibleModel`: the adapter itself."""

from __future__ import annotations

import time
from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING, cast

import anyio

from tinyllm_actors.errors import ForeignCancellation, ModelError
from tinyllm_actors.integrations.openai_compatible.address import CHAT_PATH
from tinyllm_actors.integrations.openai_compatible.client import Connection, OnEndpoint, closed_during_call
from tinyllm_actors.integrations.openai_compatible.events import EventReader, events_of
from tinyllm_actors.integrations.openai_compatible.reading import (
    MAX_COMPLAINT_BYTES,
    Head,
    failure_of,
    read_completion,
    unreadable,
)
from tinyllm_actors.integrations.openai_compatible.request import check_options, encode_request
from tinyllm_actors.llm.answer import DEFAULT_LIMITS
from tinyllm_actors.llm.model import Capabilities, ChatModel

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping
    from typing import Unpack

    from tinyllm_actors.llm.answer import AnswerLimits
    from tinyllm_actors.llm.model import ChatRequest, Completion, StreamEvent

__all__ = ["OpenAICompatibleModel"]

_DRAIN_TIMEOUT = 0.5
"""How long to wait for the end of the HTTP message after the end of the answer, so as to keep the connection."""


class OpenAICompatibleModel(OnEndpoint, ChatModel):
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
        options: for the provider with each request (`temperature`, …); those of the request win.
        max_stream_bytes: a streamed answer may have this many bytes on the wire, where a token takes some hundred.
        limits: how much text and how many tool calls are accepted.
        stream_usage: ask for the tokens of a streamed answer. Turn it off for a server that refuses `stream_options`.
        send_reasoning: send the model's earlier thinking back to it. Most providers refuse it; DeepSeek's thinking
            models want it between tool calls.
        capabilities: what the model can do, when it differs from tools and JSON schemas.
        **connection: of `Connection`: keys, time-outs, bounds, a proxy, the trace.

    Raises:
        ConfigurationError: `api_base`, a number or an option cannot be.
    """

    def __init__(
        self,
        model: str,
        *,
        api_base: str,
        options: Mapping[str, object] | None = None,
        max_stream_bytes: int = 256 * 1024 * 1024,
        limits: AnswerLimits = DEFAULT_LIMITS,
        stream_usage: bool = True,
        send_reasoning: bool = False,
        capabilities: Capabilities | None = None,
        **connection: Unpack[Connection],
    ) -> None:
        super().__init__(CHAT_PATH, model, api_base=api_base, max_stream_bytes=max_stream_bytes, **connection)
        if capabilities is not None:
            self.capabilities = capabilities
        self._options = dict(options or {})
        check_options(self._options)
        self._limits = limits
        self._stream_usage = stream_usage
        self._send_reasoning = send_reasoning

    async def complete(self, request: ChatRequest) -> Completion:
        """Return the whole answer to `request`.

        Raises:
            ModelError: see `failures`.
            ConfigurationError: an option cannot be sent.
        """
        bridge, transport = self._client.opened(self)
        body = self._encode(request, stream=False)
        try:
            head, data = await bridge.call(transport.fetch, body, self._client.headers())
            if not head.ok:
                raise failure_of(head, data, model=self.name, now=time.time())
            return read_completion(head, data, model=self.name, limits=self._limits)
        except ModelError as error:
            self._client.clean(error, self.name)
            raise
        except (ForeignCancellation, anyio.ClosedResourceError) as error:
            raise closed_during_call(self.name) from error

    @asynccontextmanager
    async def stream(self, request: ChatRequest) -> AsyncGenerator[AsyncIterator[StreamEvent]]:
        """Open the answer to `request` as events; `Completed` is the last one.

        A server that does not stream though it was asked to is understood too.

        Raises:
            ModelError: see `failures`; raised where the reader is.
            ConfigurationError: an option cannot be sent.
        """
        bridge, transport = self._client.opened(self)
        body = self._encode(request, stream=True)
        left = False
        try:
            async with (
                bridge.stream(transport.exchange, body, self._client.headers()) as pieces,
                aclosing(self._events(pieces)) as events,
            ):
                yield events
                left = True
        except (ModelError, ForeignCancellation, anyio.ClosedResourceError):
            # Whoever has left does not want to hear of what came after.
            if not left:
                raise

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
            self._client.clean(error, self.name)
            raise
        except (ForeignCancellation, anyio.ClosedResourceError) as error:
            raise closed_during_call(self.name, started=reader.started, partial=reader.partial) from error
        with anyio.move_on_after(_DRAIN_TIMEOUT), suppress(ModelError, ForeignCancellation, anyio.ClosedResourceError):
            async for _ in body:
                pass

    async def _unstreamed(self, head: Head, body: AsyncIterator[bytes]) -> list[StreamEvent]:
        """Return the events of an answer that came whole though a stream was asked for, or raise what it means."""
        if not head.ok:
            raise failure_of(head, await _read_some(body, MAX_COMPLAINT_BYTES), model=self.name, now=time.time())
        if not head.content_type.endswith("json"):
            raise unreadable(head, await _read_some(body, MAX_COMPLAINT_BYTES), model=self.name)
        data = await _read_some(body, self._client.max_body_bytes)
        return events_of(read_completion(head, data, model=self.name, limits=self._limits))


async def _read_some(body: AsyncIterator[bytes], limit: int) -> bytes:
    """Return the body, or its beginning where it is longer than `limit` bytes."""
    data = bytearray()
    async for piece in body:
        data += piece
        if len(data) >= limit:
            break
    return bytes(data)
