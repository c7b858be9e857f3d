"""Where a text may be cut: sentences, and passages made of whole sentences.

Knows nothing of files, entries or ids. Every pattern here runs in linear time: a text of a mebibyte of full
stops, or of one word, is cut as quickly as prose.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise

PASSAGE_WORDS = 150
"""The most that one passage holds, its overlap included."""

OVERLAP_WORDS = 40
"""The last sentence is said again at the head of the next passage where it is no longer than this."""

FORCED_WORDS = 30
"""The size of the pieces into which a sentence longer than a whole passage is broken."""

LONGEST_PASSAGE = PASSAGE_WORDS * (24 + 8)
"""Characters that a passage can have at most: of words as `_WORD` counts them, and of gaps that `_GAP` leaves."""

BLOCK_CHARACTERS = 20_000

CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
"""Ranges of the scripts written without spaces between words (and Hangul), for use in a pattern."""

# A "word" for counting: one CJK character, or up to 24 others. A longer run (a URL, base64) counts as
# several, so that a bound in words also bounds the characters.
_WORD = re.compile(rf"[{CJK}]|[^\s{CJK}]{{1,24}}")

_SENTENCE_END = re.compile(
    r"""
      (?<=[.!?…]) (?<!\bDr\.) (?<!\bMr\.) (?<!\bMs\.) (?<!\bSt\.) (?<!\bNo\.) (?<!\bMrs\.)
      ["'”’»)\]]{0,3} (?=\s+[^\sa-z])             # "e.g. like this" goes on
    | (?<=[。！？｡]) [」』”’）]{0,3} (?![。！？｡])  # no space follows these
    | \n (?=[ \t]*(?:\n|[-*•][ ]|\d{1,3}[.)][ ]))  # a paragraph, or the next item of a list
    """,
    re.VERBOSE,
)

_GAP = re.compile(r"\s{9,}")


def cut(text: str, breathe: Callable[[], None] = lambda: None) -> list[str]:
    """The text as passages of at most `PASSAGE_WORDS` words, each ending where a sentence ends.

    A text that is short enough comes back whole. Each further passage begins with the last sentence of the
    one before. A sentence too long for a passage is cut between words, a word too long between characters.
    Long stretches of white space shrink to one space. `breathe` is called at every step of the work.
    """
    passages: list[str] = []
    held: list[str] = []
    size = 0
    for piece in (piece for block in blocks(text) for piece in _pieces(_GAP.sub(" ", block))):
        breathe()
        words = _words(piece)
        if held and size + words > PASSAGE_WORDS:
            passages.append("".join(held).strip())
            overlap = _words(held[-1])
            fits = overlap <= OVERLAP_WORDS and overlap + words <= PASSAGE_WORDS
            held, size = ([held[-1]], overlap) if fits else ([], 0)
        held.append(piece)
        size += words
    return [*passages, "".join(held).strip()]


def windows(text: str, most_words: int) -> list[str]:
    """The text as consecutive windows of whole sentences, of at most so many words where sentences allow."""
    held: list[str] = []
    sizes: list[int] = []
    for piece in _pieces(text):
        words = _words(piece)
        if held and sizes[-1] + words <= most_words:
            held[-1] += piece
            sizes[-1] += words
        else:
            held.append(piece)
            sizes.append(words)
    return [window.strip() for window in held]


def blocks(text: str) -> Iterator[str]:
    """The text in consecutive blocks, each a few milliseconds' work: cut where a sentence or else a word ends."""
    start = 0
    while len(text) - start > BLOCK_CHARACTERS:
        most = start + BLOCK_CHARACTERS
        *_, end = (most, *(found.end() for found in _SENTENCE_END.finditer(text, most - 2 * LONGEST_PASSAGE, most)))
        if end == most:
            end = text.rfind(" ", start, most) + 1 or most
        yield text[start:end]
        start = end
    yield text[start:]


def joined(passages: Sequence[str]) -> str:
    """Consecutive passages of one text as one again: a sentence that two of them share is said once."""
    text = passages[0]
    for before, after in pairwise(passages):
        *_, last = _pieces(before)
        first = next(_pieces(after))
        text += " " + (after[len(first) :].lstrip() if first.strip() == last.strip() else after)
    return text


def _pieces(text: str) -> Iterator[str]:
    """The text in consecutive pieces, none larger than a passage; joined they are the text again."""
    for sentence in _slices(text, (end.end() for end in _SENTENCE_END.finditer(text))):
        if len(sentence) <= LONGEST_PASSAGE and _words(sentence) <= PASSAGE_WORDS:
            yield sentence
        else:
            yield from _slices(
                sentence, islice((word.start() for word in _WORD.finditer(sentence)), FORCED_WORDS, None, FORCED_WORDS)
            )


def _slices(text: str, ends: Iterator[int]) -> Iterator[str]:
    start = 0
    for end in ends:
        yield text[start:end]
        start = end
    yield text[start:]


def _words(text: str) -> int:
    return sum(1 for _ in _WORD.finditer(text))
