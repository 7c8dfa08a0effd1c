"""Evaluate an assistant that answers from documents: a dataset, judges, intervals, a comparison, and a page.

python examples/12_evaluation.py [--model scripted|openai/gpt-4o-mini] [--backend asyncio|uvloop|trio] [--html FILE]
"""

import argparse
import json
import re
import tempfile
from pathlib import Path
from typing import Any, cast

import anyio

from tinyllm_actors import ActorSystem, Evaluator, Function
from tinyllm_actors.evals import (
    AnswerCorrectnessEvaluator,
    EvalRun,
    Evaluated,
    Example,
    FaithfulnessEvaluator,
    JsonLinesDataset,
    OnlineEvaluator,
    RetrievalEvaluator,
    broken_thresholds,
    compare,
    comparison_text,
    evaluate,
    report_html,
    report_text,
    summarize,
)
from tinyllm_actors.llm import Budget, ChatModel, ChatRequest, EmbeddingModel, UserMessage
from tinyllm_actors.testing import HashEmbeddings, ScriptedModel, text

NOTES = {
    "password": "To reset your password, open the settings and choose 'forgotten password'.",
    "invoice": "Invoices are sent by mail on the first day of each month.",
    "office": "The office is closed on public holidays.",
    "refund": "A refund takes five working days.",
    "trial": "The trial ends after thirty days.",
}
QUESTIONS = {
    "invoice": ("When are invoices sent?", "on the first day of each month"),
    "office": ("When is the office closed?", "on public holidays"),
    "refund": ("How long does a refund take?", "five working days"),
    "trial": ("After how many days does the trial end?", "thirty days"),
}


class Assistant(Function):
    """Finds the note that shares most words with a question, and quotes it. The first version looks at capitals."""

    def __init__(self, *, version: int, **options: Any) -> None:
        super().__init__(**options)
        self._version = version

    def words(self, given: str) -> set[str]:
        return set(re.findall(r"[A-Z]\w+", given) if self._version == 1 else re.findall(r"\w{4,}", given.lower()))

    async def run(self, content: str) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        asked = self.words(content)
        best = max(NOTES, key=lambda name: len(asked & self.words(NOTES[name])))
        return {"answer": f"{NOTES[best]} [1]", "sources": [{"id": best, "text": NOTES[best]}]}


class Cites(Evaluator):
    """Scores 1 if an answer names a source."""

    async def run(self, input: Any, output: Any, error: Any) -> Any:
        return {"evals": {"cites": "[1]" in output["answer"]}}


def judge_by_rule(request: ChatRequest) -> Any:
    """Play the judge: what stands in for a model must still read what it is given."""
    material = json.loads(str(cast("UserMessage", request.messages[-1]).content))
    if "answer_to_grade" in material:
        score = 10 if material["correct_answer"] in material["answer_to_grade"] else 0
        return text(json.dumps({"reasoning": "Compared by hand.", "gives_an_answer": True, "score": score}))
    claim = {"claim": material["answer"], "source": 1, "quote": material["answer"].removesuffix(" [1]")}
    return text(json.dumps({"claims": [claim]}))


def choose(name: str) -> tuple[str | ChatModel, str | EmbeddingModel]:
    if name != "scripted":
        return name, "local"
    return ScriptedModel([judge_by_rule] * (2 * 2 * len(QUESTIONS))), HashEmbeddings(512)


async def main(model: str, page: str | None) -> None:
    cases = [
        Example(name, {"content": question}, expected=answer, contexts=[NOTES[name]])
        for name, (question, answer) in QUESTIONS.items()
    ]
    judge, embedding = choose(model)
    evaluators = [
        RetrievalEvaluator.spec(embedding, threshold=0.9),
        AnswerCorrectnessEvaluator.spec(judge),
        FaithfulnessEvaluator.spec(judge),
        Cites,
    ]
    runs: list[EvalRun] = []
    with tempfile.TemporaryDirectory() as folder:
        dataset = JsonLinesDataset(Path(folder, "questions.jsonl"))
        await dataset.save(cases)
        async with ActorSystem("evaluation") as system:
            for version in (1, 2):
                spec = Assistant.spec(version=version)
                results = Path(folder, f"version-{version}.jsonl")  # killed and run again, it goes on where it stood
                run = await evaluate(
                    system,
                    spec,
                    dataset,
                    evaluators,
                    name=f"version {version}",
                    results=results,
                    judge_budget=Budget(max_tokens=1_000_000, name="judges"),
                )
                runs.append(run)
            print("# Live calls: a sample is scored after the answer went out")
            live = Assistant.spec(version=2, run_evaluators=[OnlineEvaluator.spec(Cites, sample=1.0)])
            async with system.events(Evaluated) as events:
                assistant = await system.spawn(live, name="live")
                print((await assistant(content="When is the office closed?"))["output"]["answer"])
                print((await anext(aiter(events))).evals)

    for run in runs:
        summary = summarize(run)
        broken = broken_thresholds(summary, {"retrieval_recall": 0.75})
        print("\n#", report_text(run, summary, broken))
    comparison = compare(*runs)
    print("\n#", comparison_text(comparison))
    if page is not None:
        content = report_html(runs[1], summarize(runs[1]), comparison=comparison)
        await anyio.Path(page).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="scripted")
    parser.add_argument("--backend", default="asyncio", choices=["asyncio", "uvloop", "trio"])
    parser.add_argument("--html", metavar="FILE", default=None)
    given = parser.parse_args()
    loop: dict[str, Any] = {"backend": given.backend}
    if given.backend == "uvloop":
        loop = {"backend": "asyncio", "backend_options": {"use_uvloop": True}}
    anyio.run(main, given.model, given.html, **loop)
