"""Vectors that came with a base's passages: in front of the cache, until the index has read them."""

import numpy as np

from parley.knowledge.stored_vectors import STEP, StoredVectors
from parley.knowledge.vector_cache import VectorCache

ROWS = np.ones((2, 3), np.float32)


def test_what_came_is_read_and_the_rest_is_the_caches(tmp_path: object) -> None:
    behind = VectorCache(tmp_path / "cache.sqlite")  # type: ignore[operator]
    stored = StoredVectors("ours", {b"a": lambda: ROWS, b"broken": lambda: None}).in_front_of(behind, lambda: None)
    stored.put({b"b": ROWS * 2})

    found = stored.get([b"a", b"b", b"c", b"broken"])

    assert {key: rows[0, 0] for key, rows in found.items()} == {b"a": 1, b"b": 2}


def test_an_index_that_is_full_holds_nothing_of_them() -> None:
    stored = StoredVectors("ours", {b"a": lambda: ROWS})

    assert stored.holds([b"a"]) and not stored.holds([b"a", b"b"])
    stored.close()

    assert not stored.holds([b"a"]) and stored.get([b"a"]) == {}


def test_each_portion_is_a_step() -> None:
    steps: list[int] = []
    stored = StoredVectors("ours", {}).in_front_of(VectorCache(None), lambda: steps.append(1))

    for _ in range(3):
        stored.get([b"a"])

    assert len(steps) == 3


def test_many_are_looked_for_and_let_go_of_in_steps() -> None:
    steps: list[int] = []
    keys = [str(number).encode() for number in range(1000)]
    stored = StoredVectors("ours", {key: lambda: ROWS for key in keys})
    stored = stored.in_front_of(VectorCache(None), lambda: steps.append(1))

    assert stored.holds(iter(keys)) and len(steps) == -(-1000 // STEP)
    stored.close()

    assert not stored.holds(keys[:1]) and len(steps) == 2 * -(-1000 // STEP) + 1
