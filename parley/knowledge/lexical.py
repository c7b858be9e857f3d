"""The lexical tier's scores: how well each passage matches a question by its words, whole and in part.

    terms of a turn    ->  BM25 by stems and pairs of words  ->  / best  -.
                       ->  BM25 by grams                     ->  / best  -+->  mean

Each of the two is itself the mean of the last turn's scores and of those of both turns, if the user said something
before. Passages are positions in arrays here; hits and the threshold live in `index.py`.
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from parley.knowledge import terms
from parley.knowledge.index_builder import Field, FieldBuilder, PostingsBuilder, SparseField
from parley.knowledge.postings import Floats, TermScorer
from parley.knowledge.spoken_forms import SpokenForms, codes
from parley.knowledge.terms import CODE_MARK, Analyzer
from parley.languages.language import Language

MAX_QUERY_CHARACTERS = 1000
"""Characters of a turn that are searched for, counted from its end: a minute of speech."""

TITLE_WEIGHT = 3
"""Number of times that the words of a title count: a title says what its passage is about."""

MIN_COVERAGE = 0.33
"""Coverage below which a search finds nothing.

Of the questions that seven collections answer 4 % lie there, and 58 to 78 % of questions on another subject
(docs/retrieval.md).
"""

STEM_SHARE = 0.5
"""Share of the stems and pairs in the score; the rest is the grams'."""

PAIR_WEIGHT = 0.6
"""Weight of a pair of neighbours against a stem of equal rarity: the pair's words are counted already."""

LAST_SHARE = 0.5
"""Share of the last turn in the score if there is one before it; the rest is that of both turns together."""

BATCH = 96
"""Passages whose postings are built in one step."""

Term = TypeVar("Term", int, str)


@dataclass(frozen=True)
class Scores:
    """The scores of all passages, from 0 to 1, and the coverage of the question.

    `fused` is 0 where nothing is shared; `stems` and `grams` are its parts. `coverage` is the share of the question's
    weight, by the grams of its content words, that the best passage holds. `own_coverage` is that of the last turn by
    itself if there are earlier ones, but it has a subject of its own, else None.
    """

    fused: Floats
    stems: Floats
    grams: Floats
    coverage: float
    own_coverage: float | None = None

    @property
    def decisive_coverage(self) -> float:
        """The coverage that tells if there is an answer: earlier turns are no evidence for one on another subject."""
        return self.coverage if self.own_coverage is None else self.own_coverage

    def at(self, positions: list[int]) -> "Scores":
        """Return the scores of some of the passages; the coverage is that of all."""
        fused, stems, grams = self.fused[positions], self.stems[positions], self.grams[positions]
        return Scores(fused, stems, grams, self.coverage, self.own_coverage)


@dataclass(frozen=True)
class QueryTerms:
    """The terms of a search: those of the last turn, then those that a turn before it adds, if there is one.

    `stop_grams` are those of the last turn's stop words alone. `asks_by_itself` is true if there is a turn before, but
    the last one has a subject of its own.
    """

    stems: list[list[str]]
    pairs: list[list[int]]
    grams: list[list[str]]
    stop_grams: list[str]
    asks_by_itself: bool

    @classmethod
    def of(cls, analyzer: Analyzer, text: str, before: str = "") -> "QueryTerms":
        """Return the terms of a turn and of the one before it."""
        last = words_and_codes(text[-MAX_QUERY_CHARACTERS:])
        earlier = words_and_codes(before[-MAX_QUERY_CHARACTERS:]) if before else []
        # "And how much is that?" asks nothing by itself: the turn before takes its place.
        if not analyzer.content(last):
            last, earlier = earlier, []
        turns = [last, earlier] if earlier else [last]
        # Each term once: of a turn before, only what the last one does not say.
        heads = [np.array([analyzer.head(word) for word in turn], np.uint32) for turn in turns]
        grams = [_grams(analyzer.content(turn)) for turn in turns]
        stop_words = [word for word in last if word in analyzer.language.function_words]
        return cls(
            _by_turn([[stem for word in turn for stem in analyzer.stems(word)] for turn in turns]),
            _by_turn([terms.pairs(turn).tolist() for turn in heads]),
            _by_turn(grams),
            _without(_grams(stop_words), grams[0]),
            len(turns) > 1 and analyzer.asks_by_itself(text),
        )


class HeldWeight(Protocol):
    """The weight of some terms, all of them and those that one passage holds."""

    total: float

    def weight_in(self, passage: int) -> float:
        """Return the sum of the weights of the terms that a passage holds."""
        ...


def scores_of(
    wanted: QueryTerms,
    by_stems: list[Floats],
    by_grams: list[Floats],
    by_stop_words: Floats,
    grams: Sequence[HeldWeight],
    mask: NDArray[np.bool_] | None = None,
) -> Scores:
    """Return the scores of passages, given their sums by the terms of the last turn and by those of both turns.

    `grams` weigh the grams of each turn. The sums are changed in place.
    """
    # Stop words raise passages that share a content word, and find none by themselves.
    for scores in by_grams:
        scores += by_stop_words * (scores > 0)
    stem_scores, gram_scores = _normalized(by_stems, mask), _normalized(by_grams, mask)
    fused = STEM_SHARE * stem_scores
    fused += (1 - STEM_SHARE) * gram_scores
    # The best passage covers the last turn or both turns: a follow-up may repeat nothing of the question before.
    coverage = held = total = 0.0
    if len(fused) and fused[best := int(fused.argmax())]:
        for turn_grams in grams:
            held += turn_grams.weight_in(best)
            total += turn_grams.total
            coverage = max(coverage, held / total)
    own_coverage = None
    if wanted.asks_by_itself:
        best = int((by_stems[0] + by_grams[0]).argmax()) if len(fused) else 0
        own_coverage = grams[0].weight_in(best) / grams[0].total if len(fused) and grams[0].total else 0.0
    return Scores(fused, stem_scores, gram_scores, coverage, own_coverage)


class Lexicon:
    """The stems, pairs and grams of all passages."""

    def __init__(
        self, analyzer: Analyzer, forms: SpokenForms, stems: Field, pairs: SparseField, grams: Field, passages: int
    ) -> None:
        self.analyzer = analyzer
        self.forms = forms
        self._stems = stems
        self._pairs = pairs
        self._grams = grams
        self._passages = passages

    def score(self, text: str, before: str = "", mask: NDArray[np.bool_] | None = None) -> Scores:
        """Return the scores of all passages for a turn and the one before it; passages outside the mask score 0."""
        wanted = QueryTerms.of(self.analyzer, text, before)
        stems = [self._stems.scorer(turn) for turn in wanted.stems]
        pairs = [self._pairs.scorer(turn, PAIR_WEIGHT) for turn in wanted.pairs]
        grams = [self._grams.scorer(turn) for turn in wanted.grams]
        # Pairs count with the stems: apart, they would outweigh them where few occur.
        by_stems, by_grams = self._sums(stems, pairs), self._sums(grams)
        (by_stop_words,) = self._sums([self._grams.scorer(wanted.stop_grams)])
        return scores_of(wanted, by_stems, by_grams, by_stop_words, grams, mask)

    def _sums(self, *kinds: list[TermScorer]) -> list[Floats]:
        """Return the passages' scores by the terms of the last turn, then those by the terms of both turns."""
        sums: list[Floats] = []
        for turn in zip(*kinds, strict=True):
            scores = sums[-1].copy() if sums else np.zeros(self._passages, np.float32)
            for scorer in turn:
                scorer.add_to(scores)
            sums.append(scores)
        return sums


class _WordNumbers(dict[str, int]):
    """The number of each word, in the order in which they occur; a new word is added to all fields.

    A missing key adds itself: most words of a text have occurred before, and then the lookup runs in C alone.
    """

    def __init__(self, fields: list[FieldBuilder], head: Callable[[str], int]) -> None:
        super().__init__()
        self.heads = array("I")
        self._fields = fields
        self._head = head

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        self.heads.append(self._head(word))
        for field in self._fields:
            field.add_word(word)
        return number


class LexiconBuilder:
    """Builds a `Lexicon` from titles and texts, added one passage after another."""

    def __init__(self, language: Language, breathe: Callable[[], None]) -> None:
        self._breathe = breathe
        self._analyzer = Analyzer(language)
        self._forms = SpokenForms(language)
        self._stems, self._grams = FieldBuilder(self._analyzer.stems, breathe), FieldBuilder(terms.grams, breathe)
        self._pairs = PostingsBuilder(breathe)
        self._numbers = _WordNumbers([self._stems, self._grams], self._analyzer.head)
        self._passages = 0
        # The batch: its passages so far, and of each word its passage and its number.
        self._waiting = 0
        self._owners = array("q")
        self._words = array("q")

    def add(self, title: str, text: str) -> None:
        """Add the next passage."""
        words = words_of_passage(title, text, self._forms)
        numbers = self._numbers
        self._words.extend([numbers[word] for word in words])
        self._owners.extend([self._waiting] * len(words))
        self._waiting += 1
        if self._waiting % 8 == 0:
            self._breathe()
        if self._waiting == BATCH:
            self._flush()

    def finish(self) -> Lexicon:
        """Return the lexicon of all passages added. The builder must not be used afterwards."""
        self._flush()
        # Released before the fields are finished, which is when most memory is used.
        del self._numbers
        stems = self._stems.finish()
        self._breathe()
        pairs = self._pairs.finish_sparse(terms.PAIRS)
        self._breathe()
        return Lexicon(self._analyzer, self._forms, stems, pairs, self._grams.finish(), self._passages)

    def _flush(self) -> None:
        """Add the batch's passages to the fields and to the pairs."""
        owners, words = (np.array(numbers, np.int64) for numbers in (self._owners, self._words))
        lengths = np.bincount(owners, minlength=self._waiting).astype(np.float32)
        for field in (self._stems, self._grams):
            field.add(lengths, owners, words)
            self._breathe()
        pairs = terms.pairs(np.frombuffer(self._numbers.heads, np.uint32)[words]) if len(words) else words
        # The last word of a passage and the first of the next are no neighbours.
        kept = (pairs >= 0) & (owners[1:] == owners[:-1]) if len(words) else np.empty(0, np.bool_)
        self._pairs.add(lengths, owners[:-1][kept], pairs[kept])
        self._breathe()
        self._passages += self._waiting
        self._waiting = 0
        self._owners, self._words = array("q"), array("q")


def words_of_passage(title: str, text: str, forms: SpokenForms) -> list[str]:
    """Return the words of a passage and the terms of its codes, as often as they count; `forms` learn its forms."""
    title_words, text_words = terms.words(title), terms.words(text)
    words = (title_words + forms.add(title, title_words)) * TITLE_WEIGHT
    return words + text_words + forms.add(text, text_words)


def words_and_codes(text: str) -> list[str]:
    """Return the words of a text, and the terms of its numbers and codes."""
    return terms.words(text) + [CODE_MARK + joined for joined, _ in codes(text)]


def _grams(words: list[str]) -> list[str]:
    return [gram for word in words for gram in terms.grams(word)]


def _by_turn(turns: list[list[Term]]) -> list[list[Term]]:
    """Return the last turn's terms and, if there is a turn before it, those that it adds."""
    return [_without(turn, turns[0] if at else []) for at, turn in enumerate(turns)]


def _without(terms: list[Term], excluded: list[Term]) -> list[Term]:
    known = set(excluded)
    return [term for term in terms if term not in known]


def _normalized(turns: list[Floats], mask: NDArray[np.bool_] | None) -> Floats:
    """Return the turns' scores in one, from 0 to 1: each divided by its best, then mixed. Changes them in place."""
    for scores in turns:
        # Masked before the best is sought: a passage that is filtered out must not lower the others' scores.
        if mask is not None:
            scores *= mask
        # 0 / 0 would be NaN where no passage shares a term.
        scores /= scores.max(initial=0) or 1
    return LAST_SHARE * turns[0] + (1 - LAST_SHARE) * turns[1] if len(turns) > 1 else turns[0]
