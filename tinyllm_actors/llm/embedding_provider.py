"""The actor that owns an embedding model: it opens it, lends it out, and closes it last of all."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import msgspec

from tinyllm_actors.kernel import Actor, ChildOptions, ChildSpec
from tinyllm_actors.llm.provider import LEASE
from tinyllm_actors.llm.registry import embedding_from_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinyllm_actors.kernel import ActorRef, ActorSystem, ExitReason
    from tinyllm_actors.llm.embedding import EmbeddingModel

__all__ = ["EmbeddingProvider", "open_embedding_provider"]


class EmbeddingProvider(Actor):
    """Owns one embedding model, for every actor of the system that calls it.

    Args:
        model: a name, from which each incarnation makes a new model; or a model, opened again by each.
        options: for the adapter, if `model` is a name.
    """

    options = ChildOptions(shutdown=30.0)

    def __init__(self, model: str | EmbeddingModel, options: Mapping[str, Any] | None = None) -> None:
        self._source = model
        self._options = options
        self._model: EmbeddingModel | None = None

    async def started(self) -> None:
        """Make and open the model."""
        source = self._source
        if isinstance(source, str):
            # In a thread, as this may import an adapter, and with it a vendor's package.
            self._model = await anyio.to_thread.run_sync(embedding_from_name, source, self._options)
        else:
            self._model = source
        await self._model.open()
        self.context.start_task(self._model.wait_failed)

    def receive(self, message: object) -> EmbeddingModel:
        """Lend the model for one call."""
        if message is not LEASE:
            raise TypeError(f"an embedding provider answers LEASE only, not {type(message).__name__}")
        assert self._model is not None
        return self._model

    async def stopped(self, reason: ExitReason) -> None:
        """Close the model."""
        if self._model is not None:
            await self._model.aclose()


async def open_embedding_provider(
    system: ActorSystem, model: str | EmbeddingModel, options: Mapping[str, Any] | None = None
) -> ActorRef:
    """Return the provider of `model`, started on first use and shared by all who name the same model and options."""
    if isinstance(model, str):
        encoded = msgspec.json.encode(
            sorted((options or {}).items()), enc_hook=lambda value: f"{type(value).__name__}@{id(value):x}"
        )
        # A digest of the options, which may hold keys and so cannot be shown.
        label = f"embeddings:{model.replace('/', ':')}-{hashlib.sha256(encoded).hexdigest()[:8]}"
    else:
        label = f"embeddings:{model.name.replace('/', ':')}-{id(model):x}"
    return await system.service(label, ChildSpec(EmbeddingProvider, model, options))
