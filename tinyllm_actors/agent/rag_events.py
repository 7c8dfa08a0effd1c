"""What a streamed `Rag` tells beside the model's own events; the last item is the dictionary of the call."""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["AnswerRejected", "SourcesFound"]


class SourcesFound(msgspec.Struct, frozen=True, tag="sources_found"):
    """The model is about to be asked; without sources it is not.

    Attributes:
        queries: what was looked for, the question first.
        sources: what the model sees, each with `number`, `id`, `text` and `metadata`.
    """

    queries: list[str]
    sources: list[dict[str, Any]]


class AnswerRejected(msgspec.Struct, frozen=True, tag="answer_rejected"):
    """What was streamed so far is void, as its citations are wrong; the text that follows replaces it.

    Attributes:
        reason: what the model was told.
    """

    reason: str
