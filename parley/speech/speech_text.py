"""From what a model writes to what a voice says: clauses without markup, and how each of their words is read.

    pieces of text -> MarkupFilter -> ClauseSplitter -> to_clause -> Clause
                      code, thoughts  cuts              links, Markdown, emoji; pronunciations; readings

`ClauseStream` joins these steps for a text that streams; a complete text is a stream of one piece, so that both have
the same clauses. Nothing here makes sound.
"""

import enum
import html
import re
import unicodedata
from collections.abc import Iterator
from typing import Final, NamedTuple

from parley.concurrency import checkpoint
from parley.errors import AnswerCapped
from parley.speech import normalization
from parley.speech.clause_splitting import ClauseSplitter
from parley.speech.english import ENGLISH
from parley.speech.markup_filter import MarkupFilter
from parley.speech.pronunciation import NO_PRONUNCIATIONS, Pronunciations
from parley.wire.thoughts import ATTRIBUTES

MAX_CHARACTERS = 12_000
"""Limit on the text of an answer, its thoughts aside, in characters: ten minutes of speech, as for recordings."""
STEP_CHARACTERS = 4096
"""Characters of a complete text that are looked at in one step: two milliseconds of work."""

_LINK = re.compile(r"!?\[([^\]]*)\]\([^)\s]*(?:\s[^)]*)?\)")
_HALF_LINK = re.compile(r"\]\([^)]*\)?")
_URL = re.compile(
    r"<?\b(?:(?:https?|ftp)://(?:[^\s/@]*@)?)(?:www\.)?([^\s>/?#]+)((?:/[^\s>?#]*)?)[^\s>]*>?", re.IGNORECASE
)
_URL_END = re.compile(r"[.,;:!?)\]'\"*_`>]*\Z")
_LONGEST_PATH = 40
"""Limit on the path of a page's address that is said, in characters; of a longer one only the host is."""
_EMPTY_BRACKETS = re.compile(r"\(\s*\)|\[\s*\]")
# Attributes have values, so that "x <y and z> w" is no tag.
_TAG = re.compile(rf"</?[A-Za-z][\w:.-]*{ATTRIBUTES}/?>|<!--[^<>]{{0,200}}-->")
_MAIL = re.compile(r"<(?:mailto:)?([^\s<>@]+@[^\s<>]+)>")
_FOOTNOTE = re.compile(r"\[\^?\d{1,3}\]")
_LINE_MARK = re.compile(r"^\s*(?:#{1,6}\s+|>(?![=\d])\s*|[-*+•]\s+|\|)+")
_RULE = re.compile(r"^[\s|:=*_-]+$")
_EMPHASIS = re.compile(r"\*+(?=\S)|(?<=\S)\*+|(?<!\w)_+(?=\S)|(?<=\S)_+(?!\w)|~~|`+")
# "2*3", "press *.", and keys such as "*67" unless a star behind them closes an emphasis.
_STARS = re.compile(
    r"(?<=\d)\*(?=\d)|(?<=\w )\*(?=[.,;:!?])|(?<![^\s(\"'“‘])\*{1,2}\d[\d*]*#(?![\w*])"
    r"|(?<![^\s(\"'“‘])\*\*\d+\*(?![\w*])|(?<![^\s(\"'“‘])\*#?\d[\d*#]*(?![^\s.,;:!?)\"'”’])(?!.*\S\*(?!\d))"
)
_STRONG = re.compile(r"\*\*(?=[^\s\d*])(.+?)(?<=\S)\*\*(?!\*)")
_KEPT_STAR = "\u2217"
_LOOSE_MARK = re.compile(r"\A(?:\s|[,;:!?…)](?!\d)|\.(?!\w))+|\s+(?=[,.;:!?…](?:\s|\Z))|[,;:](?=\s*[.!?…])")
_PICTURED_STAR = re.compile(r"(?<!\d)★")
_SIGNS = "*★℃℉№°©®™+=×÷%$€£¥₹₩&#@~<>|^≤≥≠≈±√′″−→⌘⌥⇧⌃"
"""Symbols that are read aloud; all other symbols, emoji among them, are left out."""
_SAID = frozenset("Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Zs Zl Zp Sc".split())  # noqa: SIM905
"""Categories of characters that are said, or shape how others are said: all letters, marks, numbers, currencies."""
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

    def going_on(self) -> "Clause":
        """Return the clause with a comma in place of its end: without one a voice would end the sentence."""
        *words, (written, reading) = self.words
        return Clause((*words, (written, f"{reading},")))


class Retraction(enum.Enum):
    """The type of RETRACTION."""

    RETRACTION = enum.auto()


RETRACTION: Final = Retraction.RETRACTION
"""Yielded in place of a clause: all clauses before were thoughts, and are not said if it is not too late."""


class ClauseStream:
    """A streamed text as clauses, each as soon as it is complete.

    `feed` and `flush` raise AnswerCapped above `MAX_CHARACTERS`, behind the clauses before that.
    """

    def __init__(
        self,
        *,
        english: bool,
        pronunciations: Pronunciations = NO_PRONUNCIATIONS,
    ) -> None:
        self._markup = MarkupFilter()
        self._splitter = ClauseSplitter()
        self._english = english
        self._pronunciations = pronunciations
        self._left = MAX_CHARACTERS

    def feed(self, piece: str) -> Iterator[Clause | Retraction]:
        """Yield the clauses that this piece of text completes."""
        yield from self._pass(self._markup.feed(piece))

    def settle(self) -> Iterator[Clause]:
        """Yield what has come of the next clause if it looks complete: no more of the text has come for a while."""
        yield from self._ready(self._splitter.settle())

    def hurry(self) -> Iterator[Clause]:
        """Yield a part of the sentence that has begun, if it can be cut: the listener has nothing left to hear."""
        yield from self._ready(self._splitter.hurry())

    def flush(self) -> Iterator[Clause | Retraction]:
        """Yield the remaining clauses at the end of the text."""
        yield from self._pass(self._markup.flush())
        yield from self._ready(self._splitter.flush())

    def whole(self, text: str) -> Iterator[Clause]:
        """Yield the clauses of a complete text, in place of `feed` and `flush`."""
        passed: list[str] = []
        for at in range(0, len(text) + 1, STEP_CHARACTERS):
            checkpoint()
            passed.append(self._markup.feed(text[at : at + STEP_CHARACTERS]))
            del passed[: -1 if self._markup.retracted else 0]
        passed.append(self._markup.flush())
        del passed[: -1 if self._markup.retracted else 0]
        yield from self._split("".join(passed))
        yield from self._ready(self._splitter.flush())

    def _pass(self, text: str) -> Iterator[Clause | Retraction]:
        """Yield the clauses that a text without blocks completes."""
        if self._markup.retracted:
            self._splitter.retract()
            self._left = MAX_CHARACTERS
            yield RETRACTION
        yield from self._split(text)

    def _split(self, text: str) -> Iterator[Clause]:
        yield from self._ready(self._splitter.feed(text[: self._left]))
        self._left -= len(text)
        if self._left < 0:
            raise AnswerCapped

    def _ready(self, texts: Iterator[str]) -> Iterator[Clause]:
        """Yield the clauses with anything to say."""
        for text in texts:
            if clause := to_clause(text, english=self._english, pronunciations=self._pronunciations):
                yield clause.going_on() if self._splitter.goes_on else clause


def to_clauses(text: str, *, english: bool, pronunciations: Pronunciations = NO_PRONUNCIATIONS) -> Iterator[Clause]:
    """Yield the clauses of a complete text. Raises AnswerCapped as a stream does."""
    return ClauseStream(english=english, pronunciations=pronunciations).whole(text)


def to_clause(text: str, *, english: bool, pronunciations: Pronunciations = NO_PRONUNCIATIONS) -> Clause | None:
    """Return a text as one clause, or None if nothing of it can be said.

    Words are read as English with `english`, else left to the voice; pronunciations hold in any language.
    """
    words = plain(text).split()
    if not any(letter.isalnum() for word in words for letter in word):
        return None
    if not english:
        return Clause(pronunciations.applied(words, words))
    return Clause(pronunciations.applied(words, normalization.normalize(words, ENGLISH), read_in_english))


def read_in_english(text: str) -> str:
    """Return the English reading of a text."""
    return " ".join(normalization.normalize(text.split(), ENGLISH))


def plain(text: str) -> str:
    """Return a text without Markdown, HTML, footnotes and emoji; of a page's address the host and a short path stay."""
    # "---", and the line below the head of a table.
    if _RULE.match(text):
        return ""
    text = html.unescape(_TAG.sub(" ", _URL.sub(_short_address, _MAIL.sub(r"\1", _LINK.sub(r"\1", text)))))
    # A clause may begin inside a link: then only its end is here.
    text = _EMPTY_BRACKETS.sub("", _FOOTNOTE.sub("", _HALF_LINK.sub("", text)))
    text = _STRONG.sub(r"\1", text)
    text = _STARS.sub(lambda match: match[0].replace("*", _KEPT_STAR), text)
    text = _EMPHASIS.sub("", _LINE_MARK.sub("", text)).strip("| \n\t").replace("|", ", ")
    text = text.replace("[", "").replace("]", "").replace("\n", " ")
    # "5★" is a rating, another star a picture.
    text = _PICTURED_STAR.sub("", text.replace(_KEPT_STAR, "*"))
    # U+FE0F, which asks for the coloured form of a sign, is of category M like the accents that must stay.
    text = "".join(
        letter
        for letter in text
        if letter in _SIGNS or (unicodedata.category(letter)[:2] in _SAID and letter != "\ufe0f")
    )
    # Twice: a mark that is taken away may leave another one loose.
    return _LOOSE_MARK.sub("", _LOOSE_MARK.sub("", " ".join(text.split())))


def _short_address(match: re.Match[str]) -> str:
    """Return the part of a page's address that is said, and the marks behind it."""
    end = _URL_END.search(match[0])
    path = _URL_END.sub("", match[2])
    path = path if len(path) <= _LONGEST_PATH and not re.search(r"[%=&;]|\d{5}", path) else ""
    return _URL_END.sub("", match[1]) + path.rstrip("/") + (end[0].replace(">", "") if end else "")
