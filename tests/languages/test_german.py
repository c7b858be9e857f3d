"""German: how numbers are said."""

import pytest

from parley.languages.german import GERMAN


@pytest.mark.parametrize(
    ("number", "spelling"), [(121, "hunderteinundzwanzig"), (17, "siebzehn"), (250, "zweihundertfünfzig")]
)
def test_a_number_is_spelled_as_speakers_do(number: int, spelling: str) -> None:
    assert GERMAN.spellings is not None
    assert (spelling, str(number)) in set(GERMAN.spellings(number))


def test_every_number_has_a_spelling_of_its_own() -> None:
    assert GERMAN.spellings is not None
    assert len({next(iter(GERMAN.spellings(number)))[0] for number in range(1000)}) == 1000
