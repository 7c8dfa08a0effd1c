"""A reference to an `LLM`, through which it can be given another model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tinyllm_actors.function import FunctionRef
from tinyllm_actors.llm.limits import ModelChoice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinyllm_actors.llm.limits import Limits
    from tinyllm_actors.llm.model import ChatModel

__all__ = ["LLMRef", "SwapModel"]


class SwapModel(msgspec.Struct, frozen=True):
    """The message of `LLMRef.swap`; an `LLM` answers None, or the exception that kept it from changing.

    Attributes:
        choice: the model to call from now on.
    """

    choice: Any

    def __post_init__(self) -> None:
        if not isinstance(self.choice, ModelChoice):
            raise TypeError(f"SwapModel takes a ModelChoice, got {self.choice!r}")


class LLMRef(FunctionRef):
    """The way to an `LLM`."""

    __slots__ = ()

    async def swap(
        self,
        model: str | ChatModel,
        model_options: Mapping[str, Any] | None = None,
        *,
        limits: Limits | None = None,
        timeout: float | None = 60.0,
    ) -> None:
        """Let it call another model, or the same with other options, from the next call on.

        No call is lost: the one in progress and those that were sent before this are answered by the old model, those
        that come later by the new one. If that does not open, everything stays as it was. A restart of the `LLM`
        goes back to the model of its spec.

        ```python
        >>> import anyio
        >>> from tinyllm_actors import ActorSystem
        >>> from tinyllm_actors.llm import LLM, ChatRequest, UserMessage
        >>> from tinyllm_actors.testing import ScriptedModel, text
        >>> async def main() -> None:
        ...     async with ActorSystem("service") as system:
        ...         llm = await system.spawn(LLM.spec(ScriptedModel([]), name="llm"))
        ...         await llm.swap(ScriptedModel([text("I am new.")], name="new"))
        ...         result = await llm(request=ChatRequest(messages=[UserMessage("Who are you?")]))
        ...         print(result["output"]["completion"].message.content)
        >>> anyio.run(main)
        I am new.

        ```

        Args:
            model: a model or its name.
            model_options: for the adapter, if `model` is a name.
            limits: of the new model.
            timeout: seconds to wait until it is open; None for no bound.

        Raises:
            ConfigurationError: the model is unknown, or cannot be set up like this.
            ActorError: its provider does not start, or the `LLM` does not answer.
        """
        error = await self.ask(SwapModel(ModelChoice(model, model_options, limits)), timeout=timeout)
        if error is not None:
            raise error
