"""Read a streamed answer: bytes in, events out. Pure: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tinyllm_actors.errors import MalformedResponse, ModelError
from tinyllm_actors.integrations.openai_compatible.failures import failure_of_event, read_complaint
from tinyllm_actors.llm.assembly import ChunkAssembler
from tinyllm_actors.llm.model import Completed, ReasoningDelta, TextDelta, ToolCallDelta
from tinyllm_actors.llm.sse import DONE, EventStreamParser
from tinyllm_actors.llm.wire import as_object, decode_answer

if TYPE_CHECKING:
    from tinyllm_actors.llm.answer import AnswerLimits
    from tinyllm_actors.llm.model import Completion, StreamEvent

__all__ = ["EventReader", "events_of"]


class EventReader:
    """Turn the bytes of an event stream into the events of one answer.

    Args:
        model: the name for errors.
        limits: how much is accepted.

    Attributes:
        ended: nothing more is to be read: the provider said so, or what it sent cannot be understood.
    """

    __slots__ = ("_assembler", "_failure", "_model", "_parser", "ended")

    def __init__(self, model: str, limits: AnswerLimits) -> None:
        self.ended = False
        self._failure: ModelError | None = None
        self._model = model
        self._parser = EventStreamParser()
        self._assembler = ChunkAssembler(model, limits=limits)

    @property
    def started(self) -> bool:
        """Part of the answer has arrived."""
        return self._assembler.started

    @property
    def partial(self) -> str:
        """The text that has arrived."""
        return self._assembler.partial

    @property
    def complete(self) -> bool:
        """The answer itself has ended, though what belongs to it (the usage) may still come."""
        return self._assembler.finish_reason is not None

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Take the next bytes and return what is new in them.

        An error, something that is no chunk, or too much of it, ends the stream behind the events that came before
        it, however the bytes were cut into pieces: `finish()` raises it.
        """
        found: list[StreamEvent] = []
        if self.ended:
            return found
        try:
            try:
                payloads = self._parser.feed(data)
            except MalformedResponse as error:
                self._failure = error
                self.ended = True
                payloads = self._parser.rescued
            for payload in payloads:
                if payload == DONE:
                    self.ended = True
                    self._failure = None  # whatever comes behind the end
                    break
                if not payload:
                    continue
                chunk = decode_answer(payload)
                if chunk.error or chunk.choices is None:
                    self._check(payload)
                found += self._assembler.feed_wire(chunk, payload)
        except ModelError as error:
            self._failure = error
            self.ended = True
        return found

    def finish(self) -> Completed:
        """Return the whole answer.

        Raises:
            StreamInterrupted: it may be cut short.
            ModelError: the provider sent an error, or something that is no chunk, or too much.
        """
        if self._failure is not None and not self.complete:
            raise self._failure
        return self._assembler.finish(ended=self.ended)

    def _check(self, payload: bytes) -> None:
        """Raise if what is no chunk is an error; anything else, such as a ping, is read over."""
        try:
            said: object = msgspec.json.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return  # what the fields of a chunk do not need is broken
        if not as_object(said):
            return
        if (
            said.get("error")
            or said.get("message")
            or said.get("detail")
            or "error" in (said.get("type"), said.get("object"))
        ):
            raise failure_of_event(read_complaint(said), model=self._model, started=self.started)


def events_of(completion: Completion) -> list[StreamEvent]:
    """Return the events of an answer that came whole."""
    message = completion.message
    events: list[StreamEvent] = []
    if message.reasoning_content:
        events.append(ReasoningDelta(message.reasoning_content))
    if message.content:
        events.append(TextDelta(message.content))
    events += [ToolCallDelta(i, call.id, call.name, call.arguments) for i, call in enumerate(message.tool_calls)]
    events.append(Completed(completion))
    return events
