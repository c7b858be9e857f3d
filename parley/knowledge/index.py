"""The index that answers a query with hits, held in memory: built once from passages, only read afterwards.

Reading files lives in `documents.py`, the scores in `lexical.py`, and the prompt made of the hits in `prompt.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from parley.knowledge.documents import Passage
from parley.knowledge.filters import Filters
from parley.knowledge.lexical import MIN_COVERAGE, Lexicon, LexiconBuilder, Scores
from parley.knowledge.postings import Floats


@dataclass(frozen=True)
class Query:
    """A search: the user's last turn, and the user's turn before it, if there is one.

    Only passages whose metadata have every value of `filters` are found.
    """

    text: str
    before: str = ""
    filters: Mapping[str, str | int | bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Hit:
    """A passage found, with its score, which compares only within one search. `parts` explains it to operators."""

    passage: Passage
    score: float
    parts: Mapping[str, float] = field(default_factory=dict)


class Index(Protocol):
    """Anything that finds passages. An index never changes once it is built."""

    def search(self, query: Query, limit: int) -> list[Hit]:
        """Return at most `limit` hits, best first; none if no passage matches well enough. Never raises."""
        ...


def build(
    passages: Sequence[Passage],
    breathe: Callable[[], None] = lambda: None,
    min_coverage: float = MIN_COVERAGE,
) -> "LexicalIndex":
    """Return the lexical index of these passages; below `min_coverage` of a query it finds nothing.

    `breathe` is called at least every 5 ms of work, so that the event loop can run meanwhile.
    """
    lexicon = LexiconBuilder(breathe)
    filters = Filters()
    for passage in passages:
        lexicon.add(passage.title, passage.text)
        filters.add(passage.metadata)
    return LexicalIndex(list(passages), lexicon.finish(), filters.finish(), min_coverage)


class LexicalIndex:
    """Passages ranked by the words and parts of words that they share with the query."""

    def __init__(self, passages: list[Passage], lexicon: Lexicon, filters: Filters, min_coverage: float) -> None:
        self.passages = passages
        self.filters = filters
        self._lexicon = lexicon
        self._min_coverage = min_coverage

    def search(self, query: Query, limit: int) -> list[Hit]:
        """Return at most `limit` hits, best first; none if the best passage covers too little of the query."""
        scores = self.score(query)
        # Fused scores can't decide this: each is divided by the best, so the best passage always scores high.
        if scores.coverage < self._min_coverage:
            return []
        return [
            Hit(
                self.passages[position],
                float(scores.fused[position]),
                {
                    "stems": float(scores.stems[position]),
                    "grams": float(scores.grams[position]),
                    "coverage": scores.coverage,
                },
            )
            for position in top_positions(scores.fused, limit)
        ]

    def score(self, query: Query) -> Scores:
        """Return the scores of all passages; those excluded by the filters score 0."""
        return self._lexicon.score(query.text, query.before, self.filters.mask(query.filters))


_BLOCK = 256
"""Scores of which only the best is looked at for the floor."""
_LEAST = np.finfo(np.float32).tiny


def top_positions(scores: Floats, limit: int) -> list[int]:
    """Return the positions of the `limit` highest scores above 0, highest first; of equals, the earlier first."""
    if limit < 1:
        return []
    # Sorting all scores would take too long: only those from a floor on are sorted. The floor is the limit-th best
    # score; of many scores, the limit-th best among the blocks' best, which is never above it.
    many = len(scores) > limit * _BLOCK
    tops = scores[: len(scores) // _BLOCK * _BLOCK].reshape(-1, _BLOCK).max(axis=1) if many else scores.copy()
    floor = _LEAST
    if len(tops) > limit:
        tops.partition(-limit)
        floor = max(floor, tops[-limit])
    (positions,) = (scores >= floor).nonzero()
    ranked: list[int] = positions[(-scores[positions]).argsort(kind="stable")[:limit]].tolist()
    return ranked
