"""Ask another agent: one that is there, or one that is made for the occasion."""

from __future__ import annotations

from contextlib import asynccontextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, Final, cast

import anyio

from tinyllm_actors.agent.events import RunFinished
from tinyllm_actors.errors import ActorError
from tinyllm_actors.function import FunctionRef, failure
from tinyllm_actors.kernel import ActorRef
from tinyllm_actors.kernel.context import ActorContext
from tinyllm_actors.kernel.envelope import CURRENT

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from tinyllm_actors.function import Result
    from tinyllm_actors.kernel import ChildSpec

__all__ = ["ask_member", "open_member"]

_NUMBERS: Final = count(1)


@asynccontextmanager
async def open_member(target: ActorRef | ChildSpec) -> AsyncGenerator[FunctionRef]:
    """Open the way to an agent; one that is made from a spec is a child of the actor at work, until the block ends.

    Raises:
        RuntimeError: it is a spec, and no actor is at work here.
        StartFailed: it did not start.
    """
    if isinstance(target, ActorRef):
        yield cast("FunctionRef", target)
        return
    current = CURRENT.get()
    if current is None or current.context is None:
        raise RuntimeError(f"{target!r} can be made inside of an actor only")
    ref: FunctionRef = await ActorContext(current.receiver).spawn(
        target, name=f"{target.name or target.label}~{next(_NUMBERS)}"
    )
    try:
        yield ref
    finally:
        with anyio.CancelScope(shield=True):  # bounded: it has no call any more
            await ref.stop(timeout=0)


async def ask_member(
    target: FunctionRef, arguments: Mapping[str, Any], tell: Callable[[Any], Awaitable[None]] | None
) -> Result:
    """Ask an agent, and tell its events, but for the last, to whoever listens."""
    if tell is None:
        return await target.within(None)(**arguments)
    try:
        async with target.within(None).stream(**arguments) as stream:
            async for event in stream:
                if isinstance(event, RunFinished):
                    return event.result
                await tell(event)
    except ActorError as error:
        return failure(error, state="DELIVERY")
    raise RuntimeError(f"{target.path!r} is no agent: its stream has no end that says how it went")
