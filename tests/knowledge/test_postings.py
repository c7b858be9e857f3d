"""Scoring by postings: frequencies, rows, rare and unknown terms, one segment and several."""

import numpy as np
import pytest

from parley.knowledge.index_builder import Field, FieldBuilder

WORDS = ["red", "green", "blue", "rare"]


def postings(held: list[list[str]], segment: int = 100) -> Field:
    """Build the postings of passages that hold these words; each word is its own term."""
    builder = FieldBuilder(lambda word: [word], lambda: None, segment)
    for word in WORDS:
        builder.add_word(word)
    for words in held:
        numbers = np.array([WORDS.index(word) for word in words], np.int64)
        builder.add(np.array([len(words)], np.float32), np.zeros(len(words), np.int64), numbers)
    return builder.finish()


def scores(of: Field, count: int, *terms: str) -> list[float]:
    summed = np.zeros(count, np.float32)
    of.scorer(terms).add_to(summed)
    return summed.tolist()


HELD = [["red", "red", "green"], ["red", "blue", "blue"], ["blue", "green", "green"], ["rare", "red", "green"]]


def test_more_of_a_term_and_rarer_terms_count_more() -> None:
    found = postings(HELD)

    often, once, never, _ = scores(found, 4, "red")
    assert often > once > never == 0
    assert scores(found, 4, "rare")[3] > scores(found, 4, "red")[3] > 0


def test_a_term_counts_once_however_often_it_is_asked_for() -> None:
    found = postings(HELD)

    assert scores(found, 4, "red", "red") == scores(found, 4, "red")


def test_a_term_is_summed_up_alike_as_postings_and_as_a_row() -> None:
    many = [*HELD, *[["blue"]] * 5]  # by now few hold the red and the green

    frequent = scores(postings(many), 9, "red", "green")

    assert [score > 0 for score in frequent] == [True] * 4 + [False] * 5
    assert np.argsort(frequent[:4]).tolist() == np.argsort(scores(postings(HELD), 4, "red", "green")).tolist()


def test_the_weight_that_a_passage_holds_is_that_of_its_terms() -> None:
    found = postings(HELD)

    assert found.scorer(WORDS).weight_in(3) == pytest.approx(found.scorer(["rare", "red", "green"]).total)
    assert found.scorer(["unheard", "blue"]).weight_in(3) == 0


@pytest.mark.parametrize("segment", [1, 2, 3])
def test_segments_change_nothing(segment: int) -> None:
    whole, cut = postings(HELD), postings(HELD, segment)

    for term in WORDS:
        assert scores(cut, 4, term, "red") == scores(whole, 4, term, "red")


def test_an_unknown_term_weighs_as_much_as_the_rarest() -> None:
    found = postings(HELD)

    assert found.scorer(["unheard"]).total == pytest.approx(found.scorer(["rare"]).total)


def test_no_passage_no_score() -> None:
    assert scores(postings([]), 0, "red") == []
