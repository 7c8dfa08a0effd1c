"""From documents to a report on what answers questions about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.evals.answer_correctness import AnswerCorrectnessEvaluator
from tinyllm_actors.evals.dataset import JsonLinesDataset
from tinyllm_actors.evals.evaluate import evaluate
from tinyllm_actors.evals.faithfulness import FaithfulnessEvaluator
from tinyllm_actors.evals.qa_set import QASetGenerator
from tinyllm_actors.evals.similarity import RetrievalEvaluator
from tinyllm_actors.function import unwrap

if TYPE_CHECKING:
    import os

    from tinyllm_actors.evals.dataset import Dataset, Example
    from tinyllm_actors.evals.records import EvalRun
    from tinyllm_actors.function import FunctionRef
    from tinyllm_actors.kernel import ActorSystem
    from tinyllm_actors.llm import Budget, ChatModel, EmbeddingModel

__all__ = ["RagEvaluationPipeline"]


class RagEvaluationPipeline:
    """Evaluates a Function that answers from documents: makes the questions, asks them, and scores what comes.

    The Function answers with a dictionary that holds its answer (`answer`, `response` …) and what it retrieved
    (`contexts`, `sources` …). It is scored for retrieval, correctness and faithfulness.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem
    >>> from tinyllm_actors.evals import Example, RagEvaluationPipeline, RetrievalEvaluator, summarize
    >>> from tinyllm_actors.testing import HashEmbeddings
    >>> async def rag(content: str) -> dict[str, object]:
    ...     return {"answer": "Blue.", "contexts": ["The sky is blue."]}
    >>> cases = [Example("sky", {"content": "Which colour?"}, "Blue.", ["The sky is blue."])]
    >>> async def main() -> float:
    ...     pipeline = RagEvaluationPipeline(rag, evaluators=[RetrievalEvaluator.spec(HashEmbeddings())])
    ...     async with ActorSystem("evals") as system:
    ...         run = await pipeline.run(system, dataset=cases)
    ...     return summarize(run).metrics["retrieval_recall"].interval.mean
    >>> anyio.run(main)
    1.0

    ```

    Args:
        rag: the spec of the Function, or a function.
        judge: the model that judges, and writes the questions; a model or its name.
        embedding: the embedding model that compares passages.
        evaluators: what scores, instead of the three.
        judge_budget: what judge and question writer together may use.

    Raises:
        ConfigurationError: there is neither a judge nor evaluators.
    """

    def __init__(
        self,
        rag: Any,
        *,
        judge: str | ChatModel | None = None,
        embedding: str | EmbeddingModel = "local",
        evaluators: Sequence[Any] | None = None,
        judge_budget: Budget | None = None,
    ) -> None:
        if evaluators is None:
            if judge is None:
                raise ConfigurationError("give a judge, a model such as 'openai/gpt-4o', or evaluators of your own")
            evaluators = [
                RetrievalEvaluator.spec(embedding),
                AnswerCorrectnessEvaluator.spec(judge),
                FaithfulnessEvaluator.spec(judge),
            ]
        self._rag = rag
        self._judge = judge
        self._evaluators = list(evaluators)
        self._judge_budget = judge_budget

    async def questions(
        self,
        system: ActorSystem,
        documents: Iterable[Any],
        *,
        per_passage: int = 2,
        save: str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> list[Example]:
        """Return examples made of documents.

        Args:
            system: where the generator lives for that long.
            documents: texts, or things with `text` and `id`.
            per_passage: pairs to ask for from each passage.
            save: the file of JSON lines to write them to. Read them before you trust a number that is made of them.
            **options: of `QASetGenerator`.

        Raises:
            ConfigurationError: there is no judge to write them.
            FunctionFailed: the model could not be asked.
        """
        if self._judge is None:
            raise ConfigurationError("questions are written by the judge: give one, or a dataset")
        spec = QASetGenerator.spec(self._judge, per_passage=per_passage, budget=self._judge_budget, **options)
        generator: FunctionRef = await system.spawn(spec)
        try:
            examples: list[Example] = unwrap(await generator.within(None)(documents=list(documents)))["examples"]
        finally:
            await generator.stop(timeout=5.0)
        if save is not None:
            await JsonLinesDataset(save).save(examples)
        return examples

    async def run(
        self,
        system: ActorSystem,
        *,
        documents: Iterable[Any] | None = None,
        dataset: Dataset | Iterable[Example] | str | os.PathLike[str] | None = None,
        **options: Any,
    ) -> EvalRun:
        """Evaluate, with a dataset or with questions about documents.

        Args:
            system: where the actors live.
            documents: what to make the questions of, if there is no dataset.
            dataset: what to ask.
            **options: of `evaluate`: `repeats`, `results`, `max_concurrency` …

        Raises:
            ConfigurationError: there is neither, or an argument has no meaning.
        """
        if dataset is None:
            if documents is None:
                raise ConfigurationError("give documents to make questions of, or a dataset of questions")
            dataset = await self.questions(system, documents)
        options = {"name": "rag", "judge_budget": self._judge_budget, **options}
        return await evaluate(system, self._rag, dataset, self._evaluators, **options)
