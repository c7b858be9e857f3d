"""Portuguese: how numbers are said."""

import pytest

from parley.languages.portuguese import PORTUGUESE


@pytest.mark.parametrize(("number", "spelling"), [(135, "cento e trinta e cinco"), (19, "dezenove")])
def test_a_number_is_spelled_as_speakers_do(number: int, spelling: str) -> None:
    assert PORTUGUESE.spellings is not None
    assert (spelling, str(number)) in set(PORTUGUESE.spellings(number))


def test_every_number_has_a_spelling_of_its_own() -> None:
    assert PORTUGUESE.spellings is not None
    assert len({next(iter(PORTUGUESE.spellings(number)))[0] for number in range(1000)}) == 1000
