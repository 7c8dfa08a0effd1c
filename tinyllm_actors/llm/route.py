"""The way from an LLM to one model: its provider, found on first use, and what is known of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio.to_thread

from tinyllm_actors.llm.model_info import ModelInfo, find_model, known_model
from tinyllm_actors.llm.provider import LEASE, open_provider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinyllm_actors.kernel import ActorRef, ActorSystem
    from tinyllm_actors.llm.model import ChatModel

__all__ = ["Route"]


class Route:
    """One model that an LLM may call.

    Args:
        system: where its provider lives.
        model: a model or its name.
        options: for the adapter, if `model` is a name.
        known_models: what the user knows of models.

    Attributes:
        options: as given.
    """

    __slots__ = ("_info", "_known_models", "_model", "_provider", "_system", "options")

    def __init__(
        self,
        system: ActorSystem,
        model: str | ChatModel,
        options: Mapping[str, Any] | None,
        known_models: Mapping[str, ModelInfo] | None,
    ) -> None:
        self.options = options
        self._system = system
        self._model = model
        self._known_models = known_models
        self._provider: ActorRef | None = None
        self._info: ModelInfo | None = None

    @property
    def name(self) -> str:
        """The name of the model."""
        return self._model if isinstance(self._model, str) else self._model.name

    async def lease(self) -> ChatModel:
        """Return the model, opened."""
        provider = self._provider
        if provider is None:
            provider = self._provider = await open_provider(self._system, self._model, self.options)
        return await provider.ask(LEASE)

    async def info(self, *, with_price: bool) -> ModelInfo:
        """Return what is known of the model.

        Args:
            with_price: look into litellm's table too, if there is no price otherwise. That reads a file, in a thread.
        """
        if self._info is None or (with_price and self._info.price is None):
            found = known_model(self.name, self._known_models) or ModelInfo()
            if with_price and found.price is None:
                found = await anyio.to_thread.run_sync(find_model, self.name, self._known_models)
            self._info = found
        return self._info
