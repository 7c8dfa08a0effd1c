"""Follow up on what the model chose."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import msgspec

from tinyllm_actors.integrations.local_model.conversation import canonical_call
from tinyllm_actors.integrations.local_model.reply import ReplyReader
from tinyllm_actors.llm.model import Completed, TextDelta, Usage

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
    from collections.abc import Set as AbstractSet

    from tinyllm_actors.llm.model import Completion, StreamEvent

__all__ = ["chosen"]


async def chosen(
    said: AsyncIterator[StreamEvent],
    repeated: AbstractSet[tuple[str, str]],
    ask_for_answer: Callable[[], Awaitable[Completion]],
) -> AsyncGenerator[StreamEvent, None]:
    """Yield an answer as it grows, or a tool call as it becomes known.

    Small models ask for what they have been told already. Such a call is not passed on; the model is made to answer.

    Args:
        said: the reply, as JSON text.
        repeated: the calls whose results the model has, see `canonical_call`.
        ask_for_answer: asks the same again, without tools.
    """
    reader = ReplyReader(f"call_{secrets.token_hex(8)}")
    held: list[StreamEvent] = []
    async for event in said:
        if isinstance(event, TextDelta):
            new = reader.feed(event.text)
            if reader.naming and repeated:
                held += new  # until the arguments tell whether it is a repetition
            else:
                for one in new:
                    yield one
        elif isinstance(event, Completed):
            completion = event.completion
            if reader.call is not None and canonical_call(reader.call.name, reader.call.arguments) in repeated:
                answer = await ask_for_answer()
                if answer.message.content:
                    yield TextDelta(answer.message.content)
                yield Completed(msgspec.structs.replace(answer, usage=_sum(completion.usage, answer.usage)))
            else:
                for one in held:
                    yield one
                yield Completed(reader.finish(completion))


def _sum(first: Usage | None, second: Usage | None) -> Usage | None:
    if first is None or second is None:
        return first or second
    return Usage(
        first.prompt_tokens + second.prompt_tokens,
        first.completion_tokens + second.completion_tokens,
        first.total_tokens + second.total_tokens,
        cached_tokens=first.cached_tokens + second.cached_tokens,
        reasoning_tokens=first.reasoning_tokens + second.reasoning_tokens,
    )
