"""Which of the passages found are shown to the model, and how much of their surroundings: within a budget.

A model reads faster what is short, and a caller waits meanwhile. What is said twice is shown once; where there is
room left, a passage that was cut out of a longer text is shown with what stands around it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from parley.knowledge.chunking import joined
from parley.knowledge.documents import Passage
from parley.knowledge.index import Hit

EXCERPT_CHARACTERS = 1200
"""The budget for each excerpt that is allowed; what one leaves, others may use."""
MORE_THAN_WANTED = 2
"""So many times the wanted passages are searched for, because some may say the same."""
_SAME_WORDS = 0.95
_LEAST_LENGTH = 0.85
_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\d")


@dataclass(frozen=True)
class Excerpt:
    """A stretch of one document with the hits in it, best first; its text may reach beyond them."""

    hits: tuple[Hit, ...]
    text: str


def select_excerpts(hits: Sequence[Hit], most: int) -> list[Excerpt]:
    """At most so many excerpts, the one with the best hit first, `EXCERPT_CHARACTERS` each on average at most."""
    kept = _different(hits, most)
    left = most * EXCERPT_CHARACTERS
    shown: dict[tuple[str, str], set[int]] = {}
    for hit in kept:
        shown.setdefault(_document(hit.passage), set()).add(hit.passage.part)
        left -= min(len(hit.passage.text), EXCERPT_CHARACTERS)
    for passage in (hit.passage for hit in kept):
        parts = shown[_document(passage)]
        for neighbour in {passage.part + 1, passage.part - 1} - parts:
            if 0 <= neighbour < len(passage.parts) and len(passage.parts[neighbour]) <= left:
                parts.add(neighbour)
                left -= len(passage.parts[neighbour])
    found = [excerpt for document, parts in shown.items() for excerpt in _runs(kept, document, parts)]
    return sorted(found, key=lambda excerpt: kept.index(excerpt.hits[0]))


def are_near_duplicates(one: Passage, other: Passage) -> bool:
    """Whether two passages say the same in nearly the same words: no number may differ, and hardly a word."""
    lengths = sorted((len(one.text), len(other.text)))
    if lengths[0] < _LEAST_LENGTH * lengths[1]:
        return False  # without a look at the words, of which there are many
    words, others = _words(one), _words(other)
    if len(words & others) < _SAME_WORDS * len(words | others):
        return False
    return not any(_NUMBER.search(word) for word in words ^ others)


def _different(hits: Sequence[Hit], most: int) -> list[Hit]:
    kept: list[Hit] = []
    for hit in hits:
        if not any(are_near_duplicates(hit.passage, other.passage) for other in kept):
            kept.append(hit)
        if len(kept) == most:
            break
    return kept


def _words(passage: Passage) -> frozenset[str]:
    return frozenset(_WORD.findall(f"{passage.title}\n{passage.text}".casefold()))


def _document(passage: Passage) -> tuple[str, str]:
    return passage.file, passage.document


def _runs(hits: Sequence[Hit], document: tuple[str, str], parts: set[int]) -> Iterator[Excerpt]:
    """The document's parts that are shown, those that follow one another as one excerpt."""
    of_it = [hit for hit in hits if _document(hit.passage) == document]
    run: list[int] = []
    for following in [*sorted(parts), -1]:
        if run and following != run[-1] + 1:
            inside = tuple(hit for hit in of_it if hit.passage.part in run)
            texts = inside[0].passage.parts or (inside[0].passage.text,)
            yield Excerpt(inside, joined([_shortened(texts[part]) for part in run]))
            run = []
        run.append(following)


def _shortened(text: str) -> str:
    if len(text) <= EXCERPT_CHARACTERS:
        return text
    cut = text[:EXCERPT_CHARACTERS]
    return (cut[: cut.rfind(" ")] if " " in cut else cut) + " …"
