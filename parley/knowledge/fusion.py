"""The arithmetic of the semantic tier's ranking: turns mixed, words and meaning fused, scores smoothed.

Pure functions over arrays of scores; `ranking.py` makes hits of them.
"""

import numpy as np

from parley.knowledge.lexical import LAST_SHARE
from parley.knowledge.postings import Floats

MEANING_SHARE = 0.65
"""Share of the meaning in the score if words and meaning stand out alike; the rest is the words'."""

RIVALS = 9
"""Passages behind the best one that it has to stand out from."""

TRUSTED_COVERAGE = 0.8
"""Coverage from which on the words have their full weight."""

NEIGHBOURS = 3
"""Nearest neighbours, by meaning, towards which a passage's score is drawn."""

NEIGHBOURS_SHARE = 0.1
"""Share of the nearest neighbours in a passage's score."""


def mix_turns(cosines: Floats) -> Floats:
    """Return one score for each passage from the turns' cosines, one turn a row: at most 1, and none below 0."""
    tops = cosines.max(axis=1, initial=0, keepdims=True)
    scaled = np.maximum(cosines, 0) / np.where(tops > 0, tops, 1)
    if len(scaled) == 1:
        return np.asarray(scaled[0], np.float32)
    return np.asarray(LAST_SHARE * scaled[0] + (1 - LAST_SHARE) * scaled[1], np.float32)


def fuse(words: Floats, meaning: Floats, coverage: float) -> Floats:
    """Return one score for each passage; the part whose best passage stands out more weighs more.

    The words weigh less where the best passage covers little of the question: a lone match on a common word stands out.
    """
    # Scores of candidates alone: their best may be below 1, or 0 where the words match nowhere.
    words = words / (words.max(initial=0) or 1)
    words_weight = (1 - MEANING_SHARE) * prominence(words) * min(1.0, coverage / TRUSTED_COVERAGE)
    meaning_weight = MEANING_SHARE * prominence(meaning)
    return np.asarray((words_weight * words + meaning_weight * meaning) / (words_weight + meaning_weight), np.float32)


def prominence(scores: Floats) -> float:
    """Return how far the best score stands out: nearly 0 if its rivals are as good, 1 if they have nothing."""
    ordered = np.sort(scores)[::-1]
    top, rivals = ordered[:1].sum(), ordered[1 : 1 + RIVALS].sum() / RIVALS
    # Never 0: both parts may be without a winner, and their weights are divided by their sum.
    return max(0.001, 1 - float(rivals / top)) if top > 0 else 0.001


def smooth(scores: Floats, vectors: Floats) -> Floats:
    """Return the scores, each drawn a little towards those of the passages whose vectors are nearest to its own.

    Passages that answer one question are like each other.
    """
    # So few are all each other's neighbours: smoothing would only level their scores.
    if len(scores) <= NEIGHBOURS:
        return scores
    similarity = np.maximum(np.vecdot(vectors[:, None], vectors), 0)
    np.fill_diagonal(similarity, 0)
    similarity[similarity < np.partition(similarity, -NEIGHBOURS, axis=1)[:, [-NEIGHBOURS]]] = 0
    of_neighbours = (similarity * scores).sum(axis=1) / np.maximum(similarity.sum(axis=1), 1e-9)
    drawn = (1 - NEIGHBOURS_SHARE) * scores + NEIGHBOURS_SHARE * of_neighbours
    return np.where(similarity.any(axis=1), drawn, scores)
