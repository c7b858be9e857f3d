"""The ranking of candidates: its figures as they were before it became a module, and its parts one by one."""

import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from parley.knowledge import terms
from parley.knowledge.documents import Passage
from parley.knowledge.index import Query, build
from parley.knowledge.lexical import Scores
from parley.knowledge.postings import Floats
from parley.knowledge.ranking import Candidates
from parley.knowledge.semantic import Calibration, Result, SemanticIndex
from parley.knowledge.vector_cache import VectorCache

GOLDEN = Path(__file__).with_name("golden_ranking") / "figures.json"
"""Queries with the hits that they had, and every figure that explained them."""
SUBJECTS = ("rental bike", "electric bike", "repair", "deposit", "opening hours", "child seat", "route", "insurance")
SENTENCES = (
    "The {0} costs twelve euros a day and can be booked by telephone. Bring your passport with you. "
    "We keep a copy of it until you come back. A second day is two euros less. Groups of ten get one for nothing.",
    "Ask for the {0} at the counter.",
    "Nobody who has lost a {0} waits longer than an hour, because we drive out to you. Call us at once. "
    "Have the number on the sticker ready. It stands below the saddle, and on your contract as well. "
    "The call costs nothing, from whatever country you make it. We speak German, French and English.",
)


class HashedMeaning:
    """An encoder by the words' sums of checks: the same vectors on every machine."""

    name = "hashed"
    calibration = Calibration(coverage_weight=0.2, min_evidence=0.3, min_small_talk=0.9)
    batch = 5

    def passages(self, texts: Sequence[str]) -> Floats:
        rows = np.full((len(texts), 48), 0.05, np.float32)
        for row, text in zip(rows, texts, strict=True):
            for word in terms.words(text):
                row[zlib.crc32(word[:5].encode()) % 48] += 1
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)

    query = passages

    def run_in_thread(self, work: Callable[[], Result]) -> Result:
        return work()


def corpus() -> list[Passage]:
    return [
        Passage(f"{kind}-{at}", subject if at % 2 else "", text.format(subject), "a.json", {"kind": kind})
        for at, subject in enumerate(SUBJECTS * 4)
        for kind, text in zip("abc", SENTENCES, strict=True)
    ]


@pytest.fixture(scope="module")
def index() -> SemanticIndex:
    built = SemanticIndex(build(corpus()), HashedMeaning(), VectorCache(None))
    while not built.ready:
        built.fill()
    return built


def figures(index: SemanticIndex, case: dict[str, Any]) -> dict[str, Any]:
    ranking = index.rank(Query(case["text"], case["before"], case["filters"]), 6)
    return {
        "confidence": round(ranking.confidence, 5),
        "small_talk": ranking.small_talk and round(ranking.small_talk, 5),
        "hits": [
            [hit.passage.id, round(hit.score, 5), {name: round(value, 5) for name, value in hit.parts.items()}]
            for hit in ranking.hits
        ],
    }


@pytest.mark.parametrize("at", range(8))
def test_the_figures_are_those_of_before(index: SemanticIndex, at: int) -> None:
    case = json.loads(GOLDEN.read_text())[at]

    found = figures(index, case)

    assert [hit[0] for hit in found["hits"]] == [hit[0] for hit in case["figures"]["hits"]]
    assert found["confidence"] == pytest.approx(case["figures"]["confidence"], abs=2e-5)
    assert found["small_talk"] == pytest.approx(case["figures"]["small_talk"], abs=2e-5)
    for (_, score, parts), (_, old_score, old_parts) in zip(found["hits"], case["figures"]["hits"], strict=True):
        assert score == pytest.approx(old_score, abs=2e-5) and parts == pytest.approx(old_parts, abs=2e-5)


def candidates(cosine: float, coverage: float, own: float | None = None) -> Candidates:
    one = np.ones(1, np.float32)
    words = Scores(one, one, one, coverage, own)
    return Candidates(corpus()[:1], words, np.array([[cosine / 2], [cosine]], np.float32), np.ones((1, 2), np.float32))


@pytest.mark.parametrize(
    ("coverage", "own", "evidence"),
    [(0.5, None, 0.7), (0.9, None, 0.96), (0.9, 0.5, 0.4)],
    ids=["partly covered", "covered: the coverage weighs more", "a subject of its own: the last turn alone"],
)
def test_evidence_is_of_both_tiers(coverage: float, own: float | None, evidence: float) -> None:
    assert candidates(0.6, coverage, own).evidence(0.2) == pytest.approx(evidence)


def test_hits_do_not_depend_on_where_candidates_were_found() -> None:
    (hit,) = candidates(0.6, 0.9).hits(0.96, 5)

    assert (hit.passage.id, hit.score, hit.parts["evidence"]) == ("a-0", pytest.approx(1), 0.96)
