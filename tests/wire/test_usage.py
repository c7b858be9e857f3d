"""Usages added up over several answers."""

import json

from parley.wire.usage import added, usage_of


def test_whole_numbers_at_one_path_are_added() -> None:
    first = {"total": 5, "details": {"cached": 1, "price": 0.5}, "tier": "a", "only": 2}
    second = {"total": 7, "details": {"cached": 2, "price": 0.25}, "tier": "b", "new": None}

    assert added(first, second) == {
        "total": 12,
        "details": {"cached": 3, "price": 0.25},
        "tier": "b",
        "only": 2,
        "new": None,
    }
    assert added(None, second) == second and added(first, None) == first


def test_depth_is_bounded() -> None:
    deep: dict[str, object] = {}
    for _ in range(900):
        deep = {"a": deep}

    assert added(deep, deep)["a"]


def test_truth_values_are_no_numbers() -> None:
    assert added({"cached": True}, {"cached": True}) == {"cached": True}


def test_a_usage_is_read_where_there_is_one() -> None:
    assert usage_of(json.dumps({"usage": {"total": 1}}).encode()) == {"total": 1}
    assert [usage_of(payload) for payload in (b'{"usage":null}', b'{"usage":1}', b"{}", b"[]", b"junk")] == [None] * 5
