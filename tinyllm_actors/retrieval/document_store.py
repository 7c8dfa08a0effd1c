"""`DocumentStore`: documents in named sections, and as many of them as a prompt has room for."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.retrieval.sizing import estimate_size

if TYPE_CHECKING:
    from tinyllm_actors.retrieval.document import AnyDocument
    from tinyllm_actors.retrieval.sizing import Count

__all__ = ["DocumentStore", "FittedDocuments"]

_GAP: Final = "\n\n"


@dataclass(frozen=True, slots=True)
class FittedDocuments:
    """What of a store goes into the prompt.

    Attributes:
        text: the prompt's part, with its first and last line.
        sections: the documents that it shows, by section, in their order; a section without any is left out.
        left_out: those that it does not show, by section, in their order.
        size: tokens of `text`.
        budget: how many it could have.
    """

    text: str
    sections: dict[str, tuple[AnyDocument, ...]]
    left_out: dict[str, tuple[AnyDocument, ...]]
    size: int
    budget: int


class DocumentStore:
    """Holds documents in sections and fits them to a budget of tokens.

    What looks the same to the model is shown once, in the section that had it first. `fit` follows a stated rule:

    1. The budget is divided among the sections by their weights. A section takes its documents in order, best first,
       and passes over those that do not fit into what is left of its share.
    2. What remains of all shares is one rest. It goes to the documents that were passed over, those of the heaviest
       section first, each if it fits.

    So the budget is never exceeded, and no document that was left out would fit into what remains. What stands around
    the documents (the first line, the names of sections, blank lines) counts too.

    ```python
    >>> from tinyllm_actors.retrieval import Document, DocumentStore
    >>> store = DocumentStore()
    >>> store.add("manual", [Document("Press the red button."), Document("Then wait for the lamp.")])
    >>> store.add("forum", [Document("Press the red button."), Document("Mine is blue.")])
    >>> print(store.fit(40, weights={"manual": 3, "forum": 1}, start="<docs>", end="</docs>").text)
    <docs>
    manual
    <BLANKLINE>
    Press the red button.
    <BLANKLINE>
    Then wait for the lamp.
    <BLANKLINE>
    forum
    <BLANKLINE>
    Mine is blue.
    <BLANKLINE>
    </docs>

    ```

    Args:
        count: how many tokens a text has; left out, an estimate that is rather too high.
    """

    def __init__(self, count: Count = estimate_size) -> None:
        self._count = count
        self._sections: dict[str, list[AnyDocument]] = {}
        self._seen: set[str] = set()

    @property
    def sections(self) -> dict[str, tuple[AnyDocument, ...]]:
        """The documents by section, in the order in which they were added."""
        return {name: tuple(documents) for name, documents in self._sections.items()}

    def add(self, section: str, documents: Iterable[AnyDocument]) -> None:
        """Add documents to a section, best first, after those that it has; new sections come after the others."""
        held = self._sections.setdefault(section, [])
        for document in documents:
            if (text := document.to_text()) not in self._seen:
                self._seen.add(text)
                held.append(document)

    def fit(
        self,
        budget: int,
        *,
        weights: Mapping[str, float] | None = None,
        start: str = "-----SUPPORTING DOCS-----",
        end: str = "-----END OF SUPPORTING DOCS-----",
    ) -> FittedDocuments:
        """Return as many documents as fit; the store stays as it is.

        Args:
            budget: tokens for all of it. Below what the first and the last line take, nothing is shown at all.
            weights: by section, any positive scale: `{"a": 3, "b": 1}` gives `a` three quarters; a section that is
                not there weighs 1, and one of weight 0 gets only what others leave.
            start: the first line.
            end: the last line.

        Raises:
            ConfigurationError: the budget or a weight is negative or no number, or a weight is of no section.
        """
        if budget < 0:
            raise ConfigurationError(f"budget={budget!r} must be a number of tokens, 0 or more")
        shares = _shares(tuple(self._sections), dict(weights or {}))
        fitting = _Fitting(self._count, self._sections, budget - self._count(f"{start}{_GAP}{end}"))
        for name, share in shares.items():
            # Rounded down: shares that are rounded up could be more than there is.
            fitting.take(name, math.floor(max(0, fitting.budget) * share))
        for name in sorted(shares, key=lambda name: -shares[name]):
            fitting.take(name, None)
        return fitting.result(budget, start, end)


class _Fitting:
    """The state of one `fit`: what was taken, and what is left.

    Pieces are counted one by one, each with the blank line after it. A tokenizer seldom makes more tokens of a whole
    than of its parts; should it, what was taken last is given back.
    """

    def __init__(self, count: Count, sections: Mapping[str, list[AnyDocument]], budget: int) -> None:
        self.budget = budget
        self._count = count
        self._documents = sections
        self._sizes = {name: [count(d.to_text() + _GAP) for d in documents] for name, documents in sections.items()}
        self._names = {name: count(name + _GAP) for name in sections}
        self._taken: dict[str, set[int]] = {name: set() for name in sections}
        self._order: list[tuple[str, int]] = []
        self._rest = budget

    def take(self, section: str, share: int | None) -> None:
        """Take what fits of a section, in order, into its share; without one, into all that is left."""
        room = self._rest if share is None else min(share, self._rest)
        taken = self._taken[section]
        for place, size in enumerate(self._sizes[section]):
            cost = size + (0 if taken else self._names[section])
            if place not in taken and cost <= room:
                taken.add(place)
                self._order.append((section, place))
                room -= cost
                self._rest -= cost

    def result(self, budget: int, start: str, end: str) -> FittedDocuments:
        """Return what was taken, put together."""
        while True:
            text = self._text(start, end)
            size = self._count(text)
            if size <= budget:
                break
            if not self._order:
                text, size = "", 0
                break
            section, place = self._order.pop()
            self._taken[section].remove(place)
        return FittedDocuments(text, self._part(taken=True), self._part(taken=False), size, budget)

    def _text(self, start: str, end: str) -> str:
        parts = [start + "\n"]
        for name, documents in self._part(taken=True).items():
            parts += [name + _GAP, *(document.to_text() + _GAP for document in documents)]
        return "".join([*parts, end])

    def _part(self, *, taken: bool) -> dict[str, tuple[AnyDocument, ...]]:
        found = {
            name: tuple(d for place, d in enumerate(documents) if (place in self._taken[name]) is taken)
            for name, documents in self._documents.items()
        }
        return {name: documents for name, documents in found.items() if documents}


def _shares(sections: tuple[str, ...], weights: dict[str, float]) -> dict[str, float]:
    """Return which part of the whole each section gets.

    Raises:
        ConfigurationError: a weight is negative or no number, or is of no section.
    """
    for name, weight in weights.items():
        if name not in sections:
            raise ConfigurationError(f"weights has {name!r}, but the sections are {', '.join(map(repr, sections))}")
        if not 0 <= weight < math.inf:
            raise ConfigurationError(f"weights[{name!r}]={weight!r} must be a number, 0 or more")
    known = {name: weights.get(name, 1.0) for name in sections}
    largest = max(known.values(), default=0.0)
    if not largest:
        return dict.fromkeys(known, 0.0)
    # Scaled first, so that a sum of huge weights is no infinity.
    scaled = {name: weight / largest for name, weight in known.items()}
    total = sum(scaled.values())
    return {name: weight / total for name, weight in scaled.items()}
