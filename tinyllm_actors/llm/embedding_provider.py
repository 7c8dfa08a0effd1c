"""The actor that owns an embedding model, in the way of `ModelProvider`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from tinyllm_actors.llm.provider import LEASE, ModelProvider, open_provider
from tinyllm_actors.llm.registry import embedding_from_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinyllm_actors.kernel import ActorRef, ActorSystem
    from tinyllm_actors.llm.embedding import EmbeddingModel
    from tinyllm_actors.llm.gate import Gate
    from tinyllm_actors.llm.limits import Limits

__all__ = ["EmbeddingLease", "EmbeddingProvider", "lease_embeddings", "open_embedding_provider"]


class EmbeddingLease(NamedTuple):
    """An embedding model for one call, and the gate before it."""

    model: EmbeddingModel
    gate: Gate


class EmbeddingProvider(ModelProvider):
    """Owns one embedding model, for every actor of the system that calls it."""

    label = "embeddings:"

    def make(self, name: str, options: Mapping[str, Any] | None) -> EmbeddingModel:
        """Return the model that a name stands for, not opened yet."""
        return embedding_from_name(name, options)


async def open_embedding_provider(
    system: ActorSystem,
    model: str | EmbeddingModel,
    options: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
) -> ActorRef:
    """Return the provider of `model`; see `open_provider`."""
    return await open_provider(system, model, options, limits, kind=EmbeddingProvider)


async def lease_embeddings(provider: ActorRef) -> EmbeddingLease:
    """Return the model, opened, and its gate.

    Raises:
        ActorError: its provider does not start, or has stopped.
    """
    return cast("EmbeddingLease", await provider.ask(LEASE))
