"""Words timed by estimate: in order, within the sound, and parted where the sound pauses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parley.speech import word_estimation
from parley.speech.word_timing import Word

RATE = 16000


def noise(seconds: float, level: int = 8000) -> bytes:
    samples = np.random.default_rng(7).normal(0, level, round(seconds * RATE))
    return np.clip(samples, -32000, 32000).astype("<i2").tobytes()


def silence(seconds: float) -> bytes:
    return bytes(2 * round(seconds * RATE))


def in_time(words: tuple[Word, ...], total_ms: float) -> bool:
    ends = [0, *(word.end_ms for word in words)]
    starts = [*(word.start_ms for word in words), total_ms]
    return all(end <= start for end, start in zip(ends, starts, strict=True)) and all(
        word.start_ms <= word.end_ms for word in words
    )


def test_the_silence_at_both_ends_belongs_to_no_word():
    words = word_estimation.estimate("Good morning", silence(0.5) + noise(1.0) + silence(0.7), RATE)

    assert (words[0].start_ms, words[-1].end_ms) == (500, 1500)


def test_a_pause_lies_between_the_words_that_a_mark_divides():
    sound = noise(0.4) + silence(0.5) + noise(1.1)

    yes, comma, *_, number = word_estimation.estimate("Yes, we are open until seven", sound, RATE)

    assert (yes.start_ms, yes.end_ms, comma.start_ms) == (0, 400, 400)
    assert _[0].start_ms == 900
    assert number.end_ms == 2000


def test_a_longer_word_takes_longer():
    short, long = word_estimation.estimate("a watermelon", noise(1.0), RATE)

    assert 3 * (short.end_ms - short.start_ms) < long.end_ms - long.start_ms


@pytest.mark.slow
@settings(deadline=None, max_examples=50)
@given(
    st.text(alphabet="abc de.,!?\u4f60'7-", max_size=60),
    st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=6),
)
def test_the_words_are_always_in_order_and_within_the_sound(text: str, parts: list[tuple[int, bool]]):
    pcm = b"".join(noise(length / 100) if loud else silence(length / 100) for length, loud in parts)

    words = word_estimation.estimate(text, pcm, RATE)

    assert in_time(words, len(pcm) / 32)


@pytest.mark.parametrize("text", ["", " ", "x" * 20_000])
def test_an_empty_text_and_one_over_the_limit_have_no_words(text: str):
    assert word_estimation.estimate(text, noise(1.0), RATE) == ()
    assert word_estimation.estimate_from_length(text, 1000) == ()


def test_sound_known_by_its_length_alone_is_shared_out():
    words = word_estimation.estimate_from_length("one two, six", 900)

    assert [word.text for word in words] == ["one", "two", ",", "six"]
    assert words[0].start_ms == 0 and words[-1].end_ms == 900 and in_time(words, 900)
