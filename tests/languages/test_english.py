"""English: how numbers are said, and how words sound."""

import pytest

from parley.languages.english import ENGLISH, sound, spellings


@pytest.mark.parametrize(
    ("number", "spelling", "written"),
    [
        (0, "oh", "0"),
        (12, "twelve", "12"),
        (164, "a hundred and sixty-four", "164"),
        (164, "one hundred sixty-four", "164"),
        (21, "twenty-first", "21st"),
        (100, "a hundred", "100"),
    ],
)
def test_a_number_has_all_its_spellings(number: int, spelling: str, written: str) -> None:
    assert (spelling, written) in set(spellings(number))


@pytest.mark.parametrize(
    ("heard", "meant"),
    [
        ("jim", "gym"),
        ("sweet", "suite"),
        ("sauner", "sauna"),
        ("puck", "puk"),
        ("eefa", "aoife"),
        ("shivon", "siobhan"),
    ],
)
def test_words_that_sound_alike_have_one_sound(heard: str, meant: str) -> None:
    assert sound(heard) == sound(meant)


@pytest.mark.parametrize(("one", "other"), [("mind", "minute"), ("file", "floor"), ("wait", "wet"), ("pay", "per")])
def test_words_that_sound_different_have_not(one: str, other: str) -> None:
    assert sound(one) != sound(other)


def test_the_letters_that_recognisers_write_are_known() -> None:
    assert "".join(ENGLISH.letters[name] for name in ("emm", "ex", "bee", "oh", "tango")) == "mxbot"
