"""A judge with criteria of your own."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

from annotated_types import Ge, Le

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.evals.judge import Judge
from tinyllm_actors.evals.reading import answer_of, question_of, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Criterion", "RubricEvaluator"]


@dataclass(frozen=True, slots=True)
class Criterion:
    """Something that an answer is judged by.

    Attributes:
        description: what is good, in words that leave little to taste.
        weight: how much it counts in the mean, relative to the others.
    """

    description: str
    weight: float = 1.0


class RubricEvaluator(Judge):
    """Scores an answer by named criteria, each from 0 to 1, and `rubric`, their weighted mean.

    The judge gives each criterion a reasoning and one of `levels + 1` grades; with several votes the median counts.

    ```python
    >>> from tinyllm_actors import run
    >>> from tinyllm_actors.evals import RubricEvaluator
    >>> from tinyllm_actors.testing import ScriptedModel, text
    >>> verdict = '{"polite": {"reasoning": "It thanks.", "grade": 4}, "short": {"reasoning": "Long.", "grade": 1}}'
    >>> rubric = {"polite": "It is friendly in tone.", "short": "It has at most two sentences."}
    >>> spec = RubricEvaluator.spec(ScriptedModel([text(verdict)]), rubric=rubric)
    >>> run(spec, input={"content": "Hi"}, output="Thank you …", error=None)["output"]["evals"]
    {'polite': 1.0, 'short': 0.25, 'rubric': 0.625}

    ```

    Args:
        model: the judge, as for `Judge`.
        rubric: criteria by name: their descriptions, or `Criterion` with a weight. Names are identifiers.
        levels: the best grade; the worst is 0. If in doubt, 4: models cannot tell more apart.
        **options: of `Judge`.

    Raises:
        ConfigurationError: a name, a weight or `levels` has no meaning.
    """

    def __init__(self, model: Any, *, rubric: Mapping[str, str | Criterion], levels: int = 4, **options: Any) -> None:
        super().__init__(model, **options)
        if not rubric or levels < 1:
            raise ConfigurationError(f"a rubric has a criterion or more, and levels >= 1; got {rubric!r}, {levels!r}")
        self._rubric = {
            name: given if isinstance(given, Criterion) else Criterion(given) for name, given in rubric.items()
        }
        for name, criterion in self._rubric.items():
            if not name.isidentifier() or name == "rubric" or not criterion.weight > 0:
                raise ConfigurationError(f"criterion {name!r} needs a name like 'polite' and a weight above 0")
        grade = make_dataclass(
            "Grade", [("reasoning", str), ("grade", cast("Any", Annotated[int, Ge(0), Le(levels)]))], frozen=True
        )
        fields = [(name, grade, field()) for name in self._rubric]
        self._verdict: type[Any] = make_dataclass("Verdict", fields, frozen=True)
        self._levels = levels
        listed = "\n".join(f"- {name}: {criterion.description}" for name, criterion in self._rubric.items())
        self._instructions = (
            "You grade an answer by a rubric. For each criterion reason first, in a sentence or two, then give a grade "
            f"from 0 (not at all) to {levels} (fully). Judge each by itself.\n\n{listed}"
        )

    async def run(self, input: Any, output: Any, error: Any) -> Any:
        """Ask the judge."""
        material = {"question": question_of(input), "answer_to_grade": answer_of(output)}
        if self.trial is not None and self.trial.example.expected is not None:
            material["correct_answer"] = text_of(self.trial.example.expected)
        votes: Sequence[Any] = await self.ask(self._verdict, self._instructions, material)
        evals: dict[str, float] = {}
        comments: list[str] = []
        for name in self._rubric:
            grades = [getattr(vote, name).grade for vote in votes]
            evals[name] = statistics.median(grades) / self._levels
            comments.append(f"{name}: {getattr(votes[0], name).reasoning}")
        total = sum(criterion.weight for criterion in self._rubric.values())
        evals["rubric"] = sum(evals[name] * criterion.weight for name, criterion in self._rubric.items()) / total
        return {"evals": evals, "comment": "\n".join(comments)}
