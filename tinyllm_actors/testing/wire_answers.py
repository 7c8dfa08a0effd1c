"""Bodies and chunks in OpenAI's wire form, also as providers bend it. Pure."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Dialect", "WireAnswer"]

CREATED = 1_700_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a provider writes tool calls; each field has a variant that was seen in the wild.

    Attributes:
        ids: on the `first` piece of a call, on `each`, `changing` from piece to piece, the `same` for all calls, or
            `never`.
        index: of `each` call, `zero` for all, or `missing`.
        arguments: as `text` (in pieces when streamed), as an `object`, or `none` at all.
        summary: repeat the whole answer in one more chunk after the last.
        usage: count tokens.
    """

    ids: Literal["first", "each", "changing", "same", "never"] = "first"
    index: Literal["each", "zero", "missing"] = "each"
    arguments: Literal["text", "object", "none"] = "text"
    summary: bool = False
    usage: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class WireAnswer:
    """One answer of a model, as a body or as chunks.

    Attributes:
        content: what it says.
        calls: the tools it asks for, each a name and arguments.
        reasoning: what it thinks.
        finish_reason: why it ends; None leaves the reason out.
        dialect: how tool calls are written.
        model: the name of the model.
        number: makes ids differ from answer to answer.
    """

    content: str = ""
    calls: Sequence[tuple[str, Mapping[str, object]]] = ()
    reasoning: str = ""
    finish_reason: str | None = "stop"
    dialect: Dialect = field(default_factory=Dialect)
    model: str = "fault-server"
    number: int = 1

    def body(self) -> dict[str, object]:
        """Return the answer as a `chat.completion`."""
        message: dict[str, object] = {"role": "assistant", "content": self.content or None}
        if self.reasoning:
            message["reasoning_content"] = self.reasoning
        if self.calls:
            message["tool_calls"] = [self._call(i, streamed=False) for i in range(len(self.calls))]
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self.finish_reason}
        body: dict[str, object] = {**self._frame("chat.completion"), "choices": [choice]}
        if self.dialect.usage:
            body["usage"] = self._usage()
        return body

    def chunks(self, *, usage: bool = False) -> list[dict[str, object]]:
        """Return the answer as `chat.completion.chunk`s.

        Args:
            usage: the request asks for tokens: they come in a chunk of their own.
        """
        chunks = [self._chunk({"role": "assistant", "content": "" if self.content else None})]
        chunks += [self._chunk({"reasoning_content": piece}) for piece in _words(self.reasoning)]
        chunks += [self._chunk({"content": piece}) for piece in _words(self.content)]
        for i in range(len(self.calls)):
            chunks += [self._chunk({"tool_calls": [piece]}) for piece in self._pieces(i)]
        if self.finish_reason is not None:
            chunks.append(self._chunk({}, self.finish_reason))
        if self.dialect.summary:
            calls = [self._call(i, streamed=True) for i in range(len(self.calls))]
            delta: dict[str, object] = {"role": "assistant", "content": self.content or None}
            chunks.append(self._chunk({**delta, "tool_calls": calls} if calls else delta, self.finish_reason))
        if usage and self.dialect.usage:
            chunks.append({**self._frame("chat.completion.chunk"), "choices": [], "usage": self._usage()})
        return chunks

    def _frame(self, kind: str) -> dict[str, object]:
        return {"id": f"chatcmpl-{self.number}", "object": kind, "created": CREATED, "model": self.model}

    def _chunk(self, delta: dict[str, object], finish_reason: str | None = None) -> dict[str, object]:
        choice: dict[str, object] = {"index": 0, "delta": delta, "finish_reason": finish_reason}
        return {**self._frame("chat.completion.chunk"), "choices": [choice]}

    def _usage(self) -> dict[str, int]:
        tokens = max(1, len(self.content) // 4)
        return {"prompt_tokens": 10, "completion_tokens": tokens, "total_tokens": 10 + tokens}

    def _id(self, i: int, piece: int) -> str | None:
        match self.dialect.ids:
            case "never":
                return None
            case "same":
                return f"call_{self.number}"
            case "changing":
                return f"call_{self.number}_{i}_{piece}"
            case "first" if piece:
                return None
            case _:
                return f"call_{self.number}_{i}"

    def _call(self, i: int, *, streamed: bool) -> dict[str, object]:
        """Return the whole of call `i`."""
        name, arguments = self.calls[i]
        function: dict[str, object] = {"name": name}
        if self.dialect.arguments != "none":
            function["arguments"] = arguments if self.dialect.arguments == "object" else json.dumps(arguments)
        call: dict[str, object] = {"type": "function", "function": function}
        if (call_id := self._id(i, 0)) is not None:
            call["id"] = call_id
        if streamed and self.dialect.index != "missing":
            call["index"] = i if self.dialect.index == "each" else 0
        return call

    def _pieces(self, i: int) -> Iterator[dict[str, object]]:
        """Yield call `i` as it is streamed: the name first, then the arguments bit by bit."""
        whole = self._call(i, streamed=True)
        if self.dialect.arguments != "text":
            yield whole
            return
        name, arguments = self.calls[i]
        text = json.dumps(arguments)
        cut = max(1, len(text) // 2)
        yield {**whole, "function": {"name": name, "arguments": ""}}
        for number, piece in enumerate((text[:cut], text[cut:]), 1):
            call = {key: value for key, value in whole.items() if key in ("index", "type")}
            if (call_id := self._id(i, number)) is not None:
                call["id"] = call_id
            yield {**call, "function": {"arguments": piece}}


def _words(text: str) -> list[str]:
    return re.findall(r"\s*\S+\s*$|\s*\S+|\s+$", text)
