"""Spanish: how numbers are said."""

import pytest

from parley.languages.spanish import SPANISH


@pytest.mark.parametrize(
    ("number", "spelling"), [(135, "ciento treinta y cinco"), (22, "veintidós"), (500, "quinientos")]
)
def test_a_number_is_spelled_as_speakers_do(number: int, spelling: str) -> None:
    assert SPANISH.spellings is not None
    assert (spelling, str(number)) in set(SPANISH.spellings(number))


def test_every_number_has_a_spelling_of_its_own() -> None:
    assert SPANISH.spellings is not None
    assert len({next(iter(SPANISH.spellings(number)))[0] for number in range(1000)}) == 1000
