"""What a recogniser understands of a sound: pocketsphinx, where it is installed (requirements-align.txt). English."""

import re
from typing import Any

import numpy as np
import pytest
import soxr

RATE = 16_000


class Recogniser:
    """Listens to one utterance after another. Skips the test where there is no pocketsphinx."""

    def __init__(self) -> None:
        sphinx: Any = pytest.importorskip("pocketsphinx", reason="pip install -r requirements-align.txt")
        self._decoder = sphinx.Decoder(samprate=RATE, loglevel="FATAL")

    def words(self, pcm: bytes, rate: int) -> list[str]:
        """The words of PCM16 mono at `rate` Hz, as far as they are understood, in small letters."""
        samples = soxr.resample(np.frombuffer(pcm, "<i2"), rate, RATE)
        self._decoder.start_utt()
        self._decoder.process_raw(samples.tobytes(), full_utt=True)
        self._decoder.end_utt()
        understood = self._decoder.hyp()
        return understood.hypstr.split() if understood else []

    def errors(self, pcm: bytes, rate: int, text: str) -> float:
        """The part of the text's words that is not understood (word error rate)."""
        return word_error_rate(self.words(pcm, rate), re.findall(r"[a-z']+", text.lower()))


def word_error_rate(heard: list[str], said: list[str]) -> float:
    """Insertions, deletions and substitutions for each word that was said."""
    costs = list(range(len(heard) + 1))
    for row, wanted in enumerate(said, 1):
        above, costs[0] = costs[0], row
        for place, word in enumerate(heard, 1):
            above, costs[place] = costs[place], min(costs[place] + 1, costs[place - 1] + 1, above + (word != wanted))
    return costs[-1] / max(len(said), 1)
