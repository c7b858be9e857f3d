"""The terms of a question: the rarest choose, and all are weighed by how rare they are."""

import re

import pytest

from parley.knowledge.database import query_vectors
from parley.knowledge.database.query_vectors import QueryVectors
from parley.knowledge.database.sparse import Survey, stem_number
from parley.knowledge.documents import Passage
from parley.knowledge.lexical import QueryTerms
from parley.knowledge.terms import Analyzer
from parley.languages import ENGLISH

PASSAGES = [Passage(str(at), "", f"bicycle lock number{at % 5}", "a.json", {}) for at in range(20)]
STATISTICS = Survey(PASSAGES, ENGLISH).statistics


def wanted(text: str, before: str = "") -> QueryVectors:
    return QueryVectors.of(QueryTerms.of(Analyzer(ENGLISH), text, before), STATISTICS)


def numbers(literal: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", literal)]


def test_terms_are_taken_until_their_passages_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    rare, common = stem_number("number3"), stem_number("bicycl")
    assert {rare, common} <= set(numbers(wanted("bicycle number3").parameters["words_of0"]))

    monkeypatch.setattr(query_vectors, "BUDGET", 10)
    chosen = numbers(wanted("bicycle number3").parameters["words_of0"])
    alone = numbers(wanted("bicycle").parameters["words_of0"])

    # A term that all hold is taken only where there is no other.
    assert rare in chosen and common not in chosen and alone == [common]


def test_what_occurs_nowhere_counts_for_the_coverage_alone() -> None:
    known, both = wanted("bicycle"), wanted("bicycle zeppelin")

    assert both.parameters["words0"] == known.parameters["words0"]
    assert both.gram_totals[0] > known.gram_totals[0] > 0
    assert both.gram_weights[0][0].tolist() == known.gram_weights[0][0].tolist()


def test_a_turn_before_adds_its_own_terms() -> None:
    found = wanted("how much is number3", "a bicycle with a lock")

    assert set(numbers(found.parameters["words_of0"])) < set(numbers(found.parameters["words_of1"]))
    assert len(found.gram_totals) == 2 and found.parameters["words1"].startswith("{")


def test_a_question_of_stop_words_has_no_terms() -> None:
    assert wanted("of the").parameters["words_of0"] == "{}"
