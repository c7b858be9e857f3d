"""The values that the rest of the speech package makes, finds and sends. Nothing here makes sound."""

from dataclasses import dataclass
from typing import NamedTuple

from parley.speech.word_timing import Word


@dataclass(frozen=True)
class Utterance:
    """Something to say: its words and its sound.

    `pcm` is signed 16-bit little-endian mono at `rate` Hz, always an even number of bytes. `simulated` tells
    that the sound stands in for a recording that is not there; the words are right all the same. `words` are
    the transcript's in time, empty where nobody knows, and guessed where `words_estimated`.
    """

    name: str
    transcript: str
    pcm: bytes
    rate: int
    simulated: bool
    words: tuple[Word, ...] = ()
    words_estimated: bool = False


class AudioPiece(NamedTuple):
    """A part of an answer that is still being made: sound of any length, and the text that begins with it.

    `words` are timed from the start of the whole answer's sound.
    """

    pcm: bytes = b""
    text: str = ""
    words: tuple[Word, ...] = ()
