"""The lexical tier's numbers: how well each passage fits a question by its words, whole and in part.

Two BM25 scores, by stems and by grams, each divided by its best, are averaged; so are those of what the user
said last, and of that together with what the user said before. Places in arrays here, no `Passage`.
"""

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parley.knowledge import terms
from parley.knowledge.postings import Floats, Postings, PostingsBuilder

MAX_QUERY_CHARACTERS = 1000
"""Of a longer turn only the end is searched, a minute of speech: what was said last."""

TITLE_WEIGHT = 3
"""How often a title's words count: it says what its passage is about."""

MIN_COVERAGE = 0.33
"""Coverage below which nothing was found. On seven collections 4 % of the questions that they answer lie there, and
from 60 to 77 % of questions of another subject (docs/retrieval.md)."""

STEM_SHARE = 0.5
"""Share of the stems in the score; the grams have the rest."""

LAST_SHARE = 0.5
"""Share of the last turn in the score where there is one before it; both turns together have the rest."""

BATCH = 96
"""Passages whose postings are made at once."""


@dataclass(frozen=True)
class Scored:
    """What was found out about every passage.

    `fused` runs from 0 to 1 and is 0 where nothing is shared; `stems` and `grams` are its parts. `coverage` is
    the share of the question's weight, by its content words' grams, that the best passage holds.
    """

    fused: Floats
    stems: Floats
    grams: Floats
    coverage: float


class Lexicon:
    """Stems and grams of all passages."""

    def __init__(self, stems: Postings, grams: Postings, passages: int) -> None:
        self._stems = stems
        self._grams = grams
        self._passages = passages

    def score(self, text: str, before: str = "", mask: NDArray[np.bool_] | None = None) -> Scored:
        """Score all passages against a turn and the one before it; those outside the mask get nothing."""
        last = terms.words(text[-MAX_QUERY_CHARACTERS:])
        earlier = terms.content(terms.words(before[-MAX_QUERY_CHARACTERS:])) if before else []
        content = terms.content(last)
        if not content:  # "And how much is that?" asks nothing by itself
            last = content = earlier
            earlier = []
        stems = self._summed(self._stems, _stems(content), _stems(earlier), mask)
        grams = self._summed(self._grams, _grams(content), _grams(earlier), mask)
        if content:
            small_talk = self._sum(self._grams, set(_grams(last)).difference(_grams(content)), mask)
            for each in {id(each): each for each in grams}.values():
                each += small_talk * (each > 0)
        stem_scores, gram_scores = _joined(*stems), _joined(*grams)
        fused = STEM_SHARE * stem_scores + (1 - STEM_SHARE) * gram_scores
        return Scored(fused, stem_scores, gram_scores, self._coverage(fused, content, earlier))

    def _coverage(self, fused: Floats, last: list[str], earlier: list[str]) -> float:
        """The share of either turn's grams, or of both turns', by weight, that the best passage holds."""
        top = int(fused.argmax()) if len(fused) else 0
        if not len(fused) or not fused[top]:
            return 0.0
        questions = [last, last + earlier] if earlier else [last]
        wanted = [self._grams.wanted(_grams(words)) for words in questions]
        return max(self._grams.weight_in(each, top) / each.total for each in wanted)

    def _summed(
        self, postings: Postings, last: list[str], earlier: list[str], mask: NDArray[np.bool_] | None
    ) -> tuple[Floats, Floats]:
        """The passages' scores by the last turn's terms, and by those of both turns."""
        alone = self._sum(postings, last, mask)
        if not earlier:
            return alone, alone
        added = self._sum(postings, set(earlier).difference(last), mask)
        return alone, alone + added

    def _sum(self, postings: Postings, wanted: Iterable[str], mask: NDArray[np.bool_] | None) -> Floats:
        scores = np.zeros(self._passages, np.float32)
        found = postings.wanted(wanted)
        postings.add(found, scores)
        return scores if mask is None else scores * mask


class _Numbers(dict[str, int]):
    """Words by number, in the order in which they are met."""

    def __init__(self, fields: list[PostingsBuilder]) -> None:
        super().__init__()
        self._fields = fields

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        for field in self._fields:
            field.add_word(word)
        return number


class LexiconBuilder:
    """Makes a lexicon of titles and texts, met one by one."""

    def __init__(self, breathe: Callable[[], None]) -> None:
        self._breathe = breathe
        self._fields = [PostingsBuilder(terms.stems, breathe), PostingsBuilder(terms.grams, breathe)]
        self._numbers = _Numbers(self._fields)
        self._passages = 0
        self._waiting = 0
        self._owners = array("q")
        self._words = array("q")

    def add(self, title: str, text: str) -> None:
        """The next passage."""
        said = terms.words(title) * TITLE_WEIGHT + terms.words(text)
        numbers = self._numbers
        self._words.extend([numbers[word] for word in said])
        self._owners.extend([self._waiting] * len(said))
        self._waiting += 1
        if self._waiting % 8 == 0:
            self._breathe()
        if self._waiting == BATCH:
            self._flush()

    def finish(self) -> Lexicon:
        """The lexicon of all passages added. The builder is of no use afterwards."""
        self._flush()
        del self._numbers
        stems, grams = (field.finish() for field in self._fields)
        return Lexicon(stems, grams, self._passages)

    def _flush(self) -> None:
        owners, words = (np.array(numbers, np.int64) for numbers in (self._owners, self._words))
        for field in self._fields:
            field.add_passages(self._waiting, owners, words)
            self._breathe()
        self._passages += self._waiting
        self._waiting = 0
        self._owners, self._words = array("q"), array("q")


def _stems(words: list[str]) -> list[str]:
    return [stem for word in words for stem in terms.stems(word)]


def _grams(words: list[str]) -> list[str]:
    return [gram for word in words for gram in terms.grams(word)]


def _joined(alone: Floats, both: Floats) -> Floats:
    """Scores from 0 to 1: each kind divided by its best, then mixed."""
    if both is alone:
        return _from_0_to_1(alone)
    return LAST_SHARE * _from_0_to_1(alone) + (1 - LAST_SHARE) * _from_0_to_1(both)


def _from_0_to_1(scores: Floats) -> Floats:
    best = scores.max(initial=0)
    return scores / best if best else scores
