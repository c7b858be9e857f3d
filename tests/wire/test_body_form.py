"""The form of a body by its first bytes, however they are cut, and whatever stands before it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.wire.body_form import SNIFFED_BYTES, STARTS, Form, form_of, without_leading

LEADING = st.lists(
    st.sampled_from(
        [b"\n", b"\r\n", b" ", b"\t", b": ping\n", b":\r\n", b": OPENROUTER PROCESSING\n\n", b"\xef\xbb\xbf"]
    ),
    max_size=6,
).map(b"".join)


@pytest.mark.parametrize(
    ("start", "form"),
    [
        (b"data: {", Form.EVENTS),
        (b"data:{", Form.EVENTS),
        (b": ping\n\ndata: x", Form.EVENTS),
        (b"event: message\n", Form.EVENTS),
        (b"id: 1\n", Form.EVENTS),
        (b"\xef\xbb\xbf\n\n{", Form.OBJECTS),
        (b": ping\n{", Form.OBJECTS),
        (b"<html>", Form.UNKNOWN),
        (b": ping\n<html>", Form.UNKNOWN),
        (b"datum", Form.UNKNOWN),
        (b"[", Form.UNKNOWN),
        (b"\x1f\x8b\x08", Form.FOREIGN),
        (b"", None),
        (b"\n ", None),
        (b"dat", None),
        (b"\xef\xbb", None),
        (b": a comment that has not en", None),
    ],
    ids=range(17),
)
def test_the_first_bytes_tell_the_form(start: bytes, form: Form | None) -> None:
    assert form_of(start) is form


@pytest.mark.parametrize("filler", [b" ", b":"])
def test_a_flood_of_nothing_counts_as_events(filler: bytes) -> None:
    assert form_of(filler * SNIFFED_BYTES) is Form.EVENTS and form_of(filler * (SNIFFED_BYTES - 1)) is None


@given(leading=LEADING, known=st.sampled_from([*STARTS]), rest=st.binary(max_size=20), cut=st.integers(0, 120))
def test_no_prefix_tells_another_form(leading: bytes, known: bytes, rest: bytes, cut: int) -> None:
    body = leading + known + rest
    assert form_of(body) is STARTS[known] and form_of(body[:cut]) in (None, STARTS[known])
    assert without_leading(body) == known + rest
