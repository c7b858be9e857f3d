"""An answer without a model: the sentences of the passages that answer a question, word for word.

    hits  ->  sentences of the best two passages  ->  scored  ->  the best one, and what it needs to be understood

A sentence is scored by its meaning, where there is an encoder, and by the words that it shares with the question. What
is quoted stands in the files: a wrong quote is a true sentence that misses the question. Pure functions over hits; the
encoder is the caller's. The weights hardly matter (docs/retrieval.md has the figures).
"""

import functools
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from parley.knowledge import intent, terms
from parley.knowledge.chunking import sentences
from parley.knowledge.index import Hit, Query
from parley.knowledge.postings import Floats
from parley.knowledge.terms import Analyzer
from parley.languages import ENGLISH, Language
from parley.languages.language import folded

PASSAGES = 2
"""Best passages whose sentences are compared with the question."""
MAX_ENCODED = 12
"""Most sentences that are encoded for one question; of more, those that score best by their words."""
MAX_REMEMBERED = 2048
"""Most vectors of sentences that are kept, of 1.5 KB each."""
REFINED = 4
"""Best sentences that are encoded once more, with the sentence before each: it often names the subject."""
MAX_CHARACTERS = 25_000
"""Characters of a passage that are looked at. One that the index has cut is far shorter, unless it has no spaces."""
JOINED_WORDS = 60
"""Most words of two sentences that are quoted because both answer: more is tiring to hear."""
AS_GOOD = 0.06
"""Difference in score up to which a neighbour is quoted, too."""
MEANING_SHARE, WORDS_SHARE, PASSAGE_SHARE, FIGURE_BONUS = 0.7, 0.2, 0.3, 0.05
"""Shares of a sentence's score: its cosine, the question's words in it, its passage's score, a figure asked for."""
BEFORE_SHARE = 0.5
"""Weight of a word of the turns before, against one of the question."""
MIN_COSINE, SURE_COSINE = 0.38, 0.50
"""Cosine to the question from which on a sentence is quoted, and without a doubt: of the embedded English encoder."""
MIN_COVERAGE = 0.65
"""Coverage from which on a sentence is quoted whatever its cosine: a misheard word means nothing to an encoder."""
SURE_COVERAGE = 0.95
"""Coverage from which on such a quote is not introduced by a doubt."""
MIN_COVERAGE_ALONE = 0.6
"""Coverage below which a sentence that shares no whole word with the question is not quoted, without an encoder."""
SURE_WORDS = 0.5
"""Share of the question's words from which on a quote is not introduced by a doubt, without an encoder."""

Encode = Callable[[Sequence[str]], Floats]
"""Returns a vector of length 1 for each text, as rows."""


@dataclass(frozen=True)
class Quote:
    """Sentences of one passage, in their order. `is_sure` is false where they may not be what was asked for."""

    hit: Hit
    sentences: tuple[str, ...]
    score: float
    is_sure: bool

    def spoken(self, language: Language) -> str:
        """Return the words to say; the language's introduction goes before a quote that is not sure."""
        said = self.sentences if self.is_sure else (language.may_help or ENGLISH.may_help, *self.sentences)
        # No space between two sentences of a script without spaces.
        return functools.reduce(lambda before, after: before + ("" if terms.is_cjk(after) else " ") + after, said)


@dataclass
class _Candidate:
    """A sentence that may be quoted: its passage, its place among that passage's sentences, and its figures.

    `compared` is the text that stands for it: its heading and, where one leads to it, the question before it.
    """

    hit: Hit
    passage: Sequence[str]
    place: int
    compared: str
    context: str
    words: float = 0.0
    score: float = 0.0
    cosine: float | None = field(default=None)

    @property
    def said(self) -> str:
        return self.passage[self.place]


class VectorMemory:
    """The vectors of the sentences that were compared last; callers' words are not among them.

    perf: saves 3 ms a sentence (embedded encoder): callers ask for the same few passages.
    """

    def __init__(self) -> None:
        self._rows: OrderedDict[tuple[str, str], Floats] = OrderedDict()

    def through(self, encode: Encode, name: str) -> Encode:
        """Return an `Encode` that asks the encoder of this name for what is not remembered."""

        def remembered(texts: Sequence[str]) -> Floats:
            known = {text: row for text in texts if (row := self._rows.get((name, text))) is not None}
            missing = [text for text in dict.fromkeys(texts) if text not in known]
            if missing:
                # Copied: a row of an array keeps the whole array.
                known |= {text: row.copy() for text, row in zip(missing, encode(missing), strict=True)}
                self._rows.update(((name, text), known[text]) for text in missing)
            while len(self._rows) > MAX_REMEMBERED:
                self._rows.popitem(last=False)
            return np.stack([known[text] for text in texts])

        return remembered

    def clear(self) -> None:
        """Forget everything: an encoder may have changed its dimensions."""
        self._rows.clear()


def quote(
    question: str | Query,
    hits: Sequence[Hit],
    encode: Encode | None = None,
    *,
    encode_sentences: Encode | None = None,
    language: Language = ENGLISH,
    least: float = MIN_COSINE,
    sure: float = SURE_COSINE,
    breathe: Callable[[], None] = lambda: None,
) -> Quote | None:
    """Return the sentences that answer a question, out of the hits of its search; None if none seems to.

    A `Query` brings the turns before the question, too. Without `encode` sentences are compared by their words alone;
    `encode_sentences` is like it, for texts of the passages alone, which recur.
    From a cosine of `least` on a sentence is quoted, from `sure` on without a doubt. `breathe` is called at every step
    of the work. Raises what `encode` raises.
    """
    query = Query(question) if isinstance(question, str) else question
    found = [candidate for hit in hits[:PASSAGES] for candidate in _candidates(hit, language, breathe)]
    if not found:
        return None
    _score_words(found, query, language, breathe, alone=encode is None)
    if encode is not None:
        found = _score_meanings(found, query, language, encode, encode_sentences or encode)
    best = max(found, key=lambda candidate: candidate.score)
    quoted, is_sure = _decide(best, least, sure)
    if not quoted:
        return None
    places = _with_company(best, found, language, _asks_figure(query, language))
    return Quote(best.hit, tuple(best.passage[place] for place in places), best.score, is_sure)


_LIST_MARK = re.compile(r"^(?:[-*•]|\d{1,3}[.)])\s+")
_QUESTION_MARKS = ("?", "\uff1f", "\u061f")
_COLONS = (":", "\uff1a")


# Behind an abbreviation or an initial the sentence goes on, and in German behind an ordinal number ("am 3. August").
_UNFINISHED = re.compile(
    r"(?<![^\W\d])(?:[^\W\d]|approx|ca|tel|ext|str|nr|no|bzw|inkl|incl|exkl|evtl|ggf|vgl|vs|prof|av|avda|sra?|dott|min|max)\.$",
    re.IGNORECASE,
)
_DIGIT = re.compile(r"\d")
_ORDINAL = re.compile(r"(?<!\d)\d{1,2}\.$")


def _sentences(text: str, language: Language, breathe: Callable[[], None]) -> list[str]:
    """Return the sentences of a text, without the marks of list items and with single spaces."""
    found: list[str] = []
    goes_on = False
    for piece in sentences(text):
        breathe()
        said = " ".join(piece.split()) if goes_on else _LIST_MARK.sub("", " ".join(piece.split()))
        if not said:
            continue
        if goes_on:
            found[-1] += f" {said}"
        else:
            found.append(said)
        last = said.rpartition(" ")[2]
        goes_on = bool(_UNFINISHED.search(last) or (language.code == "de" and _ORDINAL.search(last)))
    return found


def _candidates(hit: Hit, language: Language, breathe: Callable[[], None]) -> Iterator[_Candidate]:
    """Yield the sentences of a passage that may be quoted.

    A question in the text, or a line that ends with a colon, only leads to the next sentence.
    """
    title = " ".join(hit.passage.title.split())
    passage = _sentences(hit.passage.text[:MAX_CHARACTERS], language, breathe)
    leads = [said.endswith((*_QUESTION_MARKS, *_COLONS)) for said in passage]
    are_all = all(leads)
    lead = ""
    for place, said in enumerate(passage):
        if leads[place] and not are_all:
            lead = said
            continue
        heading = f"{title}." if title else ""
        before = passage[place - 1] if place else lead
        compared, context = (" ".join(filter(None, (heading, earlier, said))) for earlier in (lead, before))
        yield _Candidate(hit, passage, place, compared, context)
        # Below a colon stands a list, below a question its answer.
        lead = lead if lead.endswith(_COLONS) else ""


def _score_words(
    found: Sequence[_Candidate], query: Query, language: Language, breathe: Callable[[], None], *, alone: bool
) -> None:
    """Set each sentence's share of the question's words, and its score by everything but its meaning.

    `alone` is true if nothing else will tell the sentences of a passage apart.
    """
    asked = _stems(query.text, language)
    before = _stems(query.before, language) - asked
    total = len(asked) + BEFORE_SHARE * len(before) or 1

    def share(text: str) -> float:
        own = _stems(text, language)
        return (len(own & asked) + BEFORE_SHARE * len(own & before)) / total

    best = max(candidate.hit.score for candidate in found) or 1
    asks_figure = _asks_figure(query, language)
    for candidate in found:
        # A passage of 20 KB has two hundred sentences.
        breathe()
        candidate.words = share(candidate.compared)
        # The words of a title count for all sentences of a passage alike.
        words = (candidate.words + share(candidate.said)) / 2 if alone else candidate.words
        bonus = FIGURE_BONUS if asks_figure and _holds_figure(candidate.said, language) else 0.0
        candidate.score = WORDS_SHARE * words + PASSAGE_SHARE * candidate.hit.score / best + bonus


def _score_meanings(
    found: Sequence[_Candidate], query: Query, language: Language, encode: Encode, encode_sentences: Encode
) -> list[_Candidate]:
    """Add their cosines to the scores of the likeliest sentences, and return the best few of these."""
    likeliest = sorted(found, key=lambda candidate: -candidate.score)[:MAX_ENCODED]
    turns = [query.text]
    if query.before:
        both = f"{query.before} {query.text}"
        # "And on Sundays?" means little by itself, "and how much is that?" nothing.
        turns = [query.text, both] if _analyzer(language).content(terms.words(query.text)) else [both]
    asked = encode(turns)
    # In one call, because each may wait for a thread or for an API.
    rows = encode_sentences([candidate.compared for candidate in likeliest])
    alone = rows @ asked.T
    order = np.argsort(
        [-one.score - MEANING_SHARE * cosines.mean() for one, cosines in zip(likeliest, alone, strict=True)]
    )
    kept = order[:REFINED].tolist()
    refined = [likeliest[at] for at in kept]
    in_context = encode_sentences([candidate.context for candidate in refined]) @ asked.T
    for candidate, own, wider in zip(refined, alone[kept], in_context, strict=True):
        candidate.cosine = float(max(own.max(), wider.max()))
        candidate.score += MEANING_SHARE * float(own.mean() + wider.mean()) / 2
    return refined


def _decide(best: _Candidate, least: float, sure: float) -> tuple[bool, bool]:
    """Return whether the best sentence is quoted, and whether it is without a doubt what was asked for."""
    coverage = best.hit.parts.get("coverage", 0.0)
    # Without an encoder the search itself has refused what shares too little with the passage.
    if best.cosine is None:
        return best.words > 0 or coverage >= MIN_COVERAGE_ALONE, best.words >= SURE_WORDS
    return (
        best.cosine >= least or coverage >= MIN_COVERAGE,
        best.cosine >= sure or coverage >= SURE_COVERAGE,
    )


def _with_company(
    best: _Candidate, found: Sequence[_Candidate], language: Language, asks_figure: bool
) -> tuple[int, ...]:
    """Return the places of the sentences to quote: the best, and one that it needs, or that answers as well."""
    place, passage = best.place, best.passage
    if place and (_refers_back(best.said, language) or passage[place - 1].endswith(_COLONS)):
        return place - 1, place
    following = passage[place + 1] if place + 1 < len(passage) else ""
    # "Twice a year we clean the pools. This takes place in March."
    names_figure = asks_figure and _holds_figure(following, language) and not _holds_figure(best.said, language)
    if names_figure and _refers_back(following, language):
        return place, place + 1
    near = [one for one in found if one.hit is best.hit and abs(one.place - place) == 1]
    other = max(near, key=lambda one: one.score, default=None)
    if other is None or other.score < best.score - AS_GOOD:
        return (place,)
    if len(intent.split(f"{best.said} {other.said}")) > JOINED_WORDS:
        return (place,)
    return min(place, other.place), max(place, other.place)


def _refers_back(said: str, language: Language) -> bool:
    """Return True if a sentence begins with a word that is not understood without the sentence before."""
    start = folded(said)
    if terms.is_cjk(start):
        return start.startswith(tuple(language.refers_back))
    return next(iter(intent.split(said)), "") in language.refers_back


def _asks_figure(query: Query, language: Language) -> bool:
    """Return True if a question asks for a number, a price or a time."""
    text = folded(f"{query.before} {query.text}")
    # A script without spaces has no ends of words.
    if not language.stemmer:
        return any(phrase in text for phrase in language.asks_figure)
    words = f" {' '.join(intent.split(text))} "
    return any(f" {folded(phrase)} " in words for phrase in language.asks_figure)


def _holds_figure(said: str, language: Language) -> bool:
    """Return True if a sentence holds a number, in digits or as a word."""
    return bool(_DIGIT.search(said)) or not _number_words(language).isdisjoint(intent.split(said))


@functools.cache
def _number_words(language: Language) -> frozenset[str]:
    """Return the words from which the language makes numbers up to a thousand."""
    if language.spellings is None:
        return frozenset("一二三四五六七八九十百千两")
    said = (words for number in (*range(1, 100), 100, 200) for words, _ in language.spellings(number))
    return frozenset(word for words in said for word in folded(words).split()) - language.function_words


def _stems(text: str, language: Language) -> set[str]:
    analyzer = _analyzer(language)
    return {stem for word in terms.words(text) for stem in analyzer.stems(word)}


@functools.cache
def _analyzer(language: Language) -> Analyzer:
    return Analyzer(language)
