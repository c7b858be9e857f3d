"""Which passages answer a question: a search by words, held in memory.

Built once from passages, read only afterwards. Reading files lives in `documents.py`, and what the model is
told of the hits in `context.py`.
"""

import logging
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import Stemmer

from parley.knowledge.documents import Passage
from parley.knowledge.sentences import CJK

MAX_QUERY_CHARACTERS = 4000
"""Of a longer query only the end is searched: what was said last."""

# What callers say around a question, and bm25s's list of English stop words lacks.
_SMALL_TALK = """
    could would shall might must may much many get got let us tell know want need like please thank thanks
    hello hi hey okay ok um uh er oh yes yeah well also really actually maybe something anything someone
    anyone one
"""


@dataclass(frozen=True)
class Query:
    """What is looked for: the user's last turn, with the user's turn before it where there was one.

    Only passages whose metadata hold every pair of `filters` can be found.
    """

    text: str
    before: str = ""
    filters: Mapping[str, str | int | bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Hit:
    """A passage found. Scores compare only within one search; `parts` tells operators what they are made of."""

    passage: Passage
    score: float
    parts: Mapping[str, float] = field(default_factory=dict)


class Index(Protocol):
    """Anything that finds passages. It is never altered once built."""

    def search(self, query: Query, limit: int) -> list[Hit]:
        """At most `limit` passages, best first; empty where nothing fits well enough. Never raises."""
        ...


def build(passages: Sequence[Passage], breathe: Callable[[], None] = lambda: None) -> Index:
    """An index of these passages.

    `breathe` is called at least every 5 ms of work, so that whoever builds beside streams can let them run.
    """
    return Bm25Index(passages)


class Bm25Index:
    """Passages ranked by the words that they share with the query (BM25, Lucene's variant).

    The title counts with the text. English words are stemmed and stop words left out; accents and case do not
    matter; runs of Chinese, Japanese and Korean script are compared by pairs of characters.
    """

    def __init__(self, passages: Sequence[Passage]) -> None:
        # Imported here: 0.3 s that a process without knowledge to search need not spend.
        import bm25s

        # bm25s sets its logger to DEBUG, past the level that the application chose.
        logging.getLogger("bm25s").setLevel(logging.WARNING)
        self._passages = list(passages)
        self._words = _Words(frozenset((*bm25s.stopwords.STOPWORDS_EN_PLUS, *_SMALL_TALK.split())))
        terms = [self._words.terms(f"{passage.title}\n{passage.text}") for passage in self._passages]
        self._bm25: Any = bm25s.BM25()
        self._vocabulary: dict[str, int] = {}
        if any(terms):
            self._bm25.index(terms, show_progress=False)
            self._vocabulary = self._bm25.vocab_dict

    def search(self, query: Query, limit: int) -> list[Hit]:
        """At most `limit` passages that share a word with the query, stop words aside; best first."""
        terms = dict.fromkeys(self._words.terms(query.text[-MAX_QUERY_CHARACTERS:]))
        known = [self._vocabulary[term] for term in terms if term in self._vocabulary]
        if not known or limit < 1:
            return []
        scores = self._bm25.get_scores_from_ids(known)
        best = (-scores).argsort(kind="stable")[:limit]
        return [Hit(self._passages[at], float(scores[at])) for at in best if scores[at] > 0]


class _Words:
    """The terms of a text: folded, stemmed, without stop words."""

    _TERM = re.compile(rf"(?P<cjk>[{CJK}]+)|[^\W_{CJK}]+")
    _ACCENTS = re.compile("[\u0300-\u036f]+")

    def __init__(self, stop_words: frozenset[str]) -> None:
        self._stop_words = stop_words
        self._stemmer = Stemmer.Stemmer("english")

    def terms(self, text: str) -> list[str]:
        words: list[str] = []
        pairs: list[str] = []
        for match in self._TERM.finditer(self._folded(text)):
            if match["cjk"]:
                pairs.extend(self._pairs(match["cjk"]))
            elif match[0] not in self._stop_words:
                words.append(match[0])
        return [*self._stemmer.stemWords(words), *pairs]

    def _folded(self, text: str) -> str:
        bare = self._ACCENTS.sub("", unicodedata.normalize("NFKD", text.casefold()))
        return unicodedata.normalize("NFKC", bare)

    @staticmethod
    def _pairs(run: str) -> list[str]:
        return [first + second for first, second in pairwise(run)] or [run]
