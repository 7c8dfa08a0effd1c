"""A function that is a prompt: typed arguments in, a typed answer out."""

from __future__ import annotations

import functools
import inspect
import typing
from typing import TYPE_CHECKING, Any, NotRequired, cast

from tinyllm_actors.agent.member import open_member
from tinyllm_actors.agent.prompt_template import PromptTemplate
from tinyllm_actors.errors import ConfigurationError, MalformedResponse, OutputInvalid
from tinyllm_actors.function import Function, unwrap
from tinyllm_actors.kernel import ChildSpec
from tinyllm_actors.kernel.envelope import CURRENT
from tinyllm_actors.llm import LLM, ChatRequest, StructuredOutput, SystemMessage, UserMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tinyllm_actors.function import FunctionRef, Result
    from tinyllm_actors.llm import ChatModel, Completion, Message, OutputMode

__all__ = ["PromptFunction", "TinyFunction", "tiny_function"]


class PromptFunction(Function):
    """Asks a model what a template says and answers the value of the asked-for type. See `tiny_function`.

    Args:
        template: the prompts.
        output: the type of the answer; None for text.
        llm: the spec of the model's Function, which becomes a child.
        defaults: values of arguments that a call may leave out.
        **options: of `Function`.
    """

    def __init__(
        self,
        template: PromptTemplate,
        output: StructuredOutput[Any] | None,
        llm: ChildSpec,
        defaults: Mapping[str, Any],
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._template = template
        self._output = output
        self._llm_spec = llm
        self._defaults = dict(defaults)
        self._llm: FunctionRef | None = None

    async def started(self) -> None:
        """Start the model's Function."""
        self._llm = await self.context.spawn(self._llm_spec, name="llm")
        await super().started()

    async def run(self, **arguments: Any) -> Any:
        """Ask the model, and again with what is wrong while its answer does not fit."""
        system, prompt = self._template.render({**self._defaults, **arguments})
        messages: list[Message] = [SystemMessage(system)] if system else []
        messages.append(UserMessage(prompt))
        output = self._output
        if output is None:
            return ((await self._ask(messages)).message.content or "").strip()
        asked = 0
        while True:
            completion = await self._ask(messages)
            try:
                return output.parse(completion)
            except OutputInvalid as error:
                if error.refused or asked >= output.max_reasks:
                    raise MalformedResponse(
                        f"{error}\n(after {asked} corrections)", retryable=False, partial=error.text
                    ) from error
                messages += output.reask(completion, error)
            asked += 1

    async def _ask(self, messages: list[Message]) -> Completion:
        assert self._llm is not None
        call = self._llm.within(None)(request=ChatRequest(messages=list(messages)), output=self._output)
        return unwrap(await call)["completion"]


class TinyFunction:
    """What `tiny_function` makes of a function: `spec()` for a system, a chain or `run`, or a call inside of an actor.

    Attributes:
        name: of the function that was decorated.
    """

    def __init__(self, function: Callable[..., Any], spec: ChildSpec) -> None:
        functools.update_wrapper(cast("Any", self), function)
        self.name: str = getattr(function, "__name__", "tiny_function")
        self._spec = spec

    def spec(self) -> ChildSpec:
        """Return the spec of the Function."""
        return self._spec

    async def __call__(self, **arguments: Any) -> Result:
        """Call it from inside of an actor, as a child that lives as long as the call.

        Raises:
            RuntimeError: no actor is at work here.
        """
        current = CURRENT.get()
        if current is None or current.context is None:
            raise RuntimeError(
                f"{self.name}(…) can be awaited inside of an actor only; elsewhere, spawn it"
                f" (`ref = await system.spawn({self.name})`, then `await ref(…)`), or use `run({self.name}.spec(), …)`"
            )
        async with open_member(self._spec) as ref:
            return await ref.within(None)(**arguments)

    def __repr__(self) -> str:
        return f"<TinyFunction {self.name}>"


def tiny_function(
    *,
    model: str | ChatModel,
    output_model: Any = None,
    name: str | None = None,
    mode: OutputMode = "auto",
    max_reasks: int = 2,
    model_options: Mapping[str, Any] | None = None,
    idle_timeout: float = 120.0,
    max_retries: int = 3,
    **options: Any,
) -> Callable[[Callable[..., Any]], TinyFunction]:
    """Make a Function of the prompts in a docstring: a decorator for `async def`, whose body is not used.

    The docstring holds `<prompt>…</prompt>` and, if wanted, `<system>…</system>`, with the parameters in braces. The
    return annotation is the type of the answer, whose JSON schema the model gets. An answer that does not fit goes
    back to the model with what is wrong, `max_reasks` times at most. The result is the dictionary of every Function;
    its output is a value of that type.

    ```python
    >>> from pydantic import BaseModel
    >>> from tinyllm_actors import run, tiny_function
    >>> from tinyllm_actors.testing import ScriptedModel, text
    >>> class City(BaseModel):
    ...     name: str
    ...     country: str
    >>> model = ScriptedModel([text('{"name": "Ulm", "country": "Germany"}')])
    >>> @tiny_function(model=model)
    ... async def find_city(sentence: str) -> City:
    ...     '''
    ...     <system>You find cities in sentences.</system>
    ...     <prompt>Which city is it? {sentence}</prompt>
    ...     '''
    >>> run(find_city.spec(), sentence="Einstein was born in Ulm.")
    {'status': 'success', 'output': City(name='Ulm', country='Germany')}

    ```

    Args:
        model: a model, or a name such as `"openai/gpt-4o-mini"` or `"local"`.
        output_model: the type of the answer, instead of the return annotation; a pydantic model or any type that
            pydantic knows. Without either, and with `str`, the answer is the model's text.
        name: what it is called; left out, the name of the function.
        mode: how the model is made to answer in the type, see `StructuredOutput`; if in doubt, leave it.
        max_reasks: how often the model may correct its answer.
        model_options: for the adapter (`api_key`, `temperature` …), if `model` is a name.
        idle_timeout: seconds that the model may be silent.
        max_retries: how often a model call that failed for the moment is tried again.
        **options: of `Function`.

    Raises:
        ConfigurationError: the docstring or the signature cannot be used; the message says why.
    """
    if max_reasks < 0:
        raise ConfigurationError(f"max_reasks is 0 or more, not {max_reasks!r}")

    def decorate(function: Callable[..., Any]) -> TinyFunction:
        label = name or getattr(function, "__name__", "tiny_function")
        signature = inspect.signature(function)
        for parameter in signature.parameters.values():
            if parameter.kind not in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
                raise ConfigurationError(
                    f"{label!r} takes {str(parameter)!r}; a tiny function has named parameters only"
                )
        template = PromptTemplate.from_docstring(function.__doc__, list(signature.parameters), label)
        hints = _hints(function, label)
        answer = output_model if output_model is not None else hints.pop("return", None)
        output = None
        if answer not in (None, str):
            try:
                output = StructuredOutput(answer, mode=mode, max_reasks=max_reasks, name=label)
            except ConfigurationError as error:
                raise ConfigurationError(f"{label!r} cannot be: {error}") from error
        llm = LLM.spec(model, model_options=model_options, idle_timeout=idle_timeout, max_retries=max_retries)
        defaults = {
            key: parameter.default
            for key, parameter in signature.parameters.items()
            if parameter.default is not inspect.Parameter.empty
        }
        more = {"input_validator": _arguments_type(label, signature, hints), **options}
        spec = ChildSpec(PromptFunction, template, output, llm, defaults, name=label, **more)
        return TinyFunction(function, spec.named(label))

    return decorate


def _hints(function: Callable[..., Any], label: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ConfigurationError(
            f"an annotation of {label!r} cannot be resolved: {error}; define the type at the top of the module, or"
            " pass it as output_model=…"
        ) from None


def _arguments_type(label: str, signature: inspect.Signature, hints: Mapping[str, Any]) -> Any:
    """Return the type that checks the arguments of a call: those of the signature and no others."""
    from typing_extensions import TypedDict  # pydantic refuses typing's own before 3.12

    # A typed dictionary and not a model, so that a parameter may have any name.
    fields = {
        key: hints.get(key, Any) if parameter.default is inspect.Parameter.empty else NotRequired[hints.get(key, Any)]
        for key, parameter in signature.parameters.items()
    }
    arguments: Any = TypedDict(label, fields)  # pyright: ignore[reportArgumentType]
    arguments.__pydantic_config__ = {"extra": "forbid", "arbitrary_types_allowed": True}
    return arguments
