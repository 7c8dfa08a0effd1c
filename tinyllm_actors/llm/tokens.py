"""How many tokens a text, a history or a request has: by the model's tokenizer where it is at hand, else estimated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from tinyllm_actors.function.language.size import BYTES_PER_TOKEN, estimate_messages, estimate_tokens
from tinyllm_actors.llm.encodings import find_encoding
from tinyllm_actors.llm.messages import AssistantMessage, SystemMessage, UserMessage
from tinyllm_actors.llm.model_info import known_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tiktoken import Encoding

    from tinyllm_actors.llm.messages import Message
    from tinyllm_actors.llm.model import ChatRequest
    from tinyllm_actors.llm.model_info import ModelInfo

__all__ = ["TokenCount", "count_request", "count_tokens", "estimate_request", "estimate_tokens"]

PER_MESSAGE: Final = 3
"""What the wire adds to each message of a GPT model."""

PRIMING: Final = 3
"""What begins the answer of a GPT model."""

_encode = msgspec.json.Encoder().encode


def estimate_request(request: ChatRequest) -> int:
    """Return about how many tokens a prompt has: messages, tools and the shape of the answer."""
    return estimate_messages(request.messages) + _extra(request)


def _extra(request: ChatRequest) -> int:
    size = len(_encode(request.tools)) if request.tools else 0
    if request.response_schema is not None:
        size += len(_encode(request.response_schema.schema))
    return -(-size // BYTES_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class TokenCount:
    """How many tokens something has.

    ```python
    >>> from tinyllm_actors.llm import TokenCount, count_tokens
    >>> count_tokens("The quick brown fox", "some/model")
    TokenCount(count=7, exact=False)

    ```

    Attributes:
        count: tokens.
        exact: they were counted as the model counts them; False for an estimate.
    """

    count: int
    exact: bool


def count_tokens(
    content: str | Sequence[Message], model: str, known_models: Mapping[str, ModelInfo] | None = None
) -> TokenCount:
    """Return how many tokens a text or a history has for a model.

    Exact for models of OpenAI where tiktoken is installed and has its table on this machine (litellm bundles it); an
    estimate for all others, and for histories with pictures or tool calls, whose wire form is not documented. Nothing
    is downloaded.

    The first exact count reads a file, for a third of a second: on an event loop, call it in a thread.

    Args:
        content: a text, or messages.
        model: as it is named to an agent, such as `"openai/gpt-4o-mini"`.
        known_models: what else is known of models; `encoding` names the tokenizer.
    """
    known = known_model(model, known_models)
    encoding = None if known is None or known.encoding is None else find_encoding(known.encoding)
    if isinstance(content, str):
        if encoding is None:
            return TokenCount(estimate_tokens(content), exact=False)
        return TokenCount(_length(encoding, content), exact=True)
    if encoding is None:
        return TokenCount(estimate_messages(content), exact=False)
    total, exact = PRIMING, True
    for message in content:
        text = message.content
        plain = isinstance(message, SystemMessage) or (
            isinstance(text, str) and isinstance(message, UserMessage | AssistantMessage)
        )
        if plain and not getattr(message, "tool_calls", ()) and isinstance(text, str):
            name = getattr(message, "name", None)
            total += PER_MESSAGE + 1 + _length(encoding, text) + (1 + _length(encoding, name) if name else 0)
        else:
            total += PER_MESSAGE + estimate_messages([message])
            exact = False
    return TokenCount(total, exact)


def count_request(request: ChatRequest, model: str, known_models: Mapping[str, ModelInfo] | None = None) -> TokenCount:
    """Return how many tokens a prompt has for a model; an estimate where there are tools or a shape of the answer."""
    counted = count_tokens(request.messages, model, known_models)
    extra = _extra(request)
    return TokenCount(counted.count + extra, counted.exact and not extra)


def _length(encoding: Encoding, text: str) -> int:
    # What looks like a control token is text here, as it is for the provider.
    return len(encoding.encode(text, disallowed_special=()))
