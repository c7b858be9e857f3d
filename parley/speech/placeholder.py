"""The utterance in place of a recording that is not there: soft tones at the pace of speech.

A null object: whoever sends it does not ask whether it is one. Nothing here reads a file.
"""

import math

import numpy as np

from parley.speech import word_estimation
from parley.speech.utterance import Utterance

NAME = "simulated"
TRANSCRIPT = "No recording was found, so this is simulated audio."

PEAK = 10 ** (-12 / 20)
BEATS_PER_SECOND = 5
SHORTEST_BEATS = 3
LONGEST_BEATS = 60 * BEATS_PER_SECOND
LETTERS_PER_BEAT = 3
NOTES_HZ = (294.0, 330.0, 370.0, 330.0, 294.0, 392.0, 330.0, 247.0)
# The scripts above this point (Chinese, Japanese, Korean) write about a syllable a character.
FIRST_SYLLABIC = "\u2e80"


def utterance(transcript: str | None, rate: int, name: str = NAME) -> Utterance:
    """Simulated sound for these words, or for a sentence that says what it is when there are none (None).

    PCM16 mono at `rate` Hz, 0.6 to 60 s long, the same for the same length of text. An empty transcript stays
    empty and gets the shortest sound.
    """
    said = TRANSCRIPT if transcript is None else transcript
    beats = _beats(said)
    # Of a text that is too long the tones are not the length, so they tell nothing of when its words are due.
    words = word_estimation.evenly(said, beats * 1000 // BEATS_PER_SECOND) if beats < LONGEST_BEATS else ()
    return Utterance(name, said, _melody(beats, rate), rate, simulated=True, words=words)


def _beats(words: str) -> int:
    """About one beat a syllable: five a second, the rate of calm speech."""
    # No more than can be heard is looked at: a request may carry megabytes.
    heard = "".join(words[: 2 * LONGEST_BEATS * LETTERS_PER_BEAT].split())
    letters = sum(LETTERS_PER_BEAT if letter >= FIRST_SYLLABIC else 1 for letter in heard)
    return min(max(math.ceil(letters / LETTERS_PER_BEAT), SHORTEST_BEATS), LONGEST_BEATS)


def _melody(beats: int, rate: int) -> bytes:
    """One round of the notes as PCM16, repeated and cut to length: each beat begins and ends in silence."""
    beat_samples = rate // BEATS_PER_SECOND
    seconds = np.arange(beat_samples) / rate
    # sin² is zero with a zero slope at both ends, so no beat clicks.
    swell = np.sin(np.pi * np.arange(beat_samples) / beat_samples) ** 2
    tones = np.sin(2 * np.pi * np.outer(NOTES_HZ, seconds)) * swell * PEAK
    once: bytes = np.rint(tones * 32767).astype("<i2").tobytes()
    beat_bytes = 2 * beat_samples
    return (once * math.ceil(beats / len(NOTES_HZ)))[: beats * beat_bytes]
