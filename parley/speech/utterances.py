"""The value that the rest of the speech package makes, finds and sends. Nothing here makes sound."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Utterance:
    """Something to say: its words and its sound.

    `pcm` is signed 16-bit little-endian mono at `rate` Hz, always an even number of bytes. `simulated` tells
    that the sound stands in for a recording that is not there; the words are right all the same.
    """

    name: str
    transcript: str
    pcm: bytes
    rate: int
    simulated: bool
