"""Term statistics in compact arrays: the passages that hold a term, and how well each matches by it (BM25).

    posting    three bytes: the passage's position in its segment, and the saturated frequency of the term in it (the
               impact) in steps of 1/255
    row        of a term that many of a segment's passages hold: one impact for every passage. It takes hardly more
               memory, and is added to the scores many times as fast
    segment    the postings and rows of consecutive passages, as many as two bytes can number

Built by `index_builder.py`, never changed afterwards. Terms are numbers here; their words live in `terms.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

MAX_POSTINGS = 150_000
"""Most postings read for one search, rarest terms first. It bounds the time on large collections: 5 ns a posting."""

STEPS = 255.0
"""Steps between an impact of 0 and one of 1."""
_ROW_COST = 16
"""Passages of a row that are read in the time of one posting."""


@dataclass(frozen=True)
class Segment:
    """The postings of consecutive passages.

    Those of term `t` are `bounds[t]` to `bounds[t + 1]`, unless the term has the row `rows[row_of[t]]`.
    """

    start: int
    end: int
    bounds: NDArray[np.uint32]
    positions: NDArray[np.uint16]
    impacts: NDArray[np.uint8]
    row_of: NDArray[np.int32]
    rows: NDArray[np.uint8]

    def scorer(self, ids: NDArray[np.int64], weights: Floats) -> "_SegmentScorer":
        """Return the scorer of these terms, each with its weight, for the segment's passages."""
        starts, ends = self.bounds.take(ids), self.bounds.take(ids + 1)
        spans = [slice(start, end) for start, end in zip(starts.tolist(), ends.tolist(), strict=True) if end > start]
        row_of = self.row_of.take(ids)
        common = row_of >= 0
        return _SegmentScorer(
            slice(self.start, self.end),
            np.concatenate([self.positions[span] for span in spans]) if spans else self.positions[:0],
            np.concatenate([self.impacts[span] for span in spans]) if spans else self.impacts[:0],
            weights.repeat(ends - starts),
            self.rows.take(row_of[common], axis=0),
            weights[common],
        )

    def costs(self) -> NDArray[np.uint32]:
        """Return the cost of reading each term, in postings."""
        cost_of_row = np.uint32((self.end - self.start) // _ROW_COST)
        return np.diff(self.bounds) + (self.row_of >= 0) * cost_of_row


@dataclass(frozen=True)
class _SegmentScorer:
    """The postings of some terms in a segment, each with its term's weight, and their rows with theirs."""

    passages: slice
    positions: NDArray[np.uint16]
    impacts: NDArray[np.uint8]
    weights: Floats
    rows: NDArray[np.uint8]
    row_weights: Floats

    def add_to(self, scores: Floats) -> None:
        """Add the impacts, weighted, to the scores of the segment's passages."""
        segment_scores = scores[self.passages]
        # `add.at` is the fastest of numpy's additions at repeated positions, but only while all types match: positions
        # as intp, impacts times weights as float32.
        np.add.at(segment_scores, self.positions.astype(np.intp), self.impacts * self.weights)
        if len(self.rows):
            segment_scores += np.einsum("t,tp->p", self.row_weights, self.rows)

    def weight_in(self, position: int) -> float:
        """Return the sum of the weights of the terms that the passage at this position holds."""
        listed, common = self.weights[self.positions == position], self.row_weights[self.rows[:, position] > 0]
        return float(listed.sum() + common.sum())


class TermScorer:
    """The scores that some terms give to passages; `total` is the weight of all these terms."""

    def __init__(self, segments: Sequence[_SegmentScorer], total: float) -> None:
        self.total = total
        self._segments = segments

    def add_to(self, scores: Floats) -> None:
        """Add to each passage's score the weight times the saturated frequency of each term that it holds."""
        for segment in self._segments:
            segment.add_to(scores)

    def weight_in(self, passage: int) -> float:
        """Return the sum of the weights of the terms that a passage holds."""
        for segment in self._segments:
            if segment.passages.start <= passage < segment.passages.stop:
                return segment.weight_in(passage - segment.passages.start) * STEPS
        return 0.0


class Postings:
    """The postings of all terms of a collection, ready for scoring."""

    def __init__(self, segments: Sequence[Segment], frequency: NDArray[np.uint32], passages: int) -> None:
        self._segments = segments
        self._passages = passages
        self._costs = sum((segment.costs() for segment in segments), np.zeros(len(frequency), np.uint32))
        self._idf: Floats = idf(frequency, passages).astype(np.float32)
        # As rare as a term of one passage. If it were rarer still, no question would be covered in a small collection.
        self._unknown = float(idf(np.ones(1), passages)[0])

    def scorer(self, known: Sequence[int], unknown: int = 0, weight: float = 1.0) -> TermScorer:
        """Return the scorer of these terms, each weighing `weight` times its IDF.

        No number may be given twice. `unknown` counts the wanted terms that no passage holds: they add to the total
        weight. The most frequent terms are left out if more than `MAX_POSTINGS` would be read.
        """
        if not known:
            return TermScorer((), weight * unknown * self._unknown)
        ids = np.array(known, np.int64)
        # Only a query of so many terms can reach the limit; all others skip the sum of the costs.
        if len(known) * self._passages > MAX_POSTINGS:
            costs = self._costs.take(ids)
            cheapest = costs.argsort(kind="stable")
            affordable = int(costs[cheapest].cumsum().searchsorted(MAX_POSTINGS))
            if affordable < len(ids):
                ids = ids[cheapest[: max(1, affordable)]]
        weights = self._idf.take(ids) * np.float32(weight)
        segments = [segment.scorer(ids, weights / np.float32(STEPS)) for segment in self._segments]
        return TermScorer(segments, float(weights.sum()) + weight * unknown * self._unknown)


def idf(frequency: NDArray[Any], passages: int) -> NDArray[np.float64]:
    """Return what terms weigh that so many of the passages hold: the rarer, the more."""
    return np.log1p((passages - frequency + 0.5) / (frequency + 0.5))
