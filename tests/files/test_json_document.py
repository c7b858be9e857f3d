"""A JSON file while its value is checked: each fault with the place where it stands."""

from pathlib import Path

import msgspec
import pytest

from parley.files.json_document import Closed, JsonDocument, known_keys
from parley.files.json_file import InvalidFile


class Inner(Closed, frozen=True, kw_only=True):
    name: str
    word: msgspec.UnsetType | str = msgspec.UNSET


class Outer(Closed, frozen=True, kw_only=True):
    inner: Inner
    numbers: list[int] = msgspec.field(default_factory=list)


def read(folder: Path, text: str) -> JsonDocument:
    (folder / "a.json").write_text(text)
    return JsonDocument.read(folder / "a.json", None, {})


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"inner": {"name": "x",\n "nam": 1}}', 'a.json:2:2: "nam" is not known; known are name, word'),
        ('{"inner": {"name": 3}}', "a.json:1:12: expected `str`, got `int`"),
        ('{"inner": {"name": "x"}, "numbers": [1, "2"]}', "a.json:1:41: expected `int`, got `str`"),
    ],
)
def test_a_fault_has_line_and_column(tmp_path: Path, text: str, fault: str) -> None:
    document = read(tmp_path, text)
    assert document.shaped(document.value, Outer, ()) is None
    assert document.faults == [fault]


def test_what_fits_has_its_shape(tmp_path: Path) -> None:
    document = read(tmp_path, '\ufeff{"inner": {"name": "x"}}')
    assert document.shaped(document.value, Outer, ()) == Outer(inner=Inner(name="x")) and document.faults == []


def test_a_key_that_is_there_twice_is_a_fault(tmp_path: Path) -> None:
    assert read(tmp_path, '{"a": 1, "a": 2}').faults == ['a.json:1:1: an object has the key "a" twice']


def test_what_is_no_json_is_one_fault(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"^a.json:1:7: expected value$"):
        read(tmp_path, '{"a": ')


def test_contents_may_be_given(tmp_path: Path) -> None:
    assert JsonDocument.read(tmp_path / "gone.json", b"[1]", {}).value == [1]


def test_the_keys_at_a_path_are_known() -> None:
    assert known_keys(Outer, []) == ["inner", "numbers"] and known_keys(Outer, ["inner"]) == ["name", "word"]


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ('{"a": [1, "\\ud800"]}', ["a.json:1:11: holds half of a surrogate pair, which is not a character"]),
        ('{"a": {"b\\udfff": 1}}', ["a.json:1:2: a key holds half of a surrogate pair, which is not a character"]),
        ('{"a": NaN}', ["a.json:1:2: must be a finite number"]),
        ('{"a": [-1e999]}', ["a.json:1:8: must be a finite number"]),
        ('{"a": "\\ud83d\\ude00 é 中", "b": [0.5, -3, true, null]}', []),
    ],
)
def test_a_value_that_no_request_can_hold_is_a_fault(tmp_path: Path, text: str, faults: list[str]) -> None:
    assert read(tmp_path, text).faults == faults
