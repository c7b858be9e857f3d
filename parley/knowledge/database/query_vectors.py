"""The terms of a question as the database compares them: weighed by their rarity, and the rarest to choose by."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parley.knowledge.database.sparse import (
    GRAMS_FROM,
    PAIRS_FROM,
    Frequencies,
    Statistics,
    gram_number,
    stem_number,
    vector_literal,
)
from parley.knowledge.lexical import PAIR_WEIGHT, QueryTerms
from parley.knowledge.postings import STEPS, Floats, idf

BUDGET = 1_000
"""Passages of each turn that its rarest terms may choose: terms are taken until so many hold one."""


@dataclass(frozen=True)
class QueryVectors:
    """The parameters of a search's terms, and what the coverage is reckoned by.

    `gram_weights` are the numbers and the weights of the grams of each turn that occur, `gram_totals` the weights of
    all its grams.
    """

    parameters: dict[str, str]
    gram_weights: list[tuple[NDArray[np.int64], Floats]]
    gram_totals: list[float]

    @classmethod
    def of(cls, wanted: QueryTerms, statistics: Statistics) -> "QueryVectors":
        """Return the terms of a question, in a base of these statistics."""
        passages = statistics.passages
        unknown = float(idf(np.ones(1), passages)[0])
        parameters: dict[str, str] = {}
        words_so_far: list[int] = []
        grams_so_far: list[int] = []
        gram_weights, gram_totals = [], []
        for turn, (stems, pairs, grams) in enumerate(zip(wanted.stems, wanted.pairs, wanted.grams, strict=True)):
            words = _distinct([*map(stem_number, stems), *(pair + PAIRS_FROM for pair in pairs if pair >= 0)])
            numbers = _distinct(map(gram_number, grams))
            parameters[f"words{turn}"] = vector_literal(_weighed(words, statistics.words, passages, PAIR_WEIGHT))
            parameters[f"grams{turn}"] = vector_literal(_weighed(numbers, statistics.grams, passages))
            # A follow-up is searched by what its last turn names, and by what both turns name.
            words_so_far += words
            grams_so_far += [number + GRAMS_FROM for number in numbers]
            budget = BUDGET * (turn + 1)
            parameters[f"words_of{turn}"] = _rarest(words_so_far, statistics.words, budget)
            parameters[f"grams_of{turn}"] = _rarest(grams_so_far, statistics.grams, budget, GRAMS_FROM)
            # The coverage counts each gram once, however often and wherever it occurs.
            known = np.array([number for number, _ in _weighed(numbers, statistics.grams, passages)], np.int64)
            weights = idf(statistics.grams.of(known.tolist()), passages).astype(np.float32)
            gram_weights.append((known, weights))
            gram_totals.append(float(weights.sum()) + unknown * (len(numbers) - len(known)))
        stop = _distinct(map(gram_number, wanted.stop_grams))
        parameters["stop"] = vector_literal(_weighed(stop, statistics.grams, passages))
        return cls(parameters, gram_weights, gram_totals)


def _distinct(numbers: Iterable[int]) -> list[int]:
    return list(dict.fromkeys(numbers))


def _weighed(
    numbers: Sequence[int], frequencies: Frequencies, passages: int, pair_weight: float = 1.0
) -> list[tuple[int, float]]:
    """Return the terms that occur, each with what an impact of one step of it counts."""
    counts = frequencies.of(numbers)
    weights = idf(counts, passages) / STEPS
    return [
        (number, float(weight) * (pair_weight if number >= PAIRS_FROM else 1.0))
        for number, count, weight in zip(numbers, counts, weights, strict=True)
        if count
    ]


def _rarest(numbers: Sequence[int], frequencies: Frequencies, budget: int, offset: int = 0) -> str:
    """Return the rarest terms that occur, as an array: as many as the budget allows, and at least one."""
    # Of words that all passages hold, one must do: `statements.HELD` bounds what it costs.
    counts = frequencies.of([number - offset for number in numbers])
    order = counts.argsort(kind="stable")
    order = order[counts[order] > 0]
    affordable = int(counts[order].cumsum().searchsorted(budget, side="right"))
    chosen = [numbers[at] for at in order[: max(1, affordable)]]
    return "{" + ",".join(map(str, chosen)) + "}"
