"""Read what the model writes when it may choose between answering and calling a tool. Pure: no I/O.

The grammar makes it write one of two things, and nothing else:

- `{"name": "<a tool>", "arguments": {…}}`
- `{"answer": "<text>"}`, or `{"answer": {…}}` where the answer has a schema of its own

```python
>>> reader = ReplyReader("call_1")
>>> reader.feed('{"answer": "It is Jan')
[TextDelta(text='It is Jan')]
>>> reader.feed('uary."}'), reader.text
([TextDelta(text='uary.')], 'It is January.')

```
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import msgspec

from tinyllm_actors.errors import MalformedResponse, StreamInterrupted
from tinyllm_actors.llm.messages import AssistantMessage, FunctionCall, ToolCall
from tinyllm_actors.llm.model import TextDelta, ToolCallDelta

if TYPE_CHECKING:
    from tinyllm_actors.llm.model import Completion, StreamEvent

__all__ = ["ReplyReader"]

_HEAD = re.compile(r'\s*\{\s*"(name|answer)"\s*:\s*(?=\S)')
_NAME = re.compile(r'("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*(?=\S)')
_TEXT_PIECE = re.compile(
    r"""(?: [^"\\]                                             # itself
          | \\ [^u]                                            # \n, \", …
          | \\u [dD][89abAB][0-9a-fA-F]{2} \\u [0-9a-fA-F]{4}  # a pair of surrogates
          | \\u [dD][89abAB][0-9a-fA-F]{2} (?= [^\\] | \\ [^u])  # half a pair, and nothing that completes it
          | \\u (?![dD][89abAB]) [0-9a-fA-F]{4}                # one code point
        )+""",
    re.VERBOSE,
)
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]|[^"{}\[\]]+')


class ReplyReader:
    """Turn the JSON that the model writes into events, as it grows.

    Args:
        call_id: the id of the tool call, if it becomes one.

    Attributes:
        text: the answer so far.
        call: the whole tool call, once its arguments are complete.
        whole: the reply has ended as it must.
    """

    def __init__(self, call_id: str) -> None:
        self.text = ""
        self.call: ToolCall | None = None
        self.whole = False
        self._call_id = call_id
        self._rest = ""
        self._state = "head"
        self._name = ""
        self._value = ""
        self._depth = 0

    @property
    def naming(self) -> str:
        """The tool that is being called, as soon as that is known; else empty."""
        return self._name

    def finish(self, completion: Completion) -> Completion:
        """Return the completion with what the reply says in place of the JSON that it was written in.

        Raises:
            StreamInterrupted: a tool call is cut short; it must not run.
            MalformedResponse: it is neither an answer nor a call.
        """
        if self.call is not None:
            message, reason = AssistantMessage(None, [self.call]), "tool_calls"
        elif self._state in ("text", "schema", "end"):
            message, reason = AssistantMessage(self.text), completion.finish_reason
        elif self._state == "head" and completion.finish_reason != "length":
            raise MalformedResponse(
                f"{completion.model}: the reply is neither an answer nor a tool call: {self._rest!r:.200}",
                retryable=False,
                model=completion.model,
            )
        else:
            raise StreamInterrupted(
                f"{completion.model}: the tool call{f' to {self._name!r}' if self._name else ''} is cut short (the "
                f"answer ended with {completion.finish_reason!r}); raise max_tokens",
                retryable=False,
                output_started=bool(self._value),
                model=completion.model,
            )
        return msgspec.structs.replace(completion, message=message, finish_reason=reason)

    def feed(self, piece: str) -> list[StreamEvent]:
        """Take the next piece of JSON and return what is new in it."""
        self._rest += piece
        if self._state == "head" and (head := _HEAD.match(self._rest)):
            self._rest = self._rest[head.end() :]
            self._state = "name" if head[1] == "name" else "answer"
        if self._state == "name" and (name := _NAME.match(self._rest)):
            self._rest = self._rest[name.end() :]
            self._name = str(json.loads(name[1]))
            self._state = "arguments"
        if self._state == "answer":
            self._state = "text" if self._rest[0] == '"' else "schema"
            self._rest = self._rest.removeprefix('"')
        if self._state == "text":
            return self._read_text()
        if self._state in ("arguments", "schema"):
            return self._read_value()
        return []

    def _read_text(self) -> list[StreamEvent]:
        piece = ""
        if found := _TEXT_PIECE.match(self._rest):
            piece = _whole_characters(str(json.loads(f'"{found[0]}"', strict=False)))
            self._rest = self._rest[found.end() :]
            self.text += piece
        if self._rest.startswith('"'):
            self._end()
        return [TextDelta(piece)] if piece else []

    def _read_value(self) -> list[StreamEvent]:
        piece = ""
        while not self.whole and (token := _JSON_TOKEN.match(self._rest)):
            if self._depth == 0 and token[0] not in "{[":
                break
            self._rest = self._rest[token.end() :]
            piece += token[0]
            self._depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[0], 0)
            if self._depth == 0:
                self._end()
        if not piece:
            return []
        self._value += piece
        if not self._name:
            self.text = self._value
            return [TextDelta(piece)]
        if self.whole:
            self.call = ToolCall(self._call_id, FunctionCall(self._name, self._value))
        return [ToolCallDelta(0, self._call_id, self._name, piece)]

    def _end(self) -> None:
        self.whole = True
        self._state = "end"
        self._rest = ""


def _whole_characters(text: str) -> str:
    """Return `text` with `U+FFFD` for each half of a surrogate pair, which no encoding takes."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
