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
from parley.languages.english import ENGLISH
from parley.languages.language import Language, folded

VERSION = 1
"""Version of the terms: raised where a text gets others, so that terms that were stored are not compared with them."""

GRAM = 4
"""Letters in a gram: of 3, 4 and 5 the best on every collection tried (docs/retrieval.md)."""

HEAD = 4
"""Letters of a word that count in a pair: neither an ending nor a mistake in hearing it matters."""

_PAIR_BITS = 18
PAIRS = 1 << _PAIR_BITS
"""Upper bound of a pair's number, which is a hash: a vocabulary of pairs would be the largest part of an index."""

OPENING = 3
"""First words of a turn that may make it go on with the one before: "uh okay and on sundays"."""

MAX_WORD = 64
"""Longest word, in letters; a longer run of letters is compared in pieces of this size."""

# Vowel signs and the like are letters to a reader of Arabic, Hindi or Thai, but `\w` does not match them.
_MARKS = "".join(chr(code) for code in range(0x0591, 0x1D00) if unicodedata.category(chr(code))[0] == "M")
_WORD = re.compile(rf"[{CJK}]+|(?:[^\W_{CJK}]|[{_MARKS}]){{1,{MAX_WORD}}}")
_ASCII_WORD = re.compile(f"[a-z0-9]{{1,{MAX_WORD}}}")
_CJK_WORD = re.compile(f"[{CJK}]")
CODE_MARK = "="
"""First character of the term of a number or a code ("=mx204b"): it is compared whole, never by its parts."""


def is_cjk(text: str) -> bool:
    """Return True if the text begins in a script without spaces."""
    return bool(_CJK_WORD.match(text))


def words(text: str) -> list[str]:
    """Return the words of a text without differences of accent, case and width.

    In a run of Chinese, Japanese or Korean script every two neighbouring characters are a word.
    """
    # perf: saves 30 µs (a passage of 700 ASCII characters)
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    found: list[str] = []
    for word in _WORD.findall(folded(text)):
        if _CJK_WORD.match(word):
            found.extend([first + second for first, second in pairwise(word)] or [word])
        else:
            found.append(word)
    return found


def units(text: str, language: Language) -> list[str]:
    """Return the words of a text; in a script without spaces, where they are pairs, each with its two characters."""
    found = words(text)
    return found if language.stemmer or text.isascii() else [unit for word in found for unit in (word, *word)]


class Analyzer:
    """Turns the words of a language into terms."""

    def __init__(self, language: Language) -> None:
        self.language = language
        self._function_words = language.function_words
        # Callers speak English to bases in other languages, too.
        self._references = language.references | ENGLISH.references
        self._continuations = language.continuations | ENGLISH.continuations
        # One stemmer serves all threads: a call never releases the interpreter's lock.
        self._stemmer = Stemmer.Stemmer(language.stemmer) if language.stemmer else None

    def content(self, words: list[str]) -> list[str]:
        """Return the content words: all but the function words."""
        return [word for word in words if word not in self._function_words]

    def asks_by_itself(self, text: str) -> bool:
        """Return True if a turn has a subject of its own, and neither goes on with the one before nor refers to it.

        False for a language whose `references` are not known.
        """
        if not self.language.references or not self.content(words(text)):
            return False
        found = units(text, self.language)
        opening = found[: OPENING if self.language.stemmer or text.isascii() else OPENING * 3]
        return self._references.isdisjoint(found) and self._continuations.isdisjoint(opening)

    def stems(self, word: str) -> Sequence[str]:
        """Return the stem of a word as its only term, or no term for a function word."""
        if word in self._function_words:
            return ()
        if self._stemmer is None or word[0] == CODE_MARK:
            return (word,)
        return (self._stemmer.stemWord(word),)

    def head(self, word: str) -> int:
        """Return the number of a word's first letters, from which `pairs` computes; odd for a function word only."""
        return crc32(word[:HEAD].encode()) & ~1 | (word in self._function_words)


def grams(word: str) -> Sequence[str]:
    """Return the grams of a word, a space marking either end; of a Chinese, Japanese or Korean word its characters."""
    if not word.isascii() and _CJK_WORD.match(word):
        return tuple(word)
    if word[0] == CODE_MARK:
        return (word,)
    padded = f" {word} "
    return [padded[at : at + GRAM] for at in range(len(padded) - GRAM + 1)] or (padded,)


def pairs(heads: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return the number of each two neighbours' pair, below `PAIRS`; -1 where both are stop words."""
    first, second = heads[:-1], heads[1:]
    # Multiplicative hashing: the golden ratio spreads the products, whose upper bits are the hash. Order matters.
    numbers = (first * np.uint32(0x9E3779B1) + second) >> np.uint32(32 - _PAIR_BITS)
    return np.where(first & second & 1, -1, numbers.astype(np.int64))
