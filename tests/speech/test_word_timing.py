"""Words in time: the tokens of a text, the sidecar file, and its refusals."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parley.speech import word_timing
from parley.speech.word_timing import Word, WordsError


def refusal(content: Any, transcript: str = "Hello!", total_ms: int = 1000) -> str:
    with pytest.raises(WordsError) as caught:
        word_timing.from_json(content if isinstance(content, str) else json.dumps(content), transcript, total_ms)
    return str(caught.value)


def item(text: Any, start: Any, end: Any, **more: Any) -> dict[str, Any]:
    return {"text": text, "start_ts": start, "end_ts": end, **more}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello world!", ["Hello", "world", "!"]),
        ("It isn't $3.50, is it?", ["It", "isn't", "$", "3.50", ",", "is", "it", "?"]),
        ("A tune-up… \u201cnow\u201d", ["A", "tune-up", "…", "\u201c", "now", "\u201d"]),
        ("\u4f60\u597d\uff01 ok", ["\u4f60", "\u597d", "\uff01", "ok"]),
        ("Caf\u00e9 \u041f\u0440\u0438\u0432\u0435\u0442", ["Caf\u00e9", "\u041f\u0440\u0438\u0432\u0435\u0442"]),
        (" \n\t", []),
    ],
)
def test_a_text_is_cut_into_words_and_punctuation(text: str, expected: list[str]):
    assert word_timing.tokens(text) == expected


@given(st.text())
def test_no_character_that_is_written_is_lost(text: str):
    joined = "".join(word_timing.tokens(text))

    assert [character for character in joined if character.isalnum()] == [
        character for character in text if character.isalnum()
    ]


def test_punctuation_stands_between_the_words_without_overlap():
    spoken = [Word("Yes", 100, 400), Word("really", 405, 900)]

    assert word_timing.with_marks(spoken, ["\u201c", "Yes", ",", "really", "!"], 910) == (
        Word("\u201c", 0, 20),
        Word("Yes", 100, 400),
        Word(",", 400, 405),
        Word("really", 405, 900),
        Word("!", 900, 910),
    )


def test_a_sidecar_is_read_as_it_was_written():
    said = (Word("Hello", 0, 420), Word("!", 420, 440))

    assert word_timing.from_json(word_timing.to_json(said), "Hello!", 440) == said


def test_a_sidecar_may_omit_punctuation_and_add_durations():
    listed = [item("hello", 0, 420.4, duration=420.4)]

    assert word_timing.from_json(json.dumps(listed), "Hello!", 1000) == (Word("hello", 0, 420),)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ({"words": []}, "not a list"),
        ([7], "word 1 is not of the form"),
        ([item("Hello", 0, "420")], "word 1 is not of the form"),
        ([item("Hello", True, 420)], "word 1 is not of the form"),
        ([item("Hello", -1, 420)], "word 1 is not of the form"),
        ([item("", 0, 420)], "word 1 is not of the form"),
        ([item("Hello", 10, 9)], "word 1 ('Hello') begins before"),
        ([item("Hel", 0, 300), item("lo", 299, 420)], "word 2 ('lo') begins before"),
        ([item("Hello", 0, 1001)], "the last word ends at 1001 ms, after the sound (1000 ms)"),
        ([item("Goodbye", 0, 420)], "they are not the words of the transcript"),
    ],
)
def test_words_that_can_not_be_right_are_refused(content: Any, said: str):
    assert said in refusal(content)


@pytest.mark.row("RB-05")
def test_a_sidecar_in_another_form_of_unicode_fits() -> None:
    content = json.dumps([{"text": "Cafe\u0301", "start_ts": 0, "end_ts": 90}])

    assert [word.start_ms for word in word_timing.from_json(content, "Caf\u00e9!", 100)] == [0]
