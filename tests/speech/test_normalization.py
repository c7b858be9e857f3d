"""The readings of written English: each rule, and words that no rule concerns."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reading import read

from parley.speech import normalization
from parley.speech.english import ENGLISH


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("It costs $45.50, or", "It costs forty-five dollars and fifty cents, or"),
        ("$1 and $0.99", "one dollar and ninety-nine cents"),
        ("$20.00", "twenty dollars"),
        ("€1,250 a year", "one thousand two hundred fifty euros a year"),
        ("15€ or £3.05", "fifteen euros or three pounds and five pence"),
        ("about $3 million.", "about three million dollars."),
        ("$2k or $1.5m", "two thousand dollars or one point five million dollars"),
        ("10 USD, EUR 5", "ten dollars, five euros"),
    ],
)
def test_money(written: str, said: str) -> None:
    assert read(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("at 9 am on", "at nine AM on"),
        ("9am", "nine AM"),
        ("7:30pm,", "seven thirty PM,"),
        ("7:05", "seven oh five"),
        ("7:00 sharp", "seven o'clock sharp"),
        ("7:00 p.m. sharp", "seven PM sharp"),
        ("9:00-17:30", "nine o'clock to seventeen thirty"),
        ("9-5 pm", "nine to five PM"),
        ("25:99", "twenty-five to ninety-nine"),
    ],
)
def test_times(written: str, said: str) -> None:
    assert read(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("on March 3, 2024.", "on March third, twenty twenty-four."),
        ("on 3 May", "on the third of May"),
        ("the 21st of May; 3 June", "the twenty-first of May; the third of June"),
        ("12 Dec 2023", "the twelfth of December twenty twenty-three"),
        ("Sep 5", "September fifth"),
        ("2024-03-05", "March fifth, twenty twenty-four"),
        ("3/5/2024", "March fifth, twenty twenty-four"),
        ("31/12/99", "December thirty-first, nineteen ninety-nine"),
        ("2024-13-05", "two zero two four, one three, zero five"),
        ("in the 1990s", "in the nineteen nineties"),
        ("I may come", "I may come"),
    ],
)
def test_dates(written: str, said: str) -> None:
    assert read(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("the 1st, 2nd and 23rd", "the first, second and twenty-third"),
        ("50% off", "fifty percent off"),
        ("3.14", "three point one four"),
        ("-5 or ~10", "minus five or about ten"),
        ("1/2 or 3/4", "one half or three quarters"),
        ("24/7", "twenty-four seven"),
        ("5 km, 1 km, 10kg", "five kilometers, one kilometer, ten kilograms"),
        ("20°C", "twenty degrees Celsius"),
        ("5-10", "five to ten"),
        ("#3", "number three"),
        ("No. 5", "number five"),
        ("A4", "A four"),
        ("555-0123", "five five five, zero one two three"),
        ("+1-555-123-4567", "plus one, five five five, one two three, four five six seven"),
        ("007", "zero zero seven"),
        ("2,500 people", "two thousand five hundred people"),
    ],
)
def test_numbers_and_units(written: str, said: str) -> None:
    assert read(written) == said


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Dr. Smith & Co", "Doctor Smith and Co"),
        ("e.g. this (i.e. that)", "for example this (that is that)"),
        ("mail info@example.org!", "mail info at example dot org!"),
        ("on example.com.", "on example dot com."),
        ('"3"', '"three"'),
        ("(5)", "(five)"),
    ],
)
def test_signs_and_abbreviations(written: str, said: str) -> None:
    assert read(written) == said


@pytest.mark.parametrize("word", ["Hello", "don't", "co-op", "你好", "...", "—"])
def test_a_word_that_reads_itself_stays(word: str) -> None:
    assert read(word) == word


ALPHABET = "0123456789.,:;/-–—$€%+#~ampkKstndrh°()'\"x×*=<>²½’A§@_&!?"
TOKENS = ["2019", "-", "$", "100", "am", "'", "90s", "/", ":", "30", "kg", "Psalm", "78", "65", ".", "€", "EUR", "th"]
TOKENS += ["No.", "²", "½", "007", "Jan", "Mon", "XIV", "@", "com", "…", "①", "٣", "12:30", "(", ")", "million", "call"]
words_of_signs = st.text(alphabet=ALPHABET, min_size=1, max_size=12)
words_of_tokens = st.lists(st.sampled_from(TOKENS), min_size=1, max_size=5).map("".join)
PLAIN = ["apple", "Berlin", "guests", "zebra", "Quux"]
NUMBERS = ["5", "10", "2019", "007", "3.5", "1,000", "12:30", "100", "½", "78:65-72"]
JOINTS = ["-", "/", ":", ".", "–", "_", "+", "'", "&", "(", ")", ",", "%", "#", "@", "=", "x", ""]


@pytest.mark.slow
@pytest.mark.row("RB-03")
@settings(max_examples=500)
@given(st.lists(words_of_signs | words_of_tokens, max_size=5))
def test_every_written_word_has_a_reading_without_a_digit(words: list[str]) -> None:
    words = [word for word in words if word.split() == [word]]
    said = normalization.normalize(words, ENGLISH)

    assert len(said) == len(words) and all(reading.strip() for reading in said)
    assert not any("None" in reading or normalization.has_digits(reading) for reading in said)


@pytest.mark.slow
@pytest.mark.row("RB-03")
@settings(max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(PLAIN + NUMBERS), st.sampled_from(JOINTS)), min_size=1, max_size=4))
def test_no_word_beside_a_number_is_lost(parts: list[tuple[str, str]]) -> None:
    letters = "".join(filter(str.isalpha, read("".join(word + joint for word, joint in parts)).lower()))

    assert all(word.lower() in letters for word, _ in parts if word in PLAIN)


def test_another_language_is_one_value() -> None:
    rules = normalization.Rules()
    rules.add(r"\d")(lambda match, around: f"{around.read('und') or 'und'} eins" if match[0] == "1" else None)
    spans = {0: "Nummer"}
    german = normalization.Language(lambda words, read: spans, {"und": "sowie"}, rules, lambda text, read: "Zahl")

    assert normalization.normalize(["Nr.", "1", "22", "und"], german) == ["Nummer", "sowie eins", "Zahl", "sowie"]
