"""When words are heard, guessed: from how long each takes to say, and from where the sound pauses.

For recordings that nobody has aligned. The sound between two pauses is shared out among its words by their weight; the
pauses themselves are given to the punctuation that lies nearest.
"""

import bisect
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from parley.speech.word_timing import Word, is_mark, tokens, with_marks

FRAME_MS = 10
SHORTEST_PAUSE_MS = 120
QUIET = 0.06
"""Less than this part of the loud frames' level is a pause."""
LONGEST_TEXT = 16_384
"""Characters; a longer text gets no words: its sound is cut off anyway, or it is not what is heard."""
ANCHOR_REACH = 0.2
"""A pause belongs to a mark that was expected within this part of the whole."""
FIRST_SYLLABIC = "\u2e80"
LETTERS_A_SYLLABLE = 4
LETTERS_A_DIGIT = 5
LETTERS_AT_THE_END = 3
"""The last word before a pause is drawn out."""
PAUSING = frozenset(".!?;:,\u2014\u2026\u3002\uff01\uff1f\uff0c\u3001")


class Pause(NamedTuple):
    """A silence inside the sound, in frames."""

    start: int
    end: int


def estimate(transcript: str, pcm: bytes, rate: int) -> tuple[Word, ...]:
    """The words of the transcript in time, as near as can be guessed; punctuation is an item of its own.

    In order, without overlap, the last end within the sound; none for a text without words or one that is too long.
    """
    listed = tokens(transcript) if len(transcript) <= LONGEST_TEXT else []
    total_ms = len(pcm) // 2 * 1000 // rate
    loud = loud_frames(pcm, rate)
    if not listed or len(loud) < 2:
        return ()
    first, last = int(np.argmax(loud)), len(loud) - int(np.argmax(loud[::-1]))
    pauses = _pauses(loud[first:last], first)
    return with_marks(_spread(listed, first, last, pauses), listed, total_ms)


def evenly(transcript: str, total_ms: int) -> tuple[Word, ...]:
    """The same for sound without pauses, known by its length alone."""
    listed = tokens(transcript) if len(transcript) <= LONGEST_TEXT else []
    return with_marks(_spread(listed, 0, total_ms // FRAME_MS, []), listed, total_ms)


def weight(token: str) -> float:
    """About how long a word takes to say, in letters: the measure that fits forced alignments best."""
    if is_mark(token):
        return 0.0
    digits = sum(character.isdigit() for character in token)
    syllabic = sum(character >= FIRST_SYLLABIC for character in token)
    letters = sum(character.isalpha() for character in token) - syllabic
    return max(1.0, letters + LETTERS_A_SYLLABLE * syllabic + LETTERS_A_DIGIT * digits)


def loud_frames(pcm: bytes, rate: int) -> npt.NDArray[np.bool_]:
    """For each 10 ms whether something is said."""
    samples = np.frombuffer(pcm, "<i2")
    size = max(1, rate * FRAME_MS // 1000)
    frames = samples[: len(samples) // size * size].reshape(-1, size).astype(np.float32)
    level = np.sqrt(np.mean(frames**2, axis=1)) if len(frames) else np.zeros(0, np.float32)
    speech = np.percentile(level, 90) if len(level) else 0.0
    if speech <= 0:
        return np.ones(len(level), np.bool_)
    return level > QUIET * speech


def _pauses(loud: npt.NDArray[np.bool_], offset: int) -> list[Pause]:
    edges = np.flatnonzero(np.diff(np.concatenate([[True], loud, [True]]).astype(np.int8)))
    runs = zip(edges[::2], edges[1::2], strict=True)
    return [
        Pause(int(start) + offset, int(end) + offset)
        for start, end in runs
        if end - start >= SHORTEST_PAUSE_MS // FRAME_MS
    ]


def _spread(listed: Sequence[str], first: int, last: int, pauses: list[Pause]) -> list[Word]:
    """The tokens that are no punctuation, in time."""
    weights = np.array([weight(token) for token in listed])
    for index, token in enumerate(listed[1:]):
        weights[index] += LETTERS_AT_THE_END if token[0] in PAUSING and weights[index] else 0
    said = np.concatenate([[0.0], np.cumsum(weights)]) / max(weights.sum(), 1e-9)
    spoken = (last - first) - sum(pause.end - pause.start for pause in pauses)
    # Two clocks: `said` runs from 0 to 1 over the weights; `voiced` counts frames without the pauses.
    at_said, at_frame = [0.0], [float(first)]
    before = 0
    for pause in pauses:
        voiced = pause.start - first - before
        mark = _mark_near(listed, said, voiced / max(spoken, 1), at_said[-1])
        if mark is not None:
            at_said += [float(said[mark]), float(said[mark])]
            at_frame += [float(pause.start), float(pause.end)]
        before += pause.end - pause.start
    parts = said.tolist()
    at_said.append(1.0)
    at_frame.append(float(last))
    return [
        Word(token, _ms(parts[index], at_said, at_frame, "right"), _ms(parts[index + 1], at_said, at_frame, "left"))
        for index, token in enumerate(listed)
        if not is_mark(token)
    ]


def _mark_near(listed: Sequence[str], said: npt.NDArray[np.float64], where: float, after: float) -> int | None:
    """The pausing mark that is nearest to this part of the text, behind `after`; None where none is near."""
    indices = [
        index
        for index, token in enumerate(listed)
        if token[0] in PAUSING and after < said[index] < 1 and abs(said[index] - where) <= ANCHOR_REACH
    ]
    return min(indices, key=lambda index: abs(said[index] - where), default=None)


def _ms(part: float, at_said: list[float], at_frame: list[float], side: str) -> int:
    """The time at which this part of the text has been said; at a pause its end (right) or its start (left)."""
    where = bisect.bisect_right(at_said, part) if side == "right" else bisect.bisect_left(at_said, part)
    where = min(max(where, 1), len(at_said) - 1)
    low, high = at_said[where - 1], at_said[where]
    share = (part - low) / (high - low) if high > low else 0.0
    return round((at_frame[where - 1] + share * (at_frame[where] - at_frame[where - 1])) * FRAME_MS)
