"""Term statistics in lean arrays: which passages hold a term, and how much that says of them (BM25).

A posting takes three bytes: the passage's position in its segment, and the saturated frequency of the term in it in
steps of 1/255. A term that many of a segment's passages hold has a row instead, with a step for each of them: that
takes no more memory, and is summed up many times as fast. Made by `index_builder.py`, read only. Nothing here knows
what a term is: it is a number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

MAX_POSTINGS = 150_000
"""Postings read for one search, rarest terms first: what bounds its time (about 5 ns each) on large collections."""

STEPS = 255.0
_ROW_COST = 16
"""Passages of a row that are read in the time of one posting."""


@dataclass(frozen=True)
class Segment:
    """The postings of consecutive passages.

    Those of term `t` go from `bounds[t]` to `bounds[t + 1]`, unless they stand in `rows[row_of[t]]`.
    """

    start: int
    end: int
    bounds: NDArray[np.uint32]
    positions: NDArray[np.uint16]
    impacts: NDArray[np.uint8]
    row_of: NDArray[np.int32]
    rows: NDArray[np.uint8]

    def read(self, ids: NDArray[np.int64], weights: Floats) -> "_Read":
        """The impacts of these terms."""
        starts, ends = self.bounds.take(ids), self.bounds.take(ids + 1)
        spans = [slice(start, end) for start, end in zip(starts.tolist(), ends.tolist(), strict=True) if end > start]
        row_of = self.row_of.take(ids)
        common = row_of >= 0
        return _Read(
            slice(self.start, self.end),
            np.concatenate([self.positions[span] for span in spans]) if spans else self.positions[:0],
            np.concatenate([self.impacts[span] for span in spans]) if spans else self.impacts[:0],
            weights.repeat(ends - starts),
            self.rows.take(row_of[common], axis=0),
            weights[common],
        )

    def costs(self) -> NDArray[np.uint32]:
        """What it takes to read each term, in postings."""
        cost_of_row = np.uint32((self.end - self.start) // _ROW_COST)
        return np.diff(self.bounds) + (self.row_of >= 0) * cost_of_row


@dataclass(frozen=True)
class _Read:
    """What a segment holds of some terms: postings each with its term's weight, and rows with theirs."""

    passages: slice
    positions: NDArray[np.uint16]
    impacts: NDArray[np.uint8]
    weights: Floats
    rows: NDArray[np.uint8]
    row_weights: Floats

    def add_to(self, scores: Floats) -> None:
        mine = scores[self.passages]
        # Of numpy's ways to add at repeated positions the quickest, by far, where all types fit.
        np.add.at(mine, self.positions.astype(np.intp), self.impacts * self.weights)
        if len(self.rows):
            mine += np.einsum("t,tp->p", self.row_weights, self.rows)

    def weight_in(self, position: int) -> float:
        listed, common = self.weights[self.positions == position], self.row_weights[self.rows[:, position] > 0]
        return float(listed.sum() + common.sum())


class Reading:
    """The postings of some terms: of each who holds it, and its weight; `total` is the weight of all."""

    def __init__(self, segments: Sequence[_Read], total: float) -> None:
        self.total = total
        self._segments = segments

    def add_to(self, scores: Floats) -> None:
        """Add to each passage's score what it holds of these terms: weight times saturated frequency."""
        for segment in self._segments:
            segment.add_to(scores)

    def weight_in(self, passage: int) -> float:
        """The sum of the weights of those terms that a passage holds."""
        for segment in self._segments:
            if segment.passages.start <= passage < segment.passages.stop:
                return segment.weight_in(passage - segment.passages.start) * STEPS
        return 0.0


class Postings:
    """Who holds which term, ready to be read."""

    def __init__(self, segments: Sequence[Segment], frequency: NDArray[np.uint32], passages: int) -> None:
        self._segments = segments
        self._passages = passages
        self._costs = sum((segment.costs() for segment in segments), np.zeros(len(frequency), np.uint32))
        self._idf: Floats = _idf(frequency, passages).astype(np.float32)
        # As rare as a term of one passage. Even rarer, small collections would cover no question.
        self._unknown = float(_idf(np.ones(1), passages)[0])

    def read(self, known: Sequence[int], unknown: int = 0, weight: float = 1.0) -> Reading:
        """Read these terms, no number given twice, each weighing `weight` times its IDF.

        `unknown` is how many more were asked for that no passage holds. Where too much would have to be read, the
        most frequent terms are left out.
        """
        if not known:
            return Reading((), weight * unknown * self._unknown)
        ids = np.array(known, np.int64)
        if len(known) * self._passages > MAX_POSTINGS:  # only then can it be too much
            ids = self._affordable(ids)
        weights = self._idf.take(ids) * np.float32(weight)
        read = [segment.read(ids, weights / np.float32(STEPS)) for segment in self._segments]
        return Reading(read, float(weights.sum()) + weight * unknown * self._unknown)

    def _affordable(self, ids: NDArray[np.int64]) -> NDArray[np.int64]:
        costs = self._costs.take(ids)
        cheapest = costs.argsort(kind="stable")
        most = int(costs[cheapest].cumsum().searchsorted(MAX_POSTINGS))
        return ids if most == len(ids) else ids[cheapest[: max(1, most)]]


def _idf(frequency: NDArray[Any], passages: int) -> NDArray[np.float64]:
    return np.log1p((passages - frequency + 0.5) / (frequency + 0.5))
