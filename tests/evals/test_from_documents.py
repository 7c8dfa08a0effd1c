"""Questions made of documents, and the pipeline from documents to a run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from tinyllm_actors import ActorSystem, run
from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.evals import (
    Example,
    JsonLinesDataset,
    Passage,
    QASetGenerator,
    RagEvaluationPipeline,
    RetrievalEvaluator,
    summarize,
)
from tinyllm_actors.evals.qa_set import split_passage
from tinyllm_actors.function import unwrap
from tinyllm_actors.llm import Budget, ChatRequest, UserMessage
from tinyllm_actors.testing import HashEmbeddings, ScriptedModel, text

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

SKY, GRASS = "By day the sky is blue.", "Grass is green in spring."


def pairs(*given: tuple[str, str, str]) -> Any:
    """Return a step that writes questions."""
    return text(json.dumps({"pairs": [{"question": q, "answer": a, "quote": s} for q, a, s in given]}))


def test_only_what_the_passage_says_becomes_an_example() -> None:
    """Pairs with an invented quote, and questions that are there already, are rejected with the reason."""
    steps = [
        pairs(("Which colour has the sky?", "Blue.", "the sky is blue"), ("Why?", "Magic.", "because of magic")),
        pairs(
            ("which colour  has the SKY?", "Green.", "Grass is green"),
            ("When is grass green?", "In spring.", "in spring"),
        ),
    ]
    documents = [{"id": "sky", "text": SKY}, GRASS]
    output: Any = unwrap(run(QASetGenerator.spec(ScriptedModel(steps)), documents=documents))
    first, second = output["examples"]
    assert (first.input, first.expected, first.contexts) == ({"content": "Which colour has the sky?"}, "Blue.", [SKY])
    assert (first.metadata, second.metadata) == (
        {"quote": "the sky is blue", "document": "sky"},
        {"quote": "in spring"},
    )
    assert second.expected == "In spring."
    reasons = [entry["reason"] for entry in output["rejected"]]
    assert reasons == ["the passage does not say 'because of magic'", "this question is there already"]


def test_a_model_that_writes_nothing_usable_ends_nothing() -> None:
    """A passage whose answers do not fit is rejected, and the next one is asked about."""
    model = ScriptedModel([text("no")] * 3 + [pairs(("When?", "In spring.", "in spring"), ("More?", "x", "spring"))])
    spec = QASetGenerator.spec(model, per_passage=1, argument="question")
    output: Any = unwrap(run(spec, documents=[SKY, GRASS]))
    assert [example.input for example in output["examples"]] == [{"question": "When?"}]
    assert "does not fit" in output["rejected"][0]["reason"]


def test_long_documents_are_split() -> None:
    """Passages end between sentences or paragraphs, and in a word only where they must."""
    words = Passage("One two. Three four.\n\nFive " + "x" * 30, "d")
    pieces = split_passage(words, 20)
    assert [piece.text for piece in pieces] == ["One two. Three four.", "Five " + "x" * 15, "x" * 15]
    assert {piece.id for piece in pieces} == {"d"}
    assert split_passage(Passage("  "), 20) == []


@pytest.mark.parametrize("options", [{"per_passage": 0}, {"per_passage": 51}, {"max_characters": 10}])
def test_options_of_the_generator(options: dict[str, Any]) -> None:
    """Numbers without meaning are refused."""
    with pytest.raises(ConfigurationError, match="per_passage"):
        QASetGenerator(ScriptedModel([]), **options)


def plays_judge(request: ChatRequest) -> Any:
    """Write questions, or grade, as asked."""
    material = json.loads(str(cast("UserMessage", request.messages[-1]).content))
    if "text" in material:
        quote = material["text"].rstrip(".")
        return pairs((f"What of {quote[:5]}?", quote, quote))
    if "answer_to_grade" in material:
        return text('{"reasoning": "fine", "gives_an_answer": true, "score": 9}')
    quote = next(iter(material["sources"].values()))
    return text(json.dumps({"claims": [{"claim": "it", "source": 1, "quote": quote}]}))


async def rag(content: str) -> dict[str, Any]:
    """Answer from whichever document the question names."""
    found = SKY if SKY[:5] in content else GRASS
    return {"answer": found, "sources": [found]}


async def test_from_documents_to_scores(tmp_path: Path) -> None:
    """The pipeline writes questions, asks them, scores what comes, and pays all of it from one budget."""
    judge = ScriptedModel([plays_judge] * 6)
    budget = Budget(max_tokens=100_000, name="judge")
    pipeline = RagEvaluationPipeline(rag, judge=judge, embedding=HashEmbeddings(256), judge_budget=budget)
    async with ActorSystem("t") as system:
        examples = await pipeline.questions(system, [SKY, GRASS], per_passage=1, save=tmp_path / "qa.jsonl")
        assert await JsonLinesDataset(tmp_path / "qa.jsonl").load() == examples
        found = await pipeline.run(system, dataset=tmp_path / "qa.jsonl")
    metrics = summarize(found).metrics
    assert {name: metric.interval.mean for name, metric in metrics.items()} == {
        "retrieval_precision": 1.0,
        "retrieval_recall": 1.0,
        "reciprocal_rank": 1.0,
        "truth_similarity": pytest.approx(1.0),
        "answer_correctness": 9.0,
        "faithfulness": 1.0,
    }
    assert found.header.name == "rag"
    assert budget.used.calls == 8  # two questions, two grades, two readings, and two requests for vectors
    async with ActorSystem("t") as system:
        run = await RagEvaluationPipeline(
            rag, judge=ScriptedModel([plays_judge]), evaluators=[RetrievalEvaluator.spec(HashEmbeddings())]
        ).run(system, documents=[SKY])
    assert run.records[0].evals["retrieval_recall"] == 1.0


async def test_a_pipeline_without_what_it_needs() -> None:
    """Without a judge, evaluators, documents or a dataset, it says which."""
    with pytest.raises(ConfigurationError, match="give a judge"):
        RagEvaluationPipeline(rag)
    pipeline = RagEvaluationPipeline(rag, evaluators=[lambda output: 1])  # pyright: ignore[reportUnknownLambdaType]
    async with ActorSystem("t") as system:
        with pytest.raises(ConfigurationError, match="or a dataset of questions"):
            await pipeline.run(system)
        with pytest.raises(ConfigurationError, match="written by the judge"):
            await pipeline.run(system, documents=[SKY])
        assert (await pipeline.run(system, dataset=[Example("a", {"content": "?"})])).complete
