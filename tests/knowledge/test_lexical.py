"""The lexical scores: words whole and in part, neighbours, titles, turns before, and the coverage."""

import numpy as np
import pytest

from parley.knowledge.lexical import BATCH, Lexicon, LexiconBuilder
from parley.languages import ENGLISH


def lexicon(*texts: str, titles: tuple[str, ...] = ()) -> Lexicon:
    builder = LexiconBuilder(ENGLISH, lambda: None)
    for position, text in enumerate(texts):
        builder.add(titles[position] if titles else "", text)
    return builder.finish()


def ranked(searched: Lexicon, text: str, before: str = "") -> list[int]:
    """Return the positions of the passages that share anything with the question, best first."""
    fused = searched.score(text, before).fused
    return [int(position) for position in (-fused).argsort(kind="stable") if fused[position] > 0]


def test_a_misheard_word_is_found_by_its_parts() -> None:
    searched = lexicon("Cleaning and washing.", "Adjusting the derailleur costs 40 dollars.", "Opening hours")

    assert ranked(searched, "can you adjust the derailer")[0] == 1


def test_neighbours_in_the_question_count_as_neighbours() -> None:
    searched = lexicon("The spare key opens the wheel lock.", "The key wheel is a spare with a lock.", "A bell.")

    assert (ranked(searched, "spare key")[0], ranked(searched, "key wheel")[0]) == (0, 1)


def test_the_end_of_one_passage_is_no_neighbour_of_the_next() -> None:
    apart = lexicon("A bell. Spare", "Key of a bell.").score("spare key").stems
    alone = lexicon("Spare a bell.", "A bell of key.").score("spare key").stems

    assert apart == pytest.approx(alone)


def test_the_title_counts_with_the_text() -> None:
    assert ranked(lexicon("Behind the shop.", titles=("Parking",)), "Where is parking?") == [0]


def test_a_word_in_the_title_counts_more_than_in_the_text() -> None:
    searched = lexicon("Parking lot", "The shop in town sells bicycles and lamps", titles=("Shop", "Parking"))

    assert ranked(searched, "parking") == [1, 0]


def test_a_follow_up_is_understood_from_the_turn_before() -> None:
    searched = lexicon("A tune-up costs 65 dollars.", "A tune-up takes one day.", "An overhaul takes three days.")

    assert ranked(searched, "And how long does it take?", "What is a tune-up?")[0] == 1


@pytest.mark.parametrize("before", ["yes", "well, yes please", "?", "Lamps?"])
def test_a_turn_before_that_says_little_changes_nothing(before: str) -> None:
    searched = lexicon("The tyre costs ten.", "Lamps are behind the door.", "A bell.")

    assert ranked(searched, "the price of a tyre", before)[0] == 0


def test_of_a_very_long_query_the_end_counts() -> None:
    assert ranked(lexicon("chain", "brakes"), "brakes " + "well " * 10_000 + "chain") == [0]


def test_stop_words_find_nothing_by_themselves() -> None:
    scores = lexicon("What is this, and how could you know?", "A bell.").score("Could you tell me what this is?")

    assert not scores.fused.any() and scores.coverage == 0


def test_coverage_is_the_best_passages_share_of_the_question() -> None:
    searched = lexicon("A new chain.", "A bell.")

    all_of_it, half, nothing = (
        searched.score(text).coverage for text in ("new chain", "chain zzzz", "weather tomorrow")
    )

    assert all_of_it == pytest.approx(1) and 0.2 < half < 0.9 and nothing == 0


def test_a_masked_passage_has_neither_score_nor_coverage() -> None:
    scores = lexicon("A new chain costs 35 dollars.", "Parking is free behind the house.").score(
        "new chain", mask=np.array([False, True])
    )

    assert not scores.fused.any() and scores.coverage == 0


def test_passages_in_several_batches_score_alike() -> None:
    fused = lexicon(*["A new chain."] * (2 * BATCH + 1), "A bell.").score("new chain").fused

    assert set(fused[:-1].tolist()) == {1.0} and fused[-1] == 0
