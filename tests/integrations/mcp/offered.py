"""What the tests offer to MCP clients; as a program, over its standard input and output.

python offered.py [asyncio|uvloop|trio]
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator
from typing import Any

import anyio
from pydantic import BaseModel

from tinyllm_actors import ActorSystem, Agent, Function, FunctionStream
from tinyllm_actors.integrations.mcp import McpService, expose
from tinyllm_actors.testing import ScriptedModel, text
from tinyllm_actors.tool import ToolContext

CANCELLED: list[str] = []
"""What was cancelled, as far as it got."""


class Number(BaseModel):
    n: int


class Double(Function):
    """Double a number.

    It is multiplied by two.
    """

    input_validator = Number

    async def run(self, n: int) -> dict[str, int]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return {"n": 2 * n}


class Count(FunctionStream):
    """Count."""

    async def run(self, to: int) -> AsyncGenerator[int]:  # pyright: ignore[reportIncompatibleMethodOverride]
        for number in range(to):
            if number == 5:
                raise ValueError("cannot count beyond five")
            yield number


async def wait(context: ToolContext) -> None:
    """Wait for ever."""
    context.report("waiting")
    try:
        await anyio.sleep_forever()
    except BaseException:
        CANCELLED.append("wait")
        raise


async def cancelled() -> list[str]:
    """Tell what was cancelled."""
    return CANCELLED


async def crash() -> None:
    """End the process, or try."""
    raise SystemExit


async def loud(words: str) -> str:
    """Print."""
    sys.stdout.write(words)
    sys.stdout.flush()
    return words


async def die() -> None:
    """Be killed."""
    os.kill(os.getpid(), 9)


def service(**options: Any) -> McpService:
    """Return the service."""
    model = ScriptedModel([text("It is sunny.")])
    assistant = Agent.spec(model=model).named("assistant")
    talk = expose(assistant, description="Ask the assistant.")
    return McpService("offered", [Double, Count, wait, cancelled, crash, loud, die, talk], **options)


async def main() -> None:
    """Serve."""
    async with ActorSystem("offered") as system:
        await service().serve_stdio(system)


if __name__ == "__main__":
    backend = sys.argv[1]
    loop: dict[str, Any] = {"backend": backend}
    if backend == "uvloop":
        loop = {"backend": "asyncio", "backend_options": {"use_uvloop": True}}
    anyio.run(main, **loop)
