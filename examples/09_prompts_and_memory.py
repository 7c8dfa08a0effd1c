"""What an agent knows: examples that are like the question, facts, a summary of what was said, and what fits.

python examples/09_prompts_and_memory.py [--model scripted|local|openai/gpt-4o-mini|…] [--backend asyncio|uvloop|trio]
"""

import argparse
from datetime import UTC, datetime
from typing import Any

import anyio

from tinyllm_actors import ActorSystem, Agent, ExampleManager, ExampleSelector, PromptManager, answer_text
from tinyllm_actors.kernel import ChildSpec
from tinyllm_actors.llm import LLM, ChatModel, Embedder
from tinyllm_actors.memory import CompositeMemory, SemanticMemory, SummaryMemory
from tinyllm_actors.prompting import Template, extract_block, without_numbers
from tinyllm_actors.testing import HashEmbeddings, ScriptedModel, text

FACTS = ["The shop opens at nine and closes at six.", "Returns are free for thirty days.", "We have no shop in Oslo."]
EXAMPLES = [
    ("Can I send it back?", "<answer>Yes, for thirty days.</answer>"),
    ("When does the shop open?", "<answer>At nine.</answer>"),
    ("Do you sell tea?", "<answer>Yes: green, black and white.</answer>"),
]
QUESTIONS = ["When does the shop close?", "Is sending back free?", "And is there a shop in Oslo?"]


def choose_models(name: str) -> tuple[str | ChatModel, str | ChatModel, ChildSpec]:
    """Return what answers, what writes summaries, and what makes vectors."""
    if name != "scripted":
        return name, name, Embedder.spec("local")
    answers = ["At six.", "Yes, for thirty days.", "1. No.\n2. We send it to you."]
    model = ScriptedModel([text(f"<answer>{answer}</answer>") for answer in answers])
    summary = ScriptedModel([text("The shop closes at six.")], name="summary")
    return model, summary, Embedder.spec(HashEmbeddings(dimensions=1_024))


async def main(model: str) -> None:
    answering, summarising, embedder = choose_models(model)
    # What the model is shown is a pure function: it can be looked at without asking anybody.
    manager = PromptManager(
        system_role=Template("You answer for {shop}.").render(shop="Ada's tea shop"),
        answer_format="<answer>…</answer>, as short as possible",
        example_manager=ExampleManager(
            constant_examples=EXAMPLES[:1],
            example_selector=ExampleSelector.spec(EXAMPLES[1:], embedder, k=1, threshold=0.1),
        ),
        time_aware=True,
        clock=lambda: datetime(2026, 5, 4, 12, 30, tzinfo=UTC),  # of the system, if you leave it out
        context_window=8_192,
        max_tokens=200,
    )
    print(manager.preview(QUESTIONS[0], examples=EXAMPLES[1:2]).render())

    # Facts are found by what they are about; of the conversation the newest stay, and the rest is summarised.
    remembers = CompositeMemory.spec(
        {
            "facts": SemanticMemory.spec(embedder, facts=FACTS, buffer_size=1, k=1, threshold=0.1),
            "conversation": SummaryMemory.spec(LLM.spec(summarising), buffer_size=4, keep=2),
        },
    )
    async with ActorSystem("shop") as system:
        memory = await system.spawn(remembers, name="memory")  # shared, so that we can look into it
        agent = await system.spawn(Agent.spec(name="Shop", model=answering, prompt_manager=manager, memory=memory))
        for question in QUESTIONS:
            said = answer_text(await agent(content=question))
            answer = extract_block(said, "answer") or said
            print(f"\n{question}\n  {' '.join(without_numbers(answer))}")
        print("\nWhat the agent remembers:")
        remembered: Any = await memory()
        for message in remembered["output"]["memories"]:
            print(f"  {str(message.content)!r:.100}")
        if isinstance(answering, ScriptedModel):
            print("\nWhat the model was shown last:")
            for message in answering.requests[-1].messages:
                print(f"  {type(message).__name__}: {str(message.content)!r:.100}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="scripted")
    parser.add_argument("--backend", default="asyncio", choices=["asyncio", "uvloop", "trio"])
    given = parser.parse_args()
    loop: dict[str, Any] = {"backend": given.backend}
    if given.backend == "uvloop":
        loop = {"backend": "asyncio", "backend_options": {"use_uvloop": True}}
    anyio.run(main, given.model, **loop)
