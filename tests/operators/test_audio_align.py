"""Forced alignment, with pocketsphinx where it is installed: the sample recordings, whose words are known."""

from pathlib import Path

import pytest

from parley.operators import audio_align
from parley.operators.audio_align import AlignmentError
from parley.speech import sound_file, word_estimation
from parley.speech.word_timing import is_mark

pytestmark = pytest.mark.slow

ASSETS = Path(__file__).parents[2] / "audio_assets"
GREETING = "Welcome to Harbour Bicycle Works. How can I help you today?"
needs_pocketsphinx = pytest.mark.usefixtures("_pocketsphinx")


@pytest.fixture(scope="module")
def _pocketsphinx() -> None:
    pytest.importorskip("pocketsphinx", reason="pip install -r requirements-align.txt")


@pytest.fixture(scope="module")
def welcome() -> bytes:
    return sound_file.read(ASSETS / "welcome.wav", 22050).pcm


@needs_pocketsphinx
def test_the_words_are_found_where_the_pause_says_that_they_are(welcome: bytes):
    words = audio_align.align(GREETING, welcome, 22050)

    by_text = {word.text: word for word in words}
    assert [word.text for word in words][-2:] == ["today", "?"]
    assert by_text["Works"].end_ms == pytest.approx(1950, abs=80)
    assert by_text["How"].start_ms == pytest.approx(2390, abs=80)
    assert words[-1].end_ms <= len(welcome) / 2 / 22.05


@needs_pocketsphinx
def test_the_estimate_is_not_far_from_the_measure(welcome: bytes):
    measured = audio_align.align(GREETING, welcome, 22050)
    guessed = word_estimation.estimate(GREETING, welcome, 22050)

    off = sorted(abs(a.start_ms - b.start_ms) for a, b in zip(measured, guessed, strict=True) if not is_mark(a.text))
    assert off[len(off) // 2] < 100


@needs_pocketsphinx
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Welcome to Harbour Bicycle Works.", "do not fill the sound"),
        ("?!", "no words"),
        ("\u4f60\u597d", "can't be sounded out in English"),
        (" ".join(["Every other word is long and elaborate."] * 9), "the words were not all found"),
    ],
)
def test_a_text_that_is_not_what_is_said_is_refused(welcome: bytes, text: str, said: str):
    with pytest.raises(AlignmentError, match=said):
        audio_align.align(text, welcome, 22050)


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("65", ["sixty", "five"]),
        ("1207", ["one", "thousand", "two", "hundred", "seven"]),
        ("3.50", ["three", "fifty"]),
        ("10000", ["one", "zero", "zero", "zero", "zero"]),
        ("9999", ["nine", "thousand", "nine", "hundred", "ninety", "nine"]),
        ("007", ["seven"]),
        ("0", ["zero"]),
        ("90210", ["nine", "zero", "two", "one", "zero"]),
        ("Don\u2019t", ["don't"]),
        ("tune-up", ["tune", "up"]),
        ("7am", ["seven", "am"]),
    ],
)
def test_a_token_is_looked_up_as_it_is_read(token: str, words: list[str]):
    assert audio_align.spellings(token) == words
