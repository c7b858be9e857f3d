"""JSON with halves of surrogate pairs: read, and written as it came; everything else is as strict as msgspec."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.wire.upstream_json import decode, encode, fields, holds_half_pair, mended, raw, with_choices

CAME = rb'{"a":"\ud83d","b":"\\ud83d","c":"\ud83d\ude00","d":"\ude00x\uD83Dq","n":1e2,"x":[ 1.0 ],"\uDC00":0}'


def test_halves_are_read() -> None:
    value = decode(CAME)
    assert (value["a"], value["b"], value["c"], value["d"]) == ("\ud83d", "\\ud83d", "\U0001f600", "\ude00x\ud83dq")


def test_fields_are_written_as_they_came() -> None:
    assert encode(fields(CAME)) == CAME


@pytest.mark.parametrize(
    "strict", [b'{"a":NaN,"b":"\\ud83d"}', b'{"a":"\\ud83d"', b'"\\ud83d" x', b'"\xff\\ud83d"', b"x"]
)
def test_everything_else_is_strict(strict: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(strict)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        (rb'"\ud83d"', True),
        (rb'"\ud83d\ude00"', False),
        (rb'"\\ud83d"', False),
        (rb'"\\\uDc00"', True),
        (b'"d"', False),
    ],
    ids=range(5),
)
def test_half_a_pair_is_found(text: bytes, holds: bool) -> None:
    assert holds_half_pair(text) is holds


def test_raw_values_are_written_beside_halves() -> None:
    assert json.loads(encode({"a": "\ud83d", "b": msgspec.Raw(b'"AAAA"')})) == {"a": "\ud83d", "b": "AAAA"}


@given(st.dictionaries(st.text(st.characters()), st.text(st.characters(codec=None, categories=["Cs", "L"]))))
def test_what_is_written_is_read(value: dict[str, str]) -> None:
    came = json.dumps(value).encode()
    # Halves that stand side by side become one character, as in every reader.
    assert decode(came) == json.loads(came) and json.loads(encode(fields(came))) == json.loads(came)


@pytest.mark.row("RA-07")
@pytest.mark.parametrize(
    ("lenient", "strict"),
    [
        (b'{"a":NaN,"b":[-Infinity]}', {"a": None, "b": [None]}),
        (b'{"a":"x\ty\x01"}', {"a": "x\ty\x01"}),
        (b'{"a":"x\xf0\x9f"}', {"a": "x\ufffd"}),
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (rb'{"a":"\ud83d","b":NaN}', {"a": "\ud83d", "b": None}),
    ],
    ids=["no numbers", "control characters", "half of UTF-8", "a byte order mark", "half a pair"],
)
def test_what_lenient_decoders_read_is_written_anew(lenient: bytes, strict: dict[str, object]) -> None:
    anew = mended(lenient)
    assert anew and decode(anew) == strict == json.loads(anew)


@pytest.mark.parametrize("bad", [b'{"a":1,}', b'{"a"', b"[NaN]", b"x", b"", b'{"a":' * 100_000])
def test_what_nobody_reads_is_not_mended(bad: bytes) -> None:
    assert mended(bad) is None


def test_choices_are_edited_and_all_else_stays() -> None:
    came = rb'{"id":"\ud83d","n":1e2,"choices":[{"x":[ 1.0 ],"delta":{"content":"\ude00"}},{"y":1E5}]}'
    edited = with_choices(came, lambda choices: choices[1].update(y=raw("\ud83d")))
    assert edited == came.replace(b"1E5", rb'"\ud83d"')
