"""Building postings: words of passages, added one passage after another, become arrays by term.

    add          a batch of passages: their (term, position) pairs, sorted and counted  ->  a batch of postings
    segment      full, or at the end: the batches' postings sorted by term, as frequencies
    finish       lengths of all passages known: frequencies become impacts; terms of later segments become empty ones

Everything is done in steps of a few milliseconds with a call of `breathe` after each, so that the event loop can run.
Scoring lives in `postings.py`.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from parley.knowledge.postings import STEPS, Floats, Postings, Segment, TermScorer

K1 = 1.2
B = 0.75
"""BM25's constants, as in Lucene and the textbooks (docs/retrieval.md)."""

SEGMENT = 1 << 15
"""Most passages in a segment; two bytes hold a position. While a segment is built, it takes twice its memory."""

ROW_SHARE = 1 / 6
"""Share of a segment's passages above which a term has a row.

By memory a third would do; a sixth takes 5 % more memory, and 5 % less time.
"""

_SLICE = 1 << 16
"""Postings that are turned into impacts in one step."""
_TOUCHED = 1 << 18
"""Elements of new memory that are touched in one step."""


@dataclass(frozen=True)
class Field:
    """Postings by words: stems or grams, with a vocabulary of all that occur."""

    vocabulary: dict[str, int]
    postings: Postings

    def scorer(self, terms: Iterable[str]) -> TermScorer:
        """Return the scorer of these terms, each counted once."""
        unique = dict.fromkeys(terms)
        known = [number for term in unique if (number := self.vocabulary.get(term)) is not None]
        return self.postings.scorer(known, len(unique) - len(known))


@dataclass(frozen=True)
class SparseField:
    """Postings by numbers from a large range, such as hashes; `numbers` are those that occur, in ascending order."""

    numbers: NDArray[np.int64]
    postings: Postings

    def scorer(self, wanted: Sequence[int], weight: float) -> TermScorer:
        """Return the scorer of those numbers that occur, each counted once and weighing `weight` times its IDF."""
        ids = np.array(list(dict.fromkeys(wanted)) if len(self.numbers) else [], np.int64)
        positions = np.searchsorted(self.numbers, ids)
        occurs = self.numbers.take(positions, mode="clip") == ids
        return self.postings.scorer(positions[occurs].tolist(), weight=weight)


class FieldBuilder:
    """Builds a `Field` from the words of passages; `terms` gives the terms of a word."""

    def __init__(
        self, terms: Callable[[str], Iterable[str]], breathe: Callable[[], None], segment: int = SEGMENT
    ) -> None:
        self._terms = terms
        self._breathe = breathe
        self._postings = PostingsBuilder(breathe, segment)
        self._vocabulary: dict[str, int] = {}
        # The terms of word `w` are `_flat[_starts[w]:_starts[w + 1]]`.
        self._flat = array("i")
        self._starts = array("i", [0])

    def add_word(self, word: str) -> None:
        """Add a word that has not occurred before; its number is the count of the words before it."""
        for term in self._terms(word):
            self._flat.append(self._vocabulary.setdefault(term, len(self._vocabulary)))
        self._starts.append(len(self._flat))

    def add(self, lengths: Floats, owners: NDArray[np.int64], words: NDArray[np.int64]) -> None:
        """Add the next passages. Each word has its owner, the passage's index among them, and its number."""
        starts = np.frombuffer(self._starts, np.intc)
        sizes = starts[words + 1] - starts[words]
        # Term `i` of all lies at: the start of its word's terms, plus its index among them. `before` counts the terms
        # of the words before its own.
        before = np.cumsum(sizes) - sizes
        at = np.repeat(starts[words] - before, sizes) + np.arange(sizes.sum())
        self._breathe()
        terms = np.frombuffer(self._flat, np.intc)[at].astype(np.int64) if len(at) else at
        self._postings.add(lengths, np.repeat(owners, sizes), terms)

    def finish(self) -> Field:
        """Return the field of all passages added. The builder must not be used afterwards."""
        return Field(self._vocabulary, self._postings.finish(len(self._vocabulary)))


@dataclass(frozen=True)
class _Batch:
    """Postings of less than 256 passages, sorted by term: `counts` tells how many each of the terms has."""

    terms: NDArray[np.int32]
    counts: NDArray[np.uint8]
    positions: NDArray[np.uint16]
    frequencies: NDArray[np.uint8]


class PostingsBuilder:
    """Builds `Postings` from the terms of passages, given by number."""

    def __init__(self, breathe: Callable[[], None], segment: int = SEGMENT) -> None:
        self._breathe = breathe
        self._segment = segment
        self._batches: list[_Batch] = []
        self._segments: list[Segment] = []
        self._frequencies: list[NDArray[np.uint32]] = []
        self._lengths: list[Floats] = []
        self._start = self._end = 0

    def add(self, lengths: Floats, owners: NDArray[np.int64], terms: NDArray[np.int64]) -> None:
        """Add the next passages. Each term has its owner, the passage's index among them, and its number.

        The more passages at once, the less memory is used; at most 255, and no more than fit into a segment.
        """
        if self._end + len(lengths) - self._start > self._segment:
            self._close_segment()
        self._lengths.append(lengths)
        # Term and position in one number: sorting numbers is much faster than sorting pairs.
        keys = (terms << 16) | (owners + (self._end - self._start))
        self._breathe()
        keys.sort()
        self._breathe()
        first = np.concatenate([[True], keys[1:] != keys[:-1]]) if len(keys) else np.empty(0, np.bool_)
        firsts = np.flatnonzero(first)
        frequencies = np.diff(np.append(firsts, len(keys)))
        keys = keys[firsts]
        sorted_terms = keys >> 16
        runs = np.flatnonzero(np.diff(sorted_terms, prepend=-1))
        self._batches.append(
            _Batch(
                sorted_terms[runs].astype(np.int32),
                np.diff(runs, append=len(sorted_terms)).astype(np.uint8),
                (keys & 0xFFFF).astype(np.uint16),
                np.minimum(frequencies, 255).astype(np.uint8),
            )
        )
        self._end += len(lengths)

    def finish(self, terms: int) -> Postings:
        """Return the postings of all passages added, whose terms' numbers are below `terms`."""
        return Postings(*self._finish_segments(terms), self._end)

    def finish_sparse(self, terms: int) -> SparseField:
        """Like `finish`, but keep only the numbers that occur: in a small collection a fraction of all."""
        segments, frequency = self._finish_segments(terms)
        occurring = np.flatnonzero(frequency)
        ends = np.append(occurring, terms)
        kept = [replace(each, bounds=each.bounds[ends], row_of=each.row_of[occurring]) for each in segments]
        return SparseField(occurring, Postings(kept, frequency[occurring], self._end))

    def _finish_segments(self, terms: int) -> tuple[list[Segment], NDArray[np.uint32]]:
        """Return all segments with impacts, and for each term the number of passages that hold it."""
        self._close_segment()
        lengths = np.concatenate([*self._lengths, np.empty(0, np.float32)])
        average = float(lengths.mean()) if lengths.size else 0.0
        # BM25's saturation, frequency / (frequency + slowness): the longer a passage, the more often a term must occur.
        slowness = (K1 * (1 - B + B * lengths / (average or 1.0))).astype(np.float32)
        for segment in self._segments:
            slowness_here = slowness[segment.start : segment.end]
            for at in range(0, len(segment.positions), _SLICE):
                part = slice(at, at + _SLICE)
                segment.impacts[part] = impacts(segment.impacts[part], slowness_here[segment.positions[part]])
                self._breathe()
            for row in segment.rows:
                row[:] = np.where(row, impacts(row, slowness_here), 0)
                self._breathe()
            self._breathe()
        # A term that first occurs in a later segment occurs nowhere in the earlier ones.
        padded = [
            replace(
                each,
                bounds=np.pad(each.bounds, (0, terms + 1 - len(each.bounds)), "edge"),
                row_of=np.pad(each.row_of, (0, terms - len(each.row_of)), constant_values=-1),
            )
            for each in self._segments
        ]
        frequency = np.zeros(terms, np.uint32)
        for counted in self._frequencies:
            frequency[: len(counted)] += counted
        self._breathe()
        return padded, frequency

    def _close_segment(self) -> None:
        """Sort the batches' postings by term."""
        terms = 1 + max((int(batch.terms.max(initial=-1)) for batch in self._batches), default=-1)
        frequency = np.zeros(terms, np.uint32)
        for batch in self._batches:
            frequency[batch.terms] += batch.counts
            self._breathe()
        self._frequencies.append(frequency)
        layout = _Layout(frequency, self._end - self._start, self._breathe)
        # Each batch is released once it has been copied, so that the memory is not needed twice over.
        self._batches.reverse()
        while self._batches:
            layout.copy_in(self._batches.pop())
            self._breathe()
        self._segments.append(
            Segment(self._start, self._end, layout.bounds, layout.positions, layout.impacts, layout.row_of, layout.rows)
        )
        self._start = self._end


def impacts(frequencies: NDArray[np.uint8], slowness: Floats) -> NDArray[np.uint8]:
    """Return the saturated frequencies in steps, at least one step each."""
    saturated = frequencies.astype(np.float32)
    saturated /= saturated + slowness
    return np.asarray(np.maximum(np.rint(saturated * np.float32(STEPS)), 1), np.uint8)


class _Layout:
    """The arrays of a segment, allocated by the terms' frequencies and then filled batch by batch.

    row_of        term ->  -1  |  row
    bounds        term ->  first posting; of a term with a row, no postings
    positions     | term 0 ...  | term 1 ...  |      bounds[t] to bounds[t + 1]: the postings of term t
    impacts       | ...         | ...         |      (frequencies, until the segments are finished)
    _cursor                ^             ^           next free posting of each term
    """

    def __init__(self, frequency: NDArray[np.uint32], size: int, breathe: Callable[[], None]) -> None:
        common = np.flatnonzero(frequency > size * ROW_SHARE)
        self.rows = np.empty((len(common), size), np.uint8)
        self.row_of = np.full(len(frequency), -1, np.int32)
        self.row_of[common] = np.arange(len(common))
        self.bounds = np.zeros(1 + len(frequency), np.uint32)
        self.bounds[1:] = np.cumsum(np.where(self.row_of < 0, frequency, 0))
        self.positions, self.impacts = np.empty(self.bounds[-1], np.uint16), np.empty(self.bounds[-1], np.uint8)
        breathe()
        # The kernel provides new memory when it is first touched, which takes time: it is touched in steps.
        for fresh in (self.rows.reshape(-1), self.positions, self.impacts):
            for at in range(0, len(fresh), _TOUCHED):
                fresh[at : at + _TOUCHED] = 0
                breathe()
        self._cursor = self.bounds[:-1].astype(np.int64)

    def copy_in(self, batch: _Batch) -> None:
        """Copy a batch to the rows of its terms, or behind the postings that its terms have already."""
        row = self.row_of[batch.terms]
        counts = np.where(row < 0, batch.counts, 0).astype(np.int64)
        rows = np.repeat(row, batch.counts)
        listed, held = rows < 0, rows >= 0
        self.rows[rows[held], batch.positions[held]] = batch.frequencies[held]
        # A listed posting's target is its term's cursor, plus its index among the batch's postings of that term.
        to = np.repeat(self._cursor[batch.terms] - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
        self.positions[to], self.impacts[to] = batch.positions[listed], batch.frequencies[listed]
        self._cursor[batch.terms] += counts
