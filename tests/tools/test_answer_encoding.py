"""Answers that come compressed, or in another charset than UTF-8."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.errors import UpstreamBadResponse
from parley.tools.answer_encoding import decoded, unpacked

LIMIT = 1000
BODY = b'{"state":"shipped"}'
RAW = zlib.compressobj(wbits=-zlib.MAX_WBITS)
BARE = RAW.compress(BODY) + RAW.flush()


@pytest.mark.parametrize(
    ("body", "label"),
    [
        (gzip.compress(BODY), "gzip"),
        (gzip.compress(BODY), " GZip "),
        (gzip.compress(BODY), "x-gzip"),
        (gzip.compress(BODY), ""),
        (zlib.compress(BODY), "deflate"),
        (BARE, "deflate"),
        (BODY, "identity"),
        (BODY, ""),
    ],
    ids=["gzip", "capitals", "x-gzip", "gzip, not labelled", "deflate", "bare deflate", "identity", "plain"],
)
def test_a_body_is_unpacked(body: bytes, label: str) -> None:
    assert unpacked(body, {"content-encoding": label} if label else {}, LIMIT) == BODY


def test_an_empty_body_needs_no_unpacking() -> None:
    assert unpacked(b"", {"content-encoding": "br"}, LIMIT) == b""


@pytest.mark.parametrize(
    ("body", "label"),
    [(gzip.compress(BODY)[:-9], "gzip"), (BODY, "gzip"), (b"\x1f\x8b", ""), (BODY, "br"), (b"\x00", "deflate")],
    ids=["cut", "not packed", "half a start", "br", "junk"],
)
def test_what_can_not_be_unpacked_is_refused(body: bytes, label: str) -> None:
    with pytest.raises(UpstreamBadResponse):
        unpacked(body, {"content-encoding": label}, LIMIT)


def test_a_body_that_unpacks_to_very_much_is_cut() -> None:
    assert len(unpacked(gzip.compress(b"x" * 10_000_000), {"content-encoding": "gzip"}, LIMIT)) == LIMIT + 1


@pytest.mark.parametrize(
    ("charset", "label"),
    [
        ("utf-8", ""),
        ("utf-8", "; charset=ISO-8859-1"),
        ("latin-1", "; charset=ISO-8859-1"),
        ("cp1252", '; Charset="Windows-1252"; x=y'),
        ("utf-16", "; charset=UTF-16"),
        ("utf-16le", ";charset = utf-16le"),
        ("utf-8-sig", "; charset=nonsense"),
    ],
    ids=["unlabelled", "mislabelled", "latin-1", "quoted", "utf-16", "utf-16le", "mark and nonsense"],
)
def test_text_is_read_as_utf_8_or_by_its_label(charset: str, label: str) -> None:
    assert decoded("café crème".encode(charset), f"text/plain{label}", "strict") == "café crème"


@pytest.mark.parametrize(
    "label", ["", "; charset=utf-8", "; charset=idna", "; charset=gb99999", "; charset=iso-8859-99"]
)
def test_text_in_no_known_charset_is_refused_or_replaced(label: str) -> None:
    with pytest.raises(UnicodeDecodeError):
        decoded(b"caf\xe9", f"text/plain{label}", "strict")
    assert decoded(b"caf\xe9", f"text/plain{label}", "replace") == "caf\ufffd"


@given(body=st.binary(), label=st.sampled_from(["", "gzip", "deflate", "br"]), charset=st.text(max_size=12))
def test_whatever_comes_is_read_or_refused(body: bytes, label: str, charset: str) -> None:
    try:
        plain = unpacked(body, {"content-encoding": label}, LIMIT)
    except UpstreamBadResponse:
        return
    assert isinstance(decoded(plain, f"text/plain; charset={charset}", "replace"), str)
