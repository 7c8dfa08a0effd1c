"""What the runs of an agent show its model, where that is more than a system role and what was said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.function.language.said import text_of
from tinyllm_actors.function.language.size import estimate_tokens
from tinyllm_actors.kernel import ChildSpec
from tinyllm_actors.llm import MaxTokensStrategy, ModelInfo, as_messages
from tinyllm_actors.llm.model_info import known_model
from tinyllm_actors.prompting import PromptManager
from tinyllm_actors.prompting.example import as_examples
from tinyllm_actors.prompting.fitting import ContextSizes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from tinyllm_actors.function import FunctionRef
    from tinyllm_actors.kernel import ActorContext
    from tinyllm_actors.llm import Message, ToolSchema
    from tinyllm_actors.prompting import Example

__all__ = ["Prompting", "RunPrompt", "prompting_for"]


def prompting_for(
    model: Any, manager: PromptManager | None, system_role: str, options: Mapping[str, Any], *, own_role: bool
) -> Prompting:
    """Return what an agent with these options needs.

    Args:
        model: of the agent.
        manager: that it was given.
        system_role: likewise.
        options: of a manager, as the agent was given them.
        own_role: the system role is not the one that an agent has when it is not given any.

    Raises:
        ConfigurationError: there is a manager, and an option that belongs into it.
    """
    if manager is None:
        return Prompting(PromptManager(system_role=system_role, **options), model)
    given = [name for name, value in options.items() if value]
    if given or own_role:
        name = given[0] if given else "system_role"
        raise ConfigurationError(f"give {name} to the prompt_manager, which puts together what the model is shown")
    return Prompting(manager, model)


class Prompting:
    """The prompts of one agent.

    Args:
        manager: puts them together.
        model: of the agent: if it is a name, the size of its context may be known.
    """

    __slots__ = ("_manager", "_model", "_selector", "_sizes")

    def __init__(self, manager: PromptManager, model: Any) -> None:
        self._manager = manager
        self._model = model
        self._selector: FunctionRef | None = None
        self._sizes = ContextSizes()
        if manager.max_tokens is not None or manager.fallback_model is not None:
            info = (known_model(model) if isinstance(model, str) else None) or ModelInfo()
            wider = known_model(manager.fallback_model or "") or ModelInfo()
            self._sizes = ContextSizes(info.context_window, info.max_output, wider.context_window)

    def llm_options(self) -> dict[str, Any]:
        """Return what the agent's `LLM` needs to know, so that answers are as long as they may be."""
        manager = self._manager
        rule = manager.max_tokens
        options: dict[str, Any] = {
            "max_tokens": MaxTokensStrategy(rule) if isinstance(rule, str) else rule,
            "expected_io_ratio": None if rule is None else manager.expected_io_ratio,
            "context_window_fallback": manager.fallback_model,
        }
        if isinstance(self._model, str) and rule is not None:
            info = ModelInfo(context_window=manager.context_window, max_output=manager.max_output)
            options["known_models"] = {self._model: info}
        return options

    async def start(self, context: ActorContext) -> None:
        """Start what selects examples."""
        examples = self._manager.example_manager
        source = None if examples is None else examples.example_selector
        if isinstance(source, ChildSpec):
            self._selector = cast("FunctionRef", await context.spawn(source, name="example_selector"))
        else:
            self._selector = source

    async def begin(self, question: Message) -> RunPrompt:
        """Return what the prompts of one run have in common: its examples and its time.

        Without examples, as the selector fails, the question is answered all the same.
        """
        examples: list[Example] = []
        text = text_of(question)
        if self._selector is not None and text.strip():
            result = await self._selector(input=text)
            if result["status"] == "success":
                examples = as_examples(result["output"]["best_examples"])
        manager = self._manager
        return RunPrompt(manager, self._sizes, examples, manager.clock() if manager.time_aware else None)


class RunPrompt:
    """The prompts of one run.

    Args:
        manager: puts them together.
        sizes: what is known of the models.
        examples: that are like the question.
        now: when the run began: the time is the same in all of its prompts, so that a provider knows them again.
    """

    __slots__ = ("_examples", "_manager", "_now", "_sizes")

    def __init__(
        self, manager: PromptManager, sizes: ContextSizes, examples: list[Example], now: datetime | None
    ) -> None:
        self._manager = manager
        self._sizes = sizes
        self._examples = examples
        self._now = now

    def messages(
        self, history: Sequence[Message], said: Sequence[Message], tools: Sequence[ToolSchema]
    ) -> list[Message]:
        """Return the messages of a request.

        Args:
            history: what was said before the question.
            said: the question and what followed.
            tools: of the request, whose tokens count too.
        """
        fits = self._sizes.context_window or self._manager.context_window
        prompt = self._manager.prompt(
            said,
            memories=history,
            examples=self._examples,
            now=self._now,
            reserved=estimate_tokens(msgspec.json.encode(tools).decode()) if tools and fits else 0,
            sizes=self._sizes,
        )
        return as_messages(prompt.messages)
