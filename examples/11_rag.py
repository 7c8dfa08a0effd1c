"""Ask the library about itself: index some of its code, and answer with citations that are checked.

python examples/11_rag.py [--model local|scripted|openai/gpt-4o-mini] [--backend asyncio|uvloop|trio] [QUESTION …]
"""

import argparse
import re
from pathlib import Path
from typing import Any

import anyio

import tinyllm_actors
from tinyllm_actors import ActorSystem
from tinyllm_actors.agent import Rag
from tinyllm_actors.llm import ChatRequest, Embedder
from tinyllm_actors.retrieval import Chunker, Ingest, MemoryVectorStore, Retriever, VectorIndex
from tinyllm_actors.testing import ScriptedModel, text

ROOT = Path(tinyllm_actors.__file__).parent  # where the package is installed, whichever way
PATHS = ["kernel/mailbox.py", "retrieval"]
QUESTIONS = ["What happens when a mailbox is full?", "How is an index kept in step with a folder?"]


def quote_the_first(request: ChatRequest) -> Any:
    # For tests: what a model could say, with words that are really in the first source.
    prompt = str(request.messages[-1].content)
    found = re.search(r"\[1\][^\n]*\n.*?((?:[A-Za-z]+ ){5}[A-Za-z]+)", prompt, re.DOTALL)
    return text(f'The source says "{found[1]}" [1].' if found else "The sources do not say.")


async def main(model: str, questions: list[str]) -> None:
    chat = ScriptedModel([quote_the_first] * len(questions)) if model == "scripted" else model
    async with ActorSystem("library") as system, MemoryVectorStore() as store:
        # A table of vectors that comes with the extra `embeddings`: nothing leaves this machine.
        embedder = await system.spawn(Embedder, "local", normalize=True)
        index = VectorIndex(store, embedder)
        ingest = await system.spawn(
            Ingest.spec(index, ROOT, chunkers={".py": Chunker(by="code")}, suffixes=[".py"]), name="ingest"
        )
        for path in PATHS:
            async with ingest.stream(path=path) as events:
                *_, result = [event async for event in events]
            if result["status"] == "error":
                raise SystemExit(result["message"])
            print(f"{path}: {result['output']['indexed']} files, {result['output']['chunks_added']} chunks")

        retriever = await system.spawn(Retriever, store, embedder, name="retriever")
        rag = await system.spawn(Rag.spec(chat, retriever=retriever, k=4, max_source_tokens=1_200), name="rag")
        for question in questions:
            answer = await rag.within(None)(question=question)
            if answer["status"] == "error":
                raise SystemExit(answer["message"])
            output = answer["output"]
            print(f"\n{question}\n  {output['answer']}")
            print("  all citations are right" if output["valid"] else "  do not trust this: its citations are wrong")
            for source in output["sources"]:
                print(f"  [{source['number']}] {source['metadata']['source']}, chunk {source['id'][:8]}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("questions", nargs="*", default=QUESTIONS)
    parser.add_argument("--model", default="local")
    parser.add_argument("--backend", default="asyncio", choices=["asyncio", "uvloop", "trio"])
    arguments = parser.parse_args()
    uvloop = arguments.backend == "uvloop"
    backend = "asyncio" if uvloop else arguments.backend
    options = {"use_uvloop": True} if uvloop else None
    anyio.run(main, arguments.model, arguments.questions, backend=backend, backend_options=options)
