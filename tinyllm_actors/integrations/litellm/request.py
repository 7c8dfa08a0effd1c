"""Write a request as arguments of `litellm.acompletion`. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tinyllm_actors.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tinyllm_actors.llm.messages import Message
    from tinyllm_actors.llm.model import ChatRequest

__all__ = ["call_arguments", "check_options"]

_OWN = {
    "acompletion": "every call is asynchronous",
    "fallbacks": "give the agent several models instead",
    "max_retries": "retries are the caller's, who knows the deadline",
    "messages": "they are the request's `messages`",
    "model": "it is the model's name",
    "n": "one alternative is asked for and read",
    "num_retries": "retries are the caller's, who knows the deadline",
    "stream": "call `stream()` or `complete()`",
}


def check_options(options: Mapping[str, object]) -> None:
    """Raise unless all `options` are for litellm.

    Raises:
        ConfigurationError: one of them is the adapter's own affair.
    """
    for name in sorted(_OWN.keys() & options.keys()):
        raise ConfigurationError(f"{name!r} cannot be a model option: {_OWN[name]}")


def call_arguments(
    model: str,
    request: ChatRequest,
    defaults: Mapping[str, object],
    *,
    stream: bool,
    client: object = None,
    stream_usage: bool = True,
    send_reasoning: bool = False,
    traceparent: str | None = None,
) -> dict[str, Any]:
    """Return the keyword arguments of a call.

    Args:
        model: the name for litellm, with its provider.
        request: what is asked; its options win over `defaults`.
        defaults: options for each call.
        stream: ask for chunks.
        client: our HTTP client, if litellm takes it for this provider.
        stream_usage: ask for the tokens at the end of the chunks.
        send_reasoning: send the model's earlier thinking back to it.
        traceparent: the header of that name; None sends none.

    Raises:
        ConfigurationError: an option is the adapter's own affair.
    """
    check_options(request.options)
    arguments: dict[str, Any] = {**defaults, **request.options}
    arguments["model"] = model
    arguments["messages"] = _to_wire(request.messages, send_reasoning)
    arguments["num_retries"] = 0  # of litellm and, since it hands it on, of the vendors' SDKs
    if traceparent is not None:
        arguments["extra_headers"] = {**(arguments.get("extra_headers") or {}), "traceparent": traceparent}
    if client is not None:
        arguments["client"] = client
    if request.tools:
        arguments["tools"] = [tool.to_wire() for tool in request.tools]
        # litellm 1.106 imports the package `mcp` otherwise, to see whether a tool is a server of that kind.
        arguments["_skip_mcp_handler"] = True
        if (choice := request.tool_choice) is not None:
            named = choice not in ("auto", "none", "required")
            arguments["tool_choice"] = {"type": "function", "function": {"name": choice}} if named else choice
    if request.response_schema is not None:
        arguments["response_format"] = request.response_schema.to_wire()
    if stream:
        arguments["stream"] = True
        if stream_usage:
            arguments.setdefault("stream_options", {"include_usage": True})
    return arguments


def _to_wire(messages: Sequence[Message], send_reasoning: bool) -> list[dict[str, Any]]:
    wire: list[dict[str, Any]] = msgspec.to_builtins(messages)  # at once: a long history is most of a call otherwise
    for message in wire:
        if message["role"] == "assistant":
            message.setdefault("content", None)  # litellm's translations to other dialects look it up
            if not send_reasoning:
                message.pop("reasoning_content", None)
    return wire
