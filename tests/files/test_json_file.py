"""Decoding JSON in steps: the results and the faults of the standard library, with pauses in between."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from parley.files import json_file
from parley.files.json_file import InvalidFile, parse, read_text

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=5),
    max_leaves=20,
)


@pytest.fixture(autouse=True, scope="module")
def _small_windows() -> Any:
    """Make the windows so small that they end inside nearly every value."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_file, "WINDOW", 7)
        yield


def in_steps(text: str) -> Any:
    """Return the value, or the fault with its location."""
    try:
        return repr(parse(text, lambda: None)[0])
    except InvalidFile as fault:
        return str(fault), fault.where


def at_once(text: str) -> Any:
    """Return the value or the fault by the standard library's decoder, in one call."""
    try:
        return repr(json.loads(text))
    except json.JSONDecodeError as fault:
        message = fault.msg[0].lower() + fault.msg[1:].replace("xpecting ", "xpected ", 1)
        return message.removesuffix(" at").removesuffix(" starting"), f":{fault.lineno}:{fault.colno}"


@pytest.mark.slow
@given(VALUES, st.sampled_from([None, 0, 2]), st.booleans())
@example({"": [0, 1.5e300, -1e-9, True, None, float("inf"), "\ud83e\udd14", "\n\\u00e9", "x" * 30]}, None, True)
def test_steps_decode_what_one_call_does(value: Any, indent: int | None, ascii: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii)

    assert in_steps(text) == at_once(text)


@pytest.mark.parametrize("text", ["[%s]", "{%s}", '[1, [%s], {"a": {%s}}]', "[[%s]null]", "{%s,}"])
def test_nothing_but_blanks_may_be_longer_than_a_window(text: str) -> None:
    blank = text.replace("%s", "\n" + " " * 30)

    assert in_steps(blank) == at_once(blank)


@given(VALUES, st.data())
def test_steps_find_the_fault_that_one_call_does(value: Any, data: st.DataObject) -> None:
    text = json.dumps(value, indent=data.draw(st.sampled_from([None, 1])))
    place = data.draw(st.integers(0, len(text) - 1))
    removed = data.draw(st.integers(0, 2))
    spoilt = (
        text[:place]
        + data.draw(st.sampled_from(["", ",", '"', "}", "]", "x", "1", "\\", "\n"]))
        + text[place + removed :]
    )

    if not spoilt.strip():
        return
    expected = at_once(spoilt)
    if expected[0] != "illegal trailing comma before end of object":  # from Python 3.13 on, and at the comma
        found = in_steps(spoilt)
        assert (found if isinstance(found, str) else (found[0].partition(";")[0], found[1])) == expected


@pytest.mark.parametrize("number", ["1e+9", "-1.5", "12345678901", "1E9", "0.25e-3", "-0"])
@pytest.mark.parametrize("before", range(12))
def test_a_number_is_not_cut_by_the_end_of_a_window(number: str, before: int) -> None:
    text = f"[{' ' * before}{number}, {number}]"

    assert in_steps(text) == at_once(text)


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({f"Title {number}": "Some text." for number in range(300)}),
        json.dumps(["Some text."] * 300),
        json.dumps({"documents": [{"text": "Some text."}] * 300}),
        json.dumps([{"text": "x", "prices": list(range(300))}]),
        json.dumps([{"text": "x", "prices": {str(number): number for number in range(300)}}]),
        json.dumps(["long" * 300, *["Some text."] * 300]),
        " " * 3000 + "{}",
    ],
    ids=["flat", "strings", "documents", "numbers inside", "flat inside", "behind a long string", "blanks"],
)
def test_a_large_text_of_any_form_is_decoded_with_pauses(text: str) -> None:
    pauses = 0

    def breathe() -> None:
        nonlocal pauses
        pauses += 1

    value, repeated = parse(text, breathe)

    assert value == json.loads(text) and repeated == []
    assert pauses >= 300


@pytest.mark.parametrize("filler", ["", "a longer text than a window"])
def test_a_key_that_is_given_twice_is_told_once_for_each_object(filler: str) -> None:
    text = f'[{{"a": 1, "b": "{filler}", "a": 2, "a": 3, "b": 4}}, {{"b": 1, "b": 2}}, {{"a": 1}}]'

    value, repeated = parse(text, lambda: None)

    assert value == [{"a": 3, "b": 4}, {"b": 2}, {"a": 1}]
    assert sorted(repeated) == ["a", "b", "b"]


def test_all_entries_share_the_names_of_their_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_file, "WINDOW", 20)
    entries, _ = parse('[{"name": 1}, {"name": 2}]', lambda: None)

    one, other = (next(iter(entry)) for entry in entries)
    assert one is other


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" * 400 + "1234567," * 10])
def test_nesting_without_end_is_a_fault(text: str) -> None:
    with pytest.raises(InvalidFile):
        parse(text, lambda: None)


def test_a_number_of_too_many_digits_is_a_fault() -> None:
    with pytest.raises(InvalidFile, match="too many digits"):
        parse("[" + "1" * 5000 + "]", lambda: None)


def test_a_large_file_is_read_with_pauses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_file, "PIECE_BYTES", 100)
    (tmp_path / "a.json").write_text("é" * 1000)
    pauses = []

    assert read_text(tmp_path / "a.json", tmp_path, lambda: pauses.append(1)) == "é" * 1000
    assert len(pauses) == 20
