"""Find the note that answers a question, by the meaning of both.

python examples/04_embeddings.py [--model local|scripted|openai/text-embedding-3-small] [--backend asyncio|uvloop|trio]
"""

import argparse
from collections.abc import Sequence

import anyio

from tinyllm_actors import ActorSystem
from tinyllm_actors.llm import Embedder, EmbeddingModel
from tinyllm_actors.testing import HashEmbeddings

NOTES = [
    "To reset your password, open the settings and choose 'forgotten password'.",
    "Invoices are sent by mail on the first day of each month.",
    "The office is closed on public holidays and between the years.",
]
QUESTIONS = [
    "I cannot log in, my password is gone",
    "when do you send the invoices?",
    "is the office open on holidays?",
]


def choose_model(name: str) -> str | EmbeddingModel:
    # For tests: texts that share words point the same way.
    return HashEmbeddings(dimensions=1024) if name == "scripted" else name


def cosine(one: Sequence[float], two: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(one, two, strict=True))


async def main(model: str) -> None:
    async with ActorSystem("notes") as system:
        # Vectors of length 1, so that a product is the cosine; what came before is not embedded again.
        embedder = await system.spawn(Embedder, choose_model(model), normalize=True, max_batch=2)
        result = await embedder(texts=[*NOTES, *QUESTIONS])
        if result["status"] == "error":
            raise SystemExit(result["message"])
        embeddings = result["output"]["embeddings"]
        notes, questions = embeddings.vectors[: len(NOTES)], embeddings.vectors[len(NOTES) :]
        for question, vector in zip(QUESTIONS, questions, strict=True):
            best = max(range(len(NOTES)), key=lambda place: cosine(vector, notes[place]))
            print(f"{question}\n  {cosine(vector, notes[best]):.2f}  {NOTES[best]}")
        print(
            f"{embeddings.dimensions} dimensions, {embeddings.usage.prompt_tokens if embeddings.usage else '?'} tokens"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="local")
    parser.add_argument("--backend", default="asyncio", choices=["asyncio", "uvloop", "trio"])
    arguments = parser.parse_args()
    uvloop = arguments.backend == "uvloop"
    backend = "asyncio" if uvloop else arguments.backend
    anyio.run(main, arguments.model, backend=backend, backend_options={"use_uvloop": True} if uvloop else None)
