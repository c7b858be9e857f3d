"""Which passages answer a question: queries, hits, and the index that finds them, held in memory.

Built once from passages, read only afterwards. Reading files lives in `documents.py`, and what the model is
told of the hits in `prompt.py`; the scores come from `lexical.py`.
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
    """What is looked for: the user's last turn, with the user's turn before it where there was one.

    Only passages whose metadata hold every pair of `filters` can be found.
    """

    text: str
    before: str = ""
    filters: Mapping[str, str | int | bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Hit:
    """A passage found. Scores compare only within one search; `parts` tells operators what they are made of."""

    passage: Passage
    score: float
    parts: Mapping[str, float] = field(default_factory=dict)


class Index(Protocol):
    """Anything that finds passages. It is never altered once built."""

    def search(self, query: Query, limit: int) -> list[Hit]:
        """At most `limit` passages, best first; empty where nothing fits well enough. Never raises."""
        ...


def build(
    passages: Sequence[Passage],
    breathe: Callable[[], None] = lambda: None,
    min_coverage: float = MIN_COVERAGE,
) -> "LexicalIndex":
    """An index of these passages; where less than `min_coverage` of a query is covered, nothing is found.

    `breathe` is called at least every 5 ms of work, so that whoever builds beside streams can let them run.
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
        """At most `limit` passages, best first; none where the best covers too little of the query."""
        scores = self.score(query)
        if scores.coverage < self._min_coverage:
            return []
        return [self._hit(position, scores) for position in best(scores.fused, limit)]

    def score(self, query: Query) -> Scores:
        """The scores of all passages, those of passages that the filters exclude being 0."""
        return self._lexicon.score(query.text, query.before, self.filters.mask(query.filters))

    def _hit(self, position: int, scores: Scores) -> Hit:
        parts = {
            "stems": float(scores.stems[position]),
            "grams": float(scores.grams[position]),
            "coverage": scores.coverage,
        }
        return Hit(self.passages[position], float(scores.fused[position]), parts)


_BLOCK = 256
_LEAST = np.finfo(np.float32).tiny


def best(scores: Floats, limit: int) -> list[int]:
    """The positions of the `limit` highest scores above 0, highest first, the earlier first among equals."""
    if limit < 1:
        return []
    # The limit-th best score is a floor; of many scores, that of the blocks' best is low enough.
    many = len(scores) > limit * _BLOCK
    tops = scores[: len(scores) // _BLOCK * _BLOCK].reshape(-1, _BLOCK).max(axis=1) if many else scores.copy()
    floor = _LEAST
    if len(tops) > limit:
        tops.partition(-limit)
        floor = max(floor, tops[-limit])
    (positions,) = (scores >= floor).nonzero()
    found: list[int] = positions[(-scores[positions]).argsort(kind="stable")[:limit]].tolist()
    return found
