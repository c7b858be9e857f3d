"""A text's words, and the terms that passages and questions are compared by. No ranking lives here.

English words are compared by their stems; all words also by grams, the runs of four letters in them, which
outlive a misheard ending and need no language. Scripts written without spaces are cut into single characters
and pairs of them. What order words stand in is told by pairs of neighbours.
"""

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from zlib import crc32

import numpy as np
import Stemmer
from numpy.typing import NDArray

from parley.knowledge.chunking import CJK

GRAM = 4
"""Letters in a gram: of 3, 4 and 5 the best on every collection tried."""

HEAD = 4
"""Letters of a word that count in a pair: endings, and what is misheard in them, do not matter."""

_PAIR_BITS = 18
PAIRS = 1 << _PAIR_BITS
"""Pairs are numbered below this, by a hash: a vocabulary of them would be the largest part of an index."""

MAX_WORD = 64
"""A longer run of letters is compared in pieces of this size."""

# Function words, and what callers say around a question. As stems they tell passages of one subject from
# those of another no better than chance.
STOP_WORDS = frozenset(
    """
    a an the this that these those
    i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his himself she her
    hers herself it its itself they them their theirs themselves
    am is are was were be been being do does did doing done have has had having can could will would shall should
    may might must ought
    and or but nor so if then than as because while until although though
    of at by for with about against between into through during before after above below to from up down in out
    on off over under again further
    here there when where why how what which who whom whose
    all any both each few more most other some such no not only own same too very just also
    s t d ll m re ve don doesn didn isn aren wasn weren hasn haven hadn won wouldn shouldn couldn ain
    tell know want need like let get got please thank thanks hello hi hey okay ok um uh er oh yes yeah well really
    actually maybe something anything someone anyone much many
    """.split()  # noqa: SIM905 - a column of two hundred quoted names is harder to read
)

# Vowel signs and the like are letters to a reader of Arabic, Hindi or Thai, not to `\w`.
_MARKS = "".join(chr(code) for code in range(0x0591, 0x1D00) if unicodedata.category(chr(code))[0] == "M")
_WORD = re.compile(rf"[{CJK}]+|(?:[^\W_{CJK}]|[{_MARKS}]){{1,{MAX_WORD}}}")
_ASCII_WORD = re.compile(f"[a-z0-9]{{1,{MAX_WORD}}}")
_CJK_WORD = re.compile(f"[{CJK}]")
_ACCENTS = re.compile("[\u0300-\u036f]+")
_STEMMER = Stemmer.Stemmer("english")  # for all threads: a call never lets go of the interpreter's lock


def words(text: str) -> list[str]:
    """The words of a text, folded: accents, case and width do not matter.

    Of a run of Chinese, Japanese or Korean script every pair of characters is a word.
    """
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    found: list[str] = []
    for word in _WORD.findall(_folded(text)):
        if _CJK_WORD.match(word):
            found.extend([first + second for first, second in pairwise(word)] or [word])
        else:
            found.append(word)
    return found


def content(said: list[str]) -> list[str]:
    """Those words that say what is talked of."""
    return [word for word in said if word not in STOP_WORDS]


def stems(word: str) -> Sequence[str]:
    """The term by which a word is compared whole: its English stem; nothing for a stop word."""
    return () if word in STOP_WORDS else (_STEMMER.stemWord(word),)


def grams(word: str) -> Sequence[str]:
    """The terms by which a word is compared in part: runs of letters, its two ends marked.

    Of a Chinese, Japanese or Korean pair its characters.
    """
    if not word.isascii() and _CJK_WORD.match(word):
        return tuple(word)
    padded = f" {word} "
    return [padded[at : at + GRAM] for at in range(len(padded) - GRAM + 1)] or (padded,)


def head(word: str) -> int:
    """A number for what `pairs` compares of a word; odd for a stop word."""
    return crc32(word[:HEAD].encode()) & ~1 | (word in STOP_WORDS)


def pairs(heads: NDArray[np.uint32]) -> NDArray[np.int64]:
    """For each two neighbours the number of their pair; -1 where both are stop words."""
    first, second = heads[:-1], heads[1:]
    numbers = (first * np.uint32(0x9E3779B1) + second) >> np.uint32(32 - _PAIR_BITS)
    return np.where(first & second & 1, -1, numbers.astype(np.int64))


def _folded(text: str) -> str:
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", text.casefold()))
    return unicodedata.normalize("NFKC", bare)
