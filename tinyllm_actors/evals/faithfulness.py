"""Whether an answer says only what its sources say."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from annotated_types import Len

from tinyllm_actors.errors import EvaluationFailed
from tinyllm_actors.evals.judge import Judge
from tinyllm_actors.evals.reading import Passage, answer_of, passages_of, question_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["FaithfulnessEvaluator", "cited_numbers", "is_quoted"]

_INSTRUCTIONS: Final = """\
You check whether an answer says only what its sources say. Take the answer apart into single claims about the world; \
leave out greetings, questions and offers. For each claim give:
- claim: the claim, in the answer's words.
- source: the number of the source that supports it, or 0 if none does. What you know yourself is no source.
- quote: the words of that source that support it, copied exactly; empty if source is 0.
An answer that claims nothing has no claims."""
_MARKER: Final = re.compile(r"\[(\d{1,4}(?:\s*,\s*\d{1,4})*)\]")
_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True)
class _Claim:
    claim: str
    source: int
    quote: str


@dataclass(frozen=True)
class _Verdict:
    claims: Annotated[list[_Claim], Len(0, 200)]


class FaithfulnessEvaluator(Judge):
    """Scores `faithfulness`: the share of an answer's claims that a source supports, with a quote that is really there.

    The judge takes the answer apart and names a source and a quote for each claim; a claim whose quote does not occur
    in that source counts as unsupported, so that a judge that invents support is found out. Where the answer cites its
    sources as `[1]`, `citation_validity` is the share of these numbers that there are, and `citation_coverage` the
    share of the supporting sources that are cited. An answer without claims is faithful.

    The sources are those of the output (`contexts`, `sources`, …) or else of the example; numbers start with 1.

    ```python
    >>> from tinyllm_actors import run
    >>> from tinyllm_actors.evals import FaithfulnessEvaluator
    >>> from tinyllm_actors.testing import ScriptedModel, text
    >>> verdict = '{"claims": [{"claim": "The sky is blue", "source": 1, "quote": "sky is blue"}]}'
    >>> output = {"answer": "The sky is blue [1].", "sources": ["By day the sky is blue."]}
    >>> spec = FaithfulnessEvaluator.spec(ScriptedModel([text(verdict)]))
    >>> run(spec, input={"content": "What colour?"}, output=output, error=None)["output"]["evals"]
    {'faithfulness': 1.0, 'citation_validity': 1.0, 'citation_coverage': 1.0}

    ```

    Args:
        model: the judge, as for `Judge`.
        **options: of `Judge`.
    """

    async def run(self, input: Any, output: Any, error: Any) -> Any:
        """Ask the judge, and check what it says."""
        answer = answer_of(output)
        passages = self._passages(output)
        material = {
            "question": question_of(input),
            "answer": answer,
            "sources": {str(number): passage.text for number, passage in enumerate(passages, 1)},
        }
        votes = await self.ask(_Verdict, _INSTRUCTIONS, material)
        shares: list[float] = []
        for vote in votes:
            held = [_holds(claim, passages) for claim in vote.claims]
            shares.append(sum(held) / len(held) if held else 1.0)
        share = sorted(shares)[len(shares) // 2]
        verdict = votes[shares.index(share)]
        supporting = {claim.source for claim in verdict.claims if _holds(claim, passages)}
        unsupported = [claim.claim for claim in verdict.claims if not _holds(claim, passages)]
        evals = {"faithfulness": share}
        cited = cited_numbers(answer)
        if cited:
            evals["citation_validity"] = sum(1 <= number <= len(passages) for number in cited) / len(cited)
            evals["citation_coverage"] = len(supporting & set(cited)) / len(supporting) if supporting else 0.0
        comment = "every claim is supported" if not unsupported else "not supported: " + "; ".join(unsupported[:10])
        return {"evals": evals, "comment": comment, "metadata": {"claims": len(verdict.claims)}}

    def _passages(self, output: Any) -> list[Passage]:
        try:
            return passages_of(output)
        except EvaluationFailed:
            if self.trial is None or not self.trial.example.contexts:
                raise
            return [Passage(text) for text in self.trial.example.contexts]


def _holds(claim: _Claim, passages: Sequence[Passage]) -> bool:
    return 1 <= claim.source <= len(passages) and is_quoted(claim.quote, passages[claim.source - 1].text)


def is_quoted(quote: str, text: str) -> bool:
    """Whether the words of a quote occur in a text, in their order and without others between them.

    ```python
    >>> is_quoted("sky is  BLUE", "By day, the sky is blue."), is_quoted("sky is green", "the sky is blue")
    (True, False)

    ```
    """
    wanted, there = _words(quote), _words(text)
    return bool(wanted) and f" {wanted} " in f" {there} "


def _words(text: str) -> str:
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


def cited_numbers(answer: str) -> list[int]:
    """Return the numbers of the sources that an answer cites, each once, in their order.

    ```python
    >>> cited_numbers("Blue [2], at times red [1, 3] or grey [2].")
    [2, 1, 3]

    ```
    """
    found = [int(number) for marker in _MARKER.findall(answer) for number in marker.split(",")]
    return list(dict.fromkeys(found))
