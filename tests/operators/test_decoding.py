"""The encodings of documents: told by their bytes, or named by the operator, never guessed in silence."""

# ruff: noqa: RUF001 - texts of other scripts

import codecs

import pytest

from parley.operators.decoding import Undecodable, decode

pytestmark = pytest.mark.row("RC-02")
TEXT = "Frage;Antwort\r\nWo?;Grüße, 5 € – „ja“\r\n"


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (TEXT.encode(), "UTF-8"),
        (TEXT.encode("utf-8-sig"), "UTF-8 with a byte order mark"),
        (TEXT.encode("utf-16"), "UTF-16"),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), "UTF-16"),
        (TEXT.encode("utf-16-le"), "UTF-16 without a mark"),
        (TEXT.encode("utf-16-be"), "UTF-16 without a mark"),
        (TEXT.encode("utf-32"), "UTF-32"),
        (TEXT.encode("windows-1252"), "Windows-1252"),
        (TEXT.encode("mac-roman"), "Mac Roman"),
    ],
)
def test_an_encoding_is_told_by_the_bytes(raw: bytes, name: str) -> None:
    assert decode(raw) == (TEXT, name)


@pytest.mark.parametrize("text", ["質問,回答\n駐車場は?,店の裏です\n", "вопрос,ответ\nгде?,здесь\n"])
@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_may_be_of_any_script(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == (text, "UTF-16 without a mark")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Вопрос;Ответ\nГде парковка?;За магазином\n", "windows-1251"),
        ("ερώτηση;απάντηση\nΠού είναι;Εδώ κοντά\n", "windows-1253"),
        ("質問,回答\n駐車場はどこですか,店の裏にあります\n", "shift_jis"),
        ("问题,答案\n停车场在哪里,在商店后面\n", "gb18030"),
    ],
)
def test_another_encoding_is_refused_until_it_is_named(text: str, encoding: str) -> None:
    with pytest.raises(Undecodable, match=r"neither UTF-8 nor Windows-1252 \(line \d\); name its encoding"):
        decode(text.encode(encoding))

    assert decode(text.encode(encoding), encoding) == (text, encoding)


@pytest.mark.parametrize(
    ("raw", "encoding", "message"),
    [
        ("Grüße, größer, schön\n".encode() * 5 + b"caf\xe9\n", None, "is UTF-8, save for line 6"),
        (b"\xff\xfea\x00b", None, r"looks like UTF-16 and is not \(line 1"),
        (b"caf\xe9", "utf-8", r"looks like utf-8 and is not \(line 1"),
        (b"one\ntwo\0three", None, r"holds a zero byte \(line 2\)"),
        (b"x", "utf-9", "there is no encoding 'utf-9'"),
    ],
)
def test_bytes_that_fit_no_encoding_are_a_fault(raw: bytes, encoding: str | None, message: str) -> None:
    with pytest.raises(Undecodable, match=message):
        decode(raw, encoding)
