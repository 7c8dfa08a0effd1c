"""Conversations that outlive their process: a chat that is killed and goes on, an approval, and a reminder.

python examples/08_conversations.py [--model scripted|local|openai/gpt-4o-mini] [--backend asyncio|uvloop|trio]
"""

import argparse
import sys
import tempfile
from typing import Any

import anyio

from tinyllm_actors import ActorSystem, Agent, answer_text, tool
from tinyllm_actors.agent import ApprovalRequested
from tinyllm_actors.conversation import TurnAccepted
from tinyllm_actors.integrations.local_model import LocalModel
from tinyllm_actors.llm import ChatModel
from tinyllm_actors.testing import ScriptedModel, hang, text, tool_call

ROLE = "You keep somebody company, and you pay their bills with the tool pay when they ask for it."


@tool(requires_approval=True)
async def pay(amount: int, to: str) -> str:
    """Pay somebody."""
    return f"paid {amount} to {to}"


def choose_model(name: str, *steps: Any) -> str | ChatModel:
    if name == "local" and (reason := LocalModel.available()):
        print(f"{reason}; a scripted model answers instead", file=sys.stderr)
        name = "scripted"
    return ScriptedModel(steps) if name == "scripted" else name


def said(result: Any) -> str:
    return answer_text(result) if result["status"] == "success" else str(result)


async def main(model: str, store: str) -> None:
    # The process ends in the middle of a turn. The message was acknowledged, so it is answered, whatever happens.
    async with ActorSystem("monday") as system:
        spec = Agent.spec(model=choose_model(model, hang()), system_role=ROLE, tools=[pay])
        chats = await system.conversations(spec, store=store)
        async with chats["user/ada"].stream("Hello, I am Ada.", turn_id="t1") as events:
            assert isinstance(await events.receive(), TurnAccepted)
        await chats.kill()

    steps = [text("Hello Ada."), tool_call("pay", amount=5, to="Bob"), text("Bob has his 5."), text("Time to rest.")]
    async with ActorSystem("tuesday") as system:
        spec = Agent.spec(model=choose_model(model, *steps), system_role=ROLE, tools=[pay])
        chats = await system.conversations(spec, store=store)
        ada = chats["user/ada"]
        print("sent again, answered once:", said(await ada("Hello, I am Ada.", turn_id="t1")))

        # A call that waits for a person may wait for days, over any number of processes.
        async with ada.stream("Pay Bob 5.", turn_id="t2") as events:
            async for event in events:
                if isinstance(event, ApprovalRequested):
                    print("to be approved:", event.request.name, event.request.arguments)
                    await ada.approve(event.request.call_id)
        print("approved:", said(await ada("Pay Bob 5.", turn_id="t2")))

        await ada.remind("Remind me to rest.", after=0.1, timer_id="rest")
        while len(turns := [entry.turn_id for _, entry in await ada.user_entries()]) < 3:  # noqa: ASYNC110 - from outside
            await anyio.sleep(0.05)
        print("reminded:", said(await ada("Remind me to rest.", turn_id=turns[-1])))
        print(f"{len(await ada.history())} messages,", [summary.key for summary in await chats.list("user/")])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="local", help="local, scripted, or a name such as openai/gpt-4o-mini")
    parser.add_argument("--backend", default="asyncio", choices=["asyncio", "uvloop", "trio"])
    given = parser.parse_args()
    loop: dict[str, Any] = {"backend": given.backend}
    if given.backend == "uvloop":
        loop = {"backend": "asyncio", "backend_options": {"use_uvloop": True}}
    with tempfile.TemporaryDirectory() as folder:
        anyio.run(main, given.model, f"sqlite:///{folder}/chats.db", **loop)
