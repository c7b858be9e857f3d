"""A text's words, and the terms by which passages and questions are compared. No ranking lives here.

    stems    whole English words without their endings
    grams    runs of four letters in any word, ends marked: they survive a misheard ending and need no language
    pairs    two neighbouring words as one number: they tell in what order words stand

A script written without spaces has no words to find: it is cut into single characters and pairs of them.
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
"""Letters in a gram: of 3, 4 and 5 the best on every collection tried (docs/retrieval.md)."""

HEAD = 4
"""Letters of a word that count in a pair: neither an ending nor a mistake in hearing it matters."""

_PAIR_BITS = 18
PAIRS = 1 << _PAIR_BITS
"""Upper bound of a pair's number, which is a hash: a vocabulary of pairs would be the largest part of an index."""

MAX_WORD = 64
"""Longest word, in letters; a longer run of letters is compared in pieces of this size."""

# Function words, and the words that callers put around a question. As stems they tell passages of one subject from
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

# Vowel signs and the like are letters to a reader of Arabic, Hindi or Thai, but `\w` does not match them.
_MARKS = "".join(chr(code) for code in range(0x0591, 0x1D00) if unicodedata.category(chr(code))[0] == "M")
_WORD = re.compile(rf"[{CJK}]+|(?:[^\W_{CJK}]|[{_MARKS}]){{1,{MAX_WORD}}}")
_ASCII_WORD = re.compile(f"[a-z0-9]{{1,{MAX_WORD}}}")
_CJK_WORD = re.compile(f"[{CJK}]")
_ACCENTS = re.compile("[\u0300-\u036f]+")
# One stemmer serves all threads: a call never releases the interpreter's lock.
_STEMMER = Stemmer.Stemmer("english")


def words(text: str) -> list[str]:
    """Return the words of a text without differences of accent, case and width.

    In a run of Chinese, Japanese or Korean script every two neighbouring characters are a word.
    """
    # perf: saves 30 µs (a passage of 700 ASCII characters)
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    # Decomposed, an accent is a character of its own and can be removed; composed again, Hangul is of whole syllables.
    bare = _ACCENTS.sub("", unicodedata.normalize("NFKD", text.casefold()))
    found: list[str] = []
    for word in _WORD.findall(unicodedata.normalize("NFKC", bare)):
        if _CJK_WORD.match(word):
            found.extend([first + second for first, second in pairwise(word)] or [word])
        else:
            found.append(word)
    return found


def content(words: list[str]) -> list[str]:
    """Return the content words: all but the stop words."""
    return [word for word in words if word not in STOP_WORDS]


def stems(word: str) -> Sequence[str]:
    """Return the English stem of a word as its only term, or no term for a stop word."""
    return () if word in STOP_WORDS else (_STEMMER.stemWord(word),)


def grams(word: str) -> Sequence[str]:
    """Return the grams of a word, a space marking either end; of a Chinese, Japanese or Korean word its characters."""
    if not word.isascii() and _CJK_WORD.match(word):
        return tuple(word)
    padded = f" {word} "
    return [padded[at : at + GRAM] for at in range(len(padded) - GRAM + 1)] or (padded,)


def head(word: str) -> int:
    """Return the number of a word's first letters, from which `pairs` computes; it is odd for a stop word only."""
    return crc32(word[:HEAD].encode()) & ~1 | (word in STOP_WORDS)


def pairs(heads: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return the number of each two neighbours' pair, below `PAIRS`; -1 where both are stop words."""
    first, second = heads[:-1], heads[1:]
    # Multiplicative hashing: the golden ratio spreads the products, whose upper bits are the hash. Order matters.
    numbers = (first * np.uint32(0x9E3779B1) + second) >> np.uint32(32 - _PAIR_BITS)
    return np.where(first & second & 1, -1, numbers.astype(np.int64))
