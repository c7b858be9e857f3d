"""Postings made: from the words of passages, met one after another, to who holds which term.

Everything is done in steps of a few milliseconds, with a breath after each, beside which streams can flow.
"""

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from parley.knowledge.postings import STEPS, Floats, Postings, Reading, Segment

K1 = 1.2
B = 0.75
"""BM25's constants, as in Lucene and the textbooks (docs/retrieval.md)."""

SEGMENT = 1 << 15
"""Passages in a segment: no more than two bytes can number. While one is made, it takes twice its memory."""

ROW_SHARE = 1 / 6
"""Share of a segment's passages from which on a term's row is no larger than its postings."""

_SLICE = 1 << 16
_PAGES = 1 << 18


@dataclass(frozen=True)
class Field:
    """Postings by terms that are written out."""

    vocabulary: dict[str, int]
    postings: Postings

    def read(self, terms: Iterable[str]) -> Reading:
        """Read those of the terms that occur, each once."""
        unique = dict.fromkeys(terms)
        known = [number for term in unique if (number := self.vocabulary.get(term)) is not None]
        return self.postings.read(known, len(unique) - len(known))


@dataclass(frozen=True)
class Numbered:
    """Postings by numbers that are given from outside: those that occur, in order, of which there may be few."""

    numbers: NDArray[np.int64]
    postings: Postings

    def read(self, wanted: Sequence[int], weight: float) -> Reading:
        """Read those of the numbers that occur, none given twice, each weighing `weight` times its IDF."""
        ids = np.array(wanted if len(self.numbers) else [], np.int64)
        positions = np.searchsorted(self.numbers, ids)
        occurs = self.numbers.take(positions, mode="clip") == ids
        return self.postings.read(positions[occurs].tolist(), weight=weight)


class FieldBuilder:
    """Collects words, passage by passage, and makes a `Field` of the terms that each word has."""

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
        """Meet a word for the first time: its number is the count of those met before."""
        for term in self._terms(word):
            self._flat.append(self._vocabulary.setdefault(term, len(self._vocabulary)))
        self._starts.append(len(self._flat))

    def add(self, lengths: Floats, owners: NDArray[np.int64], words: NDArray[np.int64]) -> None:
        """The next passages, as long as this: for each word whose it is, from 0, and its number."""
        starts = np.frombuffer(self._starts, np.intc)
        sizes = starts[words + 1] - starts[words]
        ahead = np.cumsum(sizes) - sizes
        at = np.repeat(starts[words] - ahead, sizes) + np.arange(sizes.sum())
        self._breathe()
        terms = np.frombuffer(self._flat, np.intc)[at].astype(np.int64) if len(at) else at
        self._postings.add(lengths, np.repeat(owners, sizes), terms)

    def finish(self) -> Field:
        """The field of all passages added. The builder is of no use afterwards."""
        return Field(self._vocabulary, self._postings.finish(len(self._vocabulary)))


@dataclass(frozen=True)
class _Batch:
    """Postings of a few passages, less than 256, in runs of one term."""

    terms: NDArray[np.int32]
    counts: NDArray[np.uint8]
    positions: NDArray[np.uint16]
    frequencies: NDArray[np.uint8]


class PostingsBuilder:
    """Collects terms by number, passage by passage, and makes `Postings` of them."""

    def __init__(self, breathe: Callable[[], None], segment: int = SEGMENT) -> None:
        self._breathe = breathe
        self._segment = segment
        self._batches: list[_Batch] = []
        self._segments: list[Segment] = []
        self._frequencies: list[NDArray[np.uint32]] = []
        self._lengths: list[Floats] = []
        self._start = self._end = 0

    def add(self, lengths: Floats, owners: NDArray[np.int64], terms: NDArray[np.int64]) -> None:
        """The next passages, as long as this: for each term whose it is, from 0, and its number.

        The more at once, the less memory; no more than fit into a segment.
        """
        if self._end + len(lengths) - self._start > self._segment:
            self._close_segment()
        self._lengths.append(lengths)
        keys = (terms << 16) | (owners + (self._end - self._start))
        self._breathe()
        keys.sort()
        self._breathe()
        self._batches.append(_batch(keys))
        self._end += len(lengths)

    def finish(self, terms: int) -> Postings:
        """The postings of all passages added, whose terms' numbers are below `terms`."""
        return Postings(*self._finished(terms), self._end)

    def finish_numbered(self, terms: int) -> Numbered:
        """The same, but of those numbers alone that occur: of a small collection, few."""
        segments, frequency = self._finished(terms)
        occurring = np.flatnonzero(frequency)
        ends = np.append(occurring, terms)
        kept = [replace(each, bounds=each.bounds[ends], row_of=each.row_of[occurring]) for each in segments]
        return Numbered(occurring, Postings(kept, frequency[occurring], self._end))

    def _finished(self, terms: int) -> tuple[list[Segment], NDArray[np.uint32]]:
        """All segments, and how many passages hold each of so many terms."""
        self._close_segment()
        lengths = np.concatenate([*self._lengths, np.empty(0, np.float32)])
        average = float(lengths.mean()) if lengths.size else 0.0
        slowness = (K1 * (1 - B + B * lengths / (average or 1.0))).astype(np.float32)
        for segment in self._segments:
            self._saturate(segment, slowness[segment.start : segment.end])
            self._breathe()
        # Terms first met in a later segment occur nowhere in the earlier ones.
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
        """Sort the batches' postings by term; each batch is let go as soon as it is copied."""
        terms = 1 + max((int(batch.terms.max(initial=-1)) for batch in self._batches), default=-1)
        frequency = np.zeros(terms, np.uint32)
        for batch in self._batches:
            frequency[batch.terms] += batch.counts
            self._breathe()
        self._frequencies.append(frequency)
        laid = _Layout(frequency, self._end - self._start, self._breathe)
        self._batches.reverse()
        while self._batches:
            laid.copy_in(self._batches.pop())
            self._breathe()
        self._segments.append(
            Segment(self._start, self._end, laid.bounds, laid.positions, laid.impacts, laid.row_of, laid.rows)
        )
        self._start = self._end

    def _saturate(self, segment: Segment, slowness: Floats) -> None:
        """Turn frequencies into impacts, where they stand."""
        for at in range(0, len(segment.positions), _SLICE):
            part = slice(at, at + _SLICE)
            segment.impacts[part] = _impacts(segment.impacts[part], slowness[segment.positions[part]])
            self._breathe()
        for row in segment.rows:
            row[:] = np.where(row, _impacts(row, slowness), 0)
            self._breathe()


def _impacts(frequencies: NDArray[np.uint8], slowness: Floats) -> NDArray[np.uint8]:
    """Saturated frequencies in steps, at least one."""
    saturated = frequencies.astype(np.float32)
    saturated /= saturated + slowness
    return np.asarray(np.maximum(np.rint(saturated * np.float32(STEPS)), 1), np.uint8)


class _Layout:
    """A segment's arrays, to be filled with frequencies."""

    def __init__(self, frequency: NDArray[np.uint32], size: int, breathe: Callable[[], None]) -> None:
        common = np.flatnonzero(frequency > size * ROW_SHARE)
        self.rows = np.empty((len(common), size), np.uint8)
        self.row_of = np.full(len(frequency), -1, np.int32)
        self.row_of[common] = np.arange(len(common))
        self.bounds = np.zeros(1 + len(frequency), np.uint32)
        self.bounds[1:] = np.cumsum(np.where(self.row_of < 0, frequency, 0))
        self.positions, self.impacts = np.empty(self.bounds[-1], np.uint16), np.empty(self.bounds[-1], np.uint8)
        breathe()
        for fresh in (self.rows.reshape(-1), self.positions, self.impacts):
            for at in range(0, len(fresh), _PAGES):  # memory that is new takes time when it is first touched
                fresh[at : at + _PAGES] = 0
                breathe()
        self._cursor = self.bounds[:-1].astype(np.int64)

    def copy_in(self, batch: _Batch) -> None:
        """Copy a batch to where it belongs: into the rows, or behind what each term has already."""
        row = self.row_of[batch.terms]
        counts = np.where(row < 0, batch.counts, 0).astype(np.int64)
        rows = np.repeat(row, batch.counts)
        listed, held = rows < 0, rows >= 0
        self.rows[rows[held], batch.positions[held]] = batch.frequencies[held]
        to = np.repeat(self._cursor[batch.terms] - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())
        self.positions[to], self.impacts[to] = batch.positions[listed], batch.frequencies[listed]
        self._cursor[batch.terms] += counts


def _batch(keys: NDArray[np.int64]) -> _Batch:
    """Of sorted pairs of term and position, each as often as it occurs."""
    new = np.concatenate([[True], keys[1:] != keys[:-1]]) if len(keys) else np.empty(0, np.bool_)
    firsts = np.flatnonzero(new)
    frequencies = np.diff(np.append(firsts, len(keys)))
    keys = keys[firsts]
    terms = keys >> 16
    runs = np.flatnonzero(np.diff(terms, prepend=-1))
    return _Batch(
        terms[runs].astype(np.int32),
        np.diff(runs, append=len(terms)).astype(np.uint8),
        (keys & 0xFFFF).astype(np.uint16),
        np.minimum(frequencies, 255).astype(np.uint8),
    )
