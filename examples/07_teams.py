"""Teams of agents: a supervisor with workers, a round of speakers, a debate, and one that hands over to another.

python examples/07_teams.py [--model scripted|local|openai/gpt-4o-mini|…] [--backend asyncio|uvloop|trio]
"""

import argparse
from itertools import cycle, islice
from typing import Any

import anyio

from tinyllm_actors import ActorSystem, Agent, answer_text, tool
from tinyllm_actors.agent import HandedOff, RunFinished, ToolFinished, ToolStarted, as_tool, handoff
from tinyllm_actors.function import FunctionRef, Result
from tinyllm_actors.kernel import ChildSpec
from tinyllm_actors.llm import ChatModel, ChatRequest
from tinyllm_actors.testing import ScriptedModel, text, tool_call, tool_calls


class Cast:
    """Who plays which part: the same model for all, or a script for each."""

    def __init__(self, model: str) -> None:
        self.model = model

    def member(self, name: str, role: str, *script: Any, **options: Any) -> ChildSpec:
        model: str | ChatModel = ScriptedModel(script, name=name) if self.model == "scripted" else self.model
        return Agent.spec(model=model, system_role=role, name=name, **options).named(name)


def said(result: Result) -> str:
    if result["status"] == "error":
        return f"({result['message']})"
    return answer_text(result)


def known_fact(request: ChatRequest) -> Any:
    return text("Oslo has 700,000 people." if "Oslo" in str(request.messages[-1].content) else "Rome has 2.7 million.")


async def supervisor_and_workers(system: ActorSystem, cast: Cast) -> None:
    """One agent divides the work: others are its tools, a new one for each call, side by side, inside its limits."""
    researcher = cast.member("researcher", "You find facts.", known_fact, known_fact)
    boss = cast.member(
        "boss",
        "You divide a task among your tools, and put together what they found.",
        tool_calls(
            ("ask_researcher", {"content": "How many people has Oslo?"}),
            ("ask_researcher", {"content": "How many people has Rome?"}),
        ),
        text("Rome is the larger one."),
        tools=[as_tool(researcher, description="Finds one fact. Ask it several at once.", max_result_chars=2_000)],
        max_steps=8,  # model calls of the whole team
        max_depth=2,  # and workers have no workers
    )
    agent = await system.spawn(boss)
    async with agent.stream(content="Which is larger, Oslo or Rome?") as events:
        async for event in events:
            if isinstance(event, ToolStarted):
                print("  asked:", event.arguments)
            elif isinstance(event, ToolFinished):
                print("  found:", event.outcome.content)
            elif isinstance(event, RunFinished):
                print("  boss:", said(event.result))


async def round_of_speakers(system: ActorSystem, cast: Cast) -> None:
    """Each in turn goes on from what the one before said, and remembers its part of the conversation."""
    writer = cast.member("writer", "You write a slogan.", text("Tea: hot."), text("Tea: a warm word."))
    critic = cast.member("critic", "You name one weakness.", text("It is cold."), text("Now it is fine."))
    speakers = [await system.spawn(spec) for spec in (writer, critic)]
    word = "A slogan for tea, please."
    for speaker in islice(cycle(speakers), 4):
        word = said(await speaker(content=word))
        print(f"  {speaker.name}: {word}")


async def debate(system: ActorSystem, cast: Cast) -> None:
    """Two argue at the same time, round by round, each against what the other said; a third one decides."""
    pro = await system.spawn(cast.member("pro", "Argue for it.", text("It is quick."), text("It can be built.")))
    con = await system.spawn(cast.member("con", "Argue against it.", text("It is dear."), text("Who pays?")))
    judge = await system.spawn(cast.member("judge", "Say who argued better.", text("Against: nobody said who pays.")))
    words = dict.fromkeys(["pro", "con"], "Should the town build a tram?")
    protocol: list[str] = []

    async def speak(agent: FunctionRef, heard: str) -> None:
        words[agent.name] = said(await agent(content=heard))

    for _ in range(2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(speak, pro, words["con"])
            tasks.start_soon(speak, con, words["pro"])
        protocol += [f"{name}: {word}" for name, word in sorted(words.items(), reverse=True)]
    print(*(f"  {line}" for line in protocol), sep="\n")
    print("  judge:", said(await judge(content="\n".join(protocol))))


@tool
async def open_invoices(customer: str) -> list[str]:
    """List what a customer has not paid yet."""
    return [f"invoice 17 of {customer}: 40 EUR"]


async def hand_over(system: ActorSystem, cast: Cast) -> None:
    """The one that took the question lets another answer it, in the same stream; it remembers what that one said."""
    billing = cast.member(
        "billing",
        "You answer questions about money.",
        tool_call("open_invoices", customer="Elias"),
        text("You owe 40 EUR."),
        tools=[open_invoices],
    )
    front = cast.member(
        "front",
        "You greet, and hand questions about money over.",
        tool_call("transfer_to_billing", message="The customer is Elias."),
        tools=[handoff(billing, description="For questions about money.", history="run")],
    )
    agent = await system.spawn(front)
    async with agent.stream(content="Elias here. What do I owe?") as events:
        async for event in events:
            if isinstance(event, HandedOff):
                print("  goes on:", event.agent.rpartition("/")[2].partition("~")[0])
            elif isinstance(event, RunFinished):
                print("  answer:", said(event.result))


async def main(model: str) -> None:
    cast = Cast(model)
    for team in (supervisor_and_workers, round_of_speakers, debate, hand_over):
        print(f"# {team.__name__.replace('_', ' ')}")
        async with ActorSystem("team") as system:
            await team(system, cast)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="scripted", help="scripted, local, or a name such as openai/gpt-4o-mini")
    parser.add_argument("--backend", default="asyncio", choices=["asyncio", "uvloop", "trio"])
    given = parser.parse_args()
    loop: dict[str, Any] = {"backend": given.backend}
    if given.backend == "uvloop":
        loop = {"backend": "asyncio", "backend_options": {"use_uvloop": True}}
    anyio.run(main, given.model, **loop)
