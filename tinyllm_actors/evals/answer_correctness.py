"""How correct an answer is, from 0 to 10, by a model's judgement."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Annotated, Any, Final

from annotated_types import Ge, Le

from tinyllm_actors.evals.judge import Judge, share_of_mode
from tinyllm_actors.evals.reading import answer_of, question_of, text_of

__all__ = ["AnswerCorrectnessEvaluator"]

_INSTRUCTIONS: Final = """\
You grade the answer to a question{against}.

Reason first, in two or three sentences: what would a correct answer say, and what of that does this one say, leave \
out, or get wrong? Then give a score from 0 to 10:
10: correct and complete; other words, and more detail that is right, do not matter.
7 to 9: correct, with a small gap or a needless vagueness.
4 to 6: partly correct: a material part is missing.
1 to 3: mostly wrong, or beside the point.
0: wrong; or it says that there is not enough information, that it does not know, or nothing.
Set gives_an_answer to false if the answer says, in whatever words, that it has not enough information, or declines."""


@dataclass(frozen=True)
class _Verdict:
    reasoning: str
    gives_an_answer: bool
    score: Annotated[int, Ge(0), Le(10)]


class AnswerCorrectnessEvaluator(Judge):
    """Scores `answer_correctness` from 0 to 10, with the reasoning as the comment.

    An answer that says that there is not enough information scores 0, whatever the judge makes of it; so does an empty
    one, without asking. With several votes the score is their median, and `metadata["agreement"]` the share of those
    that gave the most frequent score.

    ```python
    >>> from tinyllm_actors import run
    >>> from tinyllm_actors.evals import AnswerCorrectnessEvaluator
    >>> from tinyllm_actors.testing import ScriptedModel, text
    >>> verdict = '{"reasoning": "It names the day.", "gives_an_answer": true, "score": 10}'
    >>> spec = AnswerCorrectnessEvaluator.spec(ScriptedModel([text(verdict)]), expected="January 1st")
    >>> run(spec, input={"content": "When?"}, output={"answer": "January 1st."}, error=None)["output"]["evals"]
    {'answer_correctness': 10.0}

    ```

    Args:
        model: the judge, as for `Judge`.
        expected: a correct answer; left out, that of the example, and without one the judge's own knowledge.
        **options: of `Judge`.
    """

    def __init__(self, model: Any, *, expected: Any = None, **options: Any) -> None:
        super().__init__(model, **options)
        self._expected = expected

    async def run(self, input: Any, output: Any, error: Any) -> Any:
        """Ask the judge."""
        answer = answer_of(output)
        if not answer.strip():
            return {"evals": {"answer_correctness": 0.0}, "comment": "there is no answer"}
        expected = self._expected
        if expected is None and self.trial is not None:
            expected = self.trial.example.expected
        material = {"question": question_of(input), "answer_to_grade": answer}
        if expected is not None:
            material["correct_answer"] = text_of(expected)
        against = "" if expected is None else " against an answer that is known to be correct"
        votes = await self.ask(_Verdict, _INSTRUCTIONS.format(against=against), material)
        scores = [vote.score if vote.gives_an_answer else 0 for vote in votes]
        score = statistics.median(scores)
        nearest = min(range(len(votes)), key=lambda index: abs(scores[index] - score))
        found: dict[str, Any] = {"evals": {"answer_correctness": float(score)}, "comment": votes[nearest].reasoning}
        if len(votes) > 1:
            found["metadata"] = {"votes": scores, "agreement": share_of_mode(scores)}
        return found
