"""Text normalization: numbers, money, dates, times, units and signs become words, by the rules of a language.

Each written word keeps its own reading, so that the time of a spoken reading is the time of the written word:

    words --> spans (numbers of several words) --> words with all their marks --> words without them --> remainder
              each step reads what those before it have left; the remainder reads every digit that no rule has read

A language is one value, in a package of its own (`english`): its rules in the order in which they are tried,
the first that returns a reading wins; its table of words; and what reads the remainder. Nothing here knows a language.
"""

import functools
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

PARTING = (",", ";", ":", "!", "?")
"""Marks that part a word from the next one. Not the full stop: "Sep. 5" and "No. 5" belong together."""
PARTS_OF_WORDS = (".", '"', "″", "”")
"""Marks behind a word that may be a part of it."""
APOSTROPHES = ("'", "’", "‘")
MAX_WORDS = 2048
"""Limit on the words whose rules are remembered; an answer has some hundred different ones."""
OPENING_MARKS = "([{\"'“‘„«¿¡"
CLOSING_MARKS = ")]}\"'”’».,;:!?…—–。！？，、；："
_EDGES = re.compile(rf"([{re.escape(OPENING_MARKS)}]*)(.*?)([{re.escape(CLOSING_MARKS)}]*)\Z", re.DOTALL)
_COMPATIBLE = re.compile(
    r"[\uff01-\uff5e\u2460-\u249b\u24ea-\u24ff\u2103\u2109\u2116\u3380-\u33df]|[^\W\d_a-zA-Z]*[\U0001d7ce-\U0001d7ff]"
)
"""Forms of ASCII characters: full-width, in circles, mathematical; signs of units such as U+2103 for °C."""


class Around(NamedTuple):
    """The words before and after a word, without their marks; empty where a mark parts them from it.

    `sentence` holds all words beside it, without marks and capitals: clues to what a number is. `read` returns the
    reading of a part of the word that stands alone, or None.
    """

    before: str
    after: str
    sentence: frozenset[str]
    read: Callable[[str], str | None]


class Marked(NamedTuple):
    """A word between its marks."""

    opening: str
    core: str
    closing: str


Rule = Callable[[re.Match[str], Around], str | None]
"""Reads a match of its pattern, which is a whole word; None leaves it to the rules behind it."""


class Rules(list[tuple[re.Pattern[str], Rule, bool]]):
    """Rules in the order in which they are tried; the third value is true for those that read words without digits."""

    def add(self, pattern: str, flags: int = 0, *, words: bool = False) -> Callable[[Rule], Rule]:
        """Return a decorator that appends a rule; with `words` it reads words without digits, too."""

        def decorate(function: Rule) -> Rule:
            self.append((re.compile(pattern, flags), function, words))
            return function

        return decorate


@dataclass(frozen=True)
class Language:
    """The readings of one language.

    `spans` reads numbers of several words, by their index; `words` are read by table, then come the rules; `remainder`
    reads every other text with a digit in it.
    """

    spans: Callable[[Sequence[Marked], Callable[[str], str | None]], Mapping[int, str]]
    words: Mapping[str, str]
    rules: Rules
    remainder: Callable[[str, Callable[[str], str | None]], str]

    @functools.cached_property
    def matches(self) -> Callable[[str], tuple[tuple[re.Match[str], Rule], ...]]:
        """Return the rules whose pattern a word matches, with the match, in order; recent words from memory.

        perf: saves two thirds of the time of a plain word (an answer in AUDIO_MODE=speech).
        """
        word_rules = [rule for rule in self.rules if rule[2]]

        @functools.lru_cache(MAX_WORDS)
        def found(word: str) -> tuple[tuple[re.Match[str], Rule], ...]:
            rules = self.rules if has_digits(word) else word_rules
            matches = ((pattern.fullmatch(word), rule) for pattern, rule, _ in rules)
            return tuple((match, rule) for match, rule in matches if match)

        return found

    def read(self, word: str, around: Around | None = None) -> str | None:
        """Return the reading of a word, or None if it reads itself."""
        if word in self.words:
            return self.words[word]
        around = around or Around("", "", frozenset(), self.read)
        for match, rule in self.matches(word):
            if (reading := rule(match, around)) is not None:
                return reading
        return None


def normalize(words: Sequence[str], language: Language) -> list[str]:
    """Return a reading of each word: several words, or the word itself. No reading holds a digit."""
    marked = [split_marks(_plain_digits(word)) for word in words]
    # Before the rules, which see one word each.
    spans = language.spans(marked, language.read)
    sentence = frozenset(word.core.lower() for word in marked)
    readings = []
    for index, (opening, core, closing) in enumerate(marked):
        before = marked[index - 1] if index else None
        after = marked[index + 1] if index + 1 < len(marked) else None
        around = Around(
            (before.core or before.closing) if before and not before.closing.endswith(PARTING) else "",
            (after.core or after.closing) if after and not closing.endswith(PARTING) else "",
            sentence,
            language.read,
        )
        # The full stop of "etc." belongs to the abbreviation.
        if closing[:1] == "." and f"{core}." in language.words:
            core, closing = f"{core}.", closing[1:]
        if core[:1].isdigit() and opening.endswith(APOSTROPHES) and not set(closing) & set(APOSTROPHES):
            # An apostrophe that stands for a century: "'90s".
            opening, core = opening[:-1], opening[-1] + core
        readings.append(spans.get(index) or _reading(Marked(opening, core, closing), around, language))
    return readings


def _reading(word: Marked, around: Around, language: Language) -> str:
    """Return the reading of a word with the marks that are no part of it."""
    opening, core, closing = word.opening, word.core, word.closing
    # First with its marks: the full stops of "p.m." and "No." are part of them.
    whole = opening + core + closing
    # The full stop of "St.," belongs to the abbreviation, the mark of 5'11", to the number.
    is_part = closing[:1] in PARTS_OF_WORDS and len(closing) > 1
    stop: tuple[tuple[str, str], ...] = ((opening, closing[1:]),) if is_part else ()
    for head, tail in dict.fromkeys((("", ""), (opening, ""), *stop, (opening, closing))):
        reading = language.read(whole[len(head) : len(whole) - len(tail)], around)
        if reading is not None and not has_digits(reading):
            return head + reading + tail
    # No rule: a word reads itself, and a number is read by its characters.
    if not has_digits(core):
        return opening + core + closing
    return f"{opening}{language.remainder(core, language.read)}{closing}"


def split_marks(word: str) -> Marked:
    """Return a word between its opening and its closing marks."""
    match = _EDGES.fullmatch(word)
    opening, core, closing = (match[1], match[2], match[3]) if match else ("", word, "")
    if closing[:1] == ")" and core.count("(") > core.count(")"):
        # "401(k)"
        core, closing = f"{core})", closing[1:]
    return Marked(opening, core, closing)


def has_digits(text: str) -> bool:
    """Return True if a text holds a digit, or a sign that stands for a number, in any script."""
    if text.isascii():
        return not text.isalpha() and any(map(str.isdigit, text))
    return any(letter.isnumeric() and not letter.isalpha() for letter in text)


def _plain_digits(word: str) -> str:
    """Return a word with plain characters in place of full-width and circled ones, and ASCII hyphens and digits."""
    if word.isascii():
        return word
    if _COMPATIBLE.search(word):
        word = unicodedata.normalize("NFKC", word)
    word = word.replace("\u2212", "-").replace("\u2010", "-").replace("\u2011", "-").replace("\u2012", "-")
    return "".join(str(unicodedata.decimal(letter)) if letter.isdecimal() else letter for letter in word)
