"""When words are heard, measured: forced alignment of a recording with its transcript, by pocketsphinx (English).

For the operator's tools: pocketsphinx is optional (requirements-align.txt) and imported when first needed.
"""

import re
from collections.abc import Sequence
from typing import Any

from parley.speech.english import cardinal, digits
from parley.speech.pcm import Resampler, from_int16, to_int16
from parley.speech.word_estimation import FRAME_MS, loud_frames
from parley.speech.word_timing import Word, is_mark, tokens, with_marks

RATE = 16_000
MOST_UNSAID = 0.2
"""The search never says that it failed: it leaves out sound that does not fit. This part of it is too much."""
# Words that the dictionary lacks are sounded out letter by letter: rough, but good enough to be found in order.
SOUNDS = {
    "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH", "j": "JH", "k": "K",
    "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P", "q": "K", "r": "R", "s": "S", "t": "T", "u": "AH", "v": "V",
    "w": "W", "x": "K S", "y": "IY", "z": "Z", "ch": "CH", "sh": "SH", "th": "TH", "ng": "NG", "ee": "IY", "oo": "UW",
    "ou": "AW", "ai": "EY", "ay": "EY", "oa": "OW", "ph": "F", "ck": "K", "igh": "AY",
}  # fmt: skip
_SOUND = re.compile("|".join(sorted(SOUNDS, key=len, reverse=True)))
MOST_AS_ONE = 9999
"""A number up to this is said as one, a longer one mostly digit by digit."""


class AlignmentError(Exception):
    """The words could not be found in the sound; the text says why."""


def align(transcript: str, pcm: bytes, rate: int) -> tuple[Word, ...]:
    """The words of the transcript in time, to about 20 ms; punctuation is an item of its own.

    `pcm` is PCM16 mono at `rate` Hz. Raises AlignmentError where pocketsphinx is not installed, where the text has
    words that can't be sounded out in English, and where the text is not what is said, as far as that shows.
    """
    listed = tokens(transcript)
    said = [(token, spellings(token)) for token in listed if not is_mark(token)]
    if not said:
        raise AlignmentError("the transcript has no words")
    segments = _segments([spelling for _, spelt in said for spelling in spelt], pcm, rate)
    total_ms = len(pcm) // 2 * 1000 // rate
    if len(segments) != sum(len(spelt) for _, spelt in said):
        raise AlignmentError("the words were not all found: is the transcript what is said?")
    if _unsaid(segments, pcm, rate) > MOST_UNSAID:
        raise AlignmentError("the words do not fill the sound: is there more said than the transcript has?")
    spoken, at = [], 0
    for token, spelt in said:
        spoken.append(Word(token, segments[at][0], segments[at + len(spelt) - 1][1]))
        at += len(spelt)
    return with_marks(spoken, listed, total_ms)


def _segments(spelt: Sequence[str], pcm: bytes, rate: int) -> list[tuple[int, int]]:
    """Start and end in ms of each word that the search found in the sound."""
    decoder = _decoder()
    for spelling in set(spelt):
        if decoder.lookup_word(spelling) is None:
            decoder.add_word(spelling, _sounded(spelling), True)
    resampler = Resampler(rate, RATE)
    sound = to_int16(resampler.resample(from_int16(pcm))) + to_int16(resampler.flush())
    try:
        decoder.set_align_text(" ".join(spelt))
        decoder.start_utt()
        decoder.process_raw(sound, full_utt=True)
        decoder.end_utt()
        found = list(decoder.seg() or [])
    except RuntimeError as exc:
        raise AlignmentError(f"pocketsphinx gave up: {exc}") from exc
    return [
        (segment.start_frame * FRAME_MS, (segment.end_frame + 1) * FRAME_MS)
        for segment in found
        if not segment.word.startswith(("<", "["))
    ]


def _unsaid(segments: Sequence[tuple[int, int]], pcm: bytes, rate: int) -> float:
    """The part of the loud sound that lies in no word."""
    loud = loud_frames(pcm, rate)
    outside = loud.copy()
    for start, end in segments:
        outside[start // FRAME_MS : end // FRAME_MS] = False
    return float(outside.sum() / max(loud.sum(), 1))


def _decoder() -> Any:
    try:
        from pocketsphinx import Decoder
    except ImportError as exc:
        raise AlignmentError("pocketsphinx is not installed: pip install -r requirements-align.txt") from exc
    return Decoder(samprate=RATE, loglevel="FATAL", lm=None)


def spellings(token: str) -> list[str]:
    """The dictionary's words for a token: numbers as they are read, the rest in small letters.

    Raises AlignmentError for what English letters can't spell.
    """
    words: list[str] = []
    for part in re.findall(r"\d+|[^\W\d]+(?:['’][^\W\d]+)*", token.casefold()):
        if part.isascii() and part.isdigit():
            # The dictionary has "sixty" and "five", not "sixty-five". Zeros in front are not said.
            spoken = cardinal(int(part)) if int(part) <= MOST_AS_ONE else digits(part.lstrip("0"))
            words += spoken.replace("-", " ").split()
        else:
            words.append(part.replace("’", "'"))
    if not words or not all(re.fullmatch(r"[a-z']+", word) for word in words):
        raise AlignmentError(f"{token!r} can't be sounded out in English; write NAME.words.json by other means")
    return words


def _sounded(word: str) -> str:
    return " ".join(SOUNDS[sound] for sound in _SOUND.findall(word))
