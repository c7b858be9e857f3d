"""The ranking of a search by words and meaning: candidates in, hits out.

    rough_scores    all passages, by their words and by their vectors  ->  the candidates are the best of them
    Candidates      their scores by words, their cosines, their vectors
    evidence        whether the best of them answers the question at all
    Floors          the figures below which nothing is found, and the ranking by all of it
    hits            words and meaning fused, scores smoothed over neighbours

Pure: it does not matter where the candidates were found. `semantic.py` finds them in memory, and `database/index.py`
in a database; the arithmetic on arrays lives in `fusion.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from parley.knowledge import terms
from parley.knowledge.documents import Passage
from parley.knowledge.fusion import MEANING_SHARE, TRUSTED_COVERAGE, fuse, mix_turns, smooth
from parley.knowledge.index import Hit, Query, Ranking, top_positions
from parley.knowledge.lexical import Scores
from parley.knowledge.postings import Floats

CLUSTER = 16
"""Best passages whose scores are smoothed over their neighbours."""

COVERED_WEIGHT = 0.4
"""Least weight of the coverage in the evidence where a passage holds all words: then a low cosine tells nothing."""

CANDIDATES = 64
"""Best passages whose windows are compared with the query: more change no collection's figures."""

SMALL_TALK_WORDS = 3
"""Fewest words of a turn that its meaning may make small talk: "morgen" is as near to a greeting as to tomorrow."""


def turns_of(query: Query, analyzer: terms.Analyzer) -> list[str]:
    """Return the texts whose meanings a search compares: the last turn, both turns, or both of these."""
    last, before = query.text.strip(), query.before.strip()
    if not before:
        return [last]
    both = f"{before} {last}"
    # "And how much is that?" means nothing by itself.
    return [last, both] if analyzer.content(terms.words(last)) else [both]


def rough_scores(words: Scores, cosines: Floats) -> Floats:
    """Return the scores of passages by which the candidates among them are chosen; cosines have one turn a row."""
    return (1 - MEANING_SHARE) * words.fused + MEANING_SHARE * mix_turns(cosines)


@dataclass(frozen=True)
class Candidates:
    """The passages that are worth a closer look, with their scores.

    `words` are their scores by words; `cosines` those of their meaning, one turn of the query a row; `vectors` those of
    the whole passages, as rows.
    """

    passages: Sequence[Passage]
    words: Scores
    cosines: Floats
    vectors: Floats

    def evidence(self, coverage_weight: float) -> float:
        """Return how much speaks for an answer among them; an encoder has its own weight of the coverage."""
        # Both tiers are asked: names and codes say nothing to the encoder, and a paraphrase shares no word.
        decisive = self.cosines if self.words.own_coverage is None else self.cosines[:1]
        if self.words.decisive_coverage >= TRUSTED_COVERAGE:
            coverage_weight = max(coverage_weight, COVERED_WEIGHT)
        return float(decisive.max(initial=0)) + coverage_weight * self.words.decisive_coverage

    def hits(self, evidence: float, limit: int) -> list[Hit]:
        """Return at most `limit` hits, best first."""
        words = self.words
        # Words and meaning are each divided by their best, so the fused scores compare within one search only.
        meaning = mix_turns(self.cosines)
        scores = fuse(words.fused, meaning, words.coverage)
        # Passages that answer one question are like each other: the best are drawn towards their neighbours.
        cluster = top_positions(scores, max(limit, CLUSTER))
        scores[cluster] = smooth(scores[cluster], self.vectors[cluster])
        return [
            Hit(
                self.passages[at],
                float(scores[at]),
                {
                    "stems": float(words.stems[at]),
                    "grams": float(words.grams[at]),
                    "meaning": float(meaning[at]),
                    "cosine": float(self.cosines[:, at].max()),
                    "coverage": words.decisive_coverage,
                    "evidence": evidence,
                },
            )
            for at in top_positions(scores, limit)
        ]


@dataclass(frozen=True)
class Floors:
    """The figures of an encoder and of a base below which a search finds nothing.

    `examples` are vectors of small talk; None where nothing is small talk, or before they have been made.
    """

    coverage_weight: float
    min_evidence: float
    min_small_talk: float | None = None
    examples: Floats | None = None

    def ranking(self, candidates: Candidates, query: Query, queries: Floats, limit: int) -> Ranking:
        """Return the ranking of the candidates; `queries` are the vectors of the query's turns."""
        evidence = candidates.evidence(self.coverage_weight)
        small_talk = None
        if len(terms.words(query.text)) >= SMALL_TALK_WORDS:
            small_talk = self._small_talk_cosine(queries[0], float(candidates.cosines[0].max(initial=0)))
        hits = [] if evidence < self.min_evidence or small_talk is not None else candidates.hits(evidence, limit)
        return Ranking(hits, query, "evidence", evidence, self.min_evidence, small_talk)

    def _small_talk_cosine(self, turn: Floats, best: float) -> float | None:
        """Return a turn's cosine to the nearest example of small talk if it is small talk, else None.

        It is if it is near to an example, and nearer than to the best passage.
        """
        if self.examples is None or self.min_small_talk is None:
            return None
        nearest = float(np.vecdot(self.examples, turn).max())
        return nearest if nearest >= self.min_small_talk and nearest > best else None
