"""How many tokens a text, a history or a request has: by the model's tokenizer where it is at hand, else estimated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from tinyllm_actors.llm.messages import FilePart, ImagePart, UserMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.llm.messages import Message
    from tinyllm_actors.llm.model import ChatRequest

__all__ = ["estimate_request", "estimate_tokens"]

BYTES_PER_TOKEN: Final = 3
"""English prose and code have 4.3 with the tokenizers of GPT-4 and GPT-4o, Chinese 2.8 to 4, German 3 to 4.7."""

PART_TOKENS: Final = 1_500
"""For a picture or a file, whose tokens no text tells; a large picture has that many."""

_encode = msgspec.json.Encoder().encode


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text has: a third of its bytes.

    A third to a half too many for prose and code, about right for Chinese, Japanese and Korean, and too few by half
    for random text such as base64 and UUIDs.

    ```python
    >>> estimate_tokens("The quick brown fox jumps over the lazy dog.")  # GPT-4o: 10
    15

    ```
    """
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)


def estimate_messages(messages: Sequence[Message]) -> int:
    """Return about how many tokens a history has."""
    size = others = 0
    for message in messages:
        if type(message) is UserMessage and type(message.content) is list:
            for part in message.content:
                if isinstance(part, ImagePart | FilePart):
                    others += PART_TOKENS
                else:
                    size += len(_encode(part))
        else:
            size += len(_encode(message))
    return -(-size // BYTES_PER_TOKEN) + others


def estimate_request(request: ChatRequest) -> int:
    """Return about how many tokens a prompt has: messages, tools and the shape of the answer."""
    extra = len(_encode(request.tools)) if request.tools else 0
    if request.response_schema is not None:
        extra += len(_encode(request.response_schema.schema))
    return estimate_messages(request.messages) - (-extra // BYTES_PER_TOKEN)
