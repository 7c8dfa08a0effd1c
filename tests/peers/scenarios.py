"""What goes wrong in a turn of an agent, played in the same way with everybody; needs nothing but anyio.

A turn begins with "Go."; whatever comes of it, the user then says "And now?", which shows what the turn left behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import anyio
import anyio.lowlevel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

__all__ = ["BUDGET", "SCENARIOS", "Chat", "Scenario", "Tools"]

PATIENCE = 6.0
"""Seconds that the user waits, where the scenario does not say."""

BUDGET = 1_000
"""Tokens that a turn may use, where the scenario is about that."""


class Chat(Protocol):
    """One conversation with somebody's agent, which remembers in the way that its documentation shows."""

    async def turn(self, content: str) -> str:
        """Say something. Returns `"an answer"`, or the name of the error."""
        ...

    async def stream(self, content: str, on_piece: Callable[[], Awaitable[bool]]) -> str:
        """The same, with the answer as it comes; leaves when `on_piece` returns False."""
        ...


class Tools:
    """The tools of the agent, and what has become of them."""

    def __init__(self) -> None:
        self.slow_began = anyio.Event()
        self.quick_ended = anyio.Event()
        self.slow_cancelled = False
        self.places = 0

    async def raises(self) -> str:
        """Look something up."""
        raise ConnectionError("the database is down")

    async def never(self) -> str:
        """Wait for something."""
        await anyio.sleep_forever()
        return ""

    async def huge(self) -> str:
        """Read a file."""
        return "x" * 10_000_000

    async def quick(self) -> str:
        """Book a flight."""
        self.quick_ended.set()
        return "booked as 17"

    async def slow(self) -> str:
        """Book a hotel."""
        self.slow_began.set()
        try:
            await anyio.sleep_forever()
        except BaseException:
            self.slow_cancelled = True
            raise
        return ""

    async def look(self) -> str:
        """Look around."""
        return "nothing new"

    async def wander(self) -> str:
        """Go somewhere else."""
        self.places += 1
        return f"place {self.places}"

    def all(self) -> list[Callable[[], Coroutine[Any, Any, str]]]:
        """Return them."""
        return [self.raises, self.never, self.huge, self.quick, self.slow, self.look, self.wander]


async def _patiently(call: Coroutine[Any, Any, str], patience: float = PATIENCE) -> str:
    ended = ""
    with anyio.move_on_after(patience) as scope:
        ended = await call
    return f"nothing for {patience:g} s, no end in sight" if scope.cancelled_caught else ended


async def plain(chat: Chat, tools: Tools) -> str:
    """Say it, and wait."""
    return await _patiently(chat.turn("Go."))


async def very_patient(chat: Chat, tools: Tools) -> str:
    """Say it, and wait for long."""
    return await _patiently(chat.turn("Go."), 60.0)


async def streamed(chat: Chat, tools: Tools) -> str:
    """Say it, and read to the end."""

    async def go_on() -> bool:
        return True

    return await _patiently(chat.stream("Go.", go_on))


async def left(chat: Chat, tools: Tools) -> str:
    """Say it, read a bit, and leave."""

    async def leave() -> bool:
        return False

    await _patiently(chat.stream("Go.", leave))
    return "the reader leaves"


async def cancelled(chat: Chat, tools: Tools) -> str:
    """Say it, and cancel while one of two tools has ended and the other works."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(chat.turn, "Go.")
        with anyio.move_on_after(PATIENCE):
            await tools.slow_began.wait()
            await tools.quick_ended.wait()
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    await anyio.sleep(0.05)
    return "the tool at work is cancelled" if tools.slow_cancelled else "the tool at work goes on"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing that goes wrong.

    Attributes:
        title: of the row.
        calls: the tools that the model asks for when it hears "Go."; without, it is the server that does something.
        play: what the user does; returns how it ended.
        forever: the model asks for the same again and again, as long as it is offered tools.
        budget: the turn may use `BUDGET` tokens.
    """

    title: str
    calls: tuple[str, ...] = ()
    play: Callable[[Chat, Tools], Coroutine[Any, Any, str]] = plain
    forever: bool = False
    budget: bool = False


SCENARIOS = {
    "raises": Scenario("a tool raises", ("raises",)),
    "never": Scenario("a tool never returns", ("never",)),
    "huge": Scenario("a tool returns 10 MB", ("huge",)),
    "cancelled": Scenario("the turn is cancelled; one of two tools has ended", ("quick", "slow"), cancelled),
    "dropped": Scenario("the server drops the stream", play=streamed),
    "silent": Scenario("the server is silent once", play=plain),
    "left": Scenario("the reader leaves in the middle", play=left),
    "budget": Scenario("the token budget ends", ("wander",), very_patient, forever=True, budget=True),
    "loop": Scenario("a tool loop without end", ("look",), very_patient, forever=True),
}


async def play(name: str, chat: Chat, tools: Tools) -> dict[str, str]:
    """Play one scenario, and return how both turns ended."""
    first = await SCENARIOS[name].play(chat, tools)
    return {"first": first, "second": await _patiently(chat.turn("And now?"))}
