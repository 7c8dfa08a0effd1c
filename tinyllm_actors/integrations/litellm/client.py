"""The HTTP client that a model hands to litellm, so that it is closed when the model is.

litellm's own clients live in a cache for an hour, and send a request again by themselves when a connection is reset:
the provider may have been at work on the first one, a streamed answer to the second cannot be read, and the caller,
who has a deadline and a back-off, is not asked. This client fails instead, and follows no redirects.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["SENDING", "make_client", "takes_client", "takes_embedding_client"]

SENDING: ContextVar[asyncio.Event | None] = ContextVar("SENDING", default=None)
"""Set when the request of this call goes out."""

# Of the providers of litellm 1.106 that have chat models, these want a client of OpenAI's SDK, or of Azure's.
_SDK = frozenset({"azure", "azure_text", "text-completion-inception", "text-completion-openai"})
# Of those that have embedding models, these are called through litellm's own HTTP layer in 1.102 to 1.106.
_EMBEDS = frozenset({"cohere", "cohere_chat", "edenai", "gemini", "hosted_vllm", "infinity", "openrouter", "voyage"})


def takes_client(provider: str) -> bool:
    """Tell whether litellm calls `provider` through a client of its own HTTP layer, and not through a vendor's SDK."""
    handler = os.environ.get("EXPERIMENTAL_OPENAI_BASE_LLM_HTTP_HANDLER", "")
    return provider not in _SDK and handler.strip().lower() == "true"


def takes_embedding_client(provider: str) -> bool:
    """Tell whether litellm takes our client when it embeds with `provider`."""
    return provider in _EMBEDS


def make_client(ssl_verify: object = None) -> Any:
    """Return a new client; it looks for certificates, so not on an event loop. The first request binds it to one.

    Args:
        ssl_verify: litellm's option of that name: a file of certificates, an `SSLContext`, or False.
    """
    module = importlib.import_module("litellm.llms.custom_httpx.http_handler")
    httpx: Any = importlib.import_module("httpx")
    base: Any = module.AsyncHTTPHandler

    class WholeStream(httpx.AsyncByteStream):
        """A body that tells of a lost connection behind what had arrived, which aiohttp would throw away."""

        def __init__(self, body: Any) -> None:
            self._body = body

        async def __aiter__(self) -> AsyncIterator[bytes]:
            try:
                async for piece in self._body:
                    yield piece
            except httpx.TransportError:
                if left := _unread(self._body):
                    yield left
                raise

        async def aclose(self) -> None:
            await self._body.aclose()

    class OneShotHandler(base):
        """litellm's handler with one client, where litellm makes another for a second try."""

        made = False

        def create_client(self, *arguments: Any, **more: Any) -> Any:
            if self.made:
                raise sys.exception() or RuntimeError("the client is closed")
            self.made = True
            return base.create_client(self, *arguments, **more)

        async def post(self, *arguments: Any, **more: Any) -> Any:
            if (sending := SENDING.get()) is not None:
                sending.set()
            response = await base.post(self, *arguments, **more)
            if more.get("stream"):
                response.stream = WholeStream(response.stream)
            return response

    handler = OneShotHandler(ssl_verify=ssl_verify)
    handler.client.follow_redirects = False
    return handler


def _unread(body: Any) -> bytes:
    """Return what aiohttp has received of a body and not handed out; nothing where it keeps that elsewhere."""
    body = getattr(body, "_stream", body)  # httpx puts a stream of its own around the transport's
    content = getattr(getattr(body, "_aiohttp_response", None), "content", None)
    return b"".join(getattr(content, "_buffer", None) or ())[getattr(content, "_buffer_offset", 0) :]
