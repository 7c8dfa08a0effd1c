"""The HTTP client that a model hands to litellm, so that it is closed when the model is.

litellm's own clients live in a cache for an hour, and send a request again by themselves when a connection is reset:
the provider may have been at work on the first one, a streamed answer to the second cannot be read, and the caller,
who has a deadline and a back-off, is not asked. This client fails instead, and follows no redirects.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

__all__ = ["make_client", "takes_client"]

# Of the providers of litellm 1.106 that have chat models, these want a client of OpenAI's SDK, or of Azure's.
_SDK = frozenset({"azure", "azure_text", "text-completion-inception", "text-completion-openai"})


def takes_client(provider: str) -> bool:
    """Tell whether litellm calls `provider` through a client of its own HTTP layer, and not through a vendor's SDK."""
    handler = os.environ.get("EXPERIMENTAL_OPENAI_BASE_LLM_HTTP_HANDLER", "")
    return provider not in _SDK and handler.strip().lower() == "true"


def make_client(ssl_verify: object = None) -> Any:
    """Return a new client; it looks for certificates, so not on an event loop. The first request binds it to one.

    Args:
        ssl_verify: litellm's option of that name: a file of certificates, an `SSLContext`, or False.
    """
    module = importlib.import_module("litellm.llms.custom_httpx.http_handler")
    base: Any = module.AsyncHTTPHandler

    class OneShotHandler(base):
        """litellm's handler with one client, where litellm makes another for a second try."""

        made = False

        def create_client(self, *arguments: Any, **more: Any) -> Any:
            if self.made:
                raise sys.exception() or RuntimeError("the client is closed")
            self.made = True
            return base.create_client(self, *arguments, **more)

    handler = OneShotHandler(ssl_verify=ssl_verify)
    handler.client.follow_redirects = False
    return handler
