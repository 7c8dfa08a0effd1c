"""Evaluation: Functions that score what other Functions answer, on live calls and over datasets.

**On live calls** an `Evaluator` is given to any Function or agent as `run_evaluators` (of the output) or
`processed_output_evaluators` (of the processed output, whose scores begin with `proc:`). `sample=0.1` scores every
tenth call on average; inside an `OnlineEvaluator` it does so after the caller has the answer. Every evaluation is an
`Evaluated` event too.

**Over a dataset** `evaluate` calls a fresh target for each example, several at a time and each as often as you like,
and writes every record to a file of JSON lines as it comes. Killed anywhere, it goes on where it stood. `summarize`
makes means with confidence intervals of it, `compare` says what changed between two runs and whether that is more than
chance, `broken_thresholds` what was not reached, and `report_text`, `report_json`, `report_junit` and `report_html`
show it.

| evaluator | scores | needs |
|---|---|---|
| `ExactMatch`, `RegexMatch`, `JsonMatch` | text, a pattern, a structure | |
| `SemanticMatch` | the meaning of an answer | an embedding model |
| `RetrievalEvaluator` | precision, recall, rank and likeness of what was retrieved | an embedding model |
| `ToolTrajectory` | the tool calls of an agent | |
| `Performance` | seconds, tokens, dollars | |
| `AnswerCorrectnessEvaluator` | 0 to 10 against a right answer | a judge |
| `FaithfulnessEvaluator` | the share of claims that the sources support | a judge |
| `RubricEvaluator` | criteria of your own | a judge |
| `PreferenceEvaluator` | better or worse than another answer, in both orders | a judge |

# What a number means here

1. **A failure is not a score.** A call that fails, a judge whose verdict does not fit its type, a budget that is used
   up: each is counted as a failure by itself and is in no mean. `broken_thresholds` allows none unless told so.
2. **The example is the unit.** Repeats of an example are averaged before anything is resampled, since they are not
   independent. Of 8 right out of 10 the interval is 49 % to 94 % (Wilson); of 80 out of 100, 71 % to 87 %.
3. **Differences are paired.** Two runs are compared over the same examples: exact McNemar for what is 0 or 1, else a
   permutation test. P-values are adjusted for the number of scores (Holm).
4. **Costs are counted, not guessed.** Every model call of a target, nested agents included, is booked on a budget of
   its own; an unknown price makes an unknown cost, which is not 0.
5. **Material is data.** What is judged goes to the judge as JSON; an answer that asks for a good grade is graded.
6. **Nothing secret is written.** Results and reports are redacted: what looks like a key, what is called like one, and
   the values of the environment's keys and of `tinyllm.yaml`.

# Which model may be a judge

One that agrees with you: label some answers, and count. `tests/benchmarks/judges.py` does, with 48 short answers of
which 24 are right. Two ways that ask no language model agree with 43 of the 48 labels (78 to 95 %; kappa 0.79): whether
the expected words occur, and the likeness of meaning by the embedding model `"local"`. The embedded language model,
SmolLM2 with 135 million parameters, is no judge: it agrees with 17 of 42 as `AnswerCorrectnessEvaluator` (27 to 56 %;
kappa -0.19), 22 of 44 as `RubricEvaluator` (kappa 0.00) and 24 of 46 as `PreferenceEvaluator` (kappa 0.04), as a coin
does; its other verdicts did not fit, which makes them failures and no scores. It shows that the machinery runs.

In tests: `@pytest.mark.eval("cases.jsonl", evaluators=[ExactMatch], thresholds={"exact_match": 0.8})` on a function
that returns the target. In a shell: `tinyllm-actors eval run`, `eval report` and `eval compare`.

When not to use it: to decide whether a live answer may go out. Evaluators look at what was answered; validation
(`output_validator`) is what refuses.
"""

from tinyllm_actors.evals.answer_correctness import AnswerCorrectnessEvaluator
from tinyllm_actors.evals.comparison import Change, Comparison, compare
from tinyllm_actors.evals.dataset import Dataset, Example, JsonLinesDataset, load_examples
from tinyllm_actors.evals.evaluate import evaluate
from tinyllm_actors.evals.evaluator import Evaluated, Evaluator
from tinyllm_actors.evals.faithfulness import FaithfulnessEvaluator
from tinyllm_actors.evals.function_evaluator import FunctionEvaluator
from tinyllm_actors.evals.judge import Judge
from tinyllm_actors.evals.junit import report_junit
from tinyllm_actors.evals.matching import ExactMatch, JsonMatch, RegexMatch
from tinyllm_actors.evals.online import OnlineEvaluator
from tinyllm_actors.evals.performance import Performance
from tinyllm_actors.evals.preference import PreferenceEvaluator
from tinyllm_actors.evals.qa_set import QASetGenerator
from tinyllm_actors.evals.rag_pipeline import RagEvaluationPipeline
from tinyllm_actors.evals.reading import Passage
from tinyllm_actors.evals.records import EvalRun, Record, RunHeader, read_run
from tinyllm_actors.evals.report_html import report_html
from tinyllm_actors.evals.report_text import comparison_text, report_json, report_text
from tinyllm_actors.evals.rubric import Criterion, RubricEvaluator
from tinyllm_actors.evals.similarity import RetrievalEvaluator, SemanticMatch
from tinyllm_actors.evals.statistics import (
    Difference,
    Interval,
    bootstrap_interval,
    holm,
    mcnemar,
    paired_difference,
    wilson_interval,
)
from tinyllm_actors.evals.summary import Metric, Summary, summarize
from tinyllm_actors.evals.thresholds import Threshold, broken_thresholds, parse_threshold
from tinyllm_actors.evals.tool_trajectory import ToolTrajectory
from tinyllm_actors.evals.trial import MadeCall, Trial

__all__ = [
    "AnswerCorrectnessEvaluator",
    "Change",
    "Comparison",
    "Criterion",
    "Dataset",
    "Difference",
    "EvalRun",
    "Evaluated",
    "Evaluator",
    "ExactMatch",
    "Example",
    "FaithfulnessEvaluator",
    "FunctionEvaluator",
    "Interval",
    "JsonLinesDataset",
    "JsonMatch",
    "Judge",
    "MadeCall",
    "Metric",
    "OnlineEvaluator",
    "Passage",
    "Performance",
    "PreferenceEvaluator",
    "QASetGenerator",
    "RagEvaluationPipeline",
    "Record",
    "RegexMatch",
    "RetrievalEvaluator",
    "RubricEvaluator",
    "RunHeader",
    "SemanticMatch",
    "Summary",
    "Threshold",
    "ToolTrajectory",
    "Trial",
    "bootstrap_interval",
    "broken_thresholds",
    "compare",
    "comparison_text",
    "evaluate",
    "holm",
    "load_examples",
    "mcnemar",
    "paired_difference",
    "parse_threshold",
    "read_run",
    "report_html",
    "report_json",
    "report_junit",
    "report_text",
    "summarize",
    "wilson_interval",
]
