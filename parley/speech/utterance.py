"""The values of the speech package: an utterance that is complete, and a piece of an answer still being made.

Nothing here makes sound.
"""

from dataclasses import dataclass
from typing import NamedTuple

from parley.speech.word_timing import Word


@dataclass(frozen=True)
class Utterance:
    """A text and its sound.

    `pcm` is signed 16-bit little-endian mono at `rate` Hz, always an even number of bytes. `simulated` is true where
    the sound stands in for a recording or a voice that is missing; the text is right all the same. `words` are those
    of the transcript in time: empty where the times are unknown, and guesses where `words_estimated` is true.
    `is_capped` is true where the text was longer than what is said.
    """

    name: str
    transcript: str
    pcm: bytes
    rate: int
    simulated: bool
    words: tuple[Word, ...] = ()
    words_estimated: bool = False
    is_capped: bool = False


class AudioPiece(NamedTuple):
    """A part of an answer that is still being made: sound of any length, and the text that begins with it.

    `words` are timed from the start of the whole answer's sound.
    """

    pcm: bytes = b""
    text: str = ""
    words: tuple[Word, ...] = ()
