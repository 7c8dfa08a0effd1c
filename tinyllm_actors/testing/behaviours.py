"""What a `FaultServer` may do with a request: answer, refuse, dawdle, break off.

Each function makes a `Behaviour`. A request with `"stream": true` is answered as a stream, any other in one piece.

A behaviour of your own is a coroutine function that takes the `Exchange`:

```python
async def teapot(exchange: Exchange) -> None:
    await exchange.respond(418, b"short and stout", content_type="text/plain")


server = FaultServer([Behaviour("teapot", teapot)])
```
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import anyio

from tinyllm_actors.testing.wire_answers import Dialect, WireAnswer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from tinyllm_actors.testing.http_exchange import Exchange

__all__ = [
    "Behaviour",
    "answer",
    "answer_tool_calls",
    "drop_stream",
    "endless",
    "error_in_stream",
    "hang",
    "huge",
    "malformed_json",
    "rate_limited",
    "redirect",
    "refuse",
    "reset",
    "server_error",
    "slow_drip",
    "slow_first_byte",
    "truncated_stream",
    "wrong_content_type",
]

_TEXT = "The birthday of the user is on January 1st."


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One thing to do with one request.

    Attributes:
        name: for people.
        play: does it. The connection is kept for the next request if it returns with the answer complete.
    """

    name: str
    play: Callable[[Exchange], Awaitable[None]]


# --- answers --------------------------------------------------------------------------------------


def answer(
    content: str,
    *,
    reasoning: str = "",
    finish_reason: str | None = "stop",
    summary: bool = False,
    usage: bool = True,
) -> Behaviour:
    """Answer with text.

    Args:
        content: the text; streamed word by word.
        reasoning: the model's thinking, before the text.
        finish_reason: why the answer ends; None leaves the reason out.
        summary: repeat the whole answer in one more chunk after the last.
        usage: count tokens.
    """
    dialect = Dialect(summary=summary, usage=usage)
    return _whole(
        f"answer({content!r:.40})",
        WireAnswer(content=content, reasoning=reasoning, finish_reason=finish_reason, dialect=dialect),
    )


def answer_tool_calls(
    calls: Sequence[tuple[str, Mapping[str, object]]],
    *,
    content: str = "",
    finish_reason: str | None = "tool_calls",
    dialect: Dialect | None = None,
) -> Behaviour:
    """Ask for tools.

    Args:
        calls: names and arguments.
        content: text before the calls.
        finish_reason: why the answer ends; some providers say `"stop"`.
        dialect: how the provider writes tool calls.
    """
    names = ", ".join(name for name, _ in calls)
    wire = WireAnswer(content=content, calls=calls, finish_reason=finish_reason, dialect=dialect or Dialect())
    return _whole(f"answer_tool_calls({names:.40})", wire)


def huge(size: int = 10_000_000) -> Behaviour:
    """Answer with `size` characters of numbered words, streamed in pieces of 64 KiB."""
    content = "".join(f"{i:07d} " for i in range(size // 8 + 1))[:size]
    step = 65_536

    async def play(exchange: Exchange) -> None:
        wire = replace(WireAnswer(), number=exchange.number)
        if not exchange.request.streamed:
            await exchange.respond_json(200, replace(wire, content=content).body())
            return
        await exchange.start_stream()
        for start in range(0, size, step):
            delta = {"content": content[start : start + step]}
            await exchange.send_event(json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}))
        await _finish_stream(exchange, wire.chunks()[-1:])

    return Behaviour(f"huge({size})", play)


# --- refusals -------------------------------------------------------------------------------------


def refuse(
    status: int,
    message: str,
    *,
    code: str | None = None,
    kind: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Behaviour:
    """Refuse the request with an error object as OpenAI writes it."""
    error = {"error": {"message": message, "type": kind, "param": None, "code": code}}

    async def play(exchange: Exchange) -> None:
        await exchange.respond_json(status, error, headers=headers)

    return Behaviour(f"refuse({status})", play)


def rate_limited(*, retry_after: float | str | None = None, quota: bool = False) -> Behaviour:
    """Answer 429.

    Args:
        retry_after: the `Retry-After` header: seconds, or an HTTP date as text.
        quota: the account is used up, so that waiting does not help.
    """
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    if quota:
        return refuse(429, "You have no credit left.", code="insufficient_quota", kind="insufficient_quota")
    return refuse(429, "Too many requests.", code="rate_limit_exceeded", kind="requests", headers=headers)


def server_error(status: int = 500, *, retry_after: float | None = None) -> Behaviour:
    """Answer that the server cannot serve."""
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return refuse(status, "The server had an error.", kind="server_error", headers=headers)


def redirect(location: str = "http://127.0.0.1:9/elsewhere", *, status: int = 307) -> Behaviour:
    """Send the client elsewhere."""

    async def play(exchange: Exchange) -> None:
        await exchange.respond(status, b"", headers={"Location": location})

    return Behaviour("redirect", play)


# --- nonsense -------------------------------------------------------------------------------------


def malformed_json() -> Behaviour:
    """Answer with JSON that is none, as a body or as the first chunk."""

    async def play(exchange: Exchange) -> None:
        if exchange.request.streamed:
            await exchange.start_stream()
            await exchange.send_event('{"choices": [{"delta": {"content": ')
            await exchange.end_stream()
        else:
            await exchange.respond(200, b'{"choices": [{"message": {"content": ')

    return Behaviour("malformed_json", play)


def wrong_content_type() -> Behaviour:
    """Answer with a web page, as proxies and log-in portals do."""

    async def play(exchange: Exchange) -> None:
        await exchange.respond(200, b"<!doctype html><title>Log in</title>", content_type="text/html; charset=utf-8")

    return Behaviour("wrong_content_type", play)


# --- answers that break off -----------------------------------------------------------------------


def truncated_stream(after: int = 2) -> Behaviour:
    """End the answer in good form but too early: after `after` chunks of text, or in the middle of the body."""

    async def play(exchange: Exchange) -> None:
        if exchange.request.streamed:
            await _begin(exchange, after)
            await exchange.end_stream()
        else:
            body = json.dumps(WireAnswer(content=_TEXT).body()).encode()
            await exchange.respond(200, body[: len(body) // 2])

    return Behaviour(f"truncated_stream({after})", play)


def drop_stream(after: int = 2) -> Behaviour:
    """Close the connection after `after` chunks of text, or in the middle of the body."""

    async def play(exchange: Exchange) -> None:
        await _begin(exchange, after)
        await exchange.close()

    return Behaviour(f"drop_stream({after})", play)


def reset(after: int | None = None) -> Behaviour:
    """Reset the connection: before any answer, or after `after` chunks of text."""

    async def play(exchange: Exchange) -> None:
        if after is not None:
            await _begin(exchange, after)
        await exchange.reset()

    return Behaviour("reset", play)


def error_in_stream(
    message: str, *, code: str | int | None = None, kind: str | None = None, after: int = 2
) -> Behaviour:
    """Send an error in place of a chunk, after `after` chunks of text; as the body where nothing is streamed."""
    error = {"error": {"message": message, "type": kind, "code": code}}

    async def play(exchange: Exchange) -> None:
        if not exchange.request.streamed:
            await exchange.respond_json(200, error)
            return
        await _begin(exchange, after)
        await exchange.send_event(json.dumps(error))
        await exchange.send_event("[DONE]")
        await exchange.end_stream()

    return Behaviour("error_in_stream", play)


# --- silence --------------------------------------------------------------------------------------


def hang(after: int | None = None) -> Behaviour:
    """Say nothing until the client leaves: from the start, or after `after` chunks of text."""

    async def play(exchange: Exchange) -> None:
        if after is not None:
            await _begin(exchange, after)
        await anyio.sleep_forever()

    return Behaviour("hang", play)


def slow_first_byte(delay: float, then: Behaviour | None = None) -> Behaviour:
    """Wait `delay` seconds, then behave like `then`, which answers if it is not given."""
    following = then or answer(_TEXT)

    async def play(exchange: Exchange) -> None:
        await anyio.sleep(delay)
        await following.play(exchange)

    return Behaviour(f"slow_first_byte({delay:g})", play)


def slow_drip(delay: float, content: str = _TEXT) -> Behaviour:
    """Answer with `delay` seconds before each chunk, or before each tenth of the body."""

    async def play(exchange: Exchange) -> None:
        wire = WireAnswer(content=content, number=exchange.number)
        if exchange.request.streamed:
            await exchange.start_stream()
            for chunk in wire.chunks():
                await anyio.sleep(delay)
                await exchange.send_event(json.dumps(chunk))
            await exchange.send_event("[DONE]")
            await exchange.end_stream()
            return
        body = json.dumps(wire.body()).encode()
        await exchange.start(200, content_length=len(body))
        step = max(1, len(body) // 10)
        for start in range(0, len(body), step):
            await anyio.sleep(delay)
            await exchange.send(body[start : start + step])

    return Behaviour(f"slow_drip({delay:g})", play)


def endless(delay: float = 0.001) -> Behaviour:
    """Stream text until the client leaves, with `delay` seconds before each chunk."""

    async def play(exchange: Exchange) -> None:
        await exchange.start_stream()
        chunk = json.dumps({"choices": [{"index": 0, "delta": {"content": "on "}, "finish_reason": None}]})
        while True:
            await exchange.send_event(chunk)
            await anyio.sleep(delay)

    return Behaviour("endless", play)


# --- parts ----------------------------------------------------------------------------------------


def _whole(name: str, wire: WireAnswer) -> Behaviour:
    async def play(exchange: Exchange) -> None:
        numbered = replace(wire, number=exchange.number)
        if exchange.request.streamed:
            await exchange.start_stream()
            await _finish_stream(exchange, numbered.chunks(usage=exchange.request.wants_usage))
        else:
            await exchange.respond_json(200, numbered.body())

    return Behaviour(name, play)


async def _finish_stream(exchange: Exchange, chunks: Sequence[Mapping[str, object]]) -> None:
    for chunk in chunks:
        await exchange.send_event(json.dumps(chunk))
    await exchange.send_event("[DONE]")
    await exchange.end_stream()


async def _begin(exchange: Exchange, after: int) -> None:
    """Send the beginning of an answer: `after` chunks of text, or half a body."""
    wire = WireAnswer(content=_TEXT, number=exchange.number)
    if exchange.request.streamed:
        await exchange.start_stream()
        for chunk in wire.chunks()[: after + 1]:  # the first chunk has the role and no text
            await exchange.send_event(json.dumps(chunk))
    else:
        body = json.dumps(wire.body()).encode()
        await exchange.start(200, content_length=len(body))
        await exchange.send(body[: len(body) // 2])
