"""Line and column of a value inside of a JSON text."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.files.location import Path, location

TEXT = """{
  "tools": [
    {"name": "a", "x": {"é": [1, 2]}},
    {"name" : "b"}
  ]
}"""


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ((), (1, 1)),
        (("tools",), (2, 3)),
        (("tools", 0), (3, 5)),
        (("tools", 0, "x", "é", 1), (3, 34)),
        (("tools", 1, "name"), (4, 6)),
        (("tools", 1, "gone", "further"), (4, 5)),
        (("tools", 7), (2, 3)),
        (("tools", 0, "name", "inside of a text"), (3, 6)),
    ],
    ids=str,
)
def test_a_value_is_found_by_its_path(path: Path, place: tuple[int, int]) -> None:
    assert location(TEXT, path) == place


def test_of_two_members_of_one_name_the_last_counts() -> None:
    assert location('{"a": 1,\n "a": 2}', ("a",)) == (2, 2)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(values, st.sampled_from([None, 1, "\t"]), st.data())
def test_any_path_of_any_value_is_found(value: object, indent: int | str | None, data: st.DataObject) -> None:
    text, path, inner = json.dumps(value, indent=indent, ensure_ascii=False), [], value
    while isinstance(inner, dict | list) and inner and data.draw(st.booleans()):
        step = data.draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner))))
        path.append(step)
        inner = inner[step]
    line, column = location(text, tuple(path))
    found = "\n".join(text.split("\n")[line - 1 :])[column - 1 :]
    name = json.dumps(path[-1], ensure_ascii=False) if path and isinstance(path[-1], str) else ""
    assert found.startswith(name)
    assert json.JSONDecoder().raw_decode(found[len(name) :].lstrip(" :\t\n"))[0] == inner
