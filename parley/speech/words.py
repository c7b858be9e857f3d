"""The words of an utterance in time: what subtitles show, and where a platform may cut. Pure values."""

from typing import NamedTuple


class Word(NamedTuple):
    """A word, or a punctuation mark, and when it is heard: milliseconds from the start of the PCM."""

    text: str
    start_ms: int
    end_ms: int
