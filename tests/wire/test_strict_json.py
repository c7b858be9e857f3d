"""What is refused of a stranger's JSON, with which reason, and that everything else comes through."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.errors import InvalidRequest
from parley.wire.strict_json import MAX_DEPTH, MAX_VALUES, parse

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def refusal(raw: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as raised:
        parse(raw)
    assert raised.value.status == 400
    return raised.value


@pytest.mark.slow
@settings(max_examples=50)
@given(VALUES, st.booleans())
def test_whatever_json_writes_comes_through(value: Any, ascii_only: bool) -> None:
    assert parse(json.dumps(value, ensure_ascii=ascii_only).encode()) == value


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b'{"model":"a","model":"b"}', "model"),
        (b'{"x":[{"y":{"a":1,"b":2,"a":1}}]}', "a"),
        (b'{"a":1,"\\u0061":1}', "a"),
        (b'{"":1,"":2}', ""),
    ],
)
def test_a_field_that_occurs_twice_is_refused_by_its_name(raw: bytes, name: str) -> None:
    error = refusal(raw)

    assert (error.code, error.param, error.message) == ("duplicate_key", name, f"the field {name!r} occurs twice")


def test_a_long_name_of_a_field_is_not_repeated_whole() -> None:
    assert refusal(b'{"%b":1,"%b":2}' % (b"x" * 1000, b"x" * 1000)).param == "x" * 64


def test_equal_names_in_different_objects_are_fine() -> None:
    assert parse(b'{"a":{"a":1},"b":[{"a":1},{"a":1}]}') == {"a": {"a": 1}, "b": [{"a": 1}, {"a": 1}]}


@pytest.mark.slow
def test_a_field_that_occurs_twice_among_very_many_is_found() -> None:
    # In linear time, that is: with a search for each name this would take minutes.
    names = [*map(str, range(MAX_VALUES - 10)), "z", "z"]
    raw = b"{%b}" % ",".join(f'"{name}":1' for name in names).encode()

    assert refusal(raw).param == "z"


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999"])
@pytest.mark.parametrize(
    ("form", "param"),
    [(b'{"temperature":%b}', "temperature"), (b'{"a":[1,{"b":%b}]}', "a[1].b"), (b"[%b]", "[0]"), (b"%b", None)],
)
def test_a_number_unknown_to_json_is_refused_by_its_place(number: bytes, form: bytes, param: str) -> None:
    error = refusal(form % number)

    assert (error.code, error.param) == ("invalid_json", param)
    assert error.message == f"{param or 'the body'} is not a finite number"


@pytest.mark.parametrize(("begin", "end"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_sixty_four_levels_are_fine_and_one_more_is_not(begin: bytes, end: bytes) -> None:
    assert MAX_DEPTH == 64
    assert parse(begin * 64 + b"0" + end * 64)

    error = refusal(begin * 65 + b"0" + end * 65)

    assert (error.code, error.message) == ("invalid_json", "the body is nested more than 64 levels deep")


def test_an_empty_list_or_object_is_a_level_too() -> None:
    assert parse(b"[" * 63 + b"[]" + b"]" * 63)
    assert "64 levels" in refusal(b"[" * 64 + b"{}" + b"]" * 64).message


@pytest.mark.parametrize("raw", [b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 100_000 + b"1"])
def test_a_hundred_thousand_levels_are_refused_for_their_depth(raw: bytes) -> None:
    error = refusal(raw)

    assert (error.code, error.message) == ("invalid_json", "the body is nested more than 64 levels deep")


def test_a_body_takes_no_more_memory_than_a_multiple_of_its_size() -> None:
    begin, end = b'{"%b":' % (b"k" * 64) * 60, b"}" * 60
    raw = begin + b"[" + b"1," * 5_000 + b"1]" + end
    tracemalloc.start()

    parse(raw)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * len(raw)


@pytest.mark.parametrize(
    "text", [r"\ud800", r"\uDC00", r"a\udfffb", r"\udc00\ud800", r"\ud83d \ude00", r"\ud800\u0041"]
)
def test_half_a_surrogate_pair_is_refused_wherever_it_stands(text: str) -> None:
    for form in ('"{}"', '["{}"]', '{{"a":{{"b":"{}"}}}}', '{{"{}":1}}'):
        error = refusal(form.format(text).encode())
        assert error.code == "invalid_json"
        assert "surrogate" in error.message


def test_a_whole_surrogate_pair_is_one_character() -> None:
    assert parse(rb'"\ud83d\uDE00"') == "\N{GRINNING FACE}"


def test_a_backslash_before_ud_is_a_backslash() -> None:
    assert parse(rb'"\\ud800"') == r"\ud800"


def test_an_integer_of_five_thousand_digits_is_refused() -> None:
    error = refusal(b'{"seed":%b}' % (b"9" * 5000))

    assert (error.code, error.message) == ("invalid_json", "the body holds a number that is too long")


def test_an_integer_of_four_thousand_digits_keeps_them_all() -> None:
    assert parse(b"9" * 4000) == 10**4000 - 1


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (b'{"a":"\xff"}', 6),
        (b'"\xc3"', 1),
        (b'"\xed\xa0\x80"', 1),
        (b"\xc0\xaf", 0),
        ('{"a":1}'.encode("utf-16"), 0),
        ('{"a":"é"}'.encode("latin-1"), 6),
    ],
)
def test_what_is_not_utf_8_is_refused_with_the_byte(raw: bytes, place: int) -> None:
    error = refusal(raw)

    assert (error.code, error.message) == ("invalid_json", f"the body is not UTF-8 (byte {place})")


def test_a_byte_order_mark_is_fine() -> None:
    assert parse(b'\xef\xbb\xbf{"a":1}') == {"a": 1}


def test_nul_written_as_an_escape_is_kept() -> None:
    assert parse(rb'{"a":"x\u0000y"}') == {"a": "x\0y"}


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (b"", "line 1, column 1"),
        (b"secret", "line 1, column 1"),
        (b'{"secret":}', "line 1, column 11"),
        (b'{"a":1,\n  "secret" 2}', "line 2, column 12"),
        (b'{"a":"secret', "line 1, column 6"),
        (b'{"a":"secret\x00"}', "line 1, column 13"),
        (b'{"a":"secret\\q"}', "line 1, column 13"),
        (b'{"a":1} secret', "line 1, column 9"),
        (b"{'secret':1}", "line 1, column 2"),
        (b'{"a":"secret",}', "line 1, column 1"),
    ],
)
def test_broken_json_is_told_by_its_place_and_never_by_its_text(raw: bytes, place: str) -> None:
    error = refusal(raw)

    assert (error.code, error.param) == ("invalid_json", None)
    assert error.message.startswith("the body is not JSON: ")
    assert place in error.message
    assert "secret" not in error.message


@pytest.mark.slow
@pytest.mark.parametrize("value", [b"0", b"[]", b"{}", b'""', b"null", b'{"a":"b"}'])
def test_a_body_may_hold_about_a_hundred_thousand_values(value: bytes) -> None:
    marks = 1 + value.count(b"[") + value.count(b"{")
    most = MAX_VALUES // marks - 1

    assert len(parse(b"[" + b",".join([value] * most) + b"]")) == most
    assert refusal(b"[" + b",".join([value] * (most + 3)) + b"]").message == "the body holds more than 100000 values"


@pytest.mark.parametrize(
    "text", ["[{,", '"[', "\\[", '\\"[', "]"], ids=["marks", "quote", "backslash", "both", "closing"]
)
def test_what_stands_in_a_string_is_not_counted(text: str) -> None:
    value = {"a": [text * MAX_VALUES, text], "b": [[]] * MAX_DEPTH}

    assert parse(json.dumps(value).encode()) == value


@pytest.mark.parametrize("raw", [b"NaNnull", b"[NaN", b'{"a":NaN,}', b'{"a":1e999,"b":' + b"9" * 5000 + b"}"])
def test_a_number_unknown_to_json_may_be_the_first_of_faults(raw: bytes) -> None:
    assert refusal(raw).message == "the body is not a finite number"
