"""The port to a language model: one request, one completion, or a stream of typed events.

An adapter subclasses `ChatModel`. It translates vendor errors into the `ModelError` family, does not retry (the
caller owns that policy), holds no per-call state, and can be used by many callers at once.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import anyio
import msgspec

from tinyllm_actors.llm.messages import AssistantMessage, Message
from tinyllm_actors.llm.roles import RoleRules

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from tinyllm_actors.llm.tokens import TokenCount

__all__ = [
    "Capabilities",
    "ChatModel",
    "ChatRequest",
    "Completed",
    "Completion",
    "FinishReason",
    "ReasoningDelta",
    "ResponseSchema",
    "StreamEvent",
    "TextDelta",
    "ToolCallDelta",
    "ToolSchema",
    "Usage",
]

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "unknown"]


class ToolSchema(msgspec.Struct, frozen=True):
    """What the model is told of a tool.

    Attributes:
        name: what the model calls it.
        description: when and how to use it, for the model to read.
        parameters: a JSON schema of type `object`.
        strict: ask the provider to hold the model to the schema, where it can.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    strict: bool = False

    def to_wire(self) -> dict[str, Any]:
        """Return the tool in the form of OpenAI's `tools` parameter."""
        function: dict[str, Any] = {"name": self.name, "description": self.description, "parameters": self.parameters}
        if self.strict:
            function["strict"] = True
        return {"type": "function", "function": function}


class ResponseSchema(msgspec.Struct, frozen=True):
    """The JSON schema that the answer must fit; `schema` is of type `object`."""

    name: str
    schema: dict[str, Any]
    strict: bool = True

    def to_wire(self) -> dict[str, Any]:
        """Return the schema in the form of OpenAI's `response_format` parameter."""
        return {
            "type": "json_schema",
            "json_schema": {"name": self.name, "schema": self.schema, "strict": self.strict},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One question to a model.

    Attributes:
        messages: the history, oldest first, ending with what the model shall answer.
        tools: the tools that it may ask for.
        tool_choice: `"auto"`, `"none"`, `"required"`, or the name of one tool; None leaves it to the provider.
        response_schema: the shape the answer must have; None for free text.
        options: passed to the provider as they are (`temperature`, `max_tokens`, `seed`, …).
    """

    messages: Sequence[Message]
    tools: Sequence[ToolSchema] = ()
    tool_choice: str | None = None
    response_schema: ResponseSchema | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])


class Usage(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Tokens of one call.

    Attributes:
        prompt_tokens: of the request.
        completion_tokens: of the answer, the model's thinking included.
        total_tokens: both.
        cost: in US dollars; None where the price is unknown, which is not zero.
        cached_tokens: how many of `prompt_tokens` the provider had at hand, and so charges less for.
        reasoning_tokens: how many of `completion_tokens` are thinking.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cost: float | None = None
    cached_tokens: int = 0
    reasoning_tokens: int = 0


class Completion(msgspec.Struct, frozen=True, gc=False):
    """A whole answer.

    Attributes:
        message: what the model said.
        finish_reason: why it ended. Decide on tool calls by `message.tool_calls`, not by this.
        model: the name that the provider gave.
        id: the provider's identifier of the answer.
        created: when, in seconds since the epoch.
        usage: tokens and cost, if the provider said.
        extra: what else the provider said (`logprobs`, `system_fingerprint`, …).
    """

    message: AssistantMessage
    finish_reason: FinishReason = "stop"
    model: str = ""
    id: str = ""
    created: int = 0
    usage: Usage | None = None
    extra: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])

    def to_wire(self) -> dict[str, Any]:
        """Return the answer in the form of OpenAI's `chat.completion` object."""
        message = msgspec.to_builtins(self.message)
        message.setdefault("content", None)
        extra = dict(self.extra)
        choice: dict[str, Any] = {"index": 0, "finish_reason": self.finish_reason, "message": message}
        if "logprobs" in extra:
            choice["logprobs"] = extra.pop("logprobs")
        usage: dict[str, Any] | None = None
        if self.usage is not None:
            usage = {
                "prompt_tokens": self.usage.prompt_tokens,
                "completion_tokens": self.usage.completion_tokens,
                "total_tokens": self.usage.total_tokens,
                **extra.pop("usage_details", {}),
            }
        return {
            "id": self.id,
            "object": "chat.completion",
            "created": self.created,
            "model": self.model,
            "choices": [choice],
            "usage": usage,
            **extra,
        }


class TextDelta(msgspec.Struct, frozen=True, tag="text_delta"):
    """More text of the answer."""

    text: str


class ReasoningDelta(msgspec.Struct, frozen=True, tag="reasoning_delta"):
    """More of the model's thinking."""

    text: str


class ToolCallDelta(msgspec.Struct, frozen=True, tag="tool_call_delta"):
    """More of one tool call; `index` says which, `id` and `name` are whole, `arguments` is a piece of JSON text."""

    index: int
    id: str
    name: str
    arguments: str


class Completed(msgspec.Struct, frozen=True, tag="completed"):
    """The last event of a stream: the whole answer, put together."""

    completion: Completion


StreamEvent: TypeAlias = TextDelta | ReasoningDelta | ToolCallDelta | Completed


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a model can do by itself. What it cannot is worked around above the port.

    Attributes:
        tools: call tools.
        json_schema: hold its answer to a schema.
        images: look at pictures.
        roles: what it demands of the order of roles; None for nothing. `STRICT` suits every chat template.
    """

    tools: bool = True
    json_schema: bool = True
    images: bool = False
    roles: RoleRules | None = None


class ChatModel(abc.ABC):
    """A language model behind one adapter.

    Whoever uses a model opens it before the first call and closes it after the last. A model that is given to an
    agent is opened on first use and closed when the actor system ends.

    Attributes:
        name: what is logged, traced and written into errors, such as `"openai/gpt-4o-mini"`.
        capabilities: what the model can do by itself.
        context_window: tokens of prompt and answer together, where the adapter knows; None if not.
    """

    name: str
    capabilities: Capabilities = Capabilities()
    context_window: int | None = None

    async def open(self) -> None:  # noqa: B027 - nothing to do is a good default
        """Get ready for calls (start a server, check credentials). Idempotent; a closed model can be opened again.

        Raises:
            ConfigurationError: a package, a key or a file is missing.
        """

    async def aclose(self) -> None:  # noqa: B027 - nothing to do is a good default
        """Release what `open()` and the calls hold. Idempotent."""

    async def wait_failed(self) -> None:
        """Wait until the model itself is lost (its server died) and raise why; for ever if that cannot happen.

        Raises:
            ModelError: the model is lost; `open()` may bring it back.
        """
        await anyio.sleep_forever()

    async def count_tokens(self, request: ChatRequest) -> TokenCount | None:
        """Return how many tokens the prompt of `request` has for this very model; None if it cannot tell.

        Raises:
            ModelError: it could, and did not.
        """
        return None

    @abc.abstractmethod
    async def complete(self, request: ChatRequest) -> Completion:
        """Return the whole answer to `request`.

        Cancelling the caller ends the call and closes its connection.

        Raises:
            ModelError: the call failed; the class says how, `retryable` whether to try again.
        """

    @abc.abstractmethod
    def stream(self, request: ChatRequest) -> AbstractAsyncContextManager[AsyncIterator[StreamEvent]]:
        """Open the answer to `request` as events; `Completed` is the last one and always comes.

        Leaving the block ends the call and closes its connection.

        Raises:
            ModelError: the call failed; raised where the reader is. `output_started` tells whether events had been
                delivered, `partial` holds their text.
        """
