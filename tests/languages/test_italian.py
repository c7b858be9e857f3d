"""Italian: how numbers are said."""

import pytest

from parley.languages.italian import ITALIAN


@pytest.mark.parametrize(("number", "spelling"), [(128, "centoventotto"), (21, "ventuno")])
def test_a_number_is_spelled_as_speakers_do(number: int, spelling: str) -> None:
    assert ITALIAN.spellings is not None
    assert (spelling, str(number)) in set(ITALIAN.spellings(number))


def test_every_number_has_a_spelling_of_its_own() -> None:
    assert ITALIAN.spellings is not None
    assert len({next(iter(ITALIAN.spellings(number)))[0] for number in range(1000)}) == 1000
