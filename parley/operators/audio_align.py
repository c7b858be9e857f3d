"""Measured word times: forced alignment of a recording with its transcript, by pocketsphinx (English).

pocketsphinx is optional (requirements-align.txt) and imported when it is first needed. Without it word times are
estimated, in `parley/speech/word_estimation.py`.
"""

import re
from collections.abc import Sequence

from parley.languages.english_numbers import cardinal, digits
from parley.speech.pcm import Resampler, from_int16, to_int16
from parley.speech.word_estimation import FRAME_MS, loud_frames
from parley.speech.word_timing import Word, is_mark, tokens, with_marks

RATE = 16_000
"""Sample rate in Hz that pocketsphinx's English model needs."""
MAX_UNCOVERED = 0.2
"""Highest share of the loud sound that may lie in no word: the search leaves out sound that does not fit, silently."""
MAX_CARDINAL = 9999
"""Highest number that is read as one; a longer one is mostly read digit by digit."""
# Phones for letters. Words that the dictionary lacks are spelt out with them: rough, but they are found in order.
PHONES = {
    "a": "AE", "b": "B", "c": "K", "d": "D", "e": "EH", "f": "F", "g": "G", "h": "HH", "i": "IH", "j": "JH", "k": "K",
    "l": "L", "m": "M", "n": "N", "o": "AA", "p": "P", "q": "K", "r": "R", "s": "S", "t": "T", "u": "AH", "v": "V",
    "w": "W", "x": "K S", "y": "IY", "z": "Z", "ch": "CH", "sh": "SH", "th": "TH", "ng": "NG", "ee": "IY", "oo": "UW",
    "ou": "AW", "ai": "EY", "ay": "EY", "oa": "OW", "ph": "F", "ck": "K", "igh": "AY",
}  # fmt: skip
_LETTERS = re.compile("|".join(sorted(PHONES, key=len, reverse=True)))


class AlignmentError(Exception):
    """The words could not be found in the sound; the message says why."""


def align(transcript: str, pcm: bytes, rate: int) -> tuple[Word, ...]:
    """Return the words of a transcript with their times, exact to about 20 ms; each punctuation mark is one item.

    `pcm` is PCM16 mono at `rate` Hz. Raises AlignmentError if pocketsphinx is not installed, if a word can't be spelt
    in English, and if the transcript is evidently not what is said.
    """
    listed = tokens(transcript)
    said = [(token, spellings(token)) for token in listed if not is_mark(token)]
    if not said:
        raise AlignmentError("the transcript has no words")
    segments = _segments([spelling for _, spelt in said for spelling in spelt], pcm, rate)
    if len(segments) != sum(len(spelt) for _, spelt in said):
        raise AlignmentError("the words were not all found: is the transcript what is said?")
    loud = loud_frames(pcm, rate)
    uncovered = loud.copy()
    for start, end in segments:
        uncovered[start // FRAME_MS : end // FRAME_MS] = False
    if uncovered.sum() / max(loud.sum(), 1) > MAX_UNCOVERED:
        raise AlignmentError("the words do not fill the sound: is there more said than the transcript has?")
    spoken, position = [], 0
    for token, spelt in said:
        # A token such as "65" consists of several dictionary words.
        spoken.append(Word(token, segments[position][0], segments[position + len(spelt) - 1][1]))
        position += len(spelt)
    total_ms = len(pcm) // 2 * 1000 // rate
    return with_marks(spoken, listed, total_ms)


def _segments(spelt: Sequence[str], pcm: bytes, rate: int) -> list[tuple[int, int]]:
    """Return start and end in ms of each word that the search found in the sound."""
    try:
        from pocketsphinx import Decoder
    except ImportError as exc:
        raise AlignmentError("pocketsphinx is not installed: pip install -r requirements-align.txt") from exc
    # Without a language model: the search is forced through the transcript's words, in their order.
    decoder = Decoder(samprate=RATE, loglevel="FATAL", lm=None)
    for spelling in set(spelt):
        if decoder.lookup_word(spelling) is None:
            phones = " ".join(PHONES[letters] for letters in _LETTERS.findall(spelling))
            decoder.add_word(spelling, phones, True)
    resampler = Resampler(rate, RATE)
    sound = to_int16(resampler.resample(from_int16(pcm))) + to_int16(resampler.flush())
    try:
        decoder.set_align_text(" ".join(spelt))
        decoder.start_utt()
        decoder.process_raw(sound, full_utt=True)
        decoder.end_utt()
        segments = list(decoder.seg() or [])
    except RuntimeError as exc:
        raise AlignmentError(f"pocketsphinx failed: {exc}") from exc
    # Silences and noises appear as segments named <sil> or [NOISE].
    return [
        (segment.start_frame * FRAME_MS, (segment.end_frame + 1) * FRAME_MS)
        for segment in segments
        if not segment.word.startswith(("<", "["))
    ]


def spellings(token: str) -> list[str]:
    """Return the dictionary's words for a token: numbers as they are read, all else in lower case.

    Raises AlignmentError for a token that English letters can't spell.
    """
    words: list[str] = []
    for part in re.findall(r"\d+|[^\W\d]+(?:['’][^\W\d]+)*", token.casefold()):
        if part.isascii() and part.isdigit():
            # The dictionary has "sixty" and "five", not "sixty-five". Leading zeros are not spoken.
            spoken = cardinal(int(part)) if int(part) <= MAX_CARDINAL else digits(part.lstrip("0"))
            words += spoken.replace("-", " ").split()
        else:
            words.append(part.replace("’", "'"))
    if not words or not all(re.fullmatch(r"[a-z']+", word) for word in words):
        raise AlignmentError(f"{token!r} can't be sounded out in English; write NAME.words.json by other means")
    return words
