"""Numbers as English words, as the voice and the aligner spell them."""

import pytest

from parley.languages import english_numbers as english


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (7, "seven"),
        (13, "thirteen"),
        (19, "nineteen"),
        (20, "twenty"),
        (21, "twenty-one"),
        (65, "sixty-five"),
        (100, "one hundred"),
        (1250, "one thousand two hundred fifty"),
        (1_000_001, "one million one"),
        (2_000_003, "two million three"),
        (-5, "minus five"),
        (-7, "minus seven"),
        (english.SPELLED_BELOW, "one " + " ".join(["zero"] * 15)),
    ],
)
def test_a_cardinal_is_said_in_full(number: int, words: str) -> None:
    assert english.cardinal(number) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1, "first"),
        (3, "third"),
        (12, "twelfth"),
        (20, "twentieth"),
        (21, "twenty-first"),
        (23, "twenty-third"),
        (100, "one hundredth"),
        (101, "one hundred first"),
    ],
)
def test_an_ordinal_ends_in_its_last_word(number: int, words: str) -> None:
    assert english.ordinal(number) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (1900, "nineteen hundred"),
        (1905, "nineteen oh five"),
        (1984, "nineteen eighty-four"),
        (2000, "two thousand"),
        (2007, "two thousand seven"),
        (2024, "twenty twenty-four"),
    ],
)
def test_a_year_is_said_in_pairs(number: int, words: str) -> None:
    assert english.year(number) == words


def test_decimals_are_read_digit_by_digit_behind_the_point() -> None:
    assert english.decimal("1,250.50") == "one thousand two hundred fifty point five zero"
    assert (english.decimal(".5"), english.digits("507")) == ("zero point five", "five zero seven")


def test_only_the_last_word_of_a_number_is_put_into_the_plural() -> None:
    assert [english.plural(words) for words in ("ninety", "twelve", "nineteen hundred", "twenty-six")] == [
        "nineties",
        "twelves",
        "nineteen hundreds",
        "twenty-sixes",
    ]
