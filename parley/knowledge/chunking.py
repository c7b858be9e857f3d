"""Cutting texts: into sentences, into passages of whole sentences, into windows of a passage.

Nothing here knows of files, entries or ids. Every pattern runs in linear time: a mebibyte of full stops, or of one
word, is cut as quickly as prose.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise

PASSAGE_WORDS = 150
"""Longest passage in words, its overlap included."""

OVERLAP_WORDS = 40
"""Longest sentence, in words, that is repeated at the beginning of the next passage."""

FORCED_WORDS = 30
"""Words in each piece of a sentence that is longer than a passage."""

LONGEST_PASSAGE = PASSAGE_WORDS * (24 + 8)
"""Longest passage in characters: `_WORD` counts up to 24 as one word, and `_GAP` leaves up to 8 between two words."""

BLOCK_CHARACTERS = 20_000
"""Longest block in characters: a few milliseconds of work."""

CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff"
"""Ranges of the scripts written without spaces between words (and Hangul), for use in a pattern."""

# A "word" for counting: one CJK character, or up to 24 others. A longer run (a URL, base64) counts as several, so that
# a bound in words also bounds the characters.
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


def split_passages(text: str, breathe: Callable[[], None] = lambda: None) -> list[str]:
    """Return the text as passages of at most `PASSAGE_WORDS` words, each ending where a sentence ends.

    A short text is one passage, unchanged. Each further passage begins with the last sentence of the one before. A
    sentence too long for a passage is cut between words, a word too long between characters. White space of more than
    eight characters becomes one space. `breathe` is called at every step of the work.
    """
    passages: list[str] = []
    held: list[str] = []
    size = 0
    for piece in (piece for block in blocks(text) for piece in sentences(_GAP.sub(" ", block))):
        breathe()
        words = _count_words(piece)
        if held and size + words > PASSAGE_WORDS:
            passages.append("".join(held).strip())
            # A sentence is often understood only from the one before it: both passages get that one.
            overlap = _count_words(held[-1])
            fits = overlap <= OVERLAP_WORDS and overlap + words <= PASSAGE_WORDS
            held, size = ([held[-1]], overlap) if fits else ([], 0)
        held.append(piece)
        size += words
    return [*passages, "".join(held).strip()]


def windows(text: str, most_words: int) -> list[str]:
    """Return the text as consecutive windows of whole sentences, of at most `most_words` words each.

    Only a sentence that is longer by itself makes a longer window.
    """
    held: list[str] = []
    sizes: list[int] = []
    for piece in sentences(text):
        words = _count_words(piece)
        if held and sizes[-1] + words <= most_words:
            held[-1] += piece
            sizes[-1] += words
        else:
            held.append(piece)
            sizes.append(words)
    return [window.strip() for window in held]


def blocks(text: str) -> Iterator[str]:
    """Yield the text in consecutive blocks, each cut where a sentence or else a word ends.

    A block is at most `BLOCK_CHARACTERS` long, so that the work on one does not stop the event loop for long.
    """
    start = 0
    while len(text) - start > BLOCK_CHARACTERS:
        most = start + BLOCK_CHARACTERS
        # Only the last stretch is searched: in prose two passages' length holds many ends, and the rest is in vain.
        *_, end = (most, *(found.end() for found in _SENTENCE_END.finditer(text, most - 2 * LONGEST_PASSAGE, most)))
        if end == most:
            end = text.rfind(" ", start, most) + 1 or most
        yield text[start:end]
        start = end
    yield text[start:]


def join_passages(passages: Sequence[str]) -> str:
    """Return consecutive passages of one text as one, with the sentence that two neighbours share only once."""
    text = passages[0]
    for before, after in pairwise(passages):
        *_, last = sentences(before)
        first = next(sentences(after))
        text += " " + (after[len(first) :].lstrip() if first.strip() == last.strip() else after)
    return text


def sentences(text: str) -> Iterator[str]:
    """Yield the text in consecutive pieces: sentences, or parts of a sentence that is longer than a passage."""
    for sentence in _slices(text, (end.end() for end in _SENTENCE_END.finditer(text))):
        # The length first: comparing it costs nothing, counting the words of a text without sentences does.
        if len(sentence) <= LONGEST_PASSAGE and _count_words(sentence) <= PASSAGE_WORDS:
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


def _count_words(text: str) -> int:
    return sum(1 for _ in _WORD.finditer(text))
