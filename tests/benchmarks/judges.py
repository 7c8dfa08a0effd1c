"""How often a judge agrees with people, on answers whose labels nobody disputes.

```text
python tests/benchmarks/judges.py [--model local|openai/gpt-4o-mini] [--questions 24]
```

24 short questions have two answers each: one that is right, in other words than the expected one, and one that is
fluent and wrong. `AnswerCorrectnessEvaluator` agrees if it gives 5 or more to the right one and less to the wrong one,
`RubricEvaluator` likewise with half of its scale, `PreferenceEvaluator` if it prefers the right one in both orders.
Beside them stands what asks no language model: the expected words occur in the answer, and the likeness of meaning (a
cosine of 0.5 or more) by the embedding model `"local"`. A judge that always says the same, or tosses a coin, agrees
with half of the labels, and its kappa is 0.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio

from tinyllm_actors import ActorSystem, Evaluator
from tinyllm_actors.evals import (
    AnswerCorrectnessEvaluator,
    Example,
    PreferenceEvaluator,
    RubricEvaluator,
    SemanticMatch,
    evaluate,
    wilson_interval,
)

if TYPE_CHECKING:
    from tinyllm_actors.evals import Record

# question, expected answer, a right answer, a wrong one
LABELLED = [
    ("What is the capital of France?", "Paris", "It is the city of Paris.", "It is the city of Lyon."),
    ("How many legs does a spider have?", "eight", "A spider has eight of them.", "A spider has six of them."),
    ("At how many degrees Celsius does water boil at sea level?", "100", "At 100 °C.", "At 80 °C."),
    ("Which planet is closest to the sun?", "Mercury", "That would be Mercury.", "That would be Venus."),
    ("Who wrote Romeo and Juliet?", "William Shakespeare", "Shakespeare wrote the play.", "Dickens wrote the novel."),
    ("What is 7 times 8?", "56", "7 × 8 = 56", "7 × 8 = 54"),
    ("Which gas do plants take in for photosynthesis?", "carbon dioxide", "They absorb CO2.", "They absorb helium."),
    ("In which year did the Second World War end?", "1945", "The war was over in 1945.", "The war was over in 1939."),
    ("What is the largest ocean?", "the Pacific", "The Pacific Ocean is.", "The Arctic Ocean is."),
    ("What is the freezing point of water in Celsius?", "0 degrees", "It freezes at zero.", "It freezes at ten."),
    ("How many days does a leap year have?", "366", "There are 366 days in it.", "There are 364 days in it."),
    ("Which animal is known as man's best friend?", "the dog", "People say so of dogs.", "People say so of sharks."),
    ("What colour do blue and yellow paint make?", "green", "Mixed, they look green.", "Mixed, they look purple."),
    ("Which language is spoken in Brazil?", "Portuguese", "Brazilians speak Portuguese.", "Brazilians speak Danish."),
    ("What is the chemical symbol of gold?", "Au", "Gold is written Au.", "Gold is written Pb."),
    ("How many continents are there?", "seven", "Usually seven are counted.", "Usually three are counted."),
    ("Who painted the Mona Lisa?", "Leonardo da Vinci", "Leonardo did, in Italy.", "Picasso did, in Spain."),
    ("What do bees make?", "honey", "Bees produce honey.", "Bees produce petrol."),
    ("On which continent is Egypt?", "Africa", "Egypt is in Africa.", "Egypt is in South America."),
    ("What is the opposite of hot?", "cold", "Cold is.", "Loud is."),
    ("How many minutes are in two hours?", "120", "Two hours are 120 minutes.", "Two hours are 90 minutes."),
    ("Which organ pumps blood?", "the heart", "The heart does that.", "The liver does that."),
    ("What is frozen water called?", "ice", "We call it ice.", "We call it steam."),
    ("Which metal do magnets attract?", "iron", "Iron sticks to magnets.", "Wood sticks to magnets."),
]  # fmt: skip


@dataclass(frozen=True)
class Way:
    """A way to judge: its evaluator, its score, and the score from which on an answer counts as right."""

    name: str
    evaluator: Any
    score: str
    bound: float


class Contains(Evaluator):
    """Scores 1 if the words that are expected occur in the answer."""

    async def run(self, input: Any, output: Any, error: Any) -> Any:
        assert self.trial is not None
        return {"evals": {"contains": str(self.trial.example.expected).lower() in str(output["answer"]).lower()}}


async def repeat_answer(content: str, answer: str, other: str) -> dict[str, str]:
    """Answer as the data says."""
    return {"answer": answer}


class Better(PreferenceEvaluator):
    """Compares with the other answer of the pair."""

    async def run(self, input: Any, output: Any, error: Any) -> Any:
        self._other = input["other"]
        return await super().run(input, output, error)


def ways(model: str) -> list[Way]:
    """Return the ways to judge."""
    correct = "The answer says the same as the correct answer."
    options: dict[str, Any] = {"model_options": {"temperature": 0.0}, "max_reasks": 1}
    return [
        Way("words occur", Contains, "contains", 0.5),
        Way("likeness of meaning", SemanticMatch.spec("local", threshold=0.5), "semantic_match", 0.5),
        Way("correctness", AnswerCorrectnessEvaluator.spec(model, **options), "answer_correctness", 5.0),
        Way("rubric", RubricEvaluator.spec(model, rubric={"correct": correct}, **options), "rubric", 0.5),
        Way("preference", Better.spec(model, **options), "preferred", 0.75),
    ]


def kappa(verdicts: list[tuple[bool, bool]]) -> float:
    """Return Cohen's kappa of pairs of verdict and label."""
    total = len(verdicts)
    observed = sum(said == label for said, label in verdicts) / total
    says, is_so = (sum(pair[place] for pair in verdicts) / total for place in (0, 1))
    expected = says * is_so + (1 - says) * (1 - is_so)
    return 0.0 if expected == 1.0 else (observed - expected) / (1 - expected)


def row(way: Way, records: list[Record], seconds: float) -> str:
    """Return a line of the table."""
    verdicts = [
        (record.evals[way.score] >= way.bound, record.example.endswith("right"))
        for record in records
        if way.score in record.evals
    ]
    failed = len(records) - len(verdicts)
    if not verdicts:
        return f"| {way.name} | – | – | – | {failed} | {seconds / len(records):.2f} |"
    agreed = sum(said == label for said, label in verdicts)
    bounds = wilson_interval(agreed, len(verdicts))
    yes = sum(said for said, _ in verdicts)
    return (
        f"| {way.name} | {agreed} of {len(verdicts)} ({bounds.low:.0%} to {bounds.high:.0%}) | {kappa(verdicts):.2f} "
        f"| {yes} of {len(verdicts)} | {failed} | {seconds / len(records):.2f} |"
    )


async def main(model: str, questions: int) -> None:
    """Print the table."""
    cases = [
        Example(f"{number} {label}", {"content": asked, "answer": answer, "other": other}, expected=expected)
        for number, (asked, expected, right, wrong) in enumerate(LABELLED[:questions])
        for label, answer, other in (("right", right, wrong), ("wrong", wrong, right))
    ]
    print(f"judge: {model}; {len(cases)} labelled answers\n")
    print("| | agrees with the labels | kappa | said right | failed | s an answer |\n|---|---|---|---|---|---|")
    for way in ways(model):
        async with ActorSystem("judges", log_transitions=False) as system:
            began = time.perf_counter()
            run = await evaluate(system, repeat_answer, cases, [way.evaluator], max_concurrency=1, timeout=600.0)
            print(row(way, run.records, time.perf_counter() - began), flush=True)
            for record in run.records:
                for why in list(record.failed.values())[:1]:
                    print(f"<!-- {record.example}: {why[:200]} -->")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="local")
    parser.add_argument("--questions", type=int, default=len(LABELLED))
    given = parser.parse_args()
    anyio.run(main, given.model, given.questions)
