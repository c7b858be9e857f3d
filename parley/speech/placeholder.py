"""The utterance in place of a recording or a voice that is missing: soft tones at the pace of speech.

A null object: callers send it without asking whether it is one. Nothing here reads a file.
"""

import math

import numpy as np

from parley.speech import word_estimation
from parley.speech.utterance import Utterance
from parley.speech.word_estimation import FIRST_SYLLABIC

NAME = "simulated"
TRANSCRIPT = "No recording was found, so this is simulated audio."

PEAK = 10 ** (-12 / 20)
"""Level of the loudest sample, 12 dB below full scale."""
BEATS_PER_SECOND = 5
"""One beat a syllable: the rate of calm speech."""
MIN_BEATS = 3
MAX_BEATS = 60 * BEATS_PER_SECOND
LETTERS_PER_BEAT = 3
NOTES_HZ = (294.0, 330.0, 370.0, 330.0, 294.0, 392.0, 330.0, 247.0)


def utterance(transcript: str | None, rate: int, name: str = NAME) -> Utterance:
    """Return simulated sound for a text, or for `TRANSCRIPT` where the text is None.

    PCM16 mono at `rate` Hz, 0.6 to 60 s long; texts of equal length sound alike. An empty transcript stays empty and
    gets the shortest sound.
    """
    text = TRANSCRIPT if transcript is None else transcript
    # Count no further than can be heard: a request may carry megabytes.
    heard = "".join(text[: 2 * MAX_BEATS * LETTERS_PER_BEAT].split())
    letters = sum(LETTERS_PER_BEAT if letter >= FIRST_SYLLABIC else 1 for letter in heard)
    beats = min(max(math.ceil(letters / LETTERS_PER_BEAT), MIN_BEATS), MAX_BEATS)

    beat_samples = rate // BEATS_PER_SECOND
    seconds = np.arange(beat_samples) / rate
    # sin² is zero with a zero slope at both ends, so that no beat clicks.
    swell = np.sin(np.pi * np.arange(beat_samples) / beat_samples) ** 2
    tones = np.sin(2 * np.pi * np.outer(NOTES_HZ, seconds)) * swell * PEAK
    melody: bytes = np.rint(tones * 32767).astype("<i2").tobytes()
    pcm = (melody * math.ceil(beats / len(NOTES_HZ)))[: 2 * beats * beat_samples]

    # The tones of a text that was cut short say nothing of when its words would be heard.
    cut_short = beats == MAX_BEATS
    words = () if cut_short else word_estimation.estimate_from_length(text, beats * 1000 // BEATS_PER_SECOND)
    return Utterance(name, text, pcm, rate, simulated=True, words=words)
