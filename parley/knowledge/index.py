"""The index that answers a query with hits, held in memory: built once from passages, only read afterwards.

Reading files lives in `documents.py`, the scores in `lexical.py`, and the prompt made of the hits in `prompt.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from parley.knowledge import terms
from parley.knowledge.base_settings import NO_SETTINGS, BaseSettings
from parley.knowledge.documents import Passage
from parley.knowledge.filters import Filters
from parley.knowledge.lexical import MAX_QUERY_CHARACTERS, MIN_COVERAGE, Lexicon, LexiconBuilder, Scores
from parley.knowledge.postings import Floats
from parley.languages import Language, detect

if TYPE_CHECKING:
    from parley.knowledge.semantic import Encoder

EARLIER_TURNS = 2
"""Earlier turns of the user that a query holds beside the last one (docs/retrieval.md)."""


@dataclass(frozen=True)
class Query:
    """A search: the user's last turn, and the user's turns before it that count, if there are any.

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


@dataclass(frozen=True)
class Ranking:
    """The hits of a search, best first, and what decided whether there are any.

    `query` is the one that was compared, in the written forms of the passages. `confidence` is the figure that is named
    by `measure` ("coverage" or "evidence"); below `threshold` the search finds nothing. `small_talk` is the cosine to
    the nearest example of small talk where that is why nothing was found.
    """

    hits: list[Hit]
    query: Query
    measure: str
    confidence: float
    threshold: float
    small_talk: float | None = None

    @property
    def refusal(self) -> str:
        """The reason why there are no hits, for operators; empty where there are some."""
        if self.small_talk is not None:
            return f"nearer to an example of small talk (cosine {self.small_talk:.4f}) than to any passage"
        if self.confidence < self.threshold:
            return f"{self.measure} {self.confidence:.4f} is below {self.threshold:g}"
        return "" if self.hits else "no passage shares a word with it"


class SearchFailed(Exception):
    """A search can't be made now, because where the passages are does not answer; the message says why."""


class Index(Protocol):
    """Anything that finds passages. An index never changes once it is built."""

    @property
    def language(self) -> Language:
        """The language of the passages."""
        ...

    @property
    def passages(self) -> Sequence[Passage]:
        """The passages, in the order of their files; none where they are not in memory."""
        ...

    @property
    def compared_by(self) -> "Encoder | None":
        """The encoder by which meanings are compared now, None for words alone."""
        ...

    def without_floor(self) -> "Index":
        """Return an index of the same passages that finds the best of them, however little fits."""
        ...

    def search(self, query: Query, limit: int) -> list[Hit]:
        """Return at most `limit` hits, best first; none if no passage matches well enough. Raises SearchFailed."""
        ...

    def rank(self, query: Query, limit: int) -> Ranking:
        """Like `search`, but return what decided, too."""
        ...

    def folded(self, query: Query) -> Query:
        """Return the query in the written forms of these passages."""
        ...


def build(
    passages: Sequence[Passage],
    breathe: Callable[[], None] = lambda: None,
    settings: BaseSettings = NO_SETTINGS,
    min_coverage: float = MIN_COVERAGE,
) -> "LexicalIndex":
    """Return the lexical index of these passages; below `min_coverage` of a query it finds nothing.

    The language is that of the base's settings, else the passages'. `breathe` is called at least every 5 ms of work, so
    that the event loop can run meanwhile.
    """
    language = settings.language or language_of(passages)
    # Passages are numbered by the order in which they are added to both.
    lexicon = LexiconBuilder(language, breathe)
    filters = Filters()
    for passage in passages:
        lexicon.add(passage.title, passage.text)
        filters.add(passage.metadata)
    return LexicalIndex(list(passages), lexicon.finish(), filters.finish(), min_coverage)


SAMPLED_PASSAGES, SAMPLED_CHARACTERS = 64, 200
"""Passages of a base, and characters of each, by which its language is told."""


def language_of(passages: Sequence[Passage]) -> Language:
    """Return the language of these passages, told from some of them all over the base."""
    step = len(passages) // SAMPLED_PASSAGES + 1
    texts = (f"{passage.title} {passage.text[:SAMPLED_CHARACTERS]}" for passage in passages[::step])
    return detect(word for text in texts for word in terms.words(text))


class LexicalIndex:
    """Passages ranked by the words and parts of words that they share with the query."""

    # As an attribute, since it never changes.
    compared_by = None
    """No encoder: words alone are compared."""

    def __init__(self, passages: list[Passage], lexicon: Lexicon, filters: Filters, min_coverage: float) -> None:
        self.passages = passages
        self.filters = filters
        self._lexicon = lexicon
        self.analyzer = lexicon.analyzer
        self.language = lexicon.analyzer.language
        self._min_coverage = min_coverage

    def without_floor(self) -> "LexicalIndex":
        """Return an index of the same passages that finds the best of them, however little fits."""
        return LexicalIndex(self.passages, self._lexicon, self.filters, 0.0)

    def search(self, query: Query, limit: int) -> list[Hit]:
        """Return at most `limit` hits, best first; none if the best passage covers too little of the query."""
        return self.rank(query, limit).hits

    def rank(self, query: Query, limit: int) -> Ranking:
        """Like `search`, but return what decided, too."""
        query = self.folded(query)
        # The scores of all passages, of which most are 0.
        scores = self.score(query)
        return ranking_by_words(
            query, scores, lambda positions: [self.passages[at] for at in positions], limit, self._min_coverage
        )

    def folded(self, query: Query) -> Query:
        """Return the query in the written forms of these passages."""
        return shortened(query, self._lexicon.forms.fold)

    def score(self, query: Query) -> Scores:
        """Return the scores of all passages; those excluded by the filters score 0."""
        return self._lexicon.score(query.text, query.before, self.filters.mask(query.filters))


def shortened(query: Query, fold: Callable[[str], str]) -> Query:
    """Return the query as far as it is searched for, each turn folded."""
    # From the end: whoever talks for minutes asks last.
    text, before = query.text[-MAX_QUERY_CHARACTERS:], query.before[-MAX_QUERY_CHARACTERS:]
    return replace(query, text=fold(text), before=fold(before))


def ranking_by_words(
    query: Query,
    scores: Scores,
    passages_at: Callable[[list[int]], Sequence[Passage]],
    limit: int,
    min_coverage: float,
) -> Ranking:
    """Return the ranking of a search by words alone; below `min_coverage` there are no hits."""
    # Fused scores can't decide this: each is divided by the best, so the best passage always scores high.
    covered = scores.decisive_coverage >= min_coverage
    positions = top_positions(scores.fused, limit) if covered else []
    # Late: where passages are in a database, only those of hits are fetched.
    hits = [
        Hit(
            passage,
            float(scores.fused[position]),
            {
                "stems": float(scores.stems[position]),
                "grams": float(scores.grams[position]),
                "coverage": scores.decisive_coverage,
            },
        )
        for position, passage in zip(positions, passages_at(positions), strict=True)
    ]
    return Ranking(hits, query, "coverage", scores.decisive_coverage, min_coverage)


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
