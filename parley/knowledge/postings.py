"""Term statistics in lean arrays: which passages hold a term, and how much that says of them (BM25).

A posting takes three bytes: the passage's place in its segment, and the saturated frequency of the term in it
in steps of 1/255. Built once by `PostingsBuilder`, read only afterwards. Nothing here knows what a term is.
"""

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

K1 = 2.0
B = 0.75
"""BM25's constants: within the range that textbooks give (k1 1.2 to 2, b 0.75), best at its upper end here, where
title words count thrice."""

SEGMENT = 1 << 16
"""Passages in a segment: as many as two bytes can number."""

MAX_POSTINGS = 200_000
"""Postings read for one search, rarest terms first: what bounds its time (about 2 ns each) on large collections."""

_STEPS = 255.0
_SLICE = 1 << 16
_PAGES = 1 << 18


@dataclass(frozen=True)
class _Segment:
    """The postings of consecutive passages, those of term `t` from `bounds[t]` to `bounds[t + 1]`."""

    start: int
    end: int
    bounds: NDArray[np.int64]
    places: NDArray[np.uint16]
    impacts: NDArray[np.uint8]

    def add(self, ids: NDArray[np.int64], weights: Floats, scores: Floats) -> None:
        """Add the impacts of these terms, each times its weight, to the scores of this segment's passages."""
        spans, sizes = self._spans(ids)
        places = np.concatenate([self.places[span] for span in spans])
        impacts = np.concatenate([self.impacts[span] for span in spans])
        # Of numpy's ways to add at repeated places the quickest, by far, where all types fit.
        np.add.at(scores, places.astype(np.intp), impacts * weights.repeat(sizes))

    def weight_in(self, ids: NDArray[np.int64], weights: Floats, place: int) -> float:
        """The weights of those of these terms that the passage at a place holds, summed."""
        if not len(ids):
            return 0.0
        spans, sizes = self._spans(ids)
        places = np.concatenate([self.places[span] for span in spans])
        return float(weights.repeat(sizes)[places == place].sum())

    def _spans(self, ids: NDArray[np.int64]) -> tuple[list[slice], NDArray[np.int64]]:
        starts, ends = self.bounds[ids], self.bounds[ids + 1]
        spans = [slice(start, end) for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]
        return spans, ends - starts


class Postings:
    """Who holds which term, ready to be summed up."""

    def __init__(self, vocabulary: dict[str, int], segments: list[_Segment], passages: int) -> None:
        self._vocabulary = vocabulary
        self._segments = segments
        self._passages = passages
        self._frequency = np.zeros(len(vocabulary), np.int64)
        for segment in segments:
            self._frequency += np.diff(segment.bounds)
        self._idf: Floats = _idf(self._frequency, passages).astype(np.float32)
        # As rare as a term of one passage. Even rarer, small collections would cover no question.
        self._unknown = float(_idf(np.ones(1), passages)[0])

    def wanted(self, terms: Iterable[str]) -> "Wanted":
        """Those of the terms that occur, each once, and the weight of all."""
        unique = dict.fromkeys(terms)
        known = [number for term in unique if (number := self._vocabulary.get(term)) is not None]
        ids = np.array(known, np.int64)
        weights = self._idf[ids]
        return Wanted(ids, weights, float(weights.sum()) + self._unknown * (len(unique) - len(known)))

    def add(self, wanted: "Wanted", scores: Floats) -> None:
        """Add to each passage's score what it holds of these terms: IDF times saturated frequency."""
        ids, weights = wanted.ids, wanted.weights
        frequency = self._frequency[ids]
        if frequency.sum() > MAX_POSTINGS:
            rarest = np.argsort(frequency, kind="stable")
            rarest = rarest[: max(1, int(np.searchsorted(frequency[rarest].cumsum(), MAX_POSTINGS)))]
            ids, weights = ids[rarest], weights[rarest]
        if len(ids):
            for segment in self._segments:
                segment.add(ids, weights / np.float32(_STEPS), scores[segment.start : segment.end])

    def weight_in(self, wanted: "Wanted", passage: int) -> float:
        """The sum of the weights of those terms that a passage holds."""
        segment = next(each for each in self._segments if each.start <= passage < each.end)
        return segment.weight_in(wanted.ids, wanted.weights, passage - segment.start)


@dataclass(frozen=True)
class Wanted:
    """Terms to look for: the numbers and IDF of those that occur, and the sum of all terms' IDF."""

    ids: NDArray[np.int64]
    weights: Floats
    total: float


def _idf(frequency: NDArray[Any], passages: int) -> NDArray[np.float64]:
    return np.log1p((passages - frequency + 0.5) / (frequency + 0.5))


@dataclass(frozen=True)
class _Batch:
    """Postings of a few passages, in runs of one term."""

    terms: NDArray[np.int32]
    counts: NDArray[np.int32]
    places: NDArray[np.uint16]
    frequencies: NDArray[np.uint8]


class PostingsBuilder:
    """Collects words, passage by passage, and makes `Postings` of them."""

    def __init__(
        self, terms: Callable[[str], Iterable[str]], breathe: Callable[[], None], segment: int = SEGMENT
    ) -> None:
        self._terms = terms
        self._segment = segment
        self._breathe = breathe
        self._vocabulary: dict[str, int] = {}
        # The terms of word `w` are `_flat[_starts[w]:_starts[w + 1]]`.
        self._flat = array("i")
        self._starts = array("i", [0])
        self._batches: list[_Batch] = []
        self._segments: list[_Segment] = []
        self._lengths: list[Floats] = []
        self._start = self._end = 0

    def add_word(self, word: str) -> None:
        """Meet a word for the first time: its number is the count of those met before."""
        for term in self._terms(word):
            self._flat.append(self._vocabulary.setdefault(term, len(self._vocabulary)))
        self._starts.append(len(self._flat))

    def add_passages(self, count: int, owners: NDArray[np.int64], words: NDArray[np.int64]) -> None:
        """The next `count` passages: for each word whose it is, from 0, and its number.

        The more at once, the less memory; no more than fit into a segment.
        """
        if self._end + count - self._start > self._segment:
            self._close_segment()
        starts = np.frombuffer(self._starts, np.intc)
        sizes = starts[words + 1] - starts[words]
        owned = np.repeat(owners, sizes)
        ahead = np.cumsum(sizes) - sizes
        at = np.repeat(starts[words] - ahead, sizes) + np.arange(len(owned))
        self._breathe()
        terms = np.frombuffer(self._flat, np.intc)[at].astype(np.int64) if len(owned) else owned
        self._lengths.append(np.bincount(owners, minlength=count).astype(np.float32))
        keys = (terms << 16) | (owned + (self._end - self._start))
        self._breathe()
        keys.sort()
        self._breathe()
        self._batches.append(_batch(keys))
        self._end += count

    def finish(self) -> Postings:
        """The postings of all passages added. The builder is of no use afterwards."""
        self._close_segment()
        lengths = np.concatenate([*self._lengths, np.empty(0, np.float32)])
        average = float(lengths.mean()) if lengths.size else 0.0
        slowness = K1 * (1 - B + B * lengths / (average or 1.0))
        for segment in self._segments:
            self._saturate(segment, slowness[segment.start : segment.end].astype(np.float32))
        # Terms first met in a later segment occur nowhere in the earlier ones.
        terms = len(self._vocabulary)
        segments = [
            replace(each, bounds=np.pad(each.bounds, (0, terms + 1 - len(each.bounds)), "edge"))
            for each in self._segments
        ]
        return Postings(self._vocabulary, segments, self._end)

    def _close_segment(self) -> None:
        """Sort the batches' postings by term; each batch is let go as soon as it is copied."""
        sizes = np.zeros(len(self._vocabulary), np.int64)
        for batch in self._batches:
            sizes[batch.terms] += batch.counts
            self._breathe()
        bounds = np.concatenate([[0], np.cumsum(sizes)])
        cursor = bounds[:-1].copy()
        places, impacts = np.empty(bounds[-1], np.uint16), np.empty(bounds[-1], np.uint8)
        for at in range(0, len(places), _PAGES):  # memory that is new takes time when it is first touched
            places[at : at + _PAGES], impacts[at : at + _PAGES] = 0, 0
            self._breathe()
        self._batches.reverse()
        while self._batches:
            batch = self._batches.pop()
            ahead = np.cumsum(batch.counts) - batch.counts
            to = np.repeat(cursor[batch.terms] - ahead, batch.counts) + np.arange(len(batch.places))
            places[to], impacts[to] = batch.places, batch.frequencies
            cursor[batch.terms] += batch.counts
            self._breathe()
        self._segments.append(_Segment(self._start, self._end, bounds, places, impacts))
        self._start = self._end

    def _saturate(self, segment: _Segment, slowness: Floats) -> None:
        """Turn frequencies into impacts, where they stand."""
        for at in range(0, len(segment.places), _SLICE):
            part = slice(at, at + _SLICE)
            frequency = segment.impacts[part].astype(np.float32)
            impact = frequency / (frequency + slowness[segment.places[part]]) * _STEPS
            segment.impacts[part] = np.maximum(np.rint(impact), 1)
            self._breathe()


def _batch(keys: NDArray[np.int64]) -> _Batch:
    """Of sorted pairs of term and place, each as often as it occurs."""
    new = np.concatenate([[True], keys[1:] != keys[:-1]]) if len(keys) else np.empty(0, np.bool_)
    firsts = np.flatnonzero(new)
    frequencies = np.diff(np.append(firsts, len(keys)))
    keys = keys[firsts]
    terms = keys >> 16
    runs = np.flatnonzero(np.diff(terms, prepend=-1))
    return _Batch(
        terms[runs].astype(np.int32),
        np.diff(runs, append=len(terms)).astype(np.int32),
        (keys & 0xFFFF).astype(np.uint16),
        np.minimum(frequencies, 255).astype(np.uint8),
    )
