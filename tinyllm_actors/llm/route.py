"""The way from an LLM to one model: its provider, found on first use, and what is known of the model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio.to_thread

from tinyllm_actors.llm.max_tokens import max_tokens_for
from tinyllm_actors.llm.model_info import ModelInfo, find_model, known_model
from tinyllm_actors.llm.output_limit import limited_to, output_limit_of
from tinyllm_actors.llm.provider import LEASE, open_provider
from tinyllm_actors.llm.tokens import count_request

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinyllm_actors.kernel import ActorRef, ActorSystem
    from tinyllm_actors.llm.limits import ModelChoice
    from tinyllm_actors.llm.max_tokens import Sizing
    from tinyllm_actors.llm.model import ChatModel, ChatRequest
    from tinyllm_actors.llm.price import Price
    from tinyllm_actors.llm.provider import Lease

__all__ = ["Route"]


class Route:
    """One model that an LLM may call.

    Args:
        system: where its provider lives.
        choice: the model, its options and limits.
        known_models: what the user knows of models.

    """

    __slots__ = ("_choice", "_info", "_known_models", "_looked", "_provider", "_system")

    def __init__(
        self,
        system: ActorSystem,
        choice: ModelChoice,
        known_models: Mapping[str, ModelInfo] | None,
    ) -> None:
        self._system = system
        self._choice = choice
        self._known_models = known_models
        self._provider: ActorRef | None = None
        self._info: ModelInfo | None = None
        self._looked = False

    @property
    def name(self) -> str:
        """The name of the model."""
        model = self._choice.model
        return model if isinstance(model, str) else model.name

    @property
    def options(self) -> Mapping[str, Any] | None:
        """The model's options."""
        return self._choice.options

    async def price(self) -> Price | None:
        """Return what the model costs, if anybody knows. The first time may read litellm's table, in a thread."""
        looked, self._looked = self._looked, True
        return (await self.info(with_price=not looked)).price

    async def lease(self) -> Lease:
        """Return the model, opened, and its gate.

        Raises:
            ActorError: its provider does not start, or has stopped.
            ConfigurationError: its limits contradict those of others.
        """
        provider = self._provider
        if provider is None:
            choice = self._choice
            provider = await open_provider(self._system, choice.model, choice.options, choice.limits)
            self._provider = provider
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

    async def sized(self, request: ChatRequest, sizing: Sizing, model: ChatModel) -> ChatRequest:
        """Return the request with a limit for the answer, if neither it nor the model's options have one.

        Args:
            request: the request.
            sizing: how long answers may be.
            model: the model, which may know its own size and count its own tokens.

        Raises:
            ContextWindowExceeded: the prompt is known to fill the model's context.
        """
        if output_limit_of(request, self.options) is not None:
            return request
        if isinstance(sizing.rule, int):
            return replace(request, options=limited_to(sizing.rule, self.name, request.options))
        info = await self.info(with_price=False)
        if info.context_window is None and model.context_window is not None:
            info = replace(info, context_window=model.context_window)
        prompt = await model.count_tokens(request)
        if prompt is None:
            # In a thread: the first count reads the tokenizer's table, and a long history takes some milliseconds.
            prompt = await anyio.to_thread.run_sync(count_request, request, self.name, self._known_models)
        tokens = max_tokens_for(sizing.rule, prompt, info, expected_io_ratio=sizing.expected_io_ratio, name=self.name)
        return request if tokens is None else replace(request, options=limited_to(tokens, self.name, request.options))
