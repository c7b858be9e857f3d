"""Terms as numbers: they weigh what they weigh in memory, and the statistics come back as they were."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.knowledge.base_settings import BaseSettings
from parley.knowledge.database import sparse
from parley.knowledge.database.sparse import GRAMS_FROM, PAIRS_FROM, SIZE, Frequencies, Statistics, Survey, stem_number
from parley.knowledge.documents import Passage
from parley.knowledge.index import build
from parley.languages import ENGLISH, LANGUAGES

TEXTS = [
    "We open at nine and at nine sharp.",
    "The MX-204B costs 12 euros.",
    "営業時間は九時からです。",
    "Ñandú y café",
    "",
]


def passages(texts: list[str]) -> list[Passage]:
    return [Passage(str(at), text[:7], text, "a.json", {}) for at, text in enumerate(texts)]


def vector(literal: str) -> dict[int, float]:
    assert literal.endswith(f"/{SIZE}")
    return {int(number) - 1: float(value) for number, value in re.findall(r"(\d+):([\d.]+)", literal)}


def test_impacts_are_those_of_the_index_in_memory() -> None:
    survey = Survey(passages(TEXTS), ENGLISH)
    stems = build(passages(TEXTS), settings=BaseSettings(language=ENGLISH))._lexicon._stems
    (segment,) = stems.postings._segments

    for at, columns in enumerate(survey.columns(passages(TEXTS), survey.average_length)):
        words = vector(columns.words)
        for stem, number in stems.vocabulary.items():
            held = {}
            if (row := segment.row_of[number]) >= 0:
                held = {position: int(impact) for position, impact in enumerate(segment.rows[row]) if impact}
            else:
                span = slice(segment.bounds[number], segment.bounds[number + 1])
                held = dict(zip(segment.positions[span].tolist(), segment.impacts[span].tolist(), strict=True))
            assert words.get(stem_number(stem), 0) == pytest.approx(held.get(at, 0), abs=1)


def test_the_list_of_terms_holds_words_pairs_and_grams() -> None:
    (columns,) = Survey(passages(["We open at nine."]), ENGLISH).columns(passages(["We open at nine."]), 5.0)
    numbers = [int(number) for number in re.findall(r"\d+", columns.terms)]

    assert sorted(numbers) == sorted([*vector(columns.words), *(n + GRAMS_FROM for n in vector(columns.grams))])
    assert any(number < PAIRS_FROM for number in numbers) and any(PAIRS_FROM <= n < GRAMS_FROM for n in numbers)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=40), max_size=6), st.sampled_from(sorted(LANGUAGES)))
def test_statistics_come_back_as_they_were(texts: list[str], language: str) -> None:
    known = Survey(passages(texts), LANGUAGES[language]).statistics

    again = Statistics.unpack(known.pack(), LANGUAGES[language], lambda: None)

    assert again.passages == len(texts) and again.forms == known.forms
    for one, other in ((known.words, again.words), (known.grams, again.grams)):
        assert np.array_equal(one.numbers, other.numbers) and np.array_equal(one.counts, other.counts)


def test_many_words_are_read_in_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse, "PORTION", 3)
    breaths: list[int] = []

    packed = Survey(passages(TEXTS), ENGLISH).statistics.pack()
    again = Statistics.unpack(packed, ENGLISH, lambda: breaths.append(1))

    assert len(breaths) > 5 and {"nine", "mx", "204b"} & again.forms.words


@pytest.mark.parametrize("packed", [b"", b"\x78\x9c", b"nonsense"], ids=["nothing", "cut", "other"])
def test_broken_statistics_are_told(packed: bytes) -> None:
    with pytest.raises(ValueError, match="can't be read"):
        Statistics.unpack(packed, ENGLISH, lambda: None)


def test_frequencies_of_terms_that_do_not_occur_are_none() -> None:
    known = Frequencies.of_all(np.array([0, 3, 0, 5], np.uint32))

    assert known.of([1, 2, 3, 99, 0]).tolist() == [3, 0, 5, 0, 0] and known.of([]).tolist() == []
    assert Frequencies.of_all(np.zeros(4, np.uint32)).of([1]).tolist() == [0]
