"""A Function with all its validators, and what a call of one goes through."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from tinyllm_actors import ActorSystem, Function
from tinyllm_actors.kernel import Transition


class Number(BaseModel):
    n: int


class Double(Function):
    input_validator = Number
    output_validator = Number
    processed_output_validator = Number

    async def run(self, n: int, **rest: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return {"n": 2 * n}


async def states_of(function: Any, **arguments: Any) -> tuple[Any, list[str]]:
    """Call a Function and return its dictionary with the states it went through."""
    async with ActorSystem("test") as system, system.events(Transition) as events:
        ref = await system.spawn(function)
        result = await ref(**arguments)
        seen: list[str] = []
        while (event := events.receive_nowait()) is not None:
            if event.machine == "function" and event.path == ref.path:
                seen.append(event.target)
        return result, seen
