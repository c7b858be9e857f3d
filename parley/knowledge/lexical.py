"""The lexical tier's numbers: how well each passage fits a question by its words, whole and in part.

Two BM25 scores, by stems with pairs of neighbouring words, and by grams, each divided by its best, are averaged; so
are those of what the user said last, and of that together with what the user said before. Positions in arrays here, no
`Passage`.
"""

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from parley.knowledge import terms
from parley.knowledge.index_builder import Field, FieldBuilder, Numbered, PostingsBuilder
from parley.knowledge.postings import Floats, Reading

MAX_QUERY_CHARACTERS = 1000
"""Of a longer turn only the end is searched, a minute of speech: what was said last."""

TITLE_WEIGHT = 3
"""How often a title's words count: it says what its passage is about."""

MIN_COVERAGE = 0.33
"""Coverage below which nothing was found. On seven collections 4 % of the questions that they answer lie there, and
from 58 to 78 % of questions of another subject (docs/retrieval.md)."""

STEM_SHARE = 0.5
"""Share of the stems and pairs in the score; the grams have the rest."""

PAIR_WEIGHT = 0.6
"""What a pair of neighbours counts beside a stem that is as rare: its words are counted already."""

LAST_SHARE = 0.5
"""Share of the last turn in the score where there is one before it; both turns together have the rest."""

BATCH = 96
"""Passages whose postings are made at once."""

Term = TypeVar("Term", int, str)


@dataclass(frozen=True)
class Scores:
    """What was found out about every passage.

    `fused` runs from 0 to 1 and is 0 where nothing is shared; `stems` and `grams` are its parts. `coverage` is
    the share of the question's weight, by its content words' grams, that the best passage holds.
    """

    fused: Floats
    stems: Floats
    grams: Floats
    coverage: float


class Lexicon:
    """Stems, pairs and grams of all passages."""

    def __init__(self, stems: Field, pairs: Numbered, grams: Field, passages: int) -> None:
        self._stems = stems
        self._pairs = pairs
        self._grams = grams
        self._passages = passages

    def score(self, text: str, before: str = "", mask: NDArray[np.bool_] | None = None) -> Scores:
        """Score all passages against a turn and the one before it; those outside the mask get nothing."""
        last = terms.words(text[-MAX_QUERY_CHARACTERS:])
        earlier = terms.words(before[-MAX_QUERY_CHARACTERS:]) if before else []
        if not terms.content(last):  # "And how much is that?" asks nothing by itself
            last, earlier = earlier, []
        turns = [last, earlier] if earlier else [last]
        wanted = [_grams(terms.content(turn)) for turn in turns]
        stems = _by_turn(self._stems.read, [_stems(turn) for turn in turns])
        pairs = _by_turn(self._read_pairs, [_pairs(turn) for turn in turns])
        grams = _by_turn(self._grams.read, wanted)
        whole, partial = self._sums(stems, pairs), self._sums(grams)
        small_words = [word for word in last if word in terms.STOP_WORDS]
        (small_talk,) = self._sums([self._grams.read(_without(_grams(small_words), wanted[0]))])
        for scores in partial:
            scores += small_talk * (scores > 0)
        stem_scores, gram_scores = _joined(whole, mask), _joined(partial, mask)
        fused = STEM_SHARE * stem_scores
        fused += (1 - STEM_SHARE) * gram_scores
        return Scores(fused, stem_scores, gram_scores, _coverage(fused, grams))

    def _read_pairs(self, pairs: list[int]) -> Reading:
        return self._pairs.read(pairs, PAIR_WEIGHT)

    def _sums(self, *kinds: list[Reading]) -> list[Floats]:
        """The passages' scores by the terms of the last turn, and by those of both turns."""
        summed: list[Floats] = []
        for turn in zip(*kinds, strict=True):
            scores = summed[-1].copy() if summed else np.zeros(self._passages, np.float32)
            for reading in turn:
                reading.add_to(scores)
            summed.append(scores)
        return summed


class _Numbers(dict[str, int]):
    """Words by number, in the order in which they are met."""

    def __init__(self, fields: list[FieldBuilder]) -> None:
        super().__init__()
        self.heads = array("I")
        self._fields = fields

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        self.heads.append(terms.head(word))
        for field in self._fields:
            field.add_word(word)
        return number


class LexiconBuilder:
    """Makes a lexicon of titles and texts, met one by one."""

    def __init__(self, breathe: Callable[[], None]) -> None:
        self._breathe = breathe
        self._stems, self._grams = FieldBuilder(terms.stems, breathe), FieldBuilder(terms.grams, breathe)
        self._pairs = PostingsBuilder(breathe)
        self._numbers = _Numbers([self._stems, self._grams])
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
        stems = self._stems.finish()
        self._breathe()
        pairs = self._pairs.finish_numbered(terms.PAIRS)
        self._breathe()
        return Lexicon(stems, pairs, self._grams.finish(), self._passages)

    def _flush(self) -> None:
        owners, words = (np.array(numbers, np.int64) for numbers in (self._owners, self._words))
        lengths = np.bincount(owners, minlength=self._waiting).astype(np.float32)
        for field in (self._stems, self._grams):
            field.add(lengths, owners, words)
            self._breathe()
        pairs = terms.pairs(np.frombuffer(self._numbers.heads, np.uint32)[words]) if len(words) else words
        kept = (pairs >= 0) & (owners[1:] == owners[:-1]) if len(words) else np.empty(0, np.bool_)
        self._pairs.add(lengths, owners[:-1][kept], pairs[kept])
        self._breathe()
        self._passages += self._waiting
        self._waiting = 0
        self._owners, self._words = array("q"), array("q")


def _stems(words: list[str]) -> list[str]:
    return [stem for word in words for stem in terms.stems(word)]


def _grams(words: list[str]) -> list[str]:
    return [gram for word in words for gram in terms.grams(word)]


def _pairs(words: list[str]) -> list[int]:
    numbers = terms.pairs(np.array([terms.head(word) for word in words], np.uint32)).tolist()
    return list(dict.fromkeys(number for number in numbers if number >= 0))


def _by_turn(read: Callable[[list[Term]], Reading], turns: list[list[Term]]) -> list[Reading]:
    """What is read for the last turn and, where there is one before it, for what that adds."""
    return [read(turns[0]), *(read(_without(turn, turns[0])) for turn in turns[1:])]


def _without(these: list[Term], those: list[Term]) -> list[Term]:
    known = set(those)
    return [each for each in these if each not in known]


def _coverage(fused: Floats, turns: list[Reading]) -> float:
    """The share of the last turn's grams, or of both turns', by weight, that the best passage holds."""
    top = int(fused.argmax()) if len(fused) else 0
    if not len(fused) or not fused[top]:
        return 0.0
    held = accumulate(turn.weight_in(top) for turn in turns)
    return max(part / total for part, total in zip(held, accumulate(turn.total for turn in turns), strict=True))


def _joined(turns: list[Floats], mask: NDArray[np.bool_] | None) -> Floats:
    """Scores from 0 to 1, where they stand: each turn's divided by their best, then mixed."""
    for scores in turns:
        if mask is not None:
            scores *= mask
        scores /= scores.max(initial=0) or 1
    return LAST_SHARE * turns[0] + (1 - LAST_SHARE) * turns[1] if len(turns) > 1 else turns[0]
