"""Structured output: a type in, a checked value out, whatever the model can do by itself. Pure: no I/O.

A ladder of three rungs, from the surest to the one that each model has:

| rung | what the request holds | what the model answers |
|---|---|---|
| `native` | the schema as `response_schema` | text that fits it |
| `tool` | one more tool, `final_answer`, and a `tool_choice` that leaves no text | a call of that tool |
| `prompt` | the schema in the system message | text with JSON in it, which is looked for and mended |

`rungs()` says which of them a model has. A provider that refuses the request because of the rung (`steps_down`) gets
the next one. Whatever the rung, an answer that does not fit is `OutputInvalid`, and `reask()` returns what to say to
the model about it, `max_reasks` times at most.

Beside real tools the model may call those first and answer afterwards. On the rung `tool` its answer is then a call
too, which `split()` tells apart.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeAlias, TypeVar

import msgspec

from tinyllm_actors.errors import ConfigurationError, OutputInvalid, RequestRejected
from tinyllm_actors.llm.messages import AssistantMessage, SystemMessage, ToolCall, ToolMessage, UserMessage
from tinyllm_actors.llm.model import ResponseSchema, ToolSchema
from tinyllm_actors.llm.output_schema import WRAPPED, adapt_schema
from tinyllm_actors.llm.output_text import json_values
from tinyllm_actors.llm.wire import as_object

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import TypeAdapter, ValidationError

    from tinyllm_actors.errors import ModelError
    from tinyllm_actors.llm.messages import Message
    from tinyllm_actors.llm.model import Capabilities, ChatRequest, Completion
    from tinyllm_actors.llm.output_partial import PartialReader

__all__ = ["OutputMode", "OutputRung", "StructuredOutput"]

OutputRung: TypeAlias = Literal["native", "tool", "prompt"]
OutputMode: TypeAlias = Literal["auto", "native", "tool", "prompt"]

T = TypeVar("T")

MAX_TOLD = 20
"""How many errors the model is told of at once."""
MAX_COUNTED = 10_000
"""Beyond that many errors an answer is told as wrong altogether."""

# Words with which providers refuse a rung. Any other refusal is of the request itself, and no rung would help.
_REFUSALS = {
    "native": re.compile(
        r"response_?format|json_?schema|schema|json mode|structured|mime type|grammar|additionalproperties|unsupported"
        r"|not support|unrecognized|unknown (?:field|parameter)|extra inputs",
        re.IGNORECASE,
    ),
    "tool": re.compile(
        r"tool|function|schema|unsupported|not support|unrecognized|unknown (?:field|parameter)|extra inputs",
        re.IGNORECASE,
    ),
}


class StructuredOutput(Generic[T]):
    """Ask a model for a value of a type, and read it out of what the model says.

    ```python
    >>> from pydantic import BaseModel
    >>> from tinyllm_actors.llm import AssistantMessage, Capabilities, ChatRequest, Completion, UserMessage
    >>> class City(BaseModel):
    ...     name: str
    ...     people: int
    >>> output = StructuredOutput(City)
    >>> request = output.prepare(ChatRequest(messages=[UserMessage("Which is it?")]), Capabilities(json_schema=False))
    >>> request.tool_choice
    'final_answer'
    >>> output.parse(Completion(AssistantMessage('Sure: {"name": "Ulm", "people": 126000}')))
    City(name='Ulm', people=126000)
    >>> output.partial('{"name": "Ul')
    City(name='Ul', people=None)

    ```

    Args:
        output_type: a pydantic model, or any other type that pydantic knows; what is no JSON object is wrapped into
            one for the provider and unwrapped again.
        mode: `"auto"` takes the best rung that the model has, and a lower one when the provider refuses; any other
            takes that rung and no other.
        max_reasks: how often the model may correct an answer that does not fit.
        name: of the schema, for the provider, which gets its letters and digits; left out, the name of the type.
        tool_name: what the model calls its answer on the rung `tool`; no real tool may have that name.

    Raises:
        ConfigurationError: pydantic does not know the type, or an argument has no meaning.
    """

    __slots__ = (
        "__weakref__",
        "_adapter",
        "_reader",
        "_schema",
        "_wrapped",
        "label",
        "max_reasks",
        "mode",
        "output_type",
        "tool_name",
    )

    def __init__(
        self,
        output_type: type[T] | Any,
        *,
        mode: OutputMode = "auto",
        max_reasks: int = 2,
        name: str | None = None,
        tool_name: str = "final_answer",
    ) -> None:
        if mode not in ("auto", "native", "tool", "prompt"):
            raise ConfigurationError(f"mode must be 'auto', 'native', 'tool' or 'prompt', not {mode!r}")
        if max_reasks < 0:
            raise ConfigurationError(f"max_reasks is 0 or more, not {max_reasks!r}")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", tool_name):
            raise ConfigurationError(f"tool_name must be 1 to 64 letters, digits, '_' or '-', not {tool_name!r}")
        from pydantic import TypeAdapter  # 60 ms that a program without structured output need not pay
        from pydantic.errors import PydanticUserError
        from pydantic_core import SchemaError

        self.output_type = output_type
        self.label: str = getattr(output_type, "__name__", None) or str(output_type)
        self.mode: OutputMode = mode
        self.max_reasks = max_reasks
        self.tool_name = tool_name
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(output_type)
            schema = self._adapter.json_schema()
        except (PydanticUserError, SchemaError, NameError) as error:
            raise ConfigurationError(f"a model cannot answer {output_type!r}: {error}") from error
        schema, strict, self._wrapped = adapt_schema(schema)
        name = re.sub(r"[^A-Za-z0-9_-]+", "_", name or self.label).strip("_")[:64] or "answer"
        self._schema = ResponseSchema(name=name, schema=schema, strict=strict)
        self._reader: PartialReader | None = None

    @property
    def response_schema(self) -> ResponseSchema:
        """The schema as providers take it."""
        return self._schema

    def __repr__(self) -> str:
        """Show the type and the mode."""
        return f"StructuredOutput({self.label}, mode={self.mode!r})"

    # --- asking ---

    def rungs(self, capabilities: Capabilities) -> tuple[OutputRung, ...]:
        """Return the rungs that a model has, the best first."""
        if self.mode != "auto":
            return (self.mode,)
        has: dict[OutputRung, bool] = {"native": capabilities.json_schema, "tool": capabilities.tools, "prompt": True}
        return tuple(rung for rung, there in has.items() if there)

    def prepare(self, request: ChatRequest, capabilities: Capabilities, attempt: int = 0) -> ChatRequest:
        """Return `request` with what makes the model answer in the type.

        Args:
            request: what is asked; its own tools stay, and its `response_schema` is replaced.
            capabilities: of the model that is asked.
            attempt: how many rungs were given up, counted by whoever asks; beyond the last rung it is the last.

        Raises:
            ConfigurationError: one of the request's tools has the name of the answer.
        """
        rungs = self.rungs(capabilities)
        match rungs[min(attempt, len(rungs) - 1)]:
            case "native":
                return replace(request, response_schema=self._schema)
            case "tool":
                return self._with_tool(request)
            case "prompt":
                schema = msgspec.json.encode(self._schema.schema).decode()
                when = "When you need no tool any more, answer" if request.tools else "Answer"
                told = f"{when} with JSON that fits this JSON schema, and with nothing before or after it:\n{schema}"
                return replace(request, messages=_instructed(request.messages, told), response_schema=None)

    def _with_tool(self, request: ChatRequest) -> ChatRequest:
        if any(tool.name == self.tool_name for tool in request.tools):
            raise ConfigurationError(
                f"there is a tool called {self.tool_name!r}, as the structured answer is; rename it, or give tool_name"
            )
        answer = ToolSchema(
            self.tool_name,
            "Give your final answer with this tool, once you have all that you need for it.",
            self._schema.schema,
            self._schema.strict,
        )
        choice = request.tool_choice
        if not request.tools or choice == "none":
            choice = self.tool_name
        elif choice in (None, "auto"):
            choice = "required"
        return replace(request, tools=[*request.tools, answer], tool_choice=choice, response_schema=None)

    def steps_down(self, error: ModelError, capabilities: Capabilities, attempt: int) -> bool:
        """Tell whether a failure means that the provider does not take this rung and there is another one to try.

        Args:
            error: of the call.
            capabilities: of the model that was asked.
            attempt: which was made.
        """
        rungs = self.rungs(capabilities)
        if attempt >= len(rungs) - 1 or not isinstance(error, RequestRejected) or error.output_started:
            return False
        return _REFUSALS[rungs[attempt]].search(str(error)) is not None

    # --- reading ---

    def split(self, message: AssistantMessage) -> tuple[list[ToolCall], ToolCall | None]:
        """Return the calls of real tools in `message`, and the call that is the answer, if there is one."""
        answer = next((call for call in message.tool_calls if call.name == self.tool_name), None)
        return [call for call in message.tool_calls if call.name != self.tool_name], answer

    def postponed(self, call: ToolCall) -> ToolMessage:
        """Return the result of an answer that was given in one breath with calls of real tools, so too early."""
        return ToolMessage(
            call.id,
            f"Not taken: the other tools had not answered yet. Read their results, then call {self.tool_name} again.",
            call.name,
        )

    def parse(self, completion: Completion) -> T:
        """Return the value in an answer.

        Raises:
            OutputInvalid: it holds none: it does not fit, is cut short, or is a refusal.
        """
        message = completion.message
        _, call = self.split(message)
        text = message.content or "" if call is None else call.arguments
        if call is None and message.refusal:
            raise OutputInvalid(
                f"the model refuses to answer: {message.refusal:.300}",
                text=message.refusal,
                correction=self._correction(["- the answer: it is a refusal"]),
                refused=True,
                model=completion.model,
            )
        ended = completion.finish_reason
        if ended in ("length", "content_filter"):
            # What is mended of it would look whole.
            raise OutputInvalid(
                f"the model's answer was cut short ({ended}); raise max_tokens, or ask for less than {self.label}",
                text=text,
                correction=self._correction(["- the answer: it was cut short; be brief"]),
                model=completion.model,
            )
        return self._validated(text, completion.model, mend=ended != "unknown")

    def _validated(self, text: str, model: str, *, mend: bool) -> T:
        from pydantic import ValidationError
        from pydantic_core import to_json

        first: ValidationError | None = None
        for found in json_values(text, mend=mend):
            for value in self._readings(found):
                try:
                    # As JSON again, whose rules let a strict type take a date that is text.
                    return self._adapter.validate_json(to_json(value))
                except ValidationError as error:
                    first = first or error
        fields: list[dict[str, str]] = []
        lines = ["- the answer: it is no JSON" if text.strip() else "- the answer: it is empty"]
        if first is not None and first.error_count() > MAX_COUNTED:  # pydantic lists all of them or none
            lines = [f"- the answer: {first.error_count()} of its values do not fit"]
        elif first is not None:
            fields = _fields(first)
            lines = [f"- {field['loc'] or 'the answer'}: {field['message']}" for field in fields]
        raise OutputInvalid(
            f"the model's answer does not fit {self.label}:\n" + "\n".join(lines),
            text=text,
            fields=fields,
            correction=self._correction(lines),
            model=model,
        ) from first

    def _readings(self, value: object) -> tuple[object, ...]:
        """Return what a JSON value may stand for: models forget to wrap it."""
        if self._wrapped and as_object(value) and set(value) == {WRAPPED}:
            return value[WRAPPED], value
        return (value,)

    def _correction(self, lines: Sequence[str]) -> str:
        return "Your answer does not fit:\n" + "\n".join(lines) + "\nAnswer again, with the corrected JSON only."

    def reask(self, completion: Completion, error: OutputInvalid) -> list[Message]:
        """Return what to add to the history so that the model corrects its answer.

        Its answer, and then what is wrong with it: as the result of the call where it was one, so that every call
        has its result, else as the user's word. The roles alternate as each provider wants them to.
        """
        message = completion.message
        if message.tool_calls:
            results: list[Message] = []
            for call in message.tool_calls:
                told = error.correction if call.name == self.tool_name else "Not run: the answer did not fit."
                results.append(ToolMessage(call.id, told, call.name))
            return [message, *results]
        said = message.content or message.refusal or "(no answer)"  # some refuse a message without content
        return [AssistantMessage(said, reasoning_content=message.reasoning_content), UserMessage(error.correction)]

    def settled(self, completion: Completion) -> AssistantMessage:
        """Return the answer as the history keeps it: text, since a call without a result is no valid end."""
        message = completion.message
        _, call = self.split(message)
        if call is None:
            return message
        return AssistantMessage(call.arguments, reasoning_content=message.reasoning_content)

    def partial(self, text: str) -> T | None:
        """Return what an answer holds so far, or None while that is nothing.

        Every value is checked as far as it has come. Of a text that ends as a valid answer each value holds what the
        ones before it held: strings and lists grow, fields appear. A model class may lack fields, which are None
        then; what depends on several fields (a `model_validator`) is checked by `parse()` only.

        Costs a pass over the text. If in doubt, call it with what has come whenever it is to be shown.

        Args:
            text: the text of the answer so far or, on the rung `tool`, the arguments of its call.
        """
        if self._reader is None:
            from tinyllm_actors.llm.output_partial import PartialReader

            self._reader = PartialReader(self.output_type)
        return self._reader.read(text, below=WRAPPED if self._wrapped else None)


def _instructed(messages: Sequence[Message], told: str) -> list[Message]:
    """Return the messages with an instruction at the end of the first system message, or as one."""
    first = messages[0] if messages else None
    if isinstance(first, SystemMessage):
        return [SystemMessage(f"{first.content}\n\n{told}"), *messages[1:]]
    return [SystemMessage(told), *messages]


def _fields(error: ValidationError) -> list[dict[str, str]]:
    return [
        {"loc": ".".join(map(str, entry["loc"])), "message": entry["msg"]}
        for entry in error.errors(include_url=False, include_context=False, include_input=False)[:MAX_TOLD]
    ]
