"""Tools: what the model is told of a function, limits, a person's approval, and a crash that harms nobody.

python examples/05_tools.py [--backend asyncio|uvloop|trio]
"""

import argparse
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any, Literal

import anyio

from tinyllm_actors import ActorSystem, Toolkit, tool
from tinyllm_actors.errors import ToolRetry
from tinyllm_actors.tool import Decision, ToolContext, ToolProgress, ToolRequest
from tinyllm_actors.tool.builtin import code_interpreter, sandbox_status, think_and_plan


@tool(timeout=5.0, retries=2, idempotent=True, rate_limit=(100, 60.0))
async def forecast(city: str, days: Annotated[int, "1 to 7"] = 1, unit: Literal["C", "F"] = "C") -> dict[str, Any]:
    """Look up the weather.

    Args:
        city: its English name.
        days: how far ahead.
        unit: of the temperatures.
    """
    if city == "Atlantis":
        raise ToolRetry("there is no such city; ask for another one")
    return {"city": city, "days": days, "temperature": {"C": 21, "F": 70}[unit]}


# A person decides about large sums; the key makes a payment that is sent twice one payment.
@tool(requires_approval=lambda arguments: arguments["amount"] > 100, sequential=True)
async def pay(amount: int, to: str, context: ToolContext) -> str:
    """Pay somebody."""
    return f"paid {amount} to {to}, once for {context.idempotency_key}"


@tool
async def export(table: str) -> AsyncIterator[str]:
    """Export a table, and tell how far it is."""
    for part in ("half", "all"):
        await anyio.lowlevel.checkpoint()
        yield f"{part} of {table}"


# In a process of its own it may do what it likes to that process.
@tool(isolate="process", timeout=20.0, concurrency=2)
def read_scan(name: str) -> str:
    """Read a scanned page with a library that crashes on some."""
    if name == "broken":
        os.abort()
    return f"the text of {name}"


async def main() -> None:
    tools = [forecast, pay, export, read_scan, think_and_plan, code_interpreter]
    kit = Toolkit(tools, max_concurrency=4)
    print("the model is told:", forecast.description, forecast.parameters["properties"]["days"])

    async with ActorSystem("tools") as system:
        toolkit = await system.spawn(kit, name="toolkit")

        async def run(*calls: ToolRequest) -> None:
            result = await toolkit.within(None)(calls=list(calls))
            for outcome in result["output"]["outcomes"]:
                print(f"{outcome.name}: {outcome.content}")

        print("\n# One turn of the model: each call has its outcome, in order, whatever happens to it")
        await run(
            ToolRequest("1", "forecast", '{"city": "Oslo", "days": "3"}'),
            ToolRequest("2", "forecast", '{"town": "Oslo"}'),
            ToolRequest("3", "forecast", '{"city": "Atlantis"}'),
            ToolRequest("4", "read_scan", '{"name": "broken"}'),
            ToolRequest("5", "read_scan", '{"name": "page 1"}'),
            ToolRequest("6", "code_interpreter", '{"code": "sum(range(101))"}'),
        )

        print("\n# Approval is data: questions to keep, decisions to hand back with the calls")
        calls = [
            ToolRequest("7", "pay", '{"amount": 20, "to": "Ada"}', idempotency_key="turn-1/7"),
            ToolRequest("8", "pay", '{"amount": 500, "to": "Ada"}', idempotency_key="turn-1/8"),
            ToolRequest("9", "pay", '{"amount": 900, "to": "Bob"}', idempotency_key="turn-1/9"),
        ]
        for question in kit.approvals(calls):
            print(f"asked: {question.name}({question.arguments})?")
        decisions = {"8": Decision.edit('{"amount": 50, "to": "Ada"}'), "9": Decision.deny("Bob is paid by cheque")}
        await run(*(replace(call, decision=decisions.get(call.call_id)) for call in calls))

        print("\n# A stream tells what happens meanwhile")
        async with toolkit.stream(calls=[ToolRequest("10", "export", '{"table": "users"}')]) as events:
            async for event in events:
                if isinstance(event, ToolProgress):
                    print("progress:", event.progress)

    held = await sandbox_status()
    print("\ncode of the model is kept from:", ", ".join(held) or "nothing on this system; see the module's docstring")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="asyncio", choices=["asyncio", "uvloop", "trio"])
    given, _ = parser.parse_known_args()
    loop: dict[str, Any] = {"backend": given.backend}
    if given.backend == "uvloop":
        loop = {"backend": "asyncio", "backend_options": {"use_uvloop": True}}
    anyio.run(main, **loop)
