"""Passages as rows: what is stored of them, and what a server makes of it again."""

import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from parley.knowledge.database.rows import Row, digest, passages_of, storable
from parley.knowledge.database.snapshots import FORMAT, Header, Snapshot
from parley.knowledge.database.source import result_of
from parley.knowledge.documents import Passage
from parley.knowledge.stored_vectors import STEP

HEADER = Header(FORMAT, "address", "origin", "shop", 1, 1, 0.0, 1000, "", "en", {})


def row(**fields: Any) -> Row:
    names = dict.fromkeys(Row.__struct_fields__)
    return Row(**{**names, "id": "a", "ord": 0, "revision": 1, "gone": False, **fields})


def halves(*numbers: float) -> bytes:
    return struct.pack(f">HH{len(numbers)}e", len(numbers), 0, *numbers)


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("a\0b", "ab"),
        ("half \ud800 pair", "half ? pair"),
        ({"a\0": ["x\0", None, True, 1.5]}, {"a": ["x", None, True, 1.5]}),
        (math.inf, None),
        (10**400, 10**400),
    ],
    ids=["nul", "half a pair", "inside", "infinity", "a long number"],
)
def test_only_what_postgres_can_store_is_stored(value: Any, stored: Any) -> None:
    assert storable(value) == stored


@given(some.lists(some.floats(-1, 1, width=16), min_size=1, max_size=8), some.integers(0, 3))
def test_vectors_come_back_as_they_were(numbers: list[float], windows: int) -> None:
    steps = np.arange(len(numbers) * windows, dtype=np.int8)

    rows = row(vector=halves(*numbers), windows=steps.tobytes()).vectors()

    assert rows is not None and rows.shape == (1 + windows, len(numbers))
    assert rows[0].tolist() == pytest.approx(numbers)
    assert np.rint(rows[1:] * 127).astype(np.int8).tobytes() == steps.tobytes()


@pytest.mark.parametrize(
    "fields",
    [{}, {"vector": halves()}, {"vector": halves(1, 2), "windows": b"abc"}, {"vector": halves(math.nan)}],
    ids=["none", "empty", "windows of another size", "no numbers"],
)
def test_vectors_that_make_no_sense_are_none(fields: dict[str, bytes]) -> None:
    assert row(**fields).vectors() is None


def test_parts_of_a_document_know_each_other_in_any_order() -> None:
    rows = [
        row(id="d#2", ord=1, part=1, parts_of="d", body="two"),
        row(id="whole", ord=2, body="alone"),
        row(id="d#1", ord=0, part=0, parts_of="d", body="one"),
        row(id="gone", ord=0, gone=True),
    ]

    found = passages_of(rows)

    assert [(passage.id, passage.parts) for passage in found] == [
        ("d#1", ("one", "two")),
        ("d#2", ("one", "two")),
        ("whole", ()),
    ]


@pytest.mark.parametrize("field", ["title", "text", "file", "metadata", "part"])
def test_whatever_is_stored_is_in_the_digest(field: str) -> None:
    one = Passage("a", "title", "text", "a.json", {"k": 1})
    other: dict[str, Any] = {"title": "x", "text": "x", "file": "x", "metadata": {"k": 2}, "part": 1}

    changed = Passage(**{**{name: getattr(one, name) for name in one.__slots__}, field: other[field]})

    assert digest(changed) != digest(one)


def test_rows_of_a_large_base_become_passages_in_steps() -> None:
    steps: list[int] = []
    rows = [row(id=str(number), ord=number, title="", body="") for number in range(1000)]

    passages = passages_of(rows, lambda: steps.append(1))

    assert [passage.id for passage in passages] == [str(number) for number in range(1000)]
    assert len(steps) >= 2 * 1000 // STEP
    steps.clear()
    result_of(Snapshot(HEADER, rows), "database", lambda: steps.append(1))
    assert len(steps) >= 3 * 1000 // STEP
