"""Building postings: sparse fields hold the numbers that occur, and score as full ones."""

import numpy as np
import pytest

from parley.knowledge.index_builder import PostingsBuilder, SparseField
from parley.knowledge.postings import Floats

HIGHEST = 1 << 18
OWNED = {0: [5, 9, 9], 1: [9, 262_143], 2: []}
"""The numbers that each of three passages holds."""


def builder() -> PostingsBuilder:
    made = PostingsBuilder(lambda: None)
    owners = np.array([owner for owner, numbers in OWNED.items() for _ in numbers], np.int64)
    numbers = np.array([number for numbers in OWNED.values() for number in numbers], np.int64)
    made.add(np.array([3, 2, 0], np.float32), owners, numbers)
    return made


def scores(numbered: SparseField, wanted: list[int]) -> Floats:
    summed = np.zeros(len(OWNED), np.float32)
    numbered.scorer(wanted, 0.5).add_to(summed)
    return summed


@pytest.mark.parametrize("wanted", [[], [5], [9], [262_143, 5], [4], [0, 6, 9, 262_142]])
def test_numbers_that_occur_are_read_as_if_all_were_kept(wanted: list[int]) -> None:
    whole = np.zeros(len(OWNED), np.float32)
    builder().finish(HIGHEST).scorer(wanted, weight=0.5).add_to(whole)

    assert scores(builder().finish_sparse(HIGHEST), wanted) == pytest.approx(whole)
    assert whole.any() == bool({5, 9, 262_143} & set(wanted))


def test_only_those_are_kept_that_occur() -> None:
    assert builder().finish_sparse(HIGHEST).numbers.tolist() == [5, 9, 262_143]


def test_where_nothing_occurs_nothing_is_read() -> None:
    empty = PostingsBuilder(lambda: None).finish_sparse(HIGHEST)

    assert empty.numbers.tolist() == [] and not scores(empty, [0, 7]).any()
