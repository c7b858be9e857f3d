"""A language as Parley knows it: the value that each file of this folder fills in."""

import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, eq=False)
class Language:
    """Words and rules of one language. Words are in lower case and without accents, as `terms.words` gives them.

    `stemmer` is the name of a Snowball algorithm; empty where a script has no spaces. `function_words` tell nothing of
    what a question is about. `spellings` gives all ways to say a whole number from 0 to 999, each with how it is
    written, and `thousand` is the word behind such a number; `repeats` are words that repeat what follows (double: 2).
    `joiners` may stand inside a number or a code ("and", "point", "slash"). `letters` are the names of letters as a
    recogniser writes them. `small_talk`, `assents` and `refusals` are phrases that a turn may consist of; `picks` are
    words that choose one of several offers, by its index, -1 for the last. `sound` returns how a word sounds, for words
    that a recogniser has misheard; `common_words` are never taken for such. `may_help` stands before a quoted
    sentence that may not be what was asked for, `at_your_service` is the reply to small talk where answers are quoted.
    A sentence that begins with a word of `refers_back` is not understood without the one before it; a question that
    holds a phrase of `asks_figure` asks for a number, a price or a time.
    """

    code: str
    """ISO 639-1."""
    name: str
    stemmer: str
    function_words: frozenset[str]
    small_talk: tuple[str, ...]
    assents: tuple[str, ...]
    refusals: tuple[str, ...]
    waiting_messages: tuple[str, ...]
    not_found: str
    may_help: str = ""
    at_your_service: str = ""
    refers_back: frozenset[str] = frozenset()
    asks_figure: tuple[str, ...] = ()
    picks: Mapping[str, int] = field(default_factory=dict)
    spellings: Callable[[int], Iterable[tuple[str, str]]] | None = None
    thousand: str = ""
    repeats: Mapping[str, int] = field(default_factory=dict)
    joiners: frozenset[str] = frozenset()
    letters: Mapping[str, str] = field(default_factory=dict)
    sound: Callable[[str], str] | None = None
    common_words: frozenset[str] = frozenset()


def phrases(text: str) -> tuple[str, ...]:
    """Return the phrases of a block of text, separated by commas.

    Brackets hold alternatives, of which the last may be empty: "[can/could] you [please/] repeat" are four phrases.
    """
    return tuple(expanded for phrase in text.split(",") if phrase.strip() for expanded in _expanded(phrase))


def _expanded(phrase: str) -> Iterator[str]:
    parts = [part.split("/") if number % 2 else [part] for number, part in enumerate(re.split(r"[\[\]]", phrase))]
    return (" ".join("".join(chosen).split()) for chosen in itertools.product(*parts))


def words(text: str) -> frozenset[str]:
    """Return the words of a block of text, folded."""
    return frozenset(folded(text).split())


def folded(text: str) -> str:
    """Return the text without differences of accent, case and width."""
    if text.isascii():
        return text.lower()
    # Decomposed, an accent is a character of its own and can be removed; composed again, Hangul is of whole syllables.
    return unicodedata.normalize("NFKC", _ACCENTS.sub("", unicodedata.normalize("NFKD", text.casefold())))


_ACCENTS = re.compile("[\u0300-\u036f]+")


def pairs(text: str) -> dict[str, str]:
    """Return the pairs of a block of text: "bee=b see=c" gives {"bee": "b", "see": "c"}."""
    return dict(pair.split("=") for pair in folded(text).split())
