"""From what a model writes to what can be said: clauses without markup, and how each of their words is read.

`MarkupFilter` takes out, while the text still streams, what is nobody's to hear: code and thoughts. `to_clause` makes
one clause ready: links, markup and emoji are taken out of it. `ClauseStream` is both, and the cutting between them.
Nothing here makes sound.
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
_LONGEST = max(map(len, MARKERS))

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
_MARKS = ".,;:!?…。！？，、；："


class Clause(NamedTuple):
    """One clause, ready to be said: each written word, and how it is read."""

    words: tuple[tuple[str, str], ...]

    @property
    def text(self) -> str:
        """As it is written."""
        return " ".join(written for written, _ in self.words)

    @property
    def spoken(self) -> str:
        """As it is read, with a mark at its end: without one a voice stays up in the air."""
        spoken = " ".join(reading for _, reading in self.words)
        return spoken if spoken.rstrip("\"')]}”’").endswith(tuple(_MARKS)) else f"{spoken}."


class ClauseStream:
    """A streamed text as lines: each as soon as its clause is complete."""

    def __init__(self, *, english: bool) -> None:
        self._markup = MarkupFilter()
        self._splitter = ClauseSplitter()
        self._english = english

    def feed(self, piece: str) -> Iterator[Clause]:
        """The lines that this piece of text completes."""
        yield from self._ready(self._splitter.feed(self._markup.feed(piece)))

    def rest(self) -> Iterator[Clause]:
        """What is left at the end of the text."""
        yield from self._ready(self._splitter.feed(self._markup.rest()))
        yield from self._ready(self._splitter.rest())

    def _ready(self, clauses: Iterator[str]) -> Iterator[Clause]:
        for clause in clauses:
            if ready := to_clause(clause, english=self._english):
                yield ready


def to_clauses(text: str, *, english: bool) -> Iterator[Clause]:
    """The lines of a whole text."""
    cutter = ClauseStream(english=english)
    yield from cutter.feed(text)
    yield from cutter.rest()


class MarkupFilter:
    """Passes a streamed text on without its code blocks and thoughts, wherever the pieces are cut."""

    def __init__(self) -> None:
        self._held = ""
        self._closing: str | None = None

    def feed(self, piece: str) -> str:
        """Take the next piece; give what may be said, as far as it is certain."""
        self._held += piece
        said = []
        while True:
            if self._closing is not None:
                before, found, after = self._held.partition(self._closing)
                if not found:
                    self._held = before[-_LONGEST:]
                    break
                self._held, self._closing = after, None
            elif opening := _OPENING.search(self._held):
                said += [self._held[: opening.start()], "\n"]
                self._held, self._closing = self._held[opening.end() :], MARKERS[opening[0].lower()]
            else:
                certain = len(self._held) - _possible_start(self._held)
                said.append(self._held[:certain])
                self._held = self._held[certain:]
                break
        return "".join(said)

    def rest(self) -> str:
        """What was held back at the end of the text; a block that never ended stays unsaid."""
        rest, self._held = self._held, ""
        return rest if self._closing is None else ""


def _possible_start(text: str) -> int:
    """How many characters at the end may be the beginning of a marker."""
    tail = text[-_LONGEST:].lower()
    return next(
        (size for size in range(len(tail), 0, -1) if any(mark.startswith(tail[-size:]) for mark in MARKERS)),
        0,
    )


def to_clause(text: str, *, english: bool) -> Clause | None:
    """A clause as it is said; None where nothing of it can be. Readings are English, or as the voice reads them."""
    words = plain(text).split()
    if not any(letter.isalnum() for word in words for letter in word):
        return None
    return Clause(tuple(zip(words, normalization.normalize(words) if english else words, strict=True)))


def plain(text: str) -> str:
    """The text without Markdown, HTML, addresses of pages, footnotes and emoji."""
    if _RULE.match(text):
        return ""
    text = html.unescape(_TAG.sub(" ", _URL.sub("", _LINK.sub(r"\1", text))))
    text = _EMPTY_BRACKETS.sub("", _FOOTNOTE.sub("", _HALF_LINK.sub("", text)))
    text = _EMPHASIS.sub("", _LINE_MARK.sub("", text)).strip("| \n\t").replace("|", ", ")
    text = "".join(filter(_is_speakable, text.replace("[", "").replace("]", "").replace("\n", " ")))
    return _LOOSE_MARK.sub("", _LOOSE_MARK.sub("", " ".join(text.split())))


def _is_speakable(letter: str) -> bool:
    """Letters of every script, digits, marks and the signs that have a reading; not emoji or their joints."""
    if letter in _SIGNS:
        return True
    return unicodedata.category(letter)[0] in "LMNPZ" and letter != "\ufe0f"
