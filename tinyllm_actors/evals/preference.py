"""Which of two answers is better, whichever is read first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from tinyllm_actors.evals.judge import Judge
from tinyllm_actors.evals.matching import expected_of
from tinyllm_actors.evals.reading import answer_of, question_of, text_of

__all__ = ["PreferenceEvaluator"]

_INSTRUCTIONS: Final = """\
You compare two answers, A and B, to the same question{criteria}. Reason first, in two or three sentences, then say \
which one is better: "A", "B", or "tie" if neither is in any way that matters. Neither length nor order counts."""


@dataclass(frozen=True)
class _Verdict:
    reasoning: str
    better: Literal["A", "B", "tie"]


class PreferenceEvaluator(Judge):
    """Scores `preferred` 1 if the answer is better than another, 0 if it is worse, and 0.5 for a tie.

    Models prefer what stands first. So the judge reads each pair in both orders, and a preference that changes with
    the order is a tie, with `metadata["position_bias"]`.

    ```python
    >>> from tinyllm_actors import run
    >>> from tinyllm_actors.evals import PreferenceEvaluator
    >>> from tinyllm_actors.testing import ScriptedModel, text
    >>> first = '{"reasoning": "A is right.", "better": "A"}'
    >>> swapped = '{"reasoning": "B is right.", "better": "B"}'
    >>> spec = PreferenceEvaluator.spec(ScriptedModel([text(first), text(swapped)]), other="No idea.")
    >>> run(spec, input={"content": "2 + 2?"}, output="4", error=None)["output"]["evals"]
    {'preferred': 1.0}

    ```

    Args:
        model: the judge, as for `Judge`.
        other: the answer to compare with; left out, the expected one of the example.
        criteria: what "better" means, such as `"for a child"`; left out, correct and helpful.
        **options: of `Judge`.
    """

    def __init__(
        self, model: Any, *, other: Any = None, criteria: str = "by how correct and helpful they are", **options: Any
    ) -> None:
        super().__init__(model, **options)
        self._other = other
        self._instructions = _INSTRUCTIONS.format(criteria=f" {criteria}")

    async def run(self, input: Any, output: Any, error: Any) -> Any:
        """Ask the judge, in both orders."""
        ours, theirs = answer_of(output), text_of(expected_of(self, self._other))
        question = question_of(input)
        in_order = await self.ask(_Verdict, self._instructions, {"question": question, "A": ours, "B": theirs})
        swapped = await self.ask(_Verdict, self._instructions, {"question": question, "A": theirs, "B": ours})
        worth = {"A": 1.0, "B": 0.0, "tie": 0.5}
        one = _majority([worth[vote.better] for vote in in_order])
        two = _majority([1.0 - worth[vote.better] for vote in swapped])
        contradicts = {one, two} == {0.0, 1.0}
        return {
            "evals": {"preferred": one if one == two else 0.5},
            "comment": in_order[0].reasoning,
            "metadata": {"position_bias": contradicts},
        }


def _majority(votes: list[float]) -> float:
    """Return what more than half of the votes say, or a tie."""
    return next((value for value in (0.0, 1.0) if votes.count(value) * 2 > len(votes)), 0.5)
