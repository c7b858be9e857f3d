"""The arithmetic of the semantic ranking, on scores that are easily read."""

import numpy as np
import pytest

from parley.knowledge.fusion import NEIGHBOURS_SHARE, fuse, mix_turns, prominence, smooth
from parley.knowledge.postings import Floats


def floats(*values: float) -> Floats:
    return np.array(values, np.float32)


def test_one_turn_is_divided_by_its_best_and_never_negative() -> None:
    assert mix_turns(floats(0.2, 0.4, -0.5)[None, :]).tolist() == [0.5, 1, 0]


def test_two_turns_count_half_each() -> None:
    assert mix_turns(np.stack([floats(0.4, 0.2), floats(0.1, 0.2)])).tolist() == pytest.approx([0.75, 0.75])


@pytest.mark.parametrize("cosines", [floats(0, 0), floats(-1, -0.5), floats()])
def test_without_a_positive_cosine_all_scores_are_0(cosines: Floats) -> None:
    assert not mix_turns(cosines[None, :]).any()


def test_the_best_score_is_prominent_if_its_rivals_have_little() -> None:
    assert prominence(floats(1, *[0] * 9)) == 1
    assert prominence(floats(1, *[0.5] * 9)) == pytest.approx(0.5)
    assert prominence(floats(*[1] * 20)) == prominence(floats(0, 0)) == prominence(floats()) == 0.001


def test_the_part_that_stands_out_decides() -> None:
    flat = floats(0.9, 1, *[0.9] * 8)

    assert fuse(floats(1, *[0] * 9), flat, 1.0).argmax() == 0
    assert fuse(flat, floats(0, 0, 1, *[0] * 7), 1.0).argmax() == 2


def test_words_without_a_score_leave_the_meaning() -> None:
    assert fuse(floats(0, 0, 0), floats(0.2, 1, 0), 0.0).tolist() == pytest.approx([0.2, 1, 0], abs=0.01)


def test_a_score_is_drawn_towards_those_of_its_neighbours() -> None:
    vectors = np.array([[1, 0], [1, 0], [1, 0], [1, 0], [0, 1]], np.float32)

    drawn = smooth(floats(1, 0, 0, 0, 1), vectors)

    assert drawn[0] == pytest.approx(1 - NEIGHBOURS_SHARE) and drawn[1] == pytest.approx(NEIGHBOURS_SHARE / 3)
    assert drawn[4] == 1  # nothing is like it


def test_few_scores_are_not_smoothed() -> None:
    scores = floats(1, 0, 0.5)

    assert smooth(scores, np.ones((3, 2), np.float32)) is scores


def test_words_that_cover_little_of_the_question_weigh_less() -> None:
    words, meaning = floats(1, *[0] * 9), floats(0.7, 0.8, *[0.7] * 8)

    assert fuse(words, meaning, 1.0).argmax() == 0
    assert fuse(words, meaning, 0.01).argmax() == 1
