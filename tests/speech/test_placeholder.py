"""The sound in place of a recording: audible, smooth, as long as speech would be, and repeatable."""

import numpy as np
import pytest

from parley.speech import placeholder

RATES = [8000, 16000, 22050, 24000, 44100, 48000]


def samples_of(words: str | None, rate: int = 16000) -> np.ndarray:
    return np.frombuffer(placeholder.utterance(words, rate).pcm, "<i2") / 32768


def test_without_a_text_it_says_that_it_is_simulated():
    utterance = placeholder.utterance(None, 16000)

    assert utterance.transcript == "No recording was found, so this is simulated audio."
    assert utterance.simulated
    assert utterance.rate == 16000


@pytest.mark.parametrize("words", ["", "Hi.", "Sorry, the line\nis bad."])
def test_a_text_becomes_the_transcript_unchanged(words: str):
    assert placeholder.utterance(words, 16000).transcript == words


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("", 0.6),
        (" \n ", 0.6),
        ("Hi.", 0.6),
        ("What can I do for you today?", 1.6),
        ("您好请问有什么可以帮您", 2.2),
        ("word " * 100, 26.8),
        ("word " * 100_000, 60),
    ],
)
@pytest.mark.parametrize("rate", [8000, 44100])
def test_the_sound_lasts_as_long_as_speech_would(words: str, seconds: float, rate: int):
    assert len(samples_of(words, rate)) / rate == pytest.approx(seconds, abs=0.01)


@pytest.mark.parametrize("rate", RATES)
def test_the_sound_peaks_12_decibels_below_full_scale(rate: int):
    samples = samples_of("A sentence of some length, to be heard.", rate)

    assert 20 * np.log10(np.abs(samples).max()) == pytest.approx(-12, abs=0.1)
    assert 20 * np.log10(np.sqrt(np.mean(samples**2))) > -25


@pytest.mark.parametrize("rate", RATES)
def test_the_sound_begins_and_ends_in_silence_without_clicks(rate: int):
    samples = samples_of("A sentence of some length, to be heard.", rate)

    assert abs(samples[0]) <= 1 / 32768
    assert abs(samples[-1]) < 1e-3
    # The steepest that a tone of 400 Hz at this level can be: a click would be steeper.
    assert np.abs(np.diff(samples)).max() < 2 * np.pi * 400 / rate * 0.2512


def test_fades_are_smooth_and_add_nothing_above_the_tones():
    samples = samples_of("A sentence of some length, to be heard.")

    energy = np.abs(np.fft.rfft(samples)) ** 2
    above_1_khz = np.fft.rfftfreq(len(samples), 1 / 16000) > 1000

    assert 10 * np.log10(energy[above_1_khz].sum() / energy.sum()) < -70


def test_equal_texts_sound_alike():
    assert placeholder.utterance("Again.", 16000) == placeholder.utterance("Again.", 16000)


def test_words_are_timed_unless_the_sound_is_cut_short():
    said = placeholder.utterance("Two words.", 16000)
    cut = placeholder.utterance("A very long text. " * 400, 16000)

    assert [word.text for word in said.words] == ["Two", "words", "."]
    assert said.words[0].start_ms == 0 and said.words[-1].end_ms == len(said.pcm) / 32
    assert cut.words == ()
