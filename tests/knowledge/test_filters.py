"""Filters: equality of values and of their types, and passages without a key."""

from collections.abc import Mapping
from typing import Any

import pytest

from parley.knowledge.documents import Passage
from parley.knowledge.filters import Filters, FilterValue
from parley.knowledge.index import Query, build

METADATA: list[dict[str, Any]] = [
    {"language": "en", "new": True, "size": 1, "tags": []},
    {"language": "de", "new": True, "size": 2, "tags": []},
    {"language": "en", "new": False, "size": 1, "weight": 1.5},
    {},
]


def positions(wanted: Mapping[str, FilterValue]) -> list[int]:
    filters = Filters()
    for metadata in METADATA:
        filters.add(metadata)
    mask = filters.finish().mask(wanted)
    assert mask is not None
    return [int(position) for position in mask.nonzero()[0]]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"language": "en"}, [0, 2]),
        ({"language": "en", "new": True}, [0]),
        ({"size": 1}, [0, 2]),
        ({"size": True}, []),
        ({"new": 1}, []),
        ({"language": "fr"}, []),
        ({"colour": "red"}, []),
        ({"language": "en", "colour": "red"}, []),
        ({"weight": 1.5}, []),
    ],
)
def test_a_passage_must_have_all_wanted_values(wanted: dict[str, Any], expected: list[int]) -> None:
    assert positions(wanted) == expected


def test_without_a_wanted_value_there_is_no_mask() -> None:
    assert Filters().finish().mask({}) is None


def test_only_passages_with_the_wanted_metadata_are_found() -> None:
    wheels = [("en", True, 1), ("de", True, 2), ("en", False, 1)]
    searched = build(
        [
            Passage(str(at), "", "A wheel.", "a.json", {"language": language, "new": new, "size": size, "tags": []})
            for at, (language, new, size) in enumerate(wheels)
        ]
    )

    def ids(**filters: str | int | bool) -> list[str]:
        return [hit.passage.id for hit in searched.search(Query("wheel", filters=filters), 5)]

    assert (ids(), ids(language="en"), ids(language="en", new=True)) == (["0", "1", "2"], ["0", "2"], ["0"])
    assert (ids(size=1), ids(new=1), ids(colour="red"), ids(language="fr")) == (["0", "2"], [], [], [])
