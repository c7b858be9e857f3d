"""Spoken numbers, codes and misheard words, written as the passages of a base write them.

A recogniser writes what it hears: "m x two oh four b", "nine ninety nine", "is there a jim". The passages say MX-204B,
$9.99 and gym. Folding a question replaces what was heard by the form in the passages, if one of them has it:

    "m x two oh four b"  ->  letters and numbers in a row: m x 2 0 4 b  ->  joined: mx204b  ->  known: "MX-204B"
    "nine ninety nine"   ->  9 99  ->  999  ->  known: "9.99"
    "jim"                ->  no word of the base; sounds like one: "gym"

Nothing that the passages do not hold is ever put into a question: one without numbers, spelled letters and unknown
words stays as it is.
"""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from parley.knowledge import terms
from parley.languages.language import Language, folded

MAX_CODE = 20
"""Longest code, in letters and digits."""
MAX_VOCABULARY = 5000
"""Most words of a base in which a misheard word is sought: among more, too many sound alike."""
MAX_PIECES = 16
"""Most letters and numbers in a row that are joined to one code."""
MAX_READINGS = 64
"""Most readings of such a row."""
MIN_TWO_WORDS = 4
"""Fewest characters of a letter's name in two words."""
MARKS = ".,!?;:"
"""Marks that stand before or behind a word that was heard."""
MAX_NUMBER = 999
"""Highest number that is known in words; behind it may stand "thousand"."""

_CODE = re.compile(
    # a digit soon; letters and digits with marks between them; further groups of digits, as of a telephone number
    r"(?<![A-Za-z0-9])(?=[A-Za-z./:-]{0,9}\d)[A-Za-z0-9]+(?:[-./:,'][A-Za-z0-9]+)*"
    r"(?: \d[\d-]*(?![A-Za-z]))*(?![A-Za-z0-9])"
)
_BLANK_CODE = re.compile(r"(?<![A-Za-z0-9])[A-Z]{1,3} \d{1,6}(?![\w.:,-]*\d)(?!\w)")
"""A code with a blank inside, as of a flight: "AN 412"."""
_DIGIT = re.compile("[0-9]")
_SEPARATORS = re.compile(r"[^a-z0-9]+")
_ZEROS = re.compile(r"(?<=[a-z])0+(?=\d)")
_HYPHENED = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)+")


def codes(text: str) -> Iterator[tuple[str, str]]:
    """Yield each number and code of a text: letters and digits alone, and as it stands there."""
    # perf: saves 4 µs a text without digits, as most are (a passage of 700 characters)
    if not _DIGIT.search(text):
        return
    for found in _CODE.finditer(text):
        surface = found.group()
        joined = _SEPARATORS.sub("", folded(surface))
        if 1 < len(joined) <= MAX_CODE:
            yield joined, surface
        # "0800 330 7000" is one number; "from 8 to 9 pm" and "12 GB" are none, and "CB-88/2" ends before a unit.
        first, blank, _ = surface.partition(" ")
        if blank and any(letter.isalpha() for letter in first):
            yield _SEPARATORS.sub("", folded(first)), first
    for found in _BLANK_CODE.finditer(text):
        yield folded(found.group()).replace(" ", ""), found.group()


def without_zeros(joined: str) -> str:
    """Return a code without the zeros before a number, which callers leave out: "f06" is "f6"."""
    return _ZEROS.sub("", joined)


@dataclass
class SpokenForms:
    """The written forms that a base's passages hold: codes by their letters and digits, words by their sound."""

    language: Language
    codes: dict[str, str] = field(default_factory=dict)
    codes_without_zeros: dict[str, str] = field(default_factory=dict)
    words: set[str] = field(default_factory=set)
    sounds: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Now: the tables of numbers take 10 ms, for which the first question would wait.
        self._starts = starts_of_codes(self.language)

    def add(self, text: str, words: Sequence[str]) -> list[str]:
        """Learn the written forms of a text, given with its words; return the terms of its codes."""
        found = []
        for joined, surface in codes(text):
            # "1000" rather than "10.00": digits alone are what is heard.
            if surface == joined or joined not in self.codes:
                self.codes[joined] = surface
            # "F06" is said, and typed, as "F 6", too, unless there is another "F6".
            self.codes_without_zeros.setdefault(without_zeros(joined), surface)
            found.append(terms.CODE_MARK + joined)
        if "-" in text:
            for match in _HYPHENED.finditer(text):
                self.codes.setdefault(folded(match.group()).replace("-", ""), match.group())
        new = set(words).difference(self.words)
        self.words |= new
        if len(self.words) > MAX_VOCABULARY:
            self.sounds.clear()
        elif self.language.sound:
            for word in filter(self._has_sound, sorted(new)):
                self.sounds.setdefault(self.language.sound(word), word)
        return found

    def fold(self, question: str) -> str:
        """Return the question with what was heard in the form in which the base's passages write it."""
        tokens = question.split()
        heard = [folded(token).strip(MARKS) for token in tokens]
        written_words: list[str] = []
        at = 0
        while at < len(tokens):
            # perf: saves 25 µs (a question of twenty words, most of which begin no code)
            begins_code = heard[at] in self._starts or _DIGIT.search(heard[at]) is not None
            taken, written = (begins_code and self._code(heard, at)) or self._word(heard, at) or (1, "")
            if begins_code and not written:
                taken = self._unknown_number(heard, at)
            written_words.append(written or " ".join(tokens[at : at + taken]))
            at += taken
        return " ".join(written_words)

    def _unknown_number(self, words: Sequence[str], start: int) -> int:
        """Return how many words a number takes that no passage holds, at least one.

        It stays as it was said, all of it: neither the "eight" of "ninety eight" is folded, nor the "thirty" of "eight
        thirty".
        """
        end = start
        while end < len(words) and (length := next((taken for taken, _ in _numbers_at(words, end, self.language)), 0)):
            end += length
        return max(1, end - start)

    def _code(self, words: Sequence[str], start: int) -> tuple[int, str] | None:
        """Return how many words the longest known code or number from here on takes, and its written form."""
        best = None
        for end, pieces in _runs(words, start, self.language):
            taken = end - start
            if len(pieces) == 1 and not (taken == 1 and _DIGIT.search(words[start])):
                # A number that stands alone is folded only if the base does not say it in these words.
                stands_alone = end == len(words) or not _continues(words, end, self.language)
                if not stands_alone or not self._unsaid(words[start:end]):
                    continue
            written = self._known("".join(pieces))
            if taken == 1 and folded(written) in words[start]:
                continue
            if written and (best is None or taken > best[0]):
                best = (taken, written)
        return best

    def _unsaid(self, words: Sequence[str]) -> bool:
        """Return True if the words are a number which the base does not say in these words; "one" tells nothing."""
        is_number = any(
            length == len(words) and digits != "1" for length, digits in _numbers_at(words, 0, self.language)
        )
        return is_number and not self.words.issuperset(words)

    def _known(self, joined: str) -> str:
        """Return the written form of a code given by its letters and digits; empty if the base does not hold it."""
        if known := self.codes.get(joined) or self.codes_without_zeros.get(without_zeros(joined)):
            return known
        # Two letters in a row are a word too often: "o k", "u s".
        return joined if joined in self.words and (len(joined) > 2 or joined.isdigit()) else ""

    def _word(self, words: Sequence[str], at: int) -> tuple[int, str] | None:
        """Return two words that the base writes as one, or the word of the base that sounds like this one."""
        word = words[at]
        if not word or word in self.language.function_words:
            return None
        if word not in self.words and (hyphened := self.codes.get(word)):
            return 1, hyphened
        if at + 1 < len(words) and (following := words[at + 1]) not in self.language.function_words:
            both = word + following
            # "e sim" is one word in the base, and its first part is none.
            if word not in self.words and both in self.words:
                return 2, both
            # Of two words that the base holds, too, the hyphen between them tells nothing.
            hyphen_only = both.isalpha() and word in self.words and following in self.words
            if not hyphen_only and (known := self.codes.get(both)):
                return 2, known
        if not self.sounds or not self.language.sound or not self._has_sound(word):
            return None
        if word in self.language.common_words:
            return None
        known = self.sounds.get(self.language.sound(word), "")
        return (1, known) if known and self.words.isdisjoint(_inflections(word)) else None

    def _has_sound(self, word: str) -> bool:
        """Return True if a word is long enough to be told by its sound, and tells something."""
        return len(word) > 2 and word.isalpha() and word not in self.language.function_words


def _runs(words: Sequence[str], start: int, language: Language) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield the letters and numbers in a row from here on, shorter and longer rows, each with the position behind it.

    "eight hundred three" is 803, and also 800 and 3: each reading is followed, at most `MAX_READINGS` of them.
    """
    readings: list[tuple[int, tuple[str, ...]]] = [(start, ())]
    for at, pieces in readings:
        if len(readings) > MAX_READINGS or len(pieces) == MAX_PIECES:
            break
        for end, piece in _pieces_at(words, at, language, is_first=not pieces):
            found = (end, (*pieces, piece) if piece else pieces)
            readings.append(found)
            if piece:
                yield found


def _pieces_at(words: Sequence[str], at: int, language: Language, is_first: bool) -> Iterator[tuple[int, str]]:
    """Yield the pieces of a code that a position may begin, each with the position behind it; a joiner is empty."""
    times = 1
    if at < len(words) and (times := language.repeats.get(words[at], 1)) > 1:
        at += 1
    if at >= len(words):
        return
    word = words[at]
    for length, digits in _numbers_at(words, at, language):
        yield at + length, digits * times
    yield from _letters_at(words, at, times, language)
    if word.replace("-", "") in language.letters:
        return
    if _DIGIT.search(word):
        yield at + 1, _SEPARATORS.sub("", word) * times
    elif not is_first and word in language.joiners:
        yield at + 1, ""


def _letters_at(words: Sequence[str], at: int, times: int, language: Language) -> Iterator[tuple[int, str]]:
    """Yield the letters that a position may name, each with the position behind it; `times` is of a word before it.

    "double u" is two letters or one, "x ray" and "x-ray" are one.
    """
    if letter := language.letters.get(words[at].replace("-", "")):
        yield at + 1, letter * times
    for start in (at - 1, at) if times > 1 else (at,):
        name = "".join(words[start : start + 2])
        # Shorter ones are two letters: "a r" is no "ar".
        if len(name) >= MIN_TWO_WORDS and name != words[start] and (letter := language.letters.get(name)):
            yield start + 2, letter


def _continues(words: Sequence[str], at: int, language: Language) -> bool:
    """Return True if a code that ends here could go on."""
    return any(piece.isdigit() for _, piece in _pieces_at(words, at, language, is_first=False))


def _numbers_at(words: Sequence[str], at: int, language: Language) -> Iterator[tuple[int, str]]:
    """Yield the numbers in words that begin here, the longest first: their lengths and digits."""
    numbers, longest = _numbers(language)
    for length in range(min(longest.get(words[at], 0), len(words) - at), 0, -1):
        if digits := numbers.get(tuple(words[at : at + length])):
            yield length, digits


@functools.cache
def starts_of_codes(language: Language) -> frozenset[str]:
    """Return the words with which a number, a spelled code or a repetition may begin."""
    _, longest = _numbers(language)
    return frozenset({*longest, *language.letters, *language.repeats})


@functools.cache
def _numbers(language: Language) -> tuple[Mapping[tuple[str, ...], str], Mapping[str, int]]:
    """Return the digits of each number up to 999, and of thousands, by its words; the most words by the first."""
    found: dict[tuple[str, ...], str] = {}
    spellings = language.spellings or (lambda _: ())
    for number in range(MAX_NUMBER + 1):
        for spelling, written in spellings(number):
            words = tuple(terms.words(spelling))
            found[words] = written
            if written.isdigit() and number:
                found[(*words, language.thousand)] = f"{written}000"
    if language.thousand:
        # "three three zero seven thousand" ends in 7000, "mil" alone is 1000.
        found[(language.thousand,)] = "1000"
    longest: dict[str, int] = {}
    for words in found:
        longest[words[0]] = max(longest.get(words[0], 0), len(words))
    return found, longest


def _inflections(word: str) -> set[str]:
    """Return the word with other common endings: if the base has one of them, nothing was misheard."""
    return {word, f"{word}s", *(word.removesuffix(ending) for ending in ("s", "es", "ed", "d", "ing", "ly", "r", "er"))}
