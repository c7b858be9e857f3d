"""From what a model writes to what a voice says: clauses without markup, and how each of their words is read.

    pieces of text -> MarkupFilter -> ClauseSplitter -> to_clause -> Clause
                      code, thoughts  cuts              links, Markdown, emoji; readings

`ClauseStream` joins these steps for a text that streams. Nothing here makes sound.
"""

import html
import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

from parley.speech import normalization
from parley.speech.clause_splitting import ClauseSplitter

MARKERS = {"<think>": "</think>", "<thinking>": "</thinking>", "```": "```", "~~~": "~~~"}
_OPENING = re.compile("|".join(map(re.escape, MARKERS)), re.IGNORECASE)
_MAX_MARKER = max(map(len, MARKERS))

_LINK = re.compile(r"!?\[([^\]]*)\]\([^)\s]*(?:\s[^)]*)?\)")
_HALF_LINK = re.compile(r"\]\([^)]*\)?")
_URL = re.compile(r"<?\b(?:https?|ftp)://[^\s>]*[^\s>.,;:!?)\]'\"]>?|<?\bwww\.[^\s>]*[^\s>.,;:!?)\]'\"]>?")
_EMPTY_BRACKETS = re.compile(r"\(\s*\)|\[\s*\]")
_TAG = re.compile(r"</?[A-Za-z][^<>]{0,200}>")
_FOOTNOTE = re.compile(r"\[\^?\d{1,3}\]")
_LINE_MARK = re.compile(r"^\s*(?:#{1,6}\s+|>\s*|[-*+•]\s+|\|)+")
_RULE = re.compile(r"^[\s|:=*_-]+$")
_EMPHASIS = re.compile(r"\*+(?=\S)|(?<=\S)\*+|(?<!\w)_+(?=\S)|(?<=\S)_+(?!\w)|~~|`+")
_LOOSE_MARK = re.compile(r"\A[\s,.;:!?…)]+(?!\d)|\s+(?=[,.;:!?…](?:\s|\Z))|[,;:](?=\s*[.!?…])")
_SIGNS = "°©®™+=×÷%$€£¥₹&#@~<>|^"
"""Symbols that are read aloud; all other symbols, emoji among them, are left out."""
_MARKS = ".,;:!?…。！？，、；："


class Clause(NamedTuple):
    """One clause, ready to be said: each written word, and how it is read."""

    words: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """The clause as it is written."""
        return " ".join(written for written, _ in self.words)

    @property
    def spoken(self) -> str:
        """The clause as it is read, with a mark at its end: without one a voice does not lower its pitch."""
        spoken = " ".join(reading for _, reading in self.words)
        return spoken if spoken.rstrip("\"')]}”’").endswith(tuple(_MARKS)) else f"{spoken}."


class ClauseStream:
    """A streamed text as clauses, each as soon as it is complete."""

    def __init__(self, *, english: bool) -> None:
        self._markup = MarkupFilter()
        self._splitter = ClauseSplitter()
        self._english = english

    def feed(self, piece: str) -> Iterator[Clause]:
        """Yield the clauses that this piece of text completes."""
        yield from self._ready(self._splitter.feed(self._markup.feed(piece)))

    def flush(self) -> Iterator[Clause]:
        """Yield the remaining clauses at the end of the text."""
        yield from self._ready(self._splitter.feed(self._markup.flush()))
        yield from self._ready(self._splitter.flush())

    def _ready(self, texts: Iterator[str]) -> Iterator[Clause]:
        """Yield the clauses with anything to say."""
        for text in texts:
            if clause := to_clause(text, english=self._english):
                yield clause


def to_clauses(text: str, *, english: bool) -> Iterator[Clause]:
    """Yield the clauses of a complete text."""
    stream = ClauseStream(english=english)
    yield from stream.feed(text)
    yield from stream.flush()


class MarkupFilter:
    """Passes a streamed text on without its code blocks and thoughts, wherever the pieces are cut."""

    def __init__(self) -> None:
        self._held = ""
        self._closing: str | None = None

    def feed(self, piece: str) -> str:
        """Take the next piece, and return the text that is certain to be no part of a block."""
        self._held += piece
        passed = []
        while True:
            if self._closing is not None:
                block, closing, behind = self._held.partition(self._closing)
                if not closing:
                    # The closing marker may have begun; of the block itself nothing more is needed.
                    self._held = block[-_MAX_MARKER:]
                    break
                self._held, self._closing = behind, None
            elif opening := _OPENING.search(self._held):
                # The line break parts the text before a block from the text behind it.
                passed += [self._held[: opening.start()], "\n"]
                self._held, self._closing = self._held[opening.end() :], MARKERS[opening[0].lower()]
            else:
                tail = self._held[-_MAX_MARKER:].lower()
                begun = (size for size in range(len(tail), 0, -1) if any(m.startswith(tail[-size:]) for m in MARKERS))
                certain = len(self._held) - next(begun, 0)
                passed.append(self._held[:certain])
                self._held = self._held[certain:]
                break
        return "".join(passed)

    def flush(self) -> str:
        """Return the text held back at the end; a block that never ended stays unsaid."""
        held, self._held = self._held, ""
        return held if self._closing is None else ""


def to_clause(text: str, *, english: bool) -> Clause | None:
    """Return a text as one clause, or None if nothing of it can be said.

    Words are read as English with `english`, else left to the voice.
    """
    words = plain(text).split()
    if not any(letter.isalnum() for word in words for letter in word):
        return None
    return Clause(tuple(zip(words, normalization.normalize(words) if english else words, strict=True)))


def plain(text: str) -> str:
    """Return a text without Markdown, HTML, addresses of pages, footnotes and emoji."""
    if _RULE.match(text):
        return ""
    text = html.unescape(_TAG.sub(" ", _URL.sub("", _LINK.sub(r"\1", text))))
    # A clause may begin inside a link: then only its end is here.
    text = _EMPTY_BRACKETS.sub("", _FOOTNOTE.sub("", _HALF_LINK.sub("", text)))
    text = _EMPHASIS.sub("", _LINE_MARK.sub("", text)).strip("| \n\t").replace("|", ", ")
    text = text.replace("[", "").replace("]", "").replace("\n", " ")
    # U+FE0F, which asks for the coloured form of a sign, is of category M like the accents that must stay.
    text = "".join(
        letter
        for letter in text
        if letter in _SIGNS or (unicodedata.category(letter)[0] in "LMNPZ" and letter != "\ufe0f")
    )
    # Twice: a mark that is taken away may leave another one loose.
    return _LOOSE_MARK.sub("", _LOOSE_MARK.sub("", " ".join(text.split())))
