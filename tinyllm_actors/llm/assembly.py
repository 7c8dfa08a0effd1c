"""Put the pieces of a streamed answer together. Pure: no I/O, no clock.

Providers agree on the outline of OpenAI's wire form and on few of its details. What is tolerated here, because it
was seen in the wild: tool-call ids on the first piece only, on each piece, changing from piece to piece, twice the
same, or never; no `index`, or the same `index` for several calls; arguments that are empty, an object, or JSON text
inside JSON text; a last chunk that repeats the whole answer; chunks with nothing but usage; `"stop"` after tool
calls. What is not tolerated: an answer that may be cut short. It never becomes a `Completed`.

```python
>>> assembler = ChunkAssembler("gpt-4o-mini")
>>> assembler.feed({"choices": [{"delta": {"content": "Hel"}}]})
[TextDelta(text='Hel')]
>>> assembler.feed({"choices": [{"delta": {"content": "lo"}, "finish_reason": "stop"}]})
[TextDelta(text='lo')]
>>> assembler.finish().completion.message.content
'Hello'

```
"""

from __future__ import annotations

from sys import intern
from typing import TYPE_CHECKING, NoReturn

import msgspec

from tinyllm_actors.errors import MalformedResponse, StreamInterrupted
from tinyllm_actors.llm.answer import (
    DEFAULT_LIMITS,
    AnswerLimits,
    assistant_message,
    completion_from_wire,
    describe_broken_call,
    settled_reason,
    unique_call_id,
    whole_arguments,
)
from tinyllm_actors.llm.messages import FunctionCall, ToolCall
from tinyllm_actors.llm.model import Completed, Completion, ReasoningDelta, StreamEvent, TextDelta, ToolCallDelta
from tinyllm_actors.llm.wire import (
    WireAnswer,
    WireChoice,
    WireToolCall,
    arguments_of,
    as_list,
    as_object,
    convert_answer,
    count_of,
    extras_of,
    finish_reason_of,
    is_complete_json,
    text_of,
    usage_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinyllm_actors.llm.model import Usage

__all__ = ["AnswerLimits", "ChunkAssembler", "completion_from_wire"]


class _Call:
    """One tool call as far as it has arrived."""

    __slots__ = ("id", "name", "pieces", "size", "wire_id")

    def __init__(self, wire_id: str, call_id: str, name: str) -> None:
        self.wire_id = wire_id
        self.id = call_id
        self.name = name
        self.pieces: list[str] = []
        self.size = 0

    @property
    def arguments(self) -> str:
        if len(self.pieces) > 1:
            self.pieces = ["".join(self.pieces)]
        return self.pieces[0] if self.pieces else ""

    @property
    def is_whole(self) -> bool:
        return bool(self.pieces) and is_complete_json(self.arguments)


class ChunkAssembler:
    """Turn the chunks of one streamed answer into events, and at the end into the answer.

    Args:
        model: the name for errors and, if the provider gives none, for the completion.
        limits: how much is accepted.

    Attributes:
        started: part of the answer has arrived, so at least one event was returned.
    """

    __slots__ = (
        "_broken",
        "_by_index",
        "_calls",
        "_created",
        "_extra",
        "_finish_reason",
        "_id",
        "_ids",
        "_limits",
        "_logprobs",
        "_model",
        "_provider_model",
        "_reasoning",
        "_refusal",
        "_size",
        "_text",
        "_text_deltas",
        "_usage",
        "started",
    )

    def __init__(self, model: str = "", *, limits: AnswerLimits = DEFAULT_LIMITS) -> None:
        self.started = False
        self._broken: MalformedResponse | None = None
        """Why what came was refused; part of it may be among the calls, so there is no answer any more."""
        self._model = model
        self._limits = limits
        self._id = ""
        self._provider_model = ""
        self._created = 0
        self._text: list[str] = []
        self._text_deltas = 0
        self._reasoning: list[str] = []
        self._refusal: list[str] = []
        self._size = 0
        self._calls: dict[int, _Call] = {}
        self._by_index: dict[int, int] = {}
        self._ids: set[str] = set()
        self._logprobs: list[object] = []
        self._extra: dict[str, object] = {}
        self._usage: Usage | None = None
        self._finish_reason: str | None = None

    @property
    def partial(self) -> str:
        """The text that has arrived so far."""
        if len(self._text) > 1:
            self._text = ["".join(self._text)]
        return self._text[0] if self._text else ""

    @property
    def finish_reason(self) -> str | None:
        """Why the answer ended, as the provider put it; None while it goes on."""
        return self._finish_reason

    def feed(self, chunk: Mapping[str, object]) -> list[StreamEvent]:
        """Take one `chat.completion.chunk` as a dictionary and return what is new in it.

        Raises:
            MalformedResponse: it is of another shape, or beyond the limits.
            StreamInterrupted: it is an error in place of a chunk.
        """
        return self.feed_wire(convert_answer(chunk), chunk)

    def feed_wire(self, chunk: WireAnswer, raw: Mapping[str, object] | bytes = b"") -> list[StreamEvent]:
        """Take one decoded chunk; the fast path of an adapter that decodes the bytes itself.

        Args:
            chunk: what was decoded.
            raw: what it was decoded from; the extras of a last chunk are read from it.

        Raises:
            MalformedResponse: it is beyond the limits.
            StreamInterrupted: it is an error in place of a chunk.
        """
        if chunk.error:
            self._interrupt(f"the provider sent an error in the middle of the answer: {str(chunk.error)[:500]}")
        if not self._id:
            self._remember(chunk)
        events: list[StreamEvent] = []
        last = chunk.usage is not None
        if last:
            self._usage = usage_of(chunk.usage) or self._usage
        for choice in chunk.choices or ():
            if not choice.index:
                last = self._take(choice, events) or last
        if last:
            self._keep_extras(raw)
        if events:
            self.started = True
        return events

    def finish(self, *, ended: bool = False) -> Completed:
        """Return the whole answer, after the last chunk.

        Args:
            ended: the transport said that nothing is missing (`[DONE]`); then an answer without a reason to end is
                whole too.

        Raises:
            StreamInterrupted: the answer may be cut short: no reason to end came, or a tool call is incomplete.
            MalformedResponse: part of it was beyond the limits.
        """
        if self._broken is not None:
            raise self._broken
        reason = self._finish_reason
        if reason is None and not (ended and self.started):
            self._interrupt("the answer broke off before its end")
        if reason in ("error", "abort"):
            self._interrupt(f"the provider ended the answer with {reason!r}")
        calls: list[ToolCall] = []
        for _, call in sorted(self._calls.items()):
            arguments = whole_arguments(call.arguments)
            if arguments is None or not call.name:
                self._interrupt(describe_broken_call(call.name, reason), retryable=finish_reason_of(reason) != "length")
            calls.append(ToolCall(call.id, FunctionCall(intern(call.name), arguments)))
        extra = {**self._extra, "logprobs": {"content": self._logprobs}} if self._logprobs else self._extra
        return Completed(
            Completion(
                message=assistant_message(self.partial, calls, "".join(self._reasoning), "".join(self._refusal)),
                finish_reason=settled_reason(reason, calls),
                model=self._provider_model or self._model,
                id=self._id,
                created=self._created,
                usage=self._usage,
                extra=extra,
            )
        )

    # --- one choice ---

    def _take(self, choice: WireChoice, events: list[StreamEvent]) -> bool:
        """Note what is new in `choice`; tell whether it gives a reason to end."""
        reason = choice.finish_reason if choice.finish_reason not in ("", "null") else None
        delta = choice.delta
        if delta is None and not self.started:
            delta = choice.message  # a server that streams in one piece
        if delta is not None:
            if delta.content:
                self._take_content(delta.content, reason is not None, events)
            thought = delta.reasoning_content or delta.reasoning
            if thought and isinstance(thought, str):
                self._think(thought, events)
            if delta.refusal and isinstance(delta.refusal, str):
                self._grow(len(delta.refusal))
                self._refusal.append(delta.refusal)
            if delta.tool_calls:
                self._take_calls(delta.tool_calls, events)
        if choice.logprobs is not None and as_object(choice.logprobs):
            entries = choice.logprobs.get("content")
            if as_list(entries):
                self._grow(len(entries))
                self._logprobs.extend(entries)
        if reason is None:
            return False
        if self._finish_reason is None:
            self._finish_reason = str(reason)
        return True

    def _take_content(self, content: object, last: bool, events: list[StreamEvent]) -> None:
        text = content
        if not isinstance(text, str):
            text, thought = text_of(content)
            if thought:
                self._think(thought, events)
            if not text:
                return
        over = self._finish_reason is not None
        if (over or (last and self._text_deltas > 1)) and text == self.partial:
            return  # a summary after the end or with it, not an answer that says everything twice
        self._grow(len(text))
        self._text.append(text)
        self._text_deltas += 1
        events.append(TextDelta(text))

    def _think(self, text: str, events: list[StreamEvent]) -> None:
        self._grow(len(text))
        self._reasoning.append(text)
        events.append(ReasoningDelta(text))

    # --- tool calls ---

    def _take_calls(self, pieces: list[WireToolCall], events: list[StreamEvent]) -> None:
        touched: set[int] = set()
        for piece in pieces:
            known = len(self._calls)
            slot = self._slot_of(piece, touched)
            touched.add(slot)
            call = self._calls[slot]
            arguments = arguments_of(piece.function.arguments) if piece.function is not None else ""
            if arguments and self._repeats(call, arguments):
                arguments = ""
            if arguments:
                self._grow(len(arguments))
                call.size += len(arguments)
                if call.size > self._limits.max_argument_characters:
                    self._refuse(f"the arguments of tool call {call.name!r} are longer", "max_argument_characters")
                call.pieces.append(arguments)
            if arguments or len(self._calls) > known:
                events.append(ToolCallDelta(slot, call.id, call.name, arguments))

    def _repeats(self, call: _Call, arguments: str) -> bool:
        """Tell whether `arguments` say again, in a summary, what the call has already."""
        if self._finish_reason is None and not (arguments[0] == "{" and arguments == call.arguments):
            return False
        return call.is_whole

    def _slot_of(self, piece: WireToolCall, touched: set[int]) -> int:
        """Return the call that a piece belongs to; a new one if it starts one."""
        wire_id = piece.id if isinstance(piece.id, str) else ""
        name = (piece.function.name if piece.function is not None else None) or ""
        slot: int | None
        if piece.index is not None:
            slot = self._by_index.get(piece.index)
            # Some providers give each parallel call index 0 and an id of its own; others give each *piece* its own id.
            if slot is not None and wire_id and self._calls[slot].wire_id not in ("", wire_id):
                slot = None if self._is_another(slot, name) else slot
        elif wire_id:
            slot = next((s for s, call in self._calls.items() if call.wire_id == wire_id and s not in touched), None)
        elif self._finish_reason is not None:
            # A summary; its calls are in the order in which they were made.
            slot = next((s for s, call in self._calls.items() if call.name == name and s not in touched), None)
        else:
            slot = next(reversed(self._calls), None)
            if slot is not None and (slot in touched or self._is_another(slot, name)):
                slot = None
        if slot is None:
            return self._open_call(piece.index, wire_id, name)
        call = self._calls[slot]
        if name and name != call.name and not call.pieces:
            call.name += name  # the name comes in pieces
        return slot

    def _is_another(self, slot: int, name: str) -> bool:
        call = self._calls[slot]
        return bool(name) and (name != call.name or call.is_whole)

    def _open_call(self, index: int | None, wire_id: str, name: str) -> int:
        if len(self._calls) >= self._limits.max_tool_calls:
            self._refuse("the answer has more tool calls", "max_tool_calls")
        slot = index if index is not None and index not in self._calls else max(self._calls, default=-1) + 1
        if index is not None:
            self._by_index[index] = slot
        self._calls[slot] = _Call(wire_id, unique_call_id(wire_id, self._id, slot, self._ids), name)
        return slot

    # --- bookkeeping ---

    def _remember(self, chunk: WireAnswer) -> None:
        if isinstance(chunk.id, str):
            self._id = chunk.id
        if isinstance(chunk.model, str) and not self._provider_model:
            self._provider_model = chunk.model
        self._created = self._created or count_of(chunk.created)

    def _keep_extras(self, raw: Mapping[str, object] | bytes) -> None:
        body: object = raw
        if isinstance(raw, bytes):
            try:
                body = msgspec.json.decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return  # what the fields of a chunk do not need was never looked at
        if as_object(body):
            self._extra.update(extras_of(body))

    def _grow(self, characters: int) -> None:
        self._size += characters
        if self._size > self._limits.max_characters:
            self._refuse("the answer is longer", "max_characters")

    def _refuse(self, what: str, limit: str) -> NoReturn:
        self._broken = MalformedResponse(
            f"{what} than {limit}={getattr(self._limits, limit)} allows",
            retryable=False,
            output_started=self.started,
            partial=self.partial,
            model=self._model or None,
        )
        raise self._broken

    def _interrupt(self, message: str, *, retryable: bool | None = None) -> NoReturn:
        raise StreamInterrupted(
            message,
            retryable=retryable,
            output_started=self.started,
            partial=self.partial,
            model=self._model or None,
        )
