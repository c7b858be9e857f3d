"""Cleaning: invisible characters are removed, those that spell words stay."""

import pytest

from parley.knowledge.cleaning import clean


@pytest.mark.parametrize(
    ("text", "cleaned", "count"),
    [
        ("plain text", "plain text", 0),
        ("ig\u200bno\u200bre", "ignore", 2),
        ("a\u202eb\u202c", "ab", 2),
        ("x\U000e0041\U000e007f", "x", 2),
        ("a\0b\x1b[0m", "ab[0m", 2),
        ("a\tb\r\nc\rd\ne", "a\tb\nc\nd\ne", 0),
        ("so\u00adft", "soft", 1),
        ("می\u200cخواهم", "می\u200cخواهم", 0),  # noqa: RUF001
        ("\U0001f468\u200d\U0001f469 \u2764\ufe0f", "\U0001f468\u200d\U0001f469 \u2764\ufe0f", 0),
        ("ig\u200dnore", "ignore", 1),
        ("مرحبا 你好 👋", "مرحبا 你好 👋", 0),
    ],
)
def test_invisible_characters_are_taken_out_and_counted(text: str, cleaned: str, count: int) -> None:
    assert clean(text) == (cleaned, count)
