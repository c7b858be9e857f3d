"""An estimate of when each word is heard, from how long the words take to say and from where the sound pauses.

For sound that nobody has aligned: recordings without a sidecar, and voices that don't report times. The words between
two pauses share the sound between them by weight; a pause belongs to the punctuation mark that lies nearest.

    text     Yes    ,        we are open          .       weights 3+3  0   2 + 3 + 4+3  0
    sound    #######_________###########################
             first  pause                         last
"""

import bisect
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from parley.speech.word_timing import Word, is_mark, tokens, with_marks

FRAME_MS = 10
MIN_PAUSE_MS = 120
"""Length from which a silence is a pause between phrases, in milliseconds; shorter ones occur inside words."""
QUIET = 0.06
"""Limit on the level of a pause, as a part of the level of the loud frames."""
MAX_TEXT_CHARS = 16_384
"""Limit on a text whose words are timed: the sound of a longer one is cut off, or is not what is heard."""
ANCHOR_REACH = 0.2
"""Limit on the distance between a pause and its mark, as a part of the whole text."""
FIRST_SYLLABIC = "\u2e80"
"""First character of the scripts that write about a syllable a character: Chinese, Japanese, Korean."""
LETTERS_A_SYLLABLE = 4
LETTERS_A_DIGIT = 5
LETTERS_AT_THE_END = 3
"""Weight that is added to the last word before a pause, which speakers draw out."""
PAUSING = frozenset(".!?;:,\u2014\u2026\u3002\uff01\uff1f\uff0c\u3001")


class Pause(NamedTuple):
    """A silence inside the sound, in frames."""

    start: int
    end: int


def estimate(transcript: str, pcm: bytes, rate: int) -> tuple[Word, ...]:
    """Return the words and the punctuation marks of a transcript in time, as near as can be guessed.

    In order, without overlap, within the sound; empty for a text without words and for one of more than
    `MAX_TEXT_CHARS`.
    """
    token_list = tokens(transcript) if len(transcript) <= MAX_TEXT_CHARS else []
    total_ms = len(pcm) // 2 * 1000 // rate
    loud = loud_frames(pcm, rate)
    if not token_list or len(loud) < 2:
        return ()
    first, last = int(np.argmax(loud)), len(loud) - int(np.argmax(loud[::-1]))
    # Loud frames around the sound turn every silence into a pair of edges.
    edges = np.flatnonzero(np.diff(np.concatenate([[True], loud[first:last], [True]]).astype(np.int8)))
    silences = zip(edges[::2], edges[1::2], strict=True)
    pauses = [
        Pause(int(start) + first, int(end) + first)
        for start, end in silences
        if end - start >= MIN_PAUSE_MS // FRAME_MS
    ]
    return with_marks(_spread(token_list, first, last, pauses), token_list, total_ms)


def estimate_from_length(transcript: str, total_ms: int) -> tuple[Word, ...]:
    """Return the words of a transcript in time, like `estimate`, for sound without pauses of `total_ms`."""
    token_list = tokens(transcript) if len(transcript) <= MAX_TEXT_CHARS else []
    return with_marks(_spread(token_list, 0, total_ms // FRAME_MS, []), token_list, total_ms)


def weight(token: str) -> float:
    """Return about how long a word takes to say, in letters: the measure that fits forced alignments best."""
    if is_mark(token):
        return 0.0
    digits = sum(character.isdigit() for character in token)
    syllabic = sum(character >= FIRST_SYLLABIC for character in token)
    letters = sum(character.isalpha() for character in token) - syllabic
    return max(1.0, letters + LETTERS_A_SYLLABLE * syllabic + LETTERS_A_DIGIT * digits)


def loud_frames(pcm: bytes, rate: int) -> npt.NDArray[np.bool_]:
    """Return for each 10 ms of PCM16 mono whether speech is heard; all True where the sound is silent throughout."""
    samples = np.frombuffer(pcm, "<i2")
    size = max(1, rate * FRAME_MS // 1000)
    frames = samples[: len(samples) // size * size].reshape(-1, size).astype(np.float32)
    level = np.sqrt(np.mean(frames**2, axis=1)) if len(frames) else np.zeros(0, np.float32)
    # Not the maximum: one click would make all speech quiet beside it.
    speech = np.percentile(level, 90) if len(level) else 0.0
    if speech <= 0:
        return np.ones(len(level), np.bool_)
    return level > QUIET * speech


def _spread(token_list: Sequence[str], first: int, last: int, pauses: list[Pause]) -> list[Word]:
    """Return the tokens that are words in time, between the frames `first` and `last`.

    Two clocks run through the sound: the share of the weights said so far, from 0 to 1, and the frame. They meet at
    anchors: at both ends, and at each pause that has a mark near it. Between anchors time is linear.
    """
    weights = np.array([weight(token) for token in token_list])
    for index, token in enumerate(token_list[1:]):
        weights[index] += LETTERS_AT_THE_END if token[0] in PAUSING and weights[index] else 0
    # `said[i]` is the share of the text that has been said where token i begins.
    said = np.concatenate([[0.0], np.cumsum(weights)]) / max(weights.sum(), 1e-9)
    voiced_total = (last - first) - sum(pause.end - pause.start for pause in pauses)
    anchor_said, anchor_frame = [0.0], [float(first)]
    paused = 0
    for pause in pauses:
        share = (pause.start - first - paused) / max(voiced_total, 1)
        # Marks behind the last anchor only: a mark pauses once, and time does not run back.
        near = [
            index
            for index, token in enumerate(token_list)
            if token[0] in PAUSING and anchor_said[-1] < said[index] < 1 and abs(said[index] - share) <= ANCHOR_REACH
        ]
        if near:
            mark = min(near, key=lambda index: abs(said[index] - share))
            anchor_said += [float(said[mark]), float(said[mark])]
            anchor_frame += [float(pause.start), float(pause.end)]
        paused += pause.end - pause.start
    shares = said.tolist()
    anchor_said.append(1.0)
    anchor_frame.append(float(last))
    # At a pause the word before ends where it starts, and the word behind begins where it ends.
    return [
        Word(
            token,
            _ms(shares[index], anchor_said, anchor_frame, bisect.bisect_right),
            _ms(shares[index + 1], anchor_said, anchor_frame, bisect.bisect_left),
        )
        for index, token in enumerate(token_list)
        if not is_mark(token)
    ]


def _ms(
    share: float, anchor_said: list[float], anchor_frame: list[float], search: Callable[[list[float], float], int]
) -> int:
    """Return when this share of the text has been said. `search` tells whether an anchor at it is behind or ahead."""
    index = min(max(search(anchor_said, share), 1), len(anchor_said) - 1)
    low, high = anchor_said[index - 1], anchor_said[index]
    part = (share - low) / (high - low) if high > low else 0.0
    return round((anchor_frame[index - 1] + part * (anchor_frame[index] - anchor_frame[index - 1])) * FRAME_MS)
